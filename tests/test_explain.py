"""Tests of the words for what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import explain
from idura_ciba.errors import (
    Abandoned,
    ArgumentError,
    CibaError,
    ClientRejected,
    Denied,
    Expired,
    HandedOver,
    Indeterminate,
    LocalProtocolError,
    ProviderError,
    RemoteProtocolError,
    TransportError,
    UsageError,
)
from idura_ciba.protocol.answers import ErrorAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.machine import State

#: 2026-01-01T00:00:00Z.
WALL = 1767225600.0
SSN = "209801011231"


def provider(code: str, *, begun: bool = False, status: int = 400) -> ProviderError:
    """The error for a wire code."""
    return explain.provider_error(ErrorAnswer(code, "their words", status, 7.0), begun=begun)


def unusable(kind: Unusable, *, begun: bool) -> CibaError:
    """The error for an answer of no use."""
    return explain.unusable(UnusableAnswer(kind, 503, "HTTP 503, not JSON", 7.0), begun=begun)


ALL: dict[str, Callable[[], CibaError]] = {
    "denied": lambda: explain.denied("user declined"),
    "expired by server": lambda: explain.expired("server"),
    "expired by deadline": lambda: explain.expired("deadline"),
    "expired and then refused": lambda: explain.expired("deadline", trouble="HTTP 503, not JSON"),
    "unheard": lambda: explain.unheard(57.0, "12 polls in a row, the last: HTTP 503, not JSON"),
    "unheard and unasked": lambda: explain.unheard(57.0, None),
    "unheard and then expired": lambda: explain.unheard(57.0, "HTTP 503, not JSON", last="HTTP 400, expired_token"),
    "unasked and then expired": lambda: explain.unheard(57.0, None, last="HTTP 400, expired_token"),
    "indeterminate": explain.indeterminate,
    "indeterminate in trouble": lambda: explain.indeterminate(trouble="HTTP 502, not JSON"),
    "indeterminate with words": lambda: explain.indeterminate("user declined"),
    "acknowledgement lost": lambda: explain.acknowledgement_lost("HTTP 502, not JSON"),
    "abandoned": explain.abandoned,
    "handed over": explain.handed_over,
    "limit": explain.limit_passed,
    "limit in doubt": lambda: explain.limit_passed(in_doubt=True),
    "limit in doubt and trouble": lambda: explain.limit_passed(in_doubt=True, trouble="HTTP 502, not JSON"),
    "limit in trouble": lambda: explain.limit_passed(trouble="HTTP 503, not JSON"),
    "not begun, refused": lambda: explain.not_begun(
        ErrorAnswer("unknown_user_id", None, 400), lost=False, wall=0.0, server_date=None
    ),
    "not begun, lost": lambda: explain.not_begun(
        UnusableAnswer(Unusable.LOST, 502, "HTTP 502, not JSON"), lost=True, wall=0.0, server_date=None
    ),
    "not begun, broken": lambda: explain.not_begun(
        UnusableAnswer(Unusable.BROKEN, 200, "HTTP 200, not JSON"), lost=False, wall=0.0, server_date=None
    ),
    "limit before": lambda: explain.limit_passed(begun=False),
    "closed before": explain.closed,
    "internal": lambda: explain.internal(ValueError(SSN)),
    "strategy": lambda: explain.strategy_failed(ValueError(SSN)),
    **{
        f"document {stage}": lambda stage=stage: explain.about_document(TransportError("nothing came"), stage)  # type: ignore[misc]
        for stage in explain._DOCUMENT
    },
    **{
        f"{code} {begun}": lambda code=code, begun=begun: provider(code, begun=begun)  # type: ignore[misc]
        for code in (*explain._ADVICE, "invalid_client", "invalid_request", "invalid_grant", "something_else")
        for begun in (True, False)
    },
    **{
        f"{kind} {begun}": lambda kind=kind, begun=begun: unusable(kind, begun=begun)  # type: ignore[misc]
        for kind in Unusable
        for begun in (True, False)
    },
    **{
        f"not taken: {code}": lambda code=code: explain.unusable(  # type: ignore[misc]
            UnusableAnswer(Unusable.UNACCEPTABLE, 200, "HTTP 200, why", code=code), begun=True
        )
        for code in ("oversized", "compressed")
    },
}


@pytest.mark.parametrize("name", ALL)
def test_every_wording_is_whole(name: str) -> None:
    """What happened, what it means for the phone, what to do, and a word for programs; nothing of a person."""
    error = ALL[name]()
    for sentence in (error.what, error.phone, error.advice):
        assert len(sentence) > 10
        assert not sentence.endswith(".")
        assert not re.search(r"  |\bNone\b|[{}]", sentence)
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert str(error).endswith(f"[{error.code}]")
    assert SSN not in str(error)
    assert "their words" not in str(error)
    assert "user declined" not in str(error)


def test_every_function_is_public_and_tried() -> None:
    """No wording is left out of `__all__`."""
    made = [
        name
        for name, value in vars(explain).items()
        if getattr(value, "__module__", "") == explain.__name__ and name[0] != "_"
    ]
    assert sorted(made) == sorted({*explain.__all__} - {"Stage"})


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("denied", Denied, "denied"),
        ("expired by server", Expired, "expired"),
        ("indeterminate", Indeterminate, "indeterminate"),
        ("acknowledgement lost", Indeterminate, "start_unknown"),
        ("abandoned", Abandoned, "abandoned"),
        ("handed over", HandedOver, "handed_over"),
        ("limit", Abandoned, "caller_timeout"),
        ("limit in doubt", Abandoned, "caller_timeout_in_doubt"),
        ("limit in doubt and trouble", Abandoned, "caller_timeout_in_doubt"),
        ("limit in trouble", Abandoned, "caller_timeout_unheard"),
        ("unheard", Indeterminate, "unheard"),
        ("not taken: oversized", TransportError, "oversized"),
        ("not taken: compressed", TransportError, "compressed"),
        ("internal", LocalProtocolError, "internal"),
        ("strategy", ArgumentError, "strategy_failed"),
        ("invalid_client False", ClientRejected, "invalid_client"),
        ("invalid_grant True", ProviderError, "provider_error"),
        ("Unusable.NOT_CONNECTED False", TransportError, "never_connected"),
        ("Unusable.REDIRECT True", RemoteProtocolError, "redirect"),
        ("Unusable.TURNED_AWAY True", ProviderError, "turned_away"),
        ("Unusable.BUSY False", ProviderError, "busy"),
        ("Unusable.BROKEN True", RemoteProtocolError, "bad_answer"),
    ],
)
def test_each_situation_has_its_class_and_code(name: str, kind: type[CibaError], code: str) -> None:
    """Programs branch on these; they are never reworded."""
    error = ALL[name]()
    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("expired and then refused", "nobody answered in time (HTTP 503, not JSON)"),
        (
            "unheard",
            "for the last 57 s of it the provider said nothing of this login (12 polls in a row, the last: HTTP 5",
        ),
        ("unheard and unasked", "said nothing of this login (no poll was sent)"),
        ("unheard and then expired", "said nothing of this login (HTTP 503, not JSON; then HTTP 400, expired_token)"),
        ("unasked and then expired", "said nothing of this login (no poll was sent; then HTTP 400, expired_token)"),
        ("indeterminate in trouble", "may have been the final one (HTTP 502, not JSON)"),
        ("limit in doubt and trouble", "may have been lost before (HTTP 502, not JSON)"),
        ("limit in trouble", "passed while the provider said nothing of it (HTTP 503, not JSON)"),
        ("not begun, lost", "no usable answer came back (HTTP 502, not JSON)"),
        ("not begun, broken", "breaks the specification (HTTP 200, not JSON)"),
        ("not taken: oversized", "was not taken (HTTP 200, why)"),
        ("document before", "the provider's discovery document could not be fetched: nothing came"),
        ("document meanwhile", "the provider's discovery document could not be fetched: nothing came"),
        ("document after", "the provider's key set could not be fetched: nothing came"),
        ("Unusable.NOT_CONNECTED False", "the provider could not be reached (HTTP 503, not JSON)"),
    ],
)
def test_why_is_said_in_the_end(name: str, reason: str) -> None:
    """Whatever kept an answer away stands in the final error, and at which stage."""
    assert reason in ALL[name]().what


@pytest.mark.parametrize(
    ("trouble", "last", "what"),
    [
        (
            "HTTP 502, not JSON",
            ErrorAnswer("invalid_grant", None, 400),
            "(HTTP 502, not JSON; then HTTP 400, invalid_grant)",
        ),
        (None, ErrorAnswer("access_denied", None, 400), "(HTTP 400, access_denied)"),
        (
            "the connection broke",
            ErrorAnswer("Nej, 209801011231", None, 400),
            "broke; then HTTP 400, an error without a code)",
        ),
    ],
)
def test_a_lost_answer_says_what_was_lost_and_what_came_then(trouble: str | None, last: ErrorAnswer, what: str) -> None:
    """The reason of the loss, and the provider's last word with it."""
    error = explain.final_answer(State.INDETERMINATE, last, wall=0.0, server_date=None, trouble=trouble)
    assert (type(error), error.code) == (Indeterminate, "indeterminate")
    assert error.what.endswith(what)
    assert SSN not in str(error)


def test_what_is_not_taken_names_the_option_that_lets_it_in() -> None:
    """Or, for a compression, whose setting it is."""
    for error in (ALL["not taken: oversized"](), unusable(Unusable.UNACCEPTABLE, begun=True)):
        assert "max_token_size" in error.advice
    assert "Accept-Encoding" in ALL["not taken: compressed"]().advice


def test_a_document_is_named_once() -> None:
    """Logins that wait for one document together share its error."""
    error = TransportError("nothing came")
    for _ in range(2):
        explain.about_document(error, "before")
    assert error.what == "the provider's discovery document could not be fetched: nothing came"


def test_their_words_are_kept_as_an_attribute() -> None:
    """Whoever wants to show the provider's description can, and escapes it first."""
    assert explain.denied("user declined").error_description == "user declined"
    assert explain.denied(None).error_description is None
    assert explain.indeterminate("gone").error_description == "gone"
    assert [explain.expired(by).detected_by for by in ("server", "deadline")] == ["server", "deadline"]
    error = provider("invalid_scope", status=403)
    assert (error.error, error.error_description, error.status, error.retry_after) == (
        "invalid_scope",
        "their words",
        403,
        7.0,
    )
    busy = unusable(Unusable.BUSY, begun=True)
    assert isinstance(busy, ProviderError)
    assert (busy.status, busy.retry_after) == (503, 7.0)


# --- the phone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [True, False])
def test_what_the_phone_does_depends_on_how_far_it_went(*, begun: bool) -> None:
    """Before the acknowledgement the phone has not rung; afterwards nothing takes the prompt back."""
    for error in (provider("invalid_request", begun=begun), provider("invalid_client", begun=begun)):
        assert ("has not rung" in error.phone) is not begun
        assert ("CIBA cannot withdraw it" in error.phone) is begun
    for kind in (Unusable.REDIRECT, Unusable.BUSY, Unusable.TURNED_AWAY):
        assert ("probably not rung" in unusable(kind, begun=begun).phone) is not begun
    # The provider accepted, and nobody can read what: the phone may ring.
    assert "has not rung" not in unusable(Unusable.BROKEN, begun=begun).phone


def test_an_error_about_a_document_keeps_its_own_words_and_others_theirs() -> None:
    """Only what is missing is added, and only where it fits."""
    error = RemoteProtocolError("another issuer", advice="spell it exactly")
    assert explain.about_document(error, "before") is error
    assert (error.phone, error.advice) == ("The phone has not rung", "spell it exactly")
    assert explain.about_document(RemoteProtocolError("x", phone="It rang"), "meanwhile").phone == "It rang"
    assert not explain.about_document(UsageError("no scope"), "before").phone


def test_without_a_connection_nothing_was_sent() -> None:
    """The error says so to programs too."""
    error = unusable(Unusable.NOT_CONNECTED, begun=False)
    assert isinstance(error, TransportError)
    assert error.maybe_sent is False
    assert "has not rung" in error.phone


@pytest.mark.parametrize("name", ["abandoned", "handed over", "limit", "acknowledgement lost", "strategy", "internal"])
def test_no_wording_pretends_that_a_prompt_was_taken_back(name: str) -> None:
    """CIBA has no way to cancel."""
    assert re.search(r"until it expires|may be showing a prompt", ALL[name]().phone)


# --- foreign text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*explain._ADVICE, "invalid_request", "login_required", "consent_required"])
def test_a_code_is_told(code: str) -> None:
    """Known or not, what looks like a code helps whoever reads the log."""
    assert f"with {code} (HTTP 400)" in provider(code).what


@pytest.mark.parametrize(
    "code",
    [
        "",
        SSN,
        f"ssn_{SSN}",
        "Terne Paulsen",
        "Invalid_Request",
        "invalid request",
        "invalid_request\n",
        "invalid-request",
        "\u00e5",
        "\u0430ccess_denied",
        "<script>",
        "\x1b[31m",
        "\u202eabc",
        "{0.__class__}",
        "%s",
        "a" * 65,
    ],
)
def test_foreign_text_does_not_get_into_the_message(code: str) -> None:
    """What does not look like a code stays an attribute."""
    error = provider(code)
    assert "the provider refused the request (HTTP 400)" in error.what
    assert error.error == code


@given(st.text(st.characters(codec=None), max_size=80), st.booleans())
def test_no_code_breaks_the_message(code: str, begun: bool) -> None:
    """Whatever a provider sends, the message is one printable line."""
    error = provider(code, begun=begun)
    assert str(error).isascii()
    assert str(error).isprintable()
    assert error.error == code
    # A short text may stand in our own words by chance.
    assert code not in error.what or len(code) < 4 or re.fullmatch(r"[a-z_]+", code)


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "sentence"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", "clock, which agrees with the provider's."),
        ("Thu, 01 Jan 2026 00:00:01 GMT", "clock, which agrees with the provider's."),
        ("Thu, 01 Jan 2026 00:00:02 GMT", "clock: the provider's clock is 2 s ahead of this one."),
        ("Wed, 31 Dec 2025 23:50:00 GMT", "clock: the provider's clock is 600 s behind this one."),
        ("Thursday, 01-Jan-26 01:00:00 GMT", "clock: the provider's clock is 3600 s ahead of this one."),
        (None, "clock."),
        ("", "clock."),
        ("now", "clock."),
        ("Thu, 01 Jan 99999999999999 00:00:00 GMT", "clock."),
        ("Thu, 99 Jan 2026 00:00:00 GMT", "clock."),
    ],
)
def test_a_rejected_client_hears_of_clocks_that_disagree(date: str | None, sentence: str) -> None:
    """An assertion of the future or the past is the usual reason, and the answer's own date shows it."""
    error = explain.provider_error(ErrorAnswer("invalid_client", None, 401), begun=False, wall=WALL, server_date=date)
    assert str(error).endswith(f"{sentence} [invalid_client]".replace("..", "."))


def test_only_a_rejected_client_hears_of_clocks() -> None:
    """Elsewhere they explain nothing."""
    date = "Wed, 31 Dec 2025 23:50:00 GMT"
    error = explain.provider_error(ErrorAnswer("invalid_scope", None, 400), begun=False, wall=WALL, server_date=date)
    assert "clock" not in str(error)


@given(
    st.text(max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{5,12} [A-Z+0-9-]{1,9}")
)
def test_no_date_breaks_the_explanation(date: str) -> None:
    """A header that cannot be read is left out."""
    error = explain.provider_error(ErrorAnswer("invalid_client", None, 401), begun=False, wall=WALL, server_date=date)
    assert error.advice.startswith("check client id, registered key and clock")
    assert not date.strip() or date not in error.advice or len(date) < 4


# --- bugs -------------------------------------------------------------------------------------------------------------


def test_a_bug_is_told_by_kind_and_place_only() -> None:
    """What an unexpected error says may hold anything, so it is not repeated."""

    def fails() -> Iterator[None]:
        raise KeyError(SSN)
        yield

    with pytest.raises(KeyError) as caught:
        next(fails())
    error = explain.internal(caught.value)
    line = caught.tb.tb_next.tb_lineno if caught.tb.tb_next else 0
    assert error.what.endswith(f"KeyError at {__name__}:{line}")
    assert SSN not in str(error) + repr(error) + repr(vars(error))
    assert error.__cause__ is None
    assert explain.internal(KeyError(SSN)).what.endswith("KeyError")
