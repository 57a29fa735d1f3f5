"""The matrix is whole: whoever adds a step, a task, or a route that writes must say where it can die."""

from shared.db import Database
from shared.lifecycle import TASK_OF, Step, TaskName
from tests.crash_matrix.boundaries import (
    PLACES,
    TASKS_WITHOUT_BOUNDARIES,
    WRITING_ROUTES,
    WRITING_ROUTES_WITHOUT_BOUNDARIES,
    Boundary,
    WebBoundary,
    web_boundaries,
)
from tests.crash_matrix.cases import HONOURED, IGNORED, STORING_ERRORS, Death, cases
from tests.crash_matrix.judging import DEEDS
from tests.crash_matrix.stories import ASKED_FOR
from tests.crash_matrix.web_runs import web_cases
from tests.gateway import web_settings
from webhook_gateway.app import create_app
from workers.app import app


def test_every_step_dies_under_its_own_task() -> None:
    died = {(place.step, place.task) for place in PLACES if place.step is not None}

    assert died == {(step, TASK_OF[step]) for step in Step}


def test_every_task_that_a_worker_takes_dies_or_says_why_it_need_not() -> None:
    app.loader.import_default_modules()
    taken = {TaskName(name) for name in app.tasks if not name.startswith("celery.")}
    died = {place.task for place in PLACES}

    assert died | TASKS_WITHOUT_BOUNDARIES.keys() == taken
    assert taken == set(TaskName)
    assert not died & TASKS_WITHOUT_BOUNDARIES.keys()
    assert all(TASKS_WITHOUT_BOUNDARIES.values())


def test_every_place_has_every_boundary_or_says_why_not() -> None:
    for place in PLACES:
        assert set(place.boundaries) | place.absent.keys() == set(Boundary), place.name
        assert not set(place.boundaries) & place.absent.keys(), place.name
        assert all(place.absent.values()), place.name


def test_every_task_dies_at_each_boundary_somewhere_unless_nobody_outside_is_asked() -> None:
    for task in {place.task for place in PLACES}:
        ways = [place for place in PLACES if place.task is task]
        reached = {boundary for place in ways for boundary in place.boundaries}
        asks = any(place.asks for place in ways)

        assert reached == (set(Boundary) if asks else set(Boundary) - ways[0].absent.keys()), task


def test_every_boundary_dies_in_each_way_and_under_each_mode() -> None:
    names = [case.name for death in Death for case in cases(death)]

    assert len(set(names)) == len(names)
    for place in PLACES:
        for boundary in place.boundaries:
            found = {
                (case.death, case.mode)
                for death in Death
                for case in cases(death)
                if case.place is place and case.boundary is boundary
            }
            by_the_process_alone = set() if place.is_keyed or place.step is None else {Death.ALL_KILLED}
            assert {death for death, _ in found} == set(Death) - by_the_process_alone
            for deaths in ({Death.KILLED, Death.ALL_KILLED}, {Death.STOPPED}):
                modes = {mode for death, mode in found if death in deaths}
                assert not place.is_keyed or modes == {HONOURED, IGNORED, STORING_ERRORS}


def test_every_place_has_a_story_and_says_what_is_done_in_the_end() -> None:
    assert ASKED_FOR.keys() == DEEDS.keys() == {place.name for place in PLACES}


def test_every_route_of_the_gateway_that_writes_dies() -> None:
    database = Database("sqlite:///never-opened.db", publish=len)
    gateway = create_app(web_settings(), database=database)
    writing = {
        rule.endpoint
        for rule in gateway.url_map.iter_rules()
        if (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    }

    assert writing == WRITING_ROUTES.keys() | WRITING_ROUTES_WITHOUT_BOUNDARIES.keys()
    assert not WRITING_ROUTES.keys() & WRITING_ROUTES_WITHOUT_BOUNDARIES.keys()
    died = {(case.story, case.boundary, case.death) for case in web_cases()}
    expected = {
        (story, boundary, death)
        for story in WRITING_ROUTES.values()
        for boundary in web_boundaries(story)
        for death in Death
    }
    assert died == expected
    assert {boundary for _, boundary, _ in died} == set(WebBoundary)
