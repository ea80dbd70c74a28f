"""Tests of the driver by itself. How it goes on after each answer is tested through its handle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from idura_ciba import CibaClient, ResumeError, State, SwedishBankID, Transaction
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swede

MakeClient = Callable[..., CibaClient]

SWEDE = "209801011231"


def swedish() -> SwedishBankID:
    """A request for a Swede."""
    return SwedishBankID(SWEDE, call_initiator="user", message="Hello from the tests")


async def test_a_caller_sees_the_names_that_a_caller_may_use_and_no_others(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whatever the scheduler and the client need belongs to the driver behind the handle."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        assert {name for name in dir(transaction) if not name.startswith("_")} == {
            "abandon", "id", "members", "on_doubt", "outcome", "prompt_until", "reference", "resume_token",
            "spoken_words", "state", "trace_id", "updates",
        }  # fmt: skip
        assert not hasattr(transaction, "__dict__")
        await transaction


async def test_an_abandoned_login_is_being_asked_until_its_last_poll_is_over(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Two polls of one `auth_req_id` must not overlap, so whoever resumes has to wait for it."""
    simulated_idura.script(SWEDE, Script.never())
    async with make_ciba_client() as ciba:
        driver = (await ciba.start(swedish()))._driver
        assert driver.is_asking
        work = driver.serve()
        assert work is not None
        poll = asyncio.create_task(work)
        await asyncio.sleep(0)
        driver.abandon()
        assert driver.is_asking
        await poll
        assert not driver.is_asking


async def test_an_abandoned_prompt_stays_on_the_phone_and_a_decided_one_is_gone(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """`prompt_until` is wall-clock time, so that it can be shown and stored."""
    simulated_idura.script(SWEDE, Script.approve(after=1))
    async with make_ciba_client() as ciba:
        first = await ciba.start(swedish())
        expires_at = (await anext(first.updates())).expires_at
        await first
        assert first.prompt_until is None
        simulated_idura.script(SWEDE, Script.never())
        second = await ciba.start(swedish())
        second.abandon()
        assert second.prompt_until is not None
        assert second.prompt_until > expires_at


async def test_a_checkpoint_of_another_login_is_left_alone(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The client asks each of its drivers what it knows of a resume token."""
    simulated_idura.script(SWEDE, Script.deny(after=1))
    async with make_ciba_client() as ciba:
        one = (await ciba.start(swedish()))._driver
        other = (await ciba.start(swede(1)))._driver
        checkpoint = one._checkpoint(going_on=True)
        assert other.latest(checkpoint) is checkpoint
        assert one.latest(checkpoint).in_doubt is False
        await one.outcome()
        assert one.state is not State.PENDING
        with pytest.raises(ResumeError) as caught:
            one.latest(checkpoint)
    assert caught.value.code == "resume_ended"


async def test_handles_of_one_login_are_one(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """What `start` returned is what the client lists, so callers can compare by identity."""
    simulated_idura.script(SWEDE, Script.never())
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        (listed,) = ciba.pending
        assert listed is transaction
        assert isinstance(listed, Transaction)
