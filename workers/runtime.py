"""What a worker process holds: settings, database, clients. Built lazily, after the fork."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from shared import broker, rate_limit
from shared.breakers import Breakers
from shared.callback_endpoint import CallbackClient
from shared.clock import utc_now
from shared.config import WorkerSettings
from shared.db import Database
from shared.models import Cancellation, Claim
from workers import partners
from workers.partners import Partner, PartnerUnknown


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One process's connections."""

    settings: WorkerSettings
    database: Database
    callbacks: CallbackClient
    breakers: Breakers
    connect_partner: Callable[[WorkerSettings], Partner]
    _partners: dict[str, Partner] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def partner(self, code: str) -> Partner:
        """Return a partner's connections, made when it is first asked for; raise PartnerUnknown."""
        found = self._partners.get(code)
        return found or self._connected(code)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
        self.close_clients()

    def close_clients(self) -> None:
        """Close every connection but the database's."""
        self.callbacks.close()
        for partner in self._partners.values():
            partner.close()

    def _connected(self, code: str) -> Partner:
        settings = self.settings.of_partner(code)
        if settings is None:
            raise PartnerUnknown(f"partner {code} is not configured here")
        with self._lock:
            if code not in self._partners:
                self._partners[code] = self.connect_partner(settings)
            return self._partners[code]


_current: Runtime | None = None
_owner: int | None = None
_build: Callable[[], Runtime] | None = None


def runtime() -> Runtime:
    """Return this process's runtime, built on first use: connections must not cross a fork."""
    global _current, _owner
    if _current is None or _owner != os.getpid():
        if _build is None:
            raise RuntimeError("no runtime was configured; workers.app does it when a worker starts")
        _current, _owner = _build(), os.getpid()
    return _current


def configure(build: Callable[[], Runtime]) -> None:
    """Say how a process builds its runtime."""
    global _current, _build
    _current, _build = None, build


def forget() -> None:
    """Undo `configure`, between tests."""
    global _current, _build
    _current, _build = None, None


def partner_of(row: Cancellation | Claim) -> Partner:
    """Return the connections of the partner that a row belongs to; raise PartnerUnknown."""
    return runtime().partner(row.partner)


def connect(
    settings: WorkerSettings, database: Database, *, clock: Callable[[], datetime] = utc_now, line: str | None = None
) -> Runtime:
    """Build what a process holds; `clock` dates what its clients sign, `line` is for `partners.connect`."""
    redis = broker.redis_client(settings, timeout=rate_limit.TIMEOUT)
    breakers = Breakers(database)

    def connect_partner(of_partner: WorkerSettings) -> Partner:
        stands_in = line and f"{line}:{of_partner.xcover_partner_code}"
        return partners.connect(of_partner, redis=redis, breakers=breakers, clock=clock, line=stands_in)

    callbacks = CallbackClient(allows_loopback=settings.callbacks_allow_loopback, clock=clock)
    return Runtime(
        settings=settings, database=database, callbacks=callbacks, breakers=breakers, connect_partner=connect_partner
    )
