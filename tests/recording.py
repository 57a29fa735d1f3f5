"""A database whose messages are kept instead of sent."""

from collections.abc import Sequence

from shared.db import Database, Message


class RecordingDatabase(Database):
    """Publishes into `published`; the world's `drain` takes from it."""

    def __init__(self, url: str) -> None:
        self.published: list[Message] = []
        super().__init__(url, publish=self._keep)

    def _keep(self, messages: Sequence[Message]) -> None:
        self.published.extend(messages)
