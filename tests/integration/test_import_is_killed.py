"""`cfar import` may be killed at any moment: the same command, run to its end, makes one cancellation of each line."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from shared.batch_models import Batch
from shared.models import Cancellation, Transition
from tests.gateway import SHOP
from tests.integration.conftest import serving
from tests.processes import ROOT
from tests.recording import RecordingDatabase

LINES = int(os.environ.get("IMPORT_LINES", "3000"))
"""For many: `IMPORT_LINES=100000 .venv/bin/pytest --timeout 0 tests/integration/test_import_is_killed.py`."""
SEED = 4711


@pytest.fixture
def address(database: RecordingDatabase, sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    """A gateway on the test's own database."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with serving(sqlite_template, tmp_path, DATABASE_URL=url) as served:
        yield served.url


def importing(address: str, file: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "CFAR_URL": address, "CFAR_TOKEN": SHOP}
    command = [sys.executable, "-c", "from webhook_gateway.cli import main; main()", "import", str(file)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def stored(database: RecordingDatabase, table: type[Cancellation] | type[Transition] = Cancellation) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.processes
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_import_that_is_killed_three_times_makes_one_cancellation_of_each_line(
    database: RecordingDatabase, address: str, tmp_path: Path
) -> None:
    file, chance, codes = tmp_path / "show.csv", random.Random(SEED), []
    file.write_text("idempotency_key,booking_id\n" + "".join(f"t-{n},BOOK-{n}-INS\n" for n in range(LINES)))

    for enough in (1, LINES // 6, LINES // 2):
        with importing(address, file) as process:
            while stored(database) < enough and process.poll() is None:
                time.sleep(chance.uniform(0.001, 0.02))
            process.send_signal(signal.SIGKILL)
        codes.append(process.returncode)
    with importing(address, file) as process:
        told, _ = process.communicate()

    assert process.returncode == 0
    assert f"show.csv: {LINES:,} lines" in told.decode().replace(str(LINES), f"{LINES:,}")
    assert codes.count(-signal.SIGKILL) >= 1, codes
    with database.reading() as session:
        rows = session.execute(select(Cancellation.idempotency_key, Cancellation.booking_id)).all()
        assert session.scalar(select(func.count()).select_from(Batch)) == 1
    assert len(rows) == LINES
    assert {row[0]: row[1] for row in rows} == {f"t-{number}": f"BOOK-{number}-INS" for number in range(LINES)}
    assert stored(database, Transition) == LINES
    with database.engine.begin() as connection:  # so many are more than the tests' own cleaning may take
        connection.exec_driver_sql("TRUNCATE cancellations, batches CASCADE")
