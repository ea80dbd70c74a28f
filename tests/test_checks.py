"""Tests of what a program can ask its provider before it asks people; `tests/cli/test_checks.py` has each finding."""

from __future__ import annotations

import pytest

from idura_ciba import CibaClient, ClientSecretBasic, Denied, Endpoints, StateError, UsageError
from idura_ciba.checks import Finding, explained, problem
from idura_ciba.errors import DOCUMENTATION
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Fault, MemoryTransport, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import MakeClient, on


def levels(findings: tuple[Finding, ...]) -> dict[str, str]:
    """The level of each finding, by what it is about."""
    return {finding.text.partition(":")[0]: finding.level for finding in findings}


async def test_a_provider_that_is_well_has_no_problem(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With the credentials too, and nobody is asked."""
    async with make_ciba_client() as ciba:
        public, whole = await ciba.check(), await ciba.check(probe=True)
    assert set(levels(whole).values()) == {"ok"}
    assert levels(whole).keys() - levels(public).keys() == {"probe"}
    assert {"discovery", "keys", "token_endpoint"} <= levels(public).keys()
    assert simulated_idura.ledger.orders == []


async def test_what_is_wrong_is_told_and_not_raised(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Credentials that the provider does not know, and a provider that is away; each time the documents are fetched."""
    nobody, clock = ClientSecretBasic("urn:nobody", "hush"), virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    async with CibaClient(simulated_idura.issuer, nobody, transport=transport, clock=clock) as ciba:
        assert levels(await ciba.check(probe=True))["probe"] == "problem"
    async with make_ciba_client() as ciba:
        assert "problem" not in levels(await ciba.check()).values()
        simulated_idura.faults.append(on("discovery", Fault.refuse_connection()))
        (*_, found) = await ciba.check()
        assert found.level == "problem"
        assert "the connection was refused" in found.text.lower()
        assert "nothing was sent" in found.text


async def test_endpoints_that_were_given_need_no_discovery(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """They are told as given."""
    base = simulated_idura.issuer
    endpoints = Endpoints(
        backchannel_authentication_endpoint=f"{base}/ciba/bc-authorize",
        token_endpoint=f"{base}/oauth2/token",
        jwks_uri=f"{base}/.well-known/jwks",
    )
    async with make_ciba_client(endpoints=endpoints) as ciba:
        found = await ciba.check(probe=True)
    assert set(levels(found).values()) == {"ok"}
    assert "not needed" in next(each.text for each in found if each.text.startswith("discovery"))
    assert f"token_endpoint: {base}/oauth2/token; as given" in {each.text for each in found}


async def test_a_closed_client_checks_nothing(make_ciba_client: MakeClient) -> None:
    """It could not ask anybody either."""
    ciba = make_ciba_client()
    await ciba.close()
    with pytest.raises(StateError):
        await ciba.check()


def test_an_error_is_its_sentences_and_then_the_providers_and_then_its_page() -> None:
    """The provider's own words come in quotation marks, on one line, whatever is in them."""
    error, page = Denied("the person said no", phone="The prompt is gone"), f"{DOCUMENTATION}errors/#denied"
    assert explained(error) == f"The person said no. The prompt is gone. [denied] See {page}"
    error.error_description = Redacted("user \x1b[31mdeclined\nit")
    assert explained(error).endswith(rf'[denied] The provider says: "user \x1b[31mdeclined\nit" See {page}')
    assert explained(UsageError("wrong")) == f"Wrong. [usage] See {DOCUMENTATION}errors/#usage"
    assert problem(error) == Finding("problem", explained(error))
