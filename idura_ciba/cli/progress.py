"""How a batch stands: a picture on a terminal, a line now and then anywhere else. Nobody is told apart in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field
from rich.console import Console
from rich.text import Text

from idura_ciba import State
from idura_ciba.batch.tally import Tally
from idura_ciba.cli.board import drawing
from idura_ciba.cli.text import clean, say
from idura_ciba.scheduling.scheduler import Snapshot

__all__ = ["Progress", "duration", "reporting"]

#: Seconds between two pictures on a terminal, and between two lines elsewhere.
TICK, PAUSE = 1.0, 10.0
#: Seconds that the rate looks back.
WINDOW = 60.0

_STYLES: Final = {State.APPROVED: "green", State.DENIED: "red", State.EXPIRED: "yellow"}
_BAR: Final = 40


@define(eq=False)
class Progress:
    """What is known of a batch while it runs. Instants are monotonic seconds.

    Attributes:
        name: Of what is read.
        began_at: When this run began.
        total: Rows that there are, as far as anybody knows.
        known: Rows that an earlier run has dealt with.
        bad: Rows by which nobody can be asked.
        tally: What came of the others.
        snapshot: Of the scheduler.
        note: What is to be said beside it.
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
        """Look back to the begin at first."""
        self._seen = deque([(self.began_at, len(self.tally))])

    @property
    def done(self) -> int:
        """Rows that are dealt with."""
        return self.known + self.bad + len(self.tally)

    def look(self, now: float) -> float | None:
        """People a second, of late; None before anybody has answered."""
        seen = self._seen
        seen.append((now, len(self.tally)))
        while len(seen) > 1 and seen[1][0] <= now - WINDOW:
            seen.popleft()
        passed, count = now - seen[0][0], len(self.tally) - seen[0][1]
        return count / passed if passed > 0 and count > 0 else None

    def left(self, rate: float | None) -> float | None:
        """Seconds until the end at this rate; None where nobody knows."""
        return None if rate is None or self.total is None else max(0, self.total - self.done) / rate

    def facts(self, now: float) -> list[str]:
        """What there is to say, in parts."""
        rate, snapshot = self.look(now), self.snapshot()
        left, median, each = self.left(rate), self.tally.median(), self.tally.requests_each
        facts = [f"{snapshot.pending + snapshot.starting} being asked", f"after {duration(now - self.began_at)}"]
        if rate is not None:
            facts.append(f"{rate:.3g} people/s")
        if left is not None:
            facts.append(f"about {duration(left)} left")
        if median is not None:
            facts.append(f"half have answered within {median:.1f} s")
        if each is not None:
            facts.append(f"{each:.1f} requests for each")
        if self.tally.slow_downs:
            facts.append(f"{self.tally.slow_downs} slow_downs")
        if snapshot.allowed < snapshot.rate:
            facts.append(f"the provider bears {snapshot.allowed:.3g} requests/s")
        return [*facts, self.note] if self.note else facts

    def counts(self) -> list[tuple[str, int]]:
        """Counts by state, those before this run and bad rows among them; nothing that is zero."""
        states = [(state.value, self.tally.states[state.value]) for state in State if state.is_final]
        counts = [*states, ("done before", self.known), ("bad rows", self.bad)]
        return [(name, count) for name, count in counts if count]

    def line(self, now: float) -> str:
        """One line."""
        of = "" if self.total is None else f" of {self.total}"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts())
        return "; ".join(part for part in (f"{self.done}{of} rows", counts, *self.facts(now)) if part)

    def picture(self, now: float) -> Text:
        """One picture. One text, because a table costs more than the login that it tells of."""
        parts = [Text.assemble((clean(self.name), "bold"), f"  {_grouped(self.done)}")]
        if self.total is not None:
            share = min(1.0, self.done / self.total) if self.total else 1.0
            parts[0].append(f" of {_grouped(self.total)} rows, {share:.0%}")
            filled = round(share * _BAR)
            parts.append(Text.assemble(("━" * filled, "green"), ("━" * (_BAR - filled), "dim")))
        counts = [
            Text.assemble(f"{name} ", (_grouped(count), _STYLES.get(State(name), "bold") if name in _NAMES else "bold"))
            for name, count in self.counts()
        ]
        if counts:
            parts.append(Text("   ").join(counts))
        return Text("\n").join([*parts, Text(", ".join(self.facts(now)), "dim")])


_NAMES: Final = frozenset(state.value for state in State)


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if not minutes:
        return f"{whole} s"
    return f"{hours} h {minutes % 60:02} min" if hours else f"{minutes} min {whole % 60:02} s"


@asynccontextmanager
async def reporting(progress: Progress, console: Console) -> AsyncIterator[None]:
    """Show progress as long as the context lasts."""
    loop = asyncio.get_running_loop()
    if console.is_terminal and not console.is_dumb_terminal:
        async with drawing(lambda: progress.picture(loop.time()), console, tick=TICK):
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
