"""What replicas of one service share: their logins, who asks whom, and who is alive.

Rules:
1. A person is held by at most one login at a time, over all replicas: from before the request leaves until the prompt
   is certainly gone. Taking the hold and writing down the intent to ask is one step (`hold`).
2. A login has one owner at a time. Each owner has an epoch of its own, and whatever it writes carries it: what comes
   from a former owner, however late, changes nothing and says so.
3. A worker that has not been heard of for a lease is dead. Its logins can be taken by others; what it was about to ask
   ends indeterminate, because nobody knows whether the request left.
4. All instants are by the store's own clock: those of the machines may differ. What is passed and returned are seconds
   from now.
5. Nothing of a person is in it: tags are keyed, tokens are sealed, the rest is encrypted by whoever writes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from idura_ciba.errors import StoreError
from idura_ciba.fleet.batch_store import BatchStore, Member
from idura_ciba.scheduling.budget import Throttle

__all__ = [
    "EXPERIENCE_KEPT",
    "MOST_SOURCES",
    "REMEMBERED",
    "WINDOW",
    "Census",
    "Change",
    "Held",
    "Others",
    "Owned",
    "Report",
    "Seen",
    "Stage",
    "Store",
    "Stored",
    "Wish",
    "login_exists",
    "login_unknown",
    "newer_tables",
    "worker_is_dead",
]


#: Seconds over which a rate counts: whoever begins to send must wait until what others have sent is out of it.
WINDOW = 1.0
#: Seconds for which it is remembered what a worker that has gone had learned: no provider's `Retry-After` holds longer.
REMEMBERED = 60.0
#: Seconds for which the experience of a process is kept: a week. Whoever lives publishes again and again; an eID's app
#: that is redesigned should be noticed within days.
EXPERIENCE_KEPT = 604_800.0
#: Processes whose experience of one kind is kept: the latest. Each may have counted some seven hundred logins.
MOST_SOURCES = 32


class Stage(StrEnum):
    """How far a login is."""

    #: Its request is about to leave, or has left and is not answered yet.
    ASKING = "asking"
    #: The provider has accepted; the person is being asked.
    PENDING = "pending"
    #: It has ended, and nobody has fetched how.
    ENDED = "ended"
    #: It has ended, and its outcome has been fetched and is here no longer.
    DELIVERED = "delivered"


@frozen
class Owned:
    """A login and the right to write about it.

    Attributes:
        login: Its id.
        epoch: The number of its owner; every owner has a higher one than those before.
    """

    login: str
    epoch: int


@frozen
class Held:
    """Somebody else asks this person.

    Attributes:
        login: Which login.
        seconds: For how long their prompt may still be on the phone.
    """

    login: str
    seconds: float


@frozen
class Stored:
    """A login as it is stored.

    Attributes:
        login: Its id.
        stage: How far it is.
        state: A value of `protocol.machine.State`.
        epoch: That of its owner.
        owner: The worker that asks; None while nobody does.
        token: Resumes it; None before it was accepted and after it has ended.
        progress: What its owner has written for those who watch it, encrypted.
        cancelled: Whether somebody wants it to stop.
        seconds: For how long its prompt may still be on the phone; negative once it is gone.
        layout: The layout of token and progress; a worker takes only what it can read.
        doubt: Whether whoever had it last may have asked for the answer since the token was stored: it has died, or has
            not said otherwise.
    """

    login: str
    stage: Stage
    state: str
    epoch: int
    owner: str | None
    token: str | None = field(repr=False)
    progress: bytes | None = field(repr=False)
    cancelled: bool
    seconds: float
    layout: int
    doubt: bool


class Wish(StrEnum):
    """What somebody wants of whoever owns a login."""

    #: That it stops.
    STOP = "stop"
    #: That its progress is written down from now on: most logins are not watched from elsewhere.
    WATCH = "watch"


@frozen
class Change:
    """Something about a login has changed, or somebody wishes that it would.

    Attributes:
        login: Its id; None if changes may have been missed, so that whoever waits should look again.
        wish: What somebody wants.
        ping: What a replica passes on to the others about a ping of the provider's, encrypted; then nothing else has
            changed.
    """

    login: str | None
    wish: Wish | None = None
    ping: str | None = field(default=None, repr=False)


@frozen
class Report:
    """What a worker says of itself with a sign of life.

    Attributes:
        throttle: What refusals have taught it.
        late: For how many seconds its longest-waiting poll has been due.
        taken_over: How many logins it has gone on with that others had left.
    """

    throttle: Throttle = Throttle()  # noqa: RUF009 - frozen
    late: float = 0.0
    taken_over: int = 0


@frozen
class Others:
    """What a worker hears with a sign of life; it is one of them.

    Attributes:
        workers: How many live.
        throttle: What they have learned: of the last cut the highest part and the average rate, and of all who were
            told to wait the longest time.
    """

    workers: int
    throttle: Throttle = Throttle()  # noqa: RUF009 - frozen


@frozen
class Seen:
    """A worker, as the store sees it.

    Attributes:
        name: Its random name.
        heard: Seconds since its last sign of life.
        logins: How many it owns.
        share: Its share of the rate in requests per second; None without a rate.
        allowed: What it sends at most since the provider has refused requests, in requests per second; None if it has
            learned of no limit.
        late: As in `Report`.
        taken_over: As in `Report`.
    """

    name: str
    heard: float
    logins: int
    share: float | None
    allowed: float | None = None
    late: float = 0.0
    taken_over: int = 0


@frozen
class Census:
    """What is in a store at one instant.

    Attributes:
        workers: Those that were not declared dead, the eldest first.
        asking: Logins whose request is under way.
        pending: Logins whose person is being asked.
        unowned: Those of the two that nobody asks for, so that somebody should take them.
        ended: Logins whose outcome nobody has fetched.
        closed: Seconds for which no request may leave, because the provider says so.
    """

    workers: Sequence[Seen]
    asking: int
    pending: int
    unowned: int
    ended: int
    closed: float = 0.0


class Store(BatchStore, Protocol):
    """Keeps the logins of a fleet.

    Methods that write about a login return whether its epoch was the present one; if not, nothing has changed.
    """

    async def open(self) -> None:
        """Connect, and create or extend the tables.

        Raises:
            StoreError: It cannot be reached, or its tables are of a newer release.
        """
        ...

    async def aclose(self) -> None:
        """Disconnect."""
        ...

    # --- workers ----------------------------------------------------------------------------------------------------

    async def join(self, worker: str) -> None:
        """A worker begins; its name was never used before."""
        ...

    async def beat(self, worker: str, *, lease: float, report: Report | None = None) -> Others | None:
        """A worker lives; what it has of the rate is its own for a lease more, and `WINDOW` seconds.

        Args:
            worker: Which one.
            lease: For how many seconds.
            report: What it says of itself. None: nothing new.

        Returns:
            What the others say; None if this worker was declared dead, after which it must drop everything.
        """
        ...

    async def share(self, worker: str, *, wanted: float, rate: float, lease: float) -> float:
        """Have a share of a rate that all workers have together: what is wanted, as far as the others leave it.

        Call it with less only once less has been used for `WINDOW` seconds.

        Returns:
            The share, in requests per second; 0 if there is none left.
        """
        ...

    async def bury(self, *, lease: float) -> Sequence[str]:
        """Declare those dead that were not heard of for `lease` seconds; their logins have no owner from then on."""
        ...

    async def leave(self, worker: str) -> None:
        """A worker ends; what it has not let go has no owner, and its share is others' after `WINDOW` seconds."""
        ...

    # --- logins -----------------------------------------------------------------------------------------------------

    async def hold(
        self, login: str, tag: bytes, worker: str, *, seconds: float, member: Member | None = None
    ) -> Owned | Held:
        """Hold a person for a login of this worker, and write down that they are about to be asked.

        Args:
            login: Its id, never used before.
            tag: The person's.
            worker: Who will ask.
            seconds: For how long a prompt may be on the phone, if nothing more is heard of it.
            member: Its place in a batch, if it has one; then its outcome is a result of that, and not for `deliver`.

        Raises:
            StoreError: There is a login of this id (`login_id`).
        """
        ...

    async def withdraw(self, owned: Owned) -> bool:
        """Nothing was sent: forget the login and free the person."""
        ...

    async def accept(self, owned: Owned, *, token: str, progress: bytes, seconds: float, layout: int) -> bool:
        """The provider has accepted; the prompt is gone after so many seconds."""
        ...

    async def note(self, owned: Owned, *, progress: bytes) -> bool:
        """What those who watch may see has changed."""
        ...

    async def end(self, owned: Owned, *, state: str, outcome: bytes, gone: bool) -> bool:
        """It has ended; `gone` if the provider has finished with the prompt, which frees the person."""
        ...

    async def let_go(self, owned: Owned, *, token: str, tell: bool = True, doubt: bool = False) -> bool:
        """Its owner asks no more; anybody may take it. Unless `tell`, they notice when they next look around.

        `doubt`: whether an answer may have been lost all the same, see `Stored`.
        """
        ...

    async def take(self, worker: str, *, most: int, layouts: Sequence[int]) -> Sequence[Stored]:
        """Become the owner of logins that have none, the oldest first; each is given to one worker only."""
        ...

    async def release(self, worker: str, *, keep: Sequence[str]) -> int:
        """Let go whatever this worker is said to own and does not know of; how many that were.

        When an answer of the store is lost, so is what it said: that a login was taken, or a person held.
        """
        ...

    async def cancel(self, login: str) -> bool:
        """Want a login to stop; False if it has ended, or there is none of this id."""
        ...

    async def cancelled(self, worker: str) -> Sequence[str]:
        """Which logins of a worker somebody wants to stop, for a worker that may not have heard of it."""
        ...

    async def watch(self, login: str) -> None:
        """Want the progress of a login to be written down; its owner hears of it as a `Change`."""
        ...

    async def pass_on(self, ping: str) -> None:
        """Tell whoever listens of a ping, as a `Change`. Nothing is written: whoever does not hear it polls later."""
        ...

    async def get(self, login: str) -> Stored | None:
        """Look at a login."""
        ...

    async def deliver(self, login: str) -> bytes | None:
        """Fetch the outcome of a login that has ended; None if it was fetched before, or has not ended."""
        ...

    # --- what strategies learn --------------------------------------------------------------------------------------

    async def publish(self, source: str, kind: str, *, experience: bytes) -> None:
        """Keep what a process has learned, in place of what it published before; it stays when the process is gone.

        Args:
            source: A name of its own.
            kind: Of strategy.
            experience: Encrypted by whoever writes it.
        """
        ...

    async def consult(self, source: str, kind: str) -> Sequence[bytes]:
        """What others than this process have published of this kind, the latest first; `MOST_SOURCES` at most."""
        ...

    # --- all of it --------------------------------------------------------------------------------------------------

    async def census(self) -> Census:
        """Count what there is."""
        ...

    async def purge(self, *, older: float) -> int:
        """Forget logins that ended more than `older` seconds ago, and intents of which no more was heard; how many.

        Those of a batch are forgotten with it; of what was learned, what is older than `EXPERIENCE_KEPT`, or of more
        than `MOST_SOURCES`.
        """
        ...

    def changes(self) -> AsyncIterator[Change]:
        """What changes from now on, by whomever; ends when the store is closed."""
        ...


def newer_tables() -> StoreError:
    """Somebody with a newer release has been here."""
    return StoreError(
        "the store was extended by a newer release of idura_ciba, and this one cannot read it",
        code="store_version",
        advice="install that release here too",
    )


def login_exists() -> StoreError:
    """An id says which login is meant, for ever."""
    return StoreError(
        "there is a login of this id already",
        code="login_id",
        advice="give each login an id of its own, or leave it out",
    )


def worker_is_dead() -> StoreError:
    """It was not heard of for a lease; whatever it had is others'."""
    return StoreError(
        "this worker was declared dead, because it was not heard of for too long",
        code="worker_dead",
        advice="drop everything and join under a new name",
    )


def login_unknown() -> StoreError:
    """There is none, or it has been forgotten."""
    return StoreError(
        "there is no login of this id",
        code="login_unknown",
        advice="check the id; a login is forgotten some time after its end",
    )
