"""Routes that an origin answers: what it is asked, and what the client gets, whatever kind of server it
is."""
import json
import os
import re
import socket
import tempfile

import pytest

import origins
import server
from curl import curl
from origins import answered, counters, origin, proxied, response  # noqa: F401
from rawh2_wire import PREFACE, frame
from rawhpack import block


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
