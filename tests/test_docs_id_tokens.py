"""The page on ID tokens says which signatures and encryptions are accepted, and that is so."""

from __future__ import annotations

import re

import pytest

from idura_ciba.credentials.decryption_key import CONTENT_ENCRYPTIONS, KEY_ALGORITHMS
from idura_ciba.errors import CibaError
from tests.id_tokens import HASHED, SUBJECT, Case, encrypted_case
from tests.pages import DOCS

PAGE = (DOCS / "id-tokens.md").read_text("utf-8")
SIGNATURES = re.findall(r"^\| ([\w-]+) \| (accepted|refused) \| (?:`(\w+)` )?\|$", PAGE, re.MULTILINE)
ENCRYPTIONS = re.findall(r"^\| (\S+) \| (\S+) \| (accepted|refused) \| (?:`(\w+)` )?\|$", PAGE, re.MULTILINE)


async def code_of(case: Case) -> str:
    """What becomes of it."""
    try:
        assert (await case.verify()).subject == SUBJECT
    except CibaError as error:
        return error.code
    return ""


@pytest.mark.parametrize(("alg", "outcome", "code"), SIGNATURES)
async def test_the_page_says_which_signatures_are_accepted(alg: str, outcome: str, code: str) -> None:
    """Each with the one key that fits it; those that no client can name say so themselves."""
    known = alg in HASHED
    case = Case(alg=alg) if known else Case(header={"alg": alg})
    assert (outcome, code) == (("accepted", "") if known else ("refused", await code_of(case)))
    assert await code_of(case) == code


@pytest.mark.parametrize(("alg", "enc", "outcome", "code"), ENCRYPTIONS)
async def test_the_page_says_which_encryptions_are_accepted(alg: str, enc: str, outcome: str, code: str) -> None:
    """Each with a key that would fit it."""
    assert (await code_of(encrypted_case(alg, enc))) == code
    assert (outcome == "accepted") == (code == "")


def test_the_page_is_whole() -> None:
    """All that can be named stands in it, and some that cannot."""
    assert {alg for alg, outcome, _ in SIGNATURES if outcome == "accepted"} == set(HASHED)
    pairs = {(alg, enc) for alg, enc, outcome, _ in ENCRYPTIONS if outcome == "accepted"}
    assert pairs == {(alg, enc) for alg in KEY_ALGORITHMS for enc in CONTENT_ENCRYPTIONS}
    assert sum(outcome == "refused" for *_, outcome, _ in [*SIGNATURES, *ENCRYPTIONS]) >= 9
