"""Says the texts of the catalogue, in the language that an agent reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from idura_ciba.desk.catalogue import CATALOGUE
from idura_ciba.eids.phase import LANGUAGES

__all__ = ["Say", "preferred", "sayer"]

#: Says the text of a key in one language: `say("title")`, `say("again_after", time="14:05")`; of several keys, that of
#: the first which there is.
Say = Callable[..., str]


def preferred(header: str, default: str = "en") -> str:
    """The language that a browser prefers among ours.

    Args:
        header: Its `Accept-Language` (RFC 9110 section 12.5.4).
        default: If it accepts none of them, or says nothing.
    """
    ranked = []
    for place, part in enumerate(header.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        language = tag.partition("-")[0].strip().lower()
        language = "no" if language in {"nb", "nn"} else language
        try:
            quality = float(weight or 1)
        except ValueError:
            continue
        if language in LANGUAGES and quality > 0:
            ranked.append((-quality, place, language))
    return min(ranked, default=(0, 0, default))[2]


def sayer(language: str) -> Say:
    """What says texts in a language.

    Args:
        language: One of `LANGUAGES`.
    """
    return partial(_say, LANGUAGES.index(language))


def _say(place: int, key: str, *others: str, **values: object) -> str:
    """The text of the first key that there is."""
    found = next(CATALOGUE[each] for each in (key, *others) if each in CATALOGUE)
    return found[place].format(**values)
