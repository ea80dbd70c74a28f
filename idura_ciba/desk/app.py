"""The pages of a desk, as an application that a guarded one holds, at whatever prefix: all links are relative.

Rules:
1. The number comes in the body of a form and goes to the book. It is in no answer, no address and no log.
2. What changes something is a form, answered by a redirect, so that neither reload nor Back sends it again.
3. All state is in the book: each tab and each reload shows the same.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from idura_ciba import explain
from idura_ciba.desk.book import DeskBook, Snapshot, new_id
from idura_ciba.desk.entry import Entry
from idura_ciba.desk.listing import listing
from idura_ciba.desk.texts import preferred, sayer
from idura_ciba.desk.view import call, clock_time, complaint, fields, offered, person
from idura_ciba.eids.eid import Eid
from idura_ciba.eids.phase import LANGUAGES
from idura_ciba.errors import CibaError, StoreError, UsageError
from idura_ciba.redaction import Redacted
from idura_ciba.web.guard import Guard
from idura_ciba.web.pages import Pages
from idura_ciba.web.stream import Feed, SentEvent

__all__ = ["desk_app"]

_logger = logging.getLogger("idura_ciba")

_ID: Final = re.compile(r"[0-9a-f]{32}")
#: Options of eIDs stand in the form with this before their names, so that none is taken for a field of the form.
_OPTION: Final = "o_"
#: What changes by itself on the page, as templates.
_PARTS: Final = ("calls", "today")
#: Characters of any field; far more than a number, a message or a note has.
_LONGEST: Final = 4000


def desk_app(
    book: DeskBook,
    guard: Guard,
    *,
    language: str | None = None,
    message: str = "",
    simulated: bool = False,
    phones: str = "",
) -> web.Application:
    """Make the pages of a desk, for `add_subapp` of a guarded application.

    Args:
        book: The desk, open for as long as the application is served.
        guard: Guards the application that holds this one.
        language: One of `LANGUAGES`; None: as the browser prefers.
        message: What the form proposes as the message in the app.
        simulated: Whether nobody is really asked, which the page then says.
        phones: Where their phones are, as seen from the page; empty: nowhere.
    """
    return _Desk(book, guard, language, message, simulated=simulated, phones=phones).application()


class _Desk:
    def __init__(
        self, book: DeskBook, guard: Guard, language: str | None, message: str, *, simulated: bool, phones: str
    ) -> None:
        self._book = book
        self._guard = guard
        self._language = language
        self._message = message
        self._pages = Pages(Path(__file__).parent, simulated=simulated, phones=phones, csrf=str(guard.csrf))
        self._feeds = {each: Feed(partial(self._state, each)) for each in LANGUAGES}

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._explain])
        self._pages.add_static(app)
        app.router.add_get("/", self._index)
        app.router.add_get("/start", self._back)  # for those who reload what a refused form has answered
        app.router.add_post("/start", self._start)
        app.router.add_post("/cancel", self._cancel)
        app.router.add_post("/done", self._done)
        app.router.add_get("/day.csv", self._day)
        app.router.add_get("/events/{language}", self._events)
        app.cleanup_ctx.append(self._publishing)
        app.on_shutdown.append(self._close)
        return app

    # --- pages ------------------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.Response:
        return self._page(request, self._eid(request.query.get("eid")))

    async def _start(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        eid, id_ = self._eid(form.get("eid")), form.get("id", "")
        number, note = Redacted(form.get("number", "")), form.get("note", "")
        options = {
            name.removeprefix(_OPTION): Redacted(value)
            for name, value in form.items()
            if name.startswith(_OPTION) and value
        }
        # Another eID than the form's would ring the person's other app. And what an eID does not declare as an option
        # may be any field of the request, such as what the answer must prove.
        declared = {option.name for option in eid.options}
        if not _ID.fullmatch(id_) or eid.name != form.get("eid") or not declared.issuperset(options):
            raise web.HTTPBadRequest
        if eid.message != "forbidden" and form.get("message"):
            options["message"] = Redacted(form["message"])
        try:
            entry = await self._book.start(id_, eid.name, number, note=note, **options)
        except (UsageError, StoreError) as error:
            about_number = _refuses(eid, number, options)
            wrong, said = complaint(error, eid, self._language_of(request), about_number=about_number)
            id_ = new_id() if error.code in {"form_used", "login_id"} else id_
            return self._page(
                request, eid, status=422, id=id_, given=options, note=note, wrong=wrong, error=said, **_message(form)
            )
        raise web.HTTPSeeOther(f"./#call-{entry.id}")

    async def _cancel(self, request: web.Request) -> web.Response:
        id_ = (await self._form(request)).get("id", "")
        await self._book.cancel(id_)
        raise web.HTTPSeeOther(f"./#call-{id_}" if _ID.fullmatch(id_) else "./")

    async def _done(self, request: web.Request) -> web.Response:
        self._book.done((await self._form(request)).get("id", ""))
        raise web.HTTPSeeOther("./")

    async def _back(self, _: web.Request) -> web.Response:
        raise web.HTTPSeeOther("./")

    async def _day(self, request: web.Request) -> web.Response:
        entries = sorted(_all(self._book.snapshot()), key=lambda entry: (entry.asked_at, entry.nth))
        return web.Response(
            body=listing(entries, language=self._language_of(request)),
            content_type="text/csv",
            charset="utf-8",
            headers={"Content-Disposition": 'attachment; filename="desk.csv"'},
        )

    def _page(self, request: web.Request, eid: Eid, *, status: int = 200, **values: Any) -> web.Response:
        language = self._language_of(request)
        say = sayer(language)
        usual = {
            "id": new_id(),
            "given": {},
            "message": self._message,
            "note": "",
            "wrong": "",
            "error": "",
        }
        return self._pages.page(
            "desk.html",
            status=status,
            skip=say("skip"),
            eid=eid,
            eids=offered(self._book.eids),
            fields=fields(eid, language),
            person=person(eid, say),
            **self._shown(self._book.snapshot(), language),
            **{**usual, **values},
        )

    def _shown(self, snapshot: Snapshot, language: str) -> dict[str, Any]:
        """What the parts of the page that change by themselves are made of."""
        on_desk = [*snapshot.open, *(entry for entry in snapshot.ended if not entry.is_done)]
        today = [
            {
                "entry": entry,
                "time": clock_time(entry.asked_at),
                "call": call(entry, snapshot.now, language),
            }
            for entry in snapshot.ended
        ]
        return {
            "language": language,
            "say": sayer(language),
            "calls": [call(entry, snapshot.now, language) for entry in on_desk],
            "today": today,
            "stopping": snapshot.stopping,
        }

    # --- what a request says ----------------------------------------------------------------------------------------

    @staticmethod
    async def _form(request: web.Request) -> Mapping[str, str]:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if any(len(value) > _LONGEST for value in form.values()):
            raise web.HTTPRequestEntityTooLarge(_LONGEST, max(map(len, form.values())))
        return form

    def _eid(self, name: str | None) -> Eid:
        """The one of this name, or the one that was used last, or the first."""
        eids = {eid.name: eid for eid in offered(self._book.eids)}
        last = next((entry.eid for entry in _latest(self._book.snapshot())), "")
        return eids.get(name or "") or eids.get(last) or next(iter(eids.values()))

    def _language_of(self, request: web.Request) -> str:
        return self._language or preferred(request.headers.get("Accept-Language", ""))

    # --- what changes by itself -------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        feed = self._feeds.get(request.match_info["language"])
        if feed is None:
            raise web.HTTPNotFound
        return await feed.serve(request)

    def _state(self, language: str) -> list[SentEvent]:
        return self._parts(self._book.snapshot(), language)

    def _parts(self, snapshot: Snapshot, language: str, parts: Sequence[str] = _PARTS) -> list[SentEvent]:
        shown = self._shown(snapshot, language)
        return [SentEvent.show(part, self._pages.render(f"{part}.html", **shown)) for part in parts]

    async def _publishing(self, app: web.Application) -> AsyncIterator[None]:
        async def publish() -> None:
            try:
                await self._publish()
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing old may stand there as if it were new
                _logger.error("the desk: %s", explain.internal(error))  # noqa: TRY400 - frames
                await self._close(app)

        task = asyncio.create_task(publish())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _publish(self) -> None:
        before: dict[str, Entry] = {}
        ended: tuple[Entry, ...] | None = None
        async for snapshot in self._book.snapshots():
            # The list of a long day is far longer than the calls, and most changes are of those.
            parts, ended = _PARTS if snapshot.ended != ended else _PARTS[:1], snapshot.ended
            now = {entry.id: entry for entry in _all(snapshot)}
            changed = [entry for id_, entry in now.items() if _is_news(before.get(id_), entry)]
            before = now
            for language, feed in self._feeds.items():
                if feed.listeners:
                    feed.publish(*self._parts(snapshot, language, parts), *self._said(changed, snapshot.now, language))

    def _said(self, changed: list[Entry], now: float, language: str) -> list[SentEvent]:
        """For those who do not see the page."""
        say = sayer(language)
        calls = [call(entry, now, language) for entry in changed]
        texts = [
            f"{say('call', nth=each.entry.nth)}: {each.verdict}. {each.entry.name or ''} {each.phase} {each.next}"
            for each in calls
        ]
        return [SentEvent.show("said", self._pages.render("said.html", texts=texts))] if texts else []

    async def _close(self, app: web.Application) -> None:
        for feed in self._feeds.values():
            await feed.close(app)

    # --- what goes wrong --------------------------------------------------------------------------------------------

    @web.middleware
    async def _explain(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """A page for whatever goes wrong; a bug is told without its message and frames, which may hold a number."""
        detail = ""
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < web.HTTPBadRequest.status_code:
                raise
            status = error.status
        except CibaError as error:
            status, detail = 503, str(error)
        except Exception as error:  # noqa: BLE001 - see above
            status, detail = 500, str(explain.internal(error))
            _logger.error("the desk: %s", detail)  # noqa: TRY400 - frames
        say = sayer(self._language_of(request))
        kind = "missing" if status == web.HTTPNotFound.status_code else "broken"
        return self._pages.page(
            "error.html",
            status=status,
            language=self._language_of(request),
            skip=say("skip"),
            say=say,
            what=say(f"page_{kind}"),
            advice=say(f"page_{kind}_advice"),
            detail=detail,
        )


def _message(form: Mapping[str, str]) -> dict[str, str]:
    return {"message": form["message"]} if "message" in form else {}


def _refuses(eid: Eid, number: Redacted, options: Mapping[str, str]) -> bool:
    """Whether it is the number that cannot work."""
    try:
        if eid.needs_ssn:
            eid.check_ssn(number, **options)
    except UsageError as error:
        return not eid.takes(error.code)
    return False


def _all(snapshot: Snapshot) -> list[Entry]:
    return [*snapshot.open, *snapshot.ended]


def _latest(snapshot: Snapshot) -> list[Entry]:
    return sorted(_all(snapshot), key=lambda entry: entry.asked_at, reverse=True)


def _is_news(before: Entry | None, entry: Entry) -> bool:
    """Whether somebody who does not see the page should hear of it."""
    if before is None:
        return entry.ended_at is None or not entry.is_done
    return (before.state, before.phase, before.again_at) != (entry.state, entry.phase, entry.again_at)
