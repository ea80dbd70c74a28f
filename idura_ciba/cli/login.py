"""One login from the request to its end, and the resume token of one that was stopped early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from attrs import frozen
from rich.console import Console

from idura_ciba import CibaClient, CibaError, Outcome, State, Transaction, UsageError, explain
from idura_ciba.aio.clock import Clock
from idura_ciba.checks import explained
from idura_ciba.cli.board import Row, follow, showing
from idura_ciba.cli.files import PRIVATE, replace_file, write_new
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.text import say
from idura_ciba.redaction import Redacted

__all__ = ["Begin", "Ending", "keep", "log_in"]

#: Starts the login, or resumes it from a token.
Begin = Callable[[CibaClient], Awaitable[Transaction]]


@frozen(kw_only=True)
class Ending:
    """How the login ended.

    Attributes:
        outcome: The outcome of the login.
        began: The provider had accepted the request.
        interrupted: Ctrl-C was pressed.
    """

    outcome: Outcome
    began: bool
    interrupted: bool = False

    @property
    def code(self) -> ExitCode:
        """The exit code. An answer that arrived despite Ctrl-C counts."""
        if self.interrupted and self.outcome.state is State.HANDED_OVER:
            return ExitCode.INTERRUPTED
        return ExitCode.of(self.outcome.state)

    @property
    def token(self) -> Redacted | None:
        """The resume token, if the login can be resumed."""
        return None if self.outcome.error is None else self.outcome.error.resume_token


async def log_in(
    connection: AbstractAsyncContextManager[CibaClient],
    begin: Begin,
    *,
    label: str,
    console: Console,
    clock: Clock,
) -> Ending:
    """Ask one person and show the progress. Ctrl-C arrives as a cancellation and ends the login too.

    Args:
        connection: Opens the client.
        begin: Starts or resumes the login.
        label: The name shown for the person.
        console: Where to show the progress.
        clock: The clock.

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
            # A poll in flight may bring the answer, and it is given only once: closing waits for it.
            left = await client.close()
            if transaction is not None:
                return Ending(outcome=await transaction.outcome(), began=True, interrupted=True)
            # The request may have been accepted nevertheless; then closing returned its token.
            error = explain.handed_over()
            error.resume_token = next((each.token for each in left), None)
            return Ending(outcome=Outcome.not_begun(error), began=False, interrupted=True)
        except UsageError:
            raise
        except CibaError as error:
            return Ending(outcome=Outcome.not_begun(error), began=False)


def _verdict(outcome: Outcome) -> str:
    """Leave the note empty: the report says how the login ended."""
    del outcome
    return ""


def keep(ending: Ending, path: Path, *, resumed: bool) -> Path | None:
    """Save the resume token, or delete a used one.

    Args:
        ending: How the login ended.
        path: Where to save the resume token; where it came from if `resumed`.
        resumed: The login was resumed from the token in `path`.

    Returns:
        The path of the saved token, if one was saved.
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
        say(explained(error), style="red")
        return None
    return path
