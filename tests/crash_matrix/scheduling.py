"""Keeps each run of the matrix in one process of a parallel test run; every other test goes wherever there is room.

The plugin's own groups are marks that it writes into node ids, which this version of pytest does not let it change.
"""

import re

from xdist.scheduler import LoadScopeScheduling

_RUN = re.compile(
    r"crash_matrix/test_(?:a_worker_dies.*?-(?P<death>all-killed|killed|terminated|stopped)\]$|the_gateway)"
)


class RunsTogether(LoadScopeScheduling):
    """One unit of work for each run, and one for each other test."""

    def _split_scope(self, nodeid: str) -> str:
        found = _RUN.search(nodeid)
        return f"crash-matrix-{found['death'] or 'web'}" if found else nodeid
