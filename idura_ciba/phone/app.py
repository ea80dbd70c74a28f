"""The page with the simulated phones, as a part of an aiohttp application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from idura_ciba.eids import EIDS, Eids
from idura_ciba.errors import StateError
from idura_ciba.phone.board import Board, Phone
from idura_ciba.phone.hands import Hands
from idura_ciba.phone.people import people_to_ask
from idura_ciba.simulator import Prompt, SimulatedIdura
from idura_ciba.web.guard import Guard
from idura_ciba.web.pages import Pages
from idura_ciba.web.stream import Feed, SentEvent

__all__ = ["phone_app"]

#: Seconds between two looks at the phones: scripts and the end of a prompt move without anybody doing anything.
LOOK: Final = 0.2

#: What can be done on a phone.
_STEPS: Final[dict[str, Callable[[Prompt, float], object]]] = {
    "open": Prompt.open_app,
    "acknowledge": Prompt.acknowledge,
    "approve": Prompt.approve,
    "decline": Prompt.decline,
}
#: What a real app does not let one do yet.
_STATES: Final = {"open": "notified", "acknowledge": "opened", "choose": "opened", "approve": "identifying"}


def phone_app(
    idura: SimulatedIdura,
    guard: Guard,
    *,
    hands: Hands | None = None,
    eids: Eids = EIDS,
    wall: Callable[[], float] = time.time,
) -> web.Application:
    """The page, for `add_subapp` of a guarded application; its own path must end with a slash.

    Args:
        idura: The provider whose people are played.
        guard: The guard of the application.
        hands: Lets the page choose whether people act by themselves, where the provider has it as its `people`.
        eids: What people call the eIDs.
        wall: The provider's clock.

    Example:
        >>> guard = Guard("demo")
        >>> app = guard.application()
        >>> app.add_subapp("/phone/", phone_app(idura, guard))
        >>> async with serving(app, guard, path="/phone/") as address:
        ...     print(address)
    """
    return _Page(idura, guard, hands, eids, wall).application()


class _Page:
    """The page's handlers and what they share."""

    def __init__(
        self, idura: SimulatedIdura, guard: Guard, hands: Hands | None, eids: Eids, wall: Callable[[], float]
    ) -> None:
        self._hands, self._wall = hands, wall
        self._board = Board(idura.phones.prompts)
        self._pages = Pages(
            Path(__file__).parent,
            csrf=guard.csrf,
            # The provider may serve one that only its own half is known of.
            label=lambda name: eids[name].label if name in eids else name,
            people=list(people_to_ask(eids, idura.phones)),
            masked=masked,
            hands=hands,
        )
        self._feed = Feed(self._everything)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/events", self._feed.serve)
        app.router.add_post("/act", self._act)
        app.router.add_post("/hands", self._take_hands)
        self._pages.add_static(app)
        app.cleanup_ctx.append(self._watch)
        app.on_shutdown.append(self._feed.close)
        return app

    async def _index(self, _: web.Request) -> web.Response:
        if self._hands is not None:
            self._hands.page_opened()
        self._look()
        return self._pages.page("index.html", **self._values())

    async def _act(self, request: web.Request) -> web.Response:
        """Do one step on one phone. One that comes too late is no fault: the phone shows what has happened."""
        form = await request.post()
        number, step = str(form.get("phone", "")), str(form.get("step", ""))
        phone = next((phone for each, phone in self._board.phones.items() if str(each) == number), None)
        if phone is not None:
            now = self._wall()
            with suppress(StateError):
                self._take_step(phone, step, now)
        self._look()
        raise web.HTTPSeeOther("./")

    def _take_step(self, phone: Phone, step: str, now: float) -> None:
        prompt = phone.prompt
        if step == "put away":
            self._board.put_away(prompt.number)
            # The others are where they were, but not all of them are there.
            self._publish_all()
            return
        what, _, choice = step.partition(" ")
        if prompt.state(now) != _STATES.get(what, prompt.state(now)):
            return
        if what == "choose":
            chosen = (words for place, words in enumerate(prompt.choices) if str(place) == choice)
            prompt.choose_words(next(chosen, None), now)
        elif what in _STEPS and not (what == "acknowledge" and prompt.choices):
            _STEPS[what](prompt, now)

    async def _take_hands(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self._hands is not None:
            self._hands.by_hand = form.get("by_hand") == "yes"
            self._feed.publish(SentEvent.show("hands", self._pages.render("hands.html")))
        raise web.HTTPSeeOther("./")

    async def _watch(self, _: web.Application) -> AsyncIterator[None]:
        """Look at the phones as long as somebody else does: of thousands of people, that takes its time."""

        async def look() -> None:
            while True:
                if self._feed.listeners:
                    self._look()
                await asyncio.sleep(LOOK)

        task = asyncio.create_task(look())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _look(self) -> None:
        """Tell the open pages what is new on the phones."""
        changed = self._board.look(self._wall())
        if changed is None:
            self._publish_all()
        else:
            self._feed.publish(*(self._screen(phone) for phone in changed))
        if changed:
            self._feed.publish(SentEvent.show("announcement", self._pages.render("said.html", phones=changed)))

    def _publish_all(self) -> None:
        self._feed.publish(*self._everything())

    def _everything(self) -> Iterator[SentEvent]:
        yield SentEvent.show("phones", self._pages.render("phones.html", **self._values()))
        if self._hands is not None:
            yield SentEvent.show("hands", self._pages.render("hands.html"))

    def _screen(self, phone: Phone) -> SentEvent:
        text = self._pages.render("screen.html", phone=phone, now=self._wall())
        return SentEvent.show(f"screen-{phone.prompt.number}", text)

    def _values(self) -> dict[str, Any]:
        return {"phones": list(self._board.phones.values()), "now": self._wall()}


def masked(person: str) -> str:
    """What a page shows of whom was asked: enough to tell people apart, and no identity number."""
    shown = len(person) - 4 if person.isdecimal() else 2
    return person[:shown] + "••••"
