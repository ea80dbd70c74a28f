"""Tests of the tenant on this machine."""

from __future__ import annotations

import pytest

from idura_ciba import CibaClient, ClientSecretBasic, Outcome, State, UsageError
from idura_ciba.cli.simulated import CLIENT_ID, SEED, known_phones, require_phone, require_phone_of, simulated_client
from idura_ciba.eids import EIDS
from idura_ciba.simulator import EIDS as PHONES
from idura_ciba.simulator import MemoryTransport, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock


@pytest.mark.sockets
async def test_the_client_is_let_in_over_http() -> None:
    """Server, client and new key fit together, and nothing of them stays behind."""
    idura = SimulatedIdura()
    async with simulated_client(idura) as client:
        await client.start(EIDS["freja"].ask(EIDS["freja"].somebody or ""))
        assert repr(client) == f"<CibaClient {idura.issuer} as urn:idura-ciba:cli, 1 pending>"
        assert idura.issuer.startswith("http://127.0.0.1:")
    assert idura.ledger.summary()["rejected_clients"] == 0


@pytest.mark.parametrize(
    ("eid", "number"),
    [
        ("se", "209801011231"),
        ("se", "209712310011"),
        ("se", "209602294564"),
        ("no", "01023990128"),
        ("no", "31123990199"),
        ("freja", "209602294564"),
    ],
)
def test_whoever_the_documentation_names_approves_soon(eid: str, number: str) -> None:
    """So that the first thing that a newcomer tries works; what people do later differs."""
    idura = SimulatedIdura(seed=SEED)
    idura.register_client(CLIENT_ID, secret="of a trial")
    options = {"call_initiator": "RP", "message": "Hej"} if eid == "se" else {}

    async def ask() -> Outcome:
        clock = virtual_clock()
        auth = ClientSecretBasic(CLIENT_ID, "of a trial")
        async with CibaClient(idura.issuer, auth, transport=MemoryTransport(idura, clock=clock), clock=clock) as client:
            login = await client.start(EIDS[eid].ask(number, **options), timeout=20)
            return await login.outcome()

    assert run_virtual(ask()).state is State.APPROVED


def test_the_people_of_trials_are_well_formed() -> None:
    """Their eIDs take their numbers, and no repr shows them."""
    options = {"se": {"call_initiator": "RP", "message": "Hej"}}
    for name in ("se", "no", "freja"):
        eid = EIDS[name]
        assert eid.somebody is not None
        assert eid.somebody in str(eid.ask(eid.somebody, **options.get(name, {})).login_hint)
        assert "2098" not in repr(eid)


def test_what_the_simulated_provider_does_not_serve_is_said_before_it_is_asked() -> None:
    """With what it does serve; before there is a request, as far as that is known."""
    require_phone("urn:grn:authn:se:bankid", PHONES)
    require_phone_of(EIDS["se"], {}, PHONES)
    require_phone_of(EIDS["raw"], {"acr": "urn:grn:authn:no:bankid"}, PHONES)
    require_phone_of(EIDS["raw"], {}, PHONES)
    require_phone_of(None, {}, PHONES)
    for acr in (None, "urn:example:mitid", "urn:grn:authn:se:bankid urn:grn:authn:no:bankid"):
        with pytest.raises(UsageError, match="urn:grn:authn:se:frejaid") as refused:
            require_phone(acr, PHONES)
        assert refused.value.code == "simulate"
    with pytest.raises(UsageError):
        require_phone_of(EIDS["raw"], {"acr": "urn:example:mitid"}, PHONES)


def test_without_modules_the_phones_are_those_of_this_package() -> None:
    """In their order."""
    assert known_phones(None) == PHONES
