"""What a close reading of the worker found: each test is one thing that once went wrong."""
import os
import re
import signal
import socket
import time

import pytest

import rawhpack
import server
from rawh2 import Connection
from rawh2_wire import PREFACE, Code, Flag, Setting, Type, frame, u32
from webroot import binary_bytes

pytestmark = pytest.mark.asan

PAGE, ASSET = "/light.html", "/assets/light.css"


class Peer:
    """What rawh2 wants to know of a server."""
    small = "/hello.txt"

    def __init__(self, site):
        self.h2c = (server.ADDRESS, site.h2c_port)

    def authority(self, transport):
        return "localhost:%d" % self.h2c[1]


@pytest.fixture
def raw():
    opened = []

    def connect(site, **kwargs):
        opened.append(Connection(Peer(site), **kwargs))
        return opened[-1]
    yield connect
    for connection in opened:
        connection.close()


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


@pytest.mark.skipif(server.ASAN, reason="the sanitizer keeps what was freed for a while")
def test_malformed_requests_in_one_read_leave_nothing_behind(herald, raw):
    site = herald(workers=1)
    (worker,) = site.workers()
    asked = range(1, 41, 2)
    for attempt in range(60):
        if attempt == 20:
            before = resident_kib(worker)
        conn = raw(site)
        block = rawhpack.block(conn.fields() + [("x-filler", "f" * 12000), ("Upper", "case")])
        conn.send(b"".join(frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id_, block)
                           for id_ in asked))
        conn.wait(lambda: all(conn.stream(id_).resets for id_ in asked), "RST_STREAM for each")
        conn.close()
    assert resident_kib(worker) - before < 3000      # forty times twenty blocks are 9,600 KiB


def test_a_manifest_can_be_read_when_the_page_has_gone(herald, connect):
    source = """return { api = 1,
  on_request = function(req, push) push:add("%s") end,
  on_push_result = function(req, r, result)
    log.info("result", { name = (policy.manifest("/manifest.json") or {}).name })
  end }""" % ASSET
    site = herald(policies=["own.lua"], policy_files={"own.lua": source})
    site.root.write("/manifest.json", b'{"name": "found"}')
    client = connect(site)
    assert client.visit(PAGE).paths() == [ASSET]
    client.close()
    site.wait_error(r"result.*found")


def test_what_was_asked_for_with_a_query_is_not_pushed(herald, connect):
    asset = ASSET + "?v=2"
    site = herald(pushes={PAGE: [asset]})
    client = connect(site)
    assert client.get(asset).status == 200
    client.settle()
    time.sleep(0.2)
    client.settle()
    assert client.visit(PAGE).paths() == []
    assert site.page_entry(PAGE).verdict(asset) == server.HELD


def test_an_error_that_the_library_finds_is_logged(herald, raw):
    site = herald()
    conn = raw(site)
    conn.send_frame(Type.DATA, Flag.END_STREAM, 0, b"content")
    conn.wait_end()
    assert conn.goaways[-1].error_code == Code.PROTOCOL_ERROR
    site.wait_error(r"connection ended: \S")


def test_a_header_block_that_comes_slowly_within_one_frame_is_ended(herald, raw):
    conn = raw(herald(limits={"header": "500ms"}))
    block = rawhpack.block(conn.fields() + [("x-filler", "f" * 400)])
    octets = frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block)
    conn.send(octets[:20])
    start = time.monotonic()
    for i in range(20, 300):
        if time.monotonic() - start > server.patience(2):
            break
        conn.send(octets[i:i + 1])
        try:
            conn.wait(lambda: conn.eof or conn.broken, "the end", 0.1)
            return
        except AssertionError:
            pass
    raise AssertionError("the connection lives on")


def test_content_of_a_request_that_crossed_the_goaway_is_read_over(herald, raw):
    site = herald()
    site.root.write("/large.bin", binary_bytes("crossed", 200000))
    conn = raw(site, settings={Setting.INITIAL_WINDOW_SIZE: 1000})
    first = conn.request("/large.bin")
    conn.wait(lambda: len(first.body) == 1000, "the first window")
    conn.goaways.clear()
    site.workers_may_change = True
    conn._on_ping = lambda parsed, length: None        # the notice's PING stays unanswered
    site.send_signal(1)
    conn.wait(lambda: len(conn.goaways) >= 2, "the second GOAWAY", 10)
    late = conn.request("/hello.txt", method="POST", end_stream=False)
    conn.send_data(late, b"content")
    conn.window_update(None, 400000)
    conn.window_update(first, 400000)
    conn.wait(lambda: len(first.body) == 200000 or conn.eof, "the rest of the first response", 10)
    assert len(first.body) == 200000, conn.transcript()


def test_pings_do_not_keep_a_stream_whose_window_stays_shut(herald, connect):
    site = herald(limits={"send_progress": "1s"})
    client = connect(site, window=0)
    stream = client.request("/hello.txt")
    start = time.monotonic()
    while time.monotonic() - start < server.patience(3):
        if stream.reset is not None or client.closed:
            return
        client.send_frame(6, 0, 0, bytes(8))
        client.pump()
        time.sleep(0.1)
    raise AssertionError("the stream lives on")


def test_a_long_cache_control_is_not_read_past_its_end(herald, connect):
    value = "max-age=60, " + ", ".join("extension-%d=yes" % i for i in range(30))
    site = herald(pushes={PAGE: [ASSET]}, routes={PAGE: {"cache_control": value}})
    page = connect(site).visit(PAGE).page
    assert page.field("set-cookie")
    assert sorted(page.all("cache-control")) == [value, "private"]


@pytest.mark.parametrize("port, kept", [(":8443", ":8443"), ("", ""), (":x", "")])
def test_an_alias_redirects_to_the_port_that_was_asked(herald, connect, port, kept):
    site = herald(site={"names": ["www.herald.test"], "aliases": ["localhost"]})
    answer = connect(site).get("/x?y", authority="localhost" + port)
    assert (answer.status, answer.field("location")) == \
        (308, "https://www.herald.test%s/x?y" % kept)


def test_the_last_awaited_answer_may_be_a_304(herald, connect):
    site = herald(pushes={PAGE: [ASSET]}, push={"holdout": 1})
    etag = dict(connect(site).get(ASSET).fields)["etag"]
    client = connect(site)
    assert client.visit(PAGE).paths() == []
    entry = site.page_entry(PAGE)
    assert client.get(ASSET, [("if-none-match", etag)]).status == 304
    assert site.settled(entry)["arm"] == "holdout"      # while the connection stays open


def wakeups(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])


def test_pushes_behind_a_shut_window_are_not_looked_for(herald, connect):
    """The experiment's timing: what was not sent cannot be acknowledged."""
    site = herald(workers=1, pushes={PAGE: [ASSET]}, push={"holdout": 0.000001})
    (worker,) = site.workers()
    client = connect(site, window=0, manual=True)
    page = client.request(PAGE)
    client.wait(lambda: page.promises and page.promises[0].status == 200, "the push's HEADERS")
    client.settle()
    before, began = wakeups(worker), time.monotonic()
    server.wait_until(lambda: time.monotonic() > began + 1, 5, "a second to pass")
    assert wakeups(worker) - before < 60


def test_what_speaks_no_http2_does_not_hurt_a_draining_worker(herald):
    """Some of the wrong bytes are read in the wake-up in which the second GOAWAY is due."""
    site = herald(workers=1)
    site.workers_may_change = True
    (worker,) = site.workers()
    peers = [socket.create_connection((server.ADDRESS, site.h2c_port), timeout=10)
             for _ in range(300)]
    for peer in peers:
        peer.sendall(PREFACE)
        assert peer.recv(65536)                          # SETTINGS: it was accepted
    site.send_signal(signal.SIGHUP)
    said = b""
    while b"\0\0\x08\x07" not in said:                 # the GOAWAY that announces the drain
        said += peers[0].recv(65536)
    began = time.monotonic() + 0.975                     # a second after it comes the other
    for number, peer in enumerate(peers):
        due = began + number // 8 * 0.0008
        server.wait_until(lambda: time.monotonic() >= due, 5, "its time", every=0)
        peer.sendall(b"not a frame of SETTINGS")
    server.wait_until(lambda: worker not in site.workers(), 20, "the drained worker to end")
    for peer in peers:
        peer.close()
    site.stop()
    assert not [line for line in site.err if "signal" in line]
