"""The journal of a batch, for asyncio: a thread of its own commits changes in groups."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from idura_ciba.batch.marks import Marks
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Change, Entry, Store
from idura_ciba.client import CibaClient
from idura_ciba.errors import JournalError

__all__ = ["Journal", "Output"]

T = TypeVar("T")

#: Seconds that a change which nobody awaits may wait for others: a commit costs more than all changes in it.
LINGER = 0.02


class Output(Protocol):
    """A destination for results, for a journal that must know how much of it is on disk."""

    def position(self) -> int:
        """Return the number of bytes written so far."""
        ...

    def sync(self) -> None:
        """Return once they are on disk. Called in the journal's thread."""
        ...


class Journal:
    """A durable record of who was asked and how each login ended.

    An async context manager. While it is open, no other process can use it. It holds the caller's keys, but no national
    numbers.

    Args:
        path: The file; created if missing, readable by its owner only. None: in memory, lost with the process.
        client: The client of the batch. A journal cannot be read with another provider, client or credential.
        output: Where the results go. If given, a result counts as delivered once it is on disk there.

    Raises:
        JournalError: On entering, if the file cannot be used; the error says why.

    Example:
        ::

            async with Journal(Path("people.journal"), ciba) as journal:
                async for result in verify_many(ciba, people, journal=journal):
                    ...
    """

    #: What SQLite and this package append to the name of the file, for files beside it.
    ENDINGS: Final = ("wal", "shm", "journal", "marks")

    def __init__(self, path: Path | None, client: CibaClient, *, output: Output | None = None) -> None:
        self.sealing: Sealing = Sealing.of(client)
        self.marks: Marks = Marks(None, trusted=False)
        # Resolved once: SQLite puts its log beside the target of a link, and a program may change its folder.
        self._path = None if path is None else path.resolve()
        self._output = output
        self._thread = ThreadPoolExecutor(1, "idura-ciba-journal")
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._is_given_up = False
        self._changes: list[tuple[Change, asyncio.Future[bool] | None]] = []
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: The error that made it unusable; nothing is written after it.
        self.failure: JournalError | None = None

    async def __aenter__(self) -> Self:
        """Open the journal, or create it."""
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(self._thread, self._open)
        try:
            # Shielded, because a thread cannot be cancelled.
            store = await asyncio.shield(opening)
        except JournalError as error:
            self._thread.shutdown(wait=False)
            raise error.without_frames() from None
        except asyncio.CancelledError:
            # Nobody else can open the file until it is closed. A second cancellation does not wait for that.
            with suppress(asyncio.CancelledError):
                await asyncio.wait((self._give_up(opening),))
            raise
        marks = None if self._path is None else self._path.with_name(f"{self._path.name}-marks")
        self.marks = Marks(marks, trusted=store.is_of_this_boot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write pending changes, and close the journal."""
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
        """Return a value that `note` stored; None if there is none."""
        return await self._in_thread(partial(self._open_store().fact, name))

    async def note(self, name: str, value: str | float) -> None:
        """Store a value for the caller, such as the settings of the batch. It must not be secret."""
        await self._in_thread(partial(self._open_store().note, name, value))

    async def find(self, key: str) -> Entry | None:
        """Return the entry with a key; None if there is none."""
        return await self._in_thread(partial(self._open_store().find, key))

    async def unfinished(self) -> list[Entry]:
        """Return entries of earlier runs that were not delivered."""
        return await self._in_thread(self._open_store().unfinished)

    async def held(self, now: float) -> dict[bytes, float]:
        """Return until when people of earlier runs may still have a prompt, by their tags."""
        return await self._in_thread(partial(self._open_store().held, now))

    async def read(self, consumer: Callable[[Store], T]) -> T:
        """Call a function with the store in the journal's thread, and return its result."""
        return await self._in_thread(partial(consumer, self._open_store()))

    async def begin(self, entry: Entry) -> bool:
        """Write a new entry, on disk when this returns; False if an entry with its key exists."""
        return await self._submit(Change(entry.values(), is_new=True), linger=0.0)

    async def write(self, entry: Entry, *, linger: float = 0.0) -> None:
        """Write an entry as it is now, on disk when this returns; it may wait `linger` seconds to share a commit."""
        await self._submit(Change(entry.values()), linger=linger)

    def write_soon(self, entry: Entry) -> None:
        """Write an entry as it is now, without waiting; `failure` is set if that fails."""
        self._put(Change(entry.values()), None, linger=0.0)

    def deliver(self, entry: Entry) -> None:
        """Write a delivered entry soon, after its result is on disk."""
        position = None if self._output is None else self._output.position()
        self._put(Change(entry.values(), position=position), None, linger=LINGER)

    async def account(self, entries: Sequence[Entry], position: int) -> None:
        """Write entries and the output position that covers them, in one commit."""
        changes = [*(Change(entry.values()) for entry in entries), Change(position=position)]
        sync = None if self._output is None else self._output.sync
        await self._in_thread(partial(self._open_store().apply, changes, sync))

    async def forget(self, key: str) -> None:
        """Delete the entry of a person who was never asked."""
        await self._submit(Change(forget=key), linger=0.0)

    async def flush(self) -> None:
        """Wait until all changes are on disk.

        Raises:
            JournalError: They could not be written.
        """
        while self._changes or self._committing:
            self._commit()
            assert self._committing is not None  # noqa: S101 - for type checkers: something is being written
            await asyncio.shield(self._committing)
        self._check()

    async def purge(self, before: float) -> int:
        """Delete delivered entries that ended before an instant (seconds since the epoch); return how many.

        Whoever is deleted is asked again if the same file is verified again.
        """
        return await self._in_thread(partial(self._open_store().purge, before))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _open_store(self) -> Store:
        if self._store is None:
            raise JournalError("the journal is not open", code="journal_closed", advice="open it with `async with`")
        return self._store

    def _open(self) -> Store:
        """Open the store in its thread, and close it again if nobody waits for it any more."""
        store = Store(self._path, self.sealing)
        with self._lock:
            if not self._is_given_up:
                self._store = store
                return store
        store.close()
        return store

    def _give_up(self, opening: asyncio.Future[Store]) -> asyncio.Future[Any]:
        """Have the store closed by its thread, which may outlive the event loop; the result is done when it is.

        A store that is only forgotten loses its log without a trace, and the next run takes it for damaged.
        """
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        with self._lock:
            self._is_given_up, store = True, self._store
        closing: asyncio.Future[Any] = opening
        if store is not None:
            closing = asyncio.get_running_loop().run_in_executor(self._thread, store.close)
        self._thread.shutdown(wait=False)
        return closing

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a thread cannot be cancelled, and two threads must not use the store at once.
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
            self._timer = asyncio.get_running_loop().call_later(linger, self._commit, context=Context())

    def _commit(self) -> None:
        """Commit pending changes, unless a commit is running, which then commits them next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._committing is None and self._changes:
            self._committing = asyncio.get_running_loop().create_task(self._commit_all(), context=Context())

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
        """Fail all waiting changes and all later ones: nothing can be written any more."""
        self.failure = error
        for _, done in (*waiting, *self._changes):
            if done is not None and not done.done():
                done.set_exception(copy.copy(error))
        self._changes = []


def _output_failed(error: OSError) -> JournalError:
    return JournalError(
        f"the results cannot be written to disk: {error.strerror or type(error).__name__}",
        code="journal_output",
        phone="No more people are asked; prompts already sent stay on the phones until they expire",
        advice="check the disk that holds the results, then run again",
    )
