"""The matrix itself, generated: boundary by boundary, how the process dies and how the insurer treats keys.

Modes differ only where a keyed request is repeated by another process. A process that SIGTERM reaches ends its step
by itself, so nothing is repeated and one mode tells all. The two kinds of SIGKILL share the modes; a step without a key
dies with its pool process alone: to its row the death of the others is the same.
"""

from dataclasses import dataclass
from enum import StrEnum

from tests.crash_matrix.boundaries import PLACES, Boundary, Place

HONOURED, IGNORED, STORING_ERRORS = "honoured", "ignored", "storing_errors"
BROKEN_ANSWERS = frozenset(
    {Boundary.INSURER_ACTED, Boundary.ANSWERED, Boundary.COMMITTING, Boundary.COMMITTED, Boundary.PUBLISHED}
)
"""Where an insurer that stores errors does act, and answers that it failed."""


class Death(StrEnum):
    """What happens to the process that runs the try."""

    KILLED = "killed"
    """SIGKILL to the pool process."""
    ALL_KILLED = "all-killed"
    """SIGKILL to the worker's main process and its whole pool."""
    TERMINATED = "terminated"
    """SIGTERM to every process of the worker at once, as a platform sends it."""
    STOPPED = "stopped"
    """SIGSTOP until others have done its work, then SIGCONT."""


MODES = {
    Death.KILLED: (IGNORED,),
    Death.ALL_KILLED: (HONOURED, STORING_ERRORS),
    Death.TERMINATED: (HONOURED,),
    Death.STOPPED: (HONOURED, IGNORED, STORING_ERRORS),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One death."""

    place: Place
    boundary: Boundary
    death: Death
    mode: str

    @property
    def name(self) -> str:
        """What a test's id and the doom's file are called."""
        mode = f"-{self.mode}" if self.place.is_keyed else ""
        return f"{self.place.name}-{self.boundary}{mode}-{self.death}"

    @property
    def is_held_by_the_insurer(self) -> bool:
        """The boundary lies outside of the process: the simulator tells when it is reached."""
        return self.boundary in {Boundary.REQUEST_LEFT, Boundary.INSURER_ACTED}

    @property
    def answers_error(self) -> bool:
        """The insurer does what it is asked, answers 502 and keeps that answer under the key."""
        return self.place.is_keyed and self.mode == STORING_ERRORS and self.boundary in BROKEN_ANSWERS


def cases(death: Death) -> list[Case]:
    """Return every case of a death: each place, each of its boundaries, each mode that matters there."""
    return [
        Case(place=place, boundary=boundary, death=death, mode=mode)
        for place in PLACES
        if death is not Death.ALL_KILLED or place.is_keyed or place.step is None
        for boundary in place.boundaries
        for mode in (MODES[death] if place.is_keyed else MODES[death][:1])
    ]
