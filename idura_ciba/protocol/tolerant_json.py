"""JSON of an answer that is had only once, read as widely as anybody reads it.

Once a phone has rung, a login must not be lost to how an answer is written. Nothing is trusted for being in one: the
ID token within, and the keys that it is verified with, are read by `strict_json`.

Rules:
1. The encoding is the one that the first bytes show (RFC 8259 section 8.1 lets a reader skip a byte order mark), else
   UTF-8. What is not UTF-8 is in the single-byte `charset` that the header names, or in Latin-1.
2. Of a member that stands twice the last one counts, as in nearly every reader.
3. A number that no float can hold, `NaN` and the infinities say nothing: they are null.
4. Half a surrogate pair, which whoever prints or encodes the text would fall over, is a question mark.
5. Nesting is bounded, so that no answer can exhaust the stack.
6. Every failure is one `ValueError` that quotes nothing of the text.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import Any

from idura_ciba.protocol.strict_json import is_too_deep

__all__ = ["load_answer"]

#: Charsets in which each byte is a letter. Python knows others, which are no charsets or decode to anything.
_SINGLE_BYTE = re.compile(r"charset\s*=\s*\"?((?:iso-8859-|windows-125)[0-9]{1,2})\b", re.IGNORECASE)
#: Digits of the largest float.
_MAX_DIGITS = 309


def load_answer(data: bytes, content_type: str | None = None) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        data: The bytes of the whole text.
        content_type: The header field of that name, if there is one.

    Raises:
        ValueError: Not JSON, or not an object. The message names the rule and nothing of the content.
    """
    problem = ""
    value: Any = None
    try:
        text = _decode(data, content_type)
        if is_too_deep(text):
            problem = "nested too deeply"
        else:
            value = _DECODER.decode(text)
            if "\\u" in text:
                value = _printable(value)
            if not isinstance(value, dict):
                problem = "not a JSON object"
    # RecursionError: the bound on nesting is ours, how deep the caller stands already is not.
    except (ValueError, RecursionError):
        problem = "not JSON"
    if problem:
        # Raised outside the handler, so that no traceback or __context__ keeps the text.
        raise ValueError(problem)
    return value  # type: ignore[no-any-return] # an object, as checked above


def _decode(data: bytes, content_type: str | None) -> str:
    # A quotation mark without a null byte before it can only be UTF-8; it saves asking.
    encoding = "utf-8" if data.startswith(b'{"') else json.detect_encoding(data)
    with suppress(UnicodeError):
        return data.decode(encoding)
    declared = _SINGLE_BYTE.search(content_type or "")
    with suppress(UnicodeError, LookupError):
        return data.decode(declared[1] if declared else "latin-1")
    return data.decode("latin-1")


def _printable(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value


def _whole(text: str) -> int | None:
    # Python refuses thousands of digits, and to read hundreds is work for nothing.
    return int(text) if len(text) <= _MAX_DIGITS else None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _nothing(_: str) -> None:
    """NaN, Infinity and -Infinity."""


_DECODER = json.JSONDecoder(parse_constant=_nothing, parse_float=_finite, parse_int=_whole)
