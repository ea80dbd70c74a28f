"""The value that a login ends in. `id_token` alone makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from idura_ciba.errors import ArgumentError
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted

__all__ = ["Authentication"]


@frozen(init=False)
class Authentication:
    """A person who has proved who they are. Made by verification only, so holding one means that all rules held.

    Attributes:
        subject: `sub`: the person's stable pseudonym at this issuer and client.
        claims: All claims of the ID token.
        id_token: The verified token itself, for those who must archive the proof.
        tokens: The whole token response.
        person_confirmed: True when the token named the person who was asked for. False when the eID delivered no
            number, as Norwegian BankID and FrejaID may: then somebody approved, and *who* is known by `subject` only.
        acr: The level reached, as the token spells it; None when it names none.
        issuer: Who vouches for it.
        trace_id: The provider's trace id of the answer that brought it.
    """

    subject: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    id_token: Redacted
    tokens: Tokens = field(repr=False)
    person_confirmed: bool
    acr: str | None
    issuer: str
    trace_id: str | None

    def __init__(self) -> None:
        raise ArgumentError(
            "an Authentication cannot be made by hand",
            code="authentication",
            advice="in tests, let the simulator approve one",
        )
