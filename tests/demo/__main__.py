"""`python -m tests.demo [--stay]`: guards the imports against Ctrl-C, then plays; see performance.py."""

import os
import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(1, b"\nStopped: nothing had been started yet.\n")
    os._exit(0 if "--stay" in sys.argv else 130)  # an exception in the middle of an import would be a traceback


if __name__ == "__main__":
    for number in SIGNALS:
        signal.signal(number, _leave)
    from tests.demo.performance import main

    sys.exit(main())
