"""What replicas share of a batch: which rows somebody asks for, who writes the results, and which are written.

Rules:
1. Everybody who takes part has the same people in the same order; a digest tells.
2. The rows are claimed in slices, each by one worker at a time; a slice whose worker has died is others'. Slices only
   divide the work: that nobody is asked twice is the promise of the ids of the logins, see `Store.hold`.
3. One worker at a time writes the results. What it does later than it may, because it was paused, changes nothing.
4. Results are kept, encrypted, until they are taken; those that must make up one whole file until the batch is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from idura_ciba.errors import StoreError

__all__ = ["ABANDONED", "BatchStore", "Ended", "Member", "Standing", "batch_differs"]

#: Seconds after which a batch that nobody works at is forgotten, although it is not over. Until then whoever goes on
#: with it must find whom it has asked.
ABANDONED = 30 * 86_400.0


@frozen
class Member:
    """A login's place in a batch.

    Attributes:
        batch: The name of the batch.
        about: What is written beside its result, encrypted.
    """

    batch: str
    about: bytes = field(repr=False)


@frozen
class Ended:
    """A result of a batch that was not taken yet.

    Attributes:
        login: Its id.
        state: How it ended.
        about: As in `Member`.
        outcome: As for `Store.end`.
        at: When, in seconds since the epoch.
    """

    login: str
    state: str
    about: bytes | None = field(repr=False)
    outcome: bytes | None = field(repr=False)
    at: float


@frozen
class Standing:
    """How far a batch is.

    Attributes:
        slices: How many there are; None as long as nobody has come to the end of the people.
        done: Slices in which everybody was asked, or will not be.
        free: Slices that are not done and belong to nobody, or to the worker that looks.
        is_open: Whether there are logins that have not ended, or results that were not taken.
        is_over: Whether everything is done and taken.
        workers: How many live, those included that do not take part.
    """

    slices: int | None
    done: int
    free: int
    is_open: bool
    is_over: bool
    workers: int

    @property
    def is_all_done(self) -> bool:
        """Whether everybody was asked, or will not be."""
        return self.slices == self.done


class BatchStore(Protocol):
    """The part of a `Store` that batches need."""

    async def open_batch(self, batch: str, digest: bytes) -> None:
        """Begin a batch, or take part in it.

        Raises:
            StoreError: It has other people (`batch_differs`).
        """
        ...

    async def standing(self, batch: str, worker: str) -> Standing:
        """How far it is."""
        ...

    async def claim_slice(self, batch: str, number: int, worker: str) -> bool:
        """Claim a slice; False if another worker has it, or it is done. It may be this worker's already."""
        ...

    async def finish_slice(self, batch: str, number: int, worker: str) -> None:
        """Everybody in a slice of this worker is in the store."""
        ...

    async def count_slices(self, batch: str, slices: int) -> None:
        """The people end after so many slices."""
        ...

    async def leave_batch(self, batch: str, worker: str) -> None:
        """What a worker has claimed of a batch is others', and so is writing its results."""
        ...

    async def known(self, logins: Sequence[str]) -> Mapping[str, bytes]:
        """Those of these ids that there are, with the person's tag."""
        ...

    async def conclude(self, login: str, tag: bytes, member: Member, *, state: str, outcome: bytes) -> None:
        """Somebody of a batch will not be asked; unless there is a login of this id, which knows better."""
        ...

    async def may_write(self, batch: str, worker: str) -> bool | None:
        """Become the one who writes the results, or remain it.

        Returns:
            True: it is this worker from now on; None: it is so already; False: another one is.
        """
        ...

    async def results(self, batch: str, *, most: int) -> Sequence[Ended]:
        """Results that were not taken yet, the earliest people first."""
        ...

    async def take_results(self, batch: str, worker: str, logins: Sequence[str], *, keep: bool) -> bool:
        """They are written; False if another worker writes now. Unless `keep`, only their states are left."""
        ...

    async def offer_again(self, batch: str, worker: str, *, most: int) -> int:
        """Whoever writes now begins anew: what was taken and kept is a result again.

        Returns:
            How many were offered; call it until that is 0, because no statement may take long.
        """
        ...

    async def finish_batch(self, batch: str, worker: str) -> bool:
        """All results are written; False if that is not so, or another worker writes."""
        ...

    async def empty_batch(self, batch: str, *, most: int) -> int:
        """Keep no more of the results of a batch that is over; as often as `offer_again`. `Store.purge` does it too."""
        ...


def batch_differs() -> StoreError:
    """Two machines have different files."""
    return StoreError(
        "the batch of this name has other people, other options, or another resume_secret",
        code="batch_differs",
        phone="Nobody was asked",
        advice="run the same command with the same file on every machine, and give each new batch a name of its own",
    )
