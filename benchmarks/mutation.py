"""Faults put into the protocol and the verifier one by one, with mutmut: do the tests beside them notice each?

    python benchmarks/mutation.py
    python benchmarks/mutation.py timing machine

Of each module only the test files that mirror it run: what is measured is whether they hold it, not whether some login
somewhere would have failed too. All of it happens in a copy outside the checkout. A mutant that no test notices stands
in `mutation_survivors.toml` with the reason why it does no harm. It is known there by what it does to the lines of
which function, so the list outlives edits elsewhere. The program prints what is demanded beside what was reached, and
exits with 1 where too few are killed or a survivor has no reason; it names the entries that are not needed any more.

mutmut changes the bodies of functions. The tables and constants of a module it leaves as they are.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent
SURVIVORS = Path(__file__).with_name("mutation_survivors.toml")
#: Where foreign bytes are judged and states change.
MUTATED = (
    "protocol/*.py",
    *(f"trust/{name}.py" for name in ("id_token", "compact", "encryption", "expectation", "authentication")),
)
DEMANDED = 0.90
#: A mutant that goes on for ever is noticed by whoever waits for the test.
KILLED = ("killed", "timeout")
#: mutmut's names: `x_function` and `xǁClassǁmethod`.
NAME = re.compile(r"[\w.]+\.(?P<module>\w+)\.x(?:_|ǁ(?P<owner>\w+)ǁ)(?P<function>\w+)__mutmut_\d+")


@frozen
class Mutant:
    """Which lines of which function became which others; indentation and line numbers play no part."""

    module: str
    function: str
    was: str
    now: str

    def __str__(self) -> str:
        lines = textwrap.indent(self.was, "- ") + "\n" + textwrap.indent(self.now, "+ ")
        return f"{self.module}, {self.function}:\n{lines.rstrip()}"


def undecorate(source: str) -> str:
    """Spell `@property` above a method as `name = property(name)` below it: mutmut passes over decorated functions."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and [ast.unparse(one) for one in node.decorator_list] == ["property"]:
            # One line comes and one goes, so the numbers of all that follow stay right.
            lines.insert(node.end_lineno or 0, f"{' ' * node.col_offset}{node.name} = property({node.name})\n")
            del lines[node.decorator_list[0].lineno - 1]
    return "".join(lines)


def copy_project(folder: Path, path: Path) -> None:
    """Copy what the tests need, with the settings to mutate one file."""
    for name in ("idura_ciba", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    (folder / path).write_text(undecorate((ROOT / path).read_text()))
    folder_of_tests = ROOT / "tests" / path.relative_to("idura_ciba").parent
    tests = (one for aspect in ("", "_*") for one in folder_of_tests.glob(f"test_{path.stem}{aspect}.py"))
    settings = {
        "source_paths": ["idura_ciba"],
        "only_mutate": [str(path)],
        "pytest_add_cli_args_test_selection": sorted(str(test.relative_to(ROOT)) for test in tests),
    }
    lines = ("", "[tool.mutmut]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items()), "")
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + "\n".join(lines))


def mutmut(folder: Path, *arguments: str) -> str:
    """Run mutmut in the copy and return what it says; where it fails, this program ends with it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("mutmut"), *arguments],
        cwd=folder,
        env={**os.environ, "CI": "1"},  # for hypothesis: the same examples each time
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"mutmut {arguments[0]} failed:\n{done.stdout[-4000:]}{done.stderr}")
    return done.stdout


def describe(folder: Path, name: str) -> Mutant:
    """What a mutant changes, read from mutmut's diff."""
    found = NAME.fullmatch(name)
    assert found is not None, name
    # A line about the mutant and two about the file come before the first hunk.
    diff = mutmut(folder, "show", name).splitlines()[3:]
    was, now = ("\n".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return Mutant(found["module"], ".".join(filter(None, (found["owner"], found["function"]))), was, now)


@frozen
class Reasons:
    """The list of the harmless: the reasons of each mutant, one for each place where the same lines stand."""

    of: Mapping[Mutant, list[str]]
    wording: str

    @classmethod
    def read(cls) -> Reasons:
        """From the file beside this program."""
        listed = tomllib.loads(SURVIVORS.read_text())
        reasons: dict[Mutant, list[str]] = {}
        for group in listed.get("harmless", ()):
            for one in group["mutants"]:
                mutant = Mutant(group["module"], group["function"], one["was"].strip(), one["now"].strip())
                reasons.setdefault(mutant, []).append(group["why"])
        return cls(reasons, listed["wording"]["why"])

    def take(self, mutant: Mutant) -> str | None:
        """The reason of one survivor; each stands for one."""
        if self.of.get(mutant):
            return self.of[mutant].pop(0)
        return self.wording if is_reworded(mutant) else None

    def left(self) -> list[Mutant]:
        """Those whose reasons nobody has taken."""
        return [mutant for mutant, reasons in self.of.items() if reasons]


def is_reworded(mutant: Mutant) -> bool:
    """Whether mutmut changed the letters of one sentence, which is text with a space in it, and nothing else."""
    sentences = [text for text in re.findall(r"'[^']*'|\"[^\"]*\"", mutant.was) if " " in text]
    return any(
        mutant.was.replace(text, other) == mutant.now
        for text in sentences
        for other in (f"{text[0]}XX{text[1:-1]}XX{text[-1]}", text.lower(), text.upper())
    )


def mutate(path: Path) -> tuple[Counter[str], list[Mutant]]:
    """Test every mutant of one file; return how many there were of each outcome, and those that survived."""
    with tempfile.TemporaryDirectory(prefix="idura-ciba-mutation-") as temporary:
        folder = Path(temporary)
        copy_project(folder, path)
        mutmut(folder, "run", "--max-children", "1")
        results = mutmut(folder, "results", "--all", "true").splitlines()
        outcomes = {name: outcome for name, _, outcome in (line.strip().partition(": ") for line in results)}
        survivors = [describe(folder, name) for name, outcome in outcomes.items() if outcome not in KILLED]
    return Counter(outcomes.values()), survivors


def row(name: str, counts: Counter[str]) -> bool:
    """Print one row of the table; return whether it is as demanded."""
    total, killed = counts.total(), sum(counts[outcome] for outcome in KILLED)
    # A module without a mutant was not looked at.
    reached = killed / total if total else 0.0
    figures = (killed, counts["timeout"], total - killed, total, f">= {DEMANDED:.0%}", f"{reached:.1%}")
    print(f"| {name} | {' | '.join(map(str, figures))} |", flush=True)
    return reached >= DEMANDED


def main() -> int:
    """Mutate, test, and print: the table, the survivors, and what the list names in vain."""
    found = [path for pattern in MUTATED for path in sorted((ROOT / "idura_ciba").glob(pattern))]
    paths = {path.stem: path.relative_to(ROOT) for path in found if path.name != "__init__.py"}
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(paths)}; all when none is named")
    modules = parser.parse_args().modules or list(paths)
    if not set(modules) <= set(paths):
        parser.error(f"choose from {', '.join(paths)}")

    reasons = Reasons.read()
    fine, counts, survivors = True, Counter[str](), list[Mutant]()
    print("| module | killed | by time-out | survived | total | demanded | reached |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for module in modules:
        its_counts, its_survivors = mutate(paths[module])
        fine = row(module, its_counts) and fine
        counts += its_counts
        survivors += its_survivors
    row("all", counts)
    for mutant in survivors:
        why = reasons.take(mutant)
        fine = fine and why is not None
        print(f"\n{mutant}\n= {why or 'NO REASON GIVEN'}")
    for mutant in reasons.left():
        if mutant.module in modules or mutant.module not in paths:
            print(f"\nstale, it does not survive any more: {mutant}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
