"""What came of one login, for people and for programs. It tells no more of a person than was asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from attrs import field, frozen

from idura_ciba import Outcome, State
from idura_ciba.cli.text import clean, explained

__all__ = ["Report"]


@frozen(kw_only=True)
class Report:
    """The outcome of one login as it is told.

    Attributes:
        state: How it ended.
        code: The error's stable word; None for a login.
        explanation: The error's sentences.
        description: The provider's own words on the error.
        subject: The person's pseudonym at this client.
        person_confirmed: Whether the token says that it was the person asked for; None without a login.
        acr: The level reached.
        trace_id: For the provider's support.
        claims: Those that were asked for and are in the token.
        resume_file: Where the resume token was saved.
    """

    state: State
    code: str | None = None
    explanation: str | None = None
    description: str | None = field(default=None, repr=False)
    subject: str | None = field(default=None, repr=False)
    person_confirmed: bool | None = None
    acr: str | None = None
    trace_id: str | None = None
    claims: Mapping[str, Any] = field(factory=dict, repr=False)
    resume_file: Path | None = None

    @classmethod
    def of(cls, outcome: Outcome, *, claims: Collection[str] | None = (), resume_file: Path | None = None) -> Self:
        """Make the report of an outcome.

        Args:
            outcome: What came of the login.
            claims: Which claims to tell; None for all.
            resume_file: Where the resume token was saved, if it was.
        """
        login, error = outcome.authentication, outcome.error
        if login is not None:
            chosen = {name: value for name, value in login.claims.items() if claims is None or name in claims}
            return cls(
                state=outcome.state,
                subject=login.subject,
                person_confirmed=login.person_confirmed,
                acr=login.acr,
                trace_id=login.trace_id,
                claims=chosen,
            )
        assert error is not None  # noqa: S101 - one of the two is always there
        return cls(
            state=outcome.state,
            code=error.code,
            explanation=explained(error),
            description=getattr(error, "error_description", None),
            trace_id=error.trace_id,
            resume_file=resume_file,
        )

    def json(self) -> str:
        """Return one JSON object on one line, in ASCII: no terminal can be led astray by it."""
        members = {
            "state": self.state.value,
            "code": self.code,
            "explanation": self.explanation,
            "error_description": self.description,
            "subject": self.subject,
            "person_confirmed": self.person_confirmed,
            "acr": self.acr,
            "trace_id": self.trace_id,
            "claims": dict(self.claims),
            "resume_file": None if self.resume_file is None else str(self.resume_file),
        }
        return json.dumps(members)

    def lines(self) -> Iterator[str]:
        """Return what a person reads."""
        if self.explanation is not None:
            yield f"{self.state.value}: {self.explanation}"
        elif self.person_confirmed:
            yield f"{self.state.value}: it is the person who was asked for"
        else:
            yield f"{self.state.value}: somebody approved, and the token does not say that it was the person asked for"
        told = {"subject": self.subject, "acr": self.acr, "trace": self.trace_id if self.explanation is None else None}
        for name, value in {**told, **self.claims}.items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                yield f"  {clean(name)}: {clean(text)}"
