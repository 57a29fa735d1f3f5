"""The doctor without a gateway: everything it needs is read from this process's own environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from shared import broker, partner_settings
from shared.config import AcceptingSettings, Settings, WebSettings, WorkerSettings
from shared.db import Database
from shared.doctor.asking import ask_insurers
from shared.doctor.findings import Finding, warning, wrong
from shared.doctor.patient import Patient
from shared.setting_problems import problems_of
from webhook_gateway import doctor

PROCESSES: dict[str, type[AcceptingSettings]] = {"web": WebSettings, "worker": WorkerSettings}


@dataclass(frozen=True, kw_only=True)
class _Read:
    settings: AcceptingSettings | None
    problems: list[str]


def findings(environment: Mapping[str, str], *, is_asking: bool) -> list[Finding]:
    """Look at the service that an environment describes, from here."""
    read = {name: _read(kind, environment) for name, kind in PROCESSES.items()}
    found = _of_settings(read)
    settings = next((one.settings for one in read.values() if one.settings is not None and not one.problems), None)
    base = settings or _base()
    if base is None:
        return found
    database = Database(base.database_url.get_secret_value(), publish=lambda _messages: None, pool_size=2)
    patient = Patient(
        settings=base, database=database, celery=broker.create_celery(base), environment=environment
    )  # fmt: skip
    try:
        if is_asking:
            ask_insurers(patient)
        return [*found, *doctor.examined(patient)]
    finally:
        database.close()


def _read(kind: type[AcceptingSettings], environment: Mapping[str, str]) -> _Read:
    problems = kind.broken_rules(environment)
    try:
        settings = kind()
    except ValidationError as error:
        return _Read(settings=None, problems=[*problems_of(error), *problems])
    if settings.partners_file is not None:
        problems += partner_settings.add_all(settings, settings.partners_file, environment)
    return _Read(settings=settings, problems=problems)


def _of_settings(read: Mapping[str, _Read]) -> list[Finding]:
    """One process's settings may be complete where another's are not meant to be: then those are worth a look only."""
    is_one_complete = any(not one.problems for one in read.values())
    say = warning if is_one_complete else wrong
    return [
        say("settings", f"{name} would not start here: {'; '.join(one.problems)}")
        for name, one in read.items()
        if one.problems
    ]


def _base() -> Settings | None:
    try:
        return Settings()
    except ValidationError:
        return None
