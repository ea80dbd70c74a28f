"""Validation of arguments. Annotations are no guarantee: an option may come from a file or a form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

from idura_ciba.errors import UsageError

__all__ = ["positive", "seconds", "several", "texts", "whole_number"]

T = TypeVar("T")


def whole_number(name: str, value: int) -> int:
    """A whole number of at least 1.

    Raises:
        UsageError: Anything else; its code is the option's name.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} is not a whole number of at least 1", code=name)
    return value


def positive(name: str, value: float, *, least: float = 0.0) -> float:
    """A finite number above 0, and at least `least`.

    Raises:
        UsageError: Anything else; its code is the option's name.
    """
    # The upper bound refuses infinity as well as whole numbers that no float can hold; NaN is within no bounds.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max or value < least:
        bound = f"of at least {least:g}" if least else "above 0"
        raise UsageError(f"{name} is not a finite number {bound}", code=name)
    return float(value)


def seconds(name: str, value: float, *, most: float) -> float:
    """Seconds above 0.

    Raises:
        UsageError: Anything else, NaN and text from a configuration included; its code is the option's name.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise UsageError(
            f"{name} is not a number of seconds above 0",
            code=name,
            phone="The phone has not rung for this",
            advice=f"pass at most {most:.0f} seconds, or None",
        )
    return value


def several(name: str, values: Iterable[T], is_one: Callable[[T], bool]) -> tuple[T, ...]:
    """Several values of one type. A single text is refused: Python would iterate over its letters.

    Raises:
        UsageError: Not iterable, one text, or a value of another kind; its code is the option's name.
    """
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        found = tuple(values)
        if all(map(is_one, found)):
            return found
    raise UsageError(
        f"{name} is not a list of the right kind of value", code=name, advice="pass a list, even for one value"
    )


def texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Several texts.

    Raises:
        UsageError: As for `several`.
    """
    return several(name, values, lambda value: isinstance(value, str))
