"""Processes that die: a worker harms its own connections only, and nothing outlives the master."""
import os
import signal
import socket
import time

import pytest

import server
from h2client import Client
from load import Load

# "Its slot serves again within a second": the first restart waits 0.1 s.
AGAIN_S = 1.0 if not server.ASAN else 5.0


def kill_one(site, load):
    """Kills a worker that holds connections of the load; returns its pid and kill()'s times."""
    busy = server.wait_until(
        lambda: {c.worker for c in load.connections[-12:] if c.worker} & site.workers(),
        10, "a worker with connections")
    victim = sorted(busy)[0]
    return victim, kill(victim)


def kill(worker):
    """Kills a worker; returns (when, when it was dead): until then the kernel accepts for it."""
    when = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    server.wait_until(lambda: not server.alive(worker), 5, "the worker's death", every=0.0005)
    return when, time.monotonic()


def wait_served_by(site, known, when, seconds=10):
    """Seconds from `when` until a worker that is not among `known` has answered a request."""
    deadline = time.monotonic() + server.patience(seconds)
    while time.monotonic() < deadline:
        client = Client(site)
        client.get("/hello.txt")
        worker = site.worker_of(client.local_port)
        client.close()
        if worker is not None and worker not in known:
            return time.monotonic() - when
    raise AssertionError("no new worker served")


@pytest.mark.alone
def test_the_slot_of_a_killed_worker_serves_again_within_a_second(herald):
    """Measured without a load of ours, which would slow the one who looks."""
    times = []
    for _ in range(3):
        site = herald(workers=2)
        site.workers_may_change = True
        known = site.workers()
        when, _ = kill(min(known))
        times.append(wait_served_by(site, known, when))
    assert min(times) < AGAIN_S, "the slot served again after %s" % times


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_killed_worker_fails_no_request_of_another(herald, tls):
    site = herald(workers=2)
    site.workers_may_change = True
    victims = {}
    with Load(site, threads=6, tls=tls) as load:
        load.wait_done(300)
        for _ in range(3 if not server.SOAK else 8):
            known = site.workers()
            victim, victims[victim] = kill_one(site, load)
            wait_served_by(site, known, victims[victim][0])
            server.wait_until(lambda: len(site.workers()) == 2, 10, "both slots")
            load.wait_done(300)
    assert load.refused == [], "a connect was refused"
    assert load.wrong == []
    for connection in load.faults():
        at, why = connection.fault
        if connection.worker is None:    # it died before its first answer: whose was it?
            mine = [v for v, (when, dead) in victims.items() if connection.opened <= dead
                    and at >= when]
            assert mine, "opened when no worker was dying, and yet: %s" % why
        else:
            assert connection.worker in victims, why


def test_a_connect_to_a_dead_slot_is_answered(herald):
    """With one worker there is no neighbour: the connection waits in the queue, not refused."""
    site = herald(workers=1)
    site.workers_may_change = True
    (worker,) = site.workers()
    kill(worker)
    client = Client(site)
    assert client.get("/hello.txt").status == 200
    client.close()


def test_a_slot_that_keeps_dying_is_restarted_ever_later(herald):
    site = herald(workers=1)
    site.workers_may_change = True
    gaps = []
    for _ in range(4):
        (worker,) = server.wait_until(site.workers, 10, "a worker")
        kill(worker)
        start = time.monotonic()
        server.wait_until(lambda w=worker: site.workers() - {w}, 10, "a new worker")
        gaps.append(time.monotonic() - start)
    assert gaps[3] > 0.5, "0.1 s doubling: the fourth wait is 0.8 s, not %s" % gaps
    assert gaps[0] < server.patience(0.5)


@pytest.mark.quick
@pytest.mark.asan
def test_no_worker_outlives_its_master(herald, connect):
    site = herald(workers=3)
    client = connect(site)
    assert client.get("/hello.txt").status == 200
    pids = server.children(site.pid)
    assert len(pids) >= 3
    site.send_signal(signal.SIGKILL)
    assert site.wait_exit() == -signal.SIGKILL
    server.wait_until(lambda: not any(map(server.alive, pids)), 3, "the end of all its children")


def port_is_free(port):
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((server.ADDRESS, port))
        except OSError:
            return False
    return True


def test_after_a_killed_master_it_starts_again(herald, connect):
    site = herald(workers=2)
    site.send_signal(signal.SIGKILL)
    site.wait_exit()
    # The kernel takes a dead ring down behind its process, and with it the last of its listeners.
    server.wait_until(lambda: port_is_free(site.tls_port) and port_is_free(site.h2c_port), 5,
                      "the ports to be free")
    site.start()
    assert connect(site).get("/hello.txt").status == 200


def test_a_stopped_worker_does_not_stop_the_other(herald):
    """A worker that does not run at all (SIGSTOP) leaves the other's connections alone."""
    site = herald(workers=2)
    site.workers_may_change = True       # the master may take it for stuck
    clients = {}
    while len(clients) < 2:
        client = Client(site)
        client.get("/hello.txt")
        clients.setdefault(site.worker_of(client.local_port), client)
    (frozen, _), (_, other) = sorted(clients.items())
    os.kill(frozen, signal.SIGSTOP)
    try:
        for _ in range(50):
            assert other.get("/hello.txt").status == 200
    finally:
        if server.alive(frozen):
            os.kill(frozen, signal.SIGCONT)
