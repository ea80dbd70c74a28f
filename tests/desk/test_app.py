"""Tests of the desk's pages over real connections, as browsers, other pages and their attackers speak to them."""

from __future__ import annotations

import asyncio
import html
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define, evolve

from idura_ciba import Phase, State
from idura_ciba.desk.app import desk_app
from idura_ciba.desk.book import DeskBook, new_id
from idura_ciba.desk.entry import Entry
from idura_ciba.eids import Eid, Eids, Option
from idura_ciba.errors import StoreError
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving
from tests.browsers import Answer, Browser, Events
from tests.logins import NORWEGIAN, SWEDE, MakeClient

pytestmark = pytest.mark.sockets

SCRIPT = "<script>alert(1)</script>"
ENTRY = Entry(id="e" * 32, nth=9, eid="se", label="Swedish BankID", asked_at=1_767_225_600.0, state=State.PENDING)


@define
class Desk:
    """A desk that is served, and a browser that has been let in."""

    book: DeskBook
    browser: Browser
    idura: SimulatedIdura

    async def page(self, target: str = "/desk/", **headers: str) -> str:
        """A page that must be there."""
        answer = await self.browser.get(target, **headers)
        assert answer.status == 200
        return answer.text

    async def ask(self, fields: dict[str, Any] | None = None, **headers: str | None) -> Answer:
        """Send the form for a Swede."""
        own = {
            "id": new_id(),
            "eid": "se",
            "number": SWEDE,
            "o_call_initiator": "user",
            "message": "Your call",
            "note": "Case 1",
        }
        return await self.browser.post("/desk/start", {**own, **(fields or {})}, **headers)

    @asynccontextmanager
    async def listening(self, language: str) -> AsyncIterator[Events]:
        """What a tab hears; an event that never comes is a failure, and not for ever waited for."""
        async with asyncio.timeout(10), self.browser.listening(f"/desk/events/{language}") as events:
            yield events

    async def ask_norwegian(self) -> Answer:
        """Send the form for a Norwegian."""
        return await self.browser.post("/desk/start", {"id": new_id(), "eid": "no", "number": NORWEGIAN})


@pytest.fixture(name="desk")
async def _desk(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> AsyncIterator[Desk]:
    simulated_idura.script(SWEDE, Script.never())
    simulated_idura.script(NORWEGIAN, Script.never())
    async with DeskBook(make_ciba_client(), clock=virtual_clock()) as book:
        guard = Guard("desk")
        app = guard.application()
        app.add_subapp("/desk/", desk_app(book, guard, message="Hello from us"))
        async with serving(app, guard, path="/desk/") as address:
            browser = Browser(str(address).partition("/desk/")[0], csrf=guard.csrf)
            await browser.open(address)
            yield Desk(book, browser, simulated_idura)


async def test_a_form_rings_once_and_leads_back(desk: Desk) -> None:
    """By a redirect, so that neither reload nor Back sends it again; the same form again leads to the same login."""
    page = await desk.page()
    (id_,) = re.findall(r'name="id" value="([0-9a-f]{32})"', page)
    answers = await asyncio.gather(desk.ask({"id": id_}), desk.ask({"id": id_}))
    for answer in (*answers, await desk.ask({"id": id_})):
        assert (answer.status, answer.headers["location"]) == (303, f"./#call-{id_}")
    assert len(desk.idura.ledger.orders) == 1
    shown = await desk.page()
    assert f'id="call-{id_}"' in shown
    assert "Case 1" in shown
    assert f'value="{id_}">\n<input type="hidden" name="eid"' not in shown


async def test_the_words_stand_there_to_be_read(desk: Desk) -> None:
    """With what to say, in each language; the page of the eID that was used last is the next."""
    answer = await desk.ask_norwegian()
    assert answer.status == 303
    (entry,) = desk.book.snapshot().open
    assert entry.words is not None
    for language, said in (("en", "Read these words aloud"), ("sv-SE", "Läs upp orden"), ("nb", "Les opp ordene")):
        page = await desk.page(Accept_Language=language)
        assert html.escape(entry.words) in page
        assert said in page
        assert re.search(r'\?eid=no" aria-current="true"', page)
    assert '<html lang="no">' in page


async def test_everything_lives_below_its_prefix(desk: Desk) -> None:
    """No address begins with a slash or a scheme, so that the desk can be held at any prefix; nothing is inline."""
    await desk.ask()
    page = await desk.page()
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert links
    assert not [link for link in links if re.match(r"/|\w+:", link)]
    assert not re.search(r"<style|style=|\son\w+=|<script(?! src)", page)
    for link in {link for link in links if link.startswith("static/")}:
        assert (await desk.browser.get(f"/desk/{link}")).status == 200


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"number": "209801011232"}, "number"),
        ({"number": ""}, "number"),
        ({"message": ""}, "message"),
        ({"message": "å" * 1000}, "message"),
        ({"note": f"his number is {SWEDE[2:8]}-{SWEDE[8:]}"}, "note"),
    ],
)
async def test_what_cannot_work_is_said_at_its_field(desk: Desk, fields: dict[str, str], wrong: str) -> None:
    """Everything but the number stands there again; the form has the same id, so it still rings once."""
    id_ = new_id()
    answer = await desk.ask({"id": id_, **fields})
    assert answer.status == 422
    assert re.search(rf'id="{wrong}"[^>]*aria-invalid="true"', answer.text)
    assert f'value="{id_}"' in answer.text
    assert 'value="user" required checked' in answer.text
    assert "Nobody was asked" in answer.text
    assert fields.get("number", SWEDE) not in answer.text or not fields.get("number", SWEDE)
    assert desk.idura.ledger.orders == []
    assert (await desk.ask({"id": id_})).status == 303


async def test_an_answer_is_missing(desk: Desk) -> None:
    """Nobody called anybody."""
    answer = await desk.ask({"o_call_initiator": ""})
    assert answer.status == 422
    assert "Choose an answer" in answer.text
    assert (await desk.browser.get("/desk/start")).headers["location"] == "./"


@pytest.mark.parametrize(
    "fields",
    [
        {"eid": "of a desk with other eIDs"},
        {"eid": ""},
        {"id": "../" * 8},
        *({f"o_{name}": "1"} for name in ("unheard_of", "scope", "login_hint", "identity_guaranteed", "note", "self")),
    ],
)
async def test_what_no_form_of_the_page_has_asks_nobody(
    desk: Desk, fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Least of all through another eID than the form says, or with other claims to prove; and it is no bug."""
    assert (await desk.ask(fields)).status == 400
    assert desk.idura.ledger.orders == []
    assert caplog.records == []


async def test_a_form_asks_whatever_an_eid_of_ones_own_needs(
    make_ciba_client: MakeClient,
) -> None:
    """Few choices as buttons, many in a list where nothing is chosen yet, any text, hidden if it may say who it is."""
    many = tuple(f"level {number}" for number in range(5))
    own = Eid(
        name="own",
        label="Our <own> eID",
        fields={"login_hint": "employee:{ssn}", "acr_values": "urn:x"},
        person="Staff number",
        options=(
            Option(name="few", help="few", choices=("a", "b"), required=True),
            Option(name="many", help="many", choices=many),
            Option(name="secret", help="secret", secret=True),
        ),
    )
    async with DeskBook(make_ciba_client(), eids=Eids(own), clock=virtual_clock()) as book:
        guard = Guard("desk")
        app = guard.application()
        app.add_subapp("/desk/", desk_app(book, guard))
        async with serving(app, guard, path="/desk/") as address:
            browser = Browser(str(address).partition("/desk/")[0], csrf=guard.csrf)
            await browser.open(address)
            page = (await browser.get("/desk/")).text
            fields = {"id": new_id(), "eid": "own", "number": "4711", "o_few": "a", "o_secret": "x y"}
            refused = await browser.post("/desk/start", {**fields, "o_many": "level 9"})
    assert "Our &lt;own&gt; eID" in page
    assert "Staff number" in page
    assert page.count('type="radio"') == 2
    assert re.search(r'<select id="o_many"[^>]*>\s*<option value=""></option>', page)
    assert re.search(r'name="o_secret" type="text" class="masked" value=""', page)
    assert refused.status == 422
    assert re.search(r'<select id="o_many"[^>]*aria-invalid="true"', refused.text)
    assert "x y" not in refused.text
    assert "4711" not in refused.text


async def test_an_old_form_for_the_next_caller_is_a_new_one(desk: Desk) -> None:
    """Nobody is asked, and what comes back has an id of its own."""
    id_ = new_id()
    await desk.ask({"id": id_})
    answer = await desk.ask({"id": id_, "number": "209602294564"})
    assert (answer.status, "sent before" in answer.text) == (422, True)
    assert f'value="{id_}">\n<input type="hidden" name="eid"' not in answer.text
    desk.book._entries.clear()  # as if it were the next day
    answer = await desk.ask({"id": id_})
    assert (answer.status, f'value="{id_}"' in answer.text) == (422, False)
    assert desk.book.snapshot().open == ()
    assert len(desk.idura.ledger.orders) == 1


async def test_nobody_is_asked_twice(desk: Desk) -> None:
    """A second form for the same person leads to the first login, which says so."""
    first = await desk.ask()
    again = await desk.ask({"number": f"{SWEDE[:8]}-{SWEDE[8:]}"})
    assert again.headers["location"] == first.headers["location"]
    assert "Nobody was rung" in await desk.page()
    assert len(desk.idura.ledger.orders) == 1


async def test_waiting_can_be_stopped_and_the_result_put_away(desk: Desk) -> None:
    """The page says that the prompt stays; what is put away is in the list of the day."""
    await desk.ask()
    (entry,) = desk.book.snapshot().open
    assert "It cannot be withdrawn" in await desk.page()
    assert (await desk.browser.post("/desk/cancel", {"id": entry.id})).headers["location"] == f"./#call-{entry.id}"
    async for snapshot in desk.book.snapshots():
        if snapshot.ended:
            break
    assert f'id="call-{entry.id}"' in await desk.page()
    assert (await desk.browser.post("/desk/done", {"id": entry.id})).status == 303
    page = await desk.page()
    assert f'id="call-{entry.id}"' not in page
    assert "Case 1" in page
    assert (await desk.browser.post("/desk/cancel", {"id": "x\r\nSet-Cookie: a=b"})).headers["location"] == "./"


async def test_the_day_can_be_taken_along(desk: Desk) -> None:
    """As a file, with the name of nobody's number in it."""
    await desk.ask()
    answer = await desk.browser.get("/desk/day.csv", Accept_Language="sv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert "Case 1;pending" in answer.text
    assert SWEDE not in answer.text


async def test_every_tab_sees_every_change(desk: Desk) -> None:
    """The whole state when it connects, then what is new; and something is said to those who do not see it."""
    async with desk.listening("sv") as one, desk.listening("en") as two:
        for events in (one, two):
            assert [(await events.shown())["id"] for _ in range(2)] == ["calls", "today"]
        desk.book._put(evolve(ENTRY, phase=Phase.OPENED))
        for events, said in ((one, "Appen är öppen"), (two, "The app is open")):
            shown = {}
            while "said" not in shown:
                found = await events.shown()
                shown[found["id"]] = found["html"]
            assert said in shown["calls"]
            assert said in shown["said"]
            assert "today" not in shown  # a long day is a long list
        desk.book._put(evolve(ENTRY, state=State.EXPIRED, ended_at=ENTRY.asked_at + 120))
        for events in (one, two):
            assert [(await events.shown())["id"] for _ in range(3)] == ["calls", "today", "said"]
    assert (await desk.browser.get("/desk/events/xx")).status == 404


async def test_foreign_text_is_text(desk: Desk) -> None:
    """A script in a name, a note, a hint, an explanation or the words, on the page and in events."""
    evil = evolve(ENTRY, note=SCRIPT, hint=SCRIPT, words=SCRIPT, phase=Phase.UNKNOWN)
    ended = evolve(*(ENTRY,), id="f" * 32, state=State.FAILED, phase=Phase.FAILED, ended_at=ENTRY.asked_at, name=SCRIPT)
    ended = evolve(ended, code="internal", explanation=SCRIPT, trace_id=SCRIPT, level=SCRIPT, note=SCRIPT)
    approved = evolve(ended, id="d" * 32, state=State.APPROVED, phase=Phase.APPROVED, code=None)
    for entry in (evil, ended, approved):
        desk.book._put(entry)
    async with desk.listening("en") as events:
        sent = [(await events.shown())["html"] for _ in range(2)]
    for text in (await desk.page(), *sent):
        assert SCRIPT not in text
        assert html.escape(SCRIPT) in text
    answer = await desk.ask({"note": SCRIPT, "message": SCRIPT, "number": SCRIPT, "eid": SCRIPT})
    assert SCRIPT not in answer.text


async def test_nobody_starts_a_login_without_the_guard(desk: Desk) -> None:
    """Without the token, from another page, without the cookie, under a rebound name: nobody is asked."""
    stranger = Browser(desk.browser.origin, desk.browser.root, csrf=desk.browser.csrf)
    desk_cookie = desk.browser.cookie
    for answer in (
        await desk.ask({"csrf": ""}),
        await desk.ask({"csrf": "x" * 43}),
        await desk.ask(Origin="https://evil.example"),
        await desk.ask(Host="evil.example"),
        await desk.ask(Sec_Fetch_Site="cross-site"),
        await stranger.post("/desk/start", {"id": new_id(), "eid": "se", "number": SWEDE}),
        await desk.browser.get(f"/desk/start?id={new_id()}&eid=se&number=1", Cookie=None),
    ):
        assert answer.status == 403
        assert SWEDE not in answer.text
    assert desk.browser.cookie == desk_cookie
    assert desk.idura.ledger.orders == []
    assert desk.book.snapshot().open == ()


async def test_a_page_that_can_be_told_nothing_more_is_not_left_as_if_it_were_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug ends the connections, so that pages say that they may be old; no log has its message."""
    async with desk.listening("en") as events:
        monkeypatch.setattr("idura_ciba.desk.app.call", lambda *_: {}[SWEDE])
        assert (await desk.ask()).status == 303
        while await events.block() is not None:
            pass
    assert (await desk.browser.get("/desk/events/en")).status == 503
    assert "[internal]" in caplog.text
    assert SWEDE not in caplog.text


async def test_the_number_is_in_no_answer_no_address_and_no_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is sent, and however verbosely is logged."""
    caplog.set_level(logging.DEBUG)
    answers = [await desk.ask(), await desk.ask(), await desk.ask({"message": ""}), await desk.ask({"id": "x"})]
    answers += [await desk.ask({"number": f" {SWEDE}x"}), await desk.ask({"eid": "freja", "country": "SE"})]
    answers += [await desk.browser.get(target) for target in ("/desk/", "/desk/day.csv", "/desk/nowhere")]
    answers.append(await desk.ask({"number": f"{SWEDE}{'9' * 5000}"}))
    async with desk.listening("en") as events:
        sent = [(await events.shown())["html"] for _ in range(2)]
    everything = "".join([*(repr(answer.headers) + answer.text for answer in answers), *sent, caplog.text])
    for spelled in (SWEDE, SWEDE[2:], f"{SWEDE[:8]}-{SWEDE[8:]}", f"{SWEDE[2:8]}-{SWEDE[8:]}"):
        assert spelled not in everything
    assert {answer.status for answer in answers} == {200, 303, 400, 404, 413, 422}


async def test_what_goes_wrong_has_a_page_for_people(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is away, and a bug, whose message may hold anything."""
    answer = await desk.browser.get("/desk/nowhere", Accept_Language="da")
    assert (answer.status, "Her er ingenting" in answer.text) == (404, True)

    async def away(*_: object) -> bool:
        raise StoreError("the store is away", code="store_away")

    async def bug(*_: object, **__: object) -> Entry:
        raise RuntimeError(SWEDE)

    monkeypatch.setattr(DeskBook, "cancel", away)
    answer = await desk.browser.post("/desk/cancel", {"id": "x"})
    assert (answer.status, "store_away" in answer.text) == (503, True)
    monkeypatch.setattr(DeskBook, "start", bug)
    answer = await desk.ask()
    assert (answer.status, SWEDE in answer.text + caplog.text) == (500, False)
    assert "the phone may have rung" in answer.text
    assert "RuntimeError" in caplog.text


async def test_a_desk_that_stops_tells_every_tab(desk: Desk) -> None:
    """And refuses what comes after it."""
    async with desk.listening("no") as events:
        for _ in range(2):
            await events.shown()
        desk.book.stop()
        assert "Programmet stoppes" in (await events.shown())["html"]
    answer = await desk.ask()
    assert (answer.status, "being stopped" in answer.text) == (422, True)
