"""Tests of `idura-ciba verify`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba.simulator import Fault, Script, SimulatedIdura, SimulatorServer

NO, SE = "01023990128", "209801011231"
#: A tenant as the environment names it; the fixture `virtually` puts another in its place.
TENANT = {
    "IDURA_CIBA_ISSUER": "https://tenant.example",
    "IDURA_CIBA_CLIENT_ID": "urn:test:cli",
    "IDURA_CIBA_CLIENT_SECRET": "a secret of the tests",
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("virtually")
@pytest.mark.parametrize(
    ("answer", "code", "state"), [("approve", 0, "approved"), ("deny", 3, "denied"), ("never", 4, "expired")]
)
def test_a_trial_needs_nothing(answer: str, code: int, state: str, invoke: Callable[..., Any], folder: Path) -> None:
    """No tenant, no number; the words come first, the result alone on the standard output."""
    ran = invoke("verify", "--simulate", "--eid", "no", "--simulate-answer", answer)
    assert ran.exit_code == code
    assert ran.stderr.startswith("Read these words to the person now: ")
    assert ran.stdout.startswith(f"{state}: ")
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("virtually")
@pytest.mark.parametrize(
    ("arguments", "claims"),
    [
        ((), set()),
        (("--claim", "name", "--claim", "country"), {"name", "country"}),
        (("--all-claims",), None),
    ],
)
def test_a_program_gets_one_object_with_what_it_asked_for(
    arguments: tuple[str, ...], claims: set[str] | None, invoke: Callable[..., Any]
) -> None:
    """The standard output is JSON and nothing else, and no claim is told unasked."""
    ran = invoke("verify", "--simulate", "--eid", "no", "--json", *arguments)
    assert ran.exit_code == 0
    told = json.loads(ran.stdout)
    assert (told["state"], told["person_confirmed"]) == ("approved", False)
    assert set(told["claims"]) == claims if claims is not None else {"sub", "iat"} < set(told["claims"])


@pytest.mark.usefixtures("virtually")
def test_a_tenant_and_a_person_from_the_environment(invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """The number stands in no argument."""
    idura.script(SE, Script.approve(after=2))
    ran = invoke("verify", "--eid", "se", "--call-initiator", "RP", "--message", "Hej", **TENANT, IDURA_CIBA_SSN=SE)
    assert ran.exit_code == 0
    assert ran.stdout.startswith("approved: the ID token confirms the person you asked for\n")
    assert [order.person for order in idura.ledger.orders] == [SE]


@pytest.mark.usefixtures("virtually")
def test_a_person_from_the_standard_input(invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """For programs that hold the number already."""
    idura.script(NO, Script.deny())
    ran = invoke("verify", "--eid", "no", "--ssn-file", "-", "--json", input=f"{NO}\n", **TENANT)
    assert ran.exit_code == 3
    assert json.loads(ran.stdout)["error_description"] == "user declined"


@pytest.mark.usefixtures("virtually")
@pytest.mark.parametrize(
    "written", [f"{SE[:8]}-{SE[8:]}", f'="{SE}"', f"\u202a{SE[:8]}\u2010{SE[8:]}\u202c", f"{SE}.0"]
)
def test_a_number_may_be_written_in_any_way(written: str, invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """As it was copied from wherever it stood; the person asked is the person confirmed."""
    idura.script(SE, Script.approve(after=2))
    ran = invoke(
        *("verify", "--eid", "se", "--call-initiator", "RP", "--message", "Hej", "--ssn-file", "-"),
        input=f"{written}\n",
        **TENANT,
    )
    assert ran.exit_code == 0
    assert ran.stdout.startswith("approved: the ID token confirms the person you asked for\n")
    assert [order.person for order in idura.ledger.orders] == [SE]


@pytest.mark.usefixtures("virtually")
def test_a_damaged_number_rings_nobody(invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """The damage is named, and what to do about it; the number is not."""
    ran = invoke("verify", "--eid", "no", input="", **TENANT, IDURA_CIBA_SSN=NO[1:])
    assert ran.exit_code == 2
    assert "[national_number_leading_zero]" in ran.stderr
    assert "formatted as text" in " ".join(ran.stderr.split())
    assert NO[1:] not in ran.output
    assert idura.ledger.orders == []


@pytest.mark.usefixtures("virtually")
def test_a_refusal_is_a_result_too(invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """The provider refuses before anybody is asked: one object, exit code 1."""
    idura.register_client("urn:test:cli", secret="another")
    ran = invoke("verify", "--eid", "no", "--json", **TENANT, IDURA_CIBA_SSN=NO)
    assert ran.exit_code == 1
    told = json.loads(ran.stdout)
    assert (told["state"], told["code"]) == ("rejected", "invalid_client")


@pytest.mark.usefixtures("virtually")
def test_require_person_refuses_a_silent_token(invoke: Callable[..., Any], idura: SimulatedIdura) -> None:
    """Somebody approved, and that is not enough for whoever insists."""
    idura.script(NO, Script.approve())
    ran = invoke("verify", "--eid", "no", "--require-person", **TENANT, IDURA_CIBA_SSN=NO)
    assert ran.exit_code == 1
    assert ran.stdout.startswith("failed: ")


@pytest.mark.usefixtures("virtually")
def test_a_timeout_is_saved_and_resumed(invoke: Callable[..., Any], idura: SimulatedIdura, folder: Path) -> None:
    """The file is private, names the way to go on, serves once more, and is gone when it no longer can."""
    idura.script(NO, Script.approve(after=30))
    ran = invoke("verify", "--eid", "no", "--timeout", "5", "--json", **TENANT, IDURA_CIBA_SSN=NO)
    assert ran.exit_code == 6
    (file,) = folder.iterdir()
    assert json.loads(ran.stdout)["resume_file"] == file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ran.stderr.splitlines()[-1] == f"Resume with: idura-ciba verify --resume {file.name}"
    before = file.read_text()
    assert before not in ran.output

    ran = invoke("verify", "--resume", file.name, "--timeout", "1", **TENANT)
    assert ran.exit_code == 6
    assert list(folder.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    ran = invoke("verify", "--resume", file.name, **TENANT)
    assert ran.exit_code == 0
    assert "resumed login" in ran.stderr
    assert list(folder.iterdir()) == []
    assert len(idura.ledger.orders) == 1


@pytest.mark.usefixtures("virtually")
def test_ctrl_c_ends_cleanly(invoke: Callable[..., Any], idura: SimulatedIdura, folder: Path) -> None:
    """Exit code 130, and the login in the file that was named."""

    def interrupt(_arrival: object) -> Fault | None:
        if len(idura.ledger.orders) == 1 and idura.ledger.orders[0].polls == 1:
            asyncio.get_running_loop().call_later(0.5, signal.raise_signal, signal.SIGINT)
        return None

    idura.script(NO, Script.approve(after=30))
    idura.faults.append(interrupt)
    ran = invoke("verify", "--eid", "no", "--resume-file", "kept.json", **TENANT, IDURA_CIBA_SSN=NO)
    assert ran.exit_code == 130
    assert ran.stdout.startswith("handed_over: ")
    assert "stays on the phone" in ran.stdout
    assert [path.name for path in folder.iterdir()] == ["kept.json"]


@pytest.mark.usefixtures("virtually")
def test_an_interrupted_trial_leaves_no_file(invoke: Callable[..., Any], folder: Path) -> None:
    """Its provider is gone, so nobody could go on with it."""
    ran = invoke("verify", "--simulate", "--eid", "no", "--timeout", "2")
    assert ran.exit_code == 6
    assert "Nothing was saved" in ran.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Exactly one of --eid and --resume is needed"),
        (("--eid", "no", "--resume", "x"), "Exactly one of --eid and --resume is needed"),
        (("--simulate", "--resume", "x"), "Exactly one of --eid and --resume is needed"),
        (("--resume", "missing.json"), "cannot be read"),
        (("--eid", "no", "--resume-file", "taken"), "already"),
        (("--eid", "no"), "no terminal to prompt on"),
        (("--eid", "no", "--ssn", "1"), "number"),
        (("--eid", "se", "--simulate"), "--call-initiator"),
        (("--eid", "mitid"), "mitid"),
        (("--eid", "no", "--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_sent(
    arguments: tuple[str, ...], words: str, invoke: Callable[..., Any], folder: Path
) -> None:
    """Exit code 2, a sentence on the standard error, and nothing on the standard output."""
    (folder / "taken").touch()
    ran = invoke("verify", *arguments, **TENANT)
    assert ran.exit_code == 2
    assert words in ran.stderr
    assert ran.stdout == ""


def test_a_tenant_that_is_not_configured_is_found_before_the_number_is_asked_for(invoke: Callable[..., Any]) -> None:
    """Nobody types a number for nothing."""
    assert "No issuer given" in invoke("verify", "--eid", "no").stderr
    assert "No client id given" in invoke("verify", "--eid", "no", "--issuer", "https://a.example").stderr


@pytest.mark.sockets
async def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    """SIGINT, as the terminal sends it, while a phone rings: exit code 130 and a private file."""
    file = tmp_path / "kept.json"
    idura = SimulatedIdura(people=lambda _dice: Script.never())
    idura.register_client("urn:test:cli", secret=TENANT["IDURA_CIBA_CLIENT_SECRET"])
    async with SimulatorServer(idura) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "idura_ciba.cli", "verify", "--eid", "no", "--resume-file", str(file)),
            env={**os.environ, **TENANT, "IDURA_CIBA_ISSUER": server.issuer, "IDURA_CIBA_SSN": NO},
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        assert (await process.stderr.readline()).startswith(b"Read these words")
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
    assert process.returncode == 130
    assert stdout.startswith(b"handed_over: ")
    assert b"Traceback" not in stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
