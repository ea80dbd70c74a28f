"""Tests of what is asked of whom through which eID."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest

from idura_ciba.eids.frejaid import FrejaID
from idura_ciba.eids.norwegian_bankid import NorwegianBankID
from idura_ciba.eids.phase import Phase
from idura_ciba.eids.request import EidOptions, EidRequest, extends
from idura_ciba.eids.swedish_bankid import SwedishBankID
from idura_ciba.errors import UsageError
from idura_ciba.protocol.requests import encode_form
from idura_ciba.redaction import Redacted

SWEDISH = "209801011231"
NORWEGIAN = "01023990128"
MESSAGE = "Your call to Acme"
#: In the range that the Swedish telecom authority keeps free for fiction.
PHONE = "+46701740605"
EMAIL = "kim@example.com"


def swedish(**overrides: Any) -> SwedishBankID:
    """A Swedish request that is as it should be, but for the overrides."""
    return SwedishBankID(SWEDISH, **{"call_initiator": "RP", "message": MESSAGE, **overrides})


ALL: list[Callable[..., EidRequest]] = [
    swedish,
    lambda **overrides: NorwegianBankID(NORWEGIAN, **overrides),
    lambda **overrides: FrejaID(SWEDISH, **overrides),
    lambda **overrides: FrejaID(phone=PHONE, **overrides),
    lambda **overrides: FrejaID(email=EMAIL, **overrides),
    lambda **overrides: EidRequest(**{"login_hint": SWEDISH, "acr_values": "urn:example:eid", **overrides}),
]


def code(make: Callable[[], object]) -> str:
    """The code of the usage error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (EidRequest, "one_hint"),
        (lambda: EidRequest(login_hint="a", id_token_hint="b"), "one_hint"),
        (lambda: EidRequest(login_hint=""), "one_hint"),
        (lambda: EidRequest(login_hint="a", scope="profile"), "scope"),
        (lambda: EidRequest(login_hint="a", requested_expiry=0), "requested_expiry"),
        (lambda: EidRequest(login_hint="a", require_person=True), "require_person"),
        (lambda: EidRequest(login_hint="a", authorization_details={"type": "x"}), "authorization_details"),  # type: ignore[dict-item]
        (lambda: EidRequest(login_hint="a", authorization_details=[{"kind": "x"}]), "authorization_details"),
        (lambda: EidRequest(login_hint="a", extra={"scope": "openid"}), "extra_parameter"),
        (lambda: EidRequest(login_hint="a", identity={"ssn": "1"}), "identity"),  # type: ignore[dict-item]
        (lambda: EidRequest(login_hint="a", identity={(): "1"}), "identity"),
        (lambda: EidRequest(login_hint="a", identity={("ssn",): ""}), "identity"),
        (lambda: EidRequest(login_hint="a", identity_elsewhere={("ssn",): ""}), "identity"),
        (lambda: EidRequest(login_hint="a", acr_values=" "), "acr_values"),
        (lambda: EidRequest(login_hint="a", acr_values="urn:a urn:b", pin_acr="urn:ab"), "pin_acr"),
        (lambda: EidRequest(login_hint="a", acr_values="urn:a", pin_acr=""), "pin_acr"),
        (lambda: EidRequest(login_hint="a", pin_acr="urn:a"), "pin_acr"),
        (lambda: EidRequest(login_hint="a", scope="openid\u00a0ssn"), "scope"),
    ],
)
def test_a_request_that_cannot_work_is_refused_where_it_is_made(make: Callable[[], object], expected: str) -> None:
    """Each broken rule has its code, and no phone rings."""
    assert code(make) == expected


NO_TEXT: list[Any] = [b"urn:a", 7, ["urn:a"], ("urn:a",), True]


NO_IDENTITY: list[Any] = [
    *(None, [], "ssn", {"ssn": "1"}),
    *({("ssn",): None}, {("ssn",): 1}, {("ssn", 0): "1"}, {("ssn", None): "1"}),
]


NO_SWITCH: list[Any] = [None, 1, "yes", []]


#: By field, what is of the wrong kind there: as it comes from forms, files and slips of the pen.
WRONG_KINDS: dict[str, list[Any]] = {
    "login_hint": NO_TEXT,
    "login_hint_token": NO_TEXT,
    "id_token_hint": NO_TEXT,
    "acr_values": NO_TEXT,
    "scope": [None, *NO_TEXT],
    "binding_message": NO_TEXT,
    "user_code": NO_TEXT,
    "requested_expiry": ["90", 9.5, True, 10**5000],
    "authorization_details": ["[]", b"[]", 7, {"type": "x"}, [["type"]]],
    "extra": [None, [], "a=b", {"a": None}, {"a": b"b"}, {1: "b"}],
    "identity": NO_IDENTITY,
    "identity_elsewhere": NO_IDENTITY,
    "identity_guaranteed": NO_SWITCH,
    "require_person": NO_SWITCH,
    "require_acr": NO_SWITCH,
    "pin_acr": NO_TEXT,
    "prompt_lifetime": [None, "90", True, 0, -1, float("inf"), float("nan")],
    "phases": [None, [], "waiting", {"a": "waiting"}, {"a": None}, {1: Phase.WAITING}],
}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_nothing_of_the_wrong_kind_is_sent_as_its_repr(name: str) -> None:
    """Each field refuses it by its name, before a phone rings for something that nobody meant."""
    assert set(WRONG_KINDS) == {item.name for item in attrs.fields(EidRequest)}
    for value in WRONG_KINDS[name]:
        options: dict[str, Any] = {"login_hint": "a", "acr_values": "urn:a", name: value}
        if name.startswith(("login_hint_", "id_token_")):
            options["login_hint"] = None
        expected = "identity" if name.startswith("identity_e") and isinstance(value, dict) else name
        assert code(lambda options=options: EidRequest(**options)) == expected, value  # type: ignore[misc]


def test_whoever_an_earlier_token_is_about_must_answer() -> None:
    """An `id_token_hint` names a `sub`, and the answer must be about the same; the caller's own demand goes first."""

    def hint(payload: bytes) -> str:
        return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"

    request = EidRequest(id_token_hint=hint(b'{"sub":"{GUID}"}'), require_person=True)
    assert request.identity == {("sub",): "{GUID}"}
    assert EidRequest(id_token_hint=hint(b'{"sub":"x"}'), identity={("ssn",): "1"}).identity == {("ssn",): "1"}
    for unreadable in (
        hint(b"{}"),
        hint(b'{"sub":1}'),
        hint(b'{"sub":"a","sub":"b"}'),
        hint(b"\xff"),
        "a.\u00e9.b",
        "x",
    ):
        assert EidRequest(id_token_hint=unreadable).identity == {}


@pytest.mark.parametrize(
    ("level", "asked", "extended"),
    [
        *(("a", "a", True), ("a:b", "a", True), ("a:b:c", "a", True), ("ab", "a", False), ("a:", "a", False)),
        *(("b", "a", False), ("", "a", False), ("a", "a:b", False), ("a:b\n", "a", False), ("a:\u00e9", "a", False)),
    ],
)
def test_a_level_is_extended_by_whole_segments(level: str, asked: str, *, extended: bool) -> None:
    """Whoever asks for a level gets it or one below it, and nothing that only begins alike."""
    assert extends(level, asked) is extended


# --- what holds for all -----------------------------------------------------------------------------------------------


OVERRIDES: dict[str, Any] = {
    "login_hint": "elsewhere",
    "acr_values": "urn:example:other",
    "scope": "openid frejaid:ssn",
    "user_code": "1234",
    "requested_expiry": 90,
    "authorization_details": ({"type": "other", "amount": 1},),
    "extra": {"request_context": "{}"},
    "identity": {("who",): "me"},
    "identity_guaranteed": True,
    "require_person": True,
    "require_acr": False,
    "pin_acr": "urn:example:other:high",
}


@pytest.mark.parametrize("make", ALL)
def test_every_field_can_be_overridden(make: Callable[..., EidRequest]) -> None:
    """What Idura changes tomorrow needs no new release."""
    request = make(**OVERRIDES)
    assert {name: getattr(request, name) for name in OVERRIDES} == OVERRIDES
    assert (
        dict(parse_qsl(encode_form(request.parameters()).decode())).items()
        >= {
            "login_hint": "elsewhere",
            "user_code": "1234",
            "requested_expiry": "90",
            "authorization_details": '[{"type":"other","amount":1}]',
            "request_context": "{}",
        }.items()
    )


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("hint", ["login_hint_token", "id_token_hint"])
def test_another_kind_of_hint_can_take_the_place(make: Callable[..., EidRequest], hint: str) -> None:
    """A token can say who is asked, once the hint of the eID is taken out."""
    request = make(**{"login_hint": None, hint: "a.b.c"})
    assert request.parameters()[hint] == "a.b.c"
    assert request.person_key == "a.b.c"


@pytest.mark.parametrize("make", ALL)
def test_requests_compare_hash_copy_and_pickle(make: Callable[..., EidRequest]) -> None:
    """They are values: two of the same content are one, in a set as after a trip through another process."""
    request = make()
    assert request == make()
    assert len({request, make(), make(requested_expiry=1)}) == 2
    assert request != make(requested_expiry=1)
    for again in (pickle.loads(pickle.dumps(request)), copy.copy(request), copy.deepcopy(request)):  # noqa: S301
        assert again == request
        assert type(again) is type(request)
        assert again.parameters() == request.parameters()
        assert isinstance(again.login_hint, Redacted)


def test_requests_through_two_eids_differ() -> None:
    """The same person asked through another eID is another request, with another key."""
    freja: EidRequest = FrejaID(SWEDISH)
    assert freja != swedish()
    assert freja.person_key != swedish().person_key


@pytest.mark.parametrize("make", ALL)
def test_requests_do_not_change(make: Callable[..., EidRequest]) -> None:
    """Neither by assignment nor through what they were made of."""
    details, extra, identity = [{"type": "a"}], {"x": "y"}, {("who",): "me"}
    request = make(authorization_details=details, extra=extra, identity=identity)
    before = copy.deepcopy(request)
    details[0]["type"] = "b"
    details.append({"type": "c"})
    extra.clear()
    identity.clear()
    assert request == before
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.scope = "openid email"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        request.another = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", ALL)
def test_a_repr_names_the_eid_and_not_the_person(make: Callable[..., EidRequest]) -> None:
    """Number, message, hint, code and details stay out; the class and what is asked for stay in."""
    shown = repr(make(user_code="0815", extra={"cpr": SWEDISH}, authorization_details=[{"type": "t", "id": SWEDISH}]))
    assert "acr_values='urn:" in shown
    assert shown.startswith(f"{type(make()).__name__}(")
    for hidden in (SWEDISH, NORWEGIAN, PHONE, EMAIL, MESSAGE, "0815", "sub:"):
        assert hidden not in shown


@pytest.mark.parametrize("make", ALL)
def test_the_person_key_is_the_hint(make: Callable[..., EidRequest]) -> None:
    """Two requests for one person collide whatever else they ask; the key hides itself."""
    assert make().person_key == make(scope="openid email").person_key == make().login_hint
    assert repr(make().person_key) == "<redacted>"


def test_the_overrides_are_the_fields() -> None:
    """A field that a request gains can be overridden too, which mypy cannot see."""
    assert [field.name for field in attrs.fields(EidRequest)] == list(EidOptions.__annotations__)


# --- an eID of somebody else ------------------------------------------------------------------------------------------


#: No number of a person: 99 is no day.
CPR = "9999999999"


def mitid(cpr: str) -> EidRequest:
    """An eID as an instance, in a function of the user's own."""
    return EidRequest(
        login_hint=f"cpr:{cpr}",
        acr_values="urn:example:mitid:substantial",
        authorization_details=[{"type": "caller", "reference": "4711"}],
        identity={("cpr",): cpr},
    )


class MitID(EidRequest):
    """The same eID as a subclass that fills in the fields."""

    def __init__(self, cpr: str) -> None:
        super().__init__(
            login_hint=f"cpr:{cpr}",
            acr_values="urn:example:mitid:substantial",
            authorization_details=[{"type": "caller", "reference": "4711"}],
            identity={("cpr",): cpr},
        )


@attrs.frozen(kw_only=True)
class AttrsMitID(EidRequest):
    """The same eID as an attrs class with other defaults and a field of its own."""

    acr_values: str | None = "urn:example:mitid:substantial"
    reference: str

    def __attrs_post_init__(self) -> None:
        """Use the new field."""
        super().__attrs_post_init__()

    def parameters(self) -> dict[str, str]:
        """Send the new field."""
        details = json.dumps([{"type": "caller", "reference": self.reference}], separators=(",", ":"))
        return {**super().parameters(), "authorization_details": details}


@pytest.mark.parametrize(
    "make",
    [
        lambda: mitid(CPR),
        lambda: MitID(CPR),
        lambda: AttrsMitID(login_hint=f"cpr:{CPR}", identity={("cpr",): CPR}, reference="4711"),
    ],
    ids=["instance", "subclass", "attrs subclass"],
)
def test_a_new_eid_needs_nothing_from_this_package(make: Callable[[], EidRequest]) -> None:
    """An eID from outside has the same parameters, checks, repr, equality and pickling as those inside."""
    request = make()
    assert request.parameters() == {
        "scope": "openid",
        "login_hint": f"cpr:{CPR}",
        "acr_values": "urn:example:mitid:substantial",
        "authorization_details": '[{"type":"caller","reference":"4711"}]',
    }
    assert request.identity == {("cpr",): CPR}
    assert request.person_key == f"cpr:{CPR}"
    assert CPR not in repr(request)
    assert request == make()
    again = pickle.loads(pickle.dumps(request))  # noqa: S301 - pickled in the same line
    assert again == request
    assert type(again) is type(request)
