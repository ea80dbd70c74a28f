"""What all transactions of one client share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idura_ciba import CibaClient, FinalPoll, Fixed, HazardAware, PhaseAware, Strategy

MakeClient = Callable[..., CibaClient]


@pytest.mark.parametrize(
    ("strategy", "learns", "tells_prices"),
    [
        (Fixed(), False, False),
        (FinalPoll(Fixed()), False, True),  # it has an index of its own
        (HazardAware(), True, True),
        (PhaseAware(), True, True),
        (FinalPoll(PhaseAware()), True, True),
    ],
    ids=str,
)
async def test_a_strategy_is_asked_once_what_it_can_do(
    make_ciba_client: MakeClient, strategy: Strategy, *, learns: bool, tells_prices: bool
) -> None:
    """Not at each poll; and what it cannot do is None."""
    async with make_ciba_client(strategy=strategy) as ciba:
        context = ciba._starter.context
    assert context.strategy is strategy
    assert (context.learn is not None) is learns
    found: object = context.priced
    assert found is (strategy if tells_prices else None)


async def test_each_client_names_its_transactions_under_a_key_of_its_own(make_ciba_client: MakeClient) -> None:
    """Drawn from the client's own dice, and never shown."""
    async with make_ciba_client() as one, make_ciba_client() as same:
        key = one._starter.context.names
        assert key == same._starter.context.names  # of equal dice
        assert len(key) == 16
        assert repr(key) not in repr(one._starter.context)
