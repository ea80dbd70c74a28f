"""Tests of the shell blocks of the documentation: what they call exists, with the options that they give."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from idura_ciba.cli.app import app
from tests.pages import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
ROOT_COMMAND: Any = typer.main.get_command(app)


def shown(text: str) -> Iterator[tuple[list[str], bool]]:
    """The arguments of each call in the shell blocks of a page, and in its sentences, which is said beside them."""
    blocks = re.findall(r"^```(?:sh|shell|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)`(idura-ciba [^`\n]+)`(?!`)", prose)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    for line, inline in [*((line, False) for line in lines), *((span, True) for span in spans)]:
        for call in re.split(r"&&|\|\||[;|]", re.sub(r"(^|\s)#.*", "", line)):
            words = shlex.split(call)
            at = next((nth for nth, word in enumerate(words) if re.search(r"(^|/)idura-ciba$", word)), None)
            if at is not None:
                yield words[at + 1 :], inline


def read(arguments: list[str]) -> None:
    """Parse a call as the command does, and fail where it would refuse an option."""
    command, name, rest = ROOT_COMMAND, "idura-ciba", list(arguments)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    context = command.context_class(command, info_name=name)
    # A blank of a page, such as NAME, may stand for any number.
    command.make_parser(context).parse_args(args=rest)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page: str) -> None:
    """With each of its options, and a value for each that takes one."""
    for arguments, inline in shown((ROOT / page).read_text(encoding="utf-8")):
        try:
            read(arguments)
        except Exception as error:  # noqa: BLE001 - of the parser that Typer brings
            if inline and "requires an argument" in str(error):
                continue  # a sentence names an option, and not a value for it
            pytest.fail(f"{page}: idura-ciba {' '.join(arguments)}: {getattr(error, 'message', error)}")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_is_of_a_kind_that_tests_read(page: str) -> None:
    """Python is run, and shell is parsed, here and elsewhere; other code would be held by nothing."""
    fences = re.findall(r"^```(.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences[::2]) <= {"python", "sh"}
    assert set(fences[1::2]) <= {""}


def test_the_pages_show_commands() -> None:
    """Enough of them, so that the test above is not one of nothing."""
    calls = [call for page in PAGES for call, _ in shown((ROOT / page).read_text(encoding="utf-8"))]
    assert len(calls) > 25
    assert {call[0] for call in calls if call} >= {"demo", "verify", "batch", "simulate", "keygen", "doctor"}


def test_a_command_that_is_not_there_would_be_noticed() -> None:
    """Another name, another option, an option without its value; prompts, pipes and comments are passed over."""
    page = "```sh\nexport A=b && v/bin/idura-ciba verify \\\n  --eid no  # rings\n```\nand `idura-ciba nothing --x`\n"
    assert list(shown(page)) == [(["verify", "--eid", "no"], False), (["nothing", "--x"], True)]
    read(["verify", "--eid", "no"])
    read(["--install-completion"])
    with pytest.raises(AssertionError, match="no command nothing"):
        read(["nothing", "--x"])
    for wrong in (["verify", "--nothing"], ["verify", "--eid"]):
        with pytest.raises(Exception, match=r"No such option|requires an argument"):
            read(wrong)
