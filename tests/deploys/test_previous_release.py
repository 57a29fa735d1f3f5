"""The archive of the previous release is what it says it is; and code meant for one release runs that release's."""

import re
from pathlib import Path

import pytest

from tests.deploys.release import PREVIOUS, ROOT, commit_of_previous, migrations_of, unpack_previous
from tests.deploys.rollout import Setting

pytestmark = pytest.mark.processes


def test_the_archive_holds_the_release_before_the_latest_migration(tmp_path: Path) -> None:
    """Whoever adds a migration keeps the release before it: `make previous-release REV=…`."""
    kept = migrations_of(unpack_previous(tmp_path)).get_current_head()
    ours = migrations_of(ROOT)
    latest = ours.get_revision("head")

    assert latest is not None
    assert kept in {latest.revision, latest.down_revision}, f"refresh {PREVIOUS.name}: it ends at {kept}"
    assert re.fullmatch(r"[0-9a-f]{40}", commit_of_previous()), "it was not made by git archive"


def test_each_release_runs_its_own_code(setting: Setting, tmp_path: Path) -> None:
    (ours,) = set(setting.this.ask("hello")["code"])
    (theirs,) = set(setting.previous.ask("hello")["code"])

    assert Path(ours) == ROOT
    assert Path(theirs) == setting.previous.folder != ROOT
