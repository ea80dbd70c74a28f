"""Which phones are shown: those that ring, and those that have rung until they are put away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define

from idura_ciba.simulator import Prompt, PromptState

__all__ = ["Board", "Phone"]

#: Phones that are shown at once; those that ring first.
MOST_SHOWN = 24
_ENDED = frozenset({"approved", "denied", "expired", "cancelled"})


@define(eq=False)
class Phone:
    """A phone that is shown.

    Attributes:
        prompt: What is on it.
        state: What it showed when the board was last looked at.
    """

    prompt: Prompt
    state: PromptState

    @property
    def rings(self) -> bool:
        """Whether something can still be done on it."""
        return self.state not in _ENDED

    @property
    def owner(self) -> tuple[str, str]:
        """Whose it is, with which eID."""
        return self.prompt.eid.name, self.prompt.person


class Board:
    """The phones that are shown, by the numbers of their orders.

    Args:
        prompts: Returns the prompts that can be answered: `SimulatedIdura.phones.prompts`.
    """

    def __init__(self, prompts: Callable[[float], list[Prompt]]) -> None:
        self._prompts = prompts
        self._phones: dict[int, Phone] = {}

    @property
    def phones(self) -> Mapping[int, Phone]:
        """The phones by the number of the order: who was asked last comes last."""
        return self._phones

    def look(self, now: float) -> list[Phone] | None:
        """Look at all phones.

        Returns:
            Those that show something else than before; None: there are others than before.
        """
        before = list(self._phones)
        ringing = sum(phone.rings for phone in self._phones.values())
        for prompt in self._prompts(now):
            if prompt.number not in self._phones and ringing < MOST_SHOWN:
                self._take_in(Phone(prompt, prompt.state(now)))
                ringing += 1
        changed = []
        for phone in self._phones.values():
            state = phone.prompt.state(now)
            if state != phone.state:
                phone.state = state
                changed.append(phone)
        self._make_room()
        return changed if before == list(self._phones) else None

    def put_away(self, number: int) -> None:
        """Show a phone no more, if it no longer rings."""
        phone = self._phones.get(number)
        if phone is not None and not phone.rings:
            del self._phones[number]

    def _take_in(self, phone: Phone) -> None:
        """Show a phone, in place of what it showed of an earlier request."""
        earlier = [number for number, each in self._phones.items() if each.owner == phone.owner]
        for number in earlier:
            del self._phones[number]
        self._phones[phone.prompt.number] = phone

    def _make_room(self) -> None:
        silent = [number for number, phone in self._phones.items() if not phone.rings]
        for number in silent[: max(0, len(self._phones) - MOST_SHOWN)]:
            del self._phones[number]
