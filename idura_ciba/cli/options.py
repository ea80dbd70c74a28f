"""What the help says of an option's value: what to write there, not a type of Python, and all of it in 80 columns."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

__all__ = ["as_shown", "name_values"]

#: In a terminal of 80 columns a wider name leaves no room for what the option does, or for its variable's name.
_WIDEST: Final = 12
_WORDS: Final = {bool: "", int: "NUMBER", float: "NUMBER", Path: "FILE"}


def name_values(parameters: Sequence[Any], command: Callable[..., Any] | None) -> None:
    """Give each option without a metavar one that a reader understands.

    Args:
        parameters: Those of a click command. Arguments stay as they are.
        command: The function behind it, whose annotations have the types.
    """
    annotated = inspect.signature(command, eval_str=True).parameters if command else {}
    for each in parameters:
        if each.param_type_name != "option" or each.name not in annotated:
            continue
        if each.secondary_opts:
            each.help = f"{each.help} {each.secondary_opts[0]} turns it off."
        if each.metavar is not None:
            continue
        value = _value(annotated[each.name].annotation)
        choices = [str(choice) for choice in get_args(value)] if get_origin(value) is Literal else []
        if not choices:
            each.metavar = "FILE" if each.name.endswith("_file") else _WORDS.get(value, "TEXT")
        elif len("|".join(choices)) <= _WIDEST:
            each.metavar = "|".join(choices)
        else:
            each.metavar = "NAME"
            each.help = f"{each.help} One of {', '.join(choices)}."


def as_shown(parameters: Sequence[Any]) -> list[Any]:
    """Parameters for the help, without a column for names such as --no-open, which `name_values` put into the text."""
    shown = [copy.copy(each) for each in parameters]
    for each in shown:
        each.secondary_opts = []
    return shown


def _value(annotation: Any) -> Any:
    """The type of one value: without `None`, and of a list the type of its members."""
    if get_origin(annotation) is Annotated:
        return _value(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation
