"""Tests of what the simulated provider issues, as a client reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import RSAKey

from idura_ciba.simulator.grants import TOKEN_LIFETIME, Grant
from idura_ciba.simulator.messages import Refusal
from idura_ciba.simulator.orders import Rules
from idura_ciba.simulator.token_service import TokenService
from idura_ciba.simulator.tokens import SigningKeys
from tests.fakes import unb64

NOW, ISSUER, CLIENT = 1_767_225_600.0, "https://simulator.idura.broker", "urn:my:app"
KEY = RSAKey.generate_key(2048)


def service(**rules: Any) -> TokenService:
    """One with its own grants."""
    return TokenService(SigningKeys("ES256", None), lambda: Rules(**rules), 1)


def login(**bound_to: str) -> Grant:
    """A login whose ID token is a minute old."""
    return Grant(
        CLIENT, {"sub": "x", "iss": ISSUER, "aud": CLIENT, "iat": int(NOW) - 60, "exp": int(NOW) + 60}, bound_to
    )


def claims(token: str) -> dict[str, Any]:
    """What a JWT says."""
    said: dict[str, Any] = json.loads(unb64(token.split(".")[1]))
    return said


def test_an_access_token_says_which_keys_it_is_bound_to_and_is_opaque_otherwise() -> None:
    """Only a key of DPoP makes it one of another type."""
    plain = json.loads(service().issue(login(), "name", ISSUER, NOW))
    assert (plain["token_type"], plain["access_token"], plain["expires_in"]) == ("Bearer", "name", TOKEN_LIFETIME)
    for bound_to, kind in (({"jkt": "k"}, "DPoP"), ({"x5t#S256": "c"}, "Bearer")):
        bound = json.loads(service().issue(login(**bound_to), "name", ISSUER, NOW))
        assert (bound["token_type"], claims(bound["access_token"])["cnf"]) == (kind, bound_to)


@pytest.mark.parametrize("rotates", [False, True])
def test_refreshed_tokens_are_of_the_same_login_later_and_bound_to_what_is_proved_now(rotates: bool) -> None:
    """A client may have another key by then."""
    tokens = service(refresh_tokens="rotated" if rotates else "kept")
    first = json.loads(tokens.issue(login(jkt="old"), "name", ISSUER, NOW - 60))
    fresh = json.loads(tokens.refresh(first["refresh_token"], CLIENT, {"jkt": "new"}, ISSUER, NOW))
    assert claims(fresh["id_token"]) == {**claims(first["id_token"]), "iat": int(NOW), "exp": int(NOW) + 120}
    assert claims(fresh["access_token"])["cnf"] == {"jkt": "new"}
    assert ("refresh_token" in fresh) is rotates


def test_userinfo_is_plain_or_signed_and_encrypted_for_whoever_wants_it() -> None:
    """And tells nothing of the ID token that it is not about."""
    tokens = service(userinfo="plain")
    tokens.issue(login(), "name", ISSUER, NOW)
    assert tokens.userinfo("Bearer name", {}, ISSUER, NOW) == (b'{"sub":"x"}', {})
    tokens = service(userinfo="signed")
    tokens.encrypt_for(CLIENT, KEY.as_dict(private=False), ("RSA-OAEP-256", "A128GCM"))
    answer = json.loads(tokens.issue(login(), "name", ISSUER, NOW))
    body, fields = tokens.userinfo("Bearer name", {}, ISSUER, NOW)
    assert fields == {"Content-Type": "application/jwt"}
    for token, said in ((body.decode(), ISSUER), (answer["id_token"], ISSUER)):
        opened = jwe.decrypt_compact(token, KEY, algorithms=["RSA-OAEP-256", "A128GCM"]).plaintext or b""
        assert (claims(opened.decode())["iss"], claims(opened.decode())["sub"]) == (said, "x")
    tokens.encrypt_for(CLIENT, None, ("RSA-OAEP-256", "A128GCM"))
    assert claims(tokens.userinfo("Bearer name", {}, ISSUER, NOW)[0].decode())["aud"] == CLIENT


def test_where_tokens_open_nothing_none_is_remembered() -> None:
    """A crowd's would be many."""
    tokens = service()
    tokens.issue(login(), "name", ISSUER, NOW)
    with pytest.raises(Refusal):
        tokens.userinfo("Bearer name", {}, ISSUER, NOW)
