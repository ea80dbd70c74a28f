"""Tests of the whole client inside an application that is busy, blocked or broken: nothing of that costs a login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba import CibaClient, PrivateKeyJwt
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import private_key, swede, swedish_number


def rsa_auth() -> PrivateKeyJwt:
    """A client whose signatures take a while."""
    pem = private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKeyJwt("urn:my:app", pem)


async def test_a_full_default_executor_delays_no_poll_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """RSA signatures are made on threads of our own."""
    loop = asyncio.get_running_loop()
    real: Callable[..., asyncio.Future[Any]] = loop.run_in_executor

    def full(executor: Executor | None, *call: Any) -> asyncio.Future[Any]:
        return loop.create_future() if executor is None else real(executor, *call)

    monkeypatch.setattr(loop, "run_in_executor", full)
    auth = rsa_auth()
    idura = SimulatedIdura(seed=1)
    idura.register_client("urn:my:app", jwks=auth.public_jwks())
    idura.script(swedish_number(1), Script.approve(after=8))
    transport = MemoryTransport(idura, clock=virtual_clock())
    async with CibaClient(idura.issuer, auth, transport=transport, clock=virtual_clock()) as ciba:
        outcome = await (await ciba.start(swede(1))).outcome()
    assert outcome.authentication is not None
    assert loop.time() == 9.0
