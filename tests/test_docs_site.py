"""Tests of the built documentation site, as a reader's browser gets it. `nox -s docs` builds it and runs them."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

import idura_ciba
from idura_ciba import CibaError, Denied, UsageError
from idura_ciba.errors import DOCUMENTATION
from tests.pages import DOCS, ROOT, program
from tests.test_docs_errors import codes

if "IDURA_CIBA_SITE" not in os.environ:
    pytest.skip("the site is not built; `nox -s docs` does", allow_module_level=True)

SITE = Path(os.environ["IDURA_CIBA_SITE"])
#: Elements that make a browser fetch something, and where it stands in them.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
#: Kinds of `<link>` that are fetched.
FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload"}
#: Questions of a stranger: the links to follow from the start page, where they lead, and words of the answer there.
QUESTIONS = {
    "How do I verify a Norwegian caller?": (
        ["In a chat bot or at a desk"],
        "how-to/bot/#a-norwegian-caller",
        "read them to the person at once",
    ),
    "What does indeterminate mean?": (
        ["States and codes"],
        "errors/#indeterminate",
        "an answer was lost on the way, and it may have been the final one",
    ),
    "How do I run two replicas?": (
        ["Many replicas, one client"],
        "fleet/",
        "Make one Fleet for each process, and give it the client",
    ),
    "My key is refused.": (
        ["My key is refused"],
        "how-to/refused-key/",
        "The public key is not the one that is registered",
    ),
    "How do I test?": (
        ["Test your program"],
        "how-to/testing/",
        "The simulator runs in your process",
    ),
    "What is stored?": (
        ["What is stored"],
        "explanation/trust/#what-is-stored",
        "nothing on disk",
    ),
    "How fast does it poll?": (
        ["The mathematics of polling"],
        "explanation/polling/#how-fast-it-polls",
        "a decision is noticed 1.5 seconds later on average",
    ),
    "Can I cancel?": (
        ["A prompt that was given up on"],
        "service/#a-prompt-that-was-given-up-on",
        "CIBA cannot withdraw a prompt",
    ),
    "What does it cost?": (
        ["What a login costs"],
        "sizing/",
        "1.4 to 1.5 KB per pending login",
    ),
    "Is FrejaID ready?": (
        ["How CIBA works, eID by eID"],
        "explanation/ciba/#frejaid-is-provisional",
        "nobody has tried it at Idura",
    ),
}


class Page(HTMLParser):
    """What a page links to, fetches, calls its parts, and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.config = ""
        # What is said from each id on.
        self.said: list[tuple[str, str]] = []
        self._link: list[str] | None = None
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where it leads, and what it is called."""
        had = {name: value or "" for name, value in attrs}
        if "id" in had:
            self.ids.append(had["id"])
            self.said.append((had["id"], ""))
        if tag == "a" and "href" in had:
            self.links.append((had["href"], ""))
            self._link = []
        if tag in FETCHED and FETCHED[tag] in had:
            self.fetched.append(had[FETCHED[tag]])
        if tag == "link" and FETCHED_LINKS & set(had.get("rel", "").split()):
            self.fetched.append(had["href"])
        self._silent += tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        """Note what a link says."""
        if tag == "a" and self._link is not None:
            self.links[-1] = (self.links[-1][0], " ".join("".join(self._link).split()))
            self._link = None
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        """Note what is said."""
        if self._silent:
            self.config += data if data.startswith("{") else ""
            return
        if self._link is not None:
            self._link.append(data)
        if self.said:
            self.said[-1] = (self.said[-1][0], self.said[-1][1] + data)

    def text_from(self, anchor: str) -> str:
        """What the page says from an anchor on, or from its beginning."""
        start = self.ids.index(anchor) if anchor else 0
        return " ".join("".join(text for _, text in self.said[start:]).split())


@cache
def page(path: str) -> Page:
    """A page of the site, by its path."""
    file = SITE / path / "index.html" if path.endswith("/") or not path else SITE / path
    return Page(file.read_text(encoding="utf-8"))


PATHS = sorted(
    path.relative_to(SITE).as_posix().removesuffix("index.html")
    for path in SITE.rglob("*.html")
    if path.name != "404.html"
)


def follow(path: str, link: str) -> tuple[str, str]:
    """Where a link of a page leads within the site: the path, and the anchor."""
    target = urlsplit(urljoin(f"https://site/{path}", link))
    return unquote(target.path.lstrip("/")), unquote(target.fragment)


@pytest.mark.parametrize("path", PATHS)
def test_every_link_leads_somewhere(path: str) -> None:
    """Also those that the theme and the reference make: to a file of the site, and to an anchor that it has."""
    for link, _ in page(path).links:
        if urlsplit(link).scheme or link.startswith("//"):
            continue
        target, anchor = follow(path, link)
        if target.startswith(urlsplit(DOCUMENTATION).path.lstrip("/")):
            continue  # of the page that is shown for what is missing
        there = SITE / target
        assert (there / "index.html" if target.endswith("/") or not target else there).exists(), link
        if anchor and anchor != "__codelineno-0-1":
            assert anchor in page(target).ids, link


@pytest.mark.parametrize("path", [*PATHS, "404.html"])
def test_no_page_asks_anybody_else(path: str) -> None:
    """Whoever reads is seen by the site's own server only: fonts, scripts, styles and pictures are its own."""
    assert page(path).fetched
    for address in page(path).fetched:
        assert not urlsplit(address).netloc, address


def test_no_style_and_no_script_of_ours_asks_anybody_else() -> None:
    """Styles name no address of another server. The theme's script knows two, and only for what is not used here."""
    for style in SITE.rglob("*.css"):
        addresses = re.findall(r"url\(\s*[\"']?(.*?)[\"']?\s*\)", style.read_text(encoding="utf-8"))
        assert [each for each in addresses if urlsplit(each).netloc] == []
    for path in PATHS:
        html = (SITE / path / "index.html" if path.endswith("/") or not path else SITE / path).read_text("utf-8")
        # It would ask GitHub for stars (`repo_url`), and fetch a library for diagrams (`mermaid`).
        assert 'data-md-component="source"' not in html
        assert 'class="mermaid"' not in html


def test_search_darkness_and_copying_are_there() -> None:
    """The index is the site's own and finds what a stranger types."""
    config = json.loads(page("").config)
    assert "content.code.copy" in config["features"]
    assert not urlsplit(config["search"]).netloc
    html = (SITE / "index.html").read_text(encoding="utf-8")
    assert 'data-md-component="palette"' in html
    assert {"default", "slate"} <= set(re.findall(r'data-md-color-scheme="(\w+)"', html))
    found = json.loads((SITE / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    for word in ("indeterminate", "IDURA_CIBA_KEY_FILE", "--retry-indeterminate", "ciba.client.pending", "WhenPinged"):
        assert any(word in each["text"] or word in each["title"] for each in found), word


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_strangers_question_is_answered_within_two_clicks(question: str) -> None:
    """By the links of the start page, followed one after the other."""
    names, expected, answer = QUESTIONS[question]
    assert len(names) <= 2
    path, anchor = "", ""
    for name in names:
        leading = [link for link, text in page(path).links if text == name]
        assert leading, f"{path or 'the start page'} has no link {name!r}"
        path, anchor = follow(path, leading[-1])
    print(f"{question} start → {' → '.join(names)} ({path}{'#' if anchor else ''}{anchor})")  # noqa: T201 - asked for
    assert f"{path}{'#' if anchor else ''}{anchor}" == expected
    assert answer in page(path).text_from(anchor)


def test_every_code_leads_to_its_explanation() -> None:
    """The address that an error prints is a page of the site, with an anchor that it has, once."""
    package = Path(idura_ciba.__file__).parent
    sources = [path for path in package.rglob("*.py") if "simulator" not in path.relative_to(package).parts]
    met = codes(path.read_text(encoding="utf-8") for path in sources) - {""}
    assert len(met) > 60
    errors: list[CibaError] = [Denied("no", code=code) for code in sorted(met)]
    for error in [*errors, UsageError("no"), idura_ciba.ArgumentError("no", code="of an argument")]:
        assert error.help_url.startswith(DOCUMENTATION)
        path, _, anchor = error.help_url.removeprefix(DOCUMENTATION).partition("#")
        assert page(path).ids.count(anchor) == 1, error.help_url
    assert len(page("errors/").ids) == len(set(page("errors/").ids))


def test_every_public_name_is_on_a_page_of_the_reference() -> None:
    """With its docstring, below a heading that can be linked to."""
    listed: dict[str, list[str]] = program("site/generated.py").public_names()
    for where, names in listed.items():
        for name in names:
            assert page(f"reference/{where}/").ids.count(name) == 1, name
    everything = {name for names in listed.values() for name in names}
    assert {f"idura_ciba.{name}" for name in idura_ciba.__all__} <= everything
    assert "Stop asking" in page("reference/client/").text_from("idura_ciba.Transaction.abandon")


def test_what_is_generated_arrives_whole() -> None:
    """The reader sees what the tables say, also where it looks like a direction to the builder, such as `{login}`."""
    generated = program("site/generated.py").GENERATED
    for source in DOCS.rglob("*.md"):
        for name in re.findall(r"^<!-- generated: (.+?) -->$", source.read_text(encoding="utf-8"), re.MULTILINE):
            made = generated[name]()
            where = source.relative_to(DOCS).as_posix().removesuffix(".md") + "/"
            said = re.sub(r"[ *]", "", page(where).text_from(""))
            for cell in re.findall(r"(?<=\| )[^|\n]+(?= \|)", re.sub(r"```.*?```", "", made, flags=re.DOTALL)):
                words = re.sub(r"[`\\*]", "", cell).replace(" ", "")
                assert words in said or set(words) == {"-"} or "<" in words, f"{name}: {cell}"


def test_nothing_is_left_unmade() -> None:
    """No marker of a table or an example, and no directive, is shown to a reader."""
    for path in PATHS:
        said = page(path).text_from("")
        assert "::: idura_ciba" not in said
        html = (SITE / path / "index.html" if path.endswith("/") or not path else SITE / path).read_text("utf-8")
        assert "<!-- generated" not in html
        assert "<!-- example" not in html


def test_the_address_is_the_one_of_the_package() -> None:
    """In `mkdocs.yml`, and in what search engines are told."""
    assert f"\nsite_url: {DOCUMENTATION}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    sitemap = ET.parse(SITE / "sitemap.xml")  # noqa: S314 - our own
    addresses = [each.text or "" for each in sitemap.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert len(addresses) > 40
    assert all(each.startswith(DOCUMENTATION) for each in addresses)


def test_whatever_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    """By the settings of `mkdocs.yml`: links, anchors and pictures, and a page that is not in the navigation."""
    wrong = "[a](nowhere.md) [b](index.md#nowhere) ![c](nowhere.png) [d](/index.md)"
    said = build(
        tmp_path, {"index.md": "# Start", "wrong.md": wrong, "lost.md": "# Lost"}, nav=["index.md", "wrong.md"]
    )
    for complaint in ("'nowhere.md'", "'index.md#nowhere'", "'nowhere.png'", "absolute link '/index.md'", "lost.md"):
        assert complaint in said


def test_a_page_without_a_fault_is_built(tmp_path: Path) -> None:
    """The test above sees the faults, and not that nothing can be built."""
    assert build(tmp_path, {"index.md": "[a](index.md#here)\n\n## Here"}, nav=["index.md"]) == ""
    assert (tmp_path / "site" / "index.html").exists()


def build(folder: Path, pages: dict[str, str], *, nav: list[str]) -> str:
    """Build a site as `mkdocs.yml` does, and return its warnings: nothing if it was built."""
    (folder / "docs").mkdir()
    for name, text in {"site.css": "", "site.js": "", **pages}.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    inherited = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": "docs", "site_dir": "site", "nav": nav}
    # Without what makes the reference, and the pages outside of docs/.
    (folder / "mkdocs.yml").write_text(json.dumps({**inherited, "hooks": [], "plugins": []}), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(folder / "mkdocs.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    # With `--quiet`, MkDocs does not see its own warnings, and builds whatever there is.
    return "" if ran.returncode == 0 else ran.stderr + ran.stdout


@pytest.fixture(name="hooks")
def _hooks(monkeypatch: pytest.MonkeyPatch) -> object:
    """The module that MkDocs loads, loaded as it does."""
    monkeypatch.syspath_prepend(DOCS / "site")
    return program("site/hooks.py")


def test_codes_become_anchors_where_they_are_explained(hooks: object) -> None:
    """In the first cell of a table of codes, once; elsewhere they stay what they are."""
    table = "| Code | What |\n| --- | --- |\n| `a`, `b` | `c` |\n| `a` | again |\n\n| State |\n| --- |\n| `a` |\n"
    made = hooks.with_anchors(table)  # type: ignore[attr-defined]
    assert "| [`a`](#a){ #a }, [`b`](#b){ #b } | `c` |\n| `a` | again |" in made
    assert made.endswith("| `a` |\n")


def test_long_names_break_in_tables_only(hooks: object) -> None:
    """After their parts."""
    cell, prose = (
        "<td><code>IDURA_CIBA_GUARD</code> <code>short</code></td></tr>",
        "<p><code>IDURA_CIBA_GUARD</code></p>",
    )
    broken = hooks.on_page_content(cell + prose, page=None, config=None, files=None)  # type: ignore[attr-defined]
    assert broken == cell.replace("IDURA_CIBA_GUARD", "IDURA_<wbr>CIBA_<wbr>GUARD") + prose


def test_links_in_code_stay_what_they_are(hooks: object) -> None:
    """Only those of the prose are changed, also where their text is code."""
    text = "[a](b) `[a](b)` [`x`](b)\n```python\n[a](b)\n```\n"
    changed = hooks.outside_code(text, lambda part: part.replace("](b)", "](c)"))  # type: ignore[attr-defined]
    assert changed == "[a](c) `[a](b)` [`x`](c)\n```python\n[a](b)\n```\n"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("EidRequest", "eids"),
        ("Endpoints", "http"),
        ("simulator.Script", "testing"),
        ("simulator.Rules", "testing"),
        ("PollView", "polling"),
    ],
)
def test_the_signature_of_a_class_of_attrs_is_the_one_that_it_has(name: str, where: str) -> None:
    """Its parameters in their order, and which of them are keywords only."""
    module, _, name_ = f"idura_ciba.{name}".rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name_)).parameters.values()
    said = page(f"reference/{where}/").text_from(f"idura_ciba.{name}").partition(name_ + "(")[2]
    depth = itertools.accumulate((char == "(") - (char == ")") for char in said)
    shown = said[: next(nth for nth, open_ in enumerate(depth) if open_ < 0)]
    (made,) = ast.parse(f"def made({shown}): ...").body
    assert isinstance(made, ast.FunctionDef)
    assert [each.arg for each in made.args.kwonlyargs] == [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert [each.arg for each in made.args.args] == [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


def test_what_nothing_generates_ends_the_build(hooks: object) -> None:
    """A marker with a misspelt name is not passed over."""
    with pytest.raises(Exception, match="nothing is generated by the name 'tpyo'"):
        hooks._generate("tpyo")  # type: ignore[attr-defined]
