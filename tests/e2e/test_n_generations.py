"""Generations of workers: reloads at once, addresses that come and go, shares that are retired or down."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import server
from h2client import Client, visit_once
from load import Load
from sockets import listeners


@pytest.mark.asan
def test_reloads_at_the_same_time_are_all_answered(herald):
    site = herald()
    site.workers_may_change = True
    argv = [server.BINARY, "reload", "-c", site.config_path]
    asked = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in asked:
        out, _ = process.communicate(timeout=server.patience(30))
        assert process.returncode == 0 and re.match(r"generation \d+ serves", out)


def test_a_new_address_is_served_and_the_old_one_refused(herald):
    site = herald()
    old_port = site.h2c_port
    site.h2c_port = server.free_ports(1)[0]
    server.write_config(site, server.config_text())
    site.workers_may_change = True
    assert site.command("reload").returncode == 0
    assert visit_once(site, "/hello.txt", tls=False).page.status == 200

    def refused():
        with socket.socket() as probe:
            return probe.connect_ex((server.ADDRESS, old_port)) != 0
    server.wait_until(refused, 5, "the old address to be refused")


def test_an_address_in_use_fails_the_reload_only(herald):
    site = herald()
    workers, old_port = site.workers(), site.h2c_port
    with socket.socket() as squatter:
        squatter.bind((server.ADDRESS, 0))
        squatter.listen()
        site.h2c_port = squatter.getsockname()[1]
        server.write_config(site, server.config_text())
        done = site.command("reload")
    assert done.returncode == 1 and "herald.lua:" in done.stderr and "in use by" in done.stderr
    site.h2c_port = old_port
    assert visit_once(site, "/hello.txt", tls=False).page.status == 200
    assert site.workers() == workers


def share_of(site, pid):
    told = json.loads(site.command("status", "--json").stdout)
    return next(w["share"] for w in told["workers"] if w.get("pid") == pid)


def freeze(pid):
    """Stops a process and waits until it has stopped: until then it accepts connections."""
    os.kill(pid, signal.SIGSTOP)

    def stopped():
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] == "T"
    server.wait_until(stopped, 5, "process %d to stop" % pid)


@pytest.mark.asan
def test_connections_queued_on_a_retired_share_are_served(herald):
    """Frozen workers leave their queues full; the next generation, of fewer shares, empties them."""
    site = herald(workers=4, limits={"drain": "1s"})
    site.workers_may_change = True
    frozen = [pid for pid in site.workers() if share_of(site, pid) >= 2]
    for pid in frozen:
        freeze(pid)
    waiting = [socket.create_connection((server.ADDRESS, site.h2c_port)) for _ in range(48)]
    server.write_config(site, server.config_text(workers=2, limits={"drain": "1s"}))
    done = site.command("reload")
    assert done.returncode == 0, done.stderr
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)
    for number, connection in enumerate(waiting):
        connection.settimeout(server.patience(5))
        connection.sendall(preface)
        assert connection.recv(1), "connection %d was closed" % number
        connection.close()
    server.wait_until(lambda: not any(map(server.alive, frozen)), 15, "the frozen to be killed")
    server.wait_until(lambda: len(site.workers()) == 2, 15, "the new generation alone")


def test_retired_shares_are_closed_under_load_without_a_refusal(herald):
    site = herald(workers=4)
    site.workers_may_change = True
    with Load(site, threads=4, tls=False) as load:
        load.wait_done(200)
        server.write_config(site, server.config_text(workers=1))
        assert site.command("reload").returncode == 0
        assert listeners(site.h2c_port) == 4
        server.wait_until(lambda: listeners(site.h2c_port) == 1, 10, "three shares to be closed")
        load.wait_done(200)
        server.write_config(site, server.config_text(workers=3))
        assert site.command("reload").returncode == 0
        assert listeners(site.h2c_port) == listeners(site.tls_port) == 3
        load.wait_done(200)
    assert load.refused == [] and load.wrong == []
    assert [c.fault for c in load.faults()] == []


def test_a_retired_share_lacks_the_addresses_that_came_later(herald):
    """Four shares of one address become two of two: the retired ones have one socket each."""
    site = herald(workers=4)
    site.workers_may_change = True
    new_port = server.free_ports(1)[0]
    listen = [{None: ["127.0.0.1:@TLS@"], "tls": True}, "127.0.0.1:@H2C@", "127.0.0.1:%d" % new_port]
    server.write_config(site, server.config_text(workers=2, top={"listen": listen}))
    assert site.command("reload").returncode == 0
    for port in (site.h2c_port, new_port):
        site.h2c_port = port
        for _ in range(8):
            assert visit_once(site, "/hello.txt", tls=False).page.status == 200
    told = json.loads(site.command("status", "--json").stdout)
    assert told["counters"]["accept_failures"] == 0


@pytest.mark.asan
def test_a_neighbour_accepts_for_a_share_that_is_down(herald):
    """After five crashes its worker stays away for 1.6 s and more; connects are answered at once."""
    site = herald(workers=2)
    site.workers_may_change = True
    victim = next(pid for pid in site.workers() if share_of(site, pid) == 0)
    other = site.workers() - {victim}
    for crash in range(5):
        os.kill(victim, signal.SIGKILL)
        if crash < 4:
            (victim,) = server.wait_until(lambda v=victim: site.workers() - other - {v}, 10,
                                          "the next worker")
    server.wait_until(lambda: site.workers() == other, 5, "the end of the last one")
    down, slowest = time.monotonic(), 0
    time.sleep(0.15)                     # the share is given to its neighbour after 100 ms
    for _ in range(24):
        start = time.monotonic()
        client = Client(site)
        assert client.get("/hello.txt").status == 200
        client.close()
        slowest = max(slowest, time.monotonic() - start)
        if time.monotonic() - down > 1.2:
            break
    assert slowest < 0.8 or server.ASAN, slowest
    server.wait_until(lambda: len(site.workers()) == 2, 10, "both workers")
