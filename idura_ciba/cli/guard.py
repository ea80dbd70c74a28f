"""The only place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperCommand

from idura_ciba import State, UsageError, explain
from idura_ciba.checks import explained
from idura_ciba.cli.text import discard, say
from idura_ciba.errors import CibaError, JournalError

__all__ = ["ExitCode", "Guarded"]


class ExitCode(IntEnum):
    """The exit codes of the command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    EXPIRED = 4
    INDETERMINATE = 5
    GAVE_UP = 6
    #: A batch has ended with invalid rows, failed logins or unknown answers.
    PARTLY = 7
    JOURNAL = 8
    #: 128 plus the number of SIGINT, as in shells; SIGTERM and SIGHUP stop in the same way.
    INTERRUPTED = 130
    #: 128 plus the number of SIGPIPE: nobody reads any more what is printed.
    CLOSED = 141

    @classmethod
    def of(cls, state: State) -> ExitCode:
        """Return the exit code for the final state of a login."""
        return {
            State.APPROVED: cls.OK,
            State.DENIED: cls.DENIED,
            State.EXPIRED: cls.EXPIRED,
            State.INDETERMINATE: cls.INDETERMINATE,
            State.ABANDONED: cls.GAVE_UP,
            State.HANDED_OVER: cls.GAVE_UP,
        }.get(state, cls.FAILED)


def _code_of(error: CibaError) -> ExitCode:
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    return ExitCode.JOURNAL if isinstance(error, JournalError) else ExitCode.FAILED


class Guarded(TyperCommand):
    """A command that prints errors as sentences and exits silently on Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            code, error = ExitCode.INTERRUPTED, None
        except typer.Exit:
            raise
        except CibaError as refusal:
            code, error = _code_of(refusal), refusal
        except Exception as bug:  # noqa: BLE001 - its message may hold anything, even a national number
            code, error = (ExitCode.CLOSED, None) if _is_closed(bug) else (ExitCode.FAILED, explain.internal(bug))
        if error is not None:
            with suppress(BrokenPipeError):
                say(explained(error), style="red")
        if code is ExitCode.CLOSED:
            discard(sys.stdout)
        raise typer.Exit(code)


def _is_closed(error: BaseException) -> bool:
    """Whether nobody reads any more what is printed."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_closed, error.exceptions))
    return isinstance(error, BrokenPipeError)
