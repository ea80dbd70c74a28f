"""One login from the request to its end, and what remains of it when somebody ends it early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from attrs import frozen
from rich.console import Console

from idura_ciba import CibaClient, CibaError, Outcome, State, Transaction, UsageError, explain
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.board import Row, follow, showing
from idura_ciba.cli.files import PRIVATE, replace_file, write_new
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.text import explained, say
from idura_ciba.redaction import Redacted

__all__ = ["Begin", "Ending", "keep", "log_in"]

#: Begins the login, anew or from a resume token.
Begin = Callable[[CibaClient], Awaitable[Transaction]]


@frozen(kw_only=True)
class Ending:
    """How the asking ended.

    Attributes:
        outcome: What came of the login.
        began: The provider had accepted it.
        interrupted: Somebody pressed Ctrl-C.
    """

    outcome: Outcome
    began: bool
    interrupted: bool = False

    @property
    def code(self) -> ExitCode:
        """What the shell is told. An answer that came in spite of Ctrl-C counts."""
        if self.interrupted and self.outcome.state is State.ABANDONED:
            return ExitCode.INTERRUPTED
        return ExitCode.of(self.outcome.state)

    @property
    def token(self) -> Redacted | None:
        """The resume token, where somebody may go on."""
        return None if self.outcome.error is None else self.outcome.error.resume_token


async def log_in(
    connection: AbstractAsyncContextManager[CibaClient],
    begin: Begin,
    *,
    label: str,
    console: Console,
    clock: Clock,
) -> Ending:
    """Ask one person and show how it goes. Ctrl-C, which arrives as a cancellation, is one way in which it ends.

    Args:
        connection: Opens the client.
        begin: Begins the login.
        label: What to call the person.
        console: Where to show it.
        clock: Tells the time.

    Raises:
        UsageError: The request or the client cannot work; nothing was sent.
    """
    transaction: Transaction | None = None
    async with connection as client:
        try:
            began_at = clock.wall()
            transaction = await begin(client)
            if transaction.spoken_words:
                say(f"Read these words to the person now: {transaction.spoken_words}", to=console, style="bold")
            row = Row(label, began_at=began_at)
            async with showing([row], console, clock) as show:
                outcome = await follow(transaction, row, show, clock=clock, verdict=_verdict)
            return Ending(outcome=outcome, began=True)
        except asyncio.CancelledError:
            # A poll under way may bring the answer, which can be had only once: closing waits for it.
            tokens = await client.close()
            if transaction is not None:
                return Ending(outcome=await transaction.outcome(), began=True, interrupted=True)
            # The request may have been accepted all the same, and its token handed back.
            error = explain.abandoned("closed")
            error.resume_token = next(iter(tokens), None)
            return Ending(outcome=Outcome(State.ABANDONED, error=error), began=False, interrupted=True)
        except UsageError:
            raise
        except CibaError as error:
            return Ending(outcome=Outcome.not_begun(error), began=False)


def _verdict(outcome: Outcome) -> str:
    """What the row says at the end; the result says the rest."""
    del outcome
    return ""


def keep(ending: Ending, path: Path, *, resumed: bool) -> Path | None:
    """Save what is needed to go on, or remove what no longer serves.

    Args:
        ending: How the asking ended.
        path: Where to save the resume token; where it came from when `resumed`.
        resumed: The login came from a resume token in `path`.

    Returns:
        Where the token was saved, if it was.
    """
    if ending.token is None:
        if resumed and ending.began:
            path.unlink(missing_ok=True)
        return None
    try:
        if resumed:
            replace_file(path, ending.token, mode=PRIVATE)
        else:
            write_new(path, ending.token, mode=PRIVATE)
    except UsageError as error:
        say(explained(error), style="red", prose=True)
        return None
    return path
