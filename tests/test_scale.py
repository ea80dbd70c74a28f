"""Ten thousand people at once, in memory and under the virtual clock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from idura_ciba import CibaClient, ClientSecretPost, EidRequest, FairScheduler, FinalPoll, Fixed, State
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

pytestmark = pytest.mark.unmeasured

CLIENT_ID, SECRET = "urn:my:app", "known to the simulator"
#: Made up by counting, so that they belong to nobody: no such day.
FIRST_NUMBER = 209999990000
STATES = {"approved": State.APPROVED, "denied": State.DENIED, None: State.EXPIRED}


def script_of(number: int) -> Script:
    """What the nth person does: most approve within a quarter of a minute, some say no, some never answer."""
    dice = random.Random(number)
    fate, after = dice.random(), dice.lognormvariate(1.5, 0.5)
    if fate < 0.03:
        return Script.never()
    return Script.deny(after=after) if fate < 0.15 else Script.approve(after=after)


async def log_everybody_in(people: int) -> tuple[list[str], dict[str, int]]:
    """All of them, 300 a second; checks every outcome against its script and returns the provider's log and books."""
    idura = SimulatedIdura(seed=1, signing_alg="ES256", expires_in=30)
    idura.register_client(CLIENT_ID, secret=SECRET)
    clock, rng = virtual_clock(), random.Random(1)
    transport = MemoryTransport(idura, clock=clock, latency=lambda d: (0.05 + d.random() / 5, 0.0))
    outcomes: Counter[State] = Counter()

    async def log_in(ciba: CibaClient, number: int) -> None:
        await asyncio.sleep(number / 300)
        ssn = str(FIRST_NUMBER + number)
        idura.script(ssn, script_of(number))
        transaction = await ciba.start(
            EidRequest(
                login_hint=f"sub:ssn:{ssn}",
                acr_values="urn:grn:authn:se:bankid",
                binding_message="Hello",
                authorization_details=({"type": "phoneAuth", "callInitiator": "RP"},),
                identity={("ssn",): ssn},
            )
        )
        outcome = await transaction.outcome()
        assert outcome.state is STATES[script_of(number).decision]
        assert outcome.authentication is None or outcome.authentication.claims["ssn"] == ssn
        outcomes[outcome.state] += 1

    async with CibaClient(
        idura.issuer,
        ClientSecretPost(CLIENT_ID, SECRET),
        transport=transport,
        clock=clock,
        rng=rng,
        strategy=FinalPoll(Fixed()),
        scheduler=FairScheduler(max_in_flight=2000),
        id_token_algorithms=("ES256",),
        observers=(),
    ) as ciba:
        await asyncio.gather(*(log_in(ciba, number) for number in range(people)))
    assert outcomes.total() == people
    return idura.ledger.lines(), idura.ledger.summary()


def test_ten_thousand_outcomes_are_as_scripted_and_nobody_is_slowed_down() -> None:
    """Every person's outcome is the scripted one, and the provider's books show a polite client."""
    _, books = run_virtual(log_everybody_in(10_000))
    assert books["orders"] == 10_000
    assert books["approved"] == books["delivered"] - books["denied"] - books["expired"]
    for fault in ("slow_downs", "overlapping", "polls_after_final", "replayed_jti", "collisions", "lost_approvals"):
        assert books[fault] == 0, fault


def test_the_same_seed_gives_the_same_log_twice() -> None:
    """To the millisecond of every poll."""
    first, second = (run_virtual(log_everybody_in(500)) for _ in range(2))
    assert first == second
    assert len(first[0]) == 501
