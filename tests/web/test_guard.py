"""Tests of the guard: what it lets in, and each attack that it must not, through real sockets."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field

from idura_ciba.web.guard import MAX_BODY, Guard
from idura_ciba.web.serving import serving
from tests.browsers import FORM, TYPED, Browser, connect, exchange, read_answer, request

pytestmark = pytest.mark.sockets

FOREIGN = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@define
class Site:
    """A server with one page and one form, and what reached them."""

    guard: Guard
    origin: str = ""
    address: str = ""
    reached: list[str] = field(factory=list)

    async def page(self, request: web.Request) -> web.Response:
        """A page that must not be seen by others."""
        self.reached.append(request.method)
        if request.method == "POST":
            self.reached.append(str((await request.post()).get("what")))
        return web.Response(text="inside")

    async def browser(self) -> Browser:
        """A browser that has been let in."""
        browser = Browser(self.origin, csrf=self.guard.csrf)
        assert (await browser.open(self.address)).status == 303
        return browser


@asynccontextmanager
async def site(guard: Guard | None = None) -> AsyncIterator[Site]:
    """Serve it."""
    found = Site(guard or Guard("test"))
    app = found.guard.application()
    app.router.add_get("/page", found.page)
    app.router.add_post("/page", found.page)
    async with serving(app, found.guard, path="/page") as address:
        found.address = address
        found.origin = address.partition("/page")[0]
        yield found


@pytest.fixture(name="here")
async def _here() -> AsyncIterator[Site]:
    async with site() as found:
        yield found


async def test_the_address_lets_in_and_is_left_at_once(here: Site) -> None:
    """Its secret becomes a cookie that no script and no other site gets."""
    browser = Browser(here.origin)
    entered = await browser.open(here.address)
    assert (entered.status, entered.headers["location"]) == (303, f"{browser.root}/page")
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith("idura_ciba_test=")
    assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", f"Path={browser.root}/", "SameSite=Strict"}
    assert here.address.partition("key=")[2] not in cookie
    assert (await browser.get("/page", **TYPED)).text == "inside"
    # It may be opened again, and in another browser.
    assert (await browser.open(here.address)).status == 303
    assert (await Browser(here.origin).open(here.address)).status == 303


async def test_no_other_port_gets_the_cookie(here: Site) -> None:
    """A browser sends cookies to all ports of a host. The path of this one is in no address that is printed."""
    received: list[str | None] = []

    async def receive(request: web.Request) -> web.Response:
        received.append(request.headers.get("Cookie"))
        return web.Response()

    other, jar = web.Application(), aiohttp.CookieJar(unsafe=True)
    other.router.add_get("/{path:.*}", receive)
    runner = web.AppRunner(other)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            async with browser.get(here.address) as answer:
                assert await answer.text() == "inside"
            for path in ("/", "/page", here.address.removeprefix(here.origin)):
                await browser.get(f"http://127.0.0.1:{runner.addresses[0][1]}{path}")
    finally:
        await runner.cleanup()
    assert received == [None, None, None]
    assert len(jar) == 1


async def test_each_server_has_a_path_of_its_own(here: Site) -> None:
    """So that one that was told to another program is worth nothing to the next."""
    async with site() as other:
        assert (await here.browser()).root != (await other.browser()).root


async def test_an_address_for_one_use_works_once(here: Site) -> None:
    """Whoever has seen it in the list of processes comes too late; whoever is inside stays there."""
    once = here.guard.address(here.origin, "/page", once=True)
    browser = Browser(here.origin)
    assert (await browser.open(once)).status == 303
    assert (await browser.get("/page")).text == "inside"
    late = await Browser(here.origin).open(once)
    assert late.status == 403
    assert "set-cookie" not in late.headers
    assert "no longer valid" in late.text


async def test_whoever_was_faster_than_the_browser_is_shut_out(here: Site) -> None:
    """The address that the browser was started with comes again: somebody else has read it. That counts once."""
    once = here.guard.address(here.origin, "/page", once=True)
    thief, browser = Browser(here.origin), Browser(here.origin)
    assert (await thief.open(once)).status == 303
    assert (await thief.get("/page")).text == "inside"
    assert (await browser.open(once)).status == 403
    assert (await thief.get("/page")).status == 403
    assert (await browser.open(here.address)).status == 303
    assert (await thief.open(once)).status == 403
    assert (await browser.get("/page")).text == "inside"


@pytest.mark.parametrize("key", ["", "wrong", "ä", "x" * 10_000])
async def test_a_wrong_secret_is_refused(key: str, here: Site) -> None:
    """Also one that is not ASCII."""
    answer = await Browser(here.origin).get(f"/page?key={key}".encode().decode("latin-1"), **TYPED)
    assert answer.status in {400, 403}
    assert "set-cookie" not in answer.headers
    assert here.reached == []


async def test_the_way_in_leads_nowhere_else(here: Site) -> None:
    """A path that begins with two slashes, of either kind, would be a host to the browser."""
    for start in ("//", "/\\", "/\\/"):
        target = f"{start}elsewhere.example/{here.address.partition('/page')[2]}"
        answer = await Browser(here.origin).get(target, **TYPED)
        assert re.match(r"/[\w-]{22}/", answer.headers["location"])


@pytest.mark.parametrize("cookie", [None, "wrong=1", "{name}=wrong", "{name}=", "{name}=\xe4", "{name}"])
async def test_without_the_cookie_nobody_is_inside(cookie: str | None, here: Site) -> None:
    """Another program of this machine, or another of its users, finds the port and no more; nor does the path help."""
    root = (await here.browser()).root
    sent_cookie = cookie and cookie.format(name="idura_ciba_test")
    for browser in (Browser(here.origin, root, csrf=here.guard.csrf), Browser(here.origin, csrf=here.guard.csrf)):
        for sent in (
            await browser.get("/page", Cookie=sent_cookie, **TYPED),
            await browser.post("/page", Cookie=sent_cookie),
            await browser.get("/nothing", Cookie=sent_cookie),
        ):
            assert sent.status == 403
            assert "Open the address that the command has printed." in sent.text
    assert here.reached == []


@pytest.mark.parametrize(
    "host",
    ["attacker.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.attacker.example:{port}", "127.0.0.1.:{port}",
     "0.0.0.0:{port}", "127.0.0.1:{port}@attacker.example", "", None],
)  # fmt: skip
async def test_a_rebound_name_is_refused(host: str | None, here: Site) -> None:
    """The page of another name that now leads here is not this one's, even with cookie and token."""
    browser = await here.browser()
    sent = host and host.format(port=here.origin.rpartition(":")[2])
    for answer in (await browser.get("/page", Host=sent), await browser.post("/page", Host=sent)):
        assert answer.status in {400, 403}
    assert here.reached == []


async def test_two_hosts_are_refused(here: Site) -> None:
    """What is in front might look at the other one."""
    browser = await here.browser()
    hosts = f"Host: {browser.host}\r\nHost: attacker.example"
    lines = f"GET {browser.root}/page HTTP/1.1\r\n{hosts}\r\nCookie: {browser.cookie}\r\n\r\n"
    assert (await exchange(here.origin, lines.encode())).status in {400, 403}
    assert here.reached == []


async def test_no_host_is_refused(here: Site) -> None:
    """HTTP/1.0 has none, so nothing says under which name the browser came."""
    browser = await here.browser()
    assert (
        await exchange(here.origin, f"GET {browser.root}/page HTTP/1.0\r\nCookie: {browser.cookie}\r\n\r\n".encode())
    ).status == 403
    assert here.reached == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_loopback_has_three_names(name: str, here: Site) -> None:
    """People type each of them."""
    browser = await here.browser()
    host = f"{name}:{here.origin.rpartition(':')[2]}"
    assert (await browser.get("/page", Host=host)).status == 200
    assert (await browser.post("/page", Host=host, Origin=f"http://{host.lower()}")).status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://attacker.example", "http://localhost:1", "null", "", "https://{host}", "http://{host}.attacker.example"],
)
async def test_what_another_page_sends_is_refused(origin: str, here: Site) -> None:
    """All ports of this machine are one site to `SameSite`, so the cookie comes along; the origin tells."""
    browser = await here.browser()
    sent = origin.format(host=browser.host)
    for answer in (await browser.post("/page", Origin=sent), await browser.get("/page", Origin=sent)):
        assert answer.status == 403
        assert "Another page has sent this" in answer.text
    assert here.reached == []


async def test_a_form_without_an_origin_is_refused(here: Site) -> None:
    """Every browser says where a form comes from."""
    browser = await here.browser()
    assert (await browser.post("/page", Origin=None)).status == 403
    assert here.reached == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "dest", "status"),
    [("no-cors", "image", 403), ("cors", "empty", 403), ("navigate", "iframe", 403), ("navigate", "document", 200)],
)
async def test_other_pages_may_link_here_and_nothing_else(
    site: str, mode: str, dest: str, status: int, here: Site
) -> None:
    """A page on another port of this machine can neither frame this one, nor embed it, nor listen to it."""
    browser = await here.browser()
    fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert (await browser.get("/page", **fetch)).status == status
    assert (await browser.post("/page", **fetch)).status == 403
    assert "POST" not in here.reached


@pytest.mark.parametrize("csrf", ["", "wrong", "ä"])
async def test_a_form_without_the_token_is_refused(csrf: str, here: Site) -> None:
    """One that another page has made up does not have it."""
    browser = await here.browser()
    answer = await browser.post("/page", {"csrf": csrf})
    assert (answer.status, here.reached) == (403, [])
    assert "reload the page" in answer.text


async def test_a_form_with_everything_is_let_through(here: Site) -> None:
    """And can be read by the page."""
    browser = await here.browser()
    assert (await browser.post("/page", {"what": "tea"})).text == "inside"
    assert here.reached == ["POST", "tea"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", None])
async def test_only_forms_change_anything(content_type: str | None, here: Site) -> None:
    """Bodies that scripts of other pages can send without asking are not read at all."""
    browser = await here.browser()
    assert (await browser.post("/page", Content_Type=content_type)).status == 415
    assert here.reached == []


@pytest.mark.parametrize(
    ("content_type", "encoding", "end", "status"),
    [
        (FORM, None, b"\xff", 400),
        (f"{FORM}; charset=no-such", None, b"", 415),
        (f"{FORM}; charset=idna", None, b"", 415),
        (f"{FORM}; charset=UTF-8", None, b"", 200),
        (FORM, "gzip", b"", 415),
    ],
)
async def test_a_form_that_cannot_be_read_is_in_no_log(
    content_type: str, encoding: str | None, end: bytes, status: int, here: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in an error that a log record holds: whatever shows those with their frames would show a number."""
    browser = await here.browser()
    head = {"Host": browser.host, "Cookie": browser.cookie, "Origin": here.origin, "Content-Type": content_type}
    body = f"csrf={here.guard.csrf}&what=209801011231".encode() + end
    with caplog.at_level(logging.DEBUG):
        sent = request("POST", f"{browser.root}/page", {**head, "Content-Encoding": encoding}, body)
        assert (await exchange(here.origin, sent)).status == status
    assert here.reached == (["POST", "209801011231"] if status == 200 else [])
    assert [record for record in caplog.records if record.exc_info] == []
    assert "209801011231" not in caplog.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
async def test_other_methods_are_checked_like_forms(method: str, here: Site) -> None:
    """Whatever is not reading needs the token."""
    browser = await here.browser()
    headers = {"Host": browser.host, "Cookie": browser.cookie, "Origin": here.origin}
    assert (await exchange(here.origin, request(method, f"{browser.root}/page", headers))).status in {400, 415}


async def test_a_long_form_is_refused(here: Site) -> None:
    """Its end is not waited for, so it takes no memory."""
    browser = await here.browser()
    head = {"Host": browser.host, "Cookie": browser.cookie, "Origin": here.origin, "Content-Type": FORM}
    assert (await browser.post("/page", {"what": "x" * MAX_BODY})).status == 413
    # Once with its length, of which the end never comes; once in chunks without one.
    declared = request("POST", f"{browser.root}/page", {**head, "Content-Length": "1000000000"}, b"x" * (MAX_BODY + 1))
    chunk = b"%x\r\n%s\r\n" % (MAX_BODY + 1, b"x" * (MAX_BODY + 1))
    endless = request(
        "POST", f"{browser.root}/page", {**head, "Content-Length": None, "Transfer-Encoding": "chunked"}, chunk
    )
    for sent in (declared, endless):
        reader, writer = await connect(here.origin)
        writer.write(sent)
        assert (await read_answer(reader)).status == 413
        writer.close()
    assert here.reached == []


async def test_every_answer_has_the_headers(here: Site) -> None:
    """Also refusals and what is not found."""
    browser = await here.browser()
    for answer in (
        await browser.get("/page"),
        await browser.get("/nothing"),
        await Browser(here.origin).get("/page"),
        await browser.open(here.address),
        await browser.post("/page", {"csrf": ""}),
    ):
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        own, style = policy["style-src"].split(" ")
        assert own == "'self'"
        for inline in re.findall(r"<style>(.*)</style>", answer.text):
            assert style == f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"
        assert policy["frame-ancestors"] == policy["form-action"] == "'self'"
        assert policy["base-uri"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_what_is_refused_is_not_repeated(here: Site) -> None:
    """A script in whatever a request has does not come back in the page that refuses it."""
    script = "<script>alert(1)</script>"
    for answer in (
        await Browser(here.origin).get(f"/{script}?key={script}".replace(" ", "")),
        await Browser(here.origin).get("/page", Host=script),
        await Browser(here.origin).get("/page", Origin=script),
    ):
        assert answer.status in {400, 403}
        assert "<script" not in answer.text


async def test_another_address_can_be_allowed() -> None:
    """Behind a proxy that speaks TLS, the browser sees another name."""
    async with site(Guard("test", unsafe_hosts=["Desk.example:8443"])) as found:
        browser = await found.browser()
        elsewhere: dict[str, Any] = {"Host": "desk.example:8443", "Origin": "https://desk.example:8443"}
        assert (await browser.post("/page", **elsewhere)).status == 200
        assert (await browser.post("/page", **{**elsewhere, "Origin": "https://other.example"})).status == 403
        # What one of them may, the other may not.
        assert (await browser.post("/page", Origin="https://desk.example:8443")).status == 403


async def test_the_secrets_are_in_no_log_and_no_repr(here: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Not in an access log, nor in what a debugger shows."""
    with caplog.at_level(logging.DEBUG):
        browser = await here.browser()
        await browser.post("/page", {"what": "tea"})
    key = here.address.partition("key=")[2]
    for shown in (caplog.text, repr(vars(here.guard)), repr(here.guard.address(here.origin))):
        assert key not in shown
        assert here.guard.csrf not in shown
        assert browser.cookie.partition("=")[2] not in shown
