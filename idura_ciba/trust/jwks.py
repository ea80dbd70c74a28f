"""The keys of one issuer, cached.

Rules:
1. A key is used only if it is an asymmetric signature key of acceptable strength; one bad key does not spoil the set.
2. That no known key will do means rotation, also where the issuer reuses a `kid` or names none: the set is fetched
   again at once, but at most once per `COOL_DOWN`, however many logins ask and however the fetch ends. Whoever comes
   during the pause waits for its end rather than losing a token that is issued only once. Where no key has the `kid`,
   the answer may be an old copy from a cache, so the set is fetched a few times.
3. For the same reason an answer without a usable key, whether an error page or an empty set, is asked for again for a
   few seconds. It never takes the place of keys that are known.
4. Keys are fetched when a login begins, so that its token does not wait for them. A set grows stale after `MAX_AGE`:
   it is fetched anew beside the logins, and until that succeeds the keys that the issuer did publish go on serving. A
   key endpoint that hangs costs nobody anything as long as they do.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import field, frozen
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idura_ciba.aio.clock import Clock
from idura_ciba.aio.single_flight import SingleFlight
from idura_ciba.errors import CibaError, IdTokenRejected, RemoteProtocolError, TransportError
from idura_ciba.http.delivery import fetch
from idura_ciba.http.provider import DOCUMENT_HEADERS, MAX_DOCUMENT, Provider
from idura_ciba.observe import Observers
from idura_ciba.protocol.documents import parse_jwks
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport

__all__ = ["JwksCache", "VerificationKey", "is_for_want_of_keys"]

#: Seconds between two fetches.
COOL_DOWN = 5.0
#: Fetches for a `kid` that no key has. Caches in front of key sets hold copies of some seconds.
FETCHES = 4
#: Seconds after which a withdrawn key is noticed.
MAX_AGE = 3600.0
#: RFC 7518 section 3.3.
MIN_RSA_BITS = 2048

#: The issuer publishes no such key; or this client has none, or not the one, that opens an encrypted token.
_WANT_OF_KEYS = frozenset({"id_token_key", "id_token_encrypted", "id_token_decryption"})

_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
#: The curves of ES256, ES384 and EdDSA; X25519 is for key agreement.
_CURVES = {"EC": {"P-256", "P-384", "P-521"}, "OKP": {"Ed25519", "Ed448"}}


@frozen
class VerificationKey:
    """One public key of the issuer. `alg` is the only algorithm it may be used with, where the issuer says so."""

    kid: str | None
    kty: str
    crv: str | None
    alg: str | None
    key: RSAKey | ECKey | OKPKey = field(repr=False)


def _any(_: VerificationKey) -> bool:
    return True


class JwksCache:
    """Finds the key for a `kid`.

    Args:
        provider: Knows where the keys are.
        transport: Carries the requests.
        clock: For rules 2 and 4.
        observers: Told of each request.
    """

    def __init__(
        self, provider: Provider, *, transport: Transport, clock: Clock, observers: Observers | None = None
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._observers = observers or Observers()
        # Whoever was the first to need the fetch that is under way or about to begin; for observers.
        self._cause: str | None = None
        self._keys: Sequence[VerificationKey] = ()
        self._fetched_at = self._ended_at = -math.inf
        self._refresh = SingleFlight(self._fetch)

    async def find(
        self, kid: str | None, will_do: Callable[[VerificationKey], bool] = _any, *, cause: str | None = None
    ) -> Sequence[VerificationKey]:
        """The keys that may have signed a token with this `kid`; all of them when the token names none.

        Args:
            kid: As the token spells it.
            will_do: Whether a key fits and its signature holds. Where no known key will do, the set is fetched anew.
            cause: The name of the transaction that asks.

        Empty when the issuer publishes no such key, after fetches made for this question.

        Raises:
            TransportError: The set could not be fetched, and none of the keys known before will do.
            RemoteProtocolError: It cannot be read, in the same way.
        """
        asked_at = self._clock.monotonic()
        self.warm(cause)
        found, fetches = self._matching(kid, will_do), 0
        while not found and fetches < (1 if self._matching(kid, _any) else FETCHES):
            self._cause = self._cause or cause
            await self._refresh.run()
            # One that was under way may have begun before the token was signed.
            fetches += self._fetched_at >= asked_at
            found = self._matching(kid, will_do)
        return found

    def warm(self, cause: str | None = None) -> None:
        """Have the keys fetched, unless they are known and not stale; waits for nothing and raises nothing."""
        now = self._clock.monotonic()
        if now - self._fetched_at > MAX_AGE and now - self._ended_at >= COOL_DOWN:
            self._cause = self._cause or cause
            self._refresh.begin()

    async def aclose(self) -> None:
        """Stop a fetch under way."""
        await self._refresh.aclose()

    def _matching(self, kid: str | None, will_do: Callable[[VerificationKey], bool]) -> Sequence[VerificationKey]:
        # A key without a kid cannot be told from the one that is meant; one with another kid can.
        return [key for key in self._keys if (kid is None or key.kid in {kid, None}) and will_do(key)]

    async def _fetch(self) -> None:
        await asyncio.sleep(max(0.0, self._ended_at + COOL_DOWN - self._clock.monotonic()))
        endpoints = await self._provider.endpoints()
        # Stamped when it begins: an answer under way may be older than the question of whoever joins it.
        began_at = self._clock.monotonic()
        request = HttpRequest("GET", endpoints.jwks_uri, DOCUMENT_HEADERS, max_body=MAX_DOCUMENT)
        told = partial(self._observers.document, "jwks_uri", self._cause)
        try:
            response = await fetch(self._transport, request, is_answer=_holds_keys, told=told)
        except TransportError:
            self._provider.doubt()
            raise
        finally:
            self._ended_at, self._cause = self._clock.monotonic(), None
        if response.status >= 300:  # noqa: PLR2004 - the class of status codes
            self._provider.doubt()
        self._keys = _read(response) or self._keys
        self._fetched_at = began_at


def is_for_want_of_keys(error: CibaError) -> bool:
    """Whether a token was refused and nothing is known of it yet: for want of the issuer's keys, or of the client's."""
    return isinstance(error, TransportError | RemoteProtocolError) or (
        isinstance(error, IdTokenRejected) and error.code in _WANT_OF_KEYS
    )


def _read(response: HttpResponse) -> Sequence[VerificationKey]:
    return [key for member in parse_jwks(response) if (key := _import(member)) is not None]


def _holds_keys(response: HttpResponse) -> bool:
    with suppress(RemoteProtocolError):
        return bool(_read(response))
    return False


def _import(member: Mapping[str, Any]) -> VerificationKey | None:
    """One key of a set, or None where rule 1 excludes it."""
    kty, crv, alg, kid = (member.get(name) for name in ("kty", "crv", "alg", "kid"))
    operations = member.get("key_ops")
    if (
        not isinstance(kty, str)
        or kty not in _KINDS
        or member.get("use", "sig") != "sig"
        or (operations is not None and not (isinstance(operations, list) and "verify" in operations))
        or not isinstance(alg, str | None)
        or not isinstance(kid, str | None)
        or not isinstance(crv, str | None)
        or (kty in _CURVES and crv not in _CURVES[kty])
    ):
        return None
    # Only what a public key of this kind consists of: joserfc must not trip over, or act on, anything else.
    names = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}[kty]
    try:
        key = _KINDS[kty].import_key({name: member[name] for name in names})
        if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
            return None
    except Exception:  # noqa: BLE001 - joserfc and cryptography raise a dozen kinds; all mean that this key is bad
        return None
    return VerificationKey(kid, kty, crv, alg, key)
