"""The progress of logins: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from attrs import define
from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Table
from rich.text import Text

from idura_ciba import Outcome, State, Transaction
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.text import say
from idura_ciba.redaction import clean

__all__ = ["Row", "Show", "drawing", "follow", "showing", "table"]

#: Seconds between two frames: short enough to show every step, long enough not to flicker.
TICK = 0.25

_STYLES = {
    State.SUBMITTING: "dim",
    State.PENDING: "cyan",
    State.IN_DOUBT: "yellow",
    State.APPROVED: "green",
    State.DENIED: "red",
    State.EXPIRED: "yellow",
}


@define(eq=False)
class Row:
    """One login in the table, without personal data. Instants are seconds since the epoch.

    Attributes:
        label: The name shown for the person.
        words: The spoken words, to be read to the person.
        state: The state of the login.
        note: The provider's latest hint, and at the end the result.
        polls: Polls answered so far.
        began_at: When the request was sent.
        expires_at: When the prompt expires.
        ended_at: When the login ended.
    """

    label: str
    words: str = ""
    state: State = State.SUBMITTING
    note: str = ""
    polls: int = 0
    began_at: float | None = None
    expires_at: float | None = None
    ended_at: float | None = None

    def time(self, now: float) -> str:
        """Return the time that is left, or the time that the login took."""
        if self.ended_at is not None and self.began_at is not None:
            return f"after {self.ended_at - self.began_at:.1f} s"
        return "" if self.expires_at is None else f"{max(0.0, self.expires_at - now):.0f} s left"


#: Called with each row that has changed.
Show = Callable[[Row], None]


async def follow(
    transaction: Transaction, row: Row, show: Show, *, clock: Clock, verdict: Callable[[Outcome], str]
) -> Outcome:
    """Keep a row up to date until its login ends, and return the outcome.

    Args:
        transaction: The login.
        row: Its row.
        show: Called after each change.
        clock: Gives the time of the end.
        verdict: Makes the row's last note from the outcome.
    """
    row.words = clean(transaction.spoken_words or "")
    async for update in transaction.updates(polls=True):
        row.state, row.polls, row.expires_at = update.state, update.polls, update.expires_at
        row.note = clean(update.hint or "")
        if not update.state.is_final:
            show(row)
    outcome = await transaction.outcome()
    row.ended_at, row.note = clock.wall(), clean(verdict(outcome))
    show(row)
    return outcome


def table(rows: Sequence[Row], now: float) -> Table:
    """Return the table of all rows. Every cell is `Text`, so that no markup in it is interpreted."""
    picture = Table(box=None, pad_edge=False, expand=False)
    worded = any(row.words for row in rows)
    for heading in ("eID", "state", *(["words"] if worded else []), "polls", "time"):
        picture.add_column(heading, justify="right" if heading == "polls" else "left", no_wrap=True)
    picture.add_column("progress", overflow="fold")
    for row in rows:
        state = Text(row.state.value, _STYLES.get(row.state, "red"))
        words = [Text(row.words, "bold")] if worded else []
        picture.add_row(
            Text(row.label), state, *words, Text(str(row.polls)), Text(row.time(now)), Text(row.note, "dim")
        )
    return picture


@asynccontextmanager
async def showing(rows: Sequence[Row], console: Console, clock: Clock) -> AsyncIterator[Show]:
    """Show rows while the context is open; call what it yields with each row that has changed."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(rows, console, clock)
        return
    async with drawing(lambda: table(rows, clock.wall()), console) as draw:
        yield lambda _row: draw()


@asynccontextmanager
async def drawing(
    picture: Callable[[], RenderableType], console: Console, *, tick: float = TICK
) -> AsyncIterator[Callable[[], None]]:
    """Redraw a picture on a terminal while the context is open; call what it yields to redraw at once.

    Args:
        picture: Makes the picture.
        console: The terminal.
        tick: Seconds between two frames.
    """
    # No refresh thread: the event loop draws, so that each frame shows one moment.
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            # Room on the right for the ^C that terminals echo: on a new line it would leave half a frame behind.
            live.update(Constrain(picture(), console.width - 3), refresh=True)

        async def redraw() -> None:
            while True:
                draw()
                await asyncio.sleep(tick)

        redrawing = asyncio.get_running_loop().create_task(redraw())
        try:
            yield draw
        finally:
            redrawing.cancel()
            await asyncio.gather(redrawing, return_exceptions=True)
            draw()


class _Lines:
    """Prints a row when its state or note has changed; passing time alone prints nothing."""

    def __init__(self, rows: Sequence[Row], console: Console, clock: Clock) -> None:
        self._width = max(len(row.label) for row in rows)
        self._console = console
        self._clock = clock
        self._began_at = clock.wall()
        self._printed: dict[str, tuple[State, str]] = {}

    def __call__(self, row: Row) -> None:
        if self._printed.get(row.label) == (row.state, row.note):
            return
        self._printed[row.label] = (row.state, row.note)
        now = self._clock.wall()
        parts = (row.note, f"words: {row.words}" if row.words and not row.polls else "", row.time(now))
        details = "; ".join(part for part in parts if part)
        state = f"{row.label:<{self._width}}  {row.state.value}"
        say(f"{now - self._began_at:5.1f} s  {state}: {details}", to=self._console)
