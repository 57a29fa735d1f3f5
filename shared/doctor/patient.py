"""What is examined: the settings, the database and the broker of one process."""

from collections.abc import Mapping
from dataclasses import dataclass

from celery import Celery

from shared.config import AcceptingSettings, Settings
from shared.db import Database


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What a check may look at."""

    settings: Settings
    database: Database
    celery: Celery
    environment: Mapping[str, str]

    @property
    def partner_codes(self) -> list[str]:
        """Return the configured partners; none where the settings do not say."""
        return self.settings.partner_codes if isinstance(self.settings, AcceptingSettings) else []

    @property
    def services(self) -> list[tuple[str, str]]:
        """Return each partner with each of the insurer's services that it uses."""
        if not isinstance(self.settings, AcceptingSettings):
            return []
        return [
            (partner.xcover_partner_code, service)
            for partner in self.settings.partners()
            for service in (("xcover", "xclaim") if partner.claims_enabled else ("xcover",))
        ]
