"""Each page for everyone: axe-core finds nothing serious, at any width, in light and dark; nothing overflows."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.stage import Stage
from tests.browser.test_console import sign_in

AXE = Axe()
OPTIONS = {"resultTypes": ["violations"], "preload": False}
"""What passes is not listed, and no stylesheet is fetched again: it takes half as long."""
SERIOUS = {"serious", "critical"}
LOOKS: dict[str, dict[str, Any]] = {
    "wide and light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "narrow and dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}


@pytest.fixture(params=LOOKS.values(), ids=LOOKS)
def looked_at(request: pytest.FixtureRequest, chromium: Browser, stage: Stage) -> Iterator[Page]:
    context = chromium.new_context(base_url=stage.url, **request.param)
    yield context.new_page()
    context.close()


def addresses(stage: Stage) -> list[str]:
    return [
        "", "?still=1", "cancellations", f"cancellations/{stage.stuck[0]}", f"cancellations/{stage.with_claim}", "bulk",
        "bulk?action=abort", "webhooks", f"webhooks/{stage.webhook}", "webhooks/keys", "batches", "pauses", "audit",
        "doctor", "nowhere", "cancellations?status=odd",
    ]  # fmt: skip


def faults(page: Page) -> list[str]:
    """Return what axe-core finds, and what sticks out of the page."""
    found = [
        f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in AXE.run(page, options=OPTIONS).response["violations"]
        if one["impact"] in SERIOUS
    ]
    excess = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return found + ([f"{excess} px too wide"] if excess > 0 else [])


def test_no_page_has_a_serious_fault(looked_at: Page, stage: Stage) -> None:
    complaints: list[str] = []
    looked_at.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
    looked_at.goto("/console/sign-in")
    found = {"sign-in": faults(looked_at)}
    sign_in(looked_at)
    for address in addresses(stage):
        looked_at.goto(f"/console/{address}")
        looked_at.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found[address] = faults(looked_at)
    looked_at.goto("/console/batches")
    looked_at.locator("main table a").first.click()
    looked_at.wait_for_url("**/batches/*")
    found["batch"] = faults(looked_at)
    assert {address: wrong for address, wrong in found.items() if wrong} == {}
    assert complaints == []


def test_dark_is_dark_and_light_is_light(chromium: Browser, stage: Stage) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        context = chromium.new_context(base_url=stage.url, color_scheme="dark" if scheme == "dark" else "light")
        page = context.new_page()
        page.goto("/console/sign-in")
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert backgrounds == ["rgb(246, 247, 249)", "rgb(17, 21, 28)"]
