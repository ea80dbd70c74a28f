"""Tests of exchanges that take time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idura_ciba.simulator import Script, SimRequest

if TYPE_CHECKING:
    from conftest import Wire

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def poll(wire: Wire, auth_req_id: str) -> SimRequest:
    """A poll as a message."""
    return SimRequest("POST", "/oauth2/token", FORM, wire.poll_body(auth_req_id).encode())


def test_overlapping_polls_are_noticed(wire: Wire) -> None:
    """Two of one id under way at once, also when the second is refused."""
    auth_req_id = wire.begin()
    record = wire.idura.ledger.orders[0]
    with wire.idura.exchange(poll(wire, auth_req_id)) as first:
        first.process(wire.now + 3)
        with wire.idura.exchange(poll(wire, auth_req_id)) as second:
            second.process(wire.now + 3)
    assert record.overlapping == 1
    with wire.idura.exchange(poll(wire, auth_req_id)):
        pass
    assert record.overlapping == 1


def test_polls_of_two_orders_do_not_overlap(wire: Wire) -> None:
    """The rule is for each id by itself."""
    one, two = wire.begin(), wire.begin("no")
    with wire.idura.exchange(poll(wire, one)), wire.idura.exchange(poll(wire, two)):
        pass
    assert wire.idura.ledger.summary()["overlapping"] == 0


def test_an_answer_that_never_arrives_is_not_delivered(wire: Wire) -> None:
    """Only the carrier knows, and says so; a final answer once told makes later polls impolite."""
    wire.idura.script("209801011231", Script.deny())
    auth_req_id = wire.begin()
    record = wire.idura.ledger.orders[0]
    with wire.idura.exchange(poll(wire, auth_req_id)) as exchange:
        exchange.process(wire.now + 3)
    assert (record.told, record.delivered) == (False, 0)
    with wire.idura.exchange(poll(wire, auth_req_id)) as exchange:
        exchange.process(wire.now + 6)
        exchange.delivered()
    assert (record.told, record.delivered, record.polls_after_final) == (True, 1, 0)
    assert wire.poll(auth_req_id, at=9)["error"] == "access_denied"
    assert record.polls_after_final == 1


def test_invalid_grant_is_told_but_delivers_nothing(wire: Wire) -> None:
    """After lost tokens, the refusal is the last thing that a client has to hear."""
    wire.idura.script("209801011231", Script.approve())
    auth_req_id = wire.begin()
    record = wire.idura.ledger.orders[0]
    with wire.idura.exchange(poll(wire, auth_req_id)) as exchange:
        exchange.process(wire.now + 3)
    assert wire.poll(auth_req_id, at=6)["error"] == "invalid_grant"
    assert (record.told, record.delivered, record.polls_after_final) == (True, 0, 0)
    wire.poll(auth_req_id, at=9)
    assert record.polls_after_final == 1


def test_a_pending_answer_is_not_final(wire: Wire) -> None:
    """Delivering it changes nothing."""
    auth_req_id = wire.begin()
    wire.poll(auth_req_id, at=3)
    wire.poll(auth_req_id, at=4)
    assert not wire.idura.ledger.orders[0].told


def test_an_unreadable_form_is_answered_in_its_turn(wire: Wire) -> None:
    """Reading it early does not raise early."""
    with wire.idura.exchange(SimRequest("POST", "/oauth2/token", {}, b"x")) as exchange:
        reply = exchange.process(wire.now)
    assert reply is not None
    assert b"invalid_request" in reply.body
