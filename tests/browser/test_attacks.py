"""What others try, in a browser that has been let in; the table at the end says what came of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Dialog, Page, expect

from idura_ciba.desk.book import new_id
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from tests.browser.conftest import REBOUND, OpenWindow
from tests.browser.scene import NORWEGIAN, SWEDE, Desk, Scene, at, staged
from tests.browsers import OWN, connect, request
from tests.fakes import swedish_number
from tests.tables import Table

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

#: Asks for somebody, as far as whoever knows the desk's source can without the token.
FORM = {
    "id": "0" * 32, "eid": "se", "number": SWEDE, "o_call_initiator": "user", "message": "Hello", "csrf": "guess",
}  # fmt: skip
#: Listeners that never read, and the bytes of their receive buffers.
SILENT, WINDOW = 8, 4096
HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\"'&{{7*7}}"


@pytest.fixture(name="report", scope="module")
def _report(print_at_end: Callable[[Table], None], request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Takes what was tried and what came of it."""
    rows = [("attack", "what happened")]
    request.addfinalizer(lambda: print_at_end(rows))  # noqa: PT021 - what follows is returned
    return lambda attack, end: rows.append((attack, end))


@asynccontextmanager
async def elsewhere(html: str) -> AsyncIterator[int]:
    """Serve somebody else's page at another port, which this yields."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>Kittens</title>{html}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def heading(page: Page) -> str:
    """What a page says first."""
    return await page.locator("h1").first.inner_text()


async def test_a_name_that_was_rebound_is_refused(open_window: OpenWindow, report: Callable[[str, str], None]) -> None:
    """Even with the right secret in the address: a page of that name could read everything."""
    async with staged() as scene, open_window(1280, "attack", complaining=True) as window:
        rebound = scene.address.replace("127.0.0.1", REBOUND)
        answer = await window.page.goto(rebound)
        assert answer is not None
        assert answer.status == 403
        assert await heading(window.page) == "This page has another address"
        assert await window.page.context.cookies() == []
        await window.look("rebound")
        report("rebound Host, with the right secret", f"{answer.status}, no cookie: {await heading(window.page)}")


@pytest.mark.parametrize("key", ["", "?key=", "?key=guess", "?key=%00"])
async def test_without_the_secret_nothing_is_seen(
    key: str, open_window: OpenWindow, report: Callable[[str, str], None]
) -> None:
    """Neither a page nor what belongs to it."""
    async with staged() as scene, open_window(1280, "attack", complaining=True) as window:
        answer = await window.page.goto(f"{scene.origin}/desk/{key}")
        assert answer is not None
        assert answer.status == 403
        script = await window.page.goto(f"{scene.origin}/desk/static/live.js")
        assert script is not None
        assert script.status == 403
        report(f"address with {key or 'no key'}", f"{answer.status}: {await heading(window.page)}")


@pytest.mark.parametrize("host", ["127.0.0.1", REBOUND])
async def test_another_page_can_do_nothing(
    host: str, open_window: OpenWindow, report: Callable[[str, str], None]
) -> None:
    """At another port of this machine, to which a browser sends the cookie, or at another name."""
    async with staged() as scene, open_window(1280, "attack", complaining=True, straying=True) as window:
        await window.page.goto(scene.address)
        desk = at(window.page, "desk")  # as if its path had got out
        fields = "".join(f"<input name='{name}' value='{value}'>" for name, value in FORM.items())
        html = (
            f"<form method=post action='{desk}/start'>{fields}<button>Kittens</button></form>"
            f"<iframe src='{desk}/'></iframe>"
        )
        async with elsewhere(html) as port:
            page = await window.page.context.new_page()
            await page.goto(f"http://{host}:{port}/")
            framed = page.frames[1]
            assert await framed.locator("#number").count() == 0
            report(f"{host}: desk in a frame", f"not shown: {framed.url}")
            tries = {
                "read the desk": f"fetch('{desk}/', {{credentials: 'include'}})",
                "send the form in the background": (
                    f"fetch('{desk}/start', {{method: 'POST', mode: 'no-cors', credentials: 'include', "
                    f"body: new URLSearchParams({json.dumps(FORM)})}})"
                ),
                "listen to the events": (
                    f"new Promise((heard, failed) => {{ const source = new EventSource('{desk}/events/en', "
                    "{withCredentials: true}); source.onopen = heard; source.onerror = () => failed('refused'); })"
                ),
            }
            for what, script in tries.items():
                said = await page.evaluate(
                    f"{script}.then(answer => `status ${{answer.status}}, ${{answer.type}}`, error => `${{error}}`)"
                )
                # `opaque`: something was answered, and the page cannot see what. That nobody was asked is seen below.
                assert "status 200" not in said
                report(f"{host}: {what}", said)
            await page.get_by_role("button", name="Kittens").click()
            assert await heading(page) == "Another page has sent this"
            report(f"{host}: send the form", await heading(page))
        assert scene.idura.ledger.orders == []
        assert not scene.book.snapshot().open


async def test_a_form_without_the_token_is_refused(open_window: OpenWindow, report: Callable[[str, str], None]) -> None:
    """Even from the desk's own page, where a foreign script may have got: the token is not in the cookie."""
    async with staged() as scene, open_window(1280, "attack", complaining=True) as window:
        await window.page.goto(scene.address)
        for what, form in {"no token": {**FORM, "csrf": ""}, "a guessed token": FORM}.items():
            status = await window.page.evaluate(
                "form => fetch('start', {method: 'POST', body: new URLSearchParams(form)}).then(got => got.status)",
                form,
            )
            assert status == 403
            report(f"form with {what}", str(status))
        assert scene.idura.ledger.orders == []
        # What a script could take away from here.
        assert await window.page.evaluate("document.cookie") == ""
        assert "key=" not in await window.page.evaluate("location.href + document.referrer")
        report("cookie read by a script", "not visible")


async def test_nothing_that_others_write_becomes_markup(
    open_window: OpenWindow, report: Callable[[str, str], None]
) -> None:
    """A name, a message, a note and the provider's hint are text, on the desk and on the phone."""

    def hostile(arrival: Arrival) -> Fault | None:
        body = json.dumps({"error": "authorization_pending", "error_description": HOSTILE[:99]}).encode()
        return Fault.answer(400, {}, body) if arrival.endpoint == "token" and not answered else None

    def said(dialog: Dialog) -> None:
        dialogs.append(dialog.message)

    answered: list[str] = []
    dialogs: list[str] = []
    idura = SimulatedIdura(interval=1, people=lambda _dice: Script.approve(2, claims={"name": HOSTILE}))
    idura.faults.append(hostile)
    async with staged(idura) as scene, open_window(1280, "attack") as window:
        desk, phones = await scene.enter(window)
        desk.page.on("dialog", said)
        await desk.page.get_by_label("They called us").check()
        await desk.page.locator("#number").fill(SWEDE)
        await desk.page.get_by_label("Message shown in the app").fill(HOSTILE)
        await desk.page.get_by_label("Your note").fill(HOSTILE[:80])
        await desk.page.get_by_role("button", name="Ask this person").click()
        call = desk.page.locator("article.call").first
        await desk.see(call, "onerror")
        await expect(call.locator(".phase")).to_contain_text("<script>window.pwned")
        answered.append("now")
        await expect(call.locator(".who")).to_have_text(HOSTILE)
        await desk.window.look("markup")
        await expect(phones.page.locator(".phone").first).to_be_visible()
        for page in (desk.page, phones.page):
            assert await page.evaluate("typeof window.pwned") == "undefined"
            assert await page.locator("main script, main img[src=x]").count() == 0
            assert "49" not in await page.locator("main").inner_text()
        assert dialogs == []
        report("script in name, message, note and hint", "shown as text, in both pages")


async def test_two_tabs_with_one_form_ask_once(open_window: OpenWindow, report: Callable[[str, str], None]) -> None:
    """The form has the id of its login: sent from a copy of the tab, or twice, it is the same one."""
    async with staged() as scene, open_window(1280, "attack") as window:
        desk, _ = await scene.enter(window)
        form = desk.page.locator("#ask")
        await desk.page.get_by_label("They called us").check()
        await desk.page.locator("#number").fill(SWEDE)
        fields = await form.evaluate("form => [...new FormData(form)]")
        # A copy of the tab sends what the first one has sent.
        other = Desk(await window.beside("attack"))
        await other.page.goto(at(desk.page, "desk/"))
        script = """fields => Promise.all(
          [1, 2].map(() => fetch("start", {method: "POST", body: new URLSearchParams(fields)}))
        ).then(answers => answers.map(each => each.status))"""
        assert await other.page.evaluate(script, fields) == [200, 200]
        await desk.page.get_by_role("button", name="Ask this person").click()
        for page in (desk.page, other.page):
            await expect(page.locator("article.call")).to_have_count(1)
        assert len(scene.idura.ledger.orders) == 1
        report("one form from two tabs, three times", "1 request, and both tabs show it")


async def test_a_listener_that_never_reads_holds_up_nobody(
    open_window: OpenWindow, report: Callable[[str, str], None]
) -> None:
    """Others are told at once, however much it is behind."""
    async with staged() as scene, open_window(1280, "attack") as window:
        desk, phones = await scene.enter(window)
        (cookie,) = await window.page.context.cookies()
        fields = {**OWN, "Host": urlsplit(scene.origin).netloc, "Cookie": f"{cookie['name']}={cookie['value']}"}
        asked = request("GET", urlsplit(at(desk.page, "desk/events/en")).path, {**fields, "Connection": "keep-alive"})
        silent = [await _ask_and_never_read(scene, asked) for _ in range(SILENT)]
        reader, writer = await connect(scene.origin)
        writer.write(asked)
        reading = asyncio.ensure_future(_count(reader))
        for nth in range(30):
            options = {"call_initiator": "RP", "message": Redacted("Hello")}
            await scene.book.start(new_id(), "se", Redacted(swedish_number(nth)), note="x" * 80, **options)
        call = await desk.ask(NORWEGIAN, before=30)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await phones.press("Open the app")
        await desk.see(call, "right words")
        took = loop.time() - began
        writer.close()
        told = await reading
        for each in silent:
            each.close()
        assert told > 50 * WINDOW
        assert took < 5
        report(
            f"{SILENT} event streams that are never read", f"{told:,} bytes behind; the desk was told in {took:.1f} s"
        )


async def _ask_and_never_read(scene: Scene, asked: bytes) -> socket.socket:
    """Connect with a receive buffer that is soon full, and send a request."""
    address = urlsplit(scene.origin)
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    silent.settimeout(0)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(silent, (address.hostname, address.port))
    await loop.sock_sendall(silent, asked)
    return silent


async def _count(reader: asyncio.StreamReader) -> int:
    """Read to the end."""
    count = 0
    while chunk := await reader.read(1 << 16):
        count += len(chunk)
    return count
