"""python -m tests.large, with CANCELLATIONS and TRANSITIONS_EACH in the environment."""

import sys

from tests.large.performance import main

if __name__ == "__main__":
    sys.exit(main())
