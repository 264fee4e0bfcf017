"""HTTP/1.1 at the pace of the slower side: content that dribbles, answers that nobody takes, what is
held back on either way, and connections under way at a reload."""
import os
import signal
import socket
import threading
import time

import pytest

import server
from origins import Origin, counters, proxied, response
from rawh1 import Peer

pytestmark = pytest.mark.asan

PIECE = b"x" * 65536
TOTAL = 384 * len(PIECE)                     # more than kernels keep for both sides
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOTAL
GREW_MAX_MIB = 4


@pytest.fixture
def origin(request):
    made = []

    def factory(*args, **kwargs):
        made.append(Origin(*args, **kwargs))
        return made[-1]

    yield factory
    for one in made:
        one.close()
    for one in made:
        assert not one.faults, one.faults


def memory_mib(site):
    (worker,) = site.workers()
    with open("/proc/%d/status" % worker) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def settled(read, seconds=0.4):
    """The value, once it has not changed for that long."""
    def still():
        value, end = read(), time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
            if read() != value:
                return None
        return value
    return server.wait_until(still, 10, "it to stand still")


def taken(peer):
    """How many octets come until the end, each of them an x."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    count, data = 0, peer.ahead
    while count < TOTAL:
        assert data.count(b"x") == len(data)
        count += len(data)
        try:
            data = peer.socket.recv(1 << 20) if count < TOTAL else b""
        except ConnectionResetError:
            break
        if not data:
            break
    return count


# ---- a client that is too slow

@pytest.mark.quick
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_content_that_dribbles_is_408(herald, origin, framing):
    def swallow(request, wire):
        while wire.more():
            pass

    site = proxied(herald, origin(swallow, read_body=False),
                   limits={"body_grace": "200ms", "body_rate": 100000})
    octets = b"5\r\nhello\r\n" if "chunked" in framing else b"hello"
    with Peer(site) as peer:
        peer.request("/", "POST", [framing], octets)
        answer = peer.answer()
        assert (answer.status, answer.field("connection")) == (408, "close")
        assert peer.is_closed()
    assert counters(site)["limit_body"] == 1


def test_content_in_time_is_not_called_slow(herald, origin):
    site = proxied(herald, origin(lambda request, wire: response(b"%d" % len(request.body))),
                   limits={"body_grace": "200ms", "body_rate": 1000})
    with Peer(site) as peer:
        peer.request("/", "POST", ["Content-Length: 60000"])
        for _ in range(10):                  # some 50 kB/s, for longer than the grace
            peer.send(b"y" * 6000)
            time.sleep(0.12)
        assert peer.answer().body == b"60000"
    assert counters(site)["limit_body"] == 0


def large(herald, **limits):
    site = herald(workers=1, limits=limits, start=False)
    path = os.path.join(site.root.directory, "huge.bin")
    with open(path, "wb") as file:
        for _ in range(TOTAL // len(PIECE)):
            file.write(PIECE)
    os.chmod(path, 0o644)
    return server.start(site)


def test_an_answer_that_nobody_takes_ends_its_connection(herald):
    site = large(herald, send_progress="400ms")
    with Peer(site, rcvbuf=8192) as peer:
        peer.request("/huge.bin")
        assert peer.head().status == 200
        site.wait_error("the peer took no output")
        assert taken(peer) < TOTAL
    assert counters(site)["limit_send"] == 1


def test_an_answer_that_is_taken_slowly_is_sent_on(herald):
    site = large(herald, send_progress="400ms")
    with Peer(site, rcvbuf=8192) as peer:
        peer.request("/huge.bin")
        assert peer.head().status == 200
        end = time.monotonic() + 1.6         # four times the limit
        while time.monotonic() < end:
            peer._octets(16384)
            time.sleep(0.02)
        assert counters(site)["limit_send"] == 0


# ---- 100-continue

@pytest.mark.quick
def test_an_origins_content_is_asked_for_with_100(herald, origin):
    app = origin(lambda request, wire: response(request.body))
    site = proxied(herald, app)
    with Peer(site) as peer:
        for content in (b"hello", b"y" * 100000):
            peer.request("/", "PUT", ["Content-Length: %d" % len(content), "Expect: 100-continue"])
            interim = peer.head()
            assert (interim.status, interim.fields) == (100, [])
            assert peer.send(content).answer().body == content
        peer.request("/", "PUT", ["Transfer-Encoding: chunked", "Expect: 100-Continue"])
        assert peer.head().status == 100
        assert peer.send(b"2\r\nhi\r\n0\r\n\r\n").answer().body == b"hi"
        assert peer.get("/", fields=["Expect: 100-continue"]).status == 200, "no content, no 100"
    assert [request.field("expect") for request in app.requests] == [None] * 4


def test_who_does_not_wait_for_100_gets_none_with_http_1_0(herald, origin):
    site = proxied(herald, origin(lambda request, wire: response(request.body)))
    with Peer(site) as peer:
        peer.request("/", "PUT", ["Content-Length: 5", "Expect: 100-continue"], b"hello", "1.0")
        assert peer.answer().body == b"hello"


# ---- both ways, held back

def test_a_client_that_takes_nothing_stops_the_origin(herald, origin):
    sent = [0]

    def answer(request, wire):
        wire.sock.sendall(HEAD)
        while sent[0] < TOTAL:
            wire.sock.sendall(PIECE)
            sent[0] += len(PIECE)
        return None

    site = proxied(herald, origin(answer))
    before = memory_mib(site)
    with Peer(site, rcvbuf=65536) as peer:
        peer.request("/")
        assert peer.head().status == 200
        held = settled(lambda: sent[0])
        assert held < 16 << 20, "the origin sent %d octets that nobody took" % held
        grew = memory_mib(site) - before
        assert server.ASAN or grew < GREW_MAX_MIB, "%.1f MiB more" % grew
        assert taken(peer) == TOTAL


def upload(peer, chunked, sent):
    for _ in range(TOTAL // len(PIECE)):
        peer.send(b"10000\r\n" + PIECE + b"\r\n" if chunked else PIECE)
        sent[0] += len(PIECE)
    if chunked:
        peer.send(b"0\r\n\r\n")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_an_origin_that_takes_nothing_stops_the_client(herald, origin, chunked):
    gate = threading.Event()

    def answer(request, wire):
        if request.target == "/held":
            gate.wait(server.patience(20))
        count = 0
        while count < TOTAL:
            piece = next(wire.chunks()) if chunked else wire.exactly(len(PIECE))
            assert piece.count(b"x") == len(piece)
            count += len(piece)
        assert not chunked or next(wire.chunks()) == b""
        return response(b"%d" % count)

    site = proxied(herald, origin(answer, read_body=False, rcvbuf=32768))
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: %d" % TOTAL
    with Peer(site, seconds=30) as peer:
        peer.request("/", "PUT", [framing])  # the worker's buffers have been used after that
        upload(peer, chunked, [0])
        assert peer.answer().body == b"%d" % TOTAL
        before, sent = memory_mib(site), [0]
        peer.request("/held", "PUT", [framing])
        sender = threading.Thread(target=upload, args=(peer, chunked, sent), daemon=True)
        sender.start()
        held = settled(lambda: sent[0])
        assert 0 < held < 16 << 20, "%d octets were taken that no origin had" % held
        grew = memory_mib(site) - before
        assert server.ASAN or grew < GREW_MAX_MIB, "%.1f MiB more" % grew
        gate.set()
        assert peer.answer().body == b"%d" % TOTAL
        sender.join(server.patience(10))


# ---- reload

class Visitor(threading.Thread):
    """Asks again and again over one connection, with a pause between, until it is told that this was
    its last answer. `lost`: what it had no whole answer to."""

    def __init__(self, site, tls, pause):
        super().__init__(daemon=True)
        self.peer, self.pause = Peer(site, tls), pause
        self.answers, self.lost, self.told = 0, None, False

    def run(self):
        try:
            for _ in range(3000):
                answer = self.peer.get("/hello.txt")
                assert answer.status == 200 and answer.body, answer
                self.answers += 1
                if answer.field("connection") == "close":
                    self.told = self.peer.is_closed()
                    return
                time.sleep(self.pause)
        except Exception as fault:           # shown by the test
            self.lost = fault
        finally:
            self.peer.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "cleartext"])
def test_a_reload_loses_no_request_of_connections_that_are_kept(herald, tls):
    site = herald(workers=2, limits={"handshake": "1s"})  # what `fresh` waits for in cleartext
    site.workers_may_change = True
    visitors = [Visitor(site, tls, pause) for pause in (0, 0, 0.003, 0.01, 0.05, 0.1, 0.3)]
    with Peer(site, tls) as idle, Peer(site, tls) as fresh:
        assert idle.get("/hello.txt").status == 200
        for visitor in visitors:
            visitor.start()
        server.wait_until(lambda: all(v.answers for v in visitors), 5, "all to be under way")
        site.send_signal(signal.SIGHUP)
        for visitor in visitors:
            visitor.join(server.patience(15))
        assert [v.lost for v in visitors] == [None] * len(visitors)
        assert all(v.told for v in visitors), "one was never told that its connection ends"
        assert idle.is_closed(), "an idle one ends in order"
        assert fresh.is_closed(), "as one does that never asked"
