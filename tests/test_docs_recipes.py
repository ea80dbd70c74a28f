"""Tests of the recipes for replicas and durable work: a manifest of Kubernetes, a workflow of DBOS, one of Temporal."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import define, field
from joserfc.jwk import RSAKey

from idura_ciba import Authentication, CibaClient, EidRequest, Handover
from idura_ciba.fleet import Fleet
from idura_ciba.simulator import Script, SimulatedIdura, SimulatorServer
from tests.desks import CLIENT_ID, CLIENT_SECRET, EXAMPLES, Desk, needs
from tests.fakes import swedish_number
from tests.logins import SWEDE, MakeClient, swedish
from tests.pages import program

# --- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.fixture(name="manifest")
def _manifest() -> dict[str, Any]:
    """What is deployed, by kind."""
    needs("yaml")
    import yaml  # noqa: PLC0415 - only `nox -s examples` has it

    text = (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(name="container")
def _container(manifest: dict[str, Any]) -> dict[str, Any]:
    """The one container of a replica."""
    (container,) = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_a_pod_has_the_time_to_close(manifest: dict[str, Any], container: dict[str, Any]) -> None:
    """Longer than preStop, uvicorn's patience, and three times that of `Fleet.close`, one for each of its steps."""
    patience = inspect.signature(Fleet.close).parameters["patience"].default
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    uvicorn = float(container["command"][container["command"].index("--timeout-graceful-shutdown") + 1])
    grace = manifest["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= pause + uvicorn + 3 * patience + 10
    assert manifest["Deployment"]["spec"]["replicas"] > 1


def test_probes_look_where_the_service_answers(manifest: dict[str, Any], container: dict[str, Any]) -> None:
    """At paths that the program has and a port that it listens at; a restart is not decided by the readiness."""
    needs("fastapi")
    desk = program("examples/fastapi_fleet.py")
    paths = {name: container[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")}
    assert paths == {"readinessProbe": "/ready", "livenessProbe": "/alive"}
    assert set(paths.values()) <= {route.path for route in desk.app.routes}
    (port,) = container["ports"]
    assert container["command"][:2] == ["uvicorn", "fastapi_fleet:app"]
    assert str(port["containerPort"]) in container["command"]
    assert {probe["httpGet"]["port"] for name, probe in container.items() if name.endswith("Probe")} == {port["name"]}
    (service,) = manifest["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    assert manifest["Service"]["spec"]["selector"] == manifest["Deployment"]["spec"]["selector"]["matchLabels"]


def test_a_manifest_gives_the_program_what_it_reads_and_holds_no_secret(
    manifest: dict[str, Any], container: dict[str, Any], tmp_path: Path
) -> None:
    """The variables make a client, with a key at the place that they name; what is secret is only named."""
    variables = {each["name"]: each for each in container["env"]}
    source = (EXAMPLES / "fastapi_fleet.py").read_text(encoding="utf-8")
    assert set(re.findall(r'os\.environ\["(\w+)"\]', source)) == {"FLEET_SECRET", "FLEET_STORE"}
    for name in ("FLEET_SECRET", "FLEET_STORE"):
        assert variables.pop(name).keys() == {"name", "valueFrom"}
    plain = {name: each["value"] for name, each in variables.items()}
    (mount,) = container["volumeMounts"]
    (volume,) = manifest["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert plain["IDURA_CIBA_KEY_FILE"] == f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"
    key = tmp_path / "key.pem"
    key.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    assert "urn:acme:desk" in repr(CibaClient.from_env(plain | {"IDURA_CIBA_KEY_FILE": str(key)}))


# --- DBOS -------------------------------------------------------------------------------------------------------------

#: Runs the workflow of a case, and dies where it is told to: just after the request has left for the provider and been
#: accepted, or just after that was stored; DBOS has not recorded the step yet in either case.
DYING = """
import asyncio, os, signal, sys
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.writing import Writing
import dbos_workflow

def die(name):
    owner = Fleet if name == "start" else Writing
    former = getattr(owner, name)
    async def dying(*args, **kwargs):
        if name == "start":
            await former(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, dying)

die(sys.argv[2])
asyncio.run(dbos_workflow.main(sys.argv[1]))
"""


@pytest.fixture(name="workflows")
async def _workflows(tmp_path: Path) -> AsyncIterator[tuple[SimulatedIdura, Desk]]:
    """A provider, and the program in a folder of its own, in which a case is known."""
    needs("dbos")
    if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42):
        # Its tables use `unixepoch('subsec')` there, which an older SQLite reads as NULL.
        pytest.skip("with Python 3.12 and later, DBOS needs SQLite 3.42")
    idura = SimulatedIdura(interval=1, expires_in=60, people=lambda _dice: Script.approve(50))
    idura.register_client(CLIENT_ID, secret=CLIENT_SECRET)
    (tmp_path / "4711.number").write_text(swedish_number(0), encoding="utf-8")
    told = {"FLEET_STORE": "fleet.db", "FLEET_SECRET": "5e" * 32, "PYTHONPATH": str(EXAMPLES)}
    async with SimulatorServer(idura) as server, Desk(server.issuer, tmp_path, 0, told) as desk:
        yield idura, desk


async def ended(process: asyncio.subprocess.Process) -> str:
    """What a process has said until it ended."""
    told, trouble = await process.communicate()
    assert process.returncode == 0, trouble.decode()
    return str(told.decode().strip())


PIPES = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.unmeasured
@pytest.mark.parametrize(("where", "state"), [("start", "approved"), ("accept", "indeterminate")])
async def test_a_step_that_is_run_again_does_not_ring_again(
    workflows: tuple[SimulatedIdura, Desk], where: str, state: str
) -> None:
    """What was stored goes on; of what was not, nobody knows whether the phone rang, and nobody is asked twice."""
    idura, desk = workflows
    first = await desk.run("-c", DYING, "4711", where, **PIPES)
    await first.communicate()
    assert first.returncode == -signal.SIGKILL
    (order,) = idura.ledger.orders
    order.decided_at = 0.0
    assert await ended(await desk.run(str(EXAMPLES / "dbos_workflow.py"), "4711", **PIPES)) == state
    assert len(idura.ledger.orders) == 1
    assert (desk.folder / "4711.name").exists() is (state == "approved")


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.unmeasured
async def test_a_workflow_outlives_a_deploy_and_tells_nothing_of_people(
    workflows: tuple[SimulatedIdura, Desk],
) -> None:
    """SIGINT while the person is asked; the next process gets the answer. Then no database names anybody."""
    idura, desk = workflows
    first = await desk.run(str(EXAMPLES / "dbos_workflow.py"), "4711", **PIPES)
    async with asyncio.timeout(20):
        while not idura.ledger.orders or not idura.ledger.orders[0].polls:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.05)
    first.send_signal(signal.SIGINT)
    await first.communicate()
    (order,) = idura.ledger.orders
    order.decided_at = 0.0
    assert await ended(await desk.run(str(EXAMPLES / "dbos_workflow.py"), "4711", **PIPES)) == "approved"
    name = (desk.folder / "4711.name").read_text(encoding="utf-8")
    # Whoever asks again gets what was recorded, and nobody is asked.
    assert await ended(await desk.run(str(EXAMPLES / "dbos_workflow.py"), "4711", **PIPES)) == "approved"
    assert len(idura.ledger.orders) == 1
    for database in ("workflows.db", "fleet.db"):
        with closing(sqlite3.connect(desk.folder / database)) as connection:
            dump = "\n".join(connection.iterdump())
        assert "4711" in dump
        assert name not in dump
        assert swedish_number(0) not in dump


# --- Temporal ---------------------------------------------------------------------------------------------------------


@define
class Attempts:
    """What Temporal does without its server: it keeps the last heartbeat, and hands it to the next attempt."""

    module: ModuleType
    people: dict[str, EidRequest]
    kept: dict[str, Authentication] = field(factory=dict)
    heartbeats: list[tuple[Any, ...]] = field(factory=list)
    attempt: int = 0

    def begin(self, ciba: CibaClient) -> tuple[Any, asyncio.Task[str]]:
        """The next attempt, on a worker with this client."""
        from temporalio.testing import ActivityEnvironment  # noqa: PLC0415 - only `nox -s examples` has it

        async def keep(case: str, login: Authentication) -> None:
            self.kept[case] = login

        self.attempt += 1
        environment = ActivityEnvironment()
        details = self.heartbeats[-1] if self.heartbeats else ()
        environment.info = dataclasses.replace(environment.info, attempt=self.attempt, heartbeat_details=list(details))
        environment.on_heartbeat = lambda *beat: self.heartbeats.append(beat)
        verification = self.module.Verification(ciba, self.people.__getitem__, keep)
        return environment, asyncio.ensure_future(environment.run(verification.verify, "case 4711"))


@pytest.fixture(name="attempts")
def _attempts() -> Attempts:
    """Of the activity, for one case."""
    needs("temporalio")
    return Attempts(program("examples/temporal_activity.py"), {"case 4711": swedish()})


async def test_the_next_attempt_goes_on_with_the_heartbeat_of_the_one_before(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, attempts: Attempts
) -> None:
    """Cancelled, or dead, after a heartbeat: another worker resumes, and the phone has rung once."""
    simulated_idura.script(SWEDE, Script.approve(after=40))
    async with make_ciba_client() as ciba:
        environment, first = attempts.begin(ciba)
        await asyncio.sleep(12)
        assert len(attempts.heartbeats) == 3
        environment.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert ciba.pending == ()
    for beat in attempts.heartbeats:
        assert SWEDE not in str(beat)
    polls = simulated_idura.ledger.orders[0].polls
    async with make_ciba_client() as ciba:
        _, second = attempts.begin(ciba)
        assert await second == "approved"
    (order,) = simulated_idura.ledger.orders
    assert order.polls > polls
    assert attempts.kept["case 4711"].claims["ssn"] == SWEDE
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


async def test_a_worker_that_is_shut_down_hands_over(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, attempts: Attempts
) -> None:
    """Its client is closed under the activity: the last heartbeat has the token that `close` made."""
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - only `nox -s examples` has it

    simulated_idura.script(SWEDE, Script.approve(after=40))
    left: list[Handover] = []
    async with make_ciba_client(on_close=left.extend) as ciba:
        _, first = attempts.begin(ciba)
        await asyncio.sleep(12)
    with pytest.raises(ApplicationError) as caught:
        await first
    assert (caught.value.type, caught.value.non_retryable) == ("handed_over", False)
    assert attempts.heartbeats[-1] == (left[0].token,)
    async with make_ciba_client() as ciba:
        _, second = attempts.begin(ciba)
        assert await second == "approved"
    assert len(simulated_idura.ledger.orders) == 1


async def test_an_attempt_that_knows_nothing_of_the_one_before_asks_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, attempts: Attempts
) -> None:
    """It may have asked, and died before its first heartbeat."""
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - only `nox -s examples` has it

    attempts.attempt = 1
    async with make_ciba_client() as ciba:
        with pytest.raises(ApplicationError) as caught:
            await attempts.begin(ciba)[1]
    assert (caught.value.type, caught.value.non_retryable) == ("interrupted", True)
    assert simulated_idura.ledger.orders == []


async def test_the_attempt_after_one_that_has_asked_nobody_asks(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, attempts: Attempts
) -> None:
    """It says so in a heartbeat: here another login of the same person was pending."""
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - only `nox -s examples` has it

    simulated_idura.script(SWEDE, Script.deny(after=9))
    async with make_ciba_client() as ciba:
        other = await ciba.start(swedish())
        with pytest.raises(ApplicationError) as caught:
            await attempts.begin(ciba)[1]
        assert (caught.value.type, caught.value.non_retryable) == ("already_pending", False)
        await other.outcome()
        assert await attempts.begin(ciba)[1] == "denied"
    assert len(simulated_idura.ledger.orders) == 2
    assert attempts.kept == {}
