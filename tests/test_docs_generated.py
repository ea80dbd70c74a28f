"""Tests of what the site makes of the code: whatever the code has stands there, without anybody touching a page."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args

import pytest
import typer

import idura_ciba
from idura_ciba.credentials.signing_key import Flaw
from idura_ciba.eids.written_number import Damage
from idura_ciba.observe import PollEvent
from idura_ciba.protocol.machine import TRANSITIONS, State
from tests.pages import DOCS, program
from tests.test_docs_errors import codes

PACKAGE = Path(idura_ciba.__file__).parent
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}


@pytest.fixture(name="generated")
def _generated() -> ModuleType:
    """The script beside the pages, loaded afresh: a test may change what it looks at."""
    return program("site/generated.py")


def test_each_table_is_asked_for_by_one_page(generated: ModuleType) -> None:
    """None is forgotten, none stands twice, and no page asks for one that there is not."""
    asked = [name for page in PAGES.values() for name in re.findall(r"^<!-- generated: (.+?) -->$", page, re.MULTILINE)]
    assert sorted(asked) == sorted(generated.GENERATED)


def test_every_public_name_is_on_a_page(generated: ModuleType) -> None:
    """Of `idura_ciba`, and of each room whose `__init__` or module has an `__all__` for its users."""
    listed = {name for names in generated.public_names().values() for name in names}
    assert {f"idura_ciba.{name}" for name in idura_ciba.__all__} <= listed
    objects = {id(_find(name)) for name in listed}
    for room in generated.PUBLIC:
        module = importlib.import_module(f"idura_ciba.{room}")
        missing = [name for name in module.__all__ if id(getattr(module, name)) not in objects]
        assert {f"{room}.{name}" for name in missing} <= generated.INTERNAL


def _find(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_every_room_with_public_names_is_public_or_below(generated: ModuleType) -> None:
    """A new package that has an `__all__` is noticed here."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py") if "\n__all__" in path.read_text("utf-8")}
    assert rooms - {"cli"} <= set(generated.PUBLIC)


def test_a_new_name_appears(generated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the page of its room."""
    import idura_ciba.ping  # noqa: PLC0415 - changed for a moment

    monkeypatch.setattr(idura_ciba.ping, "Fresh", type("Fresh", (), {}), raising=False)
    monkeypatch.setattr(idura_ciba.ping, "__all__", [*idura_ciba.ping.__all__, "Fresh"])
    assert "::: idura_ciba.ping.Fresh\n" in generated.GENERATED["names of ping"]()


def test_every_option_is_listed(generated: ModuleType) -> None:
    """With what its help says, in the section of its command."""
    page = generated.GENERATED["command"]()
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for name, command in generated.commands():
        for each in command.params:
            if each.name == "help":
                continue
            spelled = each.opts[0] if each.param_type_name != "argument" else each.metavar or each.name.upper()
            assert f"| `{spelled}`" in sections[name], f"{name} {spelled}"
            assert " ".join((each.help or "").split()).replace("|", r"\|") in sections[name]
    assert "`IDURA_CIBA_KEY_FILE`" in sections["idura-ciba verify"]


def test_a_new_option_and_its_variable_appear(generated: ModuleType) -> None:
    """Without a change of any page."""
    app = typer.Typer()

    @app.callback()
    def _root() -> None:
        """Do something."""

    @app.command()
    def fresh(brand_new: Annotated[str, typer.Option(envvar="IDURA_CIBA_FRESH", help="A | B.")] = "c") -> None:
        """Do it."""

    generated.app = app
    page = generated.GENERATED["command"]()
    assert "## idura-ciba fresh\n" in page
    assert "| `--brand-new` | A \\| B. | `c` | `IDURA_CIBA_FRESH` |" in page


def test_every_variable_is_listed(generated: ModuleType) -> None:
    """With what it is: from its option, or from the comment above its name."""
    page = generated.GENERATED["environment"]()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .*\|$", page, re.MULTILINE))
    named = set(re.findall(r'"(IDURA_CIBA_[A-Z_]+)"', "".join(map(_read, PACKAGE.rglob("*.py")))))
    assert set(rows) == named
    assert len(rows) > 10
    assert all(len(about) > 10 for about in rows.values())


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_variable_that_nobody_explains_ends_the_build(generated: ModuleType) -> None:
    """It is not left blank."""
    with pytest.raises(LookupError, match="IDURA_CIBA_NOBODY"):
        generated._about_variable("IDURA_CIBA_NOBODY")


def test_every_transition_is_listed(generated: ModuleType) -> None:
    """In the section of the state that it leaves."""
    page = generated.GENERATED["transitions"]()
    sections = dict(re.findall(r"^### From `(\w+)`\n(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL))
    found = {
        (state, event, after)
        for state, text in sections.items()
        for event, after in re.findall(r"^\| `([\w ]+)` \| `(\w+)` \|$", text, re.MULTILINE)
    }
    assert found == {(s.value, e.value, a.value) for s, row in TRANSITIONS.items() for e, a in row.items()}
    assert all(f"`{state.value}`" in page.partition("### Final")[2] for state in State if state.is_final)
    explained = re.findall(r"^- `(\w+)`: ", PAGES["reference/transitions.md"], re.MULTILINE)
    assert set(explained) == {state.value for state in State if not state.is_final}


def test_every_event_is_listed(generated: ModuleType) -> None:
    """With all attributes, each with its type and what it is."""
    page = generated.GENERATED["events"]()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [
        *("TransactionEvent", "PollEvent", "RequestEvent", "VerificationEvent", "FleetEvent"),
    ]  # fmt: skip
    section = page.partition("## PollEvent\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| `.+?` \| .+ \|$", section, re.MULTILINE)
    assert listed == [field.name for field in PollEvent.__attrs_attrs__]


def test_every_code_has_a_place_that_its_error_leads_to(generated: ModuleType) -> None:
    """In a table of the page of codes: in the first cell, which becomes the anchor."""
    sources = [path for path in PACKAGE.rglob("*.py") if "simulator" not in path.relative_to(PACKAGE).parts]
    met = codes(map(_read, sources)) - {""}
    warned_of = re.findall(r'"(\w+_(?:unsupported|unmentioned|required))"', _read(PACKAGE / "http" / "capabilities.py"))
    assert len(set(warned_of)) > 10
    met |= set(warned_of)
    assert met - set(generated.anchored_codes(PAGES["errors.md"])) == set()


def test_a_new_code_of_an_argument_appears(
    generated: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what its error says; what is filled in at run time is an ellipsis. Explained codes are not repeated."""
    source = """
_FLAWS: Mapping = {"odd": ("is odd", "mend it"), "even": "is even"}
raise ArgumentError(f"the {x} is | odd", code="fresh")
raise ArgumentError("is explained", code="other_request")
raise CibaError("another class", code="other")
raise ArgumentError(_FLAWS[flaw], code=f"number_{flaw}")
def refused(what, code): return ArgumentError(what, code=code)
raise refused("given", "by_caller")
"""
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(generated, "PACKAGE", tmp_path)
    rows = generated.GENERATED["argument codes"]().splitlines()[2:]
    assert rows == [
        "| `by_caller` | given |",
        "| `fresh` | the … is \\| odd |",
        "| `number_even` | is even |",
        "| `number_odd` | is odd |",
    ]


def test_the_codes_of_keys_numbers_and_files_are_listed(generated: ModuleType) -> None:
    """Those that are put together when something is wrong."""
    rows = set(re.findall(r"^\| `(\w+)` \|", generated.GENERATED["argument codes"](), re.MULTILINE))
    assert {"key_too_small", "national_number_check_digit", "phone_exponent", "extra_missing", "file"} <= rows
    assert {f"national_number_{damage}" for damage in get_args(Damage)} <= rows
    assert set(get_args(Flaw)) <= rows


def test_every_program_is_shown(generated: ModuleType) -> None:
    """Whole, below its name."""
    page = generated.GENERATED["programs"]()
    for path in (DOCS / "examples").glob("*.py"):
        assert f"## {path.name}\n" in page
        assert path.read_text(encoding="utf-8") in page
