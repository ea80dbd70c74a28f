"""Tests of the error tree."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable

import pytest

from idura_ciba import AlreadyPending, errors
from idura_ciba.errors import CibaError, Expired, ProviderError, TransportError
from idura_ciba.redaction import Redacted

ALL: dict[str, type[CibaError]] = {name: getattr(errors, name) for name in errors.__all__}


def drawn_tree() -> dict[str, str]:
    """The picture in the module's docstring, as child to parent."""
    branches = ["CibaError"]
    tree: dict[str, str] = {}
    for bars, name in re.findall(r"^ {4}((?:\|  )*)\|- (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(bars) // len("|  ") + 1
        branches[depth:] = [name]
        tree[name] = branches[depth - 1]
    return tree


def test_the_drawn_tree_is_the_real_one() -> None:
    """Each class stands in the docstring under its first base, and nothing else stands there."""
    assert drawn_tree() == {name: cls.__bases__[0].__name__ for name, cls in ALL.items() if cls is not CibaError}


def test_every_class_is_public_and_sorted() -> None:
    """`__all__` names each error of the module once, in order."""
    defined = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, CibaError)}
    assert errors.__all__ == sorted(defined)


def test_an_argument_that_cannot_work_is_a_value_error() -> None:
    """Those who check arguments in Python's own way catch it too. What is wrong about the moment is none."""
    assert [name for name, cls in ALL.items() if issubclass(cls, ValueError)] == ["ArgumentError"]


def filled(cls: type[CibaError]) -> CibaError:
    """An error with a value in each attribute that its class declares."""
    error = cls("what", code="stable_code", phone="phone", advice="advice")
    for name in {name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())} - {"code"}:
        setattr(error, name, f"value of {name}")
    error.resume_token = Redacted("door")
    return error


def pickled_and_back(error: CibaError) -> CibaError:
    """What another process gets."""
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in the same line
    assert isinstance(back, CibaError)
    return back


@pytest.mark.parametrize("cls", ALL.values(), ids=ALL)
@pytest.mark.parametrize("duplicate", [copy.copy, pickled_and_back])
def test_every_error_survives_pickling_and_copying(
    cls: type[CibaError], duplicate: Callable[[CibaError], CibaError]
) -> None:
    """An error in another process has its class, its words and its attributes; only a live transaction is lost."""
    error = filled(cls)
    back = duplicate(error)
    assert type(back) is cls
    assert str(back) == str(error)
    assert back.args == ("what",)
    assert vars(back) == {name: value for name, value in vars(error).items() if name != "transaction"}
    assert type(back.resume_token) is Redacted


@pytest.mark.parametrize("cls", [CibaError, AlreadyPending])
def test_a_resume_token_is_made_when_somebody_looks(cls: type[CibaError]) -> None:
    """Once, and also for another process; a thousand people given up at once cost no thousand seals."""
    made: list[Redacted] = []

    def make() -> Redacted:
        made.append(Redacted(f"door {len(made)}"))
        return made[-1]

    error = cls("what")
    error.resume_token = make
    assert str(error)
    assert made == []
    back = pickled_and_back(error)
    assert back.resume_token == error.resume_token == error.resume_token == "door 0"
    assert type(back.resume_token) is Redacted
    assert len(made) == 1


def test_already_pending_holds_its_transaction_until_pickled() -> None:
    """The transaction is there for the one who catches the error, and a thing that cannot be pickled does no harm."""
    error = AlreadyPending("This person is being asked already")
    error.transaction = lambda: None
    back = pickled_and_back(error)
    assert isinstance(back, AlreadyPending)
    assert back.transaction is None
    assert error.transaction is not None


@pytest.mark.parametrize("cls", ALL.values(), ids=ALL)
def test_a_code_is_one_word_and_can_be_more_exact(cls: type[CibaError]) -> None:
    """A raiser that names no code gets that of the class, in one spelling."""
    assert re.fullmatch(r"[a-z_]+", cls("what").code)
    assert cls("what", code="more_exact").code == "more_exact"


def test_codes_of_classes_that_are_raised_differ() -> None:
    """A program that looks at the code alone can tell the classes apart."""
    codes = [cls.code for cls in ALL.values() if "code" in vars(cls)]
    assert len(set(codes)) == len(codes)


def test_it_says_what_happened_then_the_phone_then_the_advice() -> None:
    """Three sentences with one full stop each, the code at the end."""
    error = Expired("Nobody answered in time", phone="The prompt is gone.", advice="Ask again")
    assert str(error) == "Nobody answered in time. The prompt is gone. Ask again. [expired]"


def test_what_is_unknown_is_left_out() -> None:
    """No empty sentence stands where nothing is to say."""
    assert (
        str(TransportError("No answer", advice="Look at the network")) == "No answer. Look at the network. [no_answer]"
    )


def test_the_trace_id_is_shown() -> None:
    """What the provider's support asks for stands in the message."""
    error = ProviderError("The provider refused")
    error.trace_id = "abc123"
    assert str(error) == "The provider refused. [provider_error, trace abc123]"


def test_the_resume_token_is_not_shown() -> None:
    """It opens a door: neither the message nor the repr holds it."""
    error = Expired("Nobody answered in time")
    error.resume_token = Redacted("v1.secret")
    assert "secret" not in f"{error} {error!r} {vars(error)!r}"
