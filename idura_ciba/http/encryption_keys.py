"""The provider's key that requests are encrypted for, cached.

A key is asked for before a login begins, when no phone rings yet: a set that cannot be had or has no such key is an
error. Afterwards the known key serves, also while a newer one cannot be had.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial

from idura_ciba.aio.single_flight import SingleFlight
from idura_ciba.credentials.request_object import EncryptionKey, RequestSigner
from idura_ciba.errors import CibaError, RemoteProtocolError
from idura_ciba.http.delivery import fetch
from idura_ciba.http.provider import DOCUMENT_HEADERS, MAX_DOCUMENT, Provider
from idura_ciba.protocol.documents import parse_jwks
from idura_ciba.protocol.http import HttpRequest, Transport

__all__ = ["EncryptionKeys"]

#: Seconds after which the key is looked up again, as with the keys of ID tokens.
MAX_AGE = 3600.0
#: Least seconds between two look-ups because the provider could not read a request: it may refuse each one.
COOL_DOWN = 30.0


class EncryptionKeys:
    """Finds the key for a client's requests.

    Args:
        provider: Knows where the keys are.
        signer: Chooses one.
        transport: Carries the requests.
    """

    def __init__(self, provider: Provider, signer: RequestSigner, transport: Transport) -> None:
        self._provider = provider
        self._signer = signer
        self._transport = transport
        self._found: EncryptionKey | None = None
        self._asked_at = -math.inf
        self._look_up = SingleFlight(self._fetch)

    async def find(self) -> EncryptionKey:
        """Return the key.

        Raises:
            TransportError: The provider's key set could not be fetched, even after several tries.
            RemoteProtocolError: It cannot be read, or has no key for this.
        """
        if self._found is not None and asyncio.get_running_loop().time() - self._asked_at < MAX_AGE:
            return self._found
        try:
            return await self._look_up.run()
        except CibaError:
            if self._found is None:
                raise
            return self._found

    def doubt(self) -> None:
        """The provider could not read a request: its key may be another one by now."""
        if asyncio.get_running_loop().time() - self._asked_at >= COOL_DOWN:
            self._look_up.begin()

    async def aclose(self) -> None:
        """Stop a look-up under way."""
        await self._look_up.aclose()

    async def _fetch(self) -> EncryptionKey:
        endpoints = await self._provider.endpoints()
        self._asked_at = asyncio.get_running_loop().time()
        request = HttpRequest("GET", endpoints.jwks_uri, DOCUMENT_HEADERS, max_body=MAX_DOCUMENT)
        told = partial(self._provider.observers.document, "jwks_uri", None)
        found = self._signer.choose(parse_jwks(await fetch(self._transport, request, told=told)))
        if found is None:
            alg = (self._signer.encryption or ("",))[0]
            raise RemoteProtocolError(
                f"requests are to be encrypted by {alg}, and the provider publishes no key for that",
                code="no_encryption_key",
                advice="ask the provider which encryption_alg it takes, or leave it out of SignedRequests",
            )
        self._found = found
        return found
