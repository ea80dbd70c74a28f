"""Tests of whose key tokens are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from idura_ciba.errors import IdTokenRejected
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.trust.binding import check_binding
from tests.fakes import b64, json_bytes

DPOP, CERTIFICATE = {"jkt": "our key"}, {"x5t#S256": "our certificate"}


def jwt(claims: object) -> str:
    """A JWT; nobody looks at its signature."""
    return f"{b64(b'{}')}.{b64(json_bytes(claims))}.{b64(b'signature')}"


def tokens(access: str | None = "opaque", kind: str | None = "DPoP") -> Tokens:
    """An answer with such an access token, of such a type."""
    return Tokens(Redacted("id token"), Redacted(access) if access else None, kind, None, {})


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize("access_token", ["opaque", "a.b.c", "å.å.å", jwt([]), jwt({"cnf": {"jkt": "our key"}})])
def test_tokens_that_are_ours_or_do_not_say_whose_they_are_pass(token_type: str, access_token: str) -> None:
    """An access token is the provider's own business; what looks like a JWT and is none too."""
    check_binding(tokens(access_token, token_type), {"cnf": {"jkt": "our key", "kid": "x"}}, DPOP)


@pytest.mark.parametrize("token_type", ["Bearer", "", None, "DPoP2"])
def test_a_token_that_is_not_bound_is_refused(token_type: str | None) -> None:
    """RFC 9449 section 5: the type says so. Without an access token there is nothing to bind."""
    with pytest.raises(IdTokenRejected) as caught:
        check_binding(tokens(kind=token_type), {}, DPOP)
    assert (caught.value.code, caught.value.claim) == ("token_unbound", "token_type")
    check_binding(tokens(None, token_type), {}, DPOP)
    check_binding(tokens(kind=token_type), {}, CERTIFICATE)


@pytest.mark.parametrize(
    ("access_token", "claims", "confirmation"),
    [
        (jwt({"cnf": {"jkt": "another"}}), {}, DPOP),
        (jwt({"cnf": {"jkt": None}}), {}, DPOP),
        ("opaque", {"cnf": {"jkt": "another"}}, DPOP),
        (jwt({"cnf": {"x5t#S256": "another"}}), {}, CERTIFICATE),
        ("opaque", {"cnf": {"x5t#S256": "another"}}, CERTIFICATE),
        (jwt({"cnf": {"jkt": "our key", "x5t#S256": "another"}}), {}, {**DPOP, **CERTIFICATE}),
    ],
)
def test_a_token_of_another_key_is_refused(
    access_token: str, claims: Mapping[str, Any], confirmation: Mapping[str, str]
) -> None:
    """Whichever token says so. The error says what to look at, and quotes nothing."""
    with pytest.raises(IdTokenRejected) as caught:
        check_binding(tokens(access_token), claims, confirmation)
    error = caught.value
    assert (error.code, error.claim) == ("token_other_key", "cnf")
    assert "same key and certificate" in error.advice
    assert "another" not in error.reason.replace("another key", "")


def test_a_key_of_a_kind_that_the_client_has_not_is_not_judged() -> None:
    """A session that was lent may have a certificate of its own, of which nothing is known here."""
    check_binding(tokens(jwt({"cnf": {"x5t#S256": "another"}})), {}, DPOP)
    check_binding(tokens(jwt({"cnf": {"jkt": "another"}}), "Bearer"), {"cnf": "odd"}, CERTIFICATE)
