"""What all transactions of one client share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idura_ciba import CibaClient, FinalPoll, Fixed, HazardAware, PhaseAware, Strategy
from idura_ciba.protocol.answers import StillPending
from idura_ciba.protocol.timing import Timing
from idura_ciba.transaction.history import History

MakeClient = Callable[..., CibaClient]


@pytest.mark.parametrize(
    ("strategy", "learns", "decisions", "tells_prices"),
    [
        (Fixed(), False, False, False),
        (FinalPoll(Fixed()), True, False, True),  # it has an index of its own, and learns how logins end
        (HazardAware(), True, True, True),
        (PhaseAware(), True, True, True),
        (FinalPoll(PhaseAware()), True, True, True),
    ],
    ids=str,
)
async def test_a_strategy_is_asked_once_what_it_can_do(
    make_ciba_client: MakeClient, strategy: Strategy, *, learns: bool, decisions: bool, tells_prices: bool
) -> None:
    """Not at each poll; and what it cannot do is None."""
    async with make_ciba_client(strategy=strategy) as ciba:
        context = ciba._starter.context
    assert context.strategy is strategy
    assert (context._learn is not None) is learns
    assert context._learns_decisions is decisions
    found: object = context.priced
    assert found is (strategy if tells_prices else None)


async def test_each_client_names_its_transactions_under_a_key_of_its_own(make_ciba_client: MakeClient) -> None:
    """Drawn from the client's own dice, and never shown."""
    async with make_ciba_client() as one, make_ciba_client() as same:
        key = one._starter.context.names
        assert key == same._starter.context.names  # of equal dice
        assert len(key) == 16
        assert repr(key) not in repr(one._starter.context)


async def test_a_ping_goes_before_the_strategy_and_its_prices(make_ciba_client: MakeClient) -> None:
    """Until a poll has followed it."""
    timing = Timing.begin(requested_at=0.0, acknowledged_at=0.0, expires_in=120.0, interval=5.0)
    history = History(("urn:x",))
    async with make_ciba_client(strategy=FinalPoll(Fixed(40))) as ciba:
        context = ciba._starter.context
        assert context.next_poll(history, timing) == 40.0
        assert context.poll_due(history, timing, 50.0) == 50.0
        history.pinged_at = 3.0
        assert context.next_poll(history, timing) == 5.0
        assert context.poll_due(history, timing, 50.0) is None
        history.note(StillPending(None), 5.0, 5.0, timing)
        assert context.next_poll(history, timing) == 45.0
