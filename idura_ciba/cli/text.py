"""Text for the terminal. What others wrote cannot move the cursor, change colours or read in another direction."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from idura_ciba.errors import CibaError

__all__ = ["ERR", "OUT", "clean", "explained", "say"]

#: Characters of foreign text; whoever sends more has something else in mind than telling.
LIMIT = 300

#: Results. Neither console reads its own markup, or emoji codes, in what it is given.
OUT: Console = Console(markup=False, highlight=False, emoji=False)
#: Everything else: progress, instructions, errors.
ERR: Console = Console(stderr=True, markup=False, highlight=False, emoji=False)


def clean(text: str, *, limit: int = LIMIT) -> str:
    r"""Return foreign text as one bounded line, with `\x1b` and the like for whatever is not printable."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown


def explained(error: CibaError) -> str:
    """Return an error's sentences, and after them the provider's own words where it gave any."""
    description = getattr(error, "error_description", None)
    return f'{error} The provider says: "{clean(description)}"' if description else str(error)


def say(text: str, *, to: Console = ERR, style: str = "", prose: bool = False) -> None:
    """Print one line, whatever is in it.

    Args:
        text: The line.
        to: Where.
        style: How, on a terminal.
        prose: May be broken between words, where a terminal is narrower. Commands and paths are better copied whole.
    """
    to.print(Text(clean(text, limit=len(text)), style), soft_wrap=not (prose and to.is_terminal))
