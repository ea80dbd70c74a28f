"""Tests of the forgeries: each is refused, by name, and shows nothing."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped] # authlib ships no types
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba.errors import IdTokenRejected
from idura_ciba.redaction import Redacted
from idura_ciba.testing import run_virtual
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.id_token import AUTH_REQ_ID_CLAIM, _split
from tests.encrypted_forgeries import MEMBERS, UNOPENED, encrypted_forgeries
from tests.fakes import FakeTransport, json_bytes
from tests.forgeries import FORGERIES, OTHER_RULES, REASONS, code_of, contradictions, forgeries
from tests.id_tokens import (
    ABSENT,
    ACCESS_TOKEN,
    AUTH_REQ_ID,
    CLAIMS,
    EXPIRES,
    HEADER,
    ISSUED,
    ISSUER,
    NORWEGIAN,
    OTHER_SSN,
    SSN,
    SUBJECT,
    Case,
    changed,
    issuer_key,
    leaks,
    make_verifier,
    refusal,
)


@pytest.mark.parametrize("name", [name for name in FORGERIES if not name.startswith("encrypted, ")])
async def test_a_forgery_is_refused_by_name_and_shows_nothing(name: str) -> None:
    """Each forgery fails by the rule it breaks, and nothing of the token is in the error, its chain or its frames."""
    claim, case = FORGERIES[name]
    error = await refusal(case)
    assert isinstance(error, IdTokenRejected)
    assert error.claim == claim
    assert error.reason in REASONS.get(claim, (OTHER_RULES,))
    assert error.code == code_of(claim, error.reason, case)
    whole = (
        f"The ID token was refused: {claim}, {error.reason}. The prompt on the phone was approved, and nobody is "
        f"logged in. {error.advice[0].upper()}{error.advice[1:]}. [{error.code}]"
    )
    assert str(error) == whole
    assert list(leaks(error, case.token)) == []


#: What a program must treat differently, by what has happened: the code, how the advice begins, and whether somebody
#: may be cheating.
OUTCOMES: Mapping[str, tuple[Case, str, str, bool]] = {
    "the clock is ahead": (Case(now=EXPIRES + 61), "id_token_clock", "see that this machine's clock is right", False),
    "the clock is behind": (Case(now=ISSUED - 61), "id_token_clock", "see that this machine's clock is right", False),
    "the clock was ahead": (
        Case(expected={"issued_from": ISSUED + 62}),
        "id_token_clock",
        "see that this machine's clock is right",
        False,
    ),
    "valid only later": (Case(claims={"nbf": ISSUED + 100}), "id_token_clock", "see that this machine's clock", False),
    "another algorithm": (
        Case(alg="ES256", algorithms=frozenset({"RS256"})),
        "id_token_algorithm",
        "if the provider means to sign so, name the algorithm in id_token_algorithms",
        False,
    ),
    "no signature": (Case(header={"alg": "none"}), "id_token_signature", "do not trust", True),
    "a shared secret": (Case(header={"alg": "HS256"}), "id_token_signature", "do not trust", True),
    "a key of its own": (Case(header={"jwk": {}}), "id_token_malformed", "do not trust", True),
    "a signature of somebody else": (Case(key=issuer_key("RS256", 1)), "id_token_signature", "do not trust", True),
    "a key that nobody publishes": (Case(header={"kid": "x"}), "id_token_key", "see that jwks_uri is", True),
    "encrypted": (
        Case(twist=lambda token: f"{token}.AAAA.AAAA"),
        "id_token_encrypted",
        "the provider encrypts ID tokens for this client; pass the private key as decryption_keys",
        False,
    ),
    "encrypted under another key": (
        UNOPENED["another key"],
        "id_token_decryption",
        "pass the private key whose public half the provider encrypts under",
        False,
    ),
    "encrypted otherwise": (
        MEMBERS["enc"]["another than the one registered"],
        "id_token_encryption",
        "if the provider means to encrypt so, name the algorithm in DecryptionKeys",
        False,
    ),
    "too long": (Case(max_size=100), "oversized", "if the provider sends photos, raise max_token_size", False),
    "no level": (
        Case(claims={"authenticationtype": ABSENT}),
        "id_token_level_missing",
        "if the provider never names a level, pass require_acr=False",
        False,
    ),
    "another eID": (Case(claims={"authenticationtype": NORWEGIAN}), "id_token_level", "do not trust", True),
    "another client": (Case(claims={"aud": "urn:other"}), "id_token_audience", "see that client_id is", True),
    "another issuer": (Case(claims={"iss": f"{ISSUER}/"}), "id_token_issuer", "see that the issuer is spelled", True),
    "another person": (Case(claims={"ssn": OTHER_SSN}), "id_token_person", "do not trust", True),
    "nobody": (
        Case(claims={"ssn": ABSENT}, expected={"require_person": True}),
        "id_token_person_missing",
        "have the provider put the number into its ID tokens",
        False,
    ),
    "another transaction": (Case(claims={AUTH_REQ_ID_CLAIM: "x"}), "id_token_other_login", "do not trust", True),
    "another access token": (
        Case(claims={"at_hash": "Wt0kVFXMacqvnHeyU0001w"}),
        "id_token_other_login",
        "do not trust",
        True,
    ),
    "no sub": (Case(claims={"sub": ABSENT}), "id_token_malformed", "do not trust", True),
}


@pytest.mark.parametrize(("case", "code", "advice", "cheating"), OUTCOMES.values(), ids=OUTCOMES)
async def test_what_a_program_must_treat_differently_has_its_own_code(
    case: Case, code: str, advice: str, *, cheating: bool
) -> None:
    """And "do not trust this login" is said where somebody may be cheating, not for a setting or a clock."""
    error = await refusal(case)
    assert error.code == code
    assert error.advice.startswith(advice)
    assert ("do not trust this login; report it to the provider with the trace id" in error.advice) is cheating
    assert ("do not trust" in error.advice) is cheating


async def test_the_registered_claims_do_not_hang_on_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuer, audience, subject and times are refused without authlib's help, whose checks differ by version."""
    monkeypatch.setattr(CodeIDToken, "validate", lambda *_args, **_kwargs: None)
    own = {"iss", "aud", "azp", "sub", "jti", "nonce", "exp", "iat", "nbf"}
    rows = [(claim, case) for claim, case in FORGERIES.values() if claim in own]
    assert {claim for claim, _ in rows} == own
    for claim, case in rows:
        error = await refusal(case)
        assert isinstance(error, IdTokenRejected)
        assert error.claim == claim


async def test_whatever_the_library_stumbles_over_the_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names no claim is told without its own words, which could quote the token."""

    def stumble(self: CodeIDToken, **_: object) -> None:
        raise TypeError(self["ssn"])

    monkeypatch.setattr(CodeIDToken, "validate", stumble)
    error = await refusal(Case())
    assert isinstance(error, IdTokenRejected)
    assert (error.claim, error.reason) == ("claims", "it does not hold what it must")
    assert list(leaks(error, Case().token)) == []


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *((claim, value) for claim in ("iss", "sub", "aud", "exp", "iat") for value in (ABSENT, None, "")),
        ("iss", f"{ISSUER}/"),
        ("aud", "urn:other"),
        ("aud", []),
        ("azp", "urn:other"),
        ("exp", 0),
    ],
    ids=repr,
)
def test_the_library_does_not_hang_on_our_own_checks(claim: str, value: object) -> None:
    """Authlib, which looks a second time, finds by itself what a token with wrong registered claims lacks."""
    verifier = make_verifier(FakeTransport())
    verifier._check_with_authlib(CLAIMS, "RS256", ACCESS_TOKEN)
    with pytest.raises(IdTokenRejected) as caught:
        verifier._check_with_authlib(changed(CLAIMS, {claim: value}), "RS256", ACCESS_TOKEN)
    assert caught.value.claim in {claim, "claims"}


def test_there_are_enough_forgeries() -> None:
    """No two rows have one name, so that none of them hides another."""
    assert len(FORGERIES) == len([*forgeries(), *contradictions(), *encrypted_forgeries()]) > 480


def test_the_hunt_for_leaks_can_fail() -> None:
    """An error that quotes the token, or has seen it in a frame, is found."""
    token = Case().token
    assert list(leaks(ValueError(token), token))
    assert list(leaks(ValueError(SUBJECT), token))

    def careless() -> None:
        claims = dict(CLAIMS)
        raise ValueError(str(len(claims)))

    with pytest.raises(ValueError, match=str(len(CLAIMS))) as caught:
        careless()
    assert list(leaks(caught.value, token))


def test_a_megabyte_of_dots_does_not_become_a_million_strings() -> None:
    """A token that is all dots costs little more memory than its own length before it is refused."""
    size = 1024 * 1024
    dots = "." * size
    tracemalloc.start()
    try:
        with pytest.raises(IdTokenRejected):
            _split(dots, size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size


@pytest.mark.unmeasured
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_no_change_of_one_character_passes(alg: str) -> None:
    """Every character of a token matters: each one is exchanged, left out and doubled."""
    case = Case(alg=alg)
    token, verifier, expectation = str(case.token), case.verifier, case.expectation
    draw = random.Random(alg)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é"

    async def main() -> None:
        for at, old in enumerate(token):
            new = draw.choice(alphabet.replace(old, ""))
            for changed_token in (
                token[:at] + new + token[at + 1 :],
                token[:at] + token[at + 1 :],
                token[:at] + old + token[at:],
            ):
                if changed_token == token:
                    continue
                with pytest.raises(IdTokenRejected):
                    await verifier.verify(
                        evolve(case.tokens, id_token=Redacted(changed_token)),
                        expected=expectation,
                        auth_req_id=AUTH_REQ_ID,
                    )

    run_virtual(main())


#: Whatever JSON can say.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*CLAIMS, "azp", "nonce", "at_hash", "acr", "amr", "auth_time", "jti", AUTH_REQ_ID_CLAIM, ""])


async def attempt(case: Case) -> Authentication | None:
    """Verify; None when it was refused in the one way in which it may be."""
    try:
        return await case.verify()
    except IdTokenRejected:
        return None


@pytest.mark.unmeasured
@settings(max_examples=60)
@given(st.binary(max_size=200) | JSON.map(json_bytes), st.binary(max_size=60))
def test_junk_is_refused_and_never_breaks_anything(payload: bytes, header: bytes) -> None:
    """Junk with a good signature, in payload, header and in both, ends in a refusal and in nothing else."""

    async def main() -> None:
        for case in (
            Case(alg="ES256", payload=payload),
            Case(alg="ES256", header_text=header),
            Case(alg="ES256", header_text=payload, payload=header),
        ):
            assert await attempt(case) is None

    run_virtual(main())


@pytest.mark.unmeasured
@settings(max_examples=100)
@given(
    st.dictionaries(NAMES, JSON, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from([*HEADER, "crit", "jwk", "Typ", "unknown"]), JSON),
)
def test_junk_in_a_claim_never_makes_another_login(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """With junk in some claims a token is refused, or says the same of whatever is checked."""
    login = run_virtual(attempt(Case(alg="ES256", claims=claims, header=header)))
    if login is not None:
        assert not set(header) - {"kid", "typ", "unknown"}
        for name in ("iss", "aud", "authenticationtype"):
            assert login.claims[name] in (CLAIMS[name], [CLAIMS[name]])
        assert login.claims["ssn"] == SSN or (login.claims["ssn"] is None and not login.person_confirmed)
        assert login.claims["iat"] <= ISSUED + 61
        assert login.claims["exp"] > ISSUED - 59
        assert login.subject.isascii()
        assert not {"nonce", "at_hash"} & set(login.claims)
