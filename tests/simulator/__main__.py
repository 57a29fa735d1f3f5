"""`python -m tests.simulator`: the insurer as a process of its own, until it is told to end."""

import argparse
import logging
import os
import signal
import sys
import threading
from dataclasses import fields

from tests.simulator.credentials import Credentials
from tests.simulator.server import SimulatorServer


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    credentials = Credentials(**{one.name: getattr(options, one.name) for one in fields(Credentials)})
    server = SimulatorServer(
        host=options.host,
        port=options.port,
        prefix=options.prefix,
        credentials=credentials,
        key_mode=options.key_mode,
        rate_limit=options.rate_limit,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {why}\n")
        return 1
    sys.stdout.write(f"simulator: xcover {server.xcover_url} xclaim {server.xclaim_url} refunds {server.refund_url}\n")
    sys.stdout.flush()
    stop.wait()
    server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--prefix", default="/x/", help="where XCover is mounted")
    parser.add_argument("--key-mode", choices=["honoured", "ignored", "storing_errors"], default="honoured")
    parser.add_argument("--rate-limit", type=float, default=0, help="XCover requests a second; 0 is off")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    for one in fields(Credentials):
        parser.add_argument(f"--{one.name.replace('_', '-')}", default=one.default)
    return parser


if __name__ == "__main__":
    sys.exit(main())
