"""Tests of resume tokens: what goes in comes out, and what was changed on the way does not."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from attrs import asdict, evolve, fields_dict
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.person import PersonTags
from idura_ciba.eids.phase import Phase, phase_table
from idura_ciba.errors import ResumeError
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.resume import MAX_LENGTH, VERSION, Checkpoint, Sealer
from idura_ciba.trust.expectation import Demand, Expectation

SSN = "209801011231"
ISSUER, CLIENT = "https://acme.idura.broker", "urn:my:app"
TAGS = PersonTags(b"t" * 32)
SEALER = Sealer(ISSUER, CLIENT, b"k" * 32)
CHECKPOINT = Checkpoint(
    auth_req_id=Redacted("3857f8ff-21b9-48ae-a732-a3bd8128a7ae"),
    person=TAGS.tag(("hint",), f"sub:ssn:{SSN}"),
    expected=Expectation(
        Demand(
            acr_values=("urn:grn:authn:se:bankid", "urn:grn:authn:no:bankid"),
            pin_acr="urn:grn:authn:se:bankid",
            require_acr=True,
            identity=(("ssn",), ("details", "ssn")),
            identity_guaranteed=True,
            require_person=False,
            identity_elsewhere=(("country",),),
        ),
        TAGS.tag(("ssn",), SSN) + TAGS.tag(("details", "ssn"), SSN) + TAGS.tag(("country",), "SE"),
        1767225599.5,
    ),
    requested_at=1767225600.25,
    acknowledged_at=1767225600.5,
    expires_in=120.0,
    interval=5.0,
    not_before=1767225605.5,
    heard_at=1767225601.0,
    in_doubt=False,
    polls=7,
    spoken_words=Redacted("Frekk Julekos"),
)
TOKEN = SEALER.seal(CHECKPOINT)


def demanding(*, tags: bytes = CHECKPOINT.expected.tags, **changes: Any) -> Expectation:
    """That one, with another demand."""
    return evolve(CHECKPOINT.expected, demand=evolve(CHECKPOINT.expected.demand, **changes), tags=tags)


def members(token: str = TOKEN) -> dict[str, Any]:
    """The members of a token, seal included."""
    found = json.loads(token)
    assert isinstance(found, dict)
    return found


def shapes(tag: bytes) -> tuple[str, str]:
    """How a tag would look in a text."""
    return tag.hex(), repr(tag)[2:-1]


def refusal(token: Any, sealer: Sealer = SEALER) -> ResumeError:
    """Why a token is refused; the error shows nothing of it."""
    with pytest.raises(ResumeError) as caught:
        sealer.open(token)
    error = caught.value
    shown = f"{error}{error!r}{vars(error)}"
    for secret in (CHECKPOINT.auth_req_id, *shapes(CHECKPOINT.person), "Julekos", str(members()["seal"])):
        assert secret not in shown
    assert error.__cause__ is None
    assert error.phone
    assert error.advice
    return error


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spoken_words": None, "in_doubt": True, "polls": 0},
        {"spoken_words": Redacted('Blåbær \u2603 \U0001f600 "quoted"\n\x01')},
        {"auth_req_id": Redacted("a" * 2048)},
        {"requested_at": 0.1 + 0.2, "interval": 1e-9, "not_before": -0.0, "expires_in": 86400.0},
        {"phases": phase_table({"waiting for \u00e5": Phase.WAITING})},
        {"reference": "call-4711 \u00c6r\u00f8"},
        {"nonce": bytes(range(20))},
        {"spoken_words": Redacted("\u00e5" * 32_000)},
        {"spoken_words": Redacted("\x01" * 10_000)},
        {"expected": demanding(acr_values=(), pin_acr=None, identity=(), tags=TAGS.tag(("country",), "SE"))},
        {"expected": demanding(require_acr=False, require_person=True, identity_guaranteed=False)},
        {"expected": demanding(identity=(), identity_elsewhere=(), tags=b"")},
    ],
)
def test_what_is_sealed_can_be_opened(changes: Mapping[str, Any]) -> None:
    """Each field comes back as it was, to the last bit, and in another process too."""
    checkpoint = evolve(CHECKPOINT, **changes)
    token = SEALER.seal(checkpoint)
    back = Sealer(ISSUER, CLIENT, b"k" * 32).open(token)
    assert asdict(back) == asdict(checkpoint)
    assert repr(back) == repr(checkpoint)
    demand = back.expected.demand
    assert type(demand.acr_values) is tuple
    assert all(type(path) is tuple for path in demand.identity + demand.identity_elsewhere)
    assert demand is SEALER.open(token).expected.demand
    for hidden in (token, back.auth_req_id, back.spoken_words):
        assert hidden is None or type(hidden) is Redacted


def test_every_field_travels() -> None:
    """A field that is added to a checkpoint and forgotten here is noticed."""
    fields = {name for kind in (Checkpoint, Expectation, Demand) for name in fields_dict(kind)}
    if_any = {"tokens", "reference", "phases", "trace_context", "nonce"}
    travels = fields - {"expected", "demand", "tags"} - if_any
    assert set(members()) == travels | {"v", "issuer", "client_id", "paths", "seal"}


TOKENS = Tokens(
    Redacted(f"header.{SSN}.signature"), Redacted("an access token"), "Bearer", 120.0, {"id_token": SSN, "x": [1, None]}
)


@pytest.mark.parametrize("tokens", [TOKENS, evolve(TOKENS, access_token=None, token_type=None, expires_in=None)])
def test_tokens_that_wait_for_keys_travel_encrypted(tokens: Tokens) -> None:
    """They name the person, so nobody may read them without the credential, and no other login may use them."""
    token = SEALER.seal(evolve(CHECKPOINT, tokens=tokens))
    assert SSN not in token
    assert "access token" not in token
    assert SSN.encode().hex() not in token
    back = SEALER.open(token)
    assert back.tokens == tokens
    assert repr(back.tokens).count("redacted") == 1 + (tokens.access_token is not None)
    assert SEALER.seal(evolve(CHECKPOINT, tokens=tokens)) != token
    moved = json.loads(token)["tokens"]
    with pytest.raises(InvalidTag):
        SEALER._decrypt(moved, "another auth_req_id")


def test_a_token_with_a_photo_in_it_can_be_opened_again() -> None:
    """Freja's tokens are large, and twice as large in hexadecimal digits."""
    tokens = evolve(TOKENS, id_token=Redacted("x" * 1024 * 1024))
    assert SEALER.open(SEALER.seal(evolve(CHECKPOINT, tokens=tokens))).tokens == tokens


def test_tokens_outlive_the_prompt() -> None:
    """The person has answered; how long the answer counts is written in the ID token."""
    over = {"monotonic": 0.0, "wall": CHECKPOINT.acknowledged_at + 1e6, "limit": None}
    with pytest.raises(ResumeError):
        CHECKPOINT.timing(**over)
    evolve(CHECKPOINT, tokens=TOKENS).timing(**over)


def test_a_token_is_one_line_without_the_number() -> None:
    """It fits into an environment variable, a header or a database, and names nobody."""
    assert TOKEN.isascii()
    assert TOKEN.isprintable()
    assert len(TOKEN) < 1500
    assert SSN not in TOKEN
    assert repr(TOKEN) == "<redacted>"
    assert members()["v"] == VERSION


def test_a_checkpoint_and_a_sealer_show_no_secrets() -> None:
    """Neither handle nor tags nor words nor key are in a repr."""
    shown = repr(CHECKPOINT) + repr(SEALER)
    for secret in (
        CHECKPOINT.auth_req_id,
        "Julekos",
        "kkkk",
        *(shape for tag in (CHECKPOINT.person, *dict(CHECKPOINT.expected.tagged()).values()) for shape in shapes(tag)),
    ):
        assert secret not in shown


@pytest.mark.parametrize(
    ("sealer", "code"),
    [
        (Sealer(f"{ISSUER}/", CLIENT, b"k" * 32), "resume_provider"),
        (Sealer("https://other.idura.broker", CLIENT, b"k" * 32), "resume_provider"),
        (Sealer(ISSUER, "urn:other:app", b"k" * 32), "resume_provider"),
        (Sealer(ISSUER, CLIENT, b"j" * 32), "resume_seal"),
        (Sealer(ISSUER, CLIENT, b""), "resume_seal"),
    ],
)
def test_a_token_is_good_for_one_client_at_one_provider(sealer: Sealer, code: str) -> None:
    """Another provider, client or credential refuses it before anything is sent."""
    assert refusal(TOKEN, sealer).code == code
    assert sealer.seal(CHECKPOINT) != TOKEN


OTHERS: Mapping[str, Any] = {
    "auth_req_id": "another",
    "person": TAGS.tag(("hint",), "sub:ssn:209602294564").hex(),
    "requested_at": 0,
    "acknowledged_at": None,
    "expires_in": 1e9,
    "interval": 0.001,
    "not_before": 0,
    "heard_at": 0,
    "in_doubt": True,
    "polls": 0,
    "spoken_words": "other words",
    "acr_values": [],
    "pin_acr": None,
    "require_acr": False,
    "paths": [[["ssn"]], []],
    "identity": "00" * 16,
    "identity_elsewhere": "",
    "identity_guaranteed": False,
    "require_person": True,
    "issued_from": 0,
    "seal": "0" * 64,
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_member_can_be_changed(name: str) -> None:
    """Another value, a wrong type, or the member left out: the seal does not fit."""
    values: tuple[object, ...] = (OTHERS[name], [], {}, "", None if OTHERS[name] is not None else 1)
    for value in values:
        if value != members()[name]:
            assert refusal(json.dumps({**members(), name: value})).code == "resume_seal"
    assert refusal(json.dumps({key: value for key, value in members().items() if key != name})).code == "resume_seal"


def test_every_member_is_tried() -> None:
    """The table of changes is complete."""
    assert set(OTHERS) == set(members()) - {"v", "issuer", "client_id"}


def test_no_member_can_be_added() -> None:
    """Also not one that a later version may understand."""
    assert refusal(json.dumps({**members(), "new": 1})).code == "resume_seal"
    assert refusal(f'{TOKEN[:-1]},"polls":0}}').code == "resume_unreadable"


@pytest.mark.parametrize("version", [0, 2, "1", None, [1], 1.5])
def test_another_version_is_refused_by_name(version: object) -> None:
    """The advice differs: it is not the token's fault."""
    assert refusal(json.dumps({**members(), "v": version})).code == "resume_version"


def test_no_change_of_a_character_makes_another_checkpoint() -> None:
    """Each character exchanged by each of several: refused, or, where JSON has two spellings, the same."""
    draw = random.Random(1)
    for at in range(len(TOKEN)):
        for new in {*draw.sample('0123456789abcdefABCDEF.,:-+eE[]{}"\\ nulltrue', 4), "\n", "\u00e9", "\0"} - {
            TOKEN[at]
        }:
            with suppress(ResumeError):
                assert SEALER.open(TOKEN[:at] + new + TOKEN[at + 1 :]) == CHECKPOINT
        for shorter in (TOKEN[:at], TOKEN[:at] + TOKEN[at + 1 :]):
            assert refusal(shorter).code.startswith("resume_")


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "{}{}",
        "null",
        "[]",
        '"token"',
        "1",
        "eyJhbGciOiJub25lIn0.e30.",
        "\u00e9",
        "\ud800",
        "{" * 100_000,
        "[" * 1000 + "]" * 1000,
        '{"v":NaN}',
        '{"v":1e999}',
        '{"v":1,"v":1}',
        None,
        7,
        b"{}",
        TOKEN.encode(),
        ["{}"],
        json.loads(TOKEN),
    ],
)
def test_junk_is_no_token(junk: object) -> None:
    """Whatever it is, the answer is the same error."""
    assert refusal(junk).code == "resume_unreadable"


@pytest.mark.parametrize("seal", ["\ud800", "\u00e9", "\0", "\U0001f600" * 16, 0, None, [], True])
def test_a_seal_of_any_kind_is_only_wrong(seal: object) -> None:
    """Characters that cannot be encoded or compared are refused like any others."""
    assert refusal(json.dumps({**members(), "seal": seal})).code in {"resume_seal", "resume_unreadable"}


def test_a_token_has_a_size() -> None:
    """What is longer is not even read."""
    padded = {**members(), "spoken_words": "x" * MAX_LENGTH}
    assert refusal(json.dumps(padded)).code == "resume_unreadable"
    assert refusal(" " * (MAX_LENGTH - len(TOKEN) + 1) + TOKEN).code == "resume_unreadable"
    assert SEALER.open(" " * (MAX_LENGTH - len(TOKEN)) + TOKEN) == CHECKPOINT


@given(
    st.dictionaries(
        st.sampled_from([*members()]),
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)) | st.lists(st.integers()),
        min_size=1,
    )
)
def test_nobody_without_the_key_makes_a_token(changes: dict[str, Any]) -> None:
    """Any changes to a good token are refused, unless they change nothing."""
    token = json.dumps({**members(), **changes})
    with suppress(ResumeError):
        assert SEALER.open(token) == CHECKPOINT


def test_the_later_of_two_is_that_of_whoever_has_gone_on() -> None:
    """By its polls, or where it began from an older token, by when it may poll again; an answer in hand is later."""
    again = evolve(CHECKPOINT, polls=CHECKPOINT.polls + 1)
    anew = evolve(CHECKPOINT, polls=0, not_before=CHECKPOINT.not_before + 7)
    answered = evolve(CHECKPOINT, tokens=TOKENS)
    earlier = evolve(CHECKPOINT, polls=0, not_before=CHECKPOINT.not_before - 7)
    for other, expected in ((again, again), (anew, anew), (earlier, CHECKPOINT), (evolve(CHECKPOINT), CHECKPOINT)):
        assert CHECKPOINT.or_later(other) == expected
    assert answered.or_later(again) is answered
