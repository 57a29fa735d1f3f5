"""The console for tests: an app with an operator and a viewer, and a browser without JavaScript."""

import re
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Database
from tests.gateway import OPERATOR, Gateway

VIEWER = "viewer-token"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"
TOKENS = f"shop:shop-token,other:other-token,anna:{OPERATOR}:operator,vera:{VIEWER}:viewer"
PEOPLE = {"anna": OPERATOR, "vera": VIEWER}


def console(database: Database, **settings: Any) -> Gateway:
    """Return a gateway whose console anna may press and vera may see; Redis is away unless a test names one."""
    return Gateway(database, **{"api_tokens": TOKENS, "redis_url": NOBODY_LISTENS, **settings})


class Browser:
    """One person's browser: keeps cookies, and sends the forms that it is shown."""

    def __init__(self, gateway: Gateway) -> None:
        self.client: FlaskClient = gateway.app.test_client()
        self._csrf = ""

    def get(self, path: str = "/", **more: Any) -> TestResponse:
        """Open a page of the console."""
        answer = self.client.get(f"/console{path}", buffered=True, **more)
        found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        self._csrf = found[1] if found else self._csrf
        return answer

    def post(self, path: str, **form: str) -> TestResponse:
        """Send a form of the page that was opened last."""
        return self.client.post(f"/console{path}", data={"csrf": self._csrf, **form})

    def sign_in(self, name: str, token: str | None = None) -> TestResponse:
        """Fill in the form of signing in."""
        self.get("/sign-in")
        answer = self.post("/sign-in", name=name, token=PEOPLE[name] if token is None else token)
        if answer.status_code == 303:
            self.get()
        return answer


def signed_in(gateway: Gateway, name: str = "anna") -> Browser:
    """Return the browser of someone who has signed in."""
    browser = Browser(gateway)
    assert browser.sign_in(name).status_code == 303
    return browser
