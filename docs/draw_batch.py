"""Draws `docs/batch-screen.svg`, a screen of `idura-ciba batch` as tmux shows it: `python docs/draw_batch.py`.

The command runs on a real terminal, which tmux is, with people who do not exist and a provider on this machine: a look
in the middle, one after Ctrl-C has been pressed once, and one at the end. It needs tmux, and takes a minute.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from idura_ciba.simulator.people import invent_swedish_number

WIDTH, HEIGHT = 100, 14
#: Seconds after the start; most answer within half a minute.
MIDDLE, STOP = 22.0, 6.0
SESSION = "idura-ciba-batch"


def tmux(*arguments: str) -> str:
    """Run tmux, with a server of its own."""
    program = shutil.which("tmux")
    if program is None:
        raise SystemExit("this needs tmux")
    return subprocess.run(  # noqa: S603 - no input of anybody's
        [program, "-L", SESSION, *arguments], check=True, capture_output=True, text=True
    ).stdout


def screen() -> Text:
    """What is on the terminal now, with its colours."""
    lines = tmux("capture-pane", "-p", "-e", "-t", SESSION).rstrip().splitlines()
    return Text.from_ansi("\n".join(lines))


def write_people(path: Path, count: int) -> None:
    """A file of people, one of whom has a wrong number."""
    lines = [f"customer-{nth},{invent_swedish_number(11, str(nth))}" for nth in range(count)]
    path.write_text("\n".join(["key,ssn", *lines, "customer-x,123", ""]), encoding="utf-8")


def show(paper: Console, title: str) -> None:
    """Put the screen of now on paper."""
    paper.print(f"[reverse] {title} [/]", highlight=False)
    paper.print(screen())
    paper.print()


def picture() -> str:
    """The picture as SVG."""
    paper = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as name:
        write_people(Path(name) / "people.csv", 400)
        command = "batch people.csv --out results.jsonl --simulate --eid se --call-initiator RP --message Hello"
        shell = f"env PS1='$ ' PATH={Path(sys.executable).parent}:/usr/bin:/bin sh"
        tmux("new-session", "-d", "-s", SESSION, "-x", str(WIDTH), "-y", str(HEIGHT), "-c", name, shell)
        try:
            tmux("send-keys", "-t", SESSION, f"idura-ciba {command}", "Enter")
            time.sleep(MIDDLE)
            show(paper, "in the middle")
            tmux("send-keys", "-t", SESSION, "C-c")
            time.sleep(STOP)
            show(paper, "after Ctrl-C")
            while "This run:" not in screen().plain:
                time.sleep(1)
            show(paper, "at the end")
        finally:
            tmux("kill-server")
    return paper.export_svg(title="idura-ciba batch", unique_id="batch")


if __name__ == "__main__":
    Path(__file__).with_name("batch-screen.svg").write_text(picture(), encoding="utf-8")
