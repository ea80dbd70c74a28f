"""The journal of a batch, for asyncio: what is written together is committed together, in a thread of its own."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from idura_ciba.batch.marks import Marks
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Change, Entry, Store
from idura_ciba.client import CibaClient
from idura_ciba.errors import JournalError

__all__ = ["Journal", "Output"]

T = TypeVar("T")

#: Seconds that changes nobody waits for may wait for company. A commit costs more than all changes in it.
LINGER = 0.02


class Output(Protocol):
    """Where the results go, for a journal that has to know how much of it is safe."""

    def position(self) -> int:
        """How many bytes have been written."""
        ...

    def sync(self) -> None:
        """Return once they are on the disk. Called in the journal's thread."""
        ...


class Journal:
    """Remembers who was asked and what came of it, across crashes.

    An async context manager, from opening to closing in the hands of one process. It holds the keys that the caller
    gave, and no national id.

    Args:
        path: The file; made where there is none, readable by its owner only. None: in memory, which survives nothing.
        client: Whose batch it is. Another provider, client or credential cannot read it.
        output: Where the results go. With one, a result counts as handed over once it is on the disk there.

    Raises:
        JournalError: On entering: the file cannot be used, and why.

    Example:
        ::

            async with Journal(Path("people.journal"), ciba) as journal:
                async for result in verify_many(ciba, people, journal=journal):
                    ...
    """

    def __init__(self, path: Path | None, client: CibaClient, *, output: Output | None = None) -> None:
        self.sealing: Sealing = Sealing.of(client)
        self.marks: Marks = Marks(None, trusted=False)
        self._path = path
        self._output = output
        self._thread = ThreadPoolExecutor(1, "idura-ciba-journal")
        self._store: Store | None = None
        self._changes: list[tuple[Change, asyncio.Future[bool] | None]] = []
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: What made it unusable; nothing is written after that.
        self.failure: JournalError | None = None

    async def __aenter__(self) -> Self:
        """Open it, or make it."""
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(self._thread, partial(Store, self._path, self.sealing))
        try:
            # Shielded, because what a thread has begun cannot be stopped.
            self._store = await asyncio.shield(opening)
        except JournalError as error:
            self._thread.shutdown(wait=False)
            raise error.without_frames() from None
        except asyncio.CancelledError:
            opening.add_done_callback(self._close_late)
            raise
        marks = None if self._path is None else self._path.with_name(f"{self._path.name}-marks")
        self.marks = Marks(marks, trusted=self._store.is_of_this_boot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what waits, and close it."""
        try:
            await self.flush()
        finally:
            self.marks.close()
            await self._in_thread(self._open_store().close)
            self._thread.shutdown(wait=False)

    @property
    def run(self) -> int:
        """The number of this run, from 1."""
        return self._open_store().run

    async def fact(self, name: str) -> Any:
        """What `note` noted; None where nothing is."""
        return await self._in_thread(partial(self._open_store().fact, name))

    async def note(self, name: str, value: str | float) -> None:
        """Keep a value of the caller's, such as the settings of the batch. Not a secret one."""
        await self._in_thread(partial(self._open_store().note, name, value))

    async def find(self, key: str) -> Entry | None:
        """The entry with a key, if there is one."""
        return await self._in_thread(partial(self._open_store().find, key))

    async def unfinished(self) -> list[Entry]:
        """Entries that an earlier run left before they were handed over."""
        return await self._in_thread(self._open_store().unfinished)

    async def held(self, now: float) -> dict[bytes, float]:
        """Until when the people of earlier runs may still have a prompt."""
        return await self._in_thread(partial(self._open_store().held, now))

    async def read(self, consumer: Callable[[Store], T]) -> T:
        """Let a function read the store, in the journal's thread."""
        return await self._in_thread(partial(consumer, self._open_store()))

    async def begin(self, entry: Entry) -> bool:
        """Write a new entry; False where there is one with this key. On the disk when this returns."""
        return await self._submit(Change(entry.values(), is_new=True), linger=0.0)

    async def write(self, entry: Entry, *, linger: float = 0.0) -> None:
        """Write an entry as it is now. On the disk when this returns; `linger` is how many seconds that has time."""
        await self._submit(Change(entry.values()), linger=linger)

    def write_soon(self, entry: Entry) -> None:
        """Write an entry as it is now, without waiting for the disk; `failure` says if it could not be."""
        self._put(Change(entry.values()), None, linger=0.0)

    def deliver(self, entry: Entry) -> None:
        """Write an entry that was handed over; soon, and with what was handed over on the disk before it."""
        position = None if self._output is None else self._output.position()
        self._put(Change(entry.values(), position=position), None, linger=LINGER)

    async def account(self, entries: Sequence[Entry], position: int) -> None:
        """Write entries and how much of the output is accounted for with them, all of it or nothing."""
        changes = [*(Change(entry.values()) for entry in entries), Change(position=position)]
        sync = None if self._output is None else self._output.sync
        await self._in_thread(partial(self._open_store().apply, changes, sync))

    async def forget(self, key: str) -> None:
        """Forget an entry that was never asked."""
        await self._submit(Change(forget=key), linger=0.0)

    async def flush(self) -> None:
        """Wait until everything is on the disk, or could not be written.

        Raises:
            JournalError: It could not.
        """
        while self._changes or self._committing:
            self._commit()
            assert self._committing is not None  # noqa: S101 - for type checkers: something is being written
            await asyncio.shield(self._committing)
        self._check()

    async def purge(self, before: float) -> int:
        """Forget what ended before an instant and was handed over; returns how many that were.

        Whoever is forgotten is asked again where the same file is verified again.
        """
        return await self._in_thread(partial(self._open_store().purge, before))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _open_store(self) -> Store:
        if self._store is None:
            raise JournalError("the journal is not open", code="journal_closed", advice="use it in `async with`")
        return self._store

    def _close_late(self, opening: asyncio.Future[Store]) -> None:
        """Whoever opened it has gone before it was open."""
        if not opening.cancelled() and opening.exception() is None:
            asyncio.get_running_loop().run_in_executor(self._thread, opening.result().close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: what a thread has begun cannot be stopped, and the store must not be used by two at once.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    def _check(self) -> None:
        if self.failure is not None:
            raise copy.copy(self.failure)

    async def _submit(self, change: Change, *, linger: float) -> bool:
        self._check()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._put(change, done, linger=linger)
        return await done

    def _put(self, change: Change, done: asyncio.Future[bool] | None, *, linger: float) -> None:
        if self.failure is not None:
            return
        self._changes.append((change, done))
        if not linger:
            self._commit()
        elif self._timer is None and self._committing is None:
            self._timer = asyncio.get_running_loop().call_later(linger, self._commit)

    def _commit(self) -> None:
        """Commit what waits, unless a commit is under way: that one takes it along when it is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._committing is None and self._changes:
            self._committing = asyncio.get_running_loop().create_task(self._commit_all())

    async def _commit_all(self) -> None:
        store, sync = self._open_store(), None if self._output is None else self._output.sync
        try:
            while self._changes:
                waiting, self._changes = self._changes, []
                changes = [change for change, _ in waiting]
                try:
                    made = await self._in_thread(partial(store.apply, changes, sync))
                except JournalError as error:
                    self._fail(error.without_frames(), waiting)
                except OSError as error:
                    self._fail(_output_failed(error), waiting)
                else:
                    for (_, done), was_made in zip(waiting, made, strict=True):
                        if done is not None and not done.done():
                            done.set_result(was_made)
        finally:
            self._committing = None

    def _fail(self, error: JournalError, waiting: list[tuple[Change, asyncio.Future[bool] | None]]) -> None:
        """Nothing can be written any more; everybody who waits hears of it, and who comes later."""
        self.failure = error
        for _, done in (*waiting, *self._changes):
            if done is not None and not done.done():
                done.set_exception(copy.copy(error))
        self._changes = []


def _output_failed(error: OSError) -> JournalError:
    return JournalError(
        f"the results cannot be made safe: {error.strerror or type(error).__name__}",
        code="journal_output",
        phone="Nobody else is asked; a prompt that was sent stays on its phone",
        advice="see to the disk of the output, then run again",
    )
