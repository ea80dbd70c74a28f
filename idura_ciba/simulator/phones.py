"""The phones of the simulated people, for whoever plays them by hand: a page, a notebook or a test.

    idura.script("01023990128", Script.by_hand())
    ...
    (prompt,) = idura.phones.prompts(now)
    prompt.choose_words(prompt.words, now)
    prompt.approve(now)

Whatever is done by hand takes the place of what the person's script would have done from then on. A step implies those
before it; what is on a phone no more cannot be answered any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import evolve

from idura_ciba.errors import StateError
from idura_ciba.redaction import Redacted
from idura_ciba.simulator.eid import SimulatedEid
from idura_ciba.simulator.orders import Order
from idura_ciba.simulator.people import Person, dice, invent_person

__all__ = ["Phones", "Prompt", "PromptState"]

#: What the person sees: a notification, the app with the request, the app that wants a PIN or a fingerprint; or how it
#: ended.
PromptState = Literal["notified", "opened", "identifying", "approved", "denied", "expired", "cancelled"]

#: Word pairs that Norwegian BankID shows, of which one is right.
_CHOICES = 3
#: Pairs that are drawn for them: an eID of one's own may have few words.
_TRIES = 50
_PHASES: tuple[PromptState, ...] = ("notified", "opened", "identifying")


class Prompt:
    """A prompt on one person's phone. All instants are wall-clock seconds of the provider.

    Attributes:
        holder: The person whose phone it is.
        client: Who asks, as the person is told: the client's name, or its id.
    """

    def __init__(self, order: Order, holder: Person, client: str) -> None:
        self._order = order
        self.holder: Person = holder
        self.client: str = client

    @property
    def number(self) -> int:
        """The number of the order in the ledger."""
        return self._order.record.number

    @property
    def eid(self) -> SimulatedEid:
        """The eID whose app shows it."""
        return self._order.wish.eid

    @property
    def person(self) -> str:
        """The identity number, e-mail address or phone number that the client has asked for."""
        return Redacted(self._order.wish.person)

    @property
    def message(self) -> str | None:
        """The `binding_message`."""
        return self._order.wish.message

    @property
    def details(self) -> Mapping[str, Any]:
        """The object in `authorization_details`; with Swedish BankID, `callInitiator` says who called whom."""
        return self._order.wish.detail

    @property
    def words(self) -> str | None:
        """The word pair that the client was given to read aloud."""
        return self._order.words

    @property
    def choices(self) -> tuple[str, ...]:
        """The word pairs that the app shows, with the right one at some place; none, where the eID has no words."""
        if self.eid.words is None or self.words is None:
            return ()
        made_up = dice(self._order.dice_key, "choices")
        choices = [self.words]
        for _ in range(_TRIES):
            decoy = self.eid.words(made_up)
            # One that shares a word would be hard to tell apart by ear.
            if len(choices) < _CHOICES and not set(decoy.split()) & {word for pair in choices for word in pair.split()}:
                choices.append(decoy)
        made_up.shuffle(choices)
        return tuple(map(Redacted, choices))

    @property
    def expires_at(self) -> float:
        """When the order expires."""
        return self._order.record.expires_at

    @property
    def lifetime(self) -> float:
        """Seconds from the beginning of the order until then."""
        return self.expires_at - self._order.record.started_at

    def state(self, now: float) -> PromptState:
        """What is on the phone now."""
        record = self._order.record
        if record.outcome == "cancelled":
            return "cancelled"
        # Whoever has answered in time has answered, whether or not the client fetches it.
        if answer := record.answer_by(now):
            return answer
        if record.outcome != "open" or now >= record.expires_at:
            return "expired"
        return _PHASES[self._order.script.phase(now - record.started_at)]

    def open_app(self, now: float) -> None:
        """Open the app, which shows the request.

        Raises:
            StateError: It is on the phone no more (`prompt_over`); so for all other steps.
        """
        self._act(now, 1)

    def acknowledge(self, now: float) -> None:
        """Confirm that one is on the phone with the client; the app then wants a PIN or a fingerprint."""
        self._act(now, 2)

    def choose_words(self, words: str | None, now: float) -> bool:
        """Choose a word pair; a wrong one, or none of them (None), ends the login as a denial.

        Returns:
            Whether it was right.
        """
        right = words is not None and words == self.words
        if right:
            self.acknowledge(now)
        else:
            self.decline(now)
        return right

    def approve(self, now: float) -> None:
        """Identify oneself."""
        self._act(now, 2, "approved")

    def decline(self, now: float) -> None:
        """Say no, or cancel; Idura does not tell the client which."""
        self._act(now, 0, "denied")

    def _act(self, now: float, phase: int, decision: Literal["approved", "denied"] | None = None) -> None:
        """Let the script end here: what was reached stays reached, `phase` is reached now, and nothing follows."""
        order = self._order
        if not order.is_open(now):
            raise StateError(
                "The prompt is on the phone no more",
                code="prompt_over",
                phone=f"it was {self.state(now)}",
                advice="Look at `state` before each step",
            )
        elapsed, script = max(0.0, now - order.record.started_at), order.script
        end = elapsed if decision else math.inf
        reached = (script.opened_after, script.acknowledged_after)
        opened, acknowledged = (
            at if at <= elapsed else elapsed if phase >= nth else end for nth, at in enumerate(reached, start=1)
        )
        order.decide(
            evolve(script, decision=decision, opened_after=opened, acknowledged_after=acknowledged, after=end), now
        )


class Phones:
    """The phones of everybody whom a provider has asked.

    Args:
        latest: The latest order of each person; an eID allows one at a time.
        client_name: What a client is called, given its id.
        seed: The provider's.
    """

    def __init__(self, latest: Mapping[Any, Order], client_name: Callable[[str], str], seed: int) -> None:
        self._latest = latest
        self._client_name = client_name
        self._seed = seed

    def person(self, eid: str, number: str) -> Person:
        """Return whose number it is with an eID, by its short name: what the tokens of a login will say."""
        return invent_person(self._seed, eid, number)

    def prompts(self, now: float) -> list[Prompt]:
        """Return the prompts that can be answered, the oldest first."""
        waiting = [order for order in self._latest.values() if order.is_open(now)]
        waiting.sort(key=lambda order: order.record.number)
        return [Prompt(order, order.holder(self._seed), self._client_name(order.record.client_id)) for order in waiting]
