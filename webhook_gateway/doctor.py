"""/v1/doctor: what is wrong with the service, why it matters, and what to do. Answers in any case, and in time."""

import os
from typing import Annotated

from celery import Celery
from flask import Blueprint, Flask, Response, current_app, jsonify
from pydantic import Field

from shared.clock import utc_now
from shared.doctor import examination
from shared.doctor.asking import ask_insurers
from shared.doctor.findings import Finding, State, worst
from shared.doctor.patient import Patient
from webhook_gateway import auth, current, doctor_keys
from webhook_gateway.resources import Shown, Time, time

blueprint = Blueprint("doctor", __name__, url_prefix="/v1/doctor")
blueprint.before_request(auth.require_sight_of_everything)

_EXTENSION = "cfar.doctor"
_STATES = {"enum": [state.value for state in State]}


class DoctorFinding(Shown):
    """What one check found."""

    check: str
    state: Annotated[str, Field(json_schema_extra={**_STATES})]
    said: Annotated[str, Field(description="What is so")]
    why: Annotated[str, Field(description="Why it matters; empty where all is well")]
    todo: Annotated[str, Field(description="What to do; empty where all is well")]
    runbook: Annotated[
        str, Field(description="The page and section that tell it step by step; empty where all is well")
    ]


class Examination(Shown):
    """Every check with what it found."""

    state: Annotated[str, Field(description="The worst of all", json_schema_extra={**_STATES})]
    at: Time
    findings: list[DoctorFinding]


def register(app: Flask, celery: Celery) -> None:
    """Add both routes; `celery` is asked about itself, and carries the question to a worker."""
    app.extensions[_EXTENSION] = celery
    app.register_blueprint(blueprint)


def shown(findings: list[Finding]) -> Examination:
    """Return findings as an answer shows them."""
    items = [
        DoctorFinding(
            check=one.check, state=one.state, said=one.said, why=one.why, todo=one.todo, runbook=one.runbook
        )
        for one in findings
    ]  # fmt: skip
    return Examination(state=worst(findings), at=time(utc_now()), findings=items)


def look() -> list[Finding]:
    """Look at the service as the app sees it that answers this request."""
    return examined(_patient())


def have_insurers_asked() -> None:
    """Have a worker ask every insurer, and wait for their answers."""
    ask_insurers(_patient())


def examined(patient: Patient) -> list[Finding]:
    """Look at a service with every check that there is."""
    return examination.examine(
        patient, more=[("webhook-keys", lambda session: doctor_keys.webhook_keys_in_use(session, patient))]
    )


@blueprint.get("")
def see() -> Response:
    """Tell what is found, with the insurer's last answers to a worker."""
    return _answer(look())


@blueprint.post("")
def ask() -> Response:
    """Have a worker ask the insurer first."""
    have_insurers_asked()
    return _answer(look())


def _patient() -> Patient:
    return Patient(
        settings=current.settings(),
        database=current.database(),
        celery=current_app.extensions[_EXTENSION],
        environment=os.environ,
    )


def _answer(findings: list[Finding]) -> Response:
    return jsonify(shown(findings).model_dump(mode="json"))
