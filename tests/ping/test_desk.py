"""Tests of which ping is for which login, what it does, and what is counted."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64decode
from random import Random

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.ping import desk as module
from idura_ciba.ping.desk import Ping, PingCounts, PingDesk
from idura_ciba.redaction import Redacted

KEY = b"k" * 32


class Login:
    """A login that remembers how often it was woken."""

    def __init__(self, desk: PingDesk, auth_req_id: str, seed: int = 1) -> None:
        self.desk, self.auth_req_id = desk, Redacted(auth_req_id)
        self.nonce, self.token = desk.issue(Random(seed))
        self.woken: list[threading.Thread] = []

    def begin(self) -> None:
        """The acknowledgement is here."""
        self.desk.expect(self.nonce, self.auth_req_id, lambda: self.woken.append(threading.current_thread()))

    def ping(self, auth_req_id: str | None = None) -> str:
        """The provider pings it, or names another login; returns what that was."""
        return self.desk.arrived(Ping(self.auth_req_id if auth_req_id is None else Redacted(auth_req_id), self.token))


@pytest.fixture(name="desk")
def _desk() -> PingDesk:
    desk = PingDesk()
    desk.attach(KEY)
    return desk


async def test_the_first_ping_wakes_its_login(desk: PingDesk) -> None:
    """Further ones are counted."""
    one, other = Login(desk, "one"), Login(desk, "other", 2)
    one.begin()
    other.begin()
    assert [one.ping(), one.ping(), one.ping()] == ["accepted", "repeated", "repeated"]
    assert (len(one.woken), len(other.woken)) == (1, 0)
    assert desk.counts == PingCounts(accepted=1, repeated=2)
    assert str(desk.counts) == "1 accepted, 2 repeated, 0 late, 0 unknown, 0 early, 0 forged, 0 malformed"


async def test_a_forged_ping_wakes_nobody(desk: PingDesk) -> None:
    """Another client's token, or that of another login; whether the login that it names exists makes no difference."""
    one, other = Login(desk, "one"), Login(desk, "other", 2)
    one.begin()
    other.begin()
    foreign = PingDesk()
    foreign.attach(b"f" * 32)
    assert desk.arrived(Ping(Redacted("one"), foreign.issue(Random(1))[1])) == "forged"
    assert [other.ping("one"), other.ping("nobody"), other.ping("\ud800")] == ["forged"] * 3
    assert (one.woken, other.woken) == ([], [])
    assert one.ping() == "accepted"
    assert desk.counts == PingCounts(accepted=1, forged=4)


async def test_a_late_ping_wakes_nobody(desk: PingDesk) -> None:
    """Its login has ended here."""
    one = Login(desk, "one")
    one.begin()
    desk.ended(one.nonce, over=True)
    assert [one.ping(), one.ping("other")] == ["late", "forged"]
    assert one.woken == []
    assert desk.counts == PingCounts(late=1, forged=1)


async def test_a_login_that_others_may_go_on_with_is_unknown_here() -> None:
    """Its ping is offered, once, and wakes it if it is resumed here after all."""
    offered: list[Ping] = []
    desk = PingDesk(offered.append)
    desk.attach(KEY)
    one = Login(desk, "one")
    one.begin()
    desk.ended(one.nonce, over=False)
    assert [one.ping(), one.ping()] == ["unknown", "repeated"]
    assert offered == [Ping(Redacted("one"), one.token)]
    assert "one" not in repr(offered)
    one.begin()
    assert len(one.woken) == 1
    assert desk.counts == PingCounts(unknown=1, early=1, repeated=1)
    assert one.ping() == "repeated"
    for over in (True, False):
        desk.ended(one.nonce, over=over)
        assert one.ping() == ("late" if over else "unknown")
        one.begin()


async def test_a_ping_may_overtake_the_acknowledgement(desk: PingDesk) -> None:
    """Then its login polls as soon as it may; one that named another login does nothing."""
    one, other = Login(desk, "one"), Login(desk, "other", 2)
    assert [one.ping(), other.ping("one")] == ["unknown", "unknown"]
    one.begin()
    other.begin()
    assert (len(one.woken), len(other.woken)) == (1, 0)
    assert desk.counts == PingCounts(unknown=2, early=1, forged=1)
    assert other.ping() == "accepted"


async def test_what_is_remembered_is_bounded(desk: PingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    logins = [Login(desk, str(number), number) for number in range(3)]
    for login in logins:
        login.ping()
    for login in logins:
        login.begin()
    assert [len(login.woken) for login in logins] == [0, 1, 1]
    for login in logins:
        desk.ended(login.nonce, over=True)
    assert [login.ping() for login in reversed(logins)] == ["late", "late", "unknown"]


async def test_a_hook_may_be_a_coroutine_function_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    """The answer waits for neither; a failure is logged once, without what it says."""
    offered: list[Ping] = []

    async def on_unknown(ping: Ping) -> None:
        await asyncio.sleep(1)
        offered.append(ping)
        raise ValueError(str(ping.token))

    desk = PingDesk(on_unknown)
    desk.attach(KEY)
    one, other = Login(desk, "one"), Login(desk, "other", 2)
    assert [one.ping(), other.ping(), len(offered)] == ["unknown", "unknown", 0]
    await asyncio.sleep(2)
    assert len(offered) == 2
    assert caplog.messages == ["on_unknown failed with ValueError; further failures are not logged"]


# --- among replicas ---------------------------------------------------------------------------------------------------


class Elsewhere:
    """Another replica of the same client, which is sent the pings."""

    def __init__(self) -> None:
        self.desk = PingDesk()
        self.desk.attach(KEY)
        self.passed_on: list[bytes] = []
        self.desk.share(self.passed_on.append)

    def ping(self, login: Login, auth_req_id: str | None = None) -> str:
        """The provider, or somebody else, pings a login of another replica."""
        named = login.auth_req_id if auth_req_id is None else Redacted(auth_req_id)
        return self.desk.arrived(Ping(named, login.token))


async def test_a_notice_wakes_its_login(desk: PingDesk) -> None:
    """Once, as a ping would; it holds neither the `auth_req_id` nor the token, and makes no ping."""
    one, elsewhere = Login(desk, "one"), Elsewhere()
    one.begin()
    assert [elsewhere.ping(one), elsewhere.ping(one)] == ["unknown", "repeated"]
    (notice,) = elsewhere.passed_on
    assert b"one" not in notice
    assert b64decode(one.token, b"-_") not in notice
    assert notice[:20] == one.nonce
    assert [desk.heard(notice), desk.heard(notice), len(one.woken)] == [True, False, 1]
    assert (desk.counts, elsewhere.desk.counts) == (
        PingCounts(accepted=1, repeated=1),
        PingCounts(unknown=1, repeated=1),
    )
    desk.ended(one.nonce, over=True)
    assert not desk.heard(notice)
    assert desk.counts == PingCounts(accepted=1, repeated=1, late=1)


async def test_a_notice_of_another_login_wakes_nobody(desk: PingDesk) -> None:
    """Whoever has a token knows the login that it is of, and no other."""
    one, other, elsewhere = Login(desk, "one"), Login(desk, "other", 2), Elsewhere()
    one.begin()
    other.begin()
    elsewhere.ping(other, "one")
    assert not desk.heard(elsewhere.passed_on[0])
    assert (one.woken, other.woken, desk.counts) == ([], [], PingCounts(forged=1))


async def test_only_pings_of_the_provider_are_passed_on_and_each_token_once() -> None:
    """So nobody can make one replica shout at the others."""
    elsewhere = Elsewhere()
    one = Login(elsewhere.desk, "one")
    mine = Login(elsewhere.desk, "mine", 2)
    mine.begin()
    for token in ("", "made up", str(one.token)[:-1]):
        elsewhere.desk.arrived(Ping(Redacted("one"), Redacted(token)))
    assert [mine.ping(), mine.ping("one")] == ["accepted", "forged"]
    assert elsewhere.passed_on == []
    for number in range(9):
        elsewhere.ping(one, str(number))
    assert len(elsewhere.passed_on) == 1
    elsewhere.desk.share(None)
    assert elsewhere.ping(Login(elsewhere.desk, "two", 3)) == "unknown"
    assert len(elsewhere.passed_on) == 1


async def test_a_notice_may_come_before_its_login(desk: PingDesk) -> None:
    """Its replica has died, and it is taken over here: then it polls at once. Until then, it is counted elsewhere."""
    one, elsewhere = Login(desk, "one"), Elsewhere()
    elsewhere.ping(one)
    assert not desk.heard(elsewhere.passed_on[0])
    assert desk.counts == PingCounts()
    assert one.ping() == "repeated"  # the provider has sent it twice
    one.begin()
    assert (len(one.woken), desk.counts) == (1, PingCounts(repeated=1, early=1))


@pytest.mark.sockets
async def test_a_ping_may_be_passed_on_from_another_thread() -> None:
    """In the loop of the client."""
    elsewhere, threads = Elsewhere(), list[threading.Thread]()
    elsewhere.desk.share(lambda _: threads.append(threading.current_thread()))
    assert await asyncio.to_thread(elsewhere.ping, Login(elsewhere.desk, "one")) == "unknown"
    await asyncio.sleep(0)
    assert threads == [threading.main_thread()]


@pytest.mark.sockets
async def test_a_ping_may_arrive_in_another_thread(desk: PingDesk) -> None:
    """Its login is woken in its own."""
    one = Login(desk, "one")
    one.begin()
    assert await asyncio.to_thread(one.ping) == "accepted"
    await asyncio.sleep(0)
    assert one.woken == [threading.main_thread()]


def test_a_loop_that_has_ended_is_no_error(desk: PingDesk) -> None:
    """Nobody waits any more."""
    one = Login(desk, "one")

    async def begin() -> None:
        one.begin()

    asyncio.run(begin())
    assert (one.ping(), one.woken) == ("accepted", [])


def test_a_desk_has_one_client(desk: PingDesk) -> None:
    """Without one it knows no token."""
    with pytest.raises(UsageError) as caught:
        desk.attach(KEY)
    assert caught.value.code == "pings"
    ping = Ping(Redacted("one"), desk.issue(Random(1))[1])
    assert desk.is_genuine(ping.token)
    assert not PingDesk().is_genuine(ping.token)
    assert PingDesk().arrived(ping) == "forged"
