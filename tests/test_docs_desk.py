"""Tests of the page on the desk: its example is served, and its table of options is that of the command."""

from __future__ import annotations

import asyncio
import re

import pytest

from idura_ciba.cli.desk import PORT
from idura_ciba.eids.phase import LANGUAGES
from tests.browsers import Browser
from tests.logins import MakeClient
from tests.pages import DOCS, example

PAGE = (DOCS / "desk.md").read_text(encoding="utf-8")


@pytest.mark.sockets
async def test_a_program_serves_a_desk(
    make_ciba_client: MakeClient, tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example prints the address, where the page is in Swedish."""
    monkeypatch.chdir(str(tmp_path))
    until = asyncio.Event()
    serving = asyncio.create_task(example("desk_in_a_program")["serve"](make_ciba_client(), until))
    printed = ""
    while not printed:
        await asyncio.sleep(0)
        printed = capsys.readouterr().out.strip()
    browser = Browser(printed.partition("/desk/")[0])
    await browser.open(printed)
    assert "Verifiera den som ringer" in (await browser.get("/desk/")).text
    until.set()
    await serving


def test_what_the_page_says_of_options_is_so() -> None:
    """The port and the languages."""
    assert f"({PORT})" in PAGE
    (languages,) = re.findall(r"\| `--language` \| ([^;]*);", PAGE)
    assert re.findall(r"`(\w+)`", languages) == list(LANGUAGES)
