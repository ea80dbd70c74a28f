"""Tests of what errors mean for a batch."""

from __future__ import annotations

import pytest

from idura_ciba import explain
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.verdicts import (
    asked_often,
    ends_run,
    is_about_all,
    is_about_client,
    is_lost,
    is_unclear,
    is_unknown,
    too_late,
)
from idura_ciba.errors import (
    CibaError,
    JournalError,
    ProviderError,
    RemoteProtocolError,
    ResumeError,
    StateError,
    TransportError,
    UsageError,
)
from idura_ciba.protocol.machine import State


def refused(code: str) -> ProviderError:
    """An OAuth error."""
    error = ProviderError("refused")
    error.error = code
    return error


@pytest.mark.parametrize(
    ("error", "client", "unclear"),
    [
        (refused("unauthorized_client"), True, True),
        (refused("invalid_scope"), True, True),
        (refused("access_denied"), False, True),
        (refused(""), False, True),
        (refused("unknown_user_id"), False, False),
        (refused("missing_user_code"), False, False),
        (TransportError("away"), False, False),
        (RemoteProtocolError("elsewhere", code="redirect"), False, True),
        (RemoteProtocolError("nonsense"), False, False),
    ],
)
def test_a_refusal_is_of_the_client_of_a_person_or_unclear(error: CibaError, client: bool, unclear: bool) -> None:
    """A refusal of the client has a code that says why."""
    assert is_about_client(error) is client
    assert is_unclear(error) is unclear
    assert is_about_all(error, sent=True) is (client)
    assert ends_run(error) is client
    if client:
        assert error.code == getattr(error, "error", None)


def test_what_never_left_is_nobodys() -> None:
    """And what may have arrived is somebody's."""
    away = TransportError("away")
    assert is_about_all(away, sent=False)
    assert not is_about_all(away, sent=True)
    away.maybe_sent = False
    assert is_about_all(away, sent=True)
    assert not ends_run(away)
    assert not is_about_all(UsageError("no"), sent=False)
    assert is_about_all(StateError("no", code="closed"), sent=False)
    assert ends_run(JournalError("full"))


def test_a_lost_answer_is_one_that_nobody_knows() -> None:
    """Not a refusal, and not a mistake of the caller's."""
    for error in (explain.indeterminate(), TransportError("lost"), RemoteProtocolError("nonsense")):
        assert is_lost(error)
    for other in (refused("access_denied"), UsageError("no"), None):
        assert not is_lost(other)


def test_an_unknown_answer_is_one_that_may_be_asked_for_again() -> None:
    """An intent without acceptance, and what was reported so."""
    entry = Entry("k", b"", Phase.INTENDED, 1, 0.0, 0.0)
    assert is_unknown(entry)
    entry.phase, entry.state = Phase.DELIVERED, State.APPROVED.value
    assert not is_unknown(entry)
    entry.state = State.INDETERMINATE.value
    assert is_unknown(entry)
    assert asked_often().code == "asked_often"


def test_what_comes_too_late_is_unknown() -> None:
    """The person may have answered; and what cannot be resumed for another reason has failed."""
    assert too_late(ResumeError("late", code="resume_expired")).state is State.INDETERMINATE
    assert too_late(ResumeError("altered")).state is State.FAILED
