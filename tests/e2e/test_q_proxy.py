"""Routes that an origin answers: what it is asked, what the client gets, and what happens when either
is slow, gone or lies."""
import json
import os
import random
import re
import signal
import socket
import tempfile
import threading
import time

import pytest

import origins
import server
from curl import curl
from origins import Origin, counters, proxied, response
from rawh2_wire import PREFACE, frame
from rawhpack import block

GOOD = response(b"hello\n")


@pytest.fixture
def origin(request):
    """origin(answer, ...) starts an Origin; all are closed after the test, which fails when one saw
    what no origin is to see."""
    made = []

    def factory(*args, make=Origin, **kwargs):
        made.append(make(*args, **kwargs))
        return made[-1]

    yield factory
    for one in made:
        one.close()
    for one in made:
        assert not getattr(one, "faults", None), one.faults


def answered(site, connect, path="/", **kwargs):
    """The stream of a request, whether it was answered or reset."""
    client = connect(site, tls=False)
    stream = client.request(path, **kwargs)
    client.wait(lambda: stream.done or stream.reset is not None, "an end")
    return stream


# ---- the request ----

@pytest.mark.quick
@pytest.mark.asan
def test_a_request_is_asked_of_the_origin_and_answered_by_it(herald, connect, origin):
    app = origin(lambda request, wire: response(b"from the origin", "Content-Type: text/x-mine",
                                                "Set-Cookie: a=1", "Set-Cookie: b=2",
                                                status="203 Because"))
    site = proxied(herald, app)
    stream = connect(site).get("/some/path?with=query&and=%41%2f../")
    assert (stream.status, stream.body) == (203, b"from the origin")
    assert counters(site)["origin_received_bytes"] == len(stream.body)
    assert stream.field("content-type") == "text/x-mine" and stream.all("set-cookie") == ["a=1", "b=2"]
    assert stream.field("date"), "a response without Date is given one (RFC 9110 6.6.1)"
    request = app.requests[0]
    assert (request.method, request.target) == ("GET", "/some/path?with=query&and=%41%2f../")
    assert request.version == "HTTP/1.1"
    assert request.field("host") == site.authority()


@pytest.mark.quick
def test_what_names_the_way_is_the_servers_own(herald, connect, origin):
    app = origin()
    site = proxied(herald, app)
    connect(site).get("/", fields=[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "gopher"),
                                   ("x-forwarded-host", "evil.test"), ("forwarded", "for=6.6.6.6"),
                                   ("via", "1.1 edge"), ("traceparent", "00-aa-bb-01")])
    request = app.requests[0]
    assert request.field("x-forwarded-for") == "127.0.0.1"
    assert request.field("x-forwarded-proto") == "https"
    assert request.field("x-forwarded-host") == site.authority()
    assert request.field("forwarded") == 'for=127.0.0.1;proto=https;host="%s"' % site.authority()
    assert re.fullmatch(r"1\.1 edge, 2 herald-[0-9a-f]{8}", request.field("via"))
    assert request.field("traceparent") == "00-aa-bb-01"


def test_a_trusted_way_is_added_to(herald, connect, origin):
    app = origin()
    site = proxied(herald, app, keys={"trust_forwarded": True, "host": "app.internal:81"})
    connect(site).get("/", fields=[("x-forwarded-for", "6.6.6.6, 7.7.7.7"), ("forwarded", "for=6.6.6.6"),
                                   ("x-forwarded-proto", "http"), ("x-forwarded-host", "www.test")])
    request = app.requests[0]
    assert request.field("x-forwarded-for") == "6.6.6.6, 7.7.7.7, 127.0.0.1"
    assert request.field("forwarded").startswith("for=6.6.6.6, for=127.0.0.1;")
    assert request.field("x-forwarded-proto") == "http"
    assert request.field("x-forwarded-host") == "www.test"
    assert request.field("host") == "app.internal:81"


def test_crumbs_are_one_cookie_without_ours(herald, connect, origin):
    app = origin()
    site = proxied(herald, app)
    client = connect(site)
    client.get("/", fields=[("cookie", "a=1"), ("cookie", "__Host-herald=" + "x" * 38),
                            ("cookie", "b=2; herald=y"), ("cookie", "c=3")])
    assert app.requests[0].all("cookie") == ["a=1; b=2; c=3"]
    client.get("/", fields=[("cookie", "__Host-herald=" + "x" * 38)])
    assert app.requests[1].all("cookie") == []


def test_fields_that_concern_one_hop_do_not_pass_either_way(herald, connect, origin):
    app = origin(lambda request, wire: response(
        b"", "Connection: x-secret, keep-alive", "X-Secret: 1", "Keep-Alive: timeout=5", "Upgrade: h9",
        "Proxy-Authenticate: Basic", "Trailer: x", "X-Kept: 2"))
    site = proxied(herald, app)
    stream = connect(site).get("/", fields=[("te", "trailers"), ("proxy-authorization", "Basic x"),
                                            ("x-kept", "1"), ("expect", "100-continue")])
    request = app.requests[0]
    for name in ("te", "proxy-authorization", "expect", "connection", "transfer-encoding"):
        assert request.all(name) == [], name
    assert request.field("x-kept") == "1"
    for name in ("connection", "x-secret", "keep-alive", "upgrade", "proxy-authenticate", "trailer"):
        assert stream.all(name) == [], name
    assert stream.field("x-kept") == "2"


@pytest.mark.asan
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "REPORT"])
@pytest.mark.parametrize("content", [None, b"", b"abc" * 40000], ids=["none", "empty", "120 kB"])
def test_every_method_passes_with_its_content(herald, connect, origin, method, content):
    app = origin(lambda request, wire: response(request.body if request.method != "HEAD" else b""))
    site = proxied(herald, app)
    client = connect(site, tls=False)
    stream = client.request("/", method=method, end=content is None)
    for at in range(0, len(content or b""), 16384):
        piece = content[at:at + 16384]
        client.wait(lambda: client.h2.local_flow_control_window(stream.id) >= len(piece), "a window")
        client.h2.send_data(stream.id, piece)
        client.flush()
    if content is not None:
        client.h2.end_stream(stream.id)
        client.flush()
    client.wait_done(stream)
    assert stream.status == 200
    request = app.requests[0]
    assert request.method == method and request.body == (content or b"")
    if content is None and method in ("POST", "PUT", "PATCH"):
        assert request.field("content-length") == "0"
    if method != "HEAD":
        assert stream.body == (content or b"")


def test_a_known_length_is_said_and_an_unknown_one_chunked(herald, origin):
    app = origin()
    site = proxied(herald, app)
    assert curl(site, "/", "--data-binary", "12345").status == 200
    assert app.requests[0].field("content-length") == "5" and app.requests[0].body == b"12345"
    assert curl(site, "/", "-H", "Content-Length:", "--data-binary", "12345").status == 200
    assert app.requests[1].body == b"12345"


# ---- smuggling: a request that is one here and two there ----

SMUGGLED = {
    "content-length beside DATA that is longer": [("content-length", "1")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "transfer-encoding with a tab": [("transfer-encoding", "\tchunked")],
    "connection": [("connection", "transfer-encoding")],
    "upgrade": [("upgrade", "h2c")],
    "line feed in a value": [("x", "1\nTransfer-Encoding: chunked")],
    "carriage return and line feed in a value": [("x", "1\r\nTransfer-Encoding: chunked")],
    "NUL in a value": [("x", "1\0")],
    "line feed in a name": [("x\ntransfer-encoding", "chunked")],
    "colon in a name": [("transfer-encoding:chunked", "x")],
    "space in a name": [("transfer-encoding ", "chunked")],
    "two content-lengths": [("content-length", "1"), ("content-length", "44")],
    "content-length that is none": [("content-length", "+44")],
    "a host that is another": [("host", "other.test")],
}
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("case", SMUGGLED)
def test_smuggling_by_downgrade_finds_nothing(herald, origin, case):
    """Sent past python-h2's own checks: what reaches the origin, if anything, is one request."""
    app = origin()
    site = proxied(herald, app)
    head = block([(":method", "POST"), (":scheme", "http"), (":path", "/"),
                  (":authority", site.authority(False))] + SMUGGLED[case])
    with socket.create_connection((server.ADDRESS, site.h2c_port)) as peer:
        peer.settimeout(server.patience(5))
        peer.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, head) +
                     frame(DATA, END_STREAM, 1, NEXT))
        got = b""
        while not any(kind in (RST_STREAM, GOAWAY) or (kind in (DATA, HEADERS) and flags & END_STREAM)
                      for kind, flags in frames_of(got)):
            piece = peer.recv(65536)
            if not piece:
                break
            got += piece
    assert curl(site, "/after", tls=False).status == 200
    targets = [request.target for request in app.requests]
    assert "/smuggled" not in targets and targets[-1] == "/after", targets
    for request in app.requests:
        assert request.raw.count(b"\n") == len(request.fields)
        assert request.all("transfer-encoding") in ([], ["chunked"])
    if case != "upgrade" or len(targets) > 1:
        assert targets == ["/after"], "%s: %s reached the origin" % (case, targets)


def frames_of(data):
    at = 0
    while at + 9 <= len(data):
        yield data[at + 3], data[at + 4]
        at += 9 + int.from_bytes(data[at:at + 3], "big")


def test_a_websocket_is_refused_and_so_is_connect(herald, connect, origin):
    app = origin()
    site = proxied(herald, app)
    assert answered(site, connect, pseudo=[(":method", "CONNECT"), (":authority", "x:1")]).status in (405, 421)
    answer = curl(site, "/", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", tls=False,
                  http="--http1.1")
    assert answer.status == 501
    assert app.requests == []


def test_a_request_that_goes_in_circles_ends(herald, connect):
    site = herald(site={"root": None, "origin": "http://127.0.0.1:@H2C@"}, workers=1)
    assert answered(site, connect).status == 508


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


# ---- kinds of servers ----

def test_a_unix_socket_is_an_origin(herald, connect, origin):
    directory = tempfile.mkdtemp(prefix="herald-unix-")
    os.chmod(directory, 0o755)
    app = origin(path=os.path.join(directory, "app.sock"))
    assert connect(proxied(herald, app)).get("/").body == b"hello\n"


def test_the_certificate_of_an_https_origin_is_verified(herald, connect, origin, certificate):
    app = origin(tls=origins.tls_server(certificate))
    good = proxied(herald, app, keys={"ca": certificate.cert})
    assert connect(good).get("/").body == b"hello\n"
    unknown = proxied(herald, app)
    assert answered(unknown, connect).status == 502
    assert "certificate" in unknown.page_entry("/").fields["origin_failure"]
    other_name = proxied(herald, app.url.replace("localhost", "127.0.0.2"), keys={"ca": certificate.cert})
    assert answered(other_name, connect).status == 502
    unverified = proxied(herald, app, keys={"verify": False})
    assert connect(unverified).get("/").body == b"hello\n"
    unverified.wait_error("origin.verify is false")


def test_a_name_that_nobody_knows_is_told_and_answered_502(herald, connect):
    site = proxied(herald, "http://nobody.invalid:80")
    site.wait_error("no address is known of \"nobody.invalid\"")
    assert answered(site, connect).status == 502
    assert "no address is known" in site.page_entry("/").fields["origin_failure"]


@pytest.mark.parametrize("secure", [False, True], ids=["http/1.1", "h2"])
def test_node_is_an_origin(herald, connect, origin, certificate, secure):
    app = origin(*([certificate.cert, certificate.key] if secure else []), make=origins.node)
    site = proxied(herald, app, keys={"ca": certificate.cert} if secure else None)
    said = json.loads(connect(site).get("/a?b=c", fields=[("x-mine", "1")]).body)
    assert said["version"] == ("2.0" if secure else "1.1")
    assert said["url"] == "/a?b=c" and said["headers"]["x-mine"] == "1"
    assert said["headers"][":authority" if secure else "host"] == site.authority()


def test_nginx_is_an_origin(herald, connect, origin):
    from webroot import binary_bytes
    site = herald(start=False)
    content = binary_bytes("nginx", 3 << 20)
    site.root.write("/large.bin", content)
    app = origin(site.root.directory, make=origins.Nginx)
    proxy = proxied(herald, app)
    client = connect(proxy)
    assert client.get("/large.bin").body == content
    part = client.get("/large.bin", fields=[("range", "bytes=100-199")])
    assert part.status == 206 and part.body == content[100:200]
    assert part.field("content-range") == "bytes 100-199/%d" % len(content)
    etag = client.get("/hello.txt").field("etag")
    again = client.get("/hello.txt", fields=[("if-none-match", etag)])
    assert again.status == 304 and again.body == b""
    assert client.get("/missing").status == 404


# ---- names ----

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for names of its own")
def test_an_origins_name_is_looked_up_again_and_followed_to_its_new_address(herald, origin):
    """Both addresses have a server; connections to the old one end with each answer, as they would
    when it goes."""
    old = origin(lambda request, wire: response(b"old", "Connection: close"))
    new = origin(lambda request, wire: response(b"new", "Connection: close"), address="127.0.0.2",
                 port=old.port)
    site = proxied(herald, "http://origin.test:%d" % old.port, keys={"lookup": "1s"}, start=False)
    hosts = os.path.join(site.directory, "hosts")

    def name(address):
        with open(hosts, "w") as file:       # the same file: it is mounted
            file.write("127.0.0.1 localhost\n%s origin.test\n" % address)
    name("127.0.0.1")
    site.launcher = ["unshare", "--mount", "sh", "-c",
                     'mount --bind "$0" /etc/hosts && exec "$@"', hosts]
    server.start(site)
    assert curl(site).body == b"old"
    name("127.0.0.2")
    server.wait_until(lambda: curl(site).body == b"new", 10, "the new address", every=0.05)
    asked = len(old.requests)
    for _ in range(5):
        assert curl(site).body == b"new"
    assert len(old.requests) == asked and len(new.requests) >= 6


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
