"""Who is to be asked."""

from __future__ import annotations

import os
import sys
from typing import Final

import typer

from idura_ciba import ArgumentError
from idura_ciba.cli.files import read_secret
from idura_ciba.eids import Eid
from idura_ciba.redaction import Redacted

__all__ = ["person_for", "read_person"]

#: The national number. Without it, and without an option for it, `verify` asks on the terminal.
PERSON_VARIABLE: Final = "IDURA_CIBA_SSN"


def person_for(eid: Eid, ssn: str | None, ssn_file: str | None, *, simulate: bool) -> Redacted:
    """Return whom an eID is to ask, as they were written; nobody where its own options say that.

    Args:
        eid: Who asks, with its options resolved.
        ssn: What the argument says.
        ssn_file: The file that the argument names.
        simulate: Somebody made up will do.

    Raises:
        UsageError: As for `read_person`; or somebody is named of whom the request would not speak.
    """
    if not eid.needs_ssn:
        if ssn or ssn_file:
            raise ArgumentError(
                "There is a number, and the request has no place for it",
                code="one_person",
                advice="Write {ssn} where it belongs, such as --login-hint 'cpr:{ssn}', or leave it out",
            )
        return Redacted()
    if simulate and eid.somebody is not None and not (ssn or ssn_file):
        return eid.somebody
    return read_person(ssn, ssn_file, what=eid.person)


def read_person(ssn: str | None, ssn_file: str | None, *, what: str = "National number") -> Redacted:
    """Return the number of the person: from the argument, a file, the environment, or a prompt that does not echo.

    Args:
        ssn: What the argument says.
        ssn_file: The file that the argument names.
        what: What to prompt for.

    Raises:
        UsageError: It is given twice, cannot be read, or there is nobody to prompt.
    """
    if ssn and ssn_file:
        raise ArgumentError("Both --ssn and --ssn-file are given", code="one_person", advice="Pass only one of them")
    if ssn_file:
        return read_secret(ssn_file, what="number of the person")
    given = Redacted(ssn or os.environ.get(PERSON_VARIABLE, ""))
    if given:
        return Redacted(given.strip())
    if not sys.stdin.isatty():
        raise ArgumentError(
            "No national number given, and there is no terminal to prompt on",
            code="missing",
            advice=f"Pass --ssn-file FILE (- for standard input), or set {PERSON_VARIABLE}",
        )
    return Redacted(typer.prompt(f"{what} (not shown)", hide_input=True, err=True).strip())
