"""No list, search, page or figure reads a table that grows from end to end: an index answers it, whatever is asked.

On a table large enough for PostgreSQL to prefer indexes by itself, with real statistics: nothing is forbidden to it.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Select, func, select

from shared import overview, selection, webhook_selection
from shared.models import Cancellation, Transition
from tests.conftest import migrate
from tests.gateway import web_settings
from tests.large.plans import noting_statements, tables_read_whole
from tests.large.questions import known, questions
from tests.large.seeding import seed
from tests.recording import RecordingDatabase
from tests.servers import fresh_database, postgresql_server

ROWS, TRANSITIONS_EACH, WINDOW = 20_000, 3, 500
"""As small beside these rows as the real window is beside a million."""


@pytest.fixture(scope="module")
def seeded() -> Iterator[RecordingDatabase]:
    with postgresql_server() as server, fresh_database(server) as url:
        sqlalchemy_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        migrate(sqlalchemy_url)
        with psycopg.connect(url) as connection:
            seed(connection, count=ROWS, transitions_each=TRANSITIONS_EACH)
        opened = RecordingDatabase(sqlalchemy_url)
        yield opened
        opened.close()


def test_no_question_reads_a_table_that_grows_from_end_to_end(
    seeded: RecordingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "WINDOW", WINDOW)
    monkeypatch.setattr(webhook_selection, "LOOKED_THROUGH", WINDOW)
    with seeded.reading() as session:
        asked = questions(known(session), web_settings())
    wrong = {}
    for name, ask in asked.items():
        with noting_statements(seeded) as statements, seeded.reading() as session:
            ask(session)
        assert statements, name
        found = tables_read_whole(seeded, statements)
        if found:
            wrong[name] = found
    assert wrong == {}
    assert len(asked) > 60


WHOLE: dict[str, Select[Any]] = {
    "without an index": select(Cancellation.id).where(Cancellation.fingerprint == "none"),
    "through all of an index": select(func.count()).select_from(Transition).where(overview.COUNTED_BY_HOUR),
    "to be put in order": select(Cancellation.id).order_by(Cancellation.updated_at).limit(1),
}


@pytest.mark.parametrize("statement", WHOLE.values(), ids=WHOLE)
def test_a_table_that_is_read_from_end_to_end_is_noticed(seeded: RecordingDatabase, statement: Select[Any]) -> None:
    with noting_statements(seeded) as statements, seeded.reading() as session:
        session.scalars(statement).all()
    assert len(tables_read_whole(seeded, statements)) == 1


FEW: dict[str, Select[Any]] = {
    "the newest": select(Cancellation.id).order_by(Cancellation.id.desc()).limit(5),
    "one": select(Cancellation.id).where(Cancellation.booking_id == "none"),
}


@pytest.mark.parametrize("statement", FEW.values(), ids=FEW)
def test_what_an_index_finds_is_not_read_from_end_to_end(seeded: RecordingDatabase, statement: Select[Any]) -> None:
    with noting_statements(seeded) as statements, seeded.reading() as session:
        session.scalars(statement).all()
    assert tables_read_whole(seeded, statements) == set()
