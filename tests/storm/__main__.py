"""python -m tests.storm, with EVENTS and SEED in the environment."""

import sys

from tests.storm.performance import main

if __name__ == "__main__":
    sys.exit(main())
