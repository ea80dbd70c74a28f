"""Tests of the statements for what workers say and learn, without a server; `test_store.py` carries them out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from idura_ciba.fleet.postgres_signs import beat, consult, publish
from idura_ciba.fleet.store import Others, Report
from idura_ciba.scheduling.budget import Throttle


class Server:
    """Answers each statement with rows, and notes it with its values."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows, self.asked = list(rows), list[dict[str, Any]]()

    async def __call__(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Carry it out."""
        assert statement.count("%(") == statement.count(")s")
        assert set(values) <= {name.partition(")s")[0] for name in statement.split("%(")[1:]}
        self.asked.append(values)
        return self.rows


@pytest.mark.parametrize(
    ("rows", "others"),
    [
        ([], None),
        ([(3, 0.0, None, None, None)], Others(3)),
        ([(3, 12.5, 4, None, 7.5)], Others(3, Throttle(4, None, 7.5, 12.5))),
        ([(1, 0.0, 4, 0.5, None)], Others(1, Throttle(4, 0.5))),
    ],
    ids=["declared dead", "nothing learned", "no agreed rate", "no limit"],
)
async def test_a_sign_of_life_is_one_statement(rows: list[tuple[Any, ...]], others: Others | None) -> None:
    """Whatever is said and heard; a limit that there is not is no number."""
    server = Server(*rows)
    assert await beat(server, "one", lease=5.0, report=Report(Throttle(2, 0.5, math.inf, 1.0), 0.5, 3)) == others
    (values,) = server.asked
    assert (values["cuts"], values["part"], values["allowed"], values["closed"]) == (2, 0.5, None, 1.0)
    assert (values["late"], values["taken_over"]) == (0.5, 3)


async def test_experience_is_written_and_read_in_one_statement_each() -> None:
    """As bytes, whatever the driver makes of them."""
    server = Server((memoryview(b"blob"),))
    await publish(server, "me", "kind", b"mine")
    assert await consult(server, "me", "kind") == [b"blob"]
    assert [values["source"] for values in server.asked] == ["me", "me"]
