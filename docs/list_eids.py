"""Writes the table of eIDs into `writing-an-eid.md`, from what they declare: `python docs/list_eids.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from idura_ciba.eids import EIDS, Eid

PAGE = Path(__file__).with_name("writing-an-eid.md")
_BLOCK = re.compile(r"(?<=<!-- eids -->\n).*?(?=<!-- /eids -->)", re.DOTALL)
_ROWS = (
    *("`--eid`", "`acr_values`", "message", "words are read aloud", "its tokens", "a prompt lives at most", "options"),
    "words on progress",
)


def table() -> str:
    """A column for each eID that is declared and not described."""
    eids = [eid for eid in EIDS.values() if eid.build is None]
    rows = [("", *(eid.label for eid in eids)), ("---",) * (len(eids) + 1)]
    rows += zip(_ROWS, *map(_cells, eids), strict=True)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(eid: Eid) -> Iterator[str]:
    yield f"`{eid.name}`"
    yield f"`{eid.fields['acr_values']}`"
    yield f"{eid.message}, at most {eid.message_bytes} bytes" if eid.message_bytes else eid.message
    yield "yes" if eid.spoken_words else "no"
    yield "name the person" if eid.guarantees_person else "may omit the number"
    yield f"{eid.fields['prompt_lifetime']:.0f} s"
    yield ", ".join(f"`{option.name}`" for option in eid.options) or "none"
    yield ", ".join(f"`{phase}`" for phase in eid.phases) or "unknown"


def page(text: str) -> str:
    """A page with the table in its place."""
    return _BLOCK.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
