"""A browser for the tests beside this file, and the stage that they play on."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.stage import Stage, staged
from tests.simulator import SimulatorServer

EXECUTABLE = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""As root there is no sandbox; the rest keeps the browser from calling anyone but the stage."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, installed when it is missing and that can be done."""
    if not Path(EXECUTABLE).exists():
        _install()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stage(
    sqlite_template: Path, simulator_server: SimulatorServer, broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """The console with a night's cancellations."""
    with staged(sqlite_template, tmp_path_factory.mktemp("console"), simulator_server, broker) as made:
        yield made


@pytest.fixture
def context(chromium: Browser, stage: Stage) -> Iterator[BrowserContext]:
    """A browser that nobody has used, 1280 wide."""
    made = chromium.new_context(base_url=stage.url, viewport={"width": 1280, "height": 900})
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page."""
    return context.new_page()


def _install() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        pytest.fail(f"The browser tests need {EXECUTABLE}: install it (on Debian: apt-get install chromium).")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run([apt, "--quiet", *command], env=quiet, check=True, capture_output=True)
