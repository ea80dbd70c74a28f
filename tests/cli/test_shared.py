"""Tests of `idura-ciba batch --store`: one machine's part; `tests/fleet/test_shared_batch_machines.py` has several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import CibaClient, ClientSecretBasic
from idura_ciba.cli.config import Settings
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock
from tests.cli.conftest import CLIENT_ID, SECRET
from tests.fakes import swedish_number

SE = ("--eid", "se", "--call-initiator", "RP", "--message", "Hello")
KEEP = ("batch", "people.csv", "--store", "store", *SE)
SHARED = (*KEEP, "--ignore-column", "dept")


class VirtualStore(SqliteStore):
    """One whose clock is that of the tests."""

    def __init__(self, path: str) -> None:
        super().__init__(path, clock=virtual_clock())


@pytest.fixture(name="folder", autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idura: SimulatedIdura) -> Path:
    """Work in an empty folder, in no time, at the provider of these tests."""

    def connect(settings: Settings, **options: Any) -> CibaClient:
        clock, auth = virtual_clock(), ClientSecretBasic(CLIENT_ID, SECRET)
        transport = MemoryTransport(idura, clock=clock, latency=0.05)
        options["resume_secret"] = settings.resume_secret
        return CibaClient(idura.issuer, auth, transport=transport, clock=clock, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyncio, "run", run_virtual)
    monkeypatch.setattr(Settings, "client", connect)
    monkeypatch.setattr("idura_ciba.cli.batch.Clock", virtual_clock)
    monkeypatch.setattr("idura_ciba.fleet.stores.SqliteStore", VirtualStore)
    for nth in range(9):
        idura.script(swedish_number(nth), Script.approve(after=5))
    return tmp_path


def people(folder: Path, *more: str, count: int = 4) -> None:
    """A file of so many."""
    lines = ["key,ssn,dept", *(f"k{nth},{swedish_number(nth)},D{nth}" for nth in range(count)), *more]
    (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def results(path: Path) -> dict[str, dict[str, Any]]:
    """What was written, by key; each key once."""
    read = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len({each["key"] for each in read}) == len(read)
    return {each["key"]: each for each in read}


def test_a_machine_alone_writes_everything(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """With the input's own columns, and what is wrong with it beside it; then it is over, whoever asks again."""
    people(folder, "bad,123,D9")
    arguments = (*KEEP, "--out", "r.jsonl", "--claim", "name", "--keep", "dept")
    ran = invoke(*arguments)
    assert ran.exit_code == 7, ran.output
    assert "Total: 4 approved, 1 invalid row" in ran.stderr
    found = results(folder / "r.jsonl")
    assert {key: each["kept"]["dept"] for key, each in found.items()} == {f"k{nth}": f"D{nth}" for nth in range(4)}
    assert all(each["claims"]["name"] for each in found.values())
    assert {path.name for path in folder.iterdir()} == {"people.csv", "r.jsonl", "r.jsonl.bad.csv", "store"}
    ran = invoke(*arguments)
    assert ran.exit_code == 0
    assert "The batch is over." in ran.stderr
    assert len(idura.ledger.orders) == 4
    assert results(folder / "r.jsonl") == found


def test_results_may_go_to_a_pipe(folder: Path, invoke: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be whole, each is written as it comes."""
    people(folder)
    assert invoke(*SHARED, "--out", "-").exit_code == 0
    assert len(capfd.readouterr().out.splitlines()) == 4


def test_another_file_under_the_same_name_is_refused(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]
) -> None:
    """Nobody in it is asked; under a name of its own it is another batch."""
    people(folder)
    assert invoke(*SHARED, "--out", "r.jsonl").exit_code == 0
    people(folder, count=5)
    ran = invoke(*SHARED, "--out", "s.jsonl")
    assert ran.exit_code == 1
    assert "[batch_differs]" in ran.stderr
    assert len(idura.ledger.orders) == 4
    people(folder)
    other = invoke(*SHARED, "--message", "Bye", "--out", "s.jsonl")
    assert "[batch_differs]" in other.stderr
    people(folder, count=5)
    assert invoke(*SHARED, "--batch", "december", "--out", "s.jsonl").exit_code == 0
    assert len(results(folder / "s.jsonl")) == 5


def test_what_is_in_the_way_is_not_overwritten(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """It is told before anybody is asked."""
    people(folder)
    (folder / "r.jsonl").write_text("precious")
    ran = invoke(*SHARED, "--out", "r.jsonl")
    assert ran.exit_code == 2
    assert "[file_exists]" in ran.stderr
    assert (folder / "r.jsonl").read_text() == "precious"
    assert not idura.ledger.orders


def test_duplicates_are_asked_once_where_that_is_wanted(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]
) -> None:
    """And twice, one after the other, where not."""
    people(folder, f"again,{swedish_number(1)},D1")
    ran = invoke(*SHARED, "--out", "r.jsonl", "--skip-duplicates")
    assert ran.exit_code == 7
    assert results(folder / "r.jsonl")["again"]["code"] == "person_twice"
    assert len(idura.ledger.orders) == 4
    assert invoke(*SHARED, "--batch", "b", "--out", "s.jsonl").exit_code == 0
    assert len(idura.ledger.orders) == 9


def test_unknown_answers_are_for_another_batch(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so."""
    people(folder, count=1)
    idura.script(swedish_number(0), Script.never())
    monkeypatch.setattr("idura_ciba.cli.shared.Tally.add", lambda self, _: self.states.update(["indeterminate"]))
    ran = invoke(*SHARED, "--out", "r.jsonl")
    assert "then put them into a batch of their own." in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--journal", "j"), "--journal"),
        (("--retry-indeterminate",), "--retry-indeterminate"),
        (("--simulate",), "--simulate"),
    ],
)
def test_what_is_for_one_machine_is_refused(
    folder: Path, invoke: Callable[..., Any], arguments: tuple[str, ...], word: str
) -> None:
    """By name, before anything is written."""
    people(folder)
    ran = invoke(*SHARED, "--out", "r.jsonl", *arguments)
    assert ran.exit_code == 2
    assert f"{word} is for a batch of one machine" in ran.stderr
    assert not (folder / "store").exists()


@pytest.mark.usefixtures("folder")
def test_a_pipe_cannot_be_shared(invoke: Callable[..., Any]) -> None:
    """Whoever takes over what another machine has left must read it again."""
    text = f"key,ssn\na,{swedish_number(0)}\n"
    ran = invoke("batch", "-", "--store", "store", "--out", "r.jsonl", *SE, input=text)
    assert ran.exit_code == 2
    assert "--store needs a file" in ran.stderr


def test_the_secret_may_stand_in_a_file(folder: Path, invoke: Callable[..., Any]) -> None:
    """Or in a variable; whoever has another one cannot take part."""
    people(folder)
    (folder / "secret").write_text("s" * 40 + "\n")
    assert invoke(*SHARED, "--out", "r.jsonl", "--resume-secret-file", "secret").exit_code == 0
    over = invoke(*SHARED, "--out", "r.jsonl", IDURA_CIBA_RESUME_SECRET="s" * 40)
    assert "The batch is over." in over.stderr
    other = invoke(*SHARED, "--out", "r.jsonl", IDURA_CIBA_RESUME_SECRET="t" * 40)
    assert "[batch_differs]" in other.stderr
    short = invoke(*SHARED, "--out", "r.jsonl", IDURA_CIBA_RESUME_SECRET="short")
    assert short.exit_code == 2
    assert "[resume_secret]" in short.stderr


def test_replicas_over_postgresql_need_a_secret_of_their_own(folder: Path, invoke: Callable[..., Any]) -> None:
    """Their credential may change."""
    pytest.importorskip("psycopg")
    people(folder)
    ran = invoke(*SHARED, "--store", "postgresql://127.0.0.1/none", "--out", "r.jsonl")
    assert ran.exit_code == 2
    assert "[resume_secret]" in ran.stderr
