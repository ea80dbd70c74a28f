"""What the documentation shows is run, and its pictures are what the code says."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import aiohttp
import pytest
from joserfc.jwk import RSAKey
from typer.testing import CliRunner

import idura_ciba
from idura_ciba import CibaClient, ClientSecretBasic, PrivateKeyJwt, State, SwedishBankID, UsageError
from idura_ciba.cli.app import app
from idura_ciba.cli.config import Settings
from idura_ciba.eids import EIDS
from idura_ciba.eids.written_contact import read_email, read_phone
from idura_ciba.eids.written_number import Damage, read_danish, read_finnish, read_norwegian, read_swedish
from idura_ciba.errors import DOCUMENTATION
from idura_ciba.protocol.machine import TRANSITIONS, Event
from idura_ciba.simulator import MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock
from tests.fakes import private_key
from tests.pages import DOCS, PAGES, ROOT, example, program

GUIDES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
MARKDOWN = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "tests/**/*.md")
    for path in ROOT.glob(pattern)
)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SWEDE, NORWEGIAN = "209801011231", "01023990128"


def test_every_python_block_is_tested() -> None:
    """A block without a name would be run by nobody."""
    blocks = re.findall(r"^```python$", PAGES, re.MULTILINE)
    named = re.findall(r"^<!-- example: (\w+) -->\n```python$", PAGES, re.MULTILINE)
    assert len(blocks) == len(named) == len(set(named))
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_docs*.py"))
    assert all(f'example("{name}")' in source for name in named)


@pytest.mark.parametrize(
    ("script", "name"), [(Script.approve(after=8), True), (Script.deny(after=8), False), (Script.never(), False)]
)
async def test_the_service_example(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient], script: Script, *, name: bool
) -> None:
    """It returns a name for an approval and None for everything that people do."""
    simulated_idura.script(SWEDE, script)
    async with make_ciba_client() as ciba:
        assert bool(await example("service")["name_of_caller"](ciba, SWEDE)) is name


@pytest.fixture(name="key_file")
def _key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that the examples name is in the folder in which they run."""
    monkeypatch.chdir(tmp_path)
    Path("key.pem").write_bytes(RSAKey.generate_key(2048).as_pem(private=True))


@pytest.mark.usefixtures("key_file")
def test_the_service_example_connects() -> None:
    """With a key in the file that it names."""
    assert "urn:my:application" in repr(example("service")["connect"]())


@pytest.mark.usefixtures("key_file")
async def test_the_lend_example() -> None:
    """The session is still its owner's when the client is closed."""
    async with aiohttp.ClientSession() as session:
        async with example("lend")["connect"](session) as ciba:
            assert "urn:my:application" in repr(ciba)
        assert not session.closed


def test_the_examples_of_id_tokens(tmp_path: Path) -> None:
    """Both make a client."""
    auth, file = PrivateKeyJwt("urn:my:app", private_key("RSA", 5)), tmp_path / "key.pem"  # type: ignore[arg-type]
    assert "urn:my:app" in repr(example("signatures")["connect"](auth))
    file.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    assert "urn:my:app" in repr(example("encrypted")["connect"](auth, file))


async def test_the_example_of_what_comes_afterwards(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]
) -> None:
    """The provider tells more, and the tokens are new."""
    simulated_idura._rules = Rules(userinfo="plain", refresh_tokens="rotated")
    simulated_idura.script(SWEDE, Script.approve(after=1, claims={"address": "Gata 1"}))
    names = example("afterwards")
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(SwedishBankID(SWEDE, call_initiator="RP", message="Hello"))
        assert await names["address_of"](login) == "Gata 1"
        assert (await names["keep_alive"](login)).tokens.access_token != login.tokens.access_token


async def test_the_desk_example(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """The words come first, then progress, then the end; an approval without a number says so."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=8, shares_number=False))
    shown: list[str] = []
    async with make_ciba_client() as ciba:
        outcome = await example("desk")["verify_caller"](ciba, NORWEGIAN, shown.append)
    assert outcome.state is State.APPROVED
    assert shown[0].startswith("Please choose the words: ")
    assert shown[1] == "pending: asking"
    assert shown[-2].startswith("approved")
    assert shown[-1] == "approved, but the eID did not give the number"


async def test_the_resume_example(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """What was pending in one client is logged in by the next; what is no token is passed over."""
    from idura_ciba import SwedishBankID  # noqa: PLC0415 - as a user of the example would

    simulated_idura.script(SWEDE, Script.approve(after=8))
    names = example("resume")
    first = make_ciba_client()
    await first.start(SwedishBankID(SWEDE, call_initiator="RP", message="Hello"))
    tokens = await names["shut_down"](first)
    async with make_ciba_client() as second:
        (login,) = await names["resume_all"](second, [*tokens, "no token"])
    assert login.claims["ssn"] == SWEDE


def test_the_tests_example(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """It passes, and on no other clock than the virtual one."""
    example("tests")["test_a_login"](simulated_idura, make_ciba_client)


def test_the_example_by_hand(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """It plays somebody who chooses other words than were read."""
    example("by_hand")["test_a_caller_who_hears_badly"](simulated_idura, make_ciba_client)


def test_the_raw_example() -> None:
    """It sends what it says."""
    assert example("raw")["request"].parameters()["login_hint"] == "cpr:0000000000"


def test_the_strategy_example_saves_polls(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]
) -> None:
    """Beside the default; and both take the person who opens the app late to the end."""
    polls_for = example("trial")["polls_for"]
    calm = polls_for(example("strategy")["strategy"], simulated_idura, make_ciba_client)
    assert calm < polls_for(None, simulated_idura, make_ciba_client)


async def test_the_fleet_example(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """Two clients share a scheduler, and its line counts the logins of both."""
    from idura_ciba import NorwegianBankID, SwedishBankID  # noqa: PLC0415 - as a user of the example would

    simulated_idura.script(SWEDE, Script.approve(after=8))
    simulated_idura.script(NORWEGIAN, Script.deny(after=8))
    names = example("fleet")
    async with make_ciba_client(**names["shared"]()) as one, make_ciba_client(**names["shared"]()) as two:
        swede = await one.start(SwedishBankID(SWEDE, call_initiator="RP", message="Hello"))
        norwegian = await two.start(NorwegianBankID(NORWEGIAN))
        assert names["how_things_stand"]().startswith(
            "2 pending, 0 due, 0 in flight, 0 starting, at most 200 requests/s"
        )
        assert (await swede.outcome()).state is State.APPROVED
        assert (await norwegian.outcome()).state is State.DENIED
    assert "0 pending" in names["how_things_stand"]()
    assert "2 decisions learned" in names["how_things_stand"]()


async def test_the_batch_example(
    simulated_idura: SimulatedIdura,
    make_ciba_client: Callable[..., CibaClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody's result is stored once, however often it is run."""
    from idura_ciba import EidRequest, SwedishBankID  # noqa: PLC0415 - as a user of the example would

    monkeypatch.chdir(tmp_path)
    simulated_idura.script(SWEDE, Script.approve(after=8))
    stored: list[Any] = []

    async def people() -> AsyncIterator[tuple[str, EidRequest]]:
        yield "4711", SwedishBankID(SWEDE, call_initiator="RP", message="Hello")

    for _ in range(2):
        async with make_ciba_client() as ciba:
            await example("batch")["verify_all"](ciba, people(), stored.append)
    assert [(result.key, result.state, set(result.claims)) for result in stored] == [
        ("4711", State.APPROVED, {"name"}),
    ]  # fmt: skip


def test_the_commands_of_the_guide_to_batches_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, to check a file."""
    command = re.search(r"^idura-ciba (batch .*--dry-run.*?)  # rings nobody$", GUIDES, re.MULTILINE)
    assert command
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(f"key,ssn\n1,{SWEDE}\n", encoding="utf-8")
    result = CliRunner().invoke(app, shlex.split(command[1]))
    assert (result.exit_code, "1 valid row, 0 invalid, 0 duplicates" in result.stderr) == (0, True)


@pytest.fixture(name="mitid")
def _mitid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the page on eIDs, as somebody saves it in an empty folder where they work."""
    found = re.search(r"<!-- example: mitid -->\n```python\n(.*?)```", GUIDES, re.DOTALL)
    assert found
    (tmp_path / "mitid.py").write_text(found[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("mitid")
    sys.modules.pop("mitid", None)


@pytest.mark.usefixtures("mitid")
def test_the_eid_example_logs_in(simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient]) -> None:
    """In a program, by the test that the page shows."""
    assert example("mitid")["MITID"].name == "mitid"
    example("mitid_test")["test_mitid"](simulated_idura, make_ciba_client)


def test_the_commands_of_the_page_on_eids_run(mitid: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, at the provider that they make or at one that knows the eID."""
    tenant = SimulatedIdura(people=lambda _dice: Script.approve(after=5))
    tenant.add_eids(mitid.PHONE)

    @asynccontextmanager
    async def connected(idura: SimulatedIdura, **options: Any) -> AsyncIterator[CibaClient]:
        idura.register_client("urn:a", secret="hush")
        clock, auth = virtual_clock(), ClientSecretBasic("urn:a", "hush")
        async with CibaClient(
            idura.issuer, auth, transport=MemoryTransport(idura, clock=clock), clock=clock, **options
        ) as client:
            yield client

    monkeypatch.setattr(asyncio, "run", run_virtual)
    monkeypatch.setattr(Settings, "client", lambda _settings, **options: connected(tenant, **options))
    for command in ("verify", "batch"):
        monkeypatch.setattr(f"idura_ciba.cli.{command}.simulated_client", connected)
        monkeypatch.setattr(f"idura_ciba.cli.{command}.Clock", virtual_clock)
    Path("people.csv").write_text("key,ssn\n1,9999999999\n", encoding="utf-8")
    page = (ROOT / "docs" / "writing-an-eid.md").read_text(encoding="utf-8")
    commands = re.findall(r"^idura-ciba ((?:verify|batch) .*)$", page.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        ran = CliRunner().invoke(app, shlex.split(command), input="9999999999\n")
        assert ran.exit_code == 0, f"{command}: {ran.output}"
    assert [order.person for order in tenant.ledger.orders] == ["9999999999"]


def test_the_table_of_eids_is_what_they_declare() -> None:
    """Write it again with `python docs/list_eids.py` when this fails."""
    text = (ROOT / "docs" / "writing-an-eid.md").read_text(encoding="utf-8")
    assert program("list_eids.py").page(text) == text
    assert f"|  | {' | '.join(eid.label for eid in EIDS.values() if eid.build is None)} |\n" in text


PEOPLE = (ROOT / "docs" / "national-numbers.md").read_text(encoding="utf-8")
READERS: dict[str, Callable[[str], str]] = {
    "Swedish": partial(read_swedish, today=date(2025, 11, 29)),
    "Swedish, a hundred years old": partial(read_swedish, today=date(2025, 11, 29)),
    "Norwegian": read_norwegian,
    "Danish": read_danish,
    "Finnish": read_finnish,
    "phone": read_phone,
    "address": read_email,
}


def test_the_guide_to_numbers_shows_what_is_read() -> None:
    """Each form of its table comes out as the normal form beside it."""
    rows = re.findall(r"^\| ([\w ,]+) \| `([^`]+)` \| (`.+`) \|$", PEOPLE, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(READERS)
    for name, normal, forms in rows:
        assert READERS[name](normal) == normal
        for form in re.findall("`([^`]+)`", forms):
            assert READERS[name](form) == normal, form


def test_the_guide_to_numbers_shows_what_is_refused() -> None:
    """Each example by the code beside it, and no kind of damage is left out."""
    rows = re.findall(r"^\| `(\w+)`.*? \| (?:`([^`]+)`)?(.*?) \|", PEOPLE, re.MULTILINE)
    codes = {code for code, _, _ in rows}
    assert {f"national_number_{damage}" for damage in get_args(Damage)} <= codes
    for code, example_, whose in rows:
        if not example_:
            continue
        reader = READERS["phone" if code.startswith("phone") else "Norwegian" if "a Norwegian" in whose else "Swedish"]
        with pytest.raises(UsageError) as caught:
            reader(example_)
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["floors", "states"])
def test_a_picture_of_the_code_is_what_the_code_gives(name: str) -> None:
    """Draw it again with `python docs/draw_floors.py` or `python docs/draw_states.py` when this fails."""
    assert (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8") == program(f"draw_{name}.py").picture()


@pytest.mark.unmeasured
def test_the_picture_of_the_floors_hides_no_import() -> None:
    """Each room has a place, and whoever follows the arrows gets wherever the imports lead, and nowhere else."""
    drawing = program("draw_floors.py")
    rules = drawing.architecture()
    every = drawing.imports(rules)
    drawn = drawing.without_shortcuts(every)
    assert set(drawing.ROOMS) == set(rules.RANKS)
    assert sum(map(len, drawn.values())) < sum(map(len, every.values())) / 2
    for room in sorted(rules.RANKS, key=rules.RANKS.__getitem__):
        assert reached(drawn, room) == reached(every, room)


def reached(arrows: Mapping[str, set[str]], room: str) -> set[str]:
    """Wherever arrows lead from a room."""
    return arrows[room].union(*(reached(arrows, each) for each in arrows[room]))


def test_the_picture_of_the_states_shows_every_state_and_every_event() -> None:
    """A state without a place would be missing without a word."""
    drawing = program("draw_states.py")
    assert set(drawing.PLACES) == set(State)
    drawn = {(source, event) for (source, _), events in drawing.arrows().items() for event in events}
    assert drawn == {(source, event) for source, row in TRANSITIONS.items() for event in row}
    assert {event for _, event in drawn} == set(Event)


def test_every_promise_names_tests_that_exist() -> None:
    """A promise that nothing holds is a wish."""
    names = [f"P{number}" for number in range(1, 14)]
    promises, tests = SECURITY.split("## Which tests hold the promises")
    assert re.findall(r"^\| (P\d+) \|", promises, re.MULTILINE) == names
    held = re.findall(r"^\| (P\d+) \| (.*) \|$", tests, re.MULTILINE)
    assert [name for name, _ in held] == names
    for name, cell in held:
        held_by = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", cell)
        assert held_by, name
        for path, test in held_by:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{name}: {path}::{test}"


def links(text: str) -> list[str]:
    """Where the links and the pictures of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL))


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_link_leads_somewhere(page: str) -> None:
    """To a file of the repository, and where it names a heading, to one that the page has."""
    for link in links((ROOT / page).read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            text = target.read_text(encoding="utf-8")
            # On the site, each code of the page of codes is an anchor; elsewhere the link shows the page.
            codes = program("site/generated.py").anchored_codes(text) if target.name == "errors.md" else ()
            assert anchor in {*anchors(text), *codes}, link


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_row_belongs_to_a_table(page: str) -> None:
    """And has a cell for each column of it: a blank line cuts a table in two, and what is below it is no table."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:^ *\|.*\n)+", text, re.MULTILINE):
        head, rule, *rows = block.splitlines()
        assert re.fullmatch(r"[\s|:-]+", rule), head
        widths = {len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row))) for row in (head, rule, *rows)}
        assert len(widths) == 1, head


def test_what_the_test_of_links_sees() -> None:
    """It can fail: links are found, code is passed over, and headings get the names that links use."""
    assert links("[a](b.md) ![c](d.svg)\n```\n[e](f)\n```\n`[g](h)`") == ["b.md", "d.svg"]
    assert anchors("# A, b & c\n## Two `words`\n") == {"a-b--c", "two-words"}
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "docs/batch.md", "benchmarks/README.md"} <= set(MARKDOWN)


def test_the_glossary_has_twenty_words_that_are_in_use() -> None:
    """A word that the package has given up would mislead whoever reads it."""
    words = re.findall(
        r"^\| ([a-z ]+) \| ", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    package = Path(idura_ciba.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py")).lower()
    assert words == sorted(words)
    assert len(words) == 20
    assert [word for word in words if not re.search(rf"\b{word.replace(' ', '[ _]')}", sources)] == []


def test_each_nox_session_says_what_it_proves() -> None:
    """In CONTRIBUTING.md, and none that there is not."""
    sessions = re.findall(
        r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = contributing[contributing.index("| Session |") :]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(sessions)


def test_the_files_that_a_contributor_is_sent_to_exist() -> None:
    """Those of the page on contributing; a name alone is that of a module somewhere in the package."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+(?:\.py|\.md|/|/run))`", contributing))
    package = Path(idura_ciba.__file__).parent
    assert len(named) > 10
    # The wheel is tested where the package does not stand beside its tests.
    places = [ROOT, package.parent, *(path for path in package.rglob("*") if path.is_dir()), package]
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_project_has_one_address() -> None:
    """Its addresses, and what README's links become, begin with that of the source; that of the site is its own."""
    urls = dict(PYPROJECT["project"]["urls"])
    assert urls.pop("Documentation") == DOCUMENTATION
    substitutions = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    addresses = [*urls.values(), *(re.search(r"https://[^)]*", each["replacement"])[0] for each in substitutions)]
    assert len(addresses) == 5
    assert all(address.startswith(urls["Source"]) for address in addresses)


def test_a_package_index_shows_no_broken_link() -> None:
    """What the build makes of README leads to the tag of the version, pictures as pictures and pages as pages."""
    shown = README
    for each in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(each["pattern"], each["replacement"], shown)
    home = f"{PYPROJECT['project']['urls']['Source']}/"
    pairs = list(zip(links(README), links(shown), strict=True))
    assert len(pairs) > 10
    for link, built in pairs:
        kind = "raw" if link.endswith((".png", ".svg", ".webp")) else "blob"
        elsewhere = link.startswith(("https://", "#"))
        assert built == (link if elsewhere else f"{home}{kind}/v$HFPR_VERSION/{link}")
