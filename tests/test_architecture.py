"""Tests of the shape: which module may import which, where each library has its home, and where the tests stand."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import attrs
import pytest

import idura_ciba

pytestmark = pytest.mark.unmeasured

PACKAGE = Path(idura_ciba.__file__).parent
TESTS = Path(__file__).parent

#: The floors, from the bottom up; docs/architecture.md has them as a picture. A room is a top-level module or
#: sub-package, "" the package's own `__init__`; it may import what stands below it or beside it, and nothing above.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"redaction"}),
    frozenset({"errors"}),
    frozenset({"aio", "credentials", "options", "polling", "protocol"}),
    frozenset({"eids", "explain", "observe", "ping", "simulator"}),
    frozenset({"http", "scheduling"}),
    frozenset({"trust"}),
    frozenset({"checks", "transaction"}),
    frozenset({"client"}),
    frozenset({"batch", "otel", "pytest_plugin", "sync", "testing", "web"}),
    frozenset({"fleet"}),
    frozenset({"desk", "phone"}),
    frozenset({"", "__main__", "cli"}),
)
RANKS = {room: rank for rank, floor in enumerate(FLOORS) for room in floor}

#: Rooms that may import less than what stands below them, and why.
ONLY: Mapping[str, frozenset[str]] = {
    # Helpers know nothing of logins.
    "aio": frozenset({"redaction", "errors"}),
    # The pure core knows no clock.
    "protocol": frozenset({"redaction", "errors"}),
    # What it records is what observers may know.
    "otel": frozenset({"redaction", "errors", "protocol", "observe"}),
    # A local tool's guard knows nothing of what it guards.
    "web": frozenset({"redaction", "errors", "aio"}),
    # It must not share our misreadings of the protocol.
    "simulator": frozenset({"redaction", "errors", "aio", "credentials", "options", "polling"}),
}

#: Rooms that only these may import: what asks real people must not lean on what pretends to.
ONLY_FOR: Mapping[str, frozenset[str]] = {"simulator": frozenset({"pytest_plugin", "cli", "phone"})}

#: What the pure core must not touch of the standard library: waiting, time, chance and the outside.
IMPURE = frozenset(
    {
        "asyncio",
        "concurrent",
        "http",
        "multiprocessing",
        "os",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "threading",
        "time",
        "urllib.request",
        "uuid",
    }
)

#: Where a library may be imported: by room, or by module where the home is smaller. Those without a line have no home.
HOMES: Mapping[str, frozenset[str]] = {
    "aiohttp": frozenset(
        {"http.exchange", "http.failures", "http.pool", "http.resolver", "http.session", "http.transport"}
    ),
    # What aiohttp does not document; the module's own docstring lists it name by name.
    "aiohttp.client_proto": frozenset({"http.pool"}),
    "aiohttp.client_reqrep": frozenset({"http.pool"}),
    "aiohttp.connector": frozenset({"http.pool"}),
    "aiohttp.web": frozenset({"cli.web_demo", "desk", "phone", "ping.aiohttp_web", "simulator.server", "web"}),
    "aiohttp_sse": frozenset({"web.stream"}),
    "yarl": frozenset({"http.exchange", "http.proxies", "http.session"}),
    "attrs": frozenset(RANKS),
    "authlib": frozenset({"credentials", "trust"}),
    "cryptography": frozenset(
        {"batch.sealing", "cli.keys", "credentials", "fleet.sealing", "simulator", "transaction.resume"}
    ),
    "jinja2": frozenset({"web.pages"}),
    "joserfc": frozenset({"credentials", "simulator", "trust"}),
    "openpyxl": frozenset({"batch.workbook"}),
    "opentelemetry": frozenset({"otel"}),
    "psycopg": frozenset({"fleet.postgres", "fleet.postgres_changes"}),
    "psycopg_pool": frozenset({"fleet.postgres"}),
    "pytest": frozenset({"pytest_plugin"}),
    "rich": frozenset({"cli"}),
    "tenacity": frozenset({"http.delivery", "polling.basic"}),
    "typer": frozenset({"cli"}),
}

#: Lines of a module at most, and of a test file; a file that needs more has two subjects.
MAX_LINES = 450
MAX_TEST_LINES = 800
#: It composes: what would make it longer belongs to a module below it.
MAX_CLIENT_LINES = 399

#: Tests that belong to no module, and why.
WITHOUT_MODULE: Mapping[str, str] = {
    "browser/": "uses the pages as people do",
    "interop/": "runs against a provider that is not ours",
    "test_architecture.py": "reads every module",
    "test_cost.py": "counts what a poll and a pending login cost",
    "test_conftest.py": "tests the guards of all other tests",
    "test_docs.py": "runs what the documentation shows",
    "test_docs_bound.py": "runs the page on bound tokens",
    "test_docs_commands.py": "reads every command that the documentation shows",
    "test_docs_desk.py": "runs the page on the desk",
    "test_docs_errors.py": "holds the page on states and codes",
    "test_docs_fapi.py": "runs the page on FAPI-CIBA",
    "test_docs_fleet.py": "runs the page on replicas",
    "test_docs_generated.py": "holds the tables that the site makes of the code",
    "test_docs_guides.py": "runs the tutorial and the how-to guides",
    "test_docs_id_tokens.py": "holds the page on ID tokens to what is accepted",
    "test_docs_ping.py": "runs the page on pings",
    "test_docs_providers.py": "holds the page on providers to what logs people in",
    "test_docs_recipes.py": "runs its recipes for Kubernetes, DBOS and Temporal",
    "test_docs_service.py": "runs the page on services",
    "test_docs_signed.py": "runs the page on signed requests",
    "test_docs_site.py": "follows the links of the built site",
    "test_docs_telemetry.py": "holds the page on telemetry to what is recorded",
    "test_docs_examples.py": "runs the programs in docs/examples",
    "test_faults.py": "tries every fault at every endpoint, through the whole client",
    "test_isolation.py": "runs the whole in applications that are busy, blocked or broken",
    "test_isolation_property.py": "blocks it at any moments",
    "test_privacy.py": "hunts for secrets through everything",
    "test_any_strategy.py": "lets strategies do anything to whole clients",
    "test_scale.py": "runs the whole with thousands of logins",
    "test_stateful.py": "does everything in any order",
    "test_workflows.py": "reads what publishes the site and releases",
    "typing/": "is type-checked and never run",
}


@attrs.frozen
class Import:
    """One imported name.

    Attributes:
        target: The full dotted name, of a module or of something in one.
        line: Where it stands.
    """

    target: str
    line: int


def imports(source: str) -> Iterator[Import]:
    """Read all imports of a module, also those in functions and those for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno)


def room_of(module: str) -> str:
    """Tell the room to which a module belongs, or the library to which a name does."""
    return module.partition(".")[0]


def own_module(target: str, modules: Iterable[str]) -> str | None:
    """Tell which of our modules an import loads: the longest that the name begins with; None for anybody else's."""
    package, *path = target.split(".")
    if package != "idura_ciba":
        return None
    known = set(modules)
    while path and ".".join(path) not in known:
        path.pop()
    return ".".join(path)


def violations(module: str, source: str, modules: Iterable[str]) -> Iterator[str]:
    """Say what is wrong with a module, by its dotted name without the package's own."""
    room = room_of(module)
    if room not in RANKS:
        yield f"{module}: {room} has no floor"
        return
    limit = MAX_CLIENT_LINES if module == "client" else MAX_LINES
    if source.count("\n") > limit:
        yield f"{module}: longer than {limit} lines"
    for found in imports(source):
        if found.target.startswith("."):
            fault = "relative"
        elif room_of(found.target) == "idura_ciba":
            fault = wrong_arrow(room, found.target, modules)
        else:
            fault = wrong_library(module, found.target)
        if fault:
            yield f"{module}:{found.line}: {found.target}: {fault}"


def wrong_arrow(room: str, target: str, modules: Iterable[str]) -> str:
    """Say why a room must not import a name of our own; nothing where it may."""
    # Not only known modules: the name may be one that stands in the table and is not written yet.
    wanted = room_of(own_module(target, {*modules, *RANKS}) or "")
    allowed = (
        RANKS.get(wanted, 0) <= RANKS[room]
        and wanted in ONLY.get(room, {wanted})
        and room in ONLY_FOR.get(wanted, {room})
    )
    if wanted == room or allowed:
        return ""
    return f"{room} must not import {wanted or 'the package itself'}"


def wrong_library(module: str, target: str) -> str:
    """Say why a module must not import a name of somebody else; nothing where it may."""
    standard = room_of(target) in sys.stdlib_module_names
    if room_of(module) == "protocol":
        pure = not any(is_under(target, name) for name in IMPURE) if standard else is_under(target, "attrs")
        return "" if pure else "not in the pure core"
    library = max((name for name in HOMES if is_under(target, name)), key=len, default="")
    return "" if standard or any(is_under(module, home) for home in HOMES.get(library, ())) else "away from home"


def is_under(name: str, root: str) -> bool:
    """Say whether a dotted name is another one or lies below it; the package's own `__init__` lies below nothing."""
    return name == root or bool(root and name.startswith(f"{root}."))


def cycles(sources: Mapping[str, str]) -> list[str]:
    """Name one ring of modules that need each other, if only for their types.

    The package's own `__init__` names everything for type checkers and loads nothing, so it is in no ring.
    """
    graph = {
        module: {own_module(found.target, sources) or module for found in imports(source)} - {module}
        for module, source in sources.items()
        if module
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return [str(name) for name in exc.args[1]]
    return []


def unmirrored(sources: Mapping[str, str], tests: Iterable[str]) -> Iterator[str]:
    """Name the modules without a test file and the test files without a module; both as paths."""
    owners = {path: module_tested_by(path, sources) for path in tests}
    tested = set(owners.values())
    yield from sorted(
        f"tests/{mirror(module)} is missing"
        for module, source in sources.items()
        if has_code(source) and module not in tested
    )
    for path in sorted(path for path, owner in owners.items() if owner is None and path not in WITHOUT_MODULE):
        if not any(path.startswith(folder) for folder in WITHOUT_MODULE if folder.endswith("/")):
            yield f"tests/{path} belongs to no module"


def module_tested_by(path: str, modules: Iterable[str]) -> str | None:
    """Tell to which module a test file belongs: to `b` `test_b.py` and `test_b_aspect.py`; the longest name wins."""
    stem = path.removesuffix(".py")
    named = ((mirror(module).removesuffix(".py"), module) for module in modules)
    return max((module for name, module in named if stem == name or stem.startswith(f"{name}_")), key=len, default=None)


def mirror(module: str) -> str:
    """Tell where the tests of a module stand; those of a sub-package's `__init__` beside its folder."""
    *folders, name = (module or "init").split(".")
    return "/".join([*folders, f"test_{name.strip('_')}.py"])


def has_code(source: str) -> bool:
    """Say whether a module has anything to test: a function or a class."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(source))
    )


def read_sources() -> dict[str, str]:
    """Read the package: dotted name without the package's own, to source. A package stands for its `__init__`."""
    sources = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


SOURCES = read_sources()
#: All of what stands in the tests' folder, and those that pytest collects.
TEST_SOURCES = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
TEST_FILES = [path for path in TEST_SOURCES if path.rpartition("/")[2].startswith("test_")]


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module or "idura_ciba")
def test_a_module_keeps_to_its_place(module: str) -> None:
    """Imports point down or aside, libraries are used at home only, and the file is small."""
    assert list(violations(module, SOURCES[module], SOURCES)) == []


def test_no_modules_import_each_other() -> None:
    """Beside each other, too, arrows have one direction."""
    assert cycles(SOURCES) == []


def test_no_rooms_import_each_other() -> None:
    """What holds for modules holds for whole rooms: two of them in a circle would be one room with two doors."""
    rooms: dict[str, str] = {}
    for module, source in SOURCES.items():
        needs = (room_of(own_module(found.target, SOURCES) or "") for found in imports(source))
        lines = "".join(f"import idura_ciba.{room}\n" for room in needs if room not in {"", room_of(module)})
        rooms[room_of(module)] = rooms.get(room_of(module), "") + lines
    assert cycles(rooms) == []


@pytest.mark.parametrize("room", sorted(name for name in SOURCES if f"{name}." in "".join(f"{m} " for m in SOURCES)))
def test_a_room_says_at_its_door_who_may_do_what(room: str) -> None:
    """The docstring of each package says what lives there, what it may import and what it never does."""
    door = ast.get_docstring(ast.parse(SOURCES[room])) or ""
    assert "\nMay import " in door or room == ""
    assert "Never " in door or room == ""


def test_each_module_has_its_tests_and_each_test_its_module() -> None:
    """The tests are found where the code is: tests/a/test_b.py and tests/a/test_b_aspect.py for a/b.py."""
    assert list(unmirrored(SOURCES, TEST_FILES)) == []


def test_no_test_file_is_long() -> None:
    """Whoever reads the tests of a module meets one aspect at a time."""
    assert [path for path, source in TEST_SOURCES.items() if source.count("\n") > MAX_TEST_LINES] == []


def test_no_test_stands_where_pytest_does_not_look() -> None:
    """One that was moved into a helper module would never run again, and nobody would miss it."""
    helpers = {path: source for path, source in TEST_SOURCES.items() if path not in TEST_FILES}
    assert [path for path, source in helpers.items() if re.search(r"^(async )?def test_", source, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("errors", "from idura_ciba.client import CibaClient", "errors must not import client"),
        ("errors", "from idura_ciba import client", "errors must not import client"),
        ("client", "from idura_ciba import CibaClient", "client must not import the package itself"),
        ("polling.basic", "import idura_ciba.transaction.transaction", "polling must not import transaction"),
        ("polling.basic", "from .strategy import PollView", "relative"),
        ("protocol.http", "if TYPE_CHECKING:\n    from idura_ciba import http", "protocol must not import http"),
        ("http.transport", "def late():\n    from idura_ciba.client import CibaClient", "http must not import client"),
        ("batch.runner", "from idura_ciba.simulator import SimulatedIdura", "batch must not import simulator"),
        ("protocol.timing", "from idura_ciba.aio.clock import Clock", "protocol must not import aio"),
        ("protocol.timing", "import asyncio", "pure core"),
        ("protocol.requests", "from os import path", "pure core"),
        ("protocol.requests", "from urllib.request import urlopen", "pure core"),
        ("protocol.requests", "import joserfc.jws", "pure core"),
        ("simulator.provider", "from idura_ciba.protocol import answers", "simulator must not import protocol"),
        ("simulator.provider", "from idura_ciba import explain", "simulator must not import explain"),
        ("aio.clock", "from idura_ciba import options", "aio must not import options"),
        ("client", "import aiohttp", "away from home"),
        ("http.transport", "from aiohttp import web", "away from home"),
        ("http.session", "from aiohttp.connector import Connection", "away from home"),
        ("http.provider", "import aiohttp", "away from home"),
        ("simulator.server", "from aiohttp import ClientSession", "away from home"),
        ("simulator.provider", "import aiohttp.web", "away from home"),
        ("polling.strategy", "import tenacity", "away from home"),
        ("http.provider", "from authlib.oidc.core import CodeIDToken", "away from home"),
        ("client", "import requests", "away from home"),
        ("newcomer", "", "newcomer has no floor"),
        ("aio.clock", "\n" * 451, "longer than 450"),
        ("client", "\n" * 400, "longer than 399"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str, complaint: str) -> None:
    """The rules can fail."""
    (found,) = violations(module, source, {*SOURCES, module})
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("client", "from idura_ciba.transaction.transaction import Transaction"),
        ("client", "from idura_ciba import errors"),
        ("cli.main", "import typer, rich.console\nfrom idura_ciba import CibaClient, simulator"),
        ("pytest_plugin", "import pytest\nfrom idura_ciba.simulator import SimulatedIdura"),
        ("http.transport", "import aiohttp\nfrom aiohttp import ClientSession"),
        ("http.pool", "from aiohttp.connector import Connection"),
        ("http.delivery", "import tenacity"),
        ("simulator.server", "from aiohttp import web\nfrom aiohttp.web import Application"),
        ("protocol.requests", "import json, attrs\nfrom urllib.parse import urlencode\nfrom idura_ciba import errors"),
        ("polling.basic", "from tenacity.wait import wait_base\nfrom idura_ciba.polling.strategy import PollView"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    """The rules do not fail for nothing."""
    assert list(violations(module, source, {*SOURCES, module})) == []


def test_a_planted_ring_is_found() -> None:
    """Two modules that need each other are found, also where one needs the other for its types only."""
    ring = {
        "eids.request": "from idura_ciba.polling.basic import Fixed",
        "polling.basic": "from idura_ciba import eids",
    }
    assert cycles(ring) == []
    ring["polling.basic"] = "if TYPE_CHECKING:\n    from idura_ciba.eids.request import EidRequest"
    assert set(cycles(ring)) == {"eids.request", "polling.basic"}


def test_a_planted_gap_in_the_mirror_is_found() -> None:
    """A module without tests and a test without a module are named; re-exports and the exceptions need neither."""
    sources = {"": "from .a import b", "a": "", "a.b": "def f(): ...", "a.c": "class C: ..."}
    tests = ["a/test_b.py", "a/test_bc.py", "a/test_d.py", "interop/test_x.py", "test_docs.py"]
    assert list(unmirrored(sources, tests)) == [
        "tests/a/test_c.py is missing",
        "tests/a/test_bc.py belongs to no module",
        "tests/a/test_d.py belongs to no module",
    ]
    assert list(unmirrored({"_hidden": "def f(): ..."}, ["test_hidden.py"])) == []


def test_the_tests_of_one_module_may_fill_several_files() -> None:
    """Each is named after the module and its aspect; what a longer module name explains is that module's."""
    sources = {"a.b": "def f(): ...", "a.b_c": "def g(): ..."}
    assert list(unmirrored(sources, ["a/test_b_times.py", "a/test_b_forgeries.py", "a/test_b_c_times.py"])) == []
    assert list(unmirrored(sources, ["a/test_b.py", "a/test_b_times.py"])) == ["tests/a/test_b_c.py is missing"]
    assert list(unmirrored(sources, ["a/test_b_c_times.py"])) == ["tests/a/test_b.py is missing"]
    assert list(unmirrored({"a.b": ""}, ["test_b_times.py"])) == ["tests/test_b_times.py belongs to no module"]
