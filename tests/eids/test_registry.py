"""Tests of eIDs by name, and of those that come from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import CibaClient, State, simulator
from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.registry import EIDS, Eids, declared
from idura_ciba.errors import UsageError
from idura_ciba.simulator import Script, SimulatedIdura
from tests.eids.mitid import ACR, MITID, MITID_PHONE


def code(make: Any, *arguments: Any) -> str:
    """The code of the usage error that a call raises."""
    with pytest.raises(UsageError) as caught:
        make(*arguments)
    return caught.value.code


def test_the_eids_of_this_package_have_their_names() -> None:
    """They are what scripts and files say, so they do not change."""
    assert {name: eid.label for name, eid in EIDS.items()} == {
        "se": "Swedish BankID",
        "no": "Norwegian BankID",
        "freja": "FrejaID",
        "raw": "raw request",
    }
    assert len(EIDS) == 4


def test_one_more_joins_them() -> None:
    """In a new registry: what others hold does not change."""
    eids = EIDS.plus(MITID)
    assert list(eids) == ["se", "no", "freja", "raw", "mitid"]
    assert eids.find("mitid") is eids["mitid"] is MITID
    assert "mitid" not in EIDS
    assert list(eids.plus(MITID)) == list(eids)


def test_two_of_one_name_are_refused() -> None:
    """Nobody is asked by the wrong one; also none takes the place of one of ours."""
    assert code(EIDS.plus, Eid(name="raw", label="x", fields={"login_hint": "x"})) == "eid_twice"
    assert code(Eids, MITID, MITID) == "eid_twice"


def test_an_unknown_name_says_which_there_are() -> None:
    """And how to bring one's own."""
    with pytest.raises(UsageError, match=r"se, no, freja, raw; .*--eid-module") as caught:
        EIDS.find("mitid")
    assert caught.value.code == "eid"


def test_options_are_collected_with_those_who_take_them() -> None:
    """For the command, which offers all of them."""
    one, two = (Option(name="reference", help=text) for text in ("a", "b"))
    eids = Eids(
        Eid(name="a", label="A", fields={"login_hint": "x"}, options=(one,)),
        Eid(name="b", label="B", fields={"login_hint": "x"}, options=(two,)),
    )
    assert eids.options() == {"reference": ((eids["a"], one), (eids["b"], two))}


def test_columns_are_options_that_a_row_can_say() -> None:
    """Those that describe an eID only where rows are asked through one that is described."""
    assert EIDS.columns() == ("key", "ssn", "eid", "message", "call_initiator", "country")
    assert EIDS.columns("se") == EIDS.columns()
    assert set(EIDS.columns("raw")) - set(EIDS.columns()) == {
        *("acr", "login_hint", "hint_parameter", "authorization_details", "missing_acr", "requested_expiry")
    }


# --- modules ----------------------------------------------------------------------------------------------------------


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, from which nothing stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("of_a_user"):
            del sys.modules[name]


def test_a_module_in_this_folder_is_found(folder: Path) -> None:
    """What it declares comes in its order and once, whatever else it holds."""
    (folder / "of_a_user.py").write_text(
        "from idura_ciba.eids import Eid\n"
        "B = Eid(name='b', label='B', fields={'login_hint': '{ssn}'})\n"
        "A = Eid(name='a', label='A', fields={'login_hint': '{ssn}'})\n"
        "AGAIN, NUMBER = B, 7\n"
    )
    assert [eid.name for eid in declared("of_a_user", Eid)] == ["b", "a"]
    assert declared("of_a_user", int) == (7,)


def test_an_installed_module_goes_before_one_in_this_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that happens to lie here takes no library's place."""
    (folder / "fractions.py").write_text("raise SystemExit\n")
    monkeypatch.delitem(sys.modules, "fractions", raising=False)
    assert declared("fractions", Eid) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "eid_module"),
        ("raise ValueError('0102039999')", "eid_module"),
        ("this is no Python", "eid_module"),
        ("from idura_ciba.eids import Eid\nEid(name='X', label='X')", "eid_declaration"),
    ],
)
def test_a_module_that_cannot_be_used_is_said_so(folder: Path, text: str | None, expected: str) -> None:
    """By its name and the kind of the fault; what it says itself may hold anything."""
    if text is not None:
        (folder / "of_a_user_2.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        declared("of_a_user_2", Eid)
    assert caught.value.code == expected
    assert "0102039999" not in str(caught.value)
    assert caught.value.__context__ is None or expected == "eid_declaration"


@pytest.mark.parametrize("name", ["", ".", "..x", "mitid.py", "a b"])
def test_what_is_no_name_of_a_module_is_refused(name: str) -> None:
    """Also a file's."""
    assert code(declared, name, Eid) == "eid_module"


# --- the two halves ---------------------------------------------------------------------------------------------------


def test_client_and_simulator_agree_on_each_eid() -> None:
    """They share no line of code, so what one of them misreads stands out here."""
    served = {eid.name: eid for eid in simulator.EIDS}
    assert served.keys() == EIDS.keys() - {"raw"}
    for name, eid in served.items():
        ours = EIDS[name]
        assert ours.fields["acr_values"] == eid.acr_values[0]
        assert ours.spoken_words is (eid.words is not None)
        assert not ours.phases or tuple(dict.fromkeys(eid.pending)) == tuple(ours.phases)
        assert eid.expires_in <= ours.fields["prompt_lifetime"]
        assert eid.shares_number or not ours.guarantees_person


# --- Danish MitID, from outside ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "state", "confirmed"),
    [
        (Script.approve(after=20), State.APPROVED, True),
        (Script.approve(after=20, shares_number=False), State.APPROVED, False),
        (Script.approve(after=20, answered_by="8888888888"), State.FAILED, None),
        (Script.deny(after=20), State.DENIED, None),
        (Script.never(), State.EXPIRED, None),
    ],
    ids=["approved", "number omitted", "somebody else", "denied", "expired"],
)
async def test_an_eid_from_outside_is_asked_to_the_end(
    simulated_idura: SimulatedIdura,
    make_ciba_client: Callable[..., CibaClient],
    script: Script,
    state: State,
    confirmed: bool | None,
) -> None:
    """With a module of a user, and no change in this package: the person is compared as with those inside."""
    cpr = "9999999999"
    simulated_idura.add_eids(MITID_PHONE)
    simulated_idura.script(cpr, script)
    request = EIDS.plus(MITID).find("mitid").ask("999999-9999", reference="4711", message="Hej")
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(request)
        hints = [update.hint async for update in transaction.updates()]
        outcome = await transaction.outcome()
    assert outcome.state is state
    login = outcome.authentication
    assert (login and login.person_confirmed) is confirmed
    if login is not None:
        assert (login.acr, login.claims.get("cpr")) == (ACR, cpr if confirmed else None)
        assert tuple(dict.fromkeys(hint for hint in hints if hint)) == tuple(MITID.phases)
    (order,) = simulated_idura.ledger.orders
    assert (order.eid, order.person) == ("mitid", cpr)
