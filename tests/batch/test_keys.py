"""Tests of keys that stand for other people than before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from idura_ciba import CibaClient, EidRequest, State, UsageError
from idura_ciba.batch import Journal, verify_many
from idura_ciba.batch.keys import refuse_reused_keys, require_same_person
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedes, swedish_number

MakeClient = Callable[..., CibaClient]
OpenJournal = Callable[[CibaClient], Journal]
People = list[tuple[str, EidRequest]]


def rows(*people: int) -> People:
    """People under the numbers of their lines."""
    return [(str(line), swede(nth)) for line, nth in enumerate(people, 2)]


async def verify(client: CibaClient, journal: Journal, people: object) -> list[State]:
    """How everybody ended."""
    running = verify_many(client, people, journal=journal, clock=virtual_clock())  # type: ignore[arg-type]
    return [result.state async for result in running]


@pytest.mark.parametrize(
    "second",
    [rows(9, 0, 1, 2), rows(0, 1, 9, 2), rows(1, 2), rows(2, 0, 1), [*rows(7, 8)[:0], ("9", swede(9)), *rows(0, 2)]],
    ids=["above", "between", "deleted", "sorted", "new ones first"],
)
async def test_rows_that_have_moved_ring_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal, second: People
) -> None:
    """Wherever the first wrong key is, nobody before or after it is asked."""
    for nth in range(10):
        simulated_idura.script(swedish_number(nth), Script.approve(1))
    async with make_ciba_client() as ciba:
        async with journal(ciba) as opened:
            assert len(await verify(ciba, opened, rows(0, 1, 2))) == 3
        async with journal(ciba) as opened:
            with pytest.raises(UsageError) as caught:
                await verify(ciba, opened, second)
    assert caught.value.code == "key_reused"
    assert len(simulated_idura.ledger.orders) == 3


async def test_rows_that_come_one_by_one_are_compared_in_their_order(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """Nobody after the first wrong key is asked, though there is a place for them."""

    async def people() -> AsyncIterator[tuple[str, EidRequest]]:
        for pair in rows(9, 0, 1, 2):
            yield pair

    async with make_ciba_client() as ciba:
        async with journal(ciba) as opened:
            await verify(ciba, opened, rows(0, 1, 2))
        async with journal(ciba) as opened:
            with pytest.raises(UsageError):
                await verify(ciba, opened, people())
    assert len(simulated_idura.ledger.orders) == 3


async def test_many_keys_are_looked_up_at_once(make_ciba_client: MakeClient, journal: OpenJournal) -> None:
    """Also the last ones, and those that only begin after many others."""
    async with make_ciba_client() as ciba:
        async with journal(ciba) as opened:
            person = opened.sealing.tag(swede(1))
            assert await opened.begin(Entry("last", person, Phase.DELIVERED, 1, 1.0, 1.0, state="approved"))
            await refuse_reused_keys(opened, [("last", swede(2))])
        async with journal(ciba) as opened:
            await refuse_reused_keys(opened, [*swedes(1), ("last", swede(1))])
            many = [(f"k{nth}", swede(0)) for nth in range(2500)]
            for place in (0, 999, 1000, 2500):
                with pytest.raises(UsageError):
                    await refuse_reused_keys(opened, [*many[:place], ("last", swede(2)), *many[place:]])


def test_a_new_key_may_stand_for_anybody() -> None:
    """And a known one for its own person."""
    require_same_person(None, b"a")
    require_same_person(Entry("k", b"a", Phase.ENDED, 1, 0.0, 0.0), b"a")
    with pytest.raises(UsageError):
        require_same_person(Entry("k", b"a", Phase.ENDED, 1, 0.0, 0.0), b"b")
