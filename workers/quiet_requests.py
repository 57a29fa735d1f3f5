"""What Flower, `celery inspect` and Celery's own lines in the log see of a message: ids, whatever its producer sent.

Producers may hide personal data from them by `kwargsrepr`; those that forget must not fill Flower with it.
"""

import re
from typing import Any

from celery.worker.request import Request

HIDDEN = "(not shown)"
_IDS = re.compile(r"[\[(]('[0-9a-f-]{36}',? ?){1,200}[\])]")
_KEY_ONLY = re.compile(r"\{'idempotency_key': '[!-&(-~]{1,255}'\}")
_NOTHING = {"", "()", "[]", "{}"}


class QuietRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A message that shows its row's id, or its caller's key, and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._argsrepr: str = shown(self.argsrepr, _IDS)
        self._kwargsrepr: str = shown(self.kwargsrepr, _KEY_ONLY)

    def info(self, safe: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """Return what is told of it over the network: never its arguments themselves."""
        return super().info(safe=True)


def shown(representation: object, harmless: re.Pattern[str]) -> str:
    """Return a producer's own words about its arguments where they are nothing but ids."""
    said = str(representation or "")
    return said if said in _NOTHING or harmless.fullmatch(said) else HIDDEN
