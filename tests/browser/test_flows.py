"""An agent verifies callers: the desk and the phones, each state at the widths of a desk and of a phone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.async_api import expect

from idura_ciba import CibaClient, ClientSecretPost, PrivateKeyJwt, ProviderError, SwedishBankID
from idura_ciba.cli.keys import generate_key
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.browser.conftest import SIZES, OpenWindow
from tests.browser.scene import FREJA, NORWEGIAN, OTHER_SWEDE, SWEDE, Desk, at, reach, served, staged

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

both_widths = pytest.mark.parametrize("width", SIZES)


@both_widths
async def test_a_caller_is_verified_step_by_step(width: int, open_window: OpenWindow) -> None:
    """The desk follows the phone, from the notification to the fingerprint; then the call is put on the day's list."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        await desk.window.look("empty")
        await phones.window.look("empty")
        call = await desk.ask(SWEDE)
        await phones.see("wants to know who you are")
        await desk.see(call, "Waiting")
        await desk.window.look("asked")
        await phones.window.look("rings")
        await phones.press("Open the app")
        await phones.see("They say that you have called them")
        await phones.see("Your call")
        await phones.window.look("who-called-whom")
        await desk.see(call, "The app is open")
        await desk.window.look("opened")
        await phones.press("Yes, I am")
        await phones.window.look("identifying")
        await desk.see(call, "Waiting for the security code, fingerprint")
        await desk.window.look("identifying")
        await phones.press("Approve with fingerprint")
        await phones.see("You are identified")
        await phones.window.look("approved")
        await desk.see(call, "Confirmed")
        name = await phones.page.locator(".caption strong").inner_text()
        await desk.see(call, name)
        await desk.window.look("confirmed")
        await desk.page.get_by_role("button", name="Done").click()
        await expect(call).to_have_count(0)
        await expect(desk.page.locator("#today")).to_contain_text(name)
        await phones.press("Put it away")
        await phones.page.get_by_text("No phone rings").wait_for()


@both_widths
async def test_the_words_that_the_agent_reads_are_among_those_on_the_phone(width: int, open_window: OpenWindow) -> None:
    """Whoever hears them finds them; without the number in the answer, nothing says that it was the person."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(NORWEGIAN)
        words = await call.locator(".words").inner_text()
        await desk.window.look("words")
        await phones.press("Open the app")
        await expect(phones.page.locator(".pair")).to_have_count(3)
        await phones.window.look("words")
        await phones.press(words)
        await phones.press("Approve with fingerprint")
        await desk.see(call, "not confirmed who")
        await desk.window.look("unconfirmed")


@pytest.mark.parametrize("answer", ["wrong", "none", "stranger"])
async def test_other_words_are_a_no(answer: str, open_window: OpenWindow) -> None:
    """So is whoever is not on the phone with the agent; the desk is not told which."""
    async with staged() as scene, open_window(1280, "desk") as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(NORWEGIAN)
        words = await call.locator(".words").inner_text()
        await phones.press("Open the app")
        pairs = await phones.page.locator(".pair").all_inner_texts()
        decoy = next(pair for pair in pairs if pair != words)
        buttons = {"wrong": decoy, "none": "None of these", "stranger": "I am not on the phone with them"}
        await phones.press(buttons[answer])
        await phones.see("Not identified")
        await desk.see(call, "Not confirmed")


@both_widths
async def test_several_people_at_once(width: int, open_window: OpenWindow) -> None:
    """Each phone is its own: one declines, one is not on the phone, one approves; the day's list has all, in order."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        for number in (SWEDE, OTHER_SWEDE, FREJA):
            await desk.ask(number)
        await expect(phones.page.locator(".handset")).to_have_count(3)
        await desk.window.look("three-calls")
        await phones.window.look("three-phones")
        # The latest comes first.
        await phones.press("Open the app", phone=0)
        await phones.press("Continue", phone=0)
        await phones.press("Approve with fingerprint", phone=0)
        await phones.press("Open the app", phone=1)
        await phones.press("No, I am not on the phone with them", phone=1)
        await phones.press("Open the app", phone=2)
        await phones.press("Yes, I am", phone=2)
        await phones.press("Cancel", phone=2)
        await phones.window.look("three-ends")
        for text in ("Not confirmed", "Not confirmed"):
            await expect(desk.page.locator("article.call", has_text=text)).to_have_count(2)
        await desk.window.look("denied")
        async with desk.page.expect_download() as download:
            await desk.page.get_by_role("link", name="Download as CSV").click()
        path = await (await download.value).path()
        text = path.read_text("utf-8-sig")
        assert len(list(csv.reader(io.StringIO(text)))) == 1 + 3
        assert not any(number in text for number in (SWEDE, OTHER_SWEDE, FREJA))


@both_widths
async def test_a_prompt_that_nobody_answers_ends(width: int, open_window: OpenWindow) -> None:
    """The clock runs on both pages, and both say when it has run out."""
    idura = SimulatedIdura(interval=1, expires_in=4, people=lambda _dice: Script.by_hand())
    async with staged(idura) as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(NORWEGIAN)
        await expect(call.locator("time")).to_have_text("0:01")
        await desk.see(call, "Not confirmed")
        await desk.window.look("expired")
        await phones.see("The request has ended")
        await phones.window.look("expired")


@both_widths
async def test_an_agent_stops_waiting(width: int, open_window: OpenWindow) -> None:
    """And is told that the phone goes on: nothing can take the prompt back."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(SWEDE)
        await call.locator("summary").click()
        await desk.window.look("stop-asked")
        await call.get_by_role("button", name="Stop waiting").click()
        await desk.see(call, "Stopped")
        await desk.window.look("stopped")
        await phones.see("wants to know who you are")


async def test_a_second_order_from_elsewhere_cancels_both(open_window: OpenWindow) -> None:
    """As at BankID: the phone says so, and the desk that nobody is confirmed."""
    async with staged() as scene, open_window(1280, "desk") as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(SWEDE)
        await phones.see("wants to know who you are")
        scene.idura.register_client("urn:another:client", secret="known to both of them")
        async with CibaClient(
            scene.idura.issuer, ClientSecretPost("urn:another:client", "known to both of them")
        ) as other:
            with pytest.raises(ProviderError):
                await other.start(SwedishBankID(SWEDE, call_initiator="RP", message="Hello"))
        await phones.see("The request was cancelled")
        await phones.window.look("cancelled")
        await desk.see(call, "Not confirmed")
        await desk.window.look("cancelled")


@both_widths
async def test_a_number_that_cannot_be_is_refused(width: int, open_window: OpenWindow) -> None:
    """Before anybody is asked; it is gone from the page, and the keyboard stands where it must be typed again."""
    # The browser writes into its console that the status of the answer is 422.
    async with staged() as scene, open_window(width, "desk", complaining=True) as window:
        await window.page.goto(scene.address)
        await window.page.get_by_label("They called us").check()
        await window.page.locator("#number").fill("1234")
        await window.page.get_by_role("button", name="Ask this person").click()
        await expect(window.page.get_by_role("alert").first).to_contain_text("Nobody was asked")
        await expect(window.page.locator("#number")).to_be_focused()
        await expect(window.page.locator("#number")).to_have_value("")
        await window.look("refused")
        assert not scene.idura.ledger.orders


@both_widths
async def test_the_keyboard_alone_verifies_a_caller(width: int, open_window: OpenWindow) -> None:
    """At the desk and on the phone, with every answer that there is."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        at_desk, at_phone = desk.page.keyboard, phones.page.keyboard
        await reach(desk.page, desk.page.get_by_role("link", name="Norwegian BankID"))
        await at_desk.press("Enter")
        await expect(desk.page.locator("#number")).to_be_focused()
        await at_desk.type(NORWEGIAN)
        await at_desk.press("Enter")
        call = desk.page.locator("article.call").first
        words = await call.locator(".words").inner_text()
        open_app = phones.page.get_by_role("button", name="Open the app")
        await open_app.wait_for()
        await reach(phones.page, open_app)
        await at_phone.press("Enter")
        # What has the focus goes away, and the focus goes on to what has come.
        pair = phones.page.get_by_role("button", name=words)
        await pair.wait_for()
        await reach(phones.page, pair)
        await at_phone.press("Space")
        finger = phones.page.get_by_role("button", name="Approve with fingerprint")
        await finger.wait_for()
        await reach(phones.page, finger)
        await phones.window.look("keyboard")
        await at_phone.press("Enter")
        done = desk.page.get_by_role("button", name="Done")
        await done.wait_for()
        await reach(desk.page, done)
        await desk.window.look("keyboard")
        await at_desk.press("Enter")
        await expect(call).to_have_count(0)
        await _stop_with_keys(desk)


async def _stop_with_keys(desk: Desk) -> None:
    page, keys = desk.page, desk.page.keyboard
    await reach(page, page.get_by_role("link", name="Swedish BankID"))
    await keys.press("Enter")
    await reach(page, page.get_by_label("They called us"))
    await keys.press("Space")
    await reach(page, page.locator("#number"))
    await keys.type(SWEDE)
    await keys.press("Enter")
    await reach(page, page.locator("article.call summary"))
    await keys.press("Enter")
    await reach(page, page.get_by_role("button", name="Stop waiting"))
    await keys.press("Enter")
    await expect(page.locator("article.call").first).to_contain_text("Stopped")


@pytest.mark.parametrize(("locale", "words"), [("sv-SE", "Verifiera"), ("nb-NO", "Bekreft"), ("da-DK", "Bekræft")])
@both_widths
async def test_an_agent_reads_their_own_language(width: int, locale: str, words: str, open_window: OpenWindow) -> None:
    """The one that the browser prefers; long words fit, too."""
    async with staged() as scene, open_window(width, f"desk-{locale[:2]}", locale=locale) as window:
        await window.page.goto(f"{scene.address}&eid=no" if "?" in scene.address else scene.address)
        assert words in await window.page.title()
        await window.page.goto(at(window.page, "desk/?eid=no"))
        await window.page.locator("#number").fill(NORWEGIAN)
        await window.page.locator("#ask button").click()
        await window.page.locator(".words").wait_for()
        await window.look("words")


async def test_a_reload_and_a_second_tab_show_the_same(open_window: OpenWindow) -> None:
    """All state is the command's: nothing is asked twice, and what one tab does is seen in the other."""
    async with staged() as scene, open_window(1280, "desk") as window:
        desk, _ = await scene.enter(window)
        await desk.ask(SWEDE)
        await desk.page.reload()
        await expect(desk.page.locator("article.call")).to_have_count(1)
        other = Desk(await window.beside("desk"))
        await other.page.goto(at(desk.page, "desk/"))
        await other.page.locator("article.call summary").click()
        await other.page.get_by_role("button", name="Stop waiting").click()
        await expect(desk.page.locator("article.call .badge")).to_have_text("Stopped")
        await desk.page.go_back()
        await desk.page.go_forward()
        assert len(scene.idura.ledger.orders) == 1


async def test_without_scripts_forms_and_links_work(open_window: OpenWindow) -> None:
    """A page that is loaded again shows how it stands."""
    async with staged() as scene, open_window(1280, "desk", java_script_enabled=False) as window:
        desk, phones = await scene.enter(window)
        call = await desk.ask(NORWEGIAN)
        words = await call.locator(".words").inner_text()
        for button in ("Open the app", words, "Approve with fingerprint"):
            await phones.page.goto(at(phones.page, "phone/"))
            await phones.press(button)
        await expect(phones.page.get_by_text("You are identified")).to_be_visible()
        while await call.get_by_text("Waiting").count():
            await desk.page.get_by_role("link", name="Load it again").click()
        await desk.see(call, "not confirmed who")


async def test_nothing_moves_for_those_whom_it_makes_sick(open_window: OpenWindow) -> None:
    """The system's setting is obeyed by everything on the pages, what comes later included."""
    async with staged() as scene, open_window(1280, "desk", reduced_motion="reduce") as window:
        desk, phones = await scene.enter(window)
        await desk.ask(SWEDE)
        await phones.see("wants to know who you are")
        for page in (desk.page, phones.page):
            assert await page.evaluate("document.getAnimations().length") == 0


@both_widths
async def test_text_can_be_twice_as_large(width: int, open_window: OpenWindow) -> None:
    """At a desk; on a phone, the smallest that is sold. Nothing is cut off."""
    async with staged() as scene, open_window(width, "desk") as window:
        desk, phones = await scene.enter(window)
        await desk.ask(NORWEGIAN)
        await phones.press("Open the app")
        await phones.page.locator(".pair").first.wait_for()
        for each, name in ((desk.window, "large"), (phones.window, "large")):
            if width == 390:
                await each.page.set_viewport_size({"width": 320, "height": 568})
            else:
                # What zooming a window of 1280 pixels to 200 % does.
                await each.page.set_viewport_size({"width": 640, "height": 400})
            await each.look(name)


async def test_a_restart_of_the_command_loses_nobody(open_window: OpenWindow, tmp_path: Path) -> None:
    """The page says that it is not connected; at the new address the call is there, its words too, and goes on."""
    idura = SimulatedIdura(interval=1, people=lambda _dice: Script.by_hand())
    auth = PrivateKeyJwt("urn:desk", generate_key("ES256"))
    idura.register_client("urn:desk", jwks=auth.public_jwks(), name="Acme Insurance")
    store = tmp_path / "desk.db"
    async with SimulatorServer(idura) as server, open_window(1280, "desk", complaining=True, straying=True) as window:
        async with CibaClient(server.issuer, auth) as client, served(idura, client, store) as scene:
            desk, _ = await scene.enter(window)
            call = await desk.ask(NORWEGIAN)
            words = await call.locator(".words").inner_text()
        await expect(desk.page.locator("#notice")).to_be_visible()
        async with CibaClient(server.issuer, auth) as client, served(idura, client, store) as scene:
            desk, phones = await scene.enter(window)
            await expect(call.locator(".words")).to_have_text(words)
            for button in ("Open the app", words, "Approve with fingerprint"):
                await phones.press(button)
            await desk.see(call, "not confirmed who")
        assert len(idura.ledger.orders) == 1


async def test_the_page_says_when_the_command_has_stopped(open_window: OpenWindow) -> None:
    """Instead of looking as if nothing happened on the phone."""
    async with open_window(1280, "desk", complaining=True) as window:
        async with staged() as scene:
            desk, _ = await scene.enter(window)
            await desk.ask(SWEDE)
        await expect(desk.page.get_by_role("alert").first).to_be_visible()
        await desk.window.look("stopped-command")
