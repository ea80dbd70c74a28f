"""Tests of the eIDs that the command knows: ours, one that is described, and Danish MitID from outside."""

from __future__ import annotations

import asyncio
import inspect
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs

import pytest

from idura_ciba import CibaClient, ClientSecretBasic, UsageError
from idura_ciba.cli.config import Settings
from idura_ciba.cli.eids import (
    _complete,
    fitting,
    known_eids,
    labels,
    read_options,
    refuse_descriptions,
    request_fields,
    takes_eid_options,
)
from idura_ciba.eids import EIDS, Eid, Option
from idura_ciba.simulator import Arrival, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock
from tests.eids import mitid as module_of_a_user

CLIENT_ID, SECRET = "urn:test:cli", "a secret of the tests"
TENANT = {
    "IDURA_CIBA_ISSUER": "https://tenant.example",
    "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
    "IDURA_CIBA_CLIENT_SECRET": SECRET,
}
#: Nobody's: 99 and 88 are no days.
CPR, OTHER = "9999999999", "8888888888"
MITID = ("--eid-module", "mitid", "--eid", "mitid", "--eid-option", "reference=4711")
RAW = ("--eid", "raw", "--acr", module_of_a_user.ACR, "--identity", "cpr={ssn}")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder that holds a module of a user and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shutil.copy(str(module_of_a_user.__file__), tmp_path / "mitid.py")
    yield tmp_path
    sys.modules.pop("mitid", None)


@pytest.fixture(name="_virtually", autouse=True)
def _virtually(idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands run in no time: at the provider of these tests, or at the one that they make themselves."""

    def connect(at: SimulatedIdura, **options: Any) -> CibaClient:
        clock = virtual_clock()
        auth = ClientSecretBasic(CLIENT_ID, SECRET)
        return CibaClient(at.issuer, auth, transport=MemoryTransport(at, clock=clock), clock=clock, **options)

    @asynccontextmanager
    async def in_memory(own: SimulatedIdura, **options: Any) -> AsyncIterator[CibaClient]:
        own.register_client(CLIENT_ID, secret=SECRET)
        async with connect(own, **options) as client:
            yield client

    monkeypatch.setattr(asyncio, "run", run_virtual)
    monkeypatch.setattr(Settings, "client", lambda _settings, **options: connect(idura, **options))
    for command in ("verify", "batch"):
        monkeypatch.setattr(f"idura_ciba.cli.{command}.simulated_client", in_memory)
        monkeypatch.setattr(f"idura_ciba.cli.{command}.Clock", virtual_clock)


@pytest.fixture(name="sent")
def _sent(idura: SimulatedIdura) -> list[dict[str, str]]:
    """What was sent to ask somebody, at a tenant that knows MitID."""
    idura.add_eids(module_of_a_user.MITID_PHONE)
    forms: list[dict[str, str]] = []

    def note(arrival: Arrival) -> None:
        if arrival.endpoint == "bc-authorize":
            forms.append({name: values[0] for name, values in parse_qs(arrival.request.body.decode()).items()})

    idura.faults.append(note)
    return forms


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What a batch wrote, by key."""
    read = [json.loads(line) for line in (folder / "r.jsonl").read_text("utf-8").splitlines()]
    return {each["key"]: each for each in read}


def code(make: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """The code of the usage error that a call raises."""
    with pytest.raises(UsageError) as caught:
        make(*arguments, **options)
    return caught.value.code


# --- Danish MitID, from outside ---------------------------------------------------------------------------------------


def test_verify_asks_through_a_module_of_a_user(
    folder: Path, idura: SimulatedIdura, sent: list[dict[str, str]], invoke: Callable[..., Any]
) -> None:
    """From the number in a file to the confirmed person, with the name of the eID on the way."""
    idura.script(CPR, Script.approve(after=8))
    (folder / "cpr").write_text("999999-9999\n")
    ran = invoke("verify", *MITID, "--ssn-file", "cpr", "--message", "Hej", "--json", **TENANT)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["state"], told["person_confirmed"], told["acr"]) == ("approved", True, module_of_a_user.ACR)
    assert "Danish MitID" in ran.stderr
    assert CPR not in ran.output
    (form,) = sent
    assert (form["login_hint"], form["binding_message"]) == (f"cpr:{CPR}", "Hej")
    assert form["authorization_details"] == '[{"type":"caller","reference":"4711"}]'


@pytest.mark.parametrize(("answer", "exit_code"), [("approve", 0), ("deny", 3), ("never", 4)])
def test_verify_simulates_the_phone_of_a_user(
    folder: Path, answer: str, exit_code: int, invoke: Callable[..., Any]
) -> None:
    """With its somebody, and without a tenant; the module may be named in the environment."""
    del folder
    ran = invoke("verify", *MITID[2:], "--simulate", "--simulate-answer", answer, IDURA_CIBA_EID_MODULE="mitid")
    assert ran.exit_code == exit_code, ran.output
    assert (answer != "approve") or "the ID token confirms the person you asked for" in ran.stdout


def test_batch_asks_through_a_module_of_a_user(
    folder: Path, idura: SimulatedIdura, sent: list[dict[str, str]], invoke: Callable[..., Any]
) -> None:
    """Rows have a column for its option, name it beside ours, and are checked by its rule."""
    for person in (CPR, OTHER, "01023990128"):
        idura.script(person, Script.approve(after=8))
    (folder / "people.csv").write_text(
        "key,ssn,eid,reference\n"
        f"a,{CPR},,\n"
        "b,888888-8888,,my own\n"
        "c,01023990128,no,\n"
        "d,123,,\n"
        "e,01023990128,no,1\n"
        f"f,{CPR},,{'x' * 9}\n"
    )
    assert invoke("batch", "people.csv", "--dry-run", *MITID).exit_code == 7
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *MITID, "--words", "words", **TENANT)
    assert ran.exit_code == 7
    assert {key: (found["state"], found["person_confirmed"]) for key, found in results(folder).items()} == {
        "a": ("approved", True),
        "b": ("approved", True),
        "c": ("approved", False),
        "f": ("approved", True),
    }
    bad = (folder / "r.jsonl.bad.csv").read_text()
    assert ",national_number_format," in bad
    assert ",reference," in bad
    assert CPR not in ran.output + bad
    references = {form["login_hint"]: form["authorization_details"] for form in sent}
    assert '"reference":"my own"' in references[f"cpr:{OTHER}"]


def test_batch_simulates_the_phone_of_a_user(folder: Path, invoke: Callable[..., Any]) -> None:
    """And needs no tenant."""
    (folder / "people.csv").write_text(f"key,ssn\na,{CPR}\nb,{OTHER}\n")
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *MITID, "--simulate", "--report", "report.html")
    assert ran.exit_code == 0, ran.output
    assert len(results(folder)) == 2
    assert "Danish MitID" in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (MITID[:4], "needs --eid-option reference=VALUE"),
        ((*MITID, "--eid-option", "reference=1"), "given twice"),
        ((*MITID, "--eid-option", "colour=red"), "call_initiator, country"),
        ((*MITID, "--eid-option", "reference"), "NAME=VALUE"),
        ((*MITID, "--eid-option", "reference=@missing"), "option reference cannot be read"),
        ((*MITID, "--call-initiator", "RP"), "Danish MitID has no option call_initiator"),
        ((*MITID, "--ssn", "12"), "Danish national number"),
        ((*MITID, "--message", "å" * 66), "longer than 130 bytes"),
        (("--eid", "mitid"), "no eID called 'mitid'"),
        (("--eid-module", "mitid.py", "--eid", "mitid"), "cannot be imported: ModuleNotFoundError"),
        (("--eid-module", "nothing", "--eid", "mitid"), "cannot be imported: ModuleNotFoundError"),
        (("--eid-module", "mitid", "--eid-module", "again", "--eid", "mitid"), "two eIDs called mitid"),
    ],
)
def test_a_user_is_told_what_is_wrong(
    folder: Path, arguments: tuple[str, ...], words: str, invoke: Callable[..., Any]
) -> None:
    """In one sentence with exit code 2, by both commands, before anybody is asked."""
    shutil.copy(folder / "mitid.py", folder / "again.py")
    (folder / "people.csv").write_text(f"ssn\n{CPR}\n")
    runs = [invoke("verify", *arguments, **({} if "--ssn" in arguments else {"IDURA_CIBA_SSN": CPR}), **TENANT)]
    if not {"--ssn", "--message", "--call-initiator"} & set(arguments) and arguments != MITID[:4]:
        runs.append(invoke("batch", "people.csv", "--dry-run", *arguments))
    for ran in runs:
        assert ran.exit_code == 2, ran.output
        assert words in " ".join(ran.stderr.split())
        assert CPR not in ran.output
    sys.modules.pop("again", None)


# --- an eID that is described -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hint",
    [
        ("--login-hint", "cpr:{ssn}", "--ssn-file", "cpr"),
        ("--login-hint-file", "hint", "--ssn-file", "cpr"),
        ("--login-hint", "cpr:{ssn}", "--ssn", CPR),
    ],
)
def test_verify_asks_through_an_eid_that_is_described(
    folder: Path,
    hint: tuple[str, ...],
    idura: SimulatedIdura,
    sent: list[dict[str, str]],
    invoke: Callable[..., Any],
) -> None:
    """The hint and the number come from files as well as from arguments; the person is confirmed by what was said."""
    idura.script(CPR, Script.approve(after=8))
    (folder / "cpr").write_text(CPR)
    (folder / "hint").write_text("cpr:{ssn}\n")
    ran = invoke(
        *("verify", *RAW, *hint, "--message", "Hej", "--scope", "openid cpr", "--requested-expiry", "60"),
        *("--authorization-details", '[{"type":"caller"}]', "--parameter", "language=da", "--parameter", "x=y"),
        **TENANT,
    )
    assert ran.exit_code == 0, ran.output
    assert "the ID token confirms the person you asked for" in ran.stdout
    (form,) = sent
    assert {name: form[name] for name in form if not name.startswith("client")} == {
        "scope": "openid cpr",
        "login_hint": f"cpr:{CPR}",
        "acr_values": module_of_a_user.ACR,
        "binding_message": "Hej",
        "requested_expiry": "60",
        "authorization_details": '[{"type":"caller"}]',
        "language": "da",
        "x": "y",
    }


def test_a_whole_hint_needs_no_number(
    idura: SimulatedIdura, sent: list[dict[str, str]], invoke: Callable[..., Any]
) -> None:
    """From the environment as others' numbers, from the standard input, or as an argument; a number would be lost."""
    idura.script(CPR, Script.approve(after=8))
    whole = ("verify", *RAW[:4])
    runs = [
        invoke(*whole, IDURA_CIBA_SSN=f"cpr:{CPR}", **TENANT),
        invoke(*whole, "--login-hint-file", "-", input=f"cpr:{CPR}\n", **TENANT),
        invoke(*whole, "--login-hint", f"cpr:{CPR}", IDURA_CIBA_SSN=OTHER, **TENANT),
    ]
    assert [ran.exit_code for ran in runs] == [0, 0, 0]
    assert {form["login_hint"] for form in sent} == {f"cpr:{CPR}"}
    ran = invoke(*whole, "--login-hint", f"cpr:{CPR}", "--ssn", OTHER, **TENANT)
    assert ran.exit_code == 2
    assert "no place for it" in ran.stderr
    assert len(sent) == 3


def test_ours_can_be_described_too(invoke: Callable[..., Any]) -> None:
    """A trial of a description needs no module where the simulator serves the eID, and says so where it does not."""
    described = (
        *("verify", "--simulate", "--eid", "raw", "--login-hint", "sub:ssn:{ssn}", "--ssn", "209801011231"),
        *("--authorization-details", '[{"type":"phoneAuth","callInitiator":"RP"}]', "--identity", "ssn={ssn}"),
    )
    ran = invoke(*described, "--acr", "urn:grn:authn:se:bankid")
    assert ran.exit_code == 0, ran.output
    assert "the ID token confirms the person you asked for" in ran.stdout
    for other in (("--acr", "urn:example:mitid"), ()):
        ran = invoke(*described, *other)
        assert ran.exit_code == 2
        assert "does not serve this eID" in ran.stderr


def test_a_described_phone_of_a_user_is_simulated(folder: Path, invoke: Callable[..., Any]) -> None:
    """The module has it, and the description names its level."""
    (folder / "people.csv").write_text(f"key,ssn\na,{CPR}\n")
    described = ("--eid-module", "mitid", *RAW, "--login-hint", "cpr:{ssn}", "--simulate")
    assert invoke("verify", *described, "--ssn", CPR).exit_code == 0
    assert invoke("batch", "people.csv", "--out", "r.jsonl", *described).exit_code == 0
    # Simulated people are a crowd, in which somebody may say no.
    assert results(folder)["a"]["state"] in {"approved", "denied", "expired"}
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *described[2:])
    assert ran.exit_code == 2
    assert "does not serve this eID" in ran.stderr


@pytest.mark.parametrize(
    ("head", "row", "options", "confirmed"),
    [
        ("key,ssn", f"a,{CPR}", ("--login-hint", "cpr:{ssn}"), True),
        ("key,login_hint,ssn", f"a,cpr:{CPR},{CPR}", (), True),
        ("key,login_hint,acr", f"a,cpr:{CPR},{module_of_a_user.ACR}", ("--identity", f"cpr={CPR}"), True),
        ("key,Number", f"a,{CPR}", ("--login-hint", "cpr:{ssn}", "--column", "ssn=Number"), True),
        ("key,Hint", f"a,cpr:{CPR}", ("--column", "login_hint=Hint", "--identity", f"cpr={CPR}"), True),
    ],
    ids=["template", "hint and number", "hint alone", "a column of another name", "a hint of another name"],
)
def test_batch_asks_through_an_eid_that_is_described(
    folder: Path,
    head: str,
    row: str,
    options: tuple[str, ...],
    confirmed: bool,
    idura: SimulatedIdura,
    sent: list[dict[str, str]],
    invoke: Callable[..., Any],
) -> None:
    """A template makes hints of numbers, or a column has them."""
    idura.script(CPR, Script.approve(after=8))
    (folder / "people.csv").write_text(f"{head}\n{row}\n")
    described = RAW if "--identity" not in options else RAW[:4]
    ran = invoke("batch", "people.csv", "--out", "r.jsonl", *described, *options, **TENANT)
    assert ran.exit_code == 0, ran.output
    assert results(folder)["a"]["person_confirmed"] is confirmed
    assert sent[0]["login_hint"] == f"cpr:{CPR}"
    assert CPR not in ran.output


def test_rows_that_name_nobody_are_set_aside(
    folder: Path, idura: SimulatedIdura, sent: list[dict[str, str]], invoke: Callable[..., Any]
) -> None:
    """One hint for everybody would ring one phone for each row; a key may not hold a hint; each row is told apart."""
    (folder / "people.csv").write_text(
        f"key,ssn,login_hint\na,{CPR},\nb,,cpr:{OTHER}\ncpr:{OTHER},,cpr:{OTHER}\nd,,cpr:{OTHER}\ne,{CPR},cpr:1 cpr:2\n"
    )
    idura.script(OTHER, Script.approve(after=1))
    arguments = ("batch", "people.csv", *RAW[:4], "--login-hint", "cpr:7777777777")
    ran = invoke(*arguments, "--dry-run")
    assert "3 valid rows, 2 invalid, 1 duplicate." in ran.stderr
    assert (
        "Line 2 says nothing by which to tell who is asked. Correct the cell, or delete the row. [one_person]"
        in ran.stderr
    )
    assert "Line 4, column key holds the national number" in ran.stderr
    ran = invoke(*arguments, "--out", "r.jsonl", **TENANT)
    assert {key: found["state"] for key, found in results(folder).items()} == {
        "b": "approved",
        "d": "approved",
        "e": "rejected",
    }
    assert "cpr:7777777777" not in {form["login_hint"] for form in sent}


def test_a_file_may_be_of_described_and_other_eids(
    folder: Path, idura: SimulatedIdura, sent: list[dict[str, str]], invoke: Callable[..., Any]
) -> None:
    """What describes an eID is for the rows that are asked through it."""
    for person in (CPR, "209801011231"):
        idura.script(person, Script.approve(after=1))
    (folder / "people.csv").write_text(f"key,ssn,eid,call_initiator\na,{CPR},,\nb,20980101-1231,se,RP\n")
    arguments = ("--login-hint", "cpr:{ssn}", "--message", "Hej", "--out", "r.jsonl")
    ran = invoke("batch", "people.csv", *RAW, *arguments, **TENANT)
    assert ran.exit_code == 0, ran.output
    assert {form["login_hint"] for form in sent} == {f"cpr:{CPR}", "sub:ssn:209801011231"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--eid", "no", "--acr", "urn:x"), "acr"),
        (("--eid", "raw", "--login-hint", "a", "--login-hint-file", "b"), "cannot be read"),
        (("--eid", "raw", "--login-hint", "a", "--login-hint-file", "mitid.py"), "given twice"),
        (("--eid", "raw", "--login-hint", "{cpr}"), "blank that nothing fills: {cpr}"),
        (("--eid", "raw", "--identity", "cpr"), "PATH=VALUE"),
        (("--eid", "raw", "--authorization-details", "{}"), "must be a JSON array"),
        (("--eid", "raw", "--parameter", "x"), "NAME=VALUE"),
        (("--eid", "raw", "--hint-parameter", "hint"), "--hint-parameter"),
        (("--eid", "raw", "--missing-acr", "x"), "--missing-acr"),
    ],
)
def test_a_description_that_cannot_work_is_refused(
    folder: Path, arguments: tuple[str, ...], words: str, invoke: Callable[..., Any]
) -> None:
    """By both commands; what describes an eID is never left out in silence."""
    (folder / "people.csv").write_text(f"ssn\n{CPR}\n")
    ran = invoke("verify", *arguments, **TENANT)
    assert ran.exit_code == 2
    assert words in " ".join(ran.stderr.split())
    ran = invoke("batch", "people.csv", *arguments, "--dry-run")
    assert ran.exit_code in {2, 7}
    assert ran.exit_code == 2 or "Line 2 is invalid: " in ran.stderr


# --- the parts --------------------------------------------------------------------------------------------------------


def test_the_options_of_a_command_are_those_that_are_declared() -> None:
    """In the place of its `**given`, with the declared words; what may tell who is asked has a file beside it."""

    @takes_eid_options
    def command(*, eid: str, message: str | None = None, last: int = 0, **given: Any) -> None:
        """Do nothing."""

    parameters = inspect.signature(command).parameters
    names = ["eid", "call_initiator", "country", "acr", "login_hint", "login_hint_file", "hint_parameter"]
    assert list(parameters)[:7] == names
    assert list(parameters)[-2:] == ["message", "last"]
    kind, option = get_args(parameters["call_initiator"].annotation)
    assert kind == Literal["RP", "user"] | None
    assert option.help == "Swedish BankID: RP if you called the person, user if they called you."
    assert get_args(parameters["identity"].annotation)[0] == list[str] | None
    assert "{ssn} by default" in get_args(parameters["login_hint"].annotation)[1].help


@pytest.mark.parametrize("command", ["verify", "batch"])
def test_help_names_each_option_that_an_eid_declares(command: str, invoke: Callable[..., Any]) -> None:
    """And the names of the eIDs."""
    told = " ".join(invoke(command, "--help", COLUMNS="200").stdout.split())
    assert "[se|no|freja|raw]" in told
    for takers in EIDS.options().values():
        assert takers[0][1].flag in told
    assert labels(lambda eid: eid.spoken_words) == "Norwegian BankID"


def test_the_shell_completes_names(folder: Path) -> None:
    """Those of a module that stands on the line too; a module that is not there is no reason to fall silent."""
    del folder

    class Context:
        params: dict[str, Any] = {}  # noqa: RUF012 - a stand-in

    assert _complete(Context, "") == ["se", "no", "freja", "raw"]  # type: ignore[arg-type]
    Context.params = {"eid_module": ["mitid"]}
    assert _complete(Context, "m") == ["mitid"]  # type: ignore[arg-type]
    Context.params = {"eid_module": ["missing"]}
    assert _complete(Context, "s") == ["se"]  # type: ignore[arg-type]


def test_options_are_read_once(folder: Path) -> None:
    """From their own flag, from a file, or as NAME=VALUE; nothing that was not said is there."""
    (folder / "f").write_text("from the file\n")
    given = {"call_initiator": "RP", "country": None, "identity": [], "parameter": ["a=1", "b=2"]}
    assert read_options(given, None, EIDS, message="Hej") == {
        "call_initiator": "RP",
        "parameter": ("a=1", "b=2"),
        "message": "Hej",
    }
    hint = read_options({"login_hint_file": "f"}, ["acr=@f", "identity=a=b"], EIDS, message=None)
    assert hint == {"login_hint": "from the file", "acr": "from the file", "identity": ("a=b",)}
    assert repr(hint["login_hint"]) == "<redacted>"
    assert code(read_options, {"login_hint": "a", "login_hint_file": "f"}, None, EIDS, message=None) == "login_hint"
    assert code(read_options, {"acr": "a"}, ["acr=b"], EIDS, message=None) == "acr"


def test_what_describes_the_person_is_left_out_where_it_is_not_needed() -> None:
    """And nothing else is."""
    options = {"country": "NO", "call_initiator": "RP", "message": "Hej"}
    assert fitting(EIDS["no"], options, EIDS) == {"call_initiator": "RP", "message": "Hej"}
    assert fitting(EIDS["freja"], options, EIDS) == options


def test_a_description_goes_with_raw() -> None:
    """Or with an eID of a user that has such an option."""
    refuse_descriptions(EIDS["raw"], {"acr": "x"})
    refuse_descriptions(EIDS["se"], {"call_initiator": "RP"})
    own = Eid(name="x", label="X", fields={"login_hint": "x"}, options=(Option(name="acr", help="x"),))
    refuse_descriptions(own, {"acr": "x"})
    for eid in (None, EIDS["se"]):
        assert code(refuse_descriptions, eid, {"acr": "x"}) == "acr"


def test_fields_are_those_that_were_said() -> None:
    """What an eID declares is not overridden by a default of the command."""
    assert request_fields(scope=None, require_person=False) == {}
    assert request_fields(scope="openid x", require_person=True) == {"scope": "openid x", "require_person": True}


def test_modules_bring_their_eids(folder: Path) -> None:
    """Once, however often they are named."""
    del folder
    assert known_eids(None) is EIDS or list(known_eids(None)) == list(EIDS)
    assert list(known_eids(["mitid", "mitid"])) == ["se", "no", "freja", "raw", "mitid"]
