"""Tests of faults, through a provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from idura_ciba.simulator import Arrival, Fault, Script, SimReply

if TYPE_CHECKING:
    from conftest import Wire


def only(endpoint: str, fault: Fault, *, nth: int | None = None) -> Callable[[Arrival], Fault | None]:
    """A rule for one endpoint, or for one request to it."""
    return lambda arrival: fault if arrival.endpoint == endpoint and nth in {None, arrival.nth} else None


def test_something_in_front_can_answer(wire: Wire) -> None:
    """The provider never sees the request."""
    wire.idura.faults.append(only("bc-authorize", Fault.answer(503, {"Retry-After": "7"}, b"busy"), nth=1))
    reply = wire.start()
    assert (reply.status, reply.headers, reply.body) == (503, {"Retry-After": "7"}, b"busy")
    assert wire.idura.ledger.orders == []
    assert wire.start().status == 200


def test_an_answer_can_be_altered(wire: Wire) -> None:
    """The provider does its work, and the client gets something else; that is no delivery."""
    wire.idura.script("209801011231", Script.approve())
    wire.idura.faults.append(only("token", Fault.change(lambda reply: SimReply(reply.status, {}, reply.body[:9]))))
    reply = wire.post("/oauth2/token", wire.poll_body(wire.begin()), at=3)
    assert reply.body == b'{"token_t'
    assert wire.idura.ledger.summary() == {
        **wire.idura.ledger.summary(),
        "tokens_issued": 1,
        "delivered": 0,
        "lost_approvals": 1,
    }


def test_a_lost_answer_spends_the_id(wire: Wire) -> None:
    """Tokens were made, nobody has them, and the next poll finds the id spent."""
    wire.idura.script("209801011231", Script.approve())
    wire.idura.faults.append(only("token", Fault.lose_answer(), nth=1))
    auth_req_id = wire.begin()
    with pytest.raises(ConnectionResetError):
        wire.poll(auth_req_id, at=3)
    assert wire.poll(auth_req_id, at=6)["error"] == "invalid_grant"
    record = wire.idura.ledger.orders[0]
    assert (record.outcome, record.delivered, record.tokens_revoked) == ("approved", 0, True)
    assert record.polls_after_final == 0


def test_a_lost_request_changes_nothing(wire: Wire) -> None:
    """Neither an order nor a poll is counted."""
    wire.idura.faults.append(only("token", Fault.lose_request(), nth=1))
    auth_req_id = wire.begin()
    with pytest.raises(ConnectionResetError):
        wire.poll(auth_req_id, at=3)
    assert wire.idura.ledger.orders[0].polls == 0
    assert wire.poll(auth_req_id, at=3)["error"] == "authorization_pending"


def test_a_delay_is_for_the_carrier(wire: Wire) -> None:
    """The pure provider answers at once and says how long the answer is to be held back."""
    wire.idura.faults.append(only("discovery", Fault.delay(30)))
    assert wire.get("/.well-known/openid-configuration")["issuer"] == wire.idura.issuer


def test_a_refused_connection_is_lost_too(wire: Wire) -> None:
    """Without a carrier there is no telling the two apart."""
    wire.idura.faults.append(only("jwks", Fault.refuse_connection()))
    with pytest.raises(ConnectionResetError):
        wire.get("/.well-known/jwks")


def test_a_rule_sees_what_arrives(wire: Wire) -> None:
    """Endpoint, number, request, the order as it stands, and the time."""
    seen: list[Arrival] = []
    wire.idura.faults.append(seen.append)  # type: ignore[arg-type]
    auth_req_id = wire.begin()
    wire.poll(auth_req_id, at=3)
    wire.poll(auth_req_id, at=6)
    assert [(arrival.endpoint, arrival.nth) for arrival in seen] == [("bc-authorize", 1), ("token", 1), ("token", 2)]
    assert seen[0].order is None
    assert seen[2].order is wire.idura.ledger.orders[0]
    assert seen[2].now == wire.now
    assert {arrival.person for arrival in seen} == {"209801011231"}
    wire.start(acr_values="unknown")
    wire.get("/.well-known/jwks")
    assert [arrival.person for arrival in seen[3:]] == [None, None]
    assert not [secret for secret in (auth_req_id, "209801011231") if secret in repr(seen)]


def test_the_first_rule_that_answers_decides(wire: Wire) -> None:
    """Later rules are not asked."""
    wire.idura.faults += [lambda _: None, only("other", Fault.answer(418)), only("other", Fault.answer(500))]
    assert wire.post("/coffee", "").status == 418


def test_faults_can_be_put_together(wire: Wire) -> None:
    """The members are open to kinds that have no name yet."""
    late_garbage = Fault(hold=3, rewrite=lambda reply: SimReply(reply.status, reply.headers, b"<html>"))
    wire.idura.faults.append(only("bc-authorize", late_garbage))
    assert wire.start().body == b"<html>"
    assert len(wire.idura.ledger.orders) == 1
    assert json.loads(wire.post("/x", "").body)["error"] == "not_found"
