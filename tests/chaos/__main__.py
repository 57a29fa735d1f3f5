"""`python -m tests.chaos`: everything on this machine, cancellations, and everything that can go wrong meanwhile."""

import sys

from tests.chaos.performance import main

if __name__ == "__main__":
    sys.exit(main())
