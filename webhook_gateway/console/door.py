"""The console's door: signing in and out, who may open what, and what every page's answer says to browsers."""

import hmac
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import Forbidden, HTTPException
from werkzeug.wrappers import Response as AnyResponse

from shared.db import AWAY
from shared.problems import Problem
from webhook_gateway import auth
from webhook_gateway.console import wiring
from webhook_gateway.console.sessions import COOKIE, LONGEST

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
LONGEST_FORM = 64 * 1024
"""Bytes. An amended claim has the most to say."""
_OPEN = frozenset({"console.static", "console.sign_in", "console.take_sign_in", "console.sign_out"})
_STATIC_SECONDS = 86_400

blueprint = Blueprint(
    "console", __name__, url_prefix="/console", static_folder="static", template_folder="templates"
)  # fmt: skip

log = structlog.get_logger()


@blueprint.before_request
def identify() -> AnyResponse | None:
    """Find out who asks before any page runs: a new one cannot be forgotten."""
    request.max_content_length = LONGEST_FORM
    if request.endpoint == "console.static":
        return None
    sessions = wiring.sessions()
    g.session = sessions.read(request.cookies.get(COOKIE))
    who = sessions.identity(g.session)
    g.who = who
    if request.method not in auth.READING:
        _check_form()
    if request.endpoint in _OPEN:
        return None
    if who is None:
        return _asked_to_sign_in()
    auth.act_as(who)
    return None


@blueprint.get("/sign-in")
def sign_in() -> AnyResponse:
    """Ask for a name and its token."""
    if g.who is not None:
        return redirect(url_for("console.overview"))
    return _sign_in_form()


@blueprint.post("/sign-in")
def take_sign_in() -> AnyResponse:
    """Let an operator or a viewer in; whatever is wrong is answered alike."""
    throttle, address = wiring.throttle(), request.remote_addr or "unknown"
    if throttle.is_shut(address):
        log.warning("sign_in_throttled", address=address)
        return _sign_in_form("Too many attempts failed. Wait five minutes, then try again.", status=429)
    name, token = request.form.get("name", ""), request.form.get("token", "")
    who = auth.identity_of(token.strip())
    is_right = who is not None and hmac.compare_digest(who.name.encode(), name.strip().encode())
    if who is None or who.role == "caller" or not is_right:
        throttle.note_failure(address)
        log.warning("sign_in_refused", address=address)
        return _sign_in_form("That name and token do not belong to an operator or a viewer.", status=403)
    log.info("signed_in", name=who.name, role=who.role)
    g.session = wiring.sessions().begin(who.name)
    g.is_new_session = True
    return redirect(_inside(request.form.get("next", "")), code=303)


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    """Forget this browser."""
    response = redirect(url_for("console.sign_in"), code=303)
    g.session = None
    response.delete_cookie(COOKIE, path=_path())
    return response


@blueprint.get("/<path:_rest>")
def nothing_here(_rest: str) -> AnyResponse:
    """Answer with a page, not with JSON."""
    raise Problem("not-found", "There is no such page.")


@blueprint.after_request
def guarded(response: Response) -> Response:
    """Forbid the browser whatever no page needs, and keep the session alive."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["X-Frame-Options"] = "DENY"
    if request.endpoint == "console.static":
        response.headers["Cache-Control"] = f"public, max-age={_STATIC_SECONDS}"
    else:
        response.vary.add("Cookie")
        _keep_session(response)
    return response


def page(template: str, /, *, status: int = 200, **shown: Any) -> Response:
    """Render a page."""
    session = g.get("session")
    csrf = "" if session is None else session.csrf
    text = render_template(f"console/{template}", who=g.get("who"), csrf=csrf, **shown)
    return make_response(text, status)


@blueprint.errorhandler(Problem)
def refused(refusal: Problem) -> Response:
    """Show why not, in words."""
    return page("problem.html", status=refusal.status, problem=refusal.document)


def _unavailable(error: Exception) -> Response:
    log.warning("database_unavailable", error=type(error).__name__, route=str(request.url_rule or "none"))
    detail = "The database cannot be used right now: nothing can be shown and nothing was changed. Open the page again."
    return page("problem.html", status=503, problem={"title": "The database does not answer", "detail": detail})


@blueprint.errorhandler(HTTPException)
def failed(error: HTTPException) -> Response:
    """Show what the server itself refuses: a form that is too large, say."""
    return page("problem.html", status=error.code or 500, problem={"title": error.name, "detail": error.description})


@blueprint.errorhandler(Exception)
def unexpected(error: Exception) -> Response:
    """Show that something unexpected happened, and log it."""
    log.error("request_failed", method=request.method, route=str(request.url_rule or "none"), exc_info=error)
    detail = "Something unexpected happened and was logged. Look at what is so now before you press again."
    return page("problem.html", status=500, problem={"title": "An unexpected error", "detail": detail})


for _away in AWAY:
    blueprint.register_error_handler(_away, _unavailable)


def _check_form() -> None:
    """Refuse what no form of ours has sent in this session."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    known = "" if g.session is None else g.session.csrf
    sent = request.form.get("csrf", "")
    if site != "same-origin" or not known or not hmac.compare_digest(known.encode(), sent.encode()):
        raise Forbidden(
            "Nothing was changed: the form is not of this session, or the session has ended. Open the page again, then "
            "press again."
        )


def _asked_to_sign_in() -> AnyResponse:
    back = request.full_path.rstrip("?") if request.method == "GET" else ""
    where = url_for("console.sign_in", next=back or None)
    if "HX-Request" in request.headers:  # a part of a page cannot become the form: the browser goes there
        return Response(status=401, headers={"HX-Redirect": url_for("console.sign_in")})
    return redirect(where)


def _sign_in_form(refusal: str | None = None, *, status: int = 200) -> Response:
    if g.session is None:
        g.session = wiring.sessions().begin()
        g.is_new_session = True
    sent_to = request.values.get("next", "")
    return page("sign_in.html", status=status, refusal=refusal, next=_inside(sent_to) if sent_to else "")


def _inside(address: str) -> str:
    """Return an address of the console's; its first page for any other."""
    parts = urlsplit(address)
    is_ours = not parts.scheme and not parts.netloc and address.startswith(f"{_path()}/") and "\\" not in address
    return address if is_ours and address.isprintable() else url_for("console.overview")


def _keep_session(response: Response) -> None:
    session = g.get("session")
    if session is None:
        return
    is_by_hand = "HX-Request" not in request.headers
    if g.get("is_new_session") or (is_by_hand and session.is_worth_renewing()):
        # The header is believed, since all that it can do is to keep the cookie from plain connections.
        is_secure = request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        response.set_cookie(
            COOKIE, wiring.sessions().written(session.seen_now()), max_age=int(LONGEST.total_seconds()), path=_path(),
            secure=is_secure, httponly=True, samesite="Strict",
        )  # fmt: skip


def _path() -> str:
    return str(blueprint.url_prefix)
