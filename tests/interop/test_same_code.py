"""The same lines of a user's code at the simulator and at three real providers; only the settings differ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import frozen
from joserfc.jwk import ECKey, RSAKey

from idura_ciba import EidRequest
from idura_ciba.ping import PingCounts, PingReceiver, aiohttp_handler
from idura_ciba.simulator import Rules, Script, SimulatedIdura, SimulatorServer
from tests.certificates import issue, server_context
from tests.interop.visits import RealProvider, ask, call, running, trusting
from tests.logins import OTHER_SWEDE, SWEDE, swedish
from tests.pages import example

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.sockets]

AUTHORITY = issue("authority")
SERVER, MINE = issue("127.0.0.1", nth=1, by=AUTHORITY), issue("client", nth=2, by=AUTHORITY)
RSA, DECRYPTING, P256 = RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-256")
YES, NO = ask("approve-after-1@same-code"), ask("deny-after-1@same-code")


@frozen
class Place:
    """A provider, and what one has to know of it.

    Attributes:
        issuer: Its identifier.
        settings: What `CibaClient` is given.
        says_yes: Somebody who approves.
        says_no: Somebody who declines.
    """

    issuer: str
    settings: Mapping[str, Any]
    says_yes: EidRequest
    says_no: EidRequest


@asynccontextmanager
async def at_the_simulator(_: Path) -> AsyncIterator[Place]:
    """Idura's stand-in."""
    idura = SimulatedIdura(seed=1, interval=1, rules=Rules(userinfo="plain"))
    idura.script(SWEDE, Script.approve(after=1))
    idura.script(OTHER_SWEDE, Script.deny(after=1))
    found = settings("idura", pem(RSA))
    idura.register_client("my-client", jwks=found["client_auth"].public_jwks())
    async with SimulatorServer(idura):
        yield Place(idura.issuer, found, swedish(), swedish(OTHER_SWEDE))


@asynccontextmanager
async def at_a_plain_provider(folder: Path) -> AsyncIterator[Place]:
    """Nothing is demanded."""
    with running("plain", folder) as provider:
        found = settings("plain", pem(P256))
        await register(
            provider,
            found,
            token_endpoint_auth_signing_alg="ES256",
            id_token_signed_response_alg="ES256",
        )
        yield Place(provider.issuer, found, YES, NO)


@asynccontextmanager
async def at_a_bank(folder: Path) -> AsyncIterator[Place]:
    """Everything is."""
    server, authority = SERVER.write(folder / "server.pem"), folder / "authority.pem"
    authority.write_text(AUTHORITY.certificate)
    with trusting(authority), running("fapi", folder, server, authority) as provider:
        found = settings("bank", pem(RSA), MINE.certificate, MINE.key, provider.mtls)
        await register(
            provider,
            found,
            token_endpoint_auth_signing_alg="PS256",
            tls_client_certificate_bound_access_tokens=True,
        )
        yield Place(provider.issuer, found, YES, NO)


@asynccontextmanager
async def where_it_encrypts_and_pings(folder: Path) -> AsyncIterator[Place]:
    """It says everything to this client only, and says when."""
    pings = PingReceiver()
    authority = folder / "authority.pem"
    authority.write_text(AUTHORITY.certificate)

    async def receive(request: web.Request) -> web.StreamResponse:
        answer = await aiohttp_handler(pings)(request)
        answer.force_close()  # or TLS would be open still when this loop ends
        return answer

    app = web.Application()
    app.router.add_post("/ciba/ping", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(SERVER, folder)).start()
        with running("closed", folder, environ={"NODE_EXTRA_CA_CERTS": str(authority)}) as provider:
            found = settings("closed", pem(RSA), pem(DECRYPTING), pings)
            await register(
                provider,
                found,
                backchannel_client_notification_endpoint="https://{}:{}/ciba/ping".format(*runner.addresses[0]),
                id_token_encrypted_response_alg="RSA-OAEP-256",
                id_token_encrypted_response_enc="A256GCM",
                userinfo_signed_response_alg="RS256",
                userinfo_encrypted_response_alg="RSA-OAEP-256",
                userinfo_encrypted_response_enc="A256GCM",
            )
            yield Place(provider.issuer, found, YES, NO)
        assert pings.counts == PingCounts(accepted=1)
    finally:
        await runner.cleanup()


def settings(name: str, *arguments: object) -> Mapping[str, Any]:
    """Those of the page."""
    found: Mapping[str, Any] = example("anywhere_settings")[name](*arguments)
    return found


def pem(key: RSAKey | ECKey) -> str:
    """A private key as a file holds it."""
    return key.as_pem(private=True).decode()


async def register(provider: RealProvider, found: Mapping[str, Any], **metadata: object) -> None:
    """Tell the provider of the client."""
    jwks = getattr(found["client_auth"], "auth", found["client_auth"]).public_jwks()
    if "decryption_keys" in found:
        jwks = {"keys": [*jwks["keys"], *found["decryption_keys"].public_jwks()["keys"]]}
    known = {"client_id": "my-client", "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, **metadata}
    async with aiohttp.ClientSession(provider.issuer) as http:
        await call(http, "POST", "/__clients", known)


@pytest.mark.parametrize("at", [at_the_simulator, at_a_plain_provider, at_a_bank, where_it_encrypts_and_pings])
@pytest.mark.parametrize("says_yes", [True, False], ids=["yes", "no"])
async def test_the_lines_of_the_page_find_out_who_it_is(
    tmp_path: Path, at: Callable[[Path], AbstractAsyncContextManager[Place]], *, says_yes: bool
) -> None:
    """Who says yes is known by what the provider calls them, and who says no is nobody."""
    who_is_it = example("anywhere")["who_is_it"]
    async with at(tmp_path) as place:
        found = await who_is_it(place.issuer, place.settings, place.says_yes if says_yes else place.says_no)
    assert (found is not None) is says_yes
    assert found in {None, "approve-after-1@same-code"} or at is at_the_simulator
