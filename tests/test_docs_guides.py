"""Tests of the tutorial and the how-to guides: their programs run."""

from __future__ import annotations

from pathlib import Path

import pytest

from idura_ciba import ClientSecretBasic, FinalPoll, HazardAware, State, TransportError
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura, SimulatorServer
from idura_ciba.testing import virtual_clock
from tests.certificates import issue, server_context
from tests.logins import SWEDE, MakeClient, swedish
from tests.pages import example

NORWEGIAN = "01023990128"


async def test_the_program_of_the_tutorial(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """It says who is on the phone."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    said = await example("hello")["main"](make_ciba_client())
    assert said.endswith(" is on the phone; confirmed: True")


@pytest.mark.parametrize(
    ("script", "proved"),
    [
        (Script.approve(after=5, shares_number=True), True),
        (Script.approve(after=5, shares_number=False), False),
        (Script.deny(after=5), False),
    ],
)
async def test_the_norwegian_caller(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, script: Script, *, proved: bool
) -> None:
    """The words come first, and only a token with the number proves the person."""
    simulated_idura.script(NORWEGIAN, script)
    said: list[str] = []
    async with make_ciba_client() as ciba:
        assert await example("norwegian")["verify"](ciba, NORWEGIAN, said.append) is proved
    assert said[0].startswith("Open the BankID app, and choose: ")


async def test_the_norwegian_caller_twice(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """The second time, the bot says how long to wait, and sends nothing."""
    from idura_ciba import NorwegianBankID  # noqa: PLC0415 - as a user of the example would

    simulated_idura.script(NORWEGIAN, Script.never())
    said: list[str] = []
    async with make_ciba_client() as ciba:
        await ciba.start(NorwegianBankID(NORWEGIAN))
        assert await example("norwegian")["verify"](ciba, NORWEGIAN, said.append) is False
    assert said[0].startswith("They have a prompt already; ")
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("name", ["test_approval", "test_lost_answers"])
def test_the_guide_to_testing(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, name: str) -> None:
    """Its tests pass, on no other clock than the virtual one."""
    names = example("test_approval") | example("test_lost")
    names[name](simulated_idura, make_ciba_client)


def test_the_proxied_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the environment for proxies."""
    asked: list[bool] = []

    def transport(*, trust_env: bool) -> MemoryTransport:
        asked.append(trust_env)
        return MemoryTransport(SimulatedIdura(), clock=virtual_clock())

    names = example("proxied")
    monkeypatch.setitem(names["connect"].__globals__, "AiohttpTransport", transport)
    names["connect"]("https://acme.idura.broker", ClientSecretBasic("urn:a", "hush"))
    assert asked == [True]


async def test_the_choice_of_a_strategy(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """What was learned in one process is known in the next, and to others, and is not counted twice."""
    names = example("choice") | example("learned")
    auth = ClientSecretBasic("urn:a", "hush")
    async with names["connect"]("https://acme.idura.broker", auth):
        pass
    simulated_idura.script(SWEDE, Script.approve(after=5))
    first = HazardAware()
    async with make_ciba_client(strategy=FinalPoll(first)) as ciba:
        await ciba.authenticate(swedish())
    kept = names["keep"](first)
    next_ = names["begin"](kept)
    assert kept == names["keep"](next_) != names["keep"](HazardAware())
    other = HazardAware()
    names["look_at"](other, [kept, kept])
    assert names["keep"](other) == names["keep"](HazardAware())


@pytest.mark.sockets
@pytest.mark.parametrize("known", [True, False])
async def test_the_private_authority(tmp_path: Path, *, known: bool) -> None:
    """A server is trusted whose certificate it has issued, and no other."""
    authority, stranger = issue("authority"), issue("another authority", nth=9)
    file = tmp_path / "authority.pem"
    file.write_text((authority if known else stranger).certificate)
    idura = SimulatedIdura(seed=1, interval=1)
    idura.script(SWEDE, Script.approve())
    idura.register_client("urn:my:app", secret="hush")
    server = server_context(issue("127.0.0.1", nth=1, by=authority), tmp_path)
    verify = example("private_authority")["verify"]
    async with SimulatorServer(idura, tls=server):
        asked = verify(idura.issuer, ClientSecretBasic("urn:my:app", "hush"), str(file), swedish())
        if known:
            assert (await asked).state is State.APPROVED
        else:
            with pytest.raises(TransportError) as caught:
                await asked
            assert caught.value.code == "tls"
