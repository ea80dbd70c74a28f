"""What a page shows of a desk: texts in the agent's language, and nothing that a page must not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from idura_ciba.desk.catalogue import CATALOGUE
from idura_ciba.desk.entry import Entry, Verdict
from idura_ciba.desk.texts import Say, sayer
from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.raw import RAW
from idura_ciba.errors import CibaError
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import clean
from idura_ciba.transaction.already_pending import AlreadyPending

__all__ = ["Call", "Field", "call", "clock_time", "complaint", "fields", "offered", "person"]

#: The class of the stylesheet for each verdict; the text says the same.
_TONES: Final[Mapping[Verdict, str]] = {
    "asking": "busy",
    "confirmed": "good",
    "unconfirmed": "warn",
    "no": "bad",
    "unknown": "warn",
    "stopped": "",
    "trouble": "bad",
    "distrusted": "bad",
}
#: Whether the phone rang is unknown in all of these.
_PERHAPS_RUNG: Final = frozenset({"start_unknown", "interrupted"})

#: What to say where no field is at fault, by the error's code.
_ABOUT_NOTHING_TYPED: Final = {
    "form_used": "error_form_used",
    "login_id": "error_form_used",
    "closed": "error_stopping",
}


@frozen(kw_only=True)
class Call:
    """One login as a page shows it.

    Attributes:
        entry: The login.
        tone: The class of its colours.
        verdict: What the agent must see at a glance.
        phase: How far the person is, or what came of it.
        next: What to do now; empty while the person is being asked.
        left: Seconds until the prompt ends; None if that is not known, or it has ended.
        asked_at: When, as people write it.
        ended_at: When it ended.
        again: What to know where somebody wanted to ask the person again; else empty.
    """

    entry: Entry
    tone: str
    verdict: str
    phase: str
    next: str
    left: float | None
    asked_at: str
    ended_at: str
    again: str


@frozen(kw_only=True)
class Field:
    """An option of an eID as a form asks for it.

    Attributes:
        name: Of the option.
        label: The question.
        choices: Values and what they say; empty for any text.
        default: The value that is chosen at first.
        required: Whether it must be answered.
        secret: Whether it may say who is asked, so that it is hidden.
    """

    name: str
    label: str
    choices: Sequence[tuple[str, str]]
    default: str | None
    required: bool
    secret: bool


def call(entry: Entry, now: float, language: str) -> Call:
    """What is shown of a login now, in a language of `LANGUAGES`."""
    say, verdict = sayer(language), entry.verdict
    is_open = entry.ended_at is None
    again = ""
    if entry.again_at is not None:
        again = say("again", time=clock_time(entry.again_at))
        if not is_open and entry.until is not None and entry.until > now:
            again += " " + say("again_after", time=clock_time(entry.until))
    return Call(
        entry=entry,
        tone=_TONES[verdict],
        verdict=say(f"verdict_{verdict}"),
        phase=_phase(entry, say, language),
        next="" if is_open else _next(entry, say),
        left=None if entry.until is None or not is_open else max(0.0, entry.until - now),
        asked_at=say("asked_at", time=clock_time(entry.asked_at)),
        ended_at="" if entry.ended_at is None else say("ended_at", time=clock_time(entry.ended_at)),
        again=again,
    )


def _phase(entry: Entry, say: Say, language: str) -> str:
    if entry.state is State.SUBMITTING:
        return say("sending")
    if entry.verdict in {"unconfirmed", "distrusted"}:
        return say(f"{entry.verdict}_text")
    text = entry.phase.text(language)
    return text if entry.hint is None else f"{text} {say('provider_says', hint=clean(entry.hint))}"


def _next(entry: Entry, say: Say) -> str:
    if entry.verdict == "distrusted":
        return say("next_distrusted")  # whatever else is known of it
    code = "start_unknown" if entry.code in _PERHAPS_RUNG else entry.code
    if entry.state is not State.REJECTED and code == "invalid_client":
        code = None  # a poll was refused, and the phone has rung
    verdict = "failed" if entry.verdict == "trouble" else entry.verdict
    return say(f"next_{code}", f"next_{entry.state.value}", f"next_{verdict}")


def clock_time(at: float) -> str:
    """The time of day, where this machine stands."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M")


def offered(eids: Mapping[str, Eid]) -> list[Eid]:
    """The eIDs that an agent can choose; one that is described by its options is for programmers."""
    return [eid for eid in eids.values() if eid.name != RAW.name]


def person(eid: Eid, say: Say) -> str:
    """What to call whom the eID asks."""
    known = say(f"number_{eid.name}", "number")
    return known if eid.name in {"se", "no", "freja"} else eid.person


def fields(eid: Eid, language: str) -> list[Field]:
    """The options of an eID as a form asks for them; those that can be there several times are left out."""
    return [_field(option, sayer(language)) for option in eid.options if not option.repeatable]


def _field(option: Option, say: Say) -> Field:
    key = f"option_{option.name}"
    return Field(
        name=option.name,
        label=say(key) if key in CATALOGUE else f"{option.help[:1].upper()}{option.help[1:]}",
        choices=[
            (choice, say(f"{key}_{choice}") if f"{key}_{choice}" in CATALOGUE else choice) for choice in option.choices
        ],
        default=option.default,
        required=option.required,
        secret=option.secret,
    )


def complaint(error: CibaError, eid: Eid, language: str, *, about_number: bool) -> tuple[str, str]:
    """What to tell an agent about a form that cannot work.

    Args:
        error: What the library says of it.
        eid: The eID of the form.
        language: One of `LANGUAGES`.
        about_number: Whether the eID does not take the number.

    Returns:
        The name of the field at fault, empty if it is none; and the sentence.
    """
    say = sayer(language)
    if isinstance(error, AlreadyPending):
        until = "" if error.until is None else " " + say("again_after", time=clock_time(error.until))
        return "", say("error_already_pending") + until
    if about_number:
        return "number", say("error_number", eid=eid.label)
    if error.code in {"message_required", "message_too_long", "note"}:
        return error.code.partition("_")[0], say(f"error_{error.code}", eid=eid.label)
    if eid.takes(error.code):
        return error.code, say("error_option", eid=eid.label)
    if error.code in _ABOUT_NOTHING_TYPED:
        return "", say(_ABOUT_NOTHING_TYPED[error.code])
    return "", f"{say('error_other')} {error}"
