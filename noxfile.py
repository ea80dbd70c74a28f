"""What developers and the CI run: `nox` for the checks of every commit, `nox -l` for the list."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "types"]
# Even if CI=true: a machine tests with the interpreters that it has.
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
#: joserfc comes with Authlib, so `pyproject.toml` does not name it; this is the oldest that the oldest Authlib allows.
OLDEST_JOSERFC = "joserfc==1.6.0"
#: One process more than there are cores, as some tests wait for processes; but no more than there is work for. Whoever
#: is ready takes tests from the others.
ALL_CORES = ("-n", str(min((os.cpu_count() or 1) + 1, 8)), "--dist", "worksteal")
#: What `benchmarks/load.py` also measures if Node.js is installed.
OPENID_CLIENT = "openid-client@6.8.9"
#: Tests that take real time, or need node-oidc-provider.
INTEROP = ("tests/interop", "tests/test_faults.py")
#: Names of the system's browser. None is ever downloaded.
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
#: Tell the tests in `tests/browser` where it is, and where axe-core is.
BROWSER, BROWSER_NODE_MODULES = "IDURA_CIBA_BROWSER", "IDURA_CIBA_BROWSER_NODE_MODULES"
#: Tells the tests in `tests/interop` where the provider is.
NODE_MODULES = "IDURA_CIBA_INTEROP_NODE_MODULES"
#: Tests that need the libraries of the group `companions`; the variable tells them that those must be there.
WITH_COMPANIONS = ("tests/http/test_session_companions.py", "tests/test_docs_telemetry.py")
COMPANIONS = {"IDURA_CIBA_COMPANIONS": "required"}
#: Tests that need the libraries of the group `examples`; the variable tells them that those must be there.
WITH_EXAMPLES = (
    "tests/test_docs_examples.py",
    "tests/test_docs_ping.py",
    "tests/test_docs_recipes.py",
    "tests/fleet/test_fleet_examples.py",
)
EXAMPLES = {"IDURA_CIBA_EXAMPLE_LIBRARIES": "required"}
#: Tests of the built documentation site and of what publishes it. The variable names its folder, and says that it must
#: be there.
WITH_SITE = ("tests/test_docs_site.py", "tests/test_docs_generated.py", "tests/test_workflows.py")
SITE = "IDURA_CIBA_SITE"
#: Tells the tests that PostgreSQL, its driver and PgBouncer must be there.
FLEET = {"IDURA_CIBA_FLEET": "required"}
#: Has a test take names away one at a time, and not only all at once.
ELSEWHERE = {"IDURA_CIBA_ELSEWHERE": "each"}


def present_pythons() -> list[str]:
    """Return the supported versions whose interpreter works, that of nox itself first.

    A name on PATH proves nothing: pyenv puts a shim there for each version that it has ever installed, and the shims of
    versions that are not selected fail. So pyenv's interpreters are added at the end of PATH, and each one is tried.
    """
    pyenv = os.environ.get("PYENV_ROOT")
    installed = sorted(Path(pyenv).glob("versions/*/bin")) if pyenv else []
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, installed)])
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [own, *(other for other in ("3.11", "3.12", "3.13") if other != own and answers(f"python{other}"))]


def answers(name: str) -> bool:
    """Say whether a program of this name on PATH runs, and was built with the modules that this package needs."""
    programs = filter(None, (shutil.which(name, path=folder) for folder in os.get_exec_path()))
    probe = ("-c", "import sqlite3, ssl")
    return any(subprocess.run([found, *probe], capture_output=True, check=False).returncode == 0 for found in programs)


PYTHONS = present_pythons()
# One Python, unless you ask for more: `nox -s tests -p 3.11 3.12 3.13`.
nox.options.pythons = PYTHONS[:1]


def install(session: nox.Session, *requirements: str, groups: tuple[str, ...]) -> None:
    """Install requirements and dependency groups in one go, even with an old pip that does not know groups."""
    tools = nox.project.dependency_groups(PYPROJECT, *groups)
    session.install(*requirements, *tools)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; with the Python that runs nox, they must also reach the required coverage."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test",))
    # Images of containers forbid it. Then each of the hundred processes that tests start compiles the whole package.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    if session.posargs or session.python != PYTHONS[0]:
        session.run("pytest", *(session.posargs or ALL_CORES))
        return
    session.run("coverage", "erase")
    # Not pytest-cov: it starts too late to see what other plugins import.
    session.run("coverage", "run", "-m", "pytest", *ALL_CORES)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=PYTHONS[:1])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest allowed dependencies."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    tested = ("cli", "desk", "fleet", "otel", "xlsx")
    bounds = [*project["dependencies"], *(bound for name in tested for bound in extras[name])]
    constraints = Path(session.create_tmp()) / "lowest.txt"
    # A constraint names no extras.
    oldest = (re.sub(r"\[.*\]", "", bound).replace(">=", "==") for bound in bounds)
    constraints.write_text("\n".join([OLDEST_JOSERFC, *oldest]))
    install(session, "-c", str(constraints), "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test",))
    session.run("pytest", *(session.posargs or ALL_CORES))


@nox.session(python=PYTHONS[:1])
def lint(session: nox.Session) -> None:
    """Find faults and unformatted code."""
    install(session, groups=("lint",))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", *session.posargs)


@nox.session(python=PYTHONS[:1])
def types(session: nox.Session) -> None:
    """Check the types of the package, and that a user's type checker knows the type of every public name."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test", "types"))
    session.run("mypy", *session.posargs)
    complete = session.run(
        *("pyright", "--verifytypes", "idura_ciba", "--ignoreexternal", "--outputjson"),
        silent=True,
        success_codes=[0, 1],
    )
    report = json.loads(str(complete))["typeCompleteness"]
    for symbol in report["symbols"]:
        if symbol["isExported"] and not symbol["isTypeKnown"]:
            session.log(f"{symbol['name']}: {'; '.join(found['message'] for found in symbol['diagnostics'])}")
    if report["completenessScore"] < 1:
        session.error(f"only {report['completenessScore']:.2%} of the public names have a known type")


@nox.session(python=PYTHONS[:1])
def companions(session: nox.Session) -> None:
    """Run the tests with what people put around aiohttp and logins; without it, `tests` skips them."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test", "companions"))
    session.run("pytest", *WITH_COMPANIONS, *session.posargs, env=COMPANIONS)


@nox.session(python=PYTHONS[:1])
def fleet(session: nox.Session) -> None:
    """Run the tests of replicas over a PostgreSQL of their own; `apt-get install postgresql pgbouncer` brings both."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test",))
    session.run("pytest", "tests/fleet", *ALL_CORES, *session.posargs, env=FLEET)


@nox.session(python=PYTHONS[:1])
def elsewhere(session: nox.Session) -> None:
    """Kill and resume a batch without each of the names that Windows and macOS lack, one at a time."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test",))
    session.run("pytest", "tests/cli/test_batch_elsewhere.py", *ALL_CORES, *session.posargs, env=ELSEWHERE)


@nox.session(python=PYTHONS[:1])
def examples(session: nox.Session) -> None:
    """Run the programs of docs/examples, which are stopped in the middle, and check their types."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test", "types", "examples"))
    session.run("pytest", *WITH_EXAMPLES, *session.posargs, env=EXAMPLES | FLEET)
    session.run("mypy", "--strict", "docs/examples")
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"), "docs/examples")


@nox.session(python=PYTHONS[:1])
def docs(session: nox.Session) -> None:
    """Build the documentation site into `build/site`, strictly, and test it; `-- serve` shows it while you write."""
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("docs", "test"))
    if session.posargs == ["serve"]:
        session.run("mkdocs", "serve", "--watch", "idura_ciba")
        return
    session.run("mkdocs", "build", "--strict")
    session.run("pytest", *WITH_SITE, *session.posargs, env={SITE: str(ROOT / "build" / "site")})


@nox.session(python=PYTHONS[:1])
def interop(session: nox.Session) -> None:
    """Log in at node-oidc-provider, which nobody here wrote, and let real time pass."""
    provider = install_provider(session)
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test",))
    session.run("pytest", *INTEROP, "-m", "interop", *session.posargs, env=provider)


@nox.session(python=PYTHONS[:1])
def newest(session: nox.Session) -> None:
    """Run the HTTP tests and the interop tests with the newest pre-releases of all dependencies."""
    provider = install_provider(session)
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test", "companions"))
    session.install("--pre", "--upgrade", *PYPROJECT["project"]["dependencies"])
    session.run("pip", "list")
    session.run("pytest", "tests/http", *ALL_CORES, env=COMPANIONS)
    session.run("pytest", *INTEROP, "-m", "interop", env=provider)


@nox.session(python=PYTHONS[:1])
def browser(session: nox.Session) -> None:
    """Use the pages in Chromium, on a desk and a phone, and keep pictures of all states in tests/browser/pictures."""
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        refuse(session, "needs Chromium: apt-get install chromium")
    installed = install_locked(session, ROOT / "tests" / "browser")
    install(session, "-e", ".[cli,desk,fleet,otel,xlsx]", groups=("test", "browser"))
    environment = {BROWSER: str(program), BROWSER_NODE_MODULES: str(installed)}
    session.run("pytest", "tests/browser", "-m", "browser", *session.posargs, env=environment)


def install_provider(session: nox.Session) -> dict[str, str]:
    """Install node-oidc-provider, and return the environment that tells where it is."""
    return {NODE_MODULES: str(install_locked(session, ROOT / "tests" / "interop"))}


def refuse(session: nox.Session, reason: str) -> NoReturn:
    """Skip a session that the machine lacks something for; the CI must not."""
    (session.error if "CI" in os.environ else session.skip)(reason)


def install_locked(session: nox.Session, folder: Path) -> Path:
    """Install what the lock file of a folder names, once, and return where its `node_modules` are."""
    npm = shutil.which("npm")
    if npm is None:
        refuse(session, "needs Node.js with npm")
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    installed = session.cache_dir / f"{folder.name}-{lock[:16]}"
    if not (installed / "node_modules" / ".package-lock.json").exists():
        installed.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(folder / name, installed)
        with session.chdir(installed):
            session.run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", external=True)
    return installed


@nox.session(python=PYTHONS[:1])
def mutation(session: nox.Session) -> None:
    """Put faults into the protocol and the verifier, and see whether their tests notice (20 minutes)."""
    install(session, "-e", ".", groups=("test", "mutation"))
    session.run("python", "benchmarks/mutation.py", *session.posargs)


@nox.session(python=PYTHONS[:1])
def bench(session: nox.Session) -> None:
    """Measure what a login costs, compared with a bare loop and other clients (30 minutes; 15 with `-- --quick`)."""
    install(session, "-e", ".[cli,otel]", groups=("load",))
    environment = {}
    if npm := shutil.which("npm"):
        folder = session.cache_dir / "load"
        folder.mkdir(parents=True, exist_ok=True)
        session.run(npm, "install", "--silent", "--prefix", str(folder), OPENID_CLIENT, external=True)
        environment["IDURA_CIBA_LOAD_NODE_MODULES"] = str(folder / "node_modules")
    session.run("python", "benchmarks/load.py", *session.posargs, env=environment)


@nox.session(python=PYTHONS[:1])
def wheel(session: nox.Session) -> None:
    """Build the files of a release, test the wheel with its source out of reach, and leave both in `dist`."""
    temporary = Path(session.create_tmp()).resolve()
    shutil.rmtree(temporary)  # what an earlier run left
    install(session, groups=("build",))
    # The wheel is built from the source archive, so nothing can be in it that the archive lacks.
    session.run("python", "-m", "build", "--outdir", str(temporary), str(ROOT), silent=True)
    (source,), (built,) = temporary.glob("*.tar.gz"), temporary.glob("*.whl")
    session.run("twine", "check", "--strict", str(source), str(built))
    install(session, f"{built}[cli,desk,fleet,otel,xlsx]", groups=("test",))
    # The tests come from the archive. Its copy of the package would be imported instead of the wheel.
    shutil.unpack_archive(source, temporary, filter="data")
    session.chdir(temporary / source.name.removesuffix(".tar.gz"))
    shutil.rmtree("idura_ciba")
    session.run(
        *("python", "-c"),
        "import idura_ciba, pathlib; home = pathlib.Path(idura_ciba.__file__).parent; print(home);"
        "assert home.parent.name == 'site-packages' and (home / 'py.typed').exists();"
        "from importlib import metadata; assert '](docs/' not in metadata.metadata('idura_ciba')['Description']",
    )
    session.run("idura-ciba", "--help", silent=True)
    session.run("pytest", *(session.posargs or ALL_CORES))
    # What was tested is what is published.
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    (ROOT / "dist").mkdir()
    for file in (source, built):
        shutil.copy(file, ROOT / "dist")
