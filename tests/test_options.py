"""Tests of how options are read. `tests/test_client.py` tries the wrong ones on the client."""

from __future__ import annotations

from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.options import MAX_TIMEOUT, limit, positive, seconds, several, texts, whole_number


@pytest.mark.parametrize("value", [1, 2, 10**30])
def test_a_whole_number_passes(value: int) -> None:
    """As it is."""
    assert whole_number("cap", value) == value


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, [1]])
def test_any_other_number_is_refused_by_name(value: Any) -> None:
    """True is a number to Python and to nobody else."""
    with pytest.raises(UsageError, match="cap") as caught:
        whole_number("cap", value)
    assert caught.value.code == "cap"


@pytest.mark.parametrize("value", [1, 0.001, 1e300])
def test_a_positive_number_passes(value: float) -> None:
    """As a float."""
    assert type(positive("rate", value)) is float
    assert positive("rate", value) == value


@pytest.mark.parametrize("value", [0, -1, 10**400, float("nan"), float("inf"), "5", None, True])
def test_what_is_not_positive_is_refused_by_name(value: Any) -> None:
    """Nothing, too, and what no float can hold."""
    with pytest.raises(UsageError, match="must be a finite number above 0") as caught:
        positive("rate", value)
    assert caught.value.code == "rate"


@pytest.mark.parametrize(("value", "passes"), [(0.99, False), (1, True), (1.5, True)])
def test_a_positive_number_may_have_a_least(value: float, passes: bool) -> None:
    """Which passes itself."""
    if passes:
        assert positive("guard", value, least=1.0) == value
        return
    with pytest.raises(UsageError, match="must be a finite number of at least 1"):
        positive("guard", value, least=1.0)


@pytest.mark.parametrize("value", [1, 0.001, 100])
def test_seconds_pass(value: float) -> None:
    """Up to the most."""
    assert seconds("patience", value, most=100.0) == value


@pytest.mark.parametrize("value", [0, -1, 100.1, 10**400, float("nan"), float("inf"), "5", None, True])
def test_other_seconds_are_refused_by_name(value: Any) -> None:
    """Above the most, too, and what no float can hold."""
    with pytest.raises(UsageError, match="patience") as caught:
        seconds("patience", value, most=100.0)
    assert caught.value.code == "patience"


def test_a_limit_counts_from_now() -> None:
    """None is none; whatever cannot be a timeout is refused."""
    assert limit(None, 5.0) is None
    assert limit(2.5, 5.0) == 7.5
    assert limit(MAX_TIMEOUT, 0.0) == MAX_TIMEOUT
    for wrong in (0, MAX_TIMEOUT + 1):
        with pytest.raises(UsageError) as caught:
            limit(wrong, 0.0)
        assert caught.value.code == "timeout"


@pytest.mark.parametrize("values", [[], ["a", "b"], ("a",), {"a"}, iter(["a"])])
def test_several_values_pass(values: Any) -> None:
    """Whatever can be gone through, and once only."""
    assert all(value in {"a", "b"} for value in several("names", values, lambda value: isinstance(value, str)))


@pytest.mark.parametrize("values", ["a", b"a", None, 7, [7], ["a", None]])
def test_what_is_not_several_is_refused_by_name(values: Any) -> None:
    """One text above all."""
    with pytest.raises(UsageError, match="names") as caught:
        several("names", values, lambda value: isinstance(value, str))
    assert caught.value.code == "names"


def test_several_texts_are_texts() -> None:
    """And nothing else."""
    assert texts("names", ["a", "b"]) == ("a", "b")
    with pytest.raises(UsageError, match="names"):
        texts("names", ["a", None])  # type: ignore[list-item] # on purpose
