"""Tests of encrypted ID tokens: what is opened. Refusals are with the forgeries."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import pytest
from attrs import evolve

from idura_ciba.credentials.decryption_key import CONTENT_ENCRYPTIONS, KEY_ALGORITHMS, DecryptionKeys
from idura_ciba.errors import CibaError, IdTokenRejected, UsageError
from idura_ciba.redaction import Redacted
from idura_ciba.trust.encryption import opened
from tests.encrypted_forgeries import named, only
from tests.fakes import FakeTransport, private_key
from tests.id_tokens import (
    AUTH_REQ_ID,
    CLIENT,
    ISSUER,
    SUBJECT,
    Case,
    encrypted_case,
    leaks,
    make_verifier,
    refusal,
)


async def code_of(case: Case) -> str:
    """What becomes of it."""
    try:
        assert (await case.verify()).subject == SUBJECT
    except CibaError as error:
        return error.code
    return ""


@pytest.mark.parametrize("enc", CONTENT_ENCRYPTIONS)
@pytest.mark.parametrize("alg", KEY_ALGORITHMS)
async def test_what_is_accepted_is_opened(alg: str, enc: str) -> None:
    """Each with each; `tests/test_docs_id_tokens.py` has what is refused beside it."""
    assert await code_of(encrypted_case(alg, enc)) == ""


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "X25519"])
@pytest.mark.parametrize("alg", [alg for alg in KEY_ALGORITHMS if alg != "RSA-OAEP-256"])
async def test_keys_of_each_curve_open_tokens(alg: str, kind: str) -> None:
    """X25519 included, which has other coordinates."""
    assert await code_of(encrypted_case(alg, "A256GCM", kind=kind)) == ""


@pytest.mark.parametrize(
    "case",
    [
        encrypted_case(header={"cty": ...}),
        encrypted_case(header={"cty": "application/jwt"}),
        encrypted_case(header={"typ": "JOSE"}),
        encrypted_case(header={"typ": "application/JWT"}),
        encrypted_case(header={"iss": ISSUER, "aud": CLIENT, "sub": SUBJECT}),
        encrypted_case(header={"x-trace": [1, {"y": None}]}),
        encrypted_case(header={"kid": "whichever"}),
        encrypted_case("ECDH-ES", "A128GCM", {"kid": "ours"}, keys=lambda: named("ours")),
        encrypted_case("ECDH-ES", "A128GCM", keys=lambda: named("ours")),
        encrypted_case(enc="A256GCM", keys=only),
        encrypted_case(keys=lambda: DecryptionKeys(*(private_key("RSA", nth) for nth in (6, 7, 5)))),  # type: ignore[arg-type]
        encrypted_case(inner=Case(alg="ES512")),
        encrypted_case(inner=Case(claims={"photo": "A" * 300_000})),
    ],
)
async def test_what_the_specifications_leave_to_the_provider_makes_no_difference(case: Case) -> None:
    """Repeated claims, media types, members that nobody knows, one key of several, a long content."""
    assert await code_of(case) == ""


async def test_the_login_holds_the_token_that_was_signed() -> None:
    """It is the proof, which others can verify; the answer stays as it came."""
    case = encrypted_case()
    tokens = case.tokens
    login = await case.verifier.verify(tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    assert login.id_token == Case().token
    assert login.tokens.id_token == tokens.id_token
    assert login.id_token.count(".") == 2
    assert repr(login.id_token) == "<redacted>"


async def test_one_token_encrypted_twice_proves_one_login() -> None:
    """What counts is what was signed: anybody can encrypt it anew."""
    case = encrypted_case(inner=Case(claims={"ssn": ...}))
    verifier = case.verifier
    assert case.tokens.id_token != case.tokens.id_token
    await verifier.verify(case.tokens, expected=case.expectation, auth_req_id=Redacted(AUTH_REQ_ID))
    with pytest.raises(IdTokenRejected) as caught:
        await verifier.verify(case.tokens, expected=case.expectation, auth_req_id=Redacted("another"))
    assert caught.value.code == "id_token_replayed"


async def test_a_wrong_key_and_a_changed_token_are_told_alike() -> None:
    """The difference would tell somebody who sends many tokens what the key makes of each."""
    wrong = await refusal(encrypted_case(keys=lambda: DecryptionKeys(private_key("RSA", 6))))  # type: ignore[arg-type]
    changed = await refusal(encrypted_case(twist=lambda token: token[:-6] + "AAAAAA"))
    assert str(wrong) == str(changed)
    assert list(leaks(wrong, encrypted_case().token)) == []


def test_a_bomb_is_not_inflated() -> None:
    """A hundred megabytes in a hundred kilobytes cost what they look like."""
    bomb = zlib.compress(bytes(100 * 1024 * 1024))[2:-4]
    case = encrypted_case(enc="A128GCM", header={"zip": "DEF"}, content=lambda _: bomb)
    token, keys = str(case.token), case.decryption
    tracemalloc.start()
    try:
        with pytest.raises(IdTokenRejected) as caught:
            opened(token, keys, 1024 * 1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.claim == "zip"
    assert peak < 1024 * 1024


def test_a_token_of_the_longest_size_is_opened() -> None:
    """And one that is longer is not looked at."""
    case = encrypted_case(inner=Case(claims={"photo": "A" * 700_000}))
    token, keys = str(case.token), case.decryption
    assert opened(token, keys, len(token))[0] == Case(claims={"photo": "A" * 700_000}).token
    with pytest.raises(IdTokenRejected) as caught:
        opened(token, keys, len(token) - 1)
    assert caught.value.code == "oversized"


def test_a_password_of_a_billion_rounds_costs_nothing() -> None:
    """PBES2 is refused by its name, before its rounds are read."""
    case = encrypted_case("PBES2-HS512+A256KW", kind="RSA", header={"p2s": "AAAA", "p2c": 10**9})
    token, keys = str(case.token), case.decryption
    began = time.thread_time()
    with pytest.raises(IdTokenRejected):
        opened(token, keys, 1024 * 1024)
    assert time.thread_time() - began < 0.1


def test_keys_are_an_object_of_their_own() -> None:
    """A key that is passed bare is refused where it is passed."""
    with pytest.raises(UsageError) as caught:
        make_verifier(FakeTransport(), decryption=private_key("RSA", 5))
    assert caught.value.code == "decryption_keys"


async def test_a_plain_token_passes_beside_keys() -> None:
    """A client that can decrypt still takes what is signed only: whether to encrypt is the provider's to say."""
    assert await code_of(evolve(Case(), decryption=only())) == ""
