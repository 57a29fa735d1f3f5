"""Keeps tests that share started processes in one process of a parallel run; every other goes wherever there is room.

The plugin's own groups are marks that it writes into node ids, which this version of pytest does not let it change.
"""

import re

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "crash matrix, {}": re.compile(r"crash_matrix/test_a_worker_dies.*?-(all-killed|killed|terminated|stopped)\]$"),
    "crash matrix, the gateway": re.compile(r"crash_matrix/test_the_gateway"),
    "releases": re.compile(r"deploys/test_(?:previous_release|side_by_side|taking_over)"),
}
"""Names of groups, and which node ids belong to them."""


class RunsTogether(LoadScopeScheduling):
    """One unit of work for each group, and one for each other test."""

    def _split_scope(self, nodeid: str) -> str:
        for name, ids in TOGETHER.items():
            if found := ids.search(nodeid):
                return name.format(*found.groups())
        return nodeid
