"""Tests of templates and static files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from jinja2 import UndefinedError

from idura_ciba import web as room
from idura_ciba.web.guard import Guard
from idura_ciba.web.pages import Pages
from idura_ciba.web.serving import serving
from tests.browsers import Browser

HERE = Path(room.__file__).parent
SCRIPT = "<script>alert('1')</script>"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for name in ("templates", "static"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "hello.html").write_text(
        '{% extends "base.html" %}{% block page %}{{ who }}{% endblock %}'
    )
    (tmp_path / "static" / "own.js").write_text("'å'")
    (tmp_path / "static" / "data.zzz").write_text("?")
    return tmp_path


def test_what_is_put_in_is_escaped(folder: Path) -> None:
    """Names, messages and hints come from outside."""
    text = Pages(folder).render("hello.html", who=SCRIPT)
    assert SCRIPT not in text
    assert "&lt;script&gt;" in text


def test_a_value_that_is_missing_is_a_fault(folder: Path) -> None:
    """Rather than a gap in the page."""
    with pytest.raises(UndefinedError, match="who"):
        Pages(folder).render("hello.html")
    assert "me" in Pages(folder, who="me").render("hello.html")


def test_a_page_is_html(folder: Path) -> None:
    """With its status."""
    page = Pages(folder).page("hello.html", status=404, who="me")
    assert (page.status, page.content_type, page.charset) == (404, "text/html", "utf-8")


@pytest.mark.sockets
async def test_static_files_come_with_their_type(folder: Path) -> None:
    """Those of the room and those of all rooms, and nothing else of the disk."""
    guard = Guard("test")
    app, inner = guard.application(), web.Application()
    Pages(folder).add_static(inner)
    app.add_subapp("/inner/", inner)
    async with serving(app, guard, path="/inner/") as address:
        browser = Browser(address.partition("/inner/")[0])
        await browser.open(address)
        found = {
            name: (await browser.get(f"/inner/static/{name}")).headers["content-type"]
            for name in ("own.js", "style.css", "live.js", "icon.svg", "data.zzz")
        }
        assert found == {
            "own.js": "text/javascript; charset=utf-8",
            "style.css": "text/css; charset=utf-8",
            "live.js": "text/javascript; charset=utf-8",
            "icon.svg": "image/svg+xml; charset=utf-8",
            "data.zzz": "application/octet-stream; charset=utf-8",
        }
        assert (await browser.get("/inner/static/own.js")).text == "'å'"
        for name in ("other.js", "..%2Ftemplates%2Fhello.html", "../templates/hello.html", "%2Fetc%2Fpasswd", ""):
            assert (await browser.get(f"/inner/static/{name}")).status == 404


def test_a_room_may_have_no_static_files(tmp_path: Path) -> None:
    """Those that all share are there."""
    assert set(Pages(tmp_path)._static) == {path.name for path in (HERE / "static").iterdir()}


def text_files() -> Iterator[Path]:
    """Everything that a browser is given."""
    for folder in HERE.parent.glob("*/static"):
        yield from folder.iterdir()
    for folder in HERE.parent.glob("*/templates"):
        yield from folder.iterdir()


@pytest.mark.parametrize("path", sorted(text_files()), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_nothing_comes_from_elsewhere_and_nothing_is_inline(path: Path) -> None:
    """No address of another server; and neither script nor style in a page, which the policy would refuse."""
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+", text)) if path.suffix != ".js" else set()
    assert addresses <= {"http://www.w3.org"}  # the name of a namespace
    assert not re.search(r"@import|url\(|import\(|\bhttps?:", text.replace("http://www.w3.org/2000/svg", ""))
    if path.suffix == ".html":
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|javascript:|\|\s*safe", text)
