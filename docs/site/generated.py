"""What the site says of the code comes from the code: each table of the reference, as Markdown.

A page asks for one by a line `<!-- generated: NAME -->`, which `hooks.py` replaces; `python docs/site/generated.py
NAME` prints it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer

import idura_ciba
from idura_ciba.cli.app import app
from idura_ciba.cli.guard import ExitCode
from idura_ciba.observe import AnyEvent
from idura_ciba.protocol.machine import TRANSITIONS, State

__all__ = ["GENERATED", "anchored_codes", "commands", "variables"]

DOCS: Final = Path(__file__).parents[1]
PACKAGE: Final = Path(idura_ciba.__file__).parent
#: Modules that belong to the ways of one room, and are documented with it.
ROOMS: Final[Mapping[str, Sequence[str]]] = {
    "client": ("client", "transaction", "trust", "protocol"),
    "eids": ("eids",),
    "credentials": ("credentials",),
    "exceptions": ("errors",),
    "polling": ("polling", "scheduling"),
    "http": ("http",),
    "sync": ("sync",),
    "batch": ("batch",),
    "fleet": ("fleet",),
    "ping": ("ping",),
    "observing": ("observe", "otel", "redaction"),
    "testing": ("testing", "pytest_plugin", "simulator"),
}
#: Rooms whose own `__all__` is for their users, beside that of `idura_ciba`.
PUBLIC: Final = (
    *("batch", "eids", "errors", "fleet", "observe", "otel", "ping", "pytest_plugin", "redaction", "simulator", "sync"),
    "testing",
)
#: Of the public rooms, what only other rooms use.
INTERNAL: Final = frozenset({"observe.Attached", "observe.Harmless", "observe.Observers"})


# --- tables -----------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a `|` in a cell does not end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def one_line(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


# --- Python -----------------------------------------------------------------------------------------------------------


def public_names() -> dict[str, list[str]]:
    """Every public name, as a user imports it, by the page of the reference that has it.

    A name of `idura_ciba` is not repeated where its room also exports it.
    """
    pages: dict[str, list[str]] = {page: [] for page in ROOMS}
    owners = {room: page for page, rooms in ROOMS.items() for room in rooms}
    seen = set[int]()
    order = list(owners)

    def room(name: str) -> str:
        return idura_ciba._HOMES[name].partition(".")[0]  # noqa: SLF001 - the one place that knows

    for name in sorted(idura_ciba.__all__, key=lambda name: order.index(room(name))):
        pages[owners[room(name)]].append(f"idura_ciba.{name}")
        seen.add(id(getattr(idura_ciba, name)))
    for public in PUBLIC:
        module = importlib.import_module(f"idura_ciba.{public}")
        for name in module.__all__:
            if id(getattr(module, name)) not in seen and f"{public}.{name}" not in INTERNAL:
                pages[owners[public]].append(f"idura_ciba.{public}.{name}")
    return pages


def _names(page: str) -> str:
    return "\n".join(f"::: {name}\n" for name in public_names()[page])


# --- the command ------------------------------------------------------------------------------------------------------


def commands(group: Any = None, path: str = "idura-ciba") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its whole name."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _command() -> str:
    root = typer.main.get_command(app)
    parts = ["## Before any command\n", _parameters(root)]
    for name, command in commands():
        usage = " ".join([name, "[OPTIONS]", *(each.metavar or each.name.upper() for each in _arguments(command))])
        # What the help keeps apart by a form feed, and how it keeps lines together, are for terminals.
        about = re.sub(r"[\f\b]\n?", "", inspect.cleandoc(command.help or ""))
        parts += [f"## {name}\n", f"```text\n{usage}\n```\n", f"{about}\n", _parameters(command)]
    codes = [(f"`{code.value}`", code.name.lower().replace("_", " ")) for code in ExitCode]
    return "\n".join([*parts, "## Exit codes\n", table(["Code", "Name"], codes)])


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _parameters(command: Any) -> str:
    panels: dict[str, list[tuple[str, str, str, str]]] = {}
    for each in command.params:
        if each.hidden or each.name == "help":
            continue
        panel = each.rich_help_panel or ("Arguments" if each.param_type_name == "argument" else "Options")
        panels.setdefault(panel, []).append(_parameter(each))
    return "\n".join(f"**{panel}**\n\n{_without_blanks(rows)}" for panel, rows in panels.items())


def _without_blanks(rows: Sequence[Sequence[str]]) -> str:
    """The table of some parameters, without a column that none of them fills."""
    columns = zip(("", "What it is", "Default", "Variable"), *rows, strict=True)
    head, *filled = zip(*(column for column in columns if any(column[1:])), strict=True)
    return table(head, filled)


def _parameter(each: Any) -> tuple[str, str, str, str]:
    if each.param_type_name == "argument":
        spelled = [each.metavar or each.name.upper()]
    else:
        spelled = [*each.opts, *each.secondary_opts]
    names = ", ".join(f"`{name}`" for name in spelled)
    default = each.default
    shown = "required" if each.required else "" if default in (None, False, 0, ()) or callable(default) else default
    variable = f"`{each.envvar}`" if each.envvar else ""
    annotation = each.type_descriptor.annotation if hasattr(each, "type_descriptor") else None
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    said = one_line(each.help or "")
    if not all(str(choice) in said for choice in choices):
        said += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    return names, said, f"`{shown}`" if shown and shown != "required" else str(shown), variable


# --- environment variables --------------------------------------------------------------------------------------------


def variables() -> dict[str, list[str]]:
    """Every variable that the package reads, and the options that it stands for.

    Where a variable has no option, the module that reads it says in a comment what it does.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in re.findall(r'"(IDURA_CIBA_[A-Z_]+)"', path.read_text(encoding="utf-8")):
            found.setdefault(name, [])
    for _, command in commands():
        for each in command.params:
            if each.envvar and each.opts[0] not in found[each.envvar]:
                found[each.envvar].append(each.opts[0])
    return found


def _environment() -> str:
    rows = []
    for name, options in sorted(variables().items()):
        rows.append((f"`{name}`", _about_variable(name), _listed(options)))
    return table(["Variable", "What it is", "Option of the command"], rows)


def _about_variable(name: str) -> str:
    for _, command in commands():
        for option in command.params:
            if option.envvar == name:
                return one_line(option.help)
    for path in sorted(PACKAGE.rglob("*.py")):
        found = re.search(rf'((?:^#: .*\n)+)^\w+(?:: \w+)? = "{name}"', path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return one_line(re.sub(r"^#: ", "", found[1], flags=re.MULTILINE))
    msg = f"{name} has neither an option nor a comment above it that says what it does"
    raise LookupError(msg)


# --- states and events ------------------------------------------------------------------------------------------------


def _transitions() -> str:
    parts = []
    for state, row in TRANSITIONS.items():
        if not row:
            continue
        rows = [(f"`{event.value}`", f"`{after.value}`") for event, after in row.items()]
        parts += [f"### From `{state.value}`\n", table(["What happened", "The state then"], rows)]
    final = ", ".join(f"`{state.value}`" for state in State if state.is_final)
    return "\n".join([*parts, f"### Final\n\n{final}: nothing can change any more.\n"])


def _events() -> str:
    parts = []
    for event in get_args(AnyEvent):
        about, _, attributes = inspect.cleandoc(event.__doc__).partition("\n\nAttributes:\n")
        said = {
            name: one_line(text)
            for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, re.MULTILINE | re.DOTALL)
        }
        hints = inspect.get_annotations(event)
        rows = [(f"`{name}`", f"`{hint}`", said[name]) for name, hint in hints.items()]
        parts.append(f"## {event.__name__}\n\n{about}\n\n{table(['Attribute', 'Type', 'What it is'], rows)}")
    return "\n".join(parts)


# --- metrics and spans ------------------------------------------------------------------------------------------------


def _scene() -> Any:
    # The SDK is imported only by whoever wants these tables.
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return importlib.import_module("telemetry_scene")
    finally:
        sys.path.pop(0)


def _metrics() -> str:
    rows = [
        (f"`{each.name}`", f"{each.description}.", f"{each.kind}, `{each.unit}`", _listed(each.attributes))
        for each in _scene().metrics()
    ]
    return table(["Metric", "What it is", "Kind, unit", "Attributes"], rows)


def _spans() -> str:
    return table(["Span", "Attributes"], [(f"`{name}`", _listed(had)) for name, had in _scene().spans().items()])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# --- codes ------------------------------------------------------------------------------------------------------------


def anchored_codes(page: str) -> list[str]:
    """The codes that a page of codes explains: those in the first cells of its tables headed "Code"."""
    found: dict[str, None] = {}
    for block in re.findall(r"^\| Code \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", page, re.MULTILINE):
        for row in block.splitlines():
            found |= dict.fromkeys(re.findall(r"`(\w+)`", row.split(" | ")[0]))
    return list(found)


def _argument_codes() -> str:
    """What is wrong with an argument, by code; those that the page has explained already are left out."""
    said: dict[str, dict[str, None]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "simulator" not in path.relative_to(PACKAGE).parts:
            for code, what in _refusals(ast.parse(path.read_text(encoding="utf-8"))):
                said.setdefault(code, {})[what] = None
    explained = anchored_codes((DOCS / "errors.md").read_text(encoding="utf-8"))
    rows = [
        (f"`{code}`", "; ".join(text for text in texts if text != "…") or "as the error says")
        for code, texts in sorted(said.items())
        if code not in explained
    ]
    return table(["Code", "What happened"], rows)


def _refusals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Code and text of each `ArgumentError` of a module.

    Both may stand in the call; a function may be given both; or they may be the keys and values of a table of `FLAWS`
    or `DAMAGES`, after a prefix that the call has.
    """
    prefix = ""
    for code, what in _raised(tree):
        if isinstance(code, ast.Constant):
            yield str(code.value), _text(what)
        elif isinstance(code, ast.JoinedStr) and isinstance(code.values[0], ast.Constant):
            prefix = str(code.values[0].value)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        places = [argument.arg for argument in function.args.args]
        for code, what in _raised(function):
            named = {each.id for each in (code, what) if isinstance(each, ast.Name)}
            if len(named) > 1 and named <= set(places):
                yield from _given(tree, function.name, *map(places.index, map(ast.unparse, filter(None, (code, what)))))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target).endswith(("FLAWS", "DAMAGES")):
            for code, text in _flaws(node.value):
                yield prefix + code, text


def _flaws(value: ast.expr | None) -> Iterator[tuple[str, str]]:
    """The keys of a table, and what its values begin with."""
    assert isinstance(value, ast.Dict)
    for key, what in zip(value.keys, value.values, strict=True):
        if isinstance(key, ast.Constant):
            yield str(key.value), _text(what.elts[0] if isinstance(what, ast.Tuple) else what)


def _raised(owner: ast.AST) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    for node in ast.walk(owner):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ArgumentError") and node.args:
            yield next((word.value for word in node.keywords if word.arg == "code"), None), node.args[0]


def _given(tree: ast.Module, function: str, code: int, what: int) -> Iterator[tuple[str, str]]:
    """Code and text that the callers of a function give it, at these places."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function and len(node.args) > max(code, what):
            given = node.args[code]
            if isinstance(given, ast.Constant):
                yield str(given.value), _text(node.args[what])


def _text(node: ast.expr) -> str:
    """The text of a constant or an f-string, with an ellipsis for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case _:
            return "…"


# --- programs ---------------------------------------------------------------------------------------------------------


def _programs() -> str:
    parts = []
    for path in sorted((DOCS / "examples").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        about = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]
        parts.append(f"## {path.name}\n\n{about}\n\n```python\n{source}```\n")
    return "\n".join(parts)


#: What a page may ask for, by name.
GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    **{f"names of {page}": lambda page=page: _names(page) for page in ROOMS},
    "argument codes": _argument_codes,
    "command": _command,
    "environment": _environment,
    "events": _events,
    "metrics": _metrics,
    "programs": _programs,
    "spans": _spans,
    "transitions": _transitions,
}

if __name__ == "__main__":
    print(GENERATED[" ".join(sys.argv[1:])]())  # noqa: T201 - this is what it is for
