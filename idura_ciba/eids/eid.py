"""What an eID is, declared once: a request with blanks, and what is to be known to fill them in.

Rules:
1. Values in `Eid.fields` may hold blanks: `{ssn}`, which is whom to ask, and the names of the eID's options in braces.
2. A blank that nothing fills is an error where the eID is declared, and never a hint that reaches a provider.
3. What is put into a longer hint can neither end it nor begin another one, whatever file it comes from.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, cast

from attrs import field, frozen

from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted

__all__ = ["Eid", "MessageRule", "Option"]

MessageRule = Literal["required", "optional", "forbidden"]

#: Whom to ask, as a blank. The option `--ssn` and the column `ssn` of a file fill it.
_PERSON: Final = "ssn"
_BLANK: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_HINTS: Final = ("login_hint", "login_hint_token", "id_token_hint")
#: Parts of a hint are separated by spaces, and a hint may be JSON.
_PART: Final = re.compile(r"""[^\s\x00-\x20\x7f\ud800-\udfff"'\\{}]+""")


@frozen(kw_only=True)
class Option:
    """What an eID takes beside the person: an option of the command, and a column of a file.

    Attributes:
        name: Of the column and in Python; on the command line `some_name` is `--some-name`.
        help: What it says, in a few words.
        choices: What it may be; empty for any text.
        default: What it is where nobody says.
        required: Nobody can be asked without it.
        repeatable: It may be given more than once; the values come as a tuple. No column of a file.
        secret: It may tell who is asked: the command also reads it from a file, `--some-name-file`.
        elsewhere: What becomes of it where another eID is asked. `ignored` is for what only describes the person.
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    repeatable: bool = False
    secret: bool = False
    elsewhere: Literal["refused", "ignored"] = "refused"

    def __attrs_post_init__(self) -> None:
        """Refuse a name that cannot be one of an option, a column and a blank."""
        if not _NAME.fullmatch(self.name) or self.name in {"key", "eid", "message", _PERSON}:
            raise UsageError(
                f"An option cannot be called {self.name!r}",
                code="option_name",
                advice="Take small letters, digits and _; key, eid, ssn and message are taken",
            )

    @property
    def flag(self) -> str:
        """What it is on the command line."""
        return f"--{self.name.replace('_', '-')}"


def _own(fields: EidOptions) -> EidOptions:
    return copy.deepcopy(fields)


def _hidden(text: str | None) -> Redacted | None:
    return None if text is None else Redacted(text)


@frozen(kw_only=True, eq=False)
class Eid:
    """One eID: what is sent, what the answer proves, what it takes, and what people call it.

    The client's request classes, the command, batches and the documentation read it. `fields` alone makes an eID;
    `request` is for those that check more than data can say.

    Attributes:
        name: Short, for the command line and for files.
        label: What people call it.
        fields: The fields of `EidRequest`, with blanks.
        number: Reads a person's number as it is written and returns it as it is sent, or raises `UsageError`; None:
            anything goes. Those of this package stand in `written_number`.
        number_options: The names of the options by which it does so; it takes them by keyword.
        message: Whether the app shows a text of yours.
        message_bytes: Bytes of it in UTF-8 at most; None for no limit.
        spoken_words: The provider answers with words that somebody has to read to the person.
        phases: The provider's words on progress, in the order in which they come; empty where they are unknown.
        options: What it takes beside the person.
        request: Makes a request of the person and, by keyword, of options, `message` where there is one, and fields
            of `EidRequest`; None: `fields` do.
        build: Makes the eID of its options, where it is them that say what it is.
        person: What `ssn` is with this eID, for whoever is prompted for it.
        verbatim: `ssn` is no number, or one in which spaces and hyphens count.
        somebody: One that is nobody's, for trials.

    Raises:
        UsageError: The declaration cannot work.

    Example:
        ::

            Eid(
                name="mitid",
                label="Danish MitID",
                fields={
                    "login_hint": "cpr:{ssn}",
                    "acr_values": "urn:example:mitid:substantial",
                    "identity": {("cpr",): "{ssn}"},
                },
            )
    """

    name: str
    label: str
    fields: EidOptions = field(factory=EidOptions, converter=_own, repr=False)
    number: Callable[..., str] | None = field(default=None, repr=False)
    number_options: tuple[str, ...] = field(default=(), repr=False)
    message: MessageRule = "optional"
    message_bytes: int | None = None
    spoken_words: bool = False
    phases: tuple[str, ...] = field(default=(), repr=False)
    options: tuple[Option, ...] = field(default=(), repr=False)
    request: Callable[..., EidRequest] | None = field(default=None, repr=False)
    build: Callable[..., Eid] | None = field(default=None, repr=False)
    person: str = "National number"
    verbatim: bool = False
    somebody: Redacted | None = field(default=None, converter=_hidden, repr=False)
    # Looked for once: which fields have blanks, the names in these, and those of them that are parts of hints.
    _open: tuple[str, ...] = field(init=False, repr=False)
    _blanks: frozenset[str] = field(init=False, repr=False)
    _parts: frozenset[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Look for blanks, and refuse what could only fail when somebody is asked."""
        if not _NAME.fullmatch(self.name.replace("-", "_")):
            raise _undeclarable(f"An eID cannot be called {self.name!r}", "Take small letters, digits, - and _")
        if unknown := self.fields.keys() - EidOptions.__annotations__.keys():
            raise _undeclarable(f"{self.label} has fields that no request has: {', '.join(sorted(unknown))}")
        blanks = {name: found for name, value in self.fields.items() if (found := frozenset(_blanks_in(value)))}
        parts = (found for name, found in blanks.items() if name in _HINTS and f"{{{min(found)}}}" != self.fields[name])  # type: ignore[literal-required]
        object.__setattr__(self, "_open", tuple(blanks))
        object.__setattr__(self, "_blanks", frozenset().union(*blanks.values()))
        object.__setattr__(self, "_parts", frozenset().union(*parts))
        certain = (each for each in self.options if each.required or each.default is not None)
        filled = {option.name for option in certain if not option.repeatable}
        if unfilled := self._blanks - filled - {_PERSON}:
            raise _undeclarable(
                f"{self.label} has a blank that nothing fills: {{{min(unfilled)}}}",
                "A blank is {ssn} or the name of an option that is there once, because it is required or has a default",
            )
        if unknown := set(self.number_options) - {option.name for option in self.options}:
            raise _undeclarable(f"{self.label} reads a number by an option that it does not have: {min(unknown)}")
        if self.request is None and self.build is None and not any(self.fields.get(hint) for hint in _HINTS):
            raise _undeclarable(f"{self.label} has no hint, so it cannot say whom to ask", "Put login_hint into fields")

    @property
    def guarantees_person(self) -> bool:
        """Whether its tokens always say who approved; else they may omit the national number."""
        return self.fields.get("identity_guaranteed", False)

    @property
    def needs_ssn(self) -> bool:
        """Whether `ssn` says who is asked, and not an option alone."""
        return self.request is not None or _PERSON in self._blanks

    def takes(self, name: str) -> bool:
        """Whether it has an option of this name, `message` included."""
        return self.message != "forbidden" if name == "message" else any(name == each.name for each in self.options)

    def resolve(self, given: Mapping[str, Any]) -> tuple[Eid, dict[str, Any]]:
        """The eID that is asked, and what is left to ask it with; this one unless `build` makes another.

        Args:
            given: As for `ask`.

        Raises:
            UsageError: An option is missing, is not taken or cannot be used.
        """
        options = self._read(given)
        rest = {name: value for name, value in given.items() if not any(name == each.name for each in self.options)}
        return (self, {**options, **rest}) if self.build is None else (self.build(**options), rest)

    def ask(self, ssn: str = "", /, **given: Any) -> EidRequest:
        """Make the request for one person.

        Args:
            ssn: Who is asked: the national number, or what this eID has in its place.
            given: Options by name, `message` for the text that the app shows, and any field of `EidRequest`.

        Raises:
            UsageError: Something is missing, is not taken, or is no such number. Its code is the option's name,
                `message_required`, `message_forbidden`, `message_too_long`, or what the number's rule says.
        """
        ssn, given = as_text(_PERSON, ssn), self._hidden(given)
        eid, rest = self.resolve(given)
        if eid is not self:
            return eid.ask(ssn, **rest)
        message = rest.get("message")
        if self.message == "required" and not (message or "").strip() and "binding_message" not in rest:
            raise UsageError(
                f"{self.label} needs a message that the person reads in the app",
                code="message_required",
                advice="Pass --message, in a file the column message",
            )
        if self.message == "forbidden":
            self.check_message(message)
        return self._fill_in(ssn, rest) if self.request is None else self.request(ssn, **rest)

    def fill(self, **values: str) -> EidOptions:
        """The fields of a request, with values in the place of the blanks.

        Args:
            values: By the names of the blanks; others are not looked at.

        Raises:
            UsageError: A value is missing, or could make another hint of the hint.
        """
        for name in sorted(self._blanks):
            self._check_blank(name, values.get(name))
        filled = {name: _filled(self.fields[name], values) for name in self._open}  # type: ignore[literal-required]
        return cast("EidOptions", {**self.fields, **filled})

    def check_ssn(self, ssn: str, /, **given: Any) -> Redacted:
        """Read whoever is asked and return it as it is sent: two spellings of one person are one text.

        Args:
            ssn: As for `ask`.
            given: As for `ask`; only `number_options` are looked at.

        Raises:
            UsageError: It is no such number, or could make another hint of the hint.
        """
        ssn = as_text(_PERSON, ssn)
        if self.number is not None:
            defaults = {option.name: option.default for option in self.options}
            read = {name: given.get(name, defaults[name]) for name in self.number_options}
            ssn = Redacted(self.number(ssn, **read))
        if _PERSON in self._blanks:
            self._check_blank(_PERSON, ssn)
        return ssn

    def _check_blank(self, name: str, value: str | None) -> None:
        if not value:
            raise UsageError(f"The {name} is empty", code="missing", advice="Say who is to be asked, and how")
        if name in self._parts and not _PART.fullmatch(value):
            raise UsageError(
                f"The {name} has a character that a part of a hint cannot have",
                code=name,
                advice="Write it without spaces, quotes, braces and backslashes",
            )

    def check_message(self, message: str | None) -> None:
        """Hold a text to what the app can show.

        Raises:
            UsageError: It is too long, or there may be none; `message_too_long` or `message_forbidden`.
        """
        if message is not None and self.message == "forbidden":
            instead = ", and read the spoken_words of the transaction to the person instead" * self.spoken_words
            raise UsageError(
                f"{self.label} must not be sent a binding_message",
                code="message_forbidden",
                advice=f"Leave it out{instead}",
            )
        if message is not None and self.message_bytes is not None and len(message.encode()) > self.message_bytes:
            raise UsageError(
                f"The message for {self.label} is longer than {self.message_bytes} bytes in UTF-8",
                code="message_too_long",
                advice="Shorten it; letters beyond ASCII count for two bytes or more",
            )

    def _hidden(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What was given, with what tells of the person hidden: the variables of a frame end up in crash reports."""
        told = {"message", *(option.name for option in self.options if option.secret)}
        said = {name: value for name, value in given.items() if value is not None or name not in told}
        return {name: as_text(name, value) if name in told else value for name, value in said.items()}

    def _fill_in(self, ssn: Redacted, given: dict[str, Any]) -> EidRequest:
        """A request of data alone."""
        options = {each.name: given.pop(each.name) for each in self.options if each.name in given}
        if "message" in given:
            given = {"binding_message": given.pop("message"), **given}
        if _PERSON in self._blanks:
            ssn = self.check_ssn(ssn, **options)
        request = EidRequest(**(self.fill(ssn=ssn, **options) | cast("EidOptions", given)))
        # Encoding has been tried by now: a message that UTF-8 cannot hold is refused before it is measured.
        self.check_message(request.binding_message)
        return request

    def _read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Its options among what was given, defaults filled in."""
        for name in given:
            if not self.takes(name) and name != "message" and name not in EidOptions.__annotations__:
                raise UsageError(
                    f"There is no option {name} for {self.label}", code=name, advice="Leave it out, or ask another eID"
                )
        read = {}
        for option in self.options:
            value = given.get(option.name, option.default)
            if value is None:
                if option.required:
                    raise UsageError(
                        f"The option {option.name} is missing; {self.label} needs it",
                        code=option.name,
                        advice=f"Pass it: {option.help}",
                    )
                continue
            for text in value if option.repeatable and isinstance(value, list | tuple) else (value,):
                as_text(option.name, text)
            if option.choices and value not in option.choices:
                raise UsageError(
                    f"The {option.name} for {self.label} is none of {', '.join(option.choices)}",
                    code=option.name,
                    advice="Pass one of them",
                )
            read[option.name] = value
        return read


def _blanks_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _BLANK.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _blanks_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _blanks_in(item)


def _filled(value: object, values: Mapping[str, str]) -> object:
    """The same with the blanks filled in; what they stand in is hidden from every repr."""
    if isinstance(value, str):
        # One pass: a value that looks like a blank is none.
        return Redacted(_BLANK.sub(lambda blank: values[blank[1]], value)) if _BLANK.search(value) else value
    if isinstance(value, Mapping):
        return {name: _filled(item, values) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, values) for item in value)
    return value


def _undeclarable(what: str, advice: str = "See docs/writing-an-eid.md") -> UsageError:
    return UsageError(what, code="eid_declaration", advice=advice)
