"""What a caller holds of a login of the fleet, on whichever replica it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from idura_ciba import explain
from idura_ciba.eids.phase import Phase
from idura_ciba.fleet.store import Held, Stage, Stored
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.already_pending import AlreadyPending
from idura_ciba.transaction.outcome import Outcome

__all__ = ["FleetLogin", "FleetOutcome", "FleetUpdate", "Watch", "asked_elsewhere", "written"]

#: Seconds after which a login is looked at even if nothing was heard of it: a notice may be lost with its connection.
LOOK_AGAIN = 2.0


@frozen
class FleetOutcome:
    """How a login ended.

    Attributes:
        state: One of the final states.
        subject: As in `Authentication`; None unless approved.
        claims: All claims of the ID token; empty unless approved.
        id_token: The verified token itself, for those who must archive the proof.
        person_confirmed: As in `Authentication`.
        acr: The level reached.
        code: The error's stable code; None if approved.
        message: The error in sentences.
        trace_id: The provider's trace id of its last answer.
        reference: The caller's own.
        delivered: Whether the outcome was fetched before, here or elsewhere. Then only `state` is left of it.
    """

    state: State
    subject: str | None = field(default=None, repr=False)
    claims: Mapping[str, Any] = field(factory=dict, repr=False)
    id_token: Redacted | None = None
    person_confirmed: bool = False
    acr: str | None = None
    code: str | None = None
    message: str | None = None
    trace_id: str | None = None
    reference: str | None = None
    delivered: bool = False

    @classmethod
    def of(cls, state: str, members: Mapping[str, Any], *, delivered: bool = False) -> FleetOutcome:
        """Read what `Fleet` has written."""
        id_token = members.get("id_token")
        return cls(
            State(state),
            subject=members.get("subject"),
            claims=members.get("claims") or {},
            id_token=None if id_token is None else Redacted(id_token),
            person_confirmed=bool(members.get("person_confirmed")),
            acr=members.get("acr"),
            code=members.get("code"),
            message=members.get("message"),
            trace_id=members.get("trace_id"),
            reference=members.get("reference"),
            delivered=delivered,
        )


@frozen
class FleetUpdate:
    """Progress to show while a person is being asked.

    Attributes:
        state: Where the login stands.
        hint: The provider's latest word, verbatim. Foreign text: escape it before showing it.
        phase: What it means, over all eIDs.
        expires_at: Seconds since the epoch at which the prompt goes from the phone, by this machine's clock.
        reference: The caller's own.
    """

    state: State
    hint: Redacted | None
    phase: Phase
    expires_at: float
    reference: str | None


class Watch:
    """Wakes those who wait for a change of a login."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def changed(self, login: str | None) -> None:
        """It has changed; None: any of them may have."""
        names = list(self._waiting) if login is None else [login]
        for name in names:
            if (event := self._waiting.pop(name, None)) is not None:
                event.set()

    def next(self, login: str) -> asyncio.Event:
        """Set once it changes; ask for it before you look, or a change in between is missed."""
        return self._waiting.setdefault(login, asyncio.Event())


class Replica(Protocol):
    """What a login needs of its fleet."""

    watch: Watch
    #: Whether this replica asks nobody any more, and cannot look either.
    is_closed: bool

    def owns(self, login: str) -> bool:
        """Whether this replica asks the person, or has their answer and has not stored it yet."""
        ...

    def present(self, login: str) -> Stored | None:
        """The login as it is, if this replica asks the person."""
        ...

    async def wish_to_see(self, login: str) -> None:
        """Have whoever asks the person write down their progress."""
        ...

    async def look(self, login: str) -> Stored:
        """The login as it is stored."""
        ...

    async def deliver(self, stored: Stored) -> FleetOutcome:
        """How a login that has ended did."""
        ...

    async def cancel(self, login: str) -> bool:
        """Have its owner stop."""
        ...

    def show(self, stored: Stored) -> dict[str, Any]:
        """What its owner has written of its progress."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...


class FleetLogin:
    """A login of the fleet. Made by `Fleet.start` and `Fleet.get`."""

    def __init__(self, fleet: Replica, stored: Stored) -> None:
        self._fleet = fleet
        self._stored = stored
        self._outcome: FleetOutcome | None = None

    def __repr__(self) -> str:
        """Its id and state; nothing of the person."""
        return f"<FleetLogin {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        """The same on every replica."""
        return self._stored.login

    @property
    def state(self) -> State:
        """Where it stood when this was last looked at."""
        return State(self._stored.state)

    @property
    def spoken_words(self) -> Redacted | None:
        """Words to read to the person before anything else happens (Norwegian BankID), or None."""
        words = self._progress().get("words")
        return None if words is None else Redacted(words)

    @property
    def reference(self) -> str | None:
        """The caller's own name for it."""
        reference: str | None = self._progress().get("reference")
        return reference

    async def updates(self, *, until: asyncio.Event | None = None) -> AsyncIterator[FleetUpdate]:
        """Progress: the present at once, then each change that people can see, the final state last.

        Args:
            until: Ends the iteration once it is set. The login goes on.

        Raises:
            StoreError: The store cannot be reached.
        """
        last: tuple[object, ...] | None = None
        while True:
            changed = self._fleet.watch.next(self.id)
            present = self._fleet.present(self.id)
            if present is None and not self._fleet.is_closed:
                await self._look()
                if self._stored.owner is not None and not self._fleet.owns(self.id):
                    # Each time: whoever owns it may be somebody else by now.
                    await self._fleet.wish_to_see(self.id)
            self._stored = present or self._stored
            if self._fleet.is_closed:
                return
            update = self._update()
            seen = (update.state, update.hint, update.phase)
            if seen != last:
                yield update
            last = seen
            if update.state.is_final or not await _either(changed, until):
                return

    async def outcome(self) -> FleetOutcome:
        """Wait for the end, wherever the login is asked for now, and fetch how it ended.

        It is fetched once: nobody finds anything of the person in the store afterwards, and whoever asks later gets
        the state with `delivered`. This object remembers it. If this replica is closed first, the state is
        `handed_over`: the login goes on, and any other replica finds it by its id.

        Raises:
            StoreError: The store cannot be reached.
        """
        while self._outcome is None:
            changed = self._fleet.watch.next(self.id)
            if self._fleet.is_closed:
                return FleetOutcome.of(State.HANDED_OVER, written(Outcome.not_begun(explain.handed_over())))
            if not self._fleet.owns(self.id):
                await self._look()
                if self._stored.stage in {Stage.ENDED, Stage.DELIVERED}:
                    self._outcome = await self._fleet.deliver(self._stored)
                    break
            await _either(changed, None)
        return self._outcome

    async def cancel(self) -> bool:
        """Stop asking, whichever replica does. The prompt stays on the phone: CIBA has no cancel endpoint.

        Returns:
            Whether it had not ended.

        Raises:
            StoreError: The store cannot be reached.
        """
        return await self._fleet.cancel(self.id)

    async def _look(self) -> None:
        self._stored = await self._fleet.look(self.id)

    def _progress(self) -> dict[str, Any]:
        return self._fleet.show(self._stored)

    def _update(self) -> FleetUpdate:
        shown = self._progress()
        hint, state = shown.get("hint"), self.state
        phase = Phase(shown.get("phase", Phase.UNKNOWN.value)) if not state.is_final else Phase(state.value)
        return FleetUpdate(
            state,
            None if hint is None else Redacted(hint),
            phase,
            self._fleet.wall() + self._stored.seconds,
            shown.get("reference"),
        )


def written(outcome: Outcome) -> dict[str, Any]:
    """What is stored of an outcome, encrypted; `FleetOutcome.of` reads it."""
    login, error = outcome.authentication, outcome.error
    found: dict[str, Any] = {"reference": outcome.reference, "polls": outcome.polls, "slow_downs": outcome.slow_downs}
    if login is not None:
        found |= {
            "subject": login.subject,
            "claims": login.claims,
            "id_token": login.id_token,
            "person_confirmed": login.person_confirmed,
            "acr": login.acr,
            "trace_id": login.trace_id,
        }
    if error is not None:
        found |= {"code": error.code, "message": str(error), "trace_id": error.trace_id}
    return found


def asked_elsewhere(held: Held, *, wall: float) -> AlreadyPending:
    """Some replica asks this person, or their prompt may still be there."""
    error = AlreadyPending(
        "a replica is already asking this person, or their prompt may still be on their phone",
        phone="A second request would cancel the first",
        advice="go on with the login `.login_id`, or ask again after `.until`",
    )
    error.login_id, error.until = held.login, wall + held.seconds
    return error


async def _either(changed: asyncio.Event, until: asyncio.Event | None) -> bool:
    """Wait for a change, or for a while; False once `until` is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in (changed, until) if event is not None]
    try:
        await asyncio.wait(waits, timeout=LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return until is None or not until.is_set()
