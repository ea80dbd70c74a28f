"""The progress of logins: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from attrs import define, frozen
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from idura_ciba import Outcome, State, Transaction
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.text import say
from idura_ciba.redaction import clean

__all__ = ["Board", "Row", "Show", "drawing", "follow", "room", "showing"]

#: Seconds between two frames: short enough to show every step, long enough not to flicker.
TICK = 0.25
#: Columns that the notes need at least: the longest word that an eID says of its progress, "acknowledgement", fits.
ROOM = 16
#: What a table shows of each row, beside its note.
_HEADINGS = ("eID", "state", "words", "polls", "time")

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


@frozen
class Board:
    """The picture of all rows: a table, or where that would cut off words, a few lines for each row.

    Everything in it is `Text`, so that no markup is interpreted.

    Attributes:
        rows: The rows.
        now: Seconds since the epoch.
    """

    rows: Sequence[Row]
    now: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what fits."""
        cells = [self._cells(row) for row in self.rows]
        headings = [name for name in _HEADINGS if name != "words" or any(row.words for row in self.rows)]
        widths = [max(cell_len(name), *(one[name].cell_len for one in cells)) for name in headings]
        if sum(widths) + 2 * len(headings) + ROOM > options.max_width:
            yield Group(*self._stacked())
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=False)
        for name in headings:
            table.add_column(name, justify="right" if name == "polls" else "left", no_wrap=True)
        table.add_column("progress", overflow="fold")
        for row, one in zip(self.rows, cells, strict=True):
            table.add_row(*(one[name] for name in headings), _note(row))
        yield table

    def _cells(self, row: Row) -> dict[str, Text]:
        return {
            "eID": Text(row.label),
            "state": _state(row),
            "words": Text(row.words, "bold"),
            "polls": Text(str(row.polls)),
            "time": Text(row.time(self.now)),
        }

    def _stacked(self) -> Iterator[RenderableType]:
        for row in self.rows:
            time = row.time(self.now)
            yield Text.assemble((row.label, "bold"), "  ", _state(row), f", {time}" if time else "")
            details = [Text(row.words, "bold")] if row.words else []
            for detail in [*details, *([_note(row)] if row.note else [])]:
                yield Padding(detail, (0, 0, 0, 2))


def _state(row: Row) -> Text:
    return Text(row.state.value, _STYLES.get(row.state, "red"))


def _note(row: Row) -> Text:
    return Text(row.note, "dim")


@asynccontextmanager
async def showing(rows: Sequence[Row], console: Console, clock: Clock) -> AsyncIterator[Show]:
    """Show rows while the context is open; call what it yields with each row that has changed."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(rows, console, clock)
        return
    async with drawing(lambda: Board(rows, clock.wall()), console) as draw:
        yield lambda _row: draw()


def room(console: Console) -> int:
    """Return the columns of a terminal that a live picture may fill."""
    # The ^C that terminals echo stands on the right: on a new line it would leave half a frame behind.
    return max(1, console.width - 3)


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
            live.update(Constrain(picture(), room(console)), refresh=True)

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
