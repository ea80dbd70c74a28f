"""DPoP: tokens that are bound to a key of this client, and a proof of that key with each request.

1. Each request carries a new proof, retries included.
2. A server's nonce is remembered for its origin. Every answer may bring the next one.
3. One key per client, and the same in each of its processes: a login that another process goes on with is still bound
   to it, and nothing need be stored.

Spec: RFC 9449.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.util import json_b64encode, urlsafe_b64encode

from idura_ciba.credentials.around import Around
from idura_ciba.credentials.client_auth import ClientAuth, Credentials
from idura_ciba.credentials.signing_key import KeyInput, read_signing_key, sign_jwt, threads_for
from idura_ciba.errors import UsageError

__all__ = ["DPoP", "brings_nonce"]

#: The order of P-256 (FIPS 186-4 appendix D.1.2.3).
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: RFC 9449 section 8.1, with a bound: a nonce goes into each proof, and proofs into a header field.
_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}")
#: RFC 7638 section 3.2 and RFC 8037 section 2: what makes up a public key, and nothing else.
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")


class DPoP(Around):
    """Binds the tokens of logins to a key, beside any client authentication: `DPoP(PrivateKeyJwt(...))`.

    A provider that knows DPoP then issues tokens that are of no use without the key. An answer with other tokens is
    refused: `token_unbound`, `token_other_key`.

    Args:
        auth: How the client proves itself.
        key: The private key, as for `PrivateKeyJwt`. None: one for ES256 that is derived from the client's credential,
            the same in each process.
        alg: As for `PrivateKeyJwt`.

    Raises:
        UsageError: The key cannot be used. The error does not contain it.

    Attributes:
        auth: As passed.
        proof_alg: The algorithm of the proofs.
        thumbprint: The key's (RFC 7638), by which tokens name it in `cnf`.

    Spec: RFC 9449.
    """

    __slots__ = ("_header", "_key", "_nonces", "proof_alg", "thumbprint")

    def __init__(self, auth: ClientAuth, *, key: KeyInput | None = None, alg: str | None = None) -> None:
        loaded = read_signing_key(_derived(auth) if key is None else key)
        del key  # before anything can fail: crash reports show the variables of a frame
        if isinstance(loaded, UsageError):
            raise loaded
        super().__init__(auth)
        self._key = loaded.key
        self.proof_alg: str = loaded.choose_alg(alg)
        self.thumbprint: str = loaded.key.thumbprint()
        public: Mapping[str, object] = {**loaded.key.as_dict(private=False)}
        jwk = {name: public[name] for name in _PUBLIC if name in public}
        self._header = json_b64encode({"typ": "dpop+jwt", "alg": self.proof_alg, "jwk": jwk})
        self._nonces: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show what is public."""
        return f"DPoP({self.auth!r}, alg={self.proof_alg!r})"

    @property
    def signing_threads(self) -> int:
        """One for each core for an RSA key, else as for the client authentication; P-256 takes microseconds."""
        return max(super().signing_threads, threads_for(self._key.key_type))

    @property
    def confirmation(self) -> Mapping[str, str]:
        """The key, and what else the tokens are bound to."""
        return {**super().confirmation, "jkt": self.thumbprint}

    def credentials(self, *, issuer: str, endpoint: str, now: float, jti: str) -> Credentials:
        """Those of the client authentication, and a proof; see `ClientAuth.credentials`."""
        made = super().credentials(issuer=issuer, endpoint=endpoint, now=now, jti=jti)
        # A name of its own: a server may remember proofs and assertions together.
        proof = self.proof("POST", endpoint, now=now, jti=f"{jti}-dpop")
        return Credentials(made.parameters, {**made.headers, "DPoP": proof})

    def proof(self, method: str, url: str, *, now: float, jti: str, access_token: str | None = None) -> str:
        """Prove the key for one request.

        Args:
            method: The HTTP method.
            url: Where the request goes.
            now: Wall-clock seconds since the epoch.
            jti: Unique for each proof.
            access_token: Sent with the request, where one is; see `access`.

        Returns:
            The value of the header field `DPoP`.

        Spec: RFC 9449 section 4.2.
        """
        claims: dict[str, object] = {"jti": jti, "htm": method, "htu": re.split("[?#]", url)[0], "iat": int(now)}
        if nonce := self._nonces.get(_origin(url)):
            claims["nonce"] = nonce
        if access_token is not None:
            claims["ath"] = urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()).decode()
        return sign_jwt(self._header, claims, self.proof_alg, self._key)

    def access(self, method: str, url: str, *, now: float, jti: str, access_token: str) -> Credentials:
        """Return the header fields of a request with an access token; the arguments are those of `proof`.

        Spec: RFC 9449 section 7.1.
        """
        proof = self.proof(method, url, now=now, jti=jti, access_token=access_token)
        return Credentials(headers={"Authorization": f"DPoP {access_token}", "DPoP": proof})

    def learn(self, url: str, headers: Mapping[str, str]) -> None:
        """Remember the nonce that an answer from this URL brings, if it brings one.

        Args:
            url: Where the request went.
            headers: The answer's, by lower-case name.

        Spec: RFC 9449 sections 8 and 8.2.
        """
        if brings_nonce(headers):
            self._nonces[_origin(url)] = headers["dpop-nonce"]


def brings_nonce(headers: Mapping[str, str]) -> bool:
    """Whether an answer with these header fields, by lower-case name, brings a usable nonce."""
    return _NONCE.fullmatch(headers.get("dpop-nonce", "")) is not None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _derived(auth: ClientAuth) -> ec.EllipticCurvePrivateKey:
    """A key that only a holder of the credential can derive."""
    # Twice the bits of the order, so that no number is likelier than another (FIPS 186-5 appendix A.2.1).
    digits = auth.derive_key(b"DPoP key, first half") + auth.derive_key(b"DPoP key, second half")
    return ec.derive_private_key(int.from_bytes(digits) % (P256_ORDER - 1) + 1, ec.SECP256R1())
