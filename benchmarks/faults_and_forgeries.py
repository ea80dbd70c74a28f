"""Every fault and every forgery that the tests know, and what the library did with each: one line apiece.

    python benchmarks/faults_and_forgeries.py

The faults are those of `idura_ciba.simulator.catalogue`, tried at each endpoint through the whole client, in memory and
on virtual time; the forgeries are those of `tests/forgeries.py`, encrypted ones included; the lies about bound tokens,
nonces, userinfo and refreshed tokens are those of `tests/bound_lies.py`. What is demanded stands there and in
`tests/test_faults.py`. The column "right" is `yes` where the outcome is the demanded one and nothing else was against
the rules: at most one authentication request, polite polls, nothing sent after the end, an end in time, an error that
says all it should and tells nothing. The program exits with 1 if it is `NO` anywhere. It runs in a clone, with pytest
and hypothesis installed.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from idura_ciba import CibaError, IdTokenRejected
from idura_ciba.testing import run_virtual
from tests import test_faults as faults
from tests.bound_lies import LIES, Lie
from tests.bound_lies import try_out as try_lie_out
from tests.forgeries import FORGERIES
from tests.id_tokens import Case


def try_fault(row: faults.Row) -> tuple[str, bool]:
    """What the library did, and whether that was right."""
    login = run_virtual(faults.try_out(row))
    did = login.outcome if login.error is None else f"{type(login.error).__name__} {login.outcome}"
    return "; ".join([did, *login.complaints]), login.outcome == row.demanded and not login.complaints


def try_forgery(claim: str, case: Case) -> tuple[str, bool]:
    """The same for an ID token that must not pass."""
    try:
        run_virtual(case.verify())
    except IdTokenRejected as error:
        return f"refused: {error.claim}, {error.reason}", error.claim == claim
    except CibaError as error:
        return f"{type(error).__name__} {error.code}", False
    except Exception as error:  # noqa: BLE001 - whatever it is, it should not have come out
        return f"crashed with {type(error).__name__}", False
    return "LET THROUGH", False


def try_lie(lie: Lie) -> tuple[str, bool]:
    """The same for a provider that lies to a client whose tokens are bound."""
    tried = run_virtual(try_lie_out(lie))
    return "; ".join([tried.outcome, *tried.complaints]), tried.outcome == lie.demanded and not tried.complaints


def main() -> int:
    """Try everything and print the table."""
    print("| what | demanded | what the library did | right |")
    print("| --- | --- | --- | --- |")
    wrong = 0
    # joserfc's own, about the short key of one forgery, which is refused.
    warnings.simplefilter("ignore")

    def tell(what: str, demanded: str, did: str, *, right: bool) -> None:
        nonlocal wrong
        wrong += not right
        print(f"| {what} | {demanded} | {did} | {'yes' if right else 'NO'} |")

    for what, row in faults.ROWS.items():
        did, right = try_fault(row)
        tell(what, row.demanded, did, right=right)
    for what, (claim, case) in FORGERIES.items():
        did, right = try_forgery(claim, case)
        tell(f"forged {what}", f"refused: {claim}", did, right=right)
    for what, lie in LIES.items():
        did, right = try_lie(lie)
        tell(f"bound by {what}" if not what.startswith("after") else what, lie.demanded, did, right=right)
    counts = f"{len(faults.ROWS)} faults, {len(FORGERIES)} forgeries and {len(LIES)} lies"
    print(f"\n{counts}, {wrong} of them handled wrongly.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
