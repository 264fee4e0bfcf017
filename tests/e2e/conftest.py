"""Fixtures of the end-to-end tests; see tests/README.md for how to write one."""
import contextlib
import fnmatch
import functools
import json
import os
import re
import shutil
import tempfile

import pytest

import server as server_module
from h2client import Client

TOP = server_module.TOP
LOGS = os.path.join(TOP, "build", "test-logs", "herald-asan" if server_module.ASAN else "herald")
TAIL_LINES = 30


# ---- selection and results, for tests/run ----------------------------------------------------

def shown_name(nodeid):
    """`test_a_run.py::test_x[param]`, without the folder."""
    path, *rest = nodeid.split("::", 1)
    return "::".join([os.path.basename(path)] + rest)


def pytest_sessionstart(session):
    """One failure, not a thousand, when there is no program to test."""
    binary = server_module.BINARY
    if not (os.path.isfile(binary) and os.access(binary, os.X_OK)):
        write_result(name="herald", outcome="failed", reason="%s is no program; run make" % binary)
        pytest.exit("%s is no program" % binary, returncode=1)


def pytest_collection_modifyitems(config, items):
    pattern, label = os.environ.get("HERALD_TESTS"), os.environ.get("HERALD_TESTS_LABEL", "")

    def wanted(item):
        if item.get_closest_marker("soak") and not server_module.SOAK:
            return False
        name = label + shown_name(item.nodeid)
        if not pattern:
            return True
        if any(c in pattern for c in "*?["):
            return fnmatch.fnmatch(name, "*" + pattern + "*")
        return pattern in name

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]


@functools.lru_cache(maxsize=None)
def claim(folder, file):
    """Whether this lane is the first that comes to the file."""
    try:
        os.close(os.open(os.path.join(folder, file), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def pytest_runtest_protocol(item, nextitem):
    """Lanes that run side by side (tests/run) all have the same files; each is run by one of them."""
    folder = os.environ.get("HERALD_CLAIMS")
    return None if not folder or claim(folder, item.path.name) else True


def write_result(**result):
    path = os.environ.get("HERALD_RESULTS")
    if path:
        with open(path, "a") as results:
            results.write(json.dumps(result) + "\n")


def reason_of(report):
    """The one line that says why: the assertion's message or the exception's."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).replace("Skipped: ", "")
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).strip().splitlines()
    text = lines[0].strip() if lines else "no reason given"
    where = " (%s:%d)" % (os.path.basename(crash.path), crash.lineno) if crash else ""
    return text[:300] + where


class Outcome:
    """Joins the reports of set-up, call and teardown into one result a test."""

    def __init__(self):
        self.reports = {}

    def add(self, report):
        if report.when == "setup":
            self.reports[report.nodeid] = []
            write_result(name=shown_name(report.nodeid), outcome="started")
        reports = self.reports.setdefault(report.nodeid, [])
        reports.append(report)
        if report.when == "teardown":
            self.finish(report.nodeid, self.reports.pop(report.nodeid))

    @staticmethod
    def finish(nodeid, reports):
        bad = [r for r in reports if r.failed]
        skipped = [r for r in reports if r.skipped]
        outcome = "failed" if bad else "skipped" if skipped else "passed"
        result = {"name": shown_name(nodeid), "outcome": outcome}
        if bad or skipped:
            result["reason"] = reason_of((bad or skipped)[0])
        if bad:
            result["tail"] = [line for r in bad for title, text in r.sections
                              if title.startswith("herald") for line in text.splitlines()]
        write_result(**result)


OUTCOME = Outcome()


def pytest_runtest_logreport(report):
    OUTCOME.add(report)


def pytest_collectreport(report):
    if report.failed:
        write_result(name=shown_name(report.nodeid) or "collection", outcome="failed",
                     reason=reason_of(report))


# ---- fixtures --------------------------------------------------------------------------------

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        heralds = [h for node in item.listchain() for h in getattr(node, "heralds", ())]
        for number, herald in enumerate(heralds):
            folder = keep_logs(item, number, herald)
            lines = (["stdout: " + line for line in herald.out[-5:]]
                     + herald.err[-TAIL_LINES:] + ["(kept in %s)" % os.path.relpath(folder, TOP)])
            report.sections.append(("herald %d, end of its log" % number, "\n".join(lines)))


def keep_logs(item, number, herald):
    """Saves what a failing test's server wrote, and its config, below build/."""
    name = re.sub(r"[^\w.]+", "-", shown_name(item.nodeid))
    folder = os.path.join(LOGS, "%s-%d" % (name, number))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        pass
    if not os.access(folder, os.W_OK):   # another user's checkout
        folder = tempfile.mkdtemp(prefix="herald-logs-")
    for name, lines in (("stdout", herald.out), ("stderr", herald.err)):
        with open(os.path.join(folder, name), "w") as log:
            log.write("\n".join(lines) + "\n")
    for path in (herald.access_log, herald.config_path):
        if os.path.exists(path):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def certificate():
    directory = tempfile.mkdtemp(prefix="herald-cert-")
    os.chmod(directory, 0o755)
    yield server_module.Certificate(directory)
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def servers(node, certificate):
    """A function that starts servers, all of them ended and checked when the block ends."""
    made = node.heralds = []

    def factory(config=None, start=True, **kwargs):
        server = server_module.make(certificate, config, **kwargs)
        made.append(server)
        return server_module.start(server) if start else server

    try:
        yield factory
    finally:
        faults = []
        for number, server in enumerate(made):
            try:
                server.close()
            except Exception as fault:   # the others are to be ended as well
                faults.append(fault)
                keep_logs(node, number, server)
        for server in made:
            shutil.rmtree(server.directory, ignore_errors=True)
        if faults:
            raise faults[0]


@pytest.fixture
def herald(request, certificate):
    """herald(...) starts a server and returns it (server.Herald); arguments as server.make's.

    herald(start=False, ...) only writes its files. All of them are ended and checked afterwards.
    """
    with servers(request.node, certificate) as factory:
        yield factory


@pytest.fixture(scope="module")
def shared_herald(request, certificate):
    """As `herald`, for a server that the tests of a file share: they may only add to it."""
    with servers(request.node, certificate) as factory:
        yield factory


@pytest.fixture
def connect(request):
    """connect(server, ...) opens an HTTP/2 client (h2client.Client), closed after the test."""
    clients = []

    def factory(server, **kwargs):
        client = Client(server, **kwargs)
        clients.append(client)
        return client

    yield factory
    for client in clients:
        client.close()
