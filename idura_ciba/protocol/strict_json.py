"""JSON from strangers on which trust hangs, read strictly: ID tokens, the provider's documents, resume tokens.

Rules:
1. Bytes are UTF-8, whatever a `charset` says; a byte order mark, a lone surrogate or a bad byte is an error.
2. A member that stands twice is an error: two readers would pick different ones (RFC 8259 section 4). Where a list has
   objects that stand for themselves, as a key set does, such an object alone may be null instead.
3. `NaN` and the infinities are errors, as is a number that a float cannot hold.
4. Nesting is bounded, so that no answer can exhaust the stack.
5. Every failure is one `ValueError` that quotes nothing of the text.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal, NoReturn

__all__ = ["is_too_deep", "load_object"]

#: A string, also one that never ends, or a bracket outside of strings. Possessive, so that no text costs more than one
#: look at each byte.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
#: Real answers nest five deep at most (Freja's `details`); this leaves room and stays far from the recursion limit.
MAX_DEPTH = 32


def load_object(data: bytes, *, duplicates: Literal["refuse", "void"] = "refuse") -> dict[str, Any]:
    """Read one JSON object.

    Args:
        data: The bytes of the whole text.
        duplicates: What an object becomes in which a member stands twice: `refuse` gives the whole text up, `void`
            makes null of that object.

    Raises:
        ValueError: Not strict JSON or not an object. The message names the rule and nothing of the content.
    """
    problem = "not JSON"
    value: Any = None
    try:
        # Decoded here: json.loads(bytes) would guess UTF-16 and UTF-32 and let a byte order mark through.
        text = data.decode("utf-8")
        if is_too_deep(text):
            problem = "nested too deeply"
        else:
            value = _DECODERS[duplicates].decode(text)
            if "\\u" in text:
                # An escape can say half of a surrogate pair, which whoever prints or encodes the text would fall over.
                json.dumps(value, ensure_ascii=False).encode("utf-8")
            problem = "" if isinstance(value, dict) else "not a JSON object"
            if value is None and "{" in text:
                problem = "a member stands twice"
    except UnicodeError:
        problem = "not UTF-8"
    except _StrictnessError as error:
        problem = str(error)
    except (ValueError, RecursionError):
        # JSONDecodeError carries the whole text in `.doc`; int() refuses thousands of digits with a plain ValueError.
        pass
    if problem:
        # Raised outside the handlers, so that no traceback or __context__ keeps the text.
        raise ValueError(problem)
    return value  # type: ignore[no-any-return] # an object, as checked above


class _StrictnessError(ValueError):
    """A rule of this module was broken; the message quotes nothing."""


def is_too_deep(text: str) -> bool:
    """Whether a reader of this text would go deeper than allowed before it comes to a fault."""
    # Counting is a bound that almost every answer meets, and costs nothing.
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _StrictnessError("a member stands twice")
    return members


def _unique_or_void(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


def _refuse_constant(_: str) -> NoReturn:
    raise _StrictnessError("NaN or Infinity")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _StrictnessError("a number that is too large")
    return value


_DECODERS = {
    duplicates: json.JSONDecoder(object_pairs_hook=hook, parse_constant=_refuse_constant, parse_float=_finite)
    for duplicates, hook in {"refuse": _unique, "void": _unique_or_void}.items()
}
