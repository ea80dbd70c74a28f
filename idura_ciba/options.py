"""Validation of arguments. Type annotations are no guarantee: an option may come from a file or a form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

from idura_ciba.errors import ArgumentError

__all__ = ["limit", "positive", "reference_text", "seconds", "several", "texts", "whole_number"]

T = TypeVar("T")

#: Seconds: a year. No login lives that long.
MAX_TIMEOUT = 31_536_000.0
#: Characters of a reference. It stands in log lines, resume tokens and metrics.
MAX_REFERENCE = 200


def whole_number(name: str, value: int) -> int:
    """Return `value` if it is a whole number of at least 1.

    Raises:
        UsageError: Anything else; its code is the option's name.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{name} must be a whole number of at least 1", code=name)
    return value


def positive(name: str, value: float, *, least: float = 0.0) -> float:
    """Return `value` as a float if it is finite, above 0, and at least `least`.

    Raises:
        UsageError: Anything else; its code is the option's name.
    """
    # The upper bound refuses infinity and integers too large for a float; NaN fails every comparison.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max or value < least:
        bound = f"of at least {least:g}" if least else "above 0"
        raise ArgumentError(f"{name} must be a finite number {bound}", code=name)
    return float(value)


def seconds(name: str, value: float, *, most: float) -> float:
    """Return `value` if it is a number of seconds above 0 and at most `most`.

    Raises:
        UsageError: Anything else, including NaN and text from a configuration; its code is the option's name.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ArgumentError(
            f"{name} must be a number of seconds above 0",
            code=name,
            phone="The phone has not rung for this",
            advice=f"pass at most {most:.0f} seconds, or None",
        )
    return value


def limit(timeout: float | None, now: float) -> float | None:
    """Return the instant at which a caller's timeout ends; None: it never does.

    Raises:
        UsageError: It is no number of seconds.
    """
    return None if timeout is None else now + seconds("timeout", timeout, most=MAX_TIMEOUT)


def reference_text(value: str | None, *, names_person: Callable[[str], bool]) -> str | None:
    """Return a caller's reference if it can stand in a log line.

    Args:
        value: The reference, or None.
        names_person: Tells whether a text contains what identifies the person.

    Raises:
        UsageError: Not text, empty, too long, with characters that are not printable, or with what names the person.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_REFERENCE or not value.isprintable():
        what, advice = f"reference must be printable text of 1 to {MAX_REFERENCE} characters", ""
    elif names_person(value):
        what, advice = "reference must not contain what identifies the person", "use a number of your own for the call"
    else:
        return str(value)
    raise ArgumentError(what, code="reference", phone="The phone has not rung", advice=advice)


def several(name: str, values: Iterable[T], is_one: Callable[[T], bool]) -> tuple[T, ...]:
    """Return several values of one type as a tuple. A single string is refused: Python would iterate over its letters.

    Raises:
        UsageError: Not iterable, a single string, or a value of another type; its code is the option's name.
    """
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        found = tuple(values)
        if all(map(is_one, found)):
            return found
    raise ArgumentError(
        f"{name} must be a list of values of the right type", code=name, advice="pass a list, even for one value"
    )


def texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return several strings as a tuple.

    Raises:
        UsageError: As for `several`.
    """
    return several(name, values, lambda value: isinstance(value, str))
