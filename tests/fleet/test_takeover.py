"""Tests of what becomes of logins that nobody asks for, beside a store and a client that do as told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba.errors import CibaError, ResumeError, TransportError
from idura_ciba.fleet.events import Events
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.store import Owned, Stage, Stored
from idura_ciba.fleet.takeover import Takeover
from idura_ciba.observe import Observers
from idura_ciba.scheduling.scheduler import client_queue
from idura_ciba.testing import virtual_clock

SEALING = Sealing(b"people", AESGCM(b"k" * 32))
OWNED = Owned("case 1", 3)
PENDING = Stored(
    *("case 1", Stage.PENDING, "pending", 3, "me", SEALING.hide_token("case 1", "a token"), None),
    cancelled=False,
    seconds=60.0,
    layout=1,
    doubt=False,
)
TRANSACTION = SimpleNamespace(id="00ff", reference="call 7")


@define
class Beside:
    """The client, the store and the fleet: each notes what it is asked."""

    answer: Any = TRANSACTION
    done: list[tuple[Any, ...]] = field(factory=list)
    told: list[Any] = field(factory=list)

    async def resume(self, token: str, *, doubt: bool | None = None) -> Any:
        """Answer as told."""
        self.done.append(("resume", token) if doubt is None else ("resume", token, doubt))
        if isinstance(self.answer, CibaError):
            raise self.answer
        return self.answer

    async def end(self, owned: Owned, *, state: str, outcome: bytes, gone: bool) -> bool:
        """Note it."""
        assert not gone
        self.done.append(("end", owned, str(state), SEALING.show(owned.login, outcome)["code"]))
        return True

    async def let_go(self, owned: Owned, *, token: str, tell: bool, doubt: bool) -> bool:
        """Note it."""
        assert not tell
        self.done.append(("let go", owned, SEALING.show_token(owned.login, token), *["in doubt"][: int(doubt)]))
        return True

    def adopt(self, owned: Owned, transaction: object) -> None:
        """Note it."""
        self.done.append(("adopt", owned, transaction))


def takeover(beside: Beside, sealing: Sealing = SEALING) -> Takeover:
    """Beside these."""
    events = Events(Observers([beside.told.append]), virtual_clock())
    signs = Signs(client_queue(None))
    return Takeover(beside, beside, sealing, beside.adopt, events=events, signs=signs)  # type: ignore[arg-type]  # as needed


def an_intent(stored: Stored) -> Stored:
    """Nothing was heard of it after it was written down."""
    return evolve(stored, stage=Stage.ASKING, state="submitting", token=None)


def cancelled(stored: Stored) -> Stored:
    """Somebody wants it to stop."""
    return evolve(stored, cancelled=True)


def left_by_the_dead(stored: Stored) -> Stored:
    """Its last owner may have had the answer."""
    return evolve(stored, doubt=True)


def as_it_is(stored: Stored) -> Stored:
    """Ready to be resumed."""
    return stored


@pytest.mark.parametrize(
    ("make", "answer", "done"),
    [
        (as_it_is, TRANSACTION, [("resume", "a token"), ("adopt", OWNED, TRANSACTION)]),
        (left_by_the_dead, TRANSACTION, [("resume", "a token", True), ("adopt", OWNED, TRANSACTION)]),
        (
            left_by_the_dead,
            TransportError("away"),
            [("resume", "a token", True), ("let go", OWNED, "a token", "in doubt")],
        ),
        (an_intent, None, [("end", OWNED, "indeterminate", "interrupted")]),
        (cancelled, None, [("end", OWNED, "abandoned", "abandoned")]),
        (
            as_it_is,
            ResumeError("over", code="resume_expired"),
            [("resume", "a token"), ("end", OWNED, "indeterminate", "resumed_late")],
        ),
        (as_it_is, ResumeError("no", code="resume_seal"), [("resume", "a token"), ("let go", OWNED, "a token")]),
        (as_it_is, TransportError("away"), [("resume", "a token"), ("let go", OWNED, "a token")]),
    ],
    ids=[
        "ready",
        "dead",
        "dead, and provider away",
        "intent",
        "cancelled",
        "expired",
        "sealed by others",
        "provider away",
    ],
)
async def test_it_is_resumed_or_it_is_said_why_not(
    make: Callable[[Stored], Stored], answer: object, done: list[tuple[Any, ...]]
) -> None:
    """What can be resumed elsewhere or later is let go, and what nobody can resume is ended."""
    beside = Beside(answer)
    await takeover(beside).resume(make(PENDING))
    assert beside.done == done
    told = {"adopt": [("taken_over", None)], "end": [("ended", done[-1][-1])]}
    assert [(event.kind, event.code) for event in beside.told] == told.get(done[-1][0], [])
    assert {(event.worker, event.login, event.logins) for event in beside.told} <= {("me", "case 1", 1)}


async def test_what_cannot_be_read_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each time it comes by, it is left to others."""
    beside = Beside()
    stranger = takeover(beside, Sealing(b"people", AESGCM(b"o" * 32)))
    for _ in range(3):
        await stranger.resume(PENDING)
    assert beside.done == [("let go", OWNED, "a token")] * 3
    assert len(caplog.records) == 1
