"""Every story is told for each way in which XCover may treat our keys, and the insurer's whole ledger judges it.

On PostgreSQL for all three; on SQLite, which knows nothing of keys, for the first. Which of these a run tells,
`tests.tellings` says. A story about what a key does names its modes with `key_mode(...)`; one that means to have a
policy claimed again says so with `claims_again`.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from shared.invariant_checks import check_all
from tests.tellings import DATABASES, KEY_MODES, POSTGRESQL
from tests.world import World

IRREVERSIBLE = {"confirm": "cancelled", "cancel": "cancelled", "claim": "claimed"}
PAYMENTS = ("refund", "refund_promised")

Done = Counter[tuple[str, str, str]]
"""How often something was done to a policy: (what, booking, quote)."""


@pytest.hookimpl(tryfirst=True)  # before pytest reads the marks
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pair each story's databases with its key modes; one that names its database keeps it."""
    if "world" not in metafunc.fixturenames:
        return
    told = metafunc.definition.get_closest_marker("key_mode")
    modes = told.args if told else KEY_MODES
    if any(mark.args[0] == "database_url" for mark in metafunc.definition.iter_markers("parametrize")):
        names, values = ["key_mode"], [(mode,) for mode in modes]
    else:
        names = ["database_url", "key_mode"]
        values = [(kind, mode) for kind in DATABASES for mode in (modes if kind == POSTGRESQL else modes[:1])]
    metafunc.definition.add_marker(pytest.mark.parametrize(names, values, indirect=True))


@pytest.fixture
def key_mode(request: pytest.FixtureRequest) -> str:
    """How the insurer treats our keys in this telling."""
    return str(request.param)


@pytest.fixture
def world(world: World, key_mode: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world with an insurer that treats keys so; at the end nothing was done twice and no invariant is broken."""
    world.control.settings(key_mode=key_mode)
    yield world
    done = _done(world) + _paid(world)
    if request.node.get_closest_marker("claims_again"):
        done = Counter({which: times for which, times in done.items() if which[0] != "claimed"})
    twice = {which: times for which, times in done.items() if times > 1}
    assert twice == {}, f"done to one policy more than once: {twice}"
    assert dict(check_all(world.database)) == {}


def _done(world: World) -> Done:
    effects = [effect for effect in world.control.effects() if effect["kind"] in IRREVERSIBLE]
    return Counter(
        (IRREVERSIBLE[effect["kind"]], effect["booking"], quote) for effect in effects for quote in effect["quotes"]
    )


def _paid(world: World) -> Done:
    """The partner pays for a cancellation: which policies that is for, only our row says."""
    policies = {str(row.id): [quote["id"] for quote in row.quotes] for row in world.rows()}
    effects = [effect for effect in world.control.effects() if effect["kind"] in PAYMENTS]
    return Counter(
        ("refunded", effect["booking"], quote) for effect in effects for quote in policies[effect["cancellation"]]
    )
