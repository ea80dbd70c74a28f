"""One machine's part of `idura-ciba batch --store`: several work on one file, and one of them writes the results."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from idura_ciba import CibaClient, CibaError, EidRequest
from idura_ciba.batch.reading import BadRow, Row
from idura_ciba.batch.tally import Tally
from idura_ciba.cli.files import refuse_existing
from idura_ciba.cli.job import Ending, Job
from idura_ciba.cli.progress import Progress, reporting
from idura_ciba.cli.stopping import stoppable
from idura_ciba.cli.text import ERR, counted
from idura_ciba.cli.whole_file import WholeFile
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.shared_batch import Plan, SharedBatch

__all__ = ["SharedJob"]


@frozen(kw_only=True)
class SharedEnding(Ending):
    """How this machine's part ended.

    Attributes:
        wrote: This machine has written the results of all.
        over: The batch is over.
    """

    wrote: bool
    over: bool

    def lines(self) -> Iterator[str]:
        """Yield the lines that a person reads."""
        if self.wrote:
            yield from super().lines()
            return
        yield f"This machine: {counted(len(self.this), 'result')}."
        if self.over:
            yield "The batch is over. Another machine has written the results, or an earlier run has."
        else:
            yield "Stopped before the end. Others go on, and so does this machine with the same command."


@define(kw_only=True, eq=False)
class SharedJob(Job):
    """One machine's part.

    Attributes:
        store: The store that the machines share.
        batch: The name of the batch, the same on every machine.
        rate: Most requests in any second of all machines together; None for no limit.
        agreed: What all machines must have in common besides the file.
    """

    store: str
    batch: str
    rate: float | None
    agreed: str
    _results: WholeFile | None = field(init=False, default=None)
    _written: Tally = field(init=False, factory=Tally)
    _passes: int = field(init=False, default=0)

    async def run(self, connection: AbstractAsyncContextManager[CibaClient]) -> Ending:
        """Ask, together with others, everyone in the input.

        Args:
            connection: Opens the client.

        Raises:
            CibaError: The run could not begin.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._progress = Progress(self.name, began_at, self.scheduler.snapshot, self.total)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for type checkers: a coroutine runs in a task
        error: CibaError | None = None
        shared: SharedBatch | None = None
        with ExitStack() as stack:
            stack.enter_context(stoppable(task.cancel, partial(self._interrupt, task)))
            self._open_words(stack)
            try:
                async with connection as client, Fleet(client, self.store, rate=self.rate, clock=self.clock) as fleet:
                    shared = fleet.share_batch(self.batch, self._everybody, self._plan())
                    await self._work_on(shared)
            except (asyncio.CancelledError, BrokenPipeError) as end:
                self._stopped, self._closed = True, isinstance(end, BrokenPipeError)
            except CibaError as failure:
                if shared is None or not len(self._progress.tally):
                    raise
                error = failure
            finally:
                if self._results is not None:
                    self._results.discard()
        wrote = shared is not None and shared.is_written
        return SharedEnding(
            # What has to be looked at is told by whoever has written it.
            whole=self._written if wrote else Tally(),
            this=self._progress.tally,
            bad=self.people.bad,
            begun=0,
            seconds=loop.time() - began_at,
            stopped=self._stopped or (self._enough.is_set() and not (shared is not None and shared.is_over)),
            closed=self._closed,
            error=error,
            again="put them into a batch of their own",
            wrote=wrote,
            over=shared is not None and shared.is_over,
        )

    def _plan(self) -> Plan:
        if self.files.out is not None:
            self._results = WholeFile(
                self.files.out, self.files.output_format, self.claims, keep=self.keep, excel=self.excel
            )
        return Plan(
            claims=self.claims,
            max_in_flight=self.places,
            duplicates="skip" if self.skip_duplicates else "wait",
            digest=_digest(Path(self.name), self.agreed),
            accepted=self._accepted,
            is_whole=self._results is not None,
            begin=self._begin,
            seen=self._progress.tally.add,
        )

    def _begin(self) -> None:
        """This machine writes from now on, from the first result."""
        self._written = Tally()
        if self._results is not None:
            self._results.begin()

    async def _work_on(self, shared: SharedBatch) -> None:
        await shared.open()
        if shared.is_over:
            return
        if self.files.out is not None:
            refuse_existing(self.files.out)
        write = self._write(None) if self._results is None else None
        enough = asyncio.ensure_future(self._enough.wait())
        enough.add_done_callback(lambda _: shared.enough.set())
        try:
            async with reporting(self._progress, ERR), aclosing(shared.results()) as results:
                async for result, more in results:
                    self._written.add(result)
                    if write is not None:
                        write(result)
                    elif self._results is not None:
                        self._results.write(result, more)
        finally:
            enough.cancel()
        if shared.is_written and self._results is not None:
            self._results.publish()
            await shared.finish()

    async def _everybody(self) -> AsyncIterator[tuple[str, EidRequest, Mapping[str, Any]] | None]:
        """Go through the input, once more each time; what is wrong with it is told the first time."""
        self._passes += 1
        if self._passes == 1:
            for row in self.reader:
                made = self.people.request(row)
                if isinstance(made, BadRow):
                    self.rejected.add(made)
                    self._progress.bad = self.people.bad
                yield self._person(row, made)
            self._progress.total = self.people.good + self.people.bad
            return
        assert self.again is not None  # noqa: S101 - for type checkers: it is a file
        with self.again() as (reader, people):
            for row in reader:
                yield self._person(row, people.request(row))

    def _person(
        self, row: Row | BadRow, made: tuple[str, EidRequest] | BadRow
    ) -> tuple[str, EidRequest, Mapping[str, Any]] | None:
        """A row, with the input's own columns; None if nobody can be asked for it."""
        if isinstance(made, BadRow):
            return None
        self._warn(made[1])
        return (*made, self._own(row) if self.keep and not isinstance(row, BadRow) else {})


def _digest(path: Path, agreed: str) -> bytes:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(agreed.encode())
    return digest.digest()
