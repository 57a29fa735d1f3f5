"""python -m tests.hostile, with REQUESTS and SEED in the environment."""

import sys

from tests.hostile.performance import main

sys.exit(main())
