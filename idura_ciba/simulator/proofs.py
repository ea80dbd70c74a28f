"""Proofs of DPoP (RFC 9449), as this provider checks and demands them.

Rules:

1. A proof is one JWT of type `dpop+jwt`, signed by the public key in its own header, for this method and this URL, not
   older than `MAX_AGE`, and accepted once (RFC 9449 section 4.3).
2. Where nonces are demanded, each answer brings the present one. It lasts for a while, and so does the one before it.
3. An order that was placed with a proof is the key's: no other key gets its tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba.simulator.clients import KEY_ALGORITHMS, Seen, Signatures
from idura_ciba.simulator.messages import Refusal, SimRequest

__all__ = ["Proofs"]

#: Seconds: how old a proof may be (RFC 9449 section 11.1: "seconds or minutes").
MAX_AGE = 60.0
_SIGNATURES = Signatures(KEY_ALGORITHMS)
_KINDS: dict[object, type[ECKey | OKPKey | RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}


class Proofs:
    """Checks proofs of DPoP.

    Args:
        seen: Counts what was decided.
        nonces: Seconds for which a nonce is the present one; 0 demands none.
        tolerance: Seconds by which a client's clock may be off.
        seed: Nonces follow from it.
    """

    def __init__(self, seen: Counter[str], *, nonces: float, tolerance: float, seed: int) -> None:
        self._counted = seen
        self._nonces = nonces
        self._tolerance = tolerance
        self._seed = f"{seed}".encode()
        self._seen = Seen(keep=MAX_AGE + 2 * tolerance)

    def headers(self, now: float) -> dict[str, str]:
        """What each answer brings."""
        return {"DPoP-Nonce": self._nonce(now)} if self._nonces else {}

    def check(
        self, request: SimRequest, urls: Collection[str], now: float, *, access_token: str | None = None
    ) -> str | None:
        """Return the thumbprint of the key that is proved, or None without a proof.

        Args:
            request: What arrived.
            urls: The addresses that its endpoint has.
            now: The provider's wall clock.
            access_token: What the request brings, whose hash the proof must name; None: it brings none.

        Raises:
            Refusal: `invalid_dpop_proof`, or `use_dpop_nonce` with the nonce to use.
        """
        proof = request.headers.get("dpop")
        if proof is None:
            return None
        try:
            key, claims = _open(proof)
            self._check_claims(claims, request.method, urls, access_token, now)
        except _Unconvincing as reason:
            self._counted["refused"] += 1
            raise Refusal("invalid_dpop_proof", str(reason)) from None
        if self._nonces and claims.get("nonce") not in {self._nonce(now), self._nonce(now - self._nonces)}:
            self._counted["nonce demanded"] += 1
            raise Refusal("use_dpop_nonce", "the proof needs the nonce of this server")
        jkt = key.thumbprint()
        if not self._seen.add(f"{jkt}\0{claims['jti']}", now):
            self._counted["replayed"] += 1
            raise Refusal("invalid_dpop_proof", "the proof was used before")
        self._counted["accepted"] += 1
        return jkt

    def _check_claims(
        self, claims: dict[str, Any], method: str, urls: Collection[str], access_token: str | None, now: float
    ) -> None:
        if not isinstance(claims.get("jti"), str) or not claims["jti"]:
            raise _Unconvincing("the proof needs jti")
        if claims.get("htm") != method or claims.get("htu") not in urls:
            raise _Unconvincing("htm and htu must be those of the request")
        if access_token is not None and claims.get("ath") != _hash(access_token):
            raise _Unconvincing("ath must be the hash of the access token")
        issued = claims.get("iat")
        if isinstance(issued, bool) or not isinstance(issued, int | float):
            raise _Unconvincing("the proof needs iat")
        if not now - MAX_AGE - self._tolerance <= issued <= now + self._tolerance:
            raise _Unconvincing("the proof is too old, or from the future")

    def _nonce(self, now: float) -> str:
        period = f"{now // self._nonces:.0f}".encode()
        return hmac.digest(self._seed, period, "sha256").hex()[:32]


class _Unconvincing(Exception):  # noqa: N818 - a verdict, not an error
    """Why a proof is refused; a constant text."""


def _hash(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _open(proof: str) -> tuple[ECKey | OKPKey | RSAKey, dict[str, Any]]:
    """The key in the header, which has signed, and the claims."""
    try:
        signed = jws.extract_compact(proof.encode("ascii"))
        header = signed.headers()
        jwk = header["jwk"]
        is_public = {"d", "k", "p", "q"}.isdisjoint(jwk)
        key = _KINDS[jwk["kty"]].import_key(jwk)
        good = jws.validate_compact(signed, key, registry=_SIGNATURES)
        claims = json.loads(signed.payload)
    except Exception:  # noqa: BLE001 - joserfc raises far more than its own errors for hostile tokens
        raise _Unconvincing("the proof cannot be read") from None
    if header.get("typ") != "dpop+jwt" or not is_public:
        raise _Unconvincing("the header of the proof needs its typ and a public jwk")
    if not good or not isinstance(claims, dict):
        raise _Unconvincing("the signature of the proof is wrong")
    return key, claims
