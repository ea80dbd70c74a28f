"""Tests of what a login makes of the provider's tokens; what tokens must say is tested with `trust`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define

from idura_ciba.aio.clock import Clock
from idura_ciba.errors import IdTokenRejected, TransportError
from idura_ciba.observe import AnyEvent, Observer, Observers, VerificationEvent
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.verifying import verified
from idura_ciba.trust.expectation import Demand, Expectation
from tests.id_tokens import Case

TOKENS = Tokens(Redacted("id token"), None, None, None, {})
DEMAND = Demand(("level",), None, False, (), False, False)  # noqa: FBT003 - none of it is looked at here
EXPECTED = Expectation(DEMAND, b"", issued_from=1000.0)


@define
class Shared:
    """As much of a context as is needed: a verifier that answers as told, and notes what it was to expect."""

    answer: Any
    clock: Clock
    observers: Observers
    expected: Expectation | None = None
    confirmation: Mapping[str, str] = {}

    @property
    def backchannel(self) -> Shared:
        """Itself, too."""
        return self

    @property
    def verifier(self) -> Shared:
        """Itself."""
        return self

    async def verify(
        self, tokens: Tokens, *, expected: Expectation, auth_req_id: str, trace_id: str | None, name: str
    ) -> object:
        """Answer as told, after a second."""
        assert (tokens, auth_req_id, trace_id, name) == (TOKENS, "order-1", "trace-1", "00ff")
        await asyncio.sleep(1)
        self.expected = expected
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def ask(
    answer: object, *, wall: float = 1060.0, observer: Observer | None = None, confirmation: Mapping[str, str] = {}
) -> tuple[Any, Shared]:
    """A minute after the request."""
    observers = Observers([observer] if observer else ())
    shared = Shared(answer, Clock(wall=lambda: wall), observers, confirmation=confirmation)
    requested_at = asyncio.get_running_loop().time() - 60
    found = await verified(
        shared,  # type: ignore[arg-type]  # as much as is needed
        TOKENS,
        expected=EXPECTED,
        requested_at=requested_at,
        auth_req_id=Redacted("order-1"),
        trace_id="trace-1",
        name="00ff",
        reference="call 1",
    )
    return found, shared


async def test_a_login_is_returned_with_its_client() -> None:
    """Nothing else is added to it; what comes afterwards is held to what was expected of it."""
    login = await Case().verify()
    found, shared = await ask(login)
    assert found == login
    assert found._after.context is shared
    assert found._after.expected is shared.expected


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (IdTokenRejected("no", code="id_token_person"), "id_token_person"),
        (TransportError("away"), "no_answer"),
        (KeyError("secret"), "internal"),
        (asyncio.CancelledError(), "internal"),
    ],
)
async def test_whatever_is_wrong_is_returned_with_what_it_means(failure: BaseException, code: str) -> None:
    """The person has answered by then; a bug shows its kind and place only."""
    error, _ = await ask(failure)
    assert error.code == code
    assert "secret" not in str(error)
    if code != "id_token_person":
        assert "The person has answered" in error.phone


@pytest.mark.parametrize(("wall", "issued_from"), [(1060.0, 1000.0), (1050.0, 990.0), (1200.0, 1000.0)])
async def test_a_clock_that_was_corrected_meanwhile_makes_no_token_too_old(wall: float, issued_from: float) -> None:
    """The request was made at the earlier of the two instants that the clock says it was."""
    _, shared = await ask(object(), wall=wall)
    assert shared.expected is not None
    assert shared.expected.issued_from == pytest.approx(issued_from)


async def test_tokens_that_are_bound_to_another_key_are_no_login() -> None:
    """Where the client has one; which tokens are is tested with `trust`."""
    login = await Case(claims={"cnf": {"jkt": "theirs"}}).verify()
    assert (await ask(login))[0] == login
    error, _ = await ask(login, confirmation={"jkt": "ours"})
    assert error.code == "token_other_key"


async def test_a_cancellation_of_the_task_stays_one() -> None:
    """The client is closing; the tokens are kept."""

    class Waiting(Shared):
        async def verify(self, *_: Any, **__: Any) -> object:
            await asyncio.sleep(60)
            raise AssertionError

    heard: list[AnyEvent] = []
    shared: Any = Waiting(None, Clock(), Observers([heard.append]))
    rest: dict[str, Any] = {"requested_at": 0.0, "trace_id": None, "name": "00ff", "reference": None}
    task = asyncio.create_task(verified(shared, TOKENS, expected=EXPECTED, auth_req_id=Redacted("order-1"), **rest))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == []


@pytest.mark.parametrize(
    ("answer", "code"), [(None, None), (IdTokenRejected("no", code="id_token_acr"), "id_token_acr")]
)
async def test_observers_hear_what_came_of_it_and_how_long_it_took(answer: object, code: str | None) -> None:
    """Whichever way it went."""
    heard: list[AnyEvent] = []
    await ask(answer or await Case().verify(), observer=heard.append)
    assert heard == [VerificationEvent("00ff", code, elapsed=1.0, reference="call 1", at=1060.0)]
