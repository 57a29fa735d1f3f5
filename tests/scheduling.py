"""Keeps tests that share started processes in one process of a parallel run; every other goes wherever there is room.

The plugin's own groups are marks that it writes into node ids, which this version of pytest does not let it change.
"""

import re

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # Two at a time: each run holds some thirty connections to a PostgreSQL that may allow a hundred.
    "crash matrix, one by one": re.compile(r"crash_matrix/test_a_worker_dies.*-(?:(?<!all-)killed|stopped)\]$"),
    "crash matrix, all at once": re.compile(r"crash_matrix/test_(?:a_worker_dies|the_gateway)"),
    # The stage that they play on takes longer to build than most of them.
    "browser": re.compile(r"browser/test_"),
    "releases": re.compile(r"deploys/test_(?:previous_release|side_by_side|taking_over)"),
}
"""Names of groups, and which node ids belong to them; the first that fits counts."""
OF_ONE_FILE = re.compile(
    r"integration/test_(?:idempotency_conformance|webhook_conformance|slow_clients|gateway_server|generated_client"
    r"|api_docs|interface_by_links|flower|alerts)\.py|large/test_plans\.py"
)
"""Files whose tests share a server, or tables, that take longer to make than most of them to run."""


class RunsTogether(LoadScopeScheduling):
    """One unit of work for each group, each file of those, and each other test."""

    def _split_scope(self, nodeid: str) -> str:
        for name, ids in TOGETHER.items():
            if ids.search(nodeid):
                return name
        file = OF_ONE_FILE.search(nodeid)
        return file[0] if file else nodeid
