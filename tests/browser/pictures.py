"""`python -m tests.browser.pictures`: takes the pictures of docs/console.md anew, from the same stage as the tests."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import EXECUTABLE, QUIET
from tests.browser.stage import Stage, staged
from tests.browser.test_console import sign_in
from tests.conftest import ROOT, app, migrate
from tests.servers import redis_server
from tests.simulator import SimulatorServer

WIDTH, HEIGHT = 1180, 800
DOCS = ROOT / "docs"


def main() -> None:
    """Stage a night, look at it, and write what is seen."""
    with tempfile.TemporaryDirectory() as name, redis_server() as redis_url, SimulatorServer() as simulator:
        app.conf.broker_url = redis_url
        folder = Path(name)
        template = folder / "template.db"
        migrate(f"sqlite:///{template}")
        with staged(template, folder, simulator, redis_url) as stage, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(QUIET))
            page = browser.new_page(base_url=stage.url, viewport={"width": WIDTH, "height": HEIGHT})
            _take(page, stage)
            browser.close()


def _take(page: Page, stage: Stage) -> None:
    sign_in(page)
    for name, address in {
        "overview": "",
        "list": "cancellations",
        "cancellation": f"cancellations/{stage.stuck[0]}",
    }.items():
        page.goto(f"/console/{address}")
        page.screenshot(path=DOCS / f"console-{name}.png", full_page=name == "overview")


if __name__ == "__main__":
    main()
