"""What is shown while people are being asked: a live table on a terminal, a line for each change anywhere else."""

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
from idura_ciba.cli.text import clean, say

__all__ = ["Row", "Show", "drawing", "follow", "showing", "table"]

#: Seconds between two pictures: often enough that no step is missed, seldom enough that nothing flickers.
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
    """One person being asked, without anything that says who. Instants are seconds since the epoch.

    Attributes:
        label: Stands for the person.
        words: To be read to the person.
        state: Where the login stands.
        note: The provider's latest word on progress, and at the end what came of it.
        polls: Answers so far.
        began_at: When the request was made.
        expires_at: When the prompt goes from the phone.
        ended_at: When it was over.
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
        """Return how long the prompt still lives, or how long it took."""
        if self.ended_at is not None and self.began_at is not None:
            return f"after {self.ended_at - self.began_at:.1f} s"
        return "" if self.expires_at is None else f"{max(0.0, self.expires_at - now):.0f} s left"


#: Told of each row that has changed.
Show = Callable[[Row], None]


async def follow(
    transaction: Transaction, row: Row, show: Show, *, clock: Clock, verdict: Callable[[Outcome], str]
) -> Outcome:
    """Keep a row up to date until its login is over.

    Args:
        transaction: The login.
        row: Its row.
        show: What to call after each change.
        clock: Tells when it was over.
        verdict: What the row says of how it ended.
    """
    row.words = clean(transaction.spoken_words or "")
    async for update in transaction.updates():
        row.state, row.polls, row.expires_at = update.state, update.polls, update.expires_at
        row.note = clean(update.hint or "")
        if not update.state.is_final:
            show(row)
    outcome = await transaction.outcome()
    row.ended_at, row.note = clock.wall(), clean(verdict(outcome))
    show(row)
    return outcome


def table(rows: Sequence[Row], now: float) -> Table:
    """Return one picture of all rows. Every cell is text, so that nothing in it is read as markup."""
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
    """Show rows as long as the context lasts; what it gives is to be called with each row that has changed."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(rows, console, clock)
        return
    async with drawing(lambda: table(rows, clock.wall()), console) as draw:
        yield lambda _row: draw()


@asynccontextmanager
async def drawing(
    picture: Callable[[], RenderableType], console: Console, *, tick: float = TICK
) -> AsyncIterator[Callable[[], None]]:
    """Draw a picture on a terminal again and again, as long as the context lasts; what it gives draws it at once.

    Args:
        picture: Makes it.
        console: The terminal.
        tick: Seconds between two of them.
    """
    # No refreshing thread: the loop draws, so the picture is of one moment.
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            # Room at the right for the ^C that terminals echo: on a line of its own it would leave half a picture.
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
    """Prints a row when there is something new to say of it; the seconds that pass are nothing new."""

    def __init__(self, rows: Sequence[Row], console: Console, clock: Clock) -> None:
        self._width = max(len(row.label) for row in rows)
        self._console = console
        self._clock = clock
        self._began_at = clock.wall()
        self._said: dict[str, tuple[State, str]] = {}

    def __call__(self, row: Row) -> None:
        if self._said.get(row.label) == (row.state, row.note):
            return
        self._said[row.label] = (row.state, row.note)
        now = self._clock.wall()
        parts = (row.note, f"words: {row.words}" if row.words and not row.polls else "", row.time(now))
        told = "; ".join(part for part in parts if part)
        state = f"{row.label:<{self._width}}  {row.state.value}"
        say(f"{now - self._began_at:5.1f} s  {state}: {told}", to=self._console)
