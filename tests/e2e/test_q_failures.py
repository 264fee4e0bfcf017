"""Origins that fail, keep silent or lie: what the client gets, and which server is asked instead."""
import json
import socket
import threading
import time

import pytest

import server
from curl import curl
from origins import answered, counters, origin, proxied, response  # noqa: F401

GOOD = response(b"hello\n")


# ---- origins that fail ----

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BEFORE_THE_HEAD = {                          # what the origin says; then it closes
    "nothing": b"",
    "garbage": b"\x16\x03\x01 what is this\r\n\r\n",
    "half a status line": b"HTTP/1.",
    "half a head": HEAD + b"Content-Length: 5\r\n",
    "HTTP/0.9": b"hello\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and a coding": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: 5x\r\n\r\nhello",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "a folded field": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a field without a colon": HEAD + b"nonsense\r\nContent-Length: 0\r\n\r\n",
    "a space in a name": HEAD + b"X Y: a\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "101 fields": HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(101)) + b"Content-Length: 0\r\n\r\n",
    "70 KiB of fields": HEAD + b"X: " + b"a" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "101 Switching Protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}
IN_THE_CONTENT = {
    "less than it said": HEAD + b"Content-Length: 100000\r\n\r\nhello",
    "a chunk cut short": CHUNKED + b"1000\r\nhello",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "a chunk size that is none": CHUNKED + b"5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.asan
@pytest.mark.parametrize("case", BEFORE_THE_HEAD)
def test_an_origin_that_does_not_answer_is_a_502(herald, connect, origin, case):
    said = [BEFORE_THE_HEAD[case]]

    def answer(request, wire):
        if request.target == "/good":
            return GOOD
        wire.sock.sendall(said[0])
        return None

    site = proxied(herald, origin(answer), keys={"retries": 0})
    stream = answered(site, connect)
    assert stream.status == 502 and b"502" in stream.body, case
    entry = site.page_entry("/")
    assert entry.fields["origin"].startswith("http://") and entry.fields["origin_failure"], entry
    site.wait_error("502: origin http://127")
    assert answered(site, connect, "/good").status == 200
    assert counters(site)["origin_failures"] == 1


@pytest.mark.asan
@pytest.mark.parametrize("case", IN_THE_CONTENT)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_content_that_breaks_off_never_looks_whole(herald, connect, origin, case, end):
    def answer(request, wire):
        if request.target == "/good":
            return GOOD
        wire.sock.sendall(IN_THE_CONTENT[case])
        if end == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return None

    site = proxied(herald, origin(answer), keys={"retries": 0})
    stream = answered(site, connect)
    if stream.status == 502:                 # it broke off before its head was passed on
        assert case == "a chunk size that is none" or end == "reset"
    else:
        assert stream.status == 200 and stream.reset is not None, case
    assert answered(site, connect, "/good").status == 200
    assert counters(site)["origin_failures"] == 1


def test_more_than_was_said_is_not_passed_on(herald, connect, origin):
    app = origin(lambda request, wire: response(b"hello") + b"HTTP/1.1 200 OK\r\n\r\nsecond")
    site = proxied(herald, app)
    client = connect(site)
    for _ in range(3):
        assert client.get("/").body == b"hello"
    assert app.connections == 3, "a connection with more on it than it should is not used again"


def test_content_until_the_connection_ends_is_whole(herald, connect, origin):
    def answer(request, wire):
        wire.sock.sendall(HEAD + b"\r\n" + b"x" * 300000)
        return None
    stream = connect(proxied(herald, origin(answer))).get("/")
    assert len(stream.body) == 300000 and stream.field("content-length") is None


@pytest.mark.asan
def test_an_origin_that_keeps_silent_is_a_504(herald, connect, origin):
    app = origin(lambda request, wire: wire.more())
    site = proxied(herald, app, keys={"timeout": "300ms"})
    start = time.monotonic()
    assert answered(site, connect).status == 504
    assert 0.25 < time.monotonic() - start < server.patience(3)
    server.wait_until(lambda: not app.open, 5, "the origin's connection to be ended")
    said = counters(site)
    assert said["origin_timeouts"] == 1 and said["origin_failures"] == 1


def test_an_origin_that_falls_silent_in_its_content_resets_the_stream(herald, connect, origin):
    gate = threading.Event()

    def answer(request, wire):
        wire.sock.sendall(HEAD + b"Content-Length: 100000\r\n\r\nhello")
        gate.wait(server.patience(20))

    site = proxied(herald, origin(answer), keys={"timeout": "300ms"})
    stream = answered(site, connect)
    gate.set()
    assert stream.status == 200 and stream.body == b"hello" and stream.reset is not None
    assert counters(site)["origin_timeouts"] == 1


def test_a_slow_origin_is_waited_for_while_it_says_something(herald, connect, origin):
    def answer(request, wire):
        wire.sock.sendall(HEAD + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.1)
            wire.sock.sendall(b"x")
        return GOOD if request.target == "/never" else None
    stream = connect(proxied(herald, origin(answer), keys={"timeout": "500ms"})).get("/")
    assert stream.body == b"x" * 10


@pytest.mark.asan
def test_an_origin_that_nobody_listens_for_is_a_502(herald, connect):
    port = server.free_ports(1)[0]
    site = proxied(herald, "http://127.0.0.1:%d" % port)
    stream = answered(site, connect)
    assert stream.status == 502
    assert "onnect" in site.page_entry("/").fields["origin_failure"]


# ---- several servers ----

def test_servers_are_asked_in_turn(herald, connect, origin):
    apps = [origin() for _ in range(3)]
    client = connect(proxied(herald, *apps))
    for _ in range(9):
        assert client.get("/").status == 200
    assert [len(app.requests) for app in apps] == [3, 3, 3]


@pytest.mark.asan
def test_a_safe_request_is_repeated_at_the_next_server(herald, connect, origin):
    dead = origin(lambda request, wire: None)
    good = origin()
    site = proxied(herald, dead, good, keys={"rest": "10m"})
    client = connect(site)
    for _ in range(4):
        assert client.get("/").status == 200
    assert len(dead.requests) == 1, "a server that failed rests"
    said = counters(site)
    assert said["origin_retries"] == 1 and said["origin_rests"] == 1 and said["origin_requests"] == 5


def test_an_unsafe_request_is_not_repeated_once_a_server_had_it(herald, connect, origin):
    dead = origin(lambda request, wire: None)
    good = origin()
    site = proxied(herald, dead, good)
    assert answered(site, connect, method="POST").status == 502
    assert len(dead.requests) == 1 and good.requests == []


def test_an_unsafe_request_goes_on_when_no_connection_came_about(herald, connect, origin):
    good = origin()
    site = proxied(herald, "http://127.0.0.1:%d" % server.free_ports(1)[0], good)
    assert curl(site, "/", "--data-binary", "12345").status == 200
    assert good.requests[0].body == b"12345"


def test_a_kept_connection_that_ended_repeats_safe_requests_only(herald, connect, origin):
    """The origin ends a connection when its second request has come: it may have been carried out."""
    seen = {}

    def answer(request, wire):
        seen[wire] = seen.get(wire, 0) + 1
        return GOOD if seen[wire] == 1 else None

    app = origin(answer)
    site = proxied(herald, app, keys={"retries": 0, "rest": "0s"})
    client = connect(site)
    assert client.get("/").status == 200
    assert client.get("/").status == 200     # again on a new connection
    before = len(app.requests)
    stream = client.request("/", method="POST")
    client.wait_done(stream)
    assert stream.status == 502 and len(app.requests) == before + 1


def test_when_all_rest_the_longest_rested_is_tried(herald, connect, origin):
    broken = [True]
    app = origin(lambda request, wire: None if broken[0] else GOOD)
    site = proxied(herald, app, keys={"rest": "10m", "retries": 0})
    assert answered(site, connect).status == 502
    broken[0] = False
    assert answered(site, connect).status == 200
    assert counters(site)["origin_rests"] == 1


def servers(site):
    return json.loads(site.command("status", "--json").stdout)["origins"]


def test_status_tells_which_servers_rest(herald, connect, origin):
    broken = {1: True, 2: False}
    app = origin(lambda request, wire: None if broken[1] else GOOD)
    good = origin(lambda request, wire: None if broken[2] else GOOD)
    site = proxied(herald, app, good, keys={"rest": "10m"}, workers=1)
    first, second = servers(site)
    assert first == {"server": app.url, "resting": 0, "of": 1, "until_s": 0, "failures": 0}
    assert second == dict(first, server=good.url)
    client = connect(site)
    for _ in range(2):
        assert client.get("/").status == 200
    rests, well = servers(site)
    assert rests["resting"] == 1 and rests["failures"] == 1 and 0 < rests["until_s"] <= 600
    assert well == second
    assert "%-28s rests at 1 of 1 workers for " % app.url in site.command("status").stdout
    broken.update({1: False, 2: True})
    assert client.get("/").status == 200     # now the other rests
    assert [one["resting"] for one in servers(site)] == [0, 1]


@pytest.mark.parametrize("most, status", [(1, 503), (2, 200)])
def test_more_requests_than_a_server_may_have_are_refused(herald, connect, origin, most, status):
    gate = threading.Event()

    def answer(request, wire):
        if request.target == "/slow":
            gate.wait(server.patience(20))
        return GOOD

    app = origin(answer)
    site = proxied(herald, app, keys={"connections": most})
    client = connect(site)
    slow = client.request("/slow")
    server.wait_until(lambda: app.requests, 5, "the first request")
    other = client.request("/")
    client.wait_done(other)
    assert other.status == status
    assert counters(site)["limit_origin"] == (most == 1)
    gate.set()
    client.wait_done(slow)
    assert slow.status == 200


def test_connections_are_kept(herald, connect, origin):
    app = origin()
    site = proxied(herald, app)
    client = connect(site)
    for _ in range(20):
        assert client.get("/").status == 200
    assert app.connections == 1 and counters(site)["origin_connections"] == 1
