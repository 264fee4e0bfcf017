"""Fixtures of the conformance tests: the server under test and connections to it.

The server is a herald with a site of its own, unless HERALD_TEST_ADDRESS names another (any HTTP/2
server that serves the tree in HERALD_TEST_ROOT; then run pytest with --noconftest):
    HERALD_TEST_ADDRESS      HOST:PORT of cleartext HTTP/2 with prior knowledge
    HERALD_TEST_TLS_ADDRESS  HOST:PORT of HTTP/2 over TLS; without it the tests of TLS are skipped
    HERALD_TEST_ROOT         its document root: index.html, small.bin (1 KiB), big.bin (1 MiB)
    HERALD_TEST_PUSH_PAGE    a path whose response comes with at least two pushes, if there is one
    HERALD_TEST_RSA_NAME     the server name for which it has an RSA key; localhost unless set"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import rawh2
import server as server_module
from rawh2_wire import Setting

SMALL, BIG, INDEX = "/small.bin", "/big.bin", "/index.html"
PUSH_PAGE, PUSHED = "/pushing.html", ("/pushed-1.css", "/pushed-2.css", "/pushed-3.bin")
RSA_NAME = "rsa.herald.test"


@dataclass(frozen=True)
class Peer:
    """The server under test. `files` is what its root holds, by path."""
    h2c: tuple
    tls: tuple
    files: dict
    push_page: str
    rsa_name: str
    small: str = SMALL
    big: str = BIG
    herald: object = field(default=None, compare=False)

    def authority(self, transport):
        """What :authority says."""
        return f"localhost:{(self.h2c if transport == 'h2c' else self.tls)[1]}"


def _address(text):
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port))


def _other_peer():
    """The server that the environment names."""
    tls, root = os.environ.get("HERALD_TEST_TLS_ADDRESS"), Path(os.environ["HERALD_TEST_ROOT"])
    return Peer(_address(os.environ["HERALD_TEST_ADDRESS"]), _address(tls) if tls else None,
                {path: (root / path[1:]).read_bytes() for path in (INDEX, SMALL, BIG)},
                os.environ.get("HERALD_TEST_PUSH_PAGE"),
                os.environ.get("HERALD_TEST_RSA_NAME", "localhost"))


def _rsa_certificate(directory):
    """An RSA key and certificate besides the P-256 one: RFC 9113, 9.2.2 asks for an RSA suite."""
    key, certificate = os.path.join(directory, "rsa.key"), os.path.join(directory, "rsa.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", certificate, "-days", "2", "-subj", "/CN=" + RSA_NAME, "-addext",
                    f"subjectAltName=DNS:{RSA_NAME},DNS:localhost"],
                   check=True, capture_output=True)
    os.chmod(certificate, 0o644)
    return {"sni": RSA_NAME, "cert": certificate, "key": key}


def _fill(root):
    """Writes the site and returns its files by path."""
    files = {INDEX: root.page(INDEX), SMALL: root.asset(SMALL, 1024), BIG: root.asset(BIG, 2**20)}
    root.page(PUSH_PAGE, PUSHED)
    for number, path in enumerate(PUSHED):
        root.asset(path, 3000 + 40000 * number)
    return files


@pytest.fixture(scope="session")
def peer(request):
    """The server under test, the same for all tests."""
    if "HERALD_TEST_ADDRESS" in os.environ:
        yield _other_peer()
        return
    certificate = request.getfixturevalue("certificate")
    rsa_directory = tempfile.mkdtemp(prefix="herald-rsa-")
    tls = [{"sni": "*", "cert": "@CERT@", "key": "@KEY@"}, _rsa_certificate(rsa_directory)]
    herald = server_module.make(certificate, workers=1, fill=False, top={"tls": tls},
                                pushes={PUSH_PAGE: list(PUSHED)})
    try:
        files = _fill(herald.root)
        server_module.start(herald)
        address = server_module.ADDRESS
        yield Peer((address, herald.h2c_port), (address, herald.tls_port), files, PUSH_PAGE,
                   RSA_NAME, herald=herald)
        herald.close()
    finally:
        herald.kill()
        shutil.rmtree(herald.directory, ignore_errors=True)
        shutil.rmtree(rsa_directory, ignore_errors=True)


@pytest.fixture
def watched(peer, request):
    """The server under test; a herald must come out of the test with the worker it had."""
    if peer.herald is None:
        yield peer
        return
    request.node.heralds = [peer.herald]
    before = peer.herald.workers()
    yield peer
    peer.herald.check_running()
    assert peer.herald.workers() == before, "a worker went down"


@pytest.fixture
def transport():
    """How `dial` connects; a test marked rawh2_wire.over_both runs on h2c and on TLS."""
    return "h2c"


@pytest.fixture
def dial(watched, transport):
    """Opens connections to the server; they are closed when the test ends."""
    opened = []

    def connection(**options):
        options.setdefault("transport", transport)
        if options["transport"] == "tls" and watched.tls is None:
            pytest.skip("the server under test has no TLS address")
        opened.append(rawh2.Connection(watched, **options))
        return opened[-1]

    yield connection
    for one in opened:
        one.close()


@pytest.fixture
def conn(dial):
    """A connection after the handshake."""
    return dial()


@pytest.fixture
def stalled(dial):
    """A connection whose streams get no window, so that a response with content stays open."""
    return dial(settings={Setting.INITIAL_WINDOW_SIZE: 0})
