"""Everything that a change has to pass; `nox --list` shows the sessions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")

# Nox's own 0.3 s after Ctrl-C are enough for pytest, but not for ending a cluster.
INTERRUPT_TIMEOUT = 180.0  # seconds until SIGTERM, which the suite takes as another Ctrl-C
TERMINATE_TIMEOUT = 60.0  # seconds from there until SIGKILL


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code's style and types, and the workflows' security."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("zizmor", "--offline", "--persona", "pedantic", ".github")


@nox.session
def machinery(session: nox.Session) -> None:
    """Test the machinery itself, without a cluster."""
    run_pytest(session, "tests/machinery")


@nox.session
def policy(session: nox.Session) -> None:
    """Judge the manifests alone, for each Kubernetes version, and compare with accepted access."""
    versions = ("--kubernetes-version", "all")
    run_pytest(
        session, "tests/access", "--cluster", "none", *versions, "--report-dir", "report/policy"
    )


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write docs/ and build its site in report/docs; `-- --check` only compares the pages."""
    _docs(session, *(["--check"] if "--check" in session.posargs else []))


@nox.session
def docs_are_current(session: nox.Session) -> None:
    """Check that docs/ is what `nox -s docs` writes, and that no link of it leads nowhere."""
    _docs(session, "--check")


def _docs(session: nox.Session, *args: str) -> None:
    install(session, *nox.project.dependency_groups(PYPROJECT, "docs"))
    session.run("python", "-m", "rbac_matrix.docs", "--site", "report/docs", *args)


@nox.session
def report(session: nox.Session) -> None:
    """Test the HTML report in the Chromium or Chrome of this host."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "report"))
    pytest(session, "tests/report")


@nox.session(tags=["cluster"])
def gate(session: nox.Session) -> None:
    """Ask every scenario on kind or, where kind cannot run, on local processes."""
    run_pytest(session, "tests/access", "--report-dir", "report/gate")


@nox.session(tags=["cluster"])
def embedded(session: nox.Session) -> None:
    """Ask every scenario on local processes, and test that control plane."""
    paths = ("tests/access", "tests/embedded")
    run_pytest(session, *paths, "--cluster", "embedded", "--report-dir", "report/embedded")


@nox.session(tags=["cluster"])
def honesty(session: nox.Session) -> None:
    """Show on a cluster that changed manifests fail the gate, and that asking changes nothing."""
    run_pytest(session, "tests/honesty", "--report-dir", "report/honesty")


@nox.session(tags=["cluster"])
def stories(session: nox.Session) -> None:
    """Tell the documents' stories on kind, in pods, and test the rules around them."""
    run_pytest(session, "tests/stories", "tests/behaviour", "--report-dir", "report/stories")


@nox.session(tags=["cluster"])
def differential(session: nox.Session) -> None:
    """Compare the policy judge with the real API server on random policies, 20,000 questions."""
    _differential(session)


@nox.session(default=False, tags=["cluster"])
def differential_long(session: nox.Session) -> None:
    """The same with 1,000,000 questions; takes about half an hour."""
    _differential(session, "--comparisons", "1000000")


@nox.session(default=False, tags=["cluster"])
def bench(session: nox.Session) -> None:
    """Measure the judges beside wrk and kubectl on the same API server; needs both on PATH."""
    run_pytest(session, "tests/bench")


def _differential(session: nox.Session, *args: str) -> None:
    install(session, *nox.project.dependency_groups(PYPROJECT, "differential"))
    pytest(session, "tests/differential", "--cluster", "embedded", *args)


@nox.session(default=False)
def accept(session: nox.Session) -> None:
    """Accept what the manifests allow now: the diff of tests/access/accepted is to be read."""
    run_pytest(session, "tests/access/test_accepted_access.py", "--cluster", "none", "--accept")


@nox.session(default=False)
def record(session: nox.Session) -> None:
    """Record what Kubernetes versions serve and grant, for example of `-- v1.34.4 v1.35.4`."""
    install(session)
    session.run("python", "-m", "rbac_matrix.record", *session.posargs)


def run_pytest(session: nox.Session, *args: str) -> None:
    """Run pytest; what follows `--` on nox's command line comes last, so it wins."""
    install(session)
    pytest(session, *args)


def pytest(session: nox.Session, *args: str) -> None:
    """Run pytest in an environment that is ready, with time to end a cluster after Ctrl-C."""
    session.run(
        "pytest",
        *args,
        *session.posargs,
        interrupt_timeout=INTERRUPT_TIMEOUT,
        terminate_timeout=TERMINATE_TIMEOUT,
    )


def install(session: nox.Session, *packages: str) -> None:
    """Install the project and packages, unless this environment has exactly them already.

    pip needs seconds and a package index even where nothing is to do: it builds an editable
    project anew each time.
    """
    content = "\n".join((Path("pyproject.toml").read_text(encoding="utf-8"), *packages))
    wanted = hashlib.sha256(content.encode()).hexdigest()
    installed = Path(session.virtualenv.location) / "installed"
    if installed.is_file() and installed.read_text(encoding="ascii") == wanted:
        session.debug("pyproject.toml has not changed since the last install")
        return
    installed.unlink(missing_ok=True)  # An install that fails halfway leaves no mark.
    session.install("--no-compile", "--editable", ".", *packages)
    installed.write_text(wanted, encoding="ascii")
