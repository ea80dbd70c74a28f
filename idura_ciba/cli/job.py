"""One run of `idura-ciba batch`: from rows to results, until the end or until it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from idura_ciba import (
    ArgumentError,
    CibaClient,
    CibaError,
    EidRequest,
    FairScheduler,
    State,
    Transaction,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.batch import Journal, Result, verify_many
from idura_ciba.batch.keys import refuse_reused_keys
from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.batch.store import Phase, Store
from idura_ciba.batch.system import BINARY
from idura_ciba.batch.tally import Tally
from idura_ciba.batch.verdicts import is_unknown
from idura_ciba.batch.writing import ResultFile, render
from idura_ciba.cli.batch_files import BadRows, Files
from idura_ciba.cli.files import PRIVATE
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.people import People
from idura_ciba.cli.progress import Progress, duration, reporting
from idura_ciba.cli.stopping import stoppable
from idura_ciba.cli.text import ERR, counted, say

__all__ = ["INBOUND_ONLY", "Again", "Ending", "Job", "is_inbound_only", "kept"]

#: Opens the input once more, with people of its own.
Again = Callable[[], AbstractContextManager[tuple[RowReader, People]]]

#: The Norwegian scheme calls it "Safe Conversation"; it has an agreement of its own.
INBOUND_ONLY: Final = (
    "Warning: Norwegian BankID allows this only in calls that people make to you, and a batch calls them. Make sure "
    "that your agreement covers it."
)


def is_inbound_only(acr_values: str | None) -> bool:
    """Return whether the scheme of an eID allows inbound calls only."""
    return (acr_values or "").startswith("urn:grn:authn:no:bankid")


def kept(name: str) -> str:
    """Return the field of a row that holds one of the input's own columns."""
    return f"keep:{name}"


@frozen(kw_only=True)
class Ending:
    """How a run ended.

    Attributes:
        whole: The results of the whole batch so far, earlier runs included.
        this: The results of this run.
        bad: Invalid rows.
        begun: Logins still pending, which the next run resumes.
        seconds: The duration of this run.
        stopped: The run was stopped before its end.
        closed: It was stopped because nobody reads its results any more.
        goes_on: There is a journal from which the next run can resume.
        error: The error that ended the run, or None.
        again: How to ask people again whose answer is unknown.
    """

    whole: Tally
    this: Tally
    bad: int
    begun: int
    seconds: float
    stopped: bool
    closed: bool = False
    goes_on: bool = True
    error: CibaError | None = None
    again: str = "pass --retry-indeterminate"

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        if self.stopped:
            return ExitCode.CLOSED if self.closed else ExitCode.INTERRUPTED
        return ExitCode.PARTLY if self.bad or self.whole.unsettled else ExitCode.OK

    @property
    def is_complete(self) -> bool:
        """Whether another run would have nothing to do, not even to ask somebody again."""
        unknown = self.begun or self.whole.states[State.INDETERMINATE]
        return not (self.stopped or unknown) and self.error is None

    def lines(self) -> Iterator[str]:
        """Yield the lines that a person reads."""
        counts = [
            f"{self.whole.states[state.value]:,} {state.value}" for state in State if self.whole.states[state.value]
        ]
        if self.bad:
            counts.append(counted(self.bad, "invalid row"))
        total, median, each = ", ".join(counts) or "no results", self.whole.median(), self.whole.requests_each
        if each is not None:
            total += f"; {'' if median is None else f'median answer {median:.1f} s, '}{each:.1f} requests per login"
        yield f"Total: {total}."
        yield f"This run: {counted(len(self.this), 'result')} in {duration(self.seconds)}."
        for code, count in self.whole.codes.most_common():
            yield f"  {count:,} x {code}"
        if indeterminate := self.whole.states[State.INDETERMINATE]:
            yield (
                f"The answer to {counted(indeterminate, 'login')} is unknown. To ask these people again, get their "
                f"agreement first, then {self.again}."
            )
        if self.stopped or self.error is not None:
            pending = f" with {counted(self.begun, 'login')} pending" if self.begun and self.goes_on else ""
            # A usage error says what to change first.
            resumes = self.goes_on and not isinstance(self.error, UsageError)
            yield f"Stopped before the end{pending}.{' Run the same command to resume.' if resumes else ''}"


@define(kw_only=True, eq=False)
class Job:
    """One run.

    Attributes:
        name: The name of the input.
        files: Where the output goes.
        reader: Reads the rows.
        people: Makes requests from rows.
        rejected: Reports invalid rows.
        claims: Names of the claims to write.
        places: Logins in flight at most.
        scheduler: The client's scheduler.
        total: Rows of the input, if known.
        again: Opens the input once more, to look at all of it before anybody is asked; None for a pipe.
        keep: Names of the input's own columns to write into the results.
        excel: Write the results as Excel reads them.
        skip_duplicates: Ask each person only once.
        retry: Ask people again whose answer is unknown.
        clock: The clock.
    """

    name: str
    files: Files
    reader: RowReader
    people: People
    rejected: BadRows
    claims: tuple[str, ...]
    places: int
    scheduler: FairScheduler
    total: int | None
    again: Again | None = None
    keep: tuple[str, ...] = ()
    excel: bool = False
    skip_duplicates: bool = False
    retry: bool = False
    clock: Clock = field(factory=Clock)
    _enough: asyncio.Event = field(init=False, factory=asyncio.Event)
    _stopped: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    _progress: Progress = field(init=False)
    # The own columns of those who are being asked, by key.
    _kept: dict[str, Mapping[str, str]] = field(init=False, factory=dict, repr=False)
    _warned: bool = field(init=False, default=False)
    _accepted: Callable[[str, Transaction], None] | None = field(init=False, default=None)

    async def run(self, connection: AbstractAsyncContextManager[CibaClient]) -> Ending:
        """Ask everyone in the input.

        Args:
            connection: Opens the client.

        Raises:
            CibaError: The run could not begin.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._progress = Progress(self.name, began_at, self.scheduler.snapshot, self.total)
        error: CibaError | None = None
        whole, begun = Tally(), 0
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for type checkers: a coroutine runs in a task
        with ExitStack() as stack:
            # Everything is in the journal, and SIGKILL follows SIGTERM soon.
            stack.enter_context(stoppable(task.cancel, partial(self._interrupt, task)))
            results = None
            self._open_words(stack)
            if self.files.out is not None:
                results = ResultFile(
                    self.files.out, self.files.output_format, self.claims, keep=self.keep, excel=self.excel
                )
                stack.callback(results.close)
            try:
                async with (
                    connection as client,
                    Journal(self.files.journal, client, output=results) as journal,
                ):
                    if results is not None:
                        await results.open(journal)
                    self._progress.known = await journal.read(self._count_known)
                    try:
                        await self._look_ahead(journal)
                        await self._verify(client, journal, self._write(results))
                    except (asyncio.CancelledError, BrokenPipeError) as end:
                        self._stopped, self._closed = True, isinstance(end, BrokenPipeError)
                    except CibaError as failure:
                        error = failure
                    whole, begun = await journal.read(_count_all)
            except asyncio.CancelledError:
                # Before anybody was asked, or after all was written.
                self._stopped = True
            except CibaError as failure:
                if error is None and not len(whole):
                    raise
                error = error or failure
        return Ending(
            whole=whole,
            this=self._progress.tally,
            bad=self.people.bad,
            begun=begun,
            seconds=loop.time() - began_at,
            stopped=self._stopped or self._enough.is_set(),
            closed=self._closed,
            goes_on=self.files.journal is not None,
            error=error,
        )

    def _count_known(self, store: Store) -> int:
        return sum(
            entry.phase is Phase.DELIVERED and not (self.retry and entry.state == State.INDETERMINATE)
            for entry in store
        )

    async def _verify(self, client: CibaClient, journal: Journal, write: Callable[[Result], None]) -> None:
        asking = verify_many(
            client,
            self._requests(journal),
            journal=journal,
            max_in_flight=self.places,
            duplicates="skip" if self.skip_duplicates else "wait",
            claims=self.claims,
            retry_indeterminate=self.retry,
            accepted=self._accepted,
            clock=self.clock,
        )
        async with reporting(self._progress, ERR), aclosing(asking) as results:
            async for result in results:
                write(result)
                self._progress.tally.add(result)

    # --- in and out -------------------------------------------------------------------------------------------------

    async def _look_ahead(self, journal: Journal) -> None:
        """Look at all rows before anybody is asked: for keys that stand for other people, and for columns to keep."""
        if self.again is None or journal.run == 1:
            return
        ended = {entry.key for entry in await journal.unfinished()} if self.keep else set()
        with self.again() as (reader, people):

            def rows() -> Iterator[tuple[str, EidRequest]]:
                for row in reader:
                    made = people.request(row)
                    if not isinstance(row, BadRow) and not isinstance(made, BadRow):
                        if made[0] in ended:
                            self._kept[made[0]] = self._own(row)
                        yield made

            await refuse_reused_keys(journal, rows())

    def _own(self, row: Row) -> Mapping[str, str]:
        return {name: row.values.get(kept(name), "") for name in self.keep}

    def _write(self, results: ResultFile | None) -> Callable[[Result], None]:
        if results is not None:
            return lambda result: results.write(result, self._kept.pop(result.key, None))

        def write(result: Result) -> None:
            # Unbuffered: a result counts as delivered once it has left this process.
            line = render(result, "jsonl", (), self._kept.pop(result.key, {}) if self.keep else None)
            while line:
                line = line[os.write(1, line) :]

        return write

    async def _requests(self, journal: Journal) -> AsyncIterator[tuple[str, EidRequest]]:
        """Yield requests from the valid rows, until the input ends or the run is stopped."""
        async for row in self._rows():
            made = self.people.request(row)
            if isinstance(made, BadRow):
                self.rejected.add(made)
                self._progress.bad = self.people.bad
            else:
                key, request = made
                self._warn(request)
                # Of the others nobody would ever take them.
                if self.keep and not isinstance(row, BadRow) and await self._is_asked(journal, key):
                    self._kept[key] = self._own(row)
                yield made
            if self._enough.is_set():
                return
        self._progress.total = self.people.good + self.people.bad

    def _open_words(self, stack: ExitStack) -> None:
        if self.files.words is not None:
            self._accepted = _words_writer(stack.enter_context(_appended(self.files.words)))

    def _warn(self, request: EidRequest) -> None:
        if not self._warned and is_inbound_only(request.acr_values):
            self._warned = True
            say(INBOUND_ONLY, style="yellow")

    async def _is_asked(self, journal: Journal, key: str) -> bool:
        known = await journal.find(key) if journal.run > 1 else None
        return known is None or (self.retry and is_unknown(known))

    async def _rows(self) -> AsyncIterator[Row | BadRow]:
        if self.name != "-":
            for row in self.reader:
                yield row
            return
        # A slow writer at the other end of a pipe must not block the event loop.
        ahead = _RowThread(iter(self.reader))
        enough = asyncio.ensure_future(self._enough.wait())
        try:
            while True:
                coming = ahead.next()
                both: set[asyncio.Future[Any]] = {coming, enough}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                found = None if enough.done() else coming.result()
                if found is None:
                    return
                yield found
        finally:
            enough.cancel()

    # --- stopping ---------------------------------------------------------------------------------------------------

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        """Stop new logins at the first Ctrl-C, and the run at the second."""
        if self._enough.is_set():
            task.cancel()
            return
        self._enough.set()
        self._progress.note = "stopping: no new logins; Ctrl-C again stops at once"
        say("Stopping: no new logins. People being asked can still answer; press Ctrl-C again to stop at once.")


@contextmanager
def _appended(path: Path) -> Iterator[int]:
    """Open a file for appending, readable by its owner only."""
    reason, descriptor = "", -1
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | BINARY, PRIVATE)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise ArgumentError(f"The file {path} cannot be written: {reason}", code="file", advice="Choose another path")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _words_writer(descriptor: int) -> Callable[[str, Transaction], None]:
    """Return a callback that appends the spoken words of each accepted login."""

    def write(key: str, transaction: Transaction) -> None:
        if transaction.spoken_words is not None:
            line = json.dumps({"key": key, "words": transaction.spoken_words}, ensure_ascii=False)
            os.write(descriptor, f"{line}\n".encode())

    return write


class _RowThread:
    """Reads rows in a daemon thread, so that a read which never ends does not keep the program alive."""

    def __init__(self, rows: Iterator[Row | BadRow]) -> None:
        self._rows = rows
        self._loop = asyncio.get_running_loop()
        self._wanted = queue.SimpleQueue[asyncio.Future[Row | BadRow | None]]()
        threading.Thread(target=self._read, name="idura-ciba-rows", daemon=True).start()

    def next(self) -> asyncio.Future[Row | BadRow | None]:
        """Return a future for the next row, or for None at the end."""
        coming = self._loop.create_future()
        self._wanted.put(coming)
        return coming

    def _read(self) -> None:
        while True:
            coming = self._wanted.get()
            row = next(self._rows, None)
            self._loop.call_soon_threadsafe(_settle, coming, row)
            if row is None:
                return


def _settle(coming: asyncio.Future[Row | BadRow | None], row: Row | BadRow | None) -> None:
    if not coming.done():
        coming.set_result(row)


def _count_all(store: Store) -> tuple[Tally, int]:
    """Return the results of the whole batch, and the number of logins still pending."""
    tally, begun = Tally(), 0
    for entry in store:
        if entry.state is not None:
            tally.add(entry)
        else:
            begun += 1
    return tally, begun
