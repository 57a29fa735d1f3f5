"""How an endpoint took a message: what the client says and the rows keep. Neither calls nor stores anything."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Told:
    """How an endpoint took a message: its status, or why there is none; `retry_after` in seconds, if it said so."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    was_tried: bool = True
    """False where the endpoint had no part in it: that is no failure of its own."""

    @property
    def is_taken(self) -> bool:
        """Tell whether it need not be told again."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Tell whether the endpoint wants nothing any more."""
        return self.status == 410
