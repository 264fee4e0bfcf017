"""Memory and descriptors run out, at every place where they may, in the master and in a worker: what
needed them fails and says so, nothing else does, and once there are some again all is as before."""
import json
import mmap
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import rawh1
import server
from h2client import Client, Gone
from load import Load
from origins import Origin
from webroot import ASSETS

SOURCE = os.path.join(server.TOP, "tests", "clients", "scarce.c")
PAGES = {"/": list(ASSETS[:3])}
SCARCE = ("memory", "Cannot allocate")


class Scarcity:
    """What tests/clients/scarce.c reads."""

    def __init__(self, folder):
        self.library, path = os.path.join(folder, "scarce.so"), os.path.join(folder, "scarcity")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, SOURCE], check=True)
        with open(path, "wb") as file:
            file.write(bytes(16))
        os.chmod(path, 0o666)
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 16)
        self.launcher = ["env", "LD_PRELOAD=" + self.library, "SCARCE=" + path]

    def begin(self, pid, passing, failing):
        self.shared[:] = struct.pack("iiii", pid, passing, failing, 0)

    def end(self):
        """How many allocations failed."""
        failed = struct.unpack("iiii", self.shared[:])[3]
        self.shared[:] = bytes(16)
        return failed


@pytest.fixture
def scarcity(tmp_path):
    if server.ASAN:
        pytest.skip("the sanitizer's own allocations would fail")
    os.chmod(tmp_path, 0o755)
    return Scarcity(str(tmp_path))


@pytest.fixture
def scarce(herald, scarcity):
    """A function that starts a server of one worker whose allocations can be made to fail."""
    def factory(**more):
        site = herald(workers=1, start=False, **more)
        site.launcher = scarcity.launcher
        return server.start(site)
    return factory


def ask(site, verb):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(server.patience(10))
        connection.connect(site.control)
        connection.sendall(json.dumps({"verb": verb}).encode() + b"\n")
        with connection.makefile() as answer:
            return json.loads(answer.readline())


def places(every):
    """0, 1, 2 ...: all of them, or ever fewer."""
    at = 0
    while True:
        yield at
        at += 1 if every or at < 20 else max(1, at // 10)


# ---- memory: the master ----

@pytest.mark.parametrize("failing", [1, 1000], ids=["once", "from then on"])
@pytest.mark.parametrize("verb", ["status", "reload"])
def test_a_master_without_memory_says_so_and_goes_on(scarce, scarcity, verb, failing):
    site = scarce(pushes=PAGES)
    site.workers_may_change = True
    refused = 0
    for passing in places(every=verb == "status"):
        scarcity.begin(site.pid, passing, failing)
        answer = ask(site, verb)
        if not scarcity.end():
            break
        site.check_running()
        refused += not answer["ok"]
        assert answer["ok"] or any(word in answer["error"] for word in SCARCE), answer
    assert answer["ok"] and refused > 10
    assert ask(site, "status")["state"] == "serving" and ask(site, "reload")["ok"]
    server.wait_until(lambda: len(server.children(site.pid)) == 1, 10, "one generation alone")
    assert Client(site, tls=False).visit("/").paths() == sorted(PAGES["/"])


# ---- memory: a worker ----

def visit(site, number, tls=False):
    client = Client(site, tls=tls)
    try:
        client.visit("/new/%d.html" % number)
    finally:
        client.close()


def get(path):
    def ask(site, number):
        client = Client(site, tls=False)
        try:
            client.get(path % number)
        finally:
            client.close()
    return ask


def over_http1(site, number):
    with rawh1.Peer(site) as peer:
        peer.request("/new/%d.html" % number).answer()


WAYS = {"h2c": visit, "tls": lambda site, number: visit(site, number, tls=True),
        "proxied": get("/api/%d"), "passed on": get("/raw/%d"), "nothing there": get("/none/%d"),
        "http/1.1": over_http1}


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_without_memory_fails_nobody_but_who_needed_it(scarce, scarcity, request, way):
    """Every request is of another page, whose HTML is read for what it references."""
    origin = Origin()
    request.addfinalizer(origin.close)
    site = scarce(policies=["scan", "learned"], routes={
        "/api/*": {"origin": [origin.url]}, "/raw/*": {"origin": [origin.url], "cache": False}})
    for number in range(1000):
        site.root.write("/new/%d.html" % number,
                        b"<!doctype html><link rel=stylesheet href=/assets/site.css>"
                        b"<script src=/assets/app.js></script><p>%d" % number)
    worker, = site.workers()
    bystander = Client(site, tls=False)
    assert bystander.get("/hello.txt").status == 200
    failures = 0
    for number, passing in enumerate(places(every=way != "tls")):
        scarcity.begin(worker, passing, 1)
        try:
            WAYS[way](site, number)
        except (OSError, ssl.SSLError, AssertionError, Gone) as fault:
            assert "waited" not in str(fault)    # it may be failed, but is to be told
        if not scarcity.end():
            break
        failures += 1
        assert server.alive(worker), site.err[-2:]
        assert bystander.get("/hello.txt").status == 200
    WAYS[way](site, 999)
    assert failures > 5 and site.workers() == {worker}
    bystander.close()


# ---- descriptors: the master ----

def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_master_without_descriptors_says_so_and_goes_on(herald):
    site = herald(pushes=PAGES)
    site.workers_may_change = True
    workers = site.workers()
    before = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/%d/fd" % site.pid))
    resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (used, before[1]))
    try:
        for _ in range(5):
            done = site.command("status")
            assert done.returncode == 1 and "no descriptors are left" in done.stderr
        spent = cpu_s(site.pid)
        time.sleep(0.3)                  # what would be spent in vain
        assert cpu_s(site.pid) - spent < 0.15
        site.send_signal(signal.SIGHUP)
        site.wait_error("reload failed.*Too many open files")
    finally:
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, before)
    assert site.workers() == workers
    assert Client(site, tls=False).visit("/").paths() == sorted(PAGES["/"])
    assert ask(site, "reload")["ok"]


# ---- signals ----

def test_a_storm_of_hups_costs_no_request_and_ends(herald):
    site = herald()
    site.workers_may_change = True
    with Load(site, threads=2, tls=False) as load:
        load.wait_done(50)
        for _ in range(60):
            site.send_signal(signal.SIGHUP)
            time.sleep(0.005)            # signals of a kind merge
        answer = ask(site, "reload")
        load.wait_done(50)
    assert answer["ok"], answer
    assert load.refused == [] and load.wrong == []
    assert [c.fault for c in load.faults()] == []
    server.wait_until(lambda: len(server.children(site.pid)) == 2, 10, "one generation alone")
    assert ask(site, "status")["generation"] == answer["generation"]
