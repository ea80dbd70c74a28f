"""Tests of the page on states and codes: its example runs, and no code is missing there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import idura_ciba
from idura_ciba import CibaClient, State
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from idura_ciba.trust.refusal import REMEDIES
from tests.pages import ROOT, example

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SWEDE = "209801011231"


@pytest.mark.parametrize(
    ("person", "what"),
    [
        (Script.approve(after=8), "let them in"),
        (Script.deny(after=8), "they do not want to, or are not there"),
        (Script.never(), "they do not want to, or are not there"),
        (Script.approve(after=8, answered_by="209602294564"), "somebody may be cheating"),
    ],
)
async def test_the_outcome_example(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient], person: Script, what: str
) -> None:
    """It tells what people do from what somebody else does."""
    from idura_ciba import SwedishBankID  # noqa: PLC0415 - as a user of the example would

    simulated_idura.script(SWEDE, person)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(SwedishBankID(SWEDE, call_initiator="RP", message="Hello"))
        assert example("outcome")["what_next"](await transaction.outcome()) == what


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize("fault", [Fault.refuse_connection(), Fault.lose_answer()])
async def test_the_outcome_example_in_an_outage(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient], fault: Fault, timeout: float | None
) -> None:
    """Nobody heard an answer, and nobody says that there was none."""
    from idura_ciba import SwedishBankID  # noqa: PLC0415 - as a user of the example would

    simulated_idura.faults.append(lambda arrival: fault if arrival.endpoint == "token" else None)
    async with make_ciba_client() as ciba:
        request = SwedishBankID(SWEDE, call_initiator="RP", message="Hello")
        outcome = await (await ciba.start(request, timeout=timeout)).outcome()
    assert "nobody heard it" in example("outcome")["what_next"](outcome)


def codes(sources: Iterable[str]) -> set[str]:
    """Every code of an error that is no `ArgumentError`, as the sources write them down.

    A code may be a constant, one of two, or what a function is given for it: then its callers are looked at.
    """
    trees = [ast.parse(source) for source in sources]
    found = {text + each for tree in trees for text, part in _written(tree) for each in _constants(part)}
    for owner in trees:
        for function in (node for node in ast.walk(owner) if isinstance(node, ast.FunctionDef)):
            names = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
            # What is private is called in its own module only, and another module may have one of the same name.
            callers = [owner] if function.name.startswith("_") else trees
            for text, part in _written(function):
                if isinstance(part, ast.Name) and part.id in names:
                    found |= {text + each for each in _given(function, part.id, callers)}
    return found


def _given(function: ast.FunctionDef, name: str, callers: Iterable[ast.AST]) -> Iterator[str]:
    """The constants that callers, or the default, give for a parameter."""
    arguments = function.args
    defaults = dict(zip(reversed([each.arg for each in arguments.args]), reversed(arguments.defaults), strict=False))
    defaults |= {
        each.arg: value for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
    }
    yield from _constants(defaults[name]) if name in defaults else ()
    place = (
        [each.arg for each in arguments.args].index(name) if name not in {a.arg for a in arguments.kwonlyargs} else 99
    )
    for call in (node for tree in callers for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if _name(call.func) == function.name:
            for value in [each.value for each in call.keywords if each.arg == name] or call.args[place : place + 1]:
                yield from _constants(value)


def _written(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What stands for a code in a call or a class: a text before it, and the rest."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (
                ("", item.value)
                for item in node.body
                if isinstance(item, ast.Assign | ast.AnnAssign)
                and item.value
                and "code" in ast.unparse(item).split()[0]
            )
        elif isinstance(node, ast.Call) and _name(node.func) != "ArgumentError":
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.JoinedStr):
                    text, value = keyword.value.values
                    assert isinstance(text, ast.Constant)
                    assert isinstance(value, ast.FormattedValue)
                    yield str(text.value), value.value
                elif keyword.arg == "code":
                    yield "", keyword.value


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _constants(value: ast.expr) -> Iterator[str]:
    parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else getattr(value, "values", [value])
    yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


@pytest.mark.unmeasured
def test_every_code_is_documented() -> None:
    """Whatever a program may meet stands on the page of codes."""
    package = Path(idura_ciba.__file__).parent
    sources = [path for path in package.rglob("*.py") if "simulator" not in path.relative_to(package).parts]
    met = codes(path.read_text(encoding="utf-8") for path in sources) | set(REMEDIES)
    assert {"unheard", "resume_seal", "journal_full", "bad_document", "stopped", "id_token_person", "denied"} <= met
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert met - {""} - set(re.findall(r"`(\w+)`", page)) == set()
    assert {state.value for state in State if state.is_final} <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_what_the_test_of_codes_sees() -> None:
    """It can fail: constants, choices, and what callers give; no wrong use."""
    source = """
class Odd(CibaError):
    code = "of_class"
def refuse(what, code, *, more=""): raise Odd(what, code=f"odd_{code}")
def pass_on(code="by_default"): return Odd("x", code=code)
Odd("x", code="here" if y else "there"), ArgumentError("x", code="argument"), refuse("x", "given"), m.pass_on("passed")
"""
    assert codes([source]) - {""} == {"of_class", "odd_given", "by_default", "here", "there", "passed"}
