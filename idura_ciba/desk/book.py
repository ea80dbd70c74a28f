"""What an agent has open: starts logins, follows them, and remembers the day. It knows nothing of pages.

Rules:
1. A login has its id before anybody is asked: the id of the form. A form that comes twice is one login.
2. What is written down is written before the phone can ring, and nobody's number is ever written.
3. One person has one prompt. Whoever asks again sees the first login, and rings nobody.
4. Closing, a crash and a restart lose no login: the fleet goes on with it, and so does the book.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, time
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, frozen

from idura_ciba import explain
from idura_ciba.aio.clock import Clock
from idura_ciba.client import CibaClient
from idura_ciba.desk.diary import Diary
from idura_ciba.desk.entry import Entry
from idura_ciba.eids import EIDS, Eids
from idura_ciba.eids.eid import Eid
from idura_ciba.eids.phase import Phase
from idura_ciba.eids.request import EidRequest
from idura_ciba.errors import ArgumentError, CibaError, StoreError, UsageError
from idura_ciba.fleet import Fleet, FleetLogin, FleetOutcome
from idura_ciba.fleet.login import written
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.tasks import Tasks
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.outcome import Outcome

__all__ = ["DeskBook", "Snapshot", "day_file", "new_id"]

_logger = logging.getLogger("idura_ciba")

#: Seconds for which a login stays after its end although its day is over: at midnight somebody may be on the phone.
STAYS: Final = 3600.0
#: Seconds after the end of a login for which its form may come again: a browser repeats what it got no answer to.
REPEATED: Final = 60.0
#: Seconds between two looks at what may be forgotten.
LOOK: Final = 60.0
#: Seconds until a store that could not be read is read again.
AGAIN: Final = 1.0
#: Characters of a note.
MAX_NOTE: Final = 80


def new_id() -> str:
    """An id for a login that may be started later: 128 random bits."""
    return secrets.token_hex(16)


def day_file(store: Path) -> Path:
    """Where the day is remembered, beside the fleet's store."""
    return store.with_name(f"{store.name}.day")


@frozen
class Snapshot:
    """Everything that there is to show at one instant.

    Attributes:
        now: Seconds since the epoch.
        open: The logins whose people are being asked, the latest first.
        ended: Those that have ended, the latest first, also those that the agent is done with.
        stopping: The desk is being stopped; what is open goes on when it is started again.
    """

    now: float
    open: tuple[Entry, ...]
    ended: tuple[Entry, ...]
    stopping: bool = False


class DeskBook:
    """The logins of one desk.

    Args:
        ciba: The client that asks; it is closed with the book.
        store: An SQLite file for what is under way, and with `.day` at the end of its name one for the day; both can be
            read by this client only. None: in memory, so that nothing survives the process.
        eids: The eIDs to offer.
        scope: OAuth scopes of each request; None for `openid`.
        require_person: Whether a login that does not confirm the person fails.
        clock: As for the client; replaced in tests.
    """

    def __init__(
        self,
        ciba: CibaClient,
        store: Path | None = None,
        *,
        eids: Eids = EIDS,
        scope: str | None = None,
        require_person: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.eids: Eids = eids
        self._clock = clock or Clock()
        self._fleet = Fleet(ciba, SqliteStore(store, clock=self._clock), clock=self._clock)
        self._sealing = Sealing.of(ciba)
        self._diary = Diary(None if store is None else day_file(store), self._sealing)
        self._fields: dict[str, Any] = {"require_person": True} if require_person else {}
        self._fields |= {} if scope is None else {"scope": scope}
        self._entries: dict[str, Entry] = {}
        self._logins: dict[str, FleetLogin] = {}
        self._starting: dict[str, asyncio.Task[Entry]] = {}
        self._tasks = Tasks()
        self._changed = asyncio.Event()
        self._stopping = False

    def __repr__(self) -> str:
        """How many there are; nothing of anybody."""
        return f"<DeskBook of {len(self._entries)} logins>"

    async def __aenter__(self) -> Self:
        """Open the files, and go on with what was under way.

        Raises:
            StoreError: A file cannot be used, for example because another desk has it.
        """
        await self._fleet.__aenter__()
        try:
            self._diary.open()
            for entry in self._diary.read(since=self._midnight()):
                self._entries[entry.id] = entry
                if entry.ended_at is None:
                    self._tasks.spawn(self._go_on(entry))
            self._forget()
        except BaseException:
            await self.close()
            raise
        self._tasks.spawn(self._tidy())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Stop following. Whoever is being asked still is, and the next book over the same files goes on with them."""
        self.stop()
        await self._fleet.close()
        if self._starting:
            await asyncio.wait(self._starting.values())  # the fleet has let none of them wait
        await self._tasks.stop()
        self._diary.close()
        self._tell()

    def stop(self) -> None:
        """Say that the desk is about to be closed, so that pages can show it, and start nothing more."""
        self._stopping = True
        self._tell()

    # --- what there is ----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What there is to show now."""
        latest = sorted(self._entries.values(), key=lambda entry: (entry.asked_at, entry.nth), reverse=True)
        return Snapshot(
            self._clock.wall(),
            tuple(entry for entry in latest if entry.ended_at is None),
            tuple(entry for entry in latest if entry.ended_at is not None),
            self._stopping,
        )

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """What there is to show: the present at once, then after each change; the last one is of a desk that stops.

        A reader that is slow misses what has changed again meanwhile.
        """
        while True:
            changed = self._changed
            snapshot = self.snapshot()
            yield snapshot
            if snapshot.stopping:
                return
            await changed.wait()

    # --- what an agent does -----------------------------------------------------------------------------------------

    async def start(self, id_: str, eid: str, number: str, *, note: str = "", **options: Any) -> Entry:
        """Ask a person; returns once the provider has accepted, or has not.

        Args:
            id_: The id of the form, from `new_id`. If a login of this id was started for this person, and is not over
                for more than a minute, that is returned.
            eid: The short name of the eID.
            number: Whom to ask, in any written form. It is not kept.
            note: The agent's own note.
            options: Options of the eID, and `message`.

        Returns:
            The login; or the one through which this person is being asked already, with `again_at`.

        Raises:
            UsageError: Something in the form cannot work, it was sent for somebody else or for a login that is over
                (`form_used`), the person is being asked by something else (`AlreadyPending`), or the desk stops. Nobody
                was asked.
            StoreError: The file cannot be written, or the form is of an earlier day (`login_id`). Nobody was asked.
        """
        chosen = self.eids.find(eid)
        request = self._request(chosen, Redacted(number), Redacted(note), options)
        tag = self._sealing.tag(request).hex()
        if (entry := self._entries.get(id_)) is not None:
            is_over = entry.ended_at is not None and self._clock.wall() > entry.ended_at + REPEATED
            if entry.tag != tag or is_over:
                # A page from the browser's memory, filled in for the next caller: they would get another one's answer.
                # Who calls later and says that they are the same person is another caller, too.
                raise ArgumentError(
                    "this form was sent before, for somebody else or for a login that is over",
                    code="form_used",
                    advice="send a new form",
                )
            if id_ not in self._starting:
                return entry
        else:
            self._check_open()
            entry = Entry(
                id=id_,
                nth=self._next(),
                eid=chosen.name,
                label=chosen.label,
                note=note.strip(),
                asked_at=self._clock.wall(),
                tag=tag,
            )
            self._put(entry, keep=True)
            self._starting[id_] = task = self._tasks.spawn(self._begin(entry, request))
            task.add_done_callback(lambda _: self._starting.pop(id_, None))
        # To its end even if the caller's connection is gone: the phone may ring.
        return await asyncio.shield(self._starting[id_])

    async def cancel(self, id_: str) -> bool:
        """Stop waiting for a person; the prompt stays on the phone until it expires, and cannot be withdrawn.

        While the request is on its way, this waits for what the provider says of it.

        Returns:
            Whether there is such a login, and it had not ended.

        Raises:
            StoreError: The file cannot be used.
        """
        if id_ in self._starting:
            await asyncio.wait([self._starting[id_]])
        login = self._logins.get(id_)
        return login is not None and await login.cancel()

    def done(self, id_: str) -> None:
        """The agent has seen how a login ended; it is in the list of the day.

        Raises:
            StoreError: The file cannot be written.
        """
        entry = self._entries.get(id_)
        if entry is not None and entry.ended_at is not None:
            self._put(evolve(entry, is_done=True), keep=True)

    def _request(self, eid: Eid, number: Redacted, note: Redacted, options: Mapping[str, Any]) -> EidRequest:
        request = eid.ask(number, **options, **self._fields)
        if len(note) > MAX_NOTE or request.is_named_in(note):
            raise ArgumentError(
                f"the note is longer than {MAX_NOTE} characters, or has the person's number in it",
                code="note",
                advice="write something else, such as the number of the case",
            )
        return request

    def _check_open(self) -> None:
        if self._stopping:
            raise explain.closed()

    # --- one login --------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        midnight = self._midnight()
        nth = max((entry.nth for entry in self._entries.values() if entry.asked_at >= midnight), default=0) + 1
        others = {entry.nth for entry in self._entries.values()}  # yesterday's last ones, too
        return next(each for each in count(nth) if each not in others)

    async def _begin(self, entry: Entry, request: EidRequest) -> Entry:
        try:
            login = await self._fleet.start(request, id=entry.id)
        except AlreadyPending as error:
            self._withdraw(entry)
            first = self._entries.get(error.login_id or "")
            if first is None:
                raise
            # On the desk again, even if the agent was done with it: nothing else says why nobody is rung.
            first = evolve(first, again_at=self._clock.wall(), until=error.until, is_done=False)
            self._put(first)
            return first
        except (UsageError, StoreError):
            self._withdraw(entry)
            raise
        except CibaError as error:
            return self._end(entry, _failed(error))
        self._tasks.spawn(self._follow(entry, login))
        entry = evolve(self._entries[entry.id], state=State.PENDING, words=login.spoken_words)
        self._put(entry)
        return entry

    async def _go_on(self, entry: Entry) -> None:
        """With what an earlier book has begun."""
        while True:
            try:
                login = await self._fleet.get(entry.id)
            except StoreError as error:
                if error.code == "login_unknown":
                    # Killed just before the fleet wrote it down, or so long ago that the fleet has forgotten it.
                    self._end(entry, _failed(explain.interrupted("asking")))
                    return
                _logger.warning("the desk: %s", error.what)
                await asyncio.sleep(AGAIN)
            else:
                await self._follow(entry, login)
                return

    async def _follow(self, entry: Entry, login: FleetLogin) -> None:
        self._logins[entry.id] = login
        try:
            outcome = await self._watch(entry.id, login)
        except Exception:
            # A bug. An end that nobody knows is better than a call that waits for ever.
            self._end(self._entries[entry.id], _failed(explain.indeterminate(trouble="a bug in the desk")))
            raise
        finally:
            del self._logins[entry.id]
        if outcome.state is State.HANDED_OVER:
            self._put(evolve(self._entries[entry.id], phase=Phase.HANDED_OVER))
            return
        self._end(self._entries[entry.id], outcome)

    async def _watch(self, id_: str, login: FleetLogin) -> FleetOutcome:
        while True:
            try:
                async for update in login.updates():
                    if update.state.is_final:
                        break
                    self._put(
                        evolve(
                            self._entries[id_],
                            state=update.state,
                            phase=update.phase,
                            hint=update.hint if update.phase is Phase.UNKNOWN else None,
                            words=login.spoken_words,
                            until=update.expires_at,
                        )
                    )
                return await login.outcome()
            except StoreError as error:
                _logger.warning("the desk: %s", error.what)
                await asyncio.sleep(AGAIN)

    def _end(self, entry: Entry, outcome: FleetOutcome) -> Entry:
        entry = entry.ended(outcome, at=self._clock.wall())
        try:
            self._put(entry, keep=True)
        except StoreError as error:
            _logger.warning("the desk: %s", error.what)
            self._put(entry)  # an answer in hand is shown, whatever the disk says
        return entry

    # --- all of them ------------------------------------------------------------------------------------------------

    def _put(self, entry: Entry, *, keep: bool = False) -> None:
        """Show an entry; `keep` what is said of it."""
        if keep:
            self._diary.write(entry)
        self._entries[entry.id] = entry
        self._tell()

    def _withdraw(self, entry: Entry) -> None:
        """Nobody was asked, whatever the disk says; what it cannot forget now, the next start calls interrupted."""
        try:
            self._drop(entry)
        except StoreError as error:
            _logger.warning("the desk: %s", error.what)
            del self._entries[entry.id]
            self._tell()

    def _drop(self, entry: Entry) -> None:
        self._diary.forget(entry.id)
        del self._entries[entry.id]
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                self._forget()
            except StoreError as error:
                _logger.warning("the desk: %s", error.what)

    def _forget(self) -> None:
        """Forget whoever was asked before today, unless they are on the phone, or were a moment ago."""
        now, midnight = self._clock.wall(), self._midnight()
        for entry in list(self._entries.values()):
            if entry.asked_at < midnight and entry.ended_at is not None and now - entry.ended_at > STAYS:
                self._drop(entry)

    def _midnight(self) -> float:
        """The beginning of today, where this machine stands."""
        today = datetime.fromtimestamp(self._clock.wall()).astimezone().date()
        return datetime.combine(today, time()).astimezone().timestamp()


def _failed(error: CibaError) -> FleetOutcome:
    outcome = Outcome.not_begun(error)
    return FleetOutcome.of(outcome.state, written(outcome))
