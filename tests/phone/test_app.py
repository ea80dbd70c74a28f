"""Tests of the page with the phones, through real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import define, field

from idura_ciba import EidRequest, FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.phone import app
from idura_ciba.phone.app import masked, phone_app
from idura_ciba.phone.board import Board
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import Script, SimRequest, SimulatedIdura
from idura_ciba.simulator.people import invent_swedish_number
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving
from tests.browsers import Browser

pytestmark = pytest.mark.sockets

SWEDE, NORWEGIAN = "209801011231", "01023990128"
SCRIPT = "<script>alert('1')</script>"
HELLO = SwedishBankID(SWEDE, call_initiator="RP", message=f"Hello {SCRIPT}")


@define
class Played:
    """A page on which somebody plays, and the provider behind it, at an instant of its own."""

    hands: Hands | None = field(factory=lambda: Hands(lambda _: Script.approve(5)))
    now: float = 1_767_225_600.0
    idura: SimulatedIdura = field(init=False)
    browser: Browser = field(init=False)

    def ask(self, request: EidRequest) -> str:
        """Start a login, and return the answer."""
        form = {**request.parameters(), "client_id": "urn:a", "client_secret": "s"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        reply = self.idura.handle(SimRequest("POST", "/ciba/bc-authorize", headers, body), now=self.now)
        return reply.body.decode()

    async def page(self) -> str:
        """The page as it is now, without what escaping does."""
        answer = await self.browser.get("/phone/")
        assert answer.status == 200
        return answer.text

    async def act(self, step: str, phone: Any = 1) -> None:
        """Press a button."""
        answer = await self.browser.post("/phone/act", {"phone": phone, "step": step})
        assert (answer.status, answer.headers["location"]) == (303, "./")

    def state(self, number: int = 1) -> str:
        """What the ledger says has become of an order."""
        record = self.idura.ledger.orders[number - 1]
        return record.answer_by(self.now) or record.outcome


@asynccontextmanager
async def playing(hands: Hands | None = None) -> AsyncIterator[Played]:
    """Serve it, below a path as `demo --web` does."""
    played = Played(hands or Hands(lambda _: Script.approve(5)))
    played.idura = SimulatedIdura(people=played.hands or (lambda _: Script.by_hand()), signing_alg="ES256")
    played.idura.register_client("urn:a", secret="s", name=f"Nordvik {SCRIPT}")
    guard = Guard("test")
    whole = guard.application()
    whole.add_subapp("/phone/", phone_app(played.idura, guard, hands=played.hands, wall=lambda: played.now))
    async with serving(whole, guard, path="/phone/") as address:
        played.browser = Browser(address.partition("/phone/")[0], csrf=guard.csrf)
        await played.browser.open(address)
        yield played


@pytest.fixture(name="played")
async def _played() -> AsyncIterator[Played]:
    async with playing() as played:
        await played.page()
        yield played


def buttons(page: str) -> list[tuple[str, str]]:
    """What can be pressed on phones: step and text."""
    found = re.findall(r'<button class="button[^>]* name="step" value="([^"]+)"[^>]*>([^<]+)</button>', page)
    return [(step, unescape(text)) for step, text in found]


async def test_a_swede_is_asked_whether_they_are_on_the_phone(played: Played) -> None:
    """Step by step as in the app, with who asks, their message and who has called whom."""
    assert "No phone rings" in await played.page()
    played.ask(HELLO)
    page = await played.page()
    assert buttons(page) == [("open", "Open the app")]
    assert "wants to know who you are" in page
    assert "Hello" not in page
    await played.act("open")
    page = await played.page()
    assert [step for step, _ in buttons(page)] == ["acknowledge", "decline"]
    assert "No, I am not on the phone with them" in page
    assert "they have called you" in page
    assert "Hello" in page
    await played.act("acknowledge")
    assert buttons(await played.page()) == [("approve", "Approve with fingerprint"), ("decline", "Cancel")]
    await played.act("approve")
    page = await played.page()
    assert played.state() == "approved"
    assert "You are identified" in page
    await played.act("put away")
    assert "No phone rings" in await played.page()


async def test_a_norwegian_chooses_among_three_word_pairs(played: Played) -> None:
    """One of them is what the client was told; the page does not say which."""
    answer = played.ask(NorwegianBankID(NORWEGIAN))
    await played.page()
    await played.act("open")
    page = await played.page()
    pairs = {text: step for step, text in buttons(page) if re.fullmatch(r"choose \d", step)}
    assert len(pairs) == 3
    assert [step for step, _ in buttons(page)][3:] == ["choose none", "decline"]
    await played.act(pairs[json.loads(answer)["bindingMessage"]])
    assert [step for step, _ in buttons(await played.page())] == ["approve", "decline"]
    await played.act("approve")
    assert played.state() == "approved"


@pytest.mark.parametrize("step", ["choose none", "choose 7", "choose " + 5_000 * "9", "choose", "decline"])
async def test_other_words_end_the_login(step: str, played: Played) -> None:
    """As does saying that one is not on the phone with them."""
    played.ask(NorwegianBankID(NORWEGIAN))
    await played.page()
    await played.act("open")
    await played.act(step)
    assert played.state() == "denied"
    assert "Wrong words look the same to them" in await played.page()


async def test_another_eid_asks_plainly(played: Played) -> None:
    """No words, no call: who asks, and yes or no."""
    played.ask(FrejaID(SWEDE))
    await played.page()
    await played.act("open")
    assert buttons(await played.page()) == [("acknowledge", "Continue"), ("decline", "Decline")]


async def test_a_step_before_its_time_does_nothing(played: Played) -> None:
    """A real app has no such button either; nor one for a phone that is not there."""
    played.ask(NorwegianBankID(NORWEGIAN))
    await played.page()
    for step in ("approve", "acknowledge", "choose 0", "put away", "dance", ""):
        await played.act(step)
    await played.act("open")
    for step in ("acknowledge", "approve", "open"):
        await played.act(step)
    for phone in (2, "", "x", "-1", "²", 5_000 * "9"):
        await played.act("decline", phone)
    assert [prompt.state(played.now) for prompt in played.idura.phones.prompts(played.now)] == ["opened"]


async def test_what_comes_too_late_is_no_fault(played: Played) -> None:
    """The phone shows what has happened: time is over, or a second request has cancelled both."""
    played.ask(HELLO)
    await played.page()
    played.ask(HELLO)
    await played.act("open")
    assert "The request was cancelled" in await played.page()
    played.ask(FrejaID(SWEDE))
    await played.page()
    played.now += 121
    await played.act("open", 3)
    assert "Nobody answered in time" in await played.page()
    assert played.state(3) == "open"


async def test_what_comes_from_outside_is_text(played: Played) -> None:
    """The client's name and its message, on the page and in what the stream brings."""
    played.ask(HELLO)
    await played.page()
    await played.act("open")
    page = await played.page()
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") == 2
    async with played.browser.listening("/phone/events") as events:
        html = (await events.shown())["html"]
        assert SCRIPT not in html
        assert "&lt;script&gt;" in html


async def test_numbers_are_masked_and_in_no_log(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody may have typed their own, and it tells nothing to whoever plays them."""
    number = invent_swedish_number(1, "somebody")
    with caplog.at_level(logging.DEBUG):
        played.ask(FrejaID(number))
        page = await played.page()
        await played.act("open")
    assert f"{number[:8]}••••" in page
    assert number not in page + await played.page() + caplog.text


@pytest.mark.parametrize(
    ("person", "shown"),
    [("209801011231", "20980101••••"), ("ola@example.com", "ol••••"), ("+46701234567", "+4••••"), ("ab", "ab••••")],
)
def test_whom_it_is_about_can_be_told_apart(person: str, shown: str) -> None:
    """By the birth date, or a beginning."""
    assert masked(person) == shown


async def test_open_pages_are_told_what_changes(played: Played) -> None:
    """A phone that appears, what it shows, and whoever cannot see hears it; in every open tab."""
    async with played.browser.listening("/phone/events") as one, played.browser.listening("/phone/events") as two:
        for events in (one, two):
            assert "No phone rings" in (await events.shown())["html"]
            assert (await events.shown())["id"] == "hands"
        played.ask(HELLO)
        for events in (one, two):
            shown = await events.shown()
            assert (shown["id"], "Open the app" in shown["html"]) == ("phones", True)
            assert (await events.shown())["id"] == "hands"
        await played.act("open")
        for events in (one, two):
            shown = await events.shown()
            assert (shown["id"], "Yes, I am" in shown["html"]) == ("screen-1", True)
            said = await events.shown()
            assert (said["id"], said["html"].strip().endswith(": the app is open.")) == ("announcement", True)
        # Time moves by itself.
        played.now += 121
        assert "Nobody answered in time" in (await one.shown())["html"]


async def test_nobody_looks_at_phones_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch may ask thousands of people at this provider while the page is closed."""
    looks: list[float] = []
    look = Board.look
    monkeypatch.setattr(app, "LOOK", 0.001)
    monkeypatch.setattr(Board, "look", lambda board, now: looks.append(now) or look(board, now))
    async with playing() as played:
        await asyncio.sleep(0.02)
        assert looks == []
        async with played.browser.listening("/phone/events") as events:
            await events.shown()
            await asyncio.sleep(0.02)
        assert looks


async def test_a_page_that_comes_back_is_told_everything(played: Played) -> None:
    """Reloading or losing the connection loses nothing."""
    played.ask(HELLO)
    await played.page()
    async with played.browser.listening("/phone/events") as events:
        assert "Open the app" in (await events.shown())["html"]
    await played.act("open")
    async with played.browser.listening("/phone/events") as events:
        assert "Yes, I am" in (await events.shown())["html"]


async def test_whoever_opens_the_page_plays_and_can_let_go() -> None:
    """Before, people act by themselves; the choice is told to all pages."""
    async with playing() as played:
        played.ask(HELLO)
        assert played.idura.ledger.orders[0].decided_at == played.now + 5
        page = await played.page()
        assert 'value="yes" aria-pressed="true"' in page
        async with played.browser.listening("/phone/events") as events:
            await events.shown()
            await events.shown()
            answer = await played.browser.post("/phone/hands", {"by_hand": "no"})
            assert (answer.status, answer.headers["location"]) == (303, "./")
            shown = await events.shown()
            assert (shown["id"], 'value="no" aria-pressed="true"' in shown["html"]) == ("hands", True)
        played.ask(NorwegianBankID(NORWEGIAN))
        assert played.idura.ledger.orders[1].decided_at is not None
        await played.browser.post("/phone/hands", {"by_hand": "yes"})
        played.ask(FrejaID(SWEDE))
        assert played.idura.ledger.orders[2].decided_at is None


async def test_a_provider_with_people_of_its_own_offers_no_choice() -> None:
    """Then nobody acts by themselves, and nothing can be switched."""
    idura, guard = SimulatedIdura(people=lambda _: Script.by_hand()), Guard("test")
    whole = guard.application()
    whole.add_subapp("/phone/", phone_app(idura, guard))
    async with serving(whole, guard, path="/phone/") as address:
        browser = Browser(address.partition("/phone/")[0], csrf=guard.csrf)
        await browser.open(address)
        page = (await browser.get("/phone/")).text
        assert "aria-pressed" not in page
        assert (await browser.post("/phone/hands", {"by_hand": "no"})).status == 303


async def test_the_page_is_small_and_whole_without_scripts(played: Played) -> None:
    """Everything that it refers to is there; forms are forms."""
    played.ask(HELLO)
    page = await played.page()
    total = len(page)
    for name in set(re.findall(r'(?:src|href)="(static/[^"]+)"', page)):
        answer = await played.browser.get(f"/phone/{name}")
        assert answer.status == 200
        total += len(answer.body)
    assert total < 100_000
    assert page.count("<form") == page.count('name="csrf"') == 2


async def test_other_pages_cannot_press_buttons(played: Played) -> None:
    """Neither with a foreign origin, nor without the token."""
    played.ask(HELLO)
    await played.page()
    form = {"phone": 1, "step": "approve"}
    for changes in ({"Origin": "http://localhost:1"}, {"Sec_Fetch_Site": "cross-site"}, {"Cookie": None}):
        assert (await played.browser.post("/phone/act", form, **changes)).status == 403
    assert (await played.browser.post("/phone/act", {**form, "csrf": ""})).status == 403
    assert played.state() == "open"
