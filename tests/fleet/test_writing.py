"""Tests of what is written of a worker's logins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba import State
from idura_ciba.errors import Denied
from idura_ciba.fleet.own import Own
from idura_ciba.fleet.sealing import LAYOUT, Sealing
from idura_ciba.fleet.store import Owned, Stage
from idura_ciba.fleet.writing import Writing
from idura_ciba.transaction.outcome import Outcome

SEALING = Sealing(b"people", AESGCM(b"k" * 32))


class Remembering:
    """A store that remembers what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        async def call(owned: Owned, **members: Any) -> bool:
            assert owned == Owned("a", 2)
            self.told = {"call": name, **members}
            return True

        return call


def own(*, prompt_until: float | None) -> Own:
    """A login with words to read."""
    transaction: Any = SimpleNamespace(
        spoken_words="red house",
        reference="call",
        resume_token="the token",
        prompt_until=prompt_until,
        state=State.PENDING,
    )
    made = Own(Owned("a", 2), transaction)
    made.show()
    return made


async def test_nothing_that_is_written_can_be_read_there() -> None:
    """But everything by those who have the secret."""
    remembering: Any = Remembering()
    writing, login = Writing(remembering, SEALING, lambda: 100.0), own(prompt_until=160.0)
    assert await writing.accept(login)
    accepted = remembering.told
    assert (accepted["call"], accepted["seconds"], accepted["layout"]) == ("accept", 60.0, LAYOUT)
    assert SEALING.show_token("a", accepted["token"]) == "the token"
    assert await writing.note(login)
    noted = remembering.told
    assert SEALING.show("a", noted["progress"])["words"] == "red house"
    assert await writing.let_go(login, "another token")
    left = remembering.told
    assert SEALING.show_token("a", left["token"]) == "another token"
    assert await writing.end(login.owned, Outcome(State.DENIED, error=Denied("no")), gone=True)
    ended = remembering.told
    assert (ended["state"], ended["gone"]) == ("denied", True)
    assert SEALING.show("a", ended["outcome"])["code"] == "denied"
    everything = str([accepted, noted, left, ended])
    assert not any(word in everything for word in ("red house", "the token", "another token"))


def test_what_would_be_stored_is_what_would_be_read() -> None:
    """For whoever asks on the replica that asks; nobody needs its token there. A prompt that is gone is gone now."""
    nothing: Any = None
    writing = Writing(nothing, SEALING, lambda: 100.0)
    stored = writing.stored(own(prompt_until=130.0), "me")
    assert (stored.login, stored.stage, stored.state, stored.epoch) == ("a", Stage.PENDING, "pending", 2)
    assert (stored.owner, stored.token, stored.seconds, stored.cancelled) == ("me", None, 30.0, False)
    assert SEALING.show("a", stored.progress) == {"words": "red house", "reference": "call", "phase": "unknown"}
    assert writing.stored(own(prompt_until=None), "me").seconds == 0.0
