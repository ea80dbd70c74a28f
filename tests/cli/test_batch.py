"""Tests of `idura-ciba batch`, from a file to its results."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import CibaClient, ClientSecretBasic
from idura_ciba.cli.config import Settings
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura, SimulatorServer
from idura_ciba.testing import run_virtual, virtual_clock
from tests.fakes import swedish_number

CLIENT_ID, SECRET = "urn:test:cli", "a secret of the tests"
TENANT = {
    "IDURA_CIBA_ISSUER": "https://tenant.example",
    "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
    "IDURA_CIBA_CLIENT_SECRET": SECRET,
}
SE = ("--eid", "se", "--call-initiator", "RP", "--message", "Hello")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _virtually(idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command run in no time, at the provider of these tests."""

    def connect(_settings: object = None, **options: Any) -> CibaClient:
        clock = virtual_clock()
        transport = MemoryTransport(idura, clock=clock, latency=0.05)
        return CibaClient(
            idura.issuer, ClientSecretBasic(CLIENT_ID, SECRET), transport=transport, clock=clock, **options
        )

    @asynccontextmanager
    async def in_memory(_idura: SimulatedIdura, **options: Any) -> AsyncIterator[CibaClient]:
        async with connect(**options) as client:
            yield client

    monkeypatch.setattr(asyncio, "run", run_virtual)
    monkeypatch.setattr(Settings, "client", connect)
    monkeypatch.setattr("idura_ciba.cli.batch.simulated_client", in_memory)
    monkeypatch.setattr("idura_ciba.cli.batch.Clock", virtual_clock)


def write(folder: Path, *lines: str) -> None:
    """Make the file that is read."""
    (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def people(folder: Path, count: int) -> None:
    """A file of so many."""
    write(folder, "key,ssn", *(f"k{nth},{swedish_number(nth)}" for nth in range(count)))


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What was written, by key; each key once."""
    read = [json.loads(line) for line in (folder / "r.jsonl").read_text("utf-8").splitlines()]
    assert len({each["key"] for each in read}) == len(read)
    return {each["key"]: each for each in read}


def without_numbers(ran: Any, count: int = 20) -> None:
    """Nothing that was said names anybody."""
    for nth in range(count):
        assert swedish_number(nth) not in ran.output


def test_a_file_becomes_a_file(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """Everybody in it, with what was asked for, and a journal beside it; a second time nobody is asked."""
    people(folder, 4)
    for nth, script in enumerate((Script.approve(5), Script.deny(6), Script.never(), Script.approve(7))):
        idura.script(swedish_number(nth), script)
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--claim", "name", **TENANT)
    assert ran.exit_code == 0
    without_numbers(ran)
    states = {key: result["state"] for key, result in results(folder).items()}
    assert states == {"k0": "approved", "k1": "denied", "k2": "expired", "k3": "approved"}
    assert set(results(folder)["k0"]["claims"]) == {"name"}
    assert "Total: 2 approved, 1 denied, 1 expired; median answer 7.5 s, " in ran.stderr
    assert {path.name for path in folder.iterdir()} == {
        "people.csv", "r.jsonl", "r.jsonl.journal", "r.jsonl.journal-marks",
    }  # fmt: skip
    before = (folder / "r.jsonl").read_bytes()
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--claim", "name", **TENANT)
    assert ran.exit_code == 0
    assert (folder / "r.jsonl").read_bytes() == before
    assert len(idura.ledger.orders) == 4


def test_bad_rows_are_set_aside_and_stop_nothing(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]
) -> None:
    """Each with its line and a reason, in a file of their own, and the exit code tells."""
    write(
        folder,
        "key,ssn",
        f"a,{swedish_number(0)}",
        "b,123",
        "",
        "c",
        f"a,{swedish_number(1)}",
        f"d,{swedish_number(2)[:-1]}{(int(swedish_number(2)[-1]) + 1) % 10}",
        f"e,{swedish_number(3)}",
    )
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, **TENANT)
    assert ran.exit_code == 7
    with (folder / "r.jsonl.bad.csv").open(encoding="utf-8", newline="") as file:
        bad = [(row["line"], row["code"]) for row in csv.DictReader(file)]
    assert bad == [
        ("3", "national_number_format"), ("5", "cells"), ("6", "key_twice"), ("7", "national_number_check_digit"),
    ]  # fmt: skip
    assert set(results(folder)) == {"a", "e"}
    assert len(idura.ledger.orders) == 2
    without_numbers(ran)


def test_a_dry_run_rings_nobody(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """It needs neither a tenant nor a place for results, and leaves nothing but what it was told to."""
    people(folder, 3)
    ran = invoke("batch", "people.csv", "--dry-run", *SE)
    assert ran.exit_code == 0
    assert "3 valid rows, 0 invalid, 0 duplicates." in ran.stderr
    write(folder, "key,ssn", f"a,{swedish_number(0)}", f"b,{swedish_number(0)}", "c,1")
    ran = invoke("batch", "people.csv", "--dry-run", *SE, "--bad-rows", "bad.csv")
    assert ran.exit_code == 7
    assert "2 valid rows, 1 invalid, 1 duplicate." in ran.stderr
    assert {path.name for path in folder.iterdir()} == {"people.csv", "bad.csv"}
    assert idura.ledger.orders == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "r.jsonl", "--eid", "no"), "each person hears a pair of words"),
        (("--eid", "se"), "No output file given"),
        (("--out", "r.txt", *SE), "does not tell the output format"),
        (("--out", "-", *SE), "No journal file given"),
        (("--out", "r.jsonl", *SE, "--column", "nothing=x"), "--column must be FIELD=NAME"),
        (("--out", "r.jsonl", *SE, "--column", "ssn=Personnummer"), "no column Personnummer"),
        (("--out", "missing/r.jsonl", *SE), "missing"),
        (("--out", "r.jsonl", "--eid", "no", "--words", "missing/w"), "missing/w cannot be written"),
    ],
)
def test_what_cannot_work_is_said_before_anybody_is_asked(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any], arguments: tuple[str, ...], words: str
) -> None:
    """In a sentence, with 2, or 8 where it is the journal."""
    people(folder, 1)
    ran = invoke("batch", "people.csv", *arguments, **TENANT)
    assert ran.exit_code in {2, 8}
    assert words in " ".join(ran.stderr.split())
    assert idura.ledger.orders == []


@pytest.mark.parametrize(
    "roles",
    [
        ("--bad-rows", "people.csv"),
        ("--report", "people.csv"),
        ("--report", "r.jsonl"),
        ("--bad-rows", "./r.jsonl"),
        ("--journal", "j", "--report", "j"),
        ("--journal", "j", "--words", "j-wal"),
        ("--journal", "j", "--report", "j-marks"),
        ("--journal", "people.csv"),
        ("--report", "r.html", "--words", "r.html"),
        ("--report", "link"),
        ("--bad-rows", "hard"),
        ("--report", "key.pem", "--key-file", "key.pem"),
        ("--report", "notes"),
        ("--bad-rows", "notes"),
        ("--words", "notes"),
        ("--dry-run", "--bad-rows", "people.csv"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("where", [(), ("--simulate",)], ids=["tenant", "trial"])
def test_no_file_is_destroyed_by_a_slip_of_the_hand(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any], roles: tuple[str, ...], where: tuple[str, ...]
) -> None:
    """One file in two roles, or somebody else's file, is refused before anybody is asked, and nothing has changed."""
    write(folder, "key,ssn", f"a,{swedish_number(0)}", "b,nonsense")
    (folder / "link").symlink_to("people.csv")
    (folder / "hard").hardlink_to("people.csv")
    for name in ("notes", "key.pem"):
        (folder / name).write_text("precious")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, *where, *roles, **TENANT)
    assert ran.exit_code == 2
    assert "[same_file]" in ran.stderr or "[file_exists]" in ran.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert idura.ledger.orders == []


def test_an_output_of_an_earlier_run_is_written_anew(folder: Path, invoke: Callable[..., Any]) -> None:
    """Report and invalid rows of the same batch; words are appended."""
    write(folder, "key,ssn", f"a,{swedish_number(0)}", "b,nonsense")
    arguments = ("--out", "r.jsonl", *SE, "--report", "r.html", "--words", "w.jsonl")
    for _ in range(2):
        assert invoke("batch", "people.csv", *arguments, **TENANT).exit_code == 7


def test_a_report_is_a_page(folder: Path, invoke: Callable[..., Any]) -> None:
    """Over all runs, with nothing of anybody in it."""
    write(folder, "key,ssn", f"k0,{swedish_number(0)}", "b,nonsense")
    (folder / "reports").mkdir()
    report = ("--report", "reports/report.html")
    ran = invoke("batch", "people.csv", "--out", "r.csv", *SE, *report, "--budget", "50", **TENANT)
    assert ran.exit_code == 7
    text = (folder / "reports" / "report.html").read_text("utf-8")
    assert "50 requests/s" in text
    (link,) = re.findall(r'href="([^"]+)"', text)
    assert "b" in (folder / "reports" / link).read_text("utf-8")
    assert "k0" not in text
    assert swedish_number(0) not in text


def test_a_trial_needs_no_tenant_and_no_journal(folder: Path, invoke: Callable[..., Any]) -> None:
    """Nobody could go on with a provider that is gone."""
    people(folder, 2)
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--simulate")
    assert ran.exit_code == 0
    assert len(results(folder)) == 2
    assert {path.name for path in folder.iterdir()} == {"people.csv", "r.jsonl"}


def test_words_are_written_as_people_are_asked(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """For whoever reads them to the people; readable by their owner only."""
    write(folder, "key,ssn", "n,01023990128")
    idura.script("01023990128", Script.approve(5))
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", "--eid", "no", "--words", "words.jsonl", **TENANT)
    assert ran.exit_code == 0
    (line,) = (folder / "words.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["key"] == "n"
    assert " " in json.loads(line)["words"]
    assert (folder / "words.jsonl").stat().st_mode & 0o777 == 0o600
    assert json.loads(line)["words"] not in ran.output


def test_the_same_person_can_be_skipped(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """Or is asked twice, one after the other."""
    write(folder, "key,ssn", f"a,{swedish_number(0)}", f"b,{swedish_number(0)}")
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--skip-duplicates", **TENANT)
    assert ran.exit_code == 7
    assert results(folder)["b"]["code"] == "person_twice"
    assert "1 x person_twice" in ran.stderr
    assert len(idura.ledger.orders) == 1


def test_the_same_person_in_another_spelling_is_skipped(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]
) -> None:
    """Somebody's hyphen, or a spreadsheet's formula, makes no second person of the first."""
    number = swedish_number(0)
    write(folder, "key,ssn", f"a,{number}", f"b,{number[:8]}\u2013{number[8:]}", f'c,"=""{number}"""')
    ran = invoke("batch", "people.csv", "--dry-run", *SE)
    assert "3 valid rows, 0 invalid, 2 duplicates" in ran.stderr
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--skip-duplicates", **TENANT)
    assert ran.exit_code == 7
    assert {key: result["code"] for key, result in results(folder).items() if key != "a"} == {
        "b": "person_twice", "c": "person_twice",
    }  # fmt: skip
    assert [order.person for order in idura.ledger.orders] == [number]


def test_a_journal_of_another_credential_exits_with_8(folder: Path, invoke: Callable[..., Any]) -> None:
    """And says so; nothing of it is changed."""
    people(folder, 1)
    (folder / "r.jsonl.journal").write_bytes(b"not a journal, but long enough to be one" * 50)
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, **TENANT)
    assert ran.exit_code == 8
    assert "[journal_damaged]" in ran.stderr
    assert (folder / "r.jsonl.journal").read_bytes().startswith(b"not a journal")


def test_people_who_cannot_be_asked_end_the_run_with_1(
    folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]
) -> None:
    """A client that the provider does not know would fail with everybody; the summary and the reason are told."""
    people(folder, 5)
    idura.register_client(CLIENT_ID, secret="another one")
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, **TENANT)
    assert ran.exit_code == 1
    assert "[invalid_client" in ran.stderr
    assert "Stopped before the end. Run the same command to resume." in ran.stderr
    assert (folder / "r.jsonl").read_bytes() == b""


def test_the_users_own_columns_come_along(folder: Path, invoke: Callable[..., Any]) -> None:
    """Each row's own, in both formats; not the number, unless it is asked for."""
    write(folder, "key,ssn,Ort,Navn", *(f"k{nth},{swedish_number(nth)},Ort {nth},N" for nth in range(3)))
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, "--keep", "Ort", "--ignore-column", "Navn", **TENANT)
    assert ran.exit_code == 0
    assert {key: each["kept"] for key, each in results(folder).items()} == {
        f"k{nth}": {"Ort": f"Ort {nth}"} for nth in range(3)
    }
    ran = invoke("batch", "people.csv", "--out", "r.csv", *SE, "--keep", "ort", "--keep", "Navn", "--excel", **TENANT)
    assert ran.exit_code == 0
    with (folder / "r.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert {row["key"]: (row["ort"], row["Navn"]) for row in rows} == {
        f"k{nth}": (f"Ort {nth}", "N") for nth in range(3)
    }
    for arguments, words in (
        (("people.csv", "--out", "x.jsonl", "--excel", "--ignore-column", "*"), "--excel writes CSV"),
        (("-", "--out", "x.jsonl", "--keep", "Ort"), "read twice"),
        (("people.csv", "--out", "x.jsonl", "--keep", "Nothing"), "no column Nothing"),
    ):
        ran = invoke("batch", *arguments, *SE, "--journal", "j", **TENANT)
        assert ran.exit_code == 2
        assert words in ran.stderr


def test_rows_that_have_moved_ring_nobody(folder: Path, idura: SimulatedIdura, invoke: Callable[..., Any]) -> None:
    """Without keys of their own, rows are known by their lines; the whole file is looked through first."""
    write(folder, "ssn", *map(swedish_number, range(3)))
    assert invoke("batch", "people.csv", "--out", "r.jsonl", *SE, **TENANT).exit_code == 0
    write(folder, "ssn", "nonsense", swedish_number(1), swedish_number(0), swedish_number(9))
    before = len(idura.ledger.orders)
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *SE, **TENANT)
    assert ran.exit_code == 2
    assert "[key_reused]" in ran.stderr
    assert len(idura.ledger.orders) == before


def test_norwegian_bankid_is_warned_of(folder: Path, invoke: Callable[..., Any]) -> None:
    """Its scheme allows inbound calls only; once, whoever says that it is asked for, and nobody else."""
    write(folder, "key,ssn,eid", "n,01023990128,no", "m,01023990128,no", f"s,{swedish_number(0)},se")
    arguments = ("--call-initiator", "RP", "--message", "Hello")
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *arguments, "--words", "w", **TENANT)
    assert ran.stderr.count("calls that people make to you") == 1
    ran = invoke("batch", "people.csv", "--dry-run", "--eid", "no", *arguments)
    assert ran.stderr.count("calls that people make to you") == 1
    people(folder, 1)
    ran = invoke("batch", "people.csv", "--out", "s.jsonl", *SE, **TENANT)
    assert "calls that people make" not in ran.stderr


# --- processes and signals --------------------------------------------------------------------------------------------


@pytest.fixture(name="served")
async def _served() -> AsyncIterator[tuple[SimulatedIdura, dict[str, str]]]:
    """A provider on a real port, and the environment that leads to it."""
    idura = SimulatedIdura(interval=1, people=lambda _dice: Script.approve(0.5))
    idura.register_client(CLIENT_ID, secret=SECRET)
    async with SimulatorServer(idura) as server:
        yield idura, {**os.environ, **TENANT, "IDURA_CIBA_ISSUER": server.issuer}


async def started(folder: Path, environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    """The command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "idura_ciba.cli", "batch", *arguments, *SE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
    )


async def until_asked(idura: SimulatedIdura, count: int) -> None:
    """Wait until so many have been asked."""
    while len(idura.ledger.orders) < count:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.sockets
async def test_pipes_are_read_as_they_come_and_written_as_it_goes(
    folder: Path, served: tuple[SimulatedIdura, dict[str, str]]
) -> None:
    """The first answer is out before the second person is in."""
    _, environment = served
    process = await started(folder, environment, "-", "--out", "-", "--journal", "j")
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"key,ssn\na,{swedish_number(0)}\n".encode())
    first = json.loads(await process.stdout.readline())
    process.stdin.write(f"b,{swedish_number(1)}\nc,1\n".encode())
    process.stdin.close()
    second = json.loads(await process.stdout.readline())
    assert [(each["key"], each["state"]) for each in (first, second)] == [("a", "approved"), ("b", "approved")]
    _, told = await process.communicate()
    assert process.returncode == 7
    assert b"[national_number_format]" in told


@pytest.mark.slow
@pytest.mark.sockets
async def test_one_interrupt_lets_those_answer_who_are_being_asked(
    folder: Path, served: tuple[SimulatedIdura, dict[str, str]]
) -> None:
    """Nobody else is asked, also where the next one would come from a pipe that stays open."""
    idura, environment = served
    process = await started(folder, environment, "-", "--out", "r.jsonl")
    assert process.stdin
    process.stdin.write("".join(["key,ssn\n", *(f"k{nth},{swedish_number(nth)}\n" for nth in range(3))]).encode())
    await until_asked(idura, 3)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    told = await process.stderr.read()
    assert await process.wait() == 130
    assert set(results(folder)) == {"k0", "k1", "k2"}
    assert b"Stopping: no new logins." in told
    assert b"Traceback" not in told


@pytest.mark.slow
@pytest.mark.sockets
async def test_two_signals_stop_at_once_and_it_goes_on_later(
    folder: Path, served: tuple[SimulatedIdura, dict[str, str]]
) -> None:
    """Nobody is asked twice."""
    idura, environment = served
    for nth in range(5):
        idura.script(swedish_number(nth), Script.approve(50))
    people(folder, 5)
    process = await started(folder, environment, "people.csv", "--out", "r.jsonl")
    await until_asked(idura, 5)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    while b"no new logins" not in (line := await process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    told = await process.stderr.read()
    assert await process.wait() == 130
    assert b"Stopped before the end with 5 logins pending. Run the same command to resume." in b" ".join(told.split())
    for record in idura.ledger.orders:
        record.decided_at = record.started_at
    process = await started(folder, environment, "people.csv", "--out", "r.jsonl")
    _, told = await process.communicate()
    assert process.returncode == 0, told
    assert len(results(folder)) == len(idura.ledger.orders) == 5


@pytest.mark.slow
@pytest.mark.sockets
async def test_a_kill_loses_nothing(folder: Path, served: tuple[SimulatedIdura, dict[str, str]]) -> None:
    """A real one, over real sockets; a hundred of them are in `benchmarks/kill_loop.py`. A second runner is told."""
    idura, environment = served
    for nth in range(5):
        idura.script(swedish_number(nth), Script.approve(2.5))
    people(folder, 5)
    process = await started(folder, environment, "people.csv", "--out", "r.csv")
    await until_asked(idura, 5)
    # However long the second one takes to start.
    process.send_signal(signal.SIGSTOP)
    second = await started(folder, environment, "people.csv", "--out", "r.csv")
    _, told = await second.communicate()
    assert second.returncode == 8
    assert b"[journal_locked]" in told
    process.kill()
    await process.wait()
    process = await started(folder, environment, "people.csv", "--out", "r.csv")
    _, told = await process.communicate()
    assert process.returncode in {0, 7}, told
    with (folder / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["key"] for row in rows) == [f"k{nth}" for nth in range(5)]
    assert len(idura.ledger.orders) == 5
