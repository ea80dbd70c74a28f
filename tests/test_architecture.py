"""Tests of the shape: which module may import which, where each library has its home, and where the tests stand."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import attrs
import pytest

import idura_ciba

PACKAGE = Path(idura_ciba.__file__).parent
TESTS = Path(__file__).parent

#: From the bottom up. A part is a top-level module or sub-package, "" the package's own `__init__`; it may import what
#: stands below it or beside it, and nothing above.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cancellation", "redaction", "errors", "options", "slices", "wire", "clock"}),
    frozenset({"protocol"}),
    frozenset({"eid", "explain", "identity_number", "person", "polling", "replay", "single_flight"}),
    frozenset(
        {
            "backchannel",
            "client_auth",
            "history",
            "id_token",
            "jwks",
            "observe",
            "provider",
            "resume",
            "scheduling",
            "signing_key",
            "signing_pool",
            "transport",
        }
    ),
    frozenset({"context", "outcome", "transaction"}),
    frozenset({"client", "holds"}),
    frozenset({"", "batch"}),
    frozenset({"simulator", "testing"}),
    frozenset({"cli", "__main__"}),
)
RANKS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

#: Parts that may import less than what stands below them, and why.
ONLY: Mapping[str, frozenset[str]] = {
    # The pure core knows no clock.
    "protocol": frozenset({"redaction", "errors", "wire"}),
    # It must not share our misreadings of the protocol.
    "simulator": frozenset({"cancellation", "redaction", "errors", "wire", "clock"}),
}

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

#: Where a library may be imported: by part, or by module where the home is smaller. Those without a line have no home.
HOMES: Mapping[str, frozenset[str]] = {
    "aiohttp": frozenset({"transport"}),
    "aiohttp.web": frozenset({"simulator.server"}),
    "yarl": frozenset({"transport"}),
    "attrs": frozenset(RANKS),
    "authlib": frozenset({"client_auth", "id_token"}),
    "cryptography": frozenset({"batch.sealing", "client_auth", "signing_key", "simulator", "cli.keys"}),
    "joserfc": frozenset({"client_auth", "id_token", "jwks", "signing_key", "simulator"}),
    "pytest": frozenset({"testing"}),
    "rich": frozenset({"cli"}),
    "tenacity": frozenset({"transport", "polling.basic"}),
    "typer": frozenset({"cli"}),
}

MAX_LINES = 500

#: Tests that belong to no module, and why.
WITHOUT_MODULE: Mapping[str, str] = {
    "interop/": "runs against a provider that is not ours",
    "test_architecture.py": "reads every module",
    "test_cost.py": "counts what a poll and a pending login cost",
    "test_conftest.py": "tests the guards of all other tests",
    "test_docs.py": "runs what the documentation shows",
    "test_faults.py": "tries every fault at every endpoint, through the whole client",
    "test_privacy.py": "hunts for secrets through everything",
    "test_any_strategy.py": "lets strategies do anything to whole clients",
    "test_scale.py": "runs the whole with thousands of logins",
    "test_stateful.py": "does everything in any order",
    "typing/": "is type-checked and never run",
}


@attrs.frozen
class Import:
    """One imported name.

    Attributes:
        target: The full dotted name, of a module or of something in one.
        line: Where it stands.
        for_types_only: Whether it stands under `if TYPE_CHECKING:`.
    """

    target: str
    line: int
    for_types_only: bool


def imports(source: str) -> Iterator[Import]:
    """Read all imports of a module, also those in functions."""
    tree = ast.parse(source)
    only_types = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for statement in guard.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, id(node) in only_types)


def part_of(module: str) -> str:
    """Tell the part to which a module belongs, or the library to which a name does."""
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
    part = part_of(module)
    if part not in RANKS:
        yield f"{module}: {part} has no layer"
        return
    if source.count("\n") > MAX_LINES:
        yield f"{module}: longer than {MAX_LINES} lines"
    for found in imports(source):
        if found.target.startswith("."):
            fault = "relative"
        elif part_of(found.target) == "idura_ciba":
            fault = wrong_arrow(part, found.target, modules)
        else:
            fault = wrong_library(module, found.target)
        if fault:
            yield f"{module}:{found.line}: {found.target}: {fault}"


def wrong_arrow(part: str, target: str, modules: Iterable[str]) -> str:
    """Say why a part must not import a name of our own; nothing where it may."""
    # Not only known modules: the name may be one that stands in the table and is not written yet.
    wanted = part_of(own_module(target, {*modules, *RANKS}) or "")
    if wanted == part or (RANKS.get(wanted, 0) <= RANKS[part] and wanted in ONLY.get(part, {wanted})):
        return ""
    return f"{part} must not import {wanted or 'the package itself'}"


def wrong_library(module: str, target: str) -> str:
    """Say why a module must not import a name of somebody else; nothing where it may."""
    standard = part_of(target) in sys.stdlib_module_names
    if part_of(module) == "protocol":
        pure = not any(is_under(target, name) for name in IMPURE) if standard else is_under(target, "attrs")
        return "" if pure else "not in the pure core"
    library = max((name for name in HOMES if is_under(target, name)), key=len, default="")
    return "" if standard or any(is_under(module, home) for home in HOMES.get(library, ())) else "away from home"


def is_under(name: str, root: str) -> bool:
    """Say whether a dotted name is another one or lies below it; the package's own `__init__` lies below nothing."""
    return name == root or bool(root and name.startswith(f"{root}."))


def cycles(sources: Mapping[str, str]) -> list[str]:
    """Name one ring of modules that import each other; imports for types only make none."""
    graph = {
        module: {
            wanted
            for found in imports(source)
            if not found.for_types_only and (wanted := own_module(found.target, sources)) is not None
        }
        - {module}
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return [str(name) for name in exc.args[1]]
    return []


def unmirrored(sources: Mapping[str, str], tests: Iterable[str]) -> Iterator[str]:
    """Name the modules without a test file and the test files without a module; both as paths."""
    wanted = {mirror(module) for module, source in sources.items() if has_code(source)}
    allowed = {mirror(module) for module in sources} | WITHOUT_MODULE.keys()
    have = set(tests)
    yield from sorted(f"tests/{path} is missing" for path in wanted - have)
    for path in sorted(have - allowed):
        if not any(path.startswith(folder) for folder in WITHOUT_MODULE if folder.endswith("/")):
            yield f"tests/{path} belongs to no module"


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
TEST_FILES = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module or "idura_ciba")
def test_a_module_keeps_to_its_place(module: str) -> None:
    """Imports point down or aside, libraries are used at home only, and the file is small."""
    assert list(violations(module, SOURCES[module], SOURCES)) == []


def test_no_modules_import_each_other() -> None:
    """Beside each other, too, arrows have one direction."""
    assert cycles(SOURCES) == []


def test_each_module_has_its_tests_and_each_test_its_module() -> None:
    """The tests are found where the code is: tests/a/test_b.py for a/b.py."""
    assert list(unmirrored(SOURCES, TEST_FILES)) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("errors", "from idura_ciba.client import CibaClient", "errors must not import client"),
        ("errors", "from idura_ciba import client", "errors must not import client"),
        ("client", "from idura_ciba import CibaClient", "client must not import the package itself"),
        ("polling.basic", "import idura_ciba.transaction", "polling must not import transaction"),
        ("polling.basic", "from .strategy import PollView", "relative"),
        ("wire", "if TYPE_CHECKING:\n    from idura_ciba.transport import HttpTransport", "wire must not import"),
        ("transport", "def late():\n    from idura_ciba.client import CibaClient", "transport must not import client"),
        ("batch.runner", "from idura_ciba.simulator import SimulatedIdura", "batch must not import simulator"),
        ("protocol.timing", "from idura_ciba.clock import Clock", "protocol must not import clock"),
        ("protocol.timing", "import asyncio", "pure core"),
        ("protocol.messages", "from os import path", "pure core"),
        ("protocol.messages", "from urllib.request import urlopen", "pure core"),
        ("protocol.messages", "import joserfc.jws", "pure core"),
        ("simulator.provider", "from idura_ciba.protocol import messages", "simulator must not import protocol"),
        ("client", "import aiohttp", "away from home"),
        ("transport", "from aiohttp import web", "away from home"),
        ("simulator.server", "from aiohttp import ClientSession", "away from home"),
        ("simulator.provider", "import aiohttp.web", "away from home"),
        ("polling.strategy", "import tenacity", "away from home"),
        ("provider", "from authlib.oidc.core import CodeIDToken", "away from home"),
        ("client", "import requests", "away from home"),
        ("newcomer", "", "newcomer has no layer"),
        ("client", "\n" * (MAX_LINES + 1), "longer than"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str, complaint: str) -> None:
    """The rules can fail."""
    (found,) = violations(module, source, {*SOURCES, module})
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("client", "from idura_ciba.transaction import Transaction"),
        ("client", "from idura_ciba import errors"),
        ("cli.main", "import typer, rich.console\nfrom idura_ciba import CibaClient, simulator"),
        ("testing", "import pytest\nfrom idura_ciba.simulator import SimulatedIdura"),
        ("transport", "import aiohttp, tenacity\nfrom aiohttp import ClientSession"),
        ("simulator.server", "from aiohttp import web\nfrom aiohttp.web import Application"),
        ("protocol.messages", "import json, attrs\nfrom urllib.parse import urlencode\nfrom idura_ciba import wire"),
        ("polling.basic", "from tenacity.wait import wait_base\nfrom idura_ciba.polling.strategy import PollView"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    """The rules do not fail for nothing."""
    assert list(violations(module, source, {*SOURCES, module})) == []


def test_a_planted_ring_is_found() -> None:
    """Two modules that need each other are found, unless one needs the other for its types only."""
    ring = {"eid": "from idura_ciba.polling.basic import Fixed", "polling.basic": "from idura_ciba import eid"}
    assert set(cycles(ring)) == {"eid", "polling.basic"}
    ring["eid"] = f"if TYPE_CHECKING:\n    {ring['eid']}"
    assert cycles(ring) == []


def test_a_planted_gap_in_the_mirror_is_found() -> None:
    """A module without tests and a test without a module are named; re-exports and the exceptions need neither."""
    sources = {"": "from .a import b", "a": "", "a.b": "def f(): ...", "a.c": "class C: ..."}
    tests = ["a/test_b.py", "a/test_d.py", "interop/test_x.py", "test_docs.py"]
    assert list(unmirrored(sources, tests)) == [
        "tests/a/test_c.py is missing",
        "tests/a/test_d.py belongs to no module",
    ]
    assert list(unmirrored({"_hidden": "def f(): ..."}, ["test_hidden.py"])) == []
