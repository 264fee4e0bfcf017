"""Content through the proxy, both ways, at the pace of the slower side; bounded and intact."""
import random
import signal
import threading
import time

import pytest

import origins
import server
from origins import answered, counters, origin, proxied, response  # noqa: F401

GOOD = response(b"hello\n")
HEAD = b"HTTP/1.1 200 OK\r\n"


# ---- both ways, at the pace of the slower side ----

@pytest.mark.asan
def test_a_client_that_takes_nothing_stops_the_origin(herald, connect, origin):
    sent = [0]

    def answer(request, wire):
        piece = b"x" * 65536
        wire.sock.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (len(piece) * 512))
        for _ in range(512):
            wire.sock.sendall(piece)
            sent[0] += len(piece)
        return None

    site = proxied(herald, origin(answer))
    client = connect(site, tls=False, window=65535, manual=True)
    stream = client.request("/")
    client.wait(lambda: len(stream.body) == 65535, "the first window")
    settled = server.wait_until(lambda: still(lambda: sent[0]), 10, "the origin to be held back")
    assert settled < 24 << 20, "the origin sent %d octets that nobody took" % settled
    client.manual = False
    client.open_window(1 << 26, stream)
    client.wait_done(stream)
    assert len(stream.body) == 512 * 65536


def still(read, seconds=0.5):
    """The value, once it has not changed for that long."""
    value = read()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
        if read() != value:
            return None
    return value


@pytest.mark.asan
def test_an_origin_that_takes_nothing_stops_the_client(herald, connect, origin):
    gate = threading.Event()
    total = 8 << 20

    def answer(request, wire):
        gate.wait(server.patience(20))
        have = len(wire.data)
        while have < total:
            got = wire.sock.recv(1 << 16)
            have += len(got)
        return response(b"%d" % have)

    site = proxied(herald, origin(answer, read_body=False, rcvbuf=32768))
    client = connect(site, tls=False)
    stream = client.request("/", method="PUT", fields=[("content-length", str(total))], end=False)
    sent = 0

    def send_more():
        nonlocal sent
        client.pump(0.01)
        while sent < total:
            room = min(client.h2.local_flow_control_window(stream.id), 16384, total - sent)
            if room <= 0:
                break
            client.h2.send_data(stream.id, b"y" * room)
            sent += room
            client.flush()
        return sent

    held = server.wait_until(lambda: still(send_more), 10, "the client to be held back")
    assert 65535 <= held < total
    gate.set()
    server.wait_until(lambda: send_more() == total, 20, "the rest to be taken")
    client.h2.end_stream(stream.id)
    client.flush()
    client.wait_done(stream)
    assert stream.body == b"%d" % total


UPLOAD = 12 << 20                            # more than the kernel takes for an origin that sleeps


def test_an_upload_that_is_held_back_is_not_called_slow(herald, connect, origin):
    def answer(request, wire):
        time.sleep(1.5)
        wire.exactly(UPLOAD)
        return GOOD

    site = proxied(herald, origin(answer, read_body=False, rcvbuf=4096),
                   limits={"body_grace": "300ms", "body_rate": 100000})
    client = connect(site, tls=False)
    stream = client.request("/", method="PUT", fields=[("content-length", str(UPLOAD))], end=False)
    sent = 0
    while sent < UPLOAD:
        client.wait(lambda: client.h2.local_flow_control_window(stream.id) > 0, "a window")
        room = min(client.h2.local_flow_control_window(stream.id), 16384, UPLOAD - sent)
        client.h2.send_data(stream.id, b"z" * room)
        client.flush()
        sent += room
    client.h2.end_stream(stream.id)
    client.flush()
    client.wait_done(stream)
    assert stream.status == 200 and counters(site)["limit_body"] == 0


@pytest.mark.asan
def test_a_client_that_goes_ends_the_exchange(herald, connect, origin):
    gate = threading.Event()

    def answer(request, wire):
        if request.target == "/good":
            return GOOD
        wire.sock.sendall(HEAD + b"Content-Length: 100\r\n\r\nhello")
        while wire.more():
            pass
        gate.set()
        return None

    app = origin(answer)
    site = proxied(herald, app)
    client = connect(site, tls=False)
    stream = client.request("/")
    client.wait(lambda: stream.body == b"hello", "the first octets")
    client.reset(stream)
    server.wait_until(gate.is_set, 5, "the exchange to end with its stream")
    gate.clear()
    other = client.request("/")
    client.wait(lambda: other.body == b"hello", "the first octets")
    client.close()
    server.wait_until(gate.is_set, 5, "the exchange to end with its connection")
    assert answered(site, connect, "/good").status == 200
    assert counters(site)["origin_failures"] == 0


def test_a_reload_lets_exchanges_finish(herald, connect, origin):
    gate = threading.Event()

    def answer(request, wire):
        if request.target == "/slow":
            wire.sock.sendall(HEAD + b"Content-Length: 10\r\n\r\nhello")
            gate.wait(server.patience(20))
            return b"world"
        return GOOD

    site = proxied(herald, origin(answer))
    site.workers_may_change = True
    client = connect(site, tls=False)
    stream = client.request("/slow")
    client.wait(lambda: stream.body == b"hello", "the first octets")
    site.send_signal(signal.SIGHUP)
    site.wait_error("generation 2 serves")
    assert answered(site, connect).status == 200
    gate.set()
    client.wait_done(stream)
    assert stream.body == b"helloworld"


# ---- at random ----

def expected(n, seed):
    out = bytearray(n)
    x = (seed * 2654435761 + 1) & 0xffffffff
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xffffffff
        out[i] = x >> 24
    return bytes(out)


BODIES = 10000 if server.SOAK else 240
SIZES = [0, 1, 5, 1000, 16383, 16384, 16385, 65535, 65536, 65537, 100000]


def size(choice):
    """Mostly small, or at the edge of something; one in fifty up to 8 MiB."""
    if choice.random() < 0.02:
        return choice.randrange(8 << 20)
    return choice.choice(SIZES) if choice.random() < 0.7 else choice.randrange(1 << 17)


@pytest.mark.parametrize("secure", [False, True], ids=["http/1.1", "h2"])
def test_random_bodies_arrive_intact(herald, connect, origin, certificate, secure):
    """Downloads and echoed uploads of every size, chunked or not, slow and fast on either side. The
    contents are pieces of one that both sides know."""
    app = origin(*([certificate.cert, certificate.key] if secure else []), make=origins.node)
    site = proxied(herald, app, keys={"ca": certificate.cert} if secure else None, workers=2)
    choice = random.Random(20 + secure)
    whole = expected(1 << 17, 7)
    left = BODIES // 2
    while left > 0:
        client = connect(site, tls=choice.random() < 0.3,
                         window=choice.choice([65535, 1 << 16, 1 << 20]))
        batch = []
        for _ in range(min(left, choice.randrange(1, 9))):
            left -= 1
            if choice.random() < 0.5:
                n = size(choice)
                path = "/bytes?n=%d&s=7" % n
                path += "&chunked=1" if choice.random() < 0.5 else ""
                path += "&slow=3" if choice.random() < 0.2 else ""
                batch.append((client.request(path), (whole * (n // len(whole) + 1))[:n]))
            else:
                batch.append(upload(client, choice, whole))
        client.wait_done(*[stream for stream, _ in batch])
        for stream, content in batch:
            assert stream.status == 200 and stream.reset is None
            assert stream.body == content, "%d octets came of %d" % (len(stream.body), len(content))
        client.close()
    said = counters(site)
    assert said["origin_failures"] == 0 and said["origin_requests"] >= BODIES // 2


def upload(client, choice, whole):
    n = size(choice)
    content = (whole * (n // len(whole) + 1))[:n]
    known = [("content-length", str(n))] if choice.random() < 0.5 else []
    stream = client.request("/echo", method="POST", fields=known, end=False)
    at = 0
    while at < n:
        piece = min(choice.choice([1000, 16384, 16384]), n - at)
        client.wait(lambda: client.h2.local_flow_control_window(stream.id) >= piece, "a window")
        at += piece
        client.h2.send_data(stream.id, content[at - piece:at], end_stream=at == n)
        client.flush()
        if choice.random() < 0.05:
            client.pump(0.002)
    if n == 0:
        client.h2.end_stream(stream.id)
        client.flush()
    return stream, content


READERS = 500 if server.SOAK else 100


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


@pytest.mark.skipif(server.ASAN, reason="the sanitizers' memory is not the server's")
def test_memory_is_bounded_with_slow_readers(herald, connect, origin, capsys):
    """Each asks for 16 MiB and takes its first window."""
    def answer(request, wire):
        piece = b"x" * 65536
        wire.sock.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (len(piece) * 256))
        for _ in range(256):
            wire.sock.sendall(piece)
        return None

    site = proxied(herald, origin(answer))
    (worker,) = site.workers()
    before = resident(worker)
    clients, streams = [], []
    for at in range(0, READERS, 10):
        client = connect(site, tls=False, window=1000, connection_window=1 << 20, manual=True)
        clients.append(client)
        for _ in range(10):
            streams.append((client, client.request("/")))
    for client, stream in streams:
        client.wait(lambda: len(stream.body) == 1000, "the first window")
    grown = server.wait_until(lambda: still(lambda: resident(worker) >> 20), 10, "memory to settle")
    each = ((grown << 20) - before) / READERS
    with capsys.disabled(): # for e2e-pytest.log
        print("%d slow readers: %d KiB each, %d MiB in all"
              % (READERS, each / 1024, READERS * each / (1 << 20)))
    assert each < 200 * 1024, "%d KiB for each reader" % (each / 1024)
