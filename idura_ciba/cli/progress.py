"""The progress of a batch: a live picture on a terminal, a line from time to time elsewhere. It names nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field
from rich.console import Console
from rich.text import Text

from idura_ciba import State
from idura_ciba.batch.tally import Tally
from idura_ciba.cli.board import drawing, room
from idura_ciba.cli.text import counted, say
from idura_ciba.redaction import clean
from idura_ciba.scheduling.scheduler import Snapshot

__all__ = ["Progress", "duration", "reporting"]

#: Seconds between two frames on a terminal, and between two lines elsewhere.
TICK, PAUSE = 1.0, 10.0
#: Seconds over which the throughput is averaged.
WINDOW = 60.0

_STYLES: Final = {State.APPROVED: "green", State.DENIED: "red", State.EXPIRED: "yellow"}
_BAR: Final = 40


@define(eq=False)
class Progress:
    """The state of a running batch. Instants are monotonic seconds.

    Attributes:
        name: The name of the input.
        began_at: When this run began.
        snapshot: Takes a snapshot of the scheduler.
        total: Rows of the input, if known.
        known: Rows that earlier runs have completed.
        bad: Invalid rows.
        tally: The results of this run.
        note: A remark to show with the rest.
    """

    name: str
    began_at: float
    snapshot: Callable[[], Snapshot]
    total: int | None = None
    known: int = 0
    bad: int = 0
    tally: Tally = field(factory=Tally)
    note: str = ""
    _seen: deque[tuple[float, int]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Average from the beginning of the run at first."""
        self._seen = deque([(self.began_at, len(self.tally))])

    @property
    def done(self) -> int:
        """Rows that are completed."""
        return self.known + self.bad + len(self.tally)

    def throughput(self, now: float) -> float | None:
        """Results per second over the last minute; None if there were none."""
        seen = self._seen
        seen.append((now, len(self.tally)))
        while len(seen) > 1 and seen[1][0] <= now - WINDOW:
            seen.popleft()
        passed, count = now - seen[0][0], len(self.tally) - seen[0][1]
        return count / passed if passed > 0 and count > 0 else None

    def time_left(self, rate: float | None) -> float | None:
        """Seconds until the end at this rate; None if unknown."""
        return None if rate is None or self.total is None else max(0, self.total - self.done) / rate

    def facts(self, now: float) -> list[str]:
        """The facts worth showing now, each a phrase."""
        rate, snapshot = self.throughput(now), self.snapshot()
        left, median, each = self.time_left(rate), self.tally.median(), self.tally.requests_each
        facts = [f"{snapshot.pending + snapshot.starting:,} pending", f"{duration(now - self.began_at)} elapsed"]
        if left is not None:
            facts.append(f"about {duration(left)} left")
        if rate is not None:
            facts.append(f"{rate:.3g} results/s")
        if median is not None:
            facts.append(f"median answer {median:.1f} s")
        if each is not None:
            facts.append(f"{each:.1f} requests per login")
        if self.tally.slow_downs:
            facts.append(counted(self.tally.slow_downs, "slow_down"))
        if snapshot.allowed < snapshot.rate:
            facts.append(f"the provider allows {snapshot.allowed:.3g} requests/s")
        return [*facts, self.note] if self.note else facts

    def counts(self) -> list[tuple[str, int]]:
        """Counts by state, with the rows of earlier runs and the invalid ones; zeros are left out."""
        states = [(state.value, self.tally.states[state.value]) for state in State if state.is_final]
        counts = [*states, ("from earlier runs", self.known), ("invalid", self.bad)]
        return [(name, count) for name, count in counts if count]

    def line(self, now: float) -> str:
        """One line."""
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts())
        return "; ".join(part for part in (self._rows(), counts, *self.facts(now)) if part)

    def picture(self, now: float, width: int) -> Text:
        """One frame of at most so many columns, unless a single phrase or name is longer.

        It is a single text, because drawing a table costs more than a login.
        """
        parts = [Text.assemble((clean(self.name), "bold"), f"  {self._rows()}")]
        if self.total is not None:
            share = min(1.0, self.done / self.total) if self.total else 1.0
            parts[0].append(f", {share:.0%}")
            bar = min(_BAR, width)
            filled = round(share * bar)
            parts.append(Text.assemble(("━" * filled, "green"), ("━" * (bar - filled), "dim")))
        counts = [
            Text.assemble(f"{name} ", (f"{count:,}", _STYLES.get(State(name), "bold") if name in _NAMES else "bold"))
            for name, count in self.counts()
        ]
        facts = [Text(fact, "dim") for fact in self.facts(now)]
        return Text("\n").join([*parts, *_filled(counts, "   ", width), *_filled(facts, ", ", width)])

    def _rows(self) -> str:
        return counted(self.done, "row") if self.total is None else f"{self.done:,} of {counted(self.total, 'row')}"


def _filled(phrases: Sequence[Text], gap: str, width: int) -> Iterator[Text]:
    """Join phrases to lines that break between two of them, as a number without its unit says nothing."""
    line = Text()
    for number, phrase in enumerate(phrases, 1):
        mark = gap.rstrip() if number < len(phrases) else ""
        if line.plain and line.cell_len + len(gap) + phrase.cell_len + len(mark) > width:
            yield line + Text(gap.rstrip(), phrase.style)
            line = Text()
        line = Text.assemble(line, (gap if line.plain else "", phrase.style), phrase)
    if line.plain:
        yield line


_NAMES: Final = frozenset(state.value for state in State)


def duration(seconds: float) -> str:
    """Return a duration in seconds as text, in at most two units."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if not minutes:
        return f"{whole} s"
    return f"{hours} h {minutes % 60:02} min" if hours else f"{minutes} min {whole % 60:02} s"


@asynccontextmanager
async def reporting(progress: Progress, console: Console) -> AsyncIterator[None]:
    """Show the progress while the context is open."""
    loop = asyncio.get_running_loop()
    if console.is_terminal and not console.is_dumb_terminal:
        async with drawing(lambda: progress.picture(loop.time(), room(console)), console, tick=TICK):
            yield
        return

    async def tell() -> None:
        while True:
            await asyncio.sleep(PAUSE)
            say(progress.line(loop.time()), to=console)

    telling = loop.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
