"""What a connection sends in bulk waits its turn: others' requests are looked at first, and nothing of
the bulk is lost, whatever comes behind it."""
import os
import signal
import sys

import pytest

import rawhpack
import server
from rawh1 import Peer
from rawh2_wire import Flag, Setting, Type, frame

sys.path.insert(0, os.path.join(server.TOP, "tests", "hostile"))
import attacker                          # noqa: E402
import measure                           # noqa: E402
import site_under_attack                 # noqa: E402

HONEST = 5
# A request that a policy sees has its id since it was looked at; any other, since its answer was sent.
ALL = "return { api = 1, on_request = function(req, push) end }"


@pytest.fixture
def site(herald):
    made = herald(workers=1, policy_files={"all.lua": ALL}, policies=["all.lua"])
    site_under_attack.Target.fill(made.root)
    made.root.write("/churn.html", b"<!doctype html>")
    return site_under_attack.Target(made)


def churning(link, first, count):
    """Requests whose header blocks are dear to decode: 40 entries each, in a table emptied before."""
    changes = b"".join(rawhpack.size_update(n) for n in (0, 4096))
    inserts = b"".join(rawhpack.literal("x-%d" % i, "y" * 60, rawhpack.INCREMENTAL) for i in range(40))
    return b"".join(frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream,
                          changes + link.block(b"/churn.html") + inserts)
                    for stream in range(first, first + 2 * count, 2))


def stands_still(pid):
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rpartition(") ")[2].startswith("T")


@pytest.mark.quick
@pytest.mark.asan
def test_requests_that_come_in_bulk_are_looked_at_behind_everybody_elses(site):
    """While the worker stands still, a bulk of dear requests comes, and before it or behind
    it one of each other client."""
    others = [measure.Honest(site) for _ in range(HONEST)]
    for other in others:
        other.get()
    link, count = attacker.Attacker(site, settings={Setting.ENABLE_PUSH: 1}), 80
    bulk = churning(link, 3, count)
    link.send(link.request(1, b"/churn.html"))       # the file is at hand from now on
    link.read_for(5, lambda: link.answered() == 1)
    site.herald.wait_log(lambda entry: len(site.herald.log()) == HONEST + 1)
    worker = site.worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        server.wait_until(lambda: stands_still(worker), 5, "a worker that stands still")
        for other in others[:HONEST // 2]:
            other.ask()
        sent = link.socket.send(bulk)    # as much as the kernel's buffers hold
        for other in others[HONEST // 2:]:
            other.ask()
    finally:
        os.kill(worker, signal.SIGCONT)
    link.send(bulk[sent:])
    for other in others:
        other.wait()
    link.read_for(10, lambda: link.received[Type.HEADERS] > count)
    assert link.received[Type.HEADERS] == 1 + count, link.outcome()
    site.herald.wait_log(lambda entry: len(site.herald.log()) == 1 + count + 2 * HONEST)
    order = [entry.path for entry in sorted(site.herald.log()[HONEST + 1:], key=lambda e: int(e.id, 16))]
    ahead = order[:max(at for at, path in enumerate(order) if path == "/hello.txt")].count("/churn.html")
    assert ahead <= 2, "%d of the bulk's requests went before the others'" % ahead
    link.close()


@pytest.mark.quick
@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_all_of_a_bulk_is_answered_though_its_sender_has_closed_its_side(site, tls):
    """The end that came behind it is looked at behind it. Pipelined, so that they wait twice."""
    request = b"GET /hello.txt HTTP/1.1\r\nHost: %s\r\nX: %s\r\n\r\n" % (server.HOST.encode(), b"x" * 200)
    with Peer(site.herald, tls=tls) as peer:
        peer.send(request * 300)
        if not tls:
            peer.end()
        for _ in range(300):
            assert peer.answer().body == b"hello\n"
        assert tls or peer.is_closed()


@pytest.mark.quick
@pytest.mark.asan
def test_a_hundred_requests_in_one_record_are_all_answered(site):
    """What was decrypted and had no turn yet is not forgotten when nothing more comes."""
    link = attacker.Attacker(site, tls=True)
    link.send(b"".join(link.request(stream, b"/hello.txt", extra=rawhpack.literal("x", "y" * 80))
                       for stream in range(1, 200, 2)))
    link.read_for(10, lambda: link.received[Type.HEADERS] >= 100)
    assert (link.received[Type.HEADERS], link.outcome()) == (100, "kept")
    link.close()
