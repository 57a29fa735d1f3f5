"""The console in a browser, as a person on call uses it at night."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.stage import BOOKINGS, Stage
from tests.gateway import OPERATOR


def sign_in(page: Page, name: str = "anna", token: str = OPERATOR, *, to: str = "/console/") -> None:
    page.goto(to)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Sign out")).to_be_visible()


def test_signing_in_finding_a_booking_and_reading_why_it_waits(page: Page, stage: Stage) -> None:
    sign_in(page)
    page.get_by_role("link", name="Cancellations").click()
    page.get_by_label("Booking, id, idempotency key").fill(BOOKINGS[0].lower())
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name=BOOKINGS[0]).click()
    why = page.get_by_role("region", name="Why it stands where it stands")
    expect(why).to_contain_text("The insurer refused our credentials")
    expect(page.get_by_role("img", name=re.compile("look up: it is stuck here"))).to_be_visible()
    expect(why.get_by_role("link", name="2 others stand there with the same problem")).to_be_visible()
    expect(page.locator("summary", has_text="Take it up again")).to_be_visible()


def test_a_bulk_retry_is_looked_at_pressed_and_written_down(page: Page, stage: Stage) -> None:
    sign_in(page, to="/console/bulk")
    page.get_by_label("Problem").select_option("credentials-refused")
    page.get_by_role("button", name="Show what would happen").click()
    shown = page.get_by_role("status")
    expect(shown).to_contain_text("3 cancellations would be changed")
    assert {stage.row(row_id).status for row_id in stage.stuck} == {"needs_review"}

    shown.get_by_label("Note").fill("credentials are mended")
    shown.get_by_role("button", name="Take up again 3").click()
    expect(page.get_by_role("status")).to_contain_text("3 cancellations were changed")
    assert {stage.row(row_id).status for row_id in stage.stuck} == {"in_progress"}

    page.get_by_role("navigation").get_by_role("link", name="Audit log").click()
    newest = page.get_by_role("row").nth(1)
    expect(newest).to_contain_text("bulk retry")
    expect(newest).to_contain_text("operator:anna")
    expect(newest).to_contain_text("credentials are mended")


def test_pausing_and_resuming(page: Page, stage: Stage) -> None:
    sign_in(page, to="/console/pauses")
    page.get_by_label("Step").select_option(label="confirm")
    page.get_by_label("Note").fill("the insurer asked us to")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Paused.")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("every partner, confirm")).to_be_visible()

    page.get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Resume every partner, confirm").click()
    expect(page.get_by_role("status")).to_contain_text("Resumed.")
    expect(page.get_by_text("the insurer asked us to")).to_have_count(0)
    assert stage.actions()[:2] == ["resume", "pause"]


def test_a_webhook_is_replayed_after_a_dry_run(page: Page, stage: Stage) -> None:
    sign_in(page, to=f"/console/webhooks/{stage.webhook}")
    expect(page.get_by_role("region", name="Body")).to_contain_text("[redacted]")
    page.get_by_role("button", name="What would handling it again change?").click()
    expect(page.get_by_role("status")).to_contain_text("It would be handled again")
    page.get_by_role("button", name="Handle it again").click()
    expect(page.get_by_role("status")).to_contain_text("It is handled again.")
    expect(page.get_by_text("last by anna")).to_be_visible()
    assert stage.actions()[0] == "replay_webhooks"


def test_a_viewer_reads_and_finds_nothing_to_press(page: Page, stage: Stage) -> None:
    sign_in(page, "vera", "viewer-token", to=f"/console/cancellations/{stage.with_claim}")
    expect(page.get_by_text("You are signed in as a viewer")).to_be_visible()
    expect(page.locator("main form")).to_have_count(0)
    for path in ("pauses", "bulk?action=retry", f"webhooks/{stage.webhook}", "batches"):
        page.goto(f"/console/{path}")
        expect(page.locator("main form[method=post]")).to_have_count(0)


def test_the_keyboard_alone_signs_in_and_finds(page: Page) -> None:
    page.goto("/console/cancellations")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("anna")
    page.keyboard.press("Tab")
    page.keyboard.type(OPERATOR)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Cancellations")).to_be_visible()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Booking, id, idempotency key")).to_be_focused()
    page.keyboard.type(BOOKINGS[1])
    page.keyboard.press("Enter")
    found = page.get_by_role("link", name=BOOKINGS[1])
    expect(found).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if found.evaluate("link => link === document.activeElement"):
            break
    assert found.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(BOOKINGS[1])


def test_everything_is_read_and_pressed_without_javascript(context: BrowserContext, stage: Stage) -> None:
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(base_url=stage.url, java_script_enabled=False)
    page = plain.new_page()
    sign_in(page, to="/console/pauses")
    page.get_by_label("Partner", exact=True).select_option(index=1)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Paused.")
    page.get_by_role("button", name=re.compile("Resume (?!every partner)")).click()
    expect(page.get_by_role("status")).to_contain_text("Resumed.")
    page.goto("/console/")
    expect(page.get_by_role("img", name=re.compile("Accepted, ended"))).to_be_visible()
    plain.close()


def test_the_overview_refreshes_itself_without_losing_its_place(page: Page, stage: Stage) -> None:
    sign_in(page)
    with page.expect_response(lambda answer: "hx-request" in answer.request.headers) as refreshed:
        page.evaluate("htmx.trigger('[hx-get]', 'every'); htmx.ajax('GET', '/console/', '[hx-get]')")
    assert refreshed.value.status == 200
    expect(page.get_by_role("heading", name="Overview")).to_have_count(1)
    expect(page.get_by_role("heading", name="Insurers")).to_have_count(1)
