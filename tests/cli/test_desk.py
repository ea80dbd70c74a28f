"""Tests of the options of `idura-ciba desk`: what it refuses to begin with, and where it keeps what is under way."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import UsageError
from idura_ciba.cli import desk as module
from idura_ciba.cli.desk import private_file, state_file
from idura_ciba.desk.book import day_file

posix = pytest.mark.skipif(os.name != "posix", reason="the modes of POSIX")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "missing"),
        (["--simulate", "--state", "x"], "state"),
        (["--simulate", "--host", "::"], "web_host"),
        (["--simulate", "--host", "desk.example"], "web_host"),
        (["--simulate", "--host", "192.0.2.1", "--port", "0"], "web_host"),
        (["--simulate", "--eid-module", "no.such.module"], "eid_module"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_served(
    invoke: Callable[..., Any], arguments: list[str], code: str
) -> None:
    """With what to do."""
    ran = invoke("desk", "--no-open", *arguments)
    assert (ran.exit_code, f"[{code}]" in ran.stderr) == (2, True)


def test_without_the_extra_it_says_how_to_get_it(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else of the command works; something else that is missing is a fault."""
    monkeypatch.delitem(sys.modules, "idura_ciba.cli.desk_page", raising=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "idura_ciba.desk.app", None)
        assert "[internal]" in invoke("desk", "--simulate").stderr
    for name in [name for name in sys.modules if name.startswith(("idura_ciba.desk.app", "idura_ciba.web.pages"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ran = invoke("desk", "--simulate")
    assert ran.exit_code == 2
    assert "[desk_extra]" in ran.stderr
    assert "idura_ciba[desk]" in ran.stderr


@pytest.mark.parametrize(
    ("host", "names", "found"),
    [
        ("127.0.0.1", [], []),
        ("::1", [], []),
        ("localhost", ["desk.example"], []),
        ("192.0.2.1", [], ["192.0.2.1", "192.0.2.1:8701"]),
        ("2001:db8::1", [], ["[2001:db8::1]", "[2001:db8::1]:8701"]),
        ("::", ["desk.example"], ["desk.example", "desk.example:8701"]),
        ("192.0.2.1", ["desk.example"], ["192.0.2.1", "192.0.2.1:8701", "desk.example", "desk.example:8701"]),
    ],
)
def test_beyond_this_machine_browsers_must_name_what_they_mean(host: str, names: list[str], found: list[str]) -> None:
    """So that no other name can be rebound to it."""
    assert sorted(module._public_hosts(host, 8701, names)) == found


def test_the_state_is_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the desktop says, or at its usual place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert state_file() == tmp_path / "idura-ciba" / "desk.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    assert state_file().is_relative_to(Path.home())


@posix
def test_the_files_are_their_users_alone(tmp_path: Path) -> None:
    """Also where they have been there before; what cannot be a file is refused."""
    store = tmp_path / "state" / "desk.db"
    private_file(store)
    for path in (store, day_file(store)):
        path.chmod(0o644)
    private_file(store)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (store, day_file(store))} == {0o600}
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    for other in (tmp_path, pipe):  # as root, /dev/null would be nobody else's from then on
        with pytest.raises(UsageError) as refused:
            private_file(other)
        assert refused.value.code == "state"
        assert not day_file(other).exists()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644
