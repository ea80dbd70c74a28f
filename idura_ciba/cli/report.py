"""The result of one login, for people and for programs, with no more personal data than was asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from attrs import field, frozen

from idura_ciba import Outcome, State
from idura_ciba.checks import explained
from idura_ciba.redaction import clean

__all__ = ["Report"]


@frozen(kw_only=True)
class Report:
    """The outcome of one login as it is shown.

    Attributes:
        state: The final state.
        code: The error's stable code; None for an approved login.
        explanation: The error's sentences.
        description: The provider's own words on the error.
        subject: The person's pseudonym at this client.
        person_confirmed: Whether the ID token confirms the person asked for; None without a login.
        acr: The assurance level reached.
        trace_id: The trace id for the provider's support.
        claims: The requested claims that are in the ID token.
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
            outcome: The outcome of the login.
            claims: Names of the claims to show; None for all.
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
        """Return one JSON object on one line, in ASCII, so that no terminal interprets anything in it."""
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
        """Yield the lines that a person reads."""
        if self.explanation is not None:
            yield f"{self.state.value}: {self.explanation}"
        elif self.person_confirmed:
            yield f"{self.state.value}: the ID token confirms the person you asked for"
        else:
            yield f"{self.state.value}: the ID token does not confirm that it was the person you asked for"
        shown = {"subject": self.subject, "acr": self.acr, "trace": self.trace_id if self.explanation is None else None}
        for name, value in {**shown, **self.claims}.items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                yield f"  {clean(name)}: {clean(text)}"
