"""Tests of asking one for all, alone and in whole batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba import CibaClient, CibaError, State
from idura_ciba.batch import Journal, Result, verify_many
from idura_ciba.batch.outage import Outage
from idura_ciba.batch.slow_start import FEW, PROOF, SlowStart
from idura_ciba.errors import TransportError
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swedes, swedish_number

MakeClient = Callable[..., CibaClient]
OpenJournal = Callable[[CibaClient], Journal]


def refusal(code: str, status: int = 400) -> Fault:
    """An OAuth error."""
    return Fault.answer(status, {"Content-Type": "application/json"}, json.dumps({"error": code}).encode())


class Door:
    """What a provider does with requests, and how many came."""

    def __init__(self, idura: SimulatedIdura, fault: Callable[[Arrival], Fault | None], endpoint: str) -> None:
        self.asked = 0
        self.fault: Callable[[Arrival], Fault | None] = fault
        self._endpoint = endpoint
        idura.faults.append(self._meet)

    def _meet(self, arrival: Arrival) -> Fault | None:
        self.asked += arrival.endpoint == "bc-authorize"
        return self.fault(arrival) if arrival.endpoint == self._endpoint else None

    def open(self) -> None:
        """Let everything through, and count anew."""
        self.asked, self.fault = 0, lambda _arrival: None


async def run(client: CibaClient, people: Any, **options: Any) -> tuple[list[Result], CibaError | None]:
    """The results, and what ended the run."""
    results: list[Result] = []
    try:
        async for result in verify_many(client, people, clock=virtual_clock(), **options):
            results.append(result)  # noqa: PERF401 - those before the error count
    except CibaError as error:
        return results, error
    return results, None


# --- the client is not allowed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("invalid_client", 1),
        ("unauthorized_client", 1),
        ("invalid_scope", 1),
        ("unsupported_grant_type", 1),
        ("access_denied", 3),
        ("invalid_request", 3),
        ("invalid_binding_message", 3),
        ("a_code_of_their_own", 3),
    ],
)
async def test_a_client_that_is_refused_asks_a_few_and_later_all(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, code: str, most: int
) -> None:
    """Nobody has a result, nobody is in the journal, and the mended run asks everybody."""
    door = Door(simulated_idura, lambda _: refusal(code), "bc-authorize")
    async with make_ciba_client() as ciba:
        async with journal(ciba) as opened:
            results, error = await run(ciba, swedes(40), journal=opened)
            assert results == []
            assert getattr(error, "error", None) == code
            assert 1 <= door.asked <= most
            assert await opened.read(list) == []
        door.open()
        async with journal(ciba) as opened:
            results, error = await run(ciba, swedes(40), journal=opened)
    assert (len(results), error, door.asked) == (40, None, 40)


@pytest.mark.parametrize("fault", [Fault.answer(403), Fault.answer(302, {"Location": "https://elsewhere.example/"})])
async def test_a_gateway_that_turns_everybody_away_is_nobodys_refusal(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, fault: Fault
) -> None:
    """A firewall in front of the provider says nothing of a person."""
    door = Door(simulated_idura, lambda _: fault, "bc-authorize")
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        results, error = await run(ciba, swedes(40), journal=opened)
        assert (results, door.asked) == ([], 3)
        assert error is not None
        assert await opened.read(list) == []


@pytest.mark.parametrize("places", [1, 2, 100])
@pytest.mark.parametrize("refused", [(0,), (0, 1), (1, 2, 3), (0, 5, 6, 7)])
async def test_a_refusal_of_some_is_theirs(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, refused: tuple[int, ...], places: int
) -> None:
    """Once the provider has accepted somebody, the refusals are results, those before it included."""
    door = Door(
        simulated_idura, lambda _: refusal("access_denied") if door.asked - 1 in refused else None, "bc-authorize"
    )
    async with make_ciba_client() as ciba:
        results, error = await run(ciba, swedes(9), max_in_flight=places)
    assert error is None
    assert sum(result.state is State.REJECTED for result in results) == len(refused)
    assert len({result.key for result in results}) == 9


async def test_too_few_to_tell_are_told(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Two people of two were refused: nobody can know why, and each has a result."""
    Door(simulated_idura, lambda _: refusal("access_denied"), "bc-authorize")
    async with make_ciba_client() as ciba:
        results, error = await run(ciba, swedes(2))
    assert error is None
    assert [result.state for result in results] == [State.REJECTED] * 2


async def test_people_who_are_unknown_stop_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Each of them is a result, however many come first."""
    door = Door(simulated_idura, lambda _: refusal("unknown_user_id") if door.asked <= 10 else None, "bc-authorize")
    async with make_ciba_client() as ciba:
        results, error = await run(ciba, swedes(20))
    assert error is None
    assert sum(result.state is State.REJECTED for result in results) == 10


@pytest.mark.parametrize("code", ["unauthorized_client", "unsupported_grant_type"])
async def test_a_grant_that_is_not_enabled_rings_a_few(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, code: str
) -> None:
    """The first poll tells; those who ring by then are resumed by a run that comes in time."""
    for nth in range(60):
        simulated_idura.script(swedish_number(nth), Script.approve(20))
    door = Door(simulated_idura, lambda _: refusal(code), "token")
    async with make_ciba_client() as ciba:
        async with journal(ciba) as opened:
            results, error = await run(ciba, swedes(40), journal=opened)
            assert (results, getattr(error, "code", None)) == ([], code)
            assert door.asked <= FEW
        ringing = door.asked
        door.open()
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        results, error = await run(ciba, swedes(40), journal=opened)
    assert error is None
    assert {result.state for result in results} == {State.APPROVED}
    assert (len(results), door.asked) == (40, 40 - ringing)


async def test_asking_again_in_vain_keeps_what_was_known(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """A client that is refused while it asks somebody again does not make them new: nobody is asked without consent."""
    door = Door(simulated_idura, lambda _: Fault.lose_answer(), "bc-authorize")
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        ((first,), _) = await run(ciba, swedes(1), journal=opened)
        assert first.state is State.INDETERMINATE
    door.fault = lambda _: refusal("unauthorized_client")
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        assert (await run(ciba, swedes(1), journal=opened, retry_indeterminate=True))[1] is not None
    door.open()
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        assert await run(ciba, swedes(1), journal=opened) == ([], None)
    assert door.asked == 0


async def test_nobody_is_asked_again_more_than_twice(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """Whatever the caller says."""
    door = Door(simulated_idura, lambda _: Fault.lose_answer(), "bc-authorize")
    codes = []
    for _ in range(5):
        async with make_ciba_client() as ciba, journal(ciba) as opened:
            results, _ = await run(ciba, swedes(1), journal=opened, retry_indeterminate=True)
            codes += [result.code for result in results]
    assert door.asked == 3
    assert codes == ["start_unknown"] * 3 + ["asked_often"] * 2


# --- an outage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Fault.refuse_connection(), Fault.answer(429), Fault.answer(503)], ids=["away", "too many", "busy"]
)
async def test_in_an_outage_one_asks_for_all(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault
) -> None:
    """A hundred people do not knock at each try; afterwards they come back gradually."""
    until = asyncio.get_running_loop().time() + 60
    knocks: list[float] = []

    def away(_arrival: Arrival) -> Fault | None:
        now = asyncio.get_running_loop().time()
        knocks.append(now)
        return fault if now < until else None

    Door(simulated_idura, away, "bc-authorize")
    async with make_ciba_client(transport=MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.1)) as ciba:
        results, error = await run(ciba, swedes(60), max_in_flight=60)
    assert error is None
    assert len(results) == 60
    # A request that never left is tried three times.
    assert len([at for at in knocks if at < until]) <= 3 * 8
    back = [at for at in knocks if at >= until]
    # The first alone, then two, then a few more with each answer.
    assert len([at for at in back if at < back[0] + 0.15]) == 1
    assert len([at for at in back if at < back[0] + 0.35]) <= 3


@pytest.mark.parametrize("fault", [Fault.lose_answer(), Fault.answer(500), Fault.answer(200, body=b"<html>")])
async def test_a_provider_that_answers_nobody_is_not_tried_with_everybody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, fault: Fault
) -> None:
    """What nobody can know stays with a few people; the run ends, and the others are asked by the next one."""
    door = Door(simulated_idura, lambda _: fault, "bc-authorize")
    async with make_ciba_client() as ciba, journal(ciba) as opened:
        results, error = await run(ciba, swedes(40), journal=opened)
    assert error is not None
    assert 1 <= len(results) <= 12
    assert door.asked <= 12


async def test_one_lost_answer_stops_nobody(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """It narrows the window, and the others go on at once."""
    door = Door(simulated_idura, lambda _: Fault.lose_answer() if door.asked % 10 == 0 else None, "bc-authorize")
    for nth in range(60):
        simulated_idura.script(swedish_number(nth), Script.approve(1))
    async with make_ciba_client() as ciba:
        results, error = await run(ciba, swedes(60))
    assert error is None
    assert sum(result.state is State.INDETERMINATE for result in results) == 6
    assert sum(result.state is State.APPROVED for result in results) == 54


# --- alone ------------------------------------------------------------------------------------------------------------


async def test_the_window_opens_with_each_answer_and_closes_in_an_outage() -> None:
    """One, two, four; and one again."""
    start = SlowStart(Outage(300.0))
    start.proven()
    now, most = 0, 0

    async def ask() -> None:
        nonlocal now, most
        async with start.turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1
            start.answered()

    widths = []
    for _ in range(4):
        most = 0
        await asyncio.gather(*(ask() for _ in range(start._window)))
        widths.append(most)
    assert widths == [1, 2, 4, 8]
    assert start.lost(TransportError("lost"))
    assert start._window == 8
    assert start.away(TransportError("away"))
    began, most = asyncio.get_running_loop().time(), 0
    await asyncio.gather(ask(), ask())
    assert most == 1
    assert asyncio.get_running_loop().time() == began + 3


async def test_whoever_stops_waiting_leaves_their_place_to_others() -> None:
    """Before it was given to them, and after."""
    start = SlowStart(Outage(300.0))
    start.proven()
    entered = asyncio.Event()

    async def ask() -> None:
        async with start.turn():
            entered.set()
            await asyncio.sleep(10)

    tasks = [asyncio.create_task(ask()) for _ in range(3)]
    await entered.wait()
    tasks[1].cancel()
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert (start._out, len(start._waiting)) == (0, 0)


async def test_only_a_few_phones_ring_before_a_poll_was_answered() -> None:
    """Or before long enough: a strategy may poll late."""
    start, began = SlowStart(Outage(300.0)), asyncio.get_running_loop().time()
    at: list[float] = []

    async def ask() -> None:
        async with start.turn():
            at.append(asyncio.get_running_loop().time() - began)
            start.answered()
            if not start.is_proven:
                start.accepted()

    tasks = [asyncio.create_task(ask()) for _ in range(FEW + 3)]
    await asyncio.sleep(10)
    start.left()
    await asyncio.gather(*tasks)
    assert at == [0.0] * FEW + [10.0] + [PROOF] * 2
