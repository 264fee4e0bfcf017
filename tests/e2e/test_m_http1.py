"""HTTP/1.1 and 1.0 on the same listeners: what is the same as over HTTP/2, and what is its own."""
import http.client
import json
import os
import socket
import subprocess
import threading

import pytest

from curl import curl
from origins import Origin, proxied
from rawh1 import Peer
from server import patience, wait_until

pytestmark = pytest.mark.asan

NAVIGATE = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]


@pytest.fixture(scope="module")
def site(shared_herald):
    return shared_herald(workers=1, pushes={"/": ["/assets/site.css"]})


@pytest.fixture(params=[True, False], ids=["tls", "cleartext"])
def tls(request):
    return request.param


# ---- one request after the other

def test_a_connection_is_kept(site, tls):
    with Peer(site, tls) as peer:
        first = peer.get("/hello.txt")
        assert (first.status, first.field("connection")) == (200, None)
        assert peer.get("/hello.txt").body == first.body
        assert peer.get("/nowhere").status == 404
        assert peer.get("/hello.txt", method="HEAD").field("content-length") == str(len(first.body))
        assert peer.get("/hello.txt").body == first.body
        assert site.wait_log(lambda e: e.path == "/nowhere").fields["protocol"] == "http/1.1"


def test_close_is_heeded(site, tls):
    with Peer(site, tls) as peer:
        assert peer.get("/hello.txt", fields=["Connection: close"]).field("connection") == "close"
        assert peer.is_closed()


def test_pipelined_requests_are_answered_in_their_order(site, tls):
    paths = [("/hello.txt?%s%d" if n % 3 else "/nowhere%s%d") % (tls, n) for n in range(200)]
    with Peer(site, tls) as peer:
        peer.send("".join("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % p for p in paths))
        for path in paths:
            assert peer.answer().status == (200 if "hello" in path else 404), path
    site.wait_log(lambda entry: entry.path == paths[-1])
    assert [e.path for e in site.log() if e.path in paths] == paths


def test_whoever_pipelines_without_reading_is_not_listened_to(site):
    """What it is ahead of its answers by is bounded: its own send blocks."""
    wanted = b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    sent = 0
    with Peer(site) as peer:
        peer.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += peer.socket.send(wanted)
    assert sent < 64 << 20
    assert curl(site, "/hello.txt").status == 200


def test_http_1_0_is_answered_and_closed_unless_it_asks_otherwise(site):
    with Peer(site) as peer:
        answer = peer.get("/hello.txt", version="1.0", fields=["Host: localhost"])
        assert (answer.status, answer.field("connection")) == (200, "close")
        assert peer.is_closed()
    with Peer(site) as peer:
        for _ in range(3):
            answer = peer.get("/hello.txt", version="1.0",
                              fields=["Host: localhost", "Connection: keep-alive"])
            assert (answer.status, answer.field("connection")) == (200, "keep-alive")
    assert site.wait_log(lambda e: e.fields["protocol"] == "http/1.0")


def test_a_client_that_ends_its_side_is_answered(site):
    with Peer(site) as peer:
        peer.request("/large.bin")
        peer.end()
        assert peer.answer().body == curl(site, "/large.bin").body
        assert peer.is_closed()


def test_an_empty_line_before_a_request_is_passed_over(site):
    with Peer(site) as peer:
        assert peer.send("\r\n").get("/hello.txt").status == 200
        assert peer.send("\r\n").get("/hello.txt").status == 200


def test_a_first_octet_that_both_protocols_begin_with_is_waited_behind(site):
    with Peer(site) as peer:
        peer.send("P", "O", "ST /hello.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert peer.answer().status == 405


# ---- what is asked

def test_ranges_and_conditions_are_as_over_http2(site, tls):
    with Peer(site, tls) as peer:
        whole = peer.get("/hello.txt")
        part = peer.get("/hello.txt", fields=["Range: bytes=1-3"])
        assert (part.status, part.body) == (206, whole.body[1:4])
        tag = "If-None-Match: " + whole.field("etag")
        assert peer.get("/hello.txt", fields=[tag]).status == 304
        assert peer.get("/hello.txt").body == whole.body


def test_large_files_arrive_whole(site, tls):
    over_http2 = curl(site, "/large.bin", tls=tls).body
    with Peer(site, tls) as peer:
        assert peer.get("/large.bin").body == over_http2
        assert peer.get("/large.bin").body == over_http2


def test_an_absolute_target_names_its_own_host(site):
    with Peer(site) as peer:
        assert peer.get("http://localhost/hello.txt", fields=["Host: other.example"]).status == 200
        assert peer.get("http://localhost?x=1").status == 200
        entry = site.wait_log(lambda e: e.path == "/?x=1")
        assert entry.fields["host"] == "localhost"


def test_a_host_outside_the_certificate_is_421(site):
    with Peer(site, tls=True) as peer:
        assert peer.get("/hello.txt", fields=["Host: other.example"]).status == 421
        assert peer.get("/hello.txt").status == 200


def test_trace_is_refused(site):
    with Peer(site) as peer:
        assert peer.get("/hello.txt", method="TRACE").status == 405
    assert curl(site, "/hello.txt", method="TRACE").status == 405


def test_an_upgrade_to_http2_is_not_made(site):
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    with Peer(site) as peer:
        assert peer.get("/hello.txt", fields=fields).status == 200
        assert peer.get("/hello.txt").status == 200


def test_without_alpn_tls_is_http1(site):
    with Peer(site, tls=True, alpn=()) as peer:
        assert peer.get("/hello.txt").status == 200


# ---- what breaks off

def how_it_ends(peer):
    """What still came, records as they are, and whether a reset was the end of it."""
    came = b""
    with socket.socket(fileno=os.dup(peer.socket.fileno())) as wire:
        wire.settimeout(patience(10))
        try:
            while data := wire.recv(65536):
                came += data
        except ConnectionResetError:
            return came, True
    return came, False


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "broken"])
def test_what_breaks_off_before_an_end_that_nothing_else_tells_is_reset(herald, tls, whole):
    """A client of HTTP/1.0 takes the connection's end for the content's: of what is not whole it is
    to see none."""
    gate = threading.Event()

    def answer(request, wire):
        wire.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        gate.wait(patience(20))
        return b"0\r\n\r\n" if whole else None

    origin = Origin(answer)
    try:
        site = proxied(herald, origin, keys={"retries": 0})
        with Peer(site, tls) as peer:
            peer.request("/", fields=["Host: localhost"], version="1.0")
            head = peer.head()
            assert (head.status, head.field("content-length")) == (200, None)
            assert head.field("transfer-encoding") is None
            assert peer._octets(5) == b"hello"
            gate.set()
            came, reset = how_it_ends(peer)
            assert reset is not whole
            assert bool(came) is (tls and whole), "a close_notify, where that is true"
    finally:
        gate.set()
        origin.close()


# ---- content

def test_content_is_read_over_and_the_connection_kept(site, tls):
    with Peer(site, tls) as peer:
        assert peer.get("/hello.txt", method="POST", fields=["Content-Length: 5"],
                        body=b"hello").status == 405
        chunks = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Trailer: z\r\n\r\n"
        assert peer.get("/hello.txt", method="POST", fields=["Transfer-Encoding: chunked"],
                        body=chunks).status == 405
        assert peer.get("/hello.txt").status == 200


def test_who_waits_for_100_gets_the_answer_instead(site):
    with Peer(site) as peer:
        answer = peer.get("/hello.txt", method="POST",
                          fields=["Content-Length: 5", "Expect: 100-continue"])
        assert (answer.status, answer.field("connection")) == (405, "close")


def test_much_content_that_nobody_takes_ends_the_connection(site):
    with Peer(site) as peer:
        peer.request("/hello.txt", "POST", ["Content-Length: 100000000"])
        answer = peer.answer()
        assert (answer.status, answer.field("connection")) == (405, "close")


# ---- limits

def test_a_target_that_is_too_long_is_414_and_fields_are_431(herald):
    site = herald(workers=1, limits={"header_bytes": "4KiB", "header_fields": 20})
    with Peer(site) as peer:
        assert peer.get("/" + "x" * 5000).status == 414
        assert peer.is_closed()
    with Peer(site) as peer:
        assert peer.get("/hello.txt", fields=["X: " + "y" * 5000]).status == 431
        assert peer.is_closed()
    with Peer(site) as peer:
        assert peer.get("/hello.txt", fields=["X%d: y" % n for n in range(30)]).status == 431
        assert peer.get("/hello.txt", fields=["X%d: y" % n for n in range(10)]).status == 200


def test_trailers_are_bounded(herald):
    site = herald(workers=1, limits={"header_bytes": "4KiB"})
    with Peer(site) as peer:
        peer.request("/hello.txt", "POST", ["Transfer-Encoding: chunked"],
                     b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 200)
        assert peer.answer().status in (400, 405)
        assert peer.is_closed()


def test_a_slow_header_block_ends(herald):
    site = herald(workers=1, limits={"header": "300ms"})
    with Peer(site) as peer:
        peer.send("GET /hello.txt HT")
        assert peer.is_closed()
    site.wait_error("header")


def test_an_idle_connection_ends(herald):
    site = herald(workers=1, limits={"idle": "1s"})
    with Peer(site) as peer:
        assert peer.get("/hello.txt").status == 200
        assert peer.is_closed()


def test_the_last_request_of_a_connection_is_told_so(herald):
    site = herald(workers=1, limits={"requests": 3})
    with Peer(site) as peer:
        said = [peer.get("/hello.txt").field("connection") for _ in range(3)]
        assert said == [None, None, "close"]
        assert peer.is_closed()


# ---- pages

def test_a_navigation_gets_what_policies_decide_as_a_link_and_nothing_before(site):
    with Peer(site, tls=True) as peer:
        answer = peer.get("/", fields=NAVIGATE)
        assert answer.status == 200, "no interim response"
        assert answer.field("link") == "</assets/site.css>; rel=preload; as=style"
        assert "__Host-" in answer.field("set-cookie", "")
        assert "private" in answer.field("cache-control")
        other = peer.get("/")
        assert (other.field("link"), other.field("set-cookie")) == (None, None)


# ---- reload

def test_no_request_is_lost_at_a_reload(herald):
    site = herald(workers=1)
    connection = http.client.HTTPConnection("127.0.0.1", site.h2c_port, timeout=patience(10))
    connection.request("GET", "/hello.txt")
    assert connection.getresponse().read()
    site.send_signal(1)
    site.workers_may_change = True
    closed = False
    for _ in range(2000):
        connection.request("GET", "/hello.txt")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        if answer.getheader("connection") == "close":
            closed = True
            break
    assert closed, "the draining worker never said that it closes"
    connection.request("GET", "/hello.txt")
    assert connection.getresponse().read()
    connection.close()


# ---- redirect

@pytest.mark.parametrize("http", ["--http1.1", "--http2-prior-knowledge"])
def test_a_listener_that_redirects_sends_everybody_to_https(herald, http):
    site = herald(workers=1, top={"listen": [{None: ["127.0.0.1:@TLS@"], "tls": True},
                                             {None: ["127.0.0.1:@H2C@"], "redirect": "https"}]})
    for path in ("/hello.txt?a=%20b", "/nowhere", "/"):
        answer = curl(site, path, tls=False, http=http)
        assert answer.status == 308
        assert answer.field("location") == "https://localhost:%d%s" % (site.tls_port, path)
    followed = curl(site, "/hello.txt", "--location", tls=False, http=http)
    assert followed.status == 200
    assert curl(site, "/", tls=False, http=http, fields=["Host: a@b"]).status == 400
    printed = site.command("check", "--print")
    assert 'redirect = "https"' in printed.stdout


@pytest.mark.quick
@pytest.mark.parametrize("names,asked", [
    (["*"], None), (["*", "www.example.com", "example.org"], "www.example.com"),
    (["www.example.com", "127.0.0.1"], "127.0.0.1")])
def test_who_names_no_host_is_redirected_to_the_sites_own_or_refused(herald, names, asked):
    """HTTP/1.0 without a Host: no certificate is for the address that it came to, unless it is a name."""
    site = herald(workers=1, site={"names": names},
                  top={"listen": [{None: ["127.0.0.1:@TLS@"], "tls": True},
                                  {None: ["127.0.0.1:@H2C@"], "redirect": "https"}]})
    with Peer(site) as peer:
        peer.send(b"GET /hello.txt?a=b HTTP/1.0\r\n\r\n")
        answer = peer.answer()
    assert answer.status == (308 if asked else 400)
    assert answer.field("location") == (asked and "https://%s:%d/hello.txt?a=b" % (asked, site.tls_port))


def test_a_redirect_without_tls_is_refused_when_the_config_is_read(herald):
    for listen in ([{None: ["127.0.0.1:@H2C@"], "redirect": "https"}],
                   [{None: ["127.0.0.1:@TLS@"], "tls": True, "redirect": "https"}],
                   [{None: ["127.0.0.1:@TLS@"], "tls": True},
                    {None: ["127.0.0.1:@H2C@"], "redirect": "http"}]):
        site = herald(start=False, top={"listen": listen})
        checked = site.command("check")
        assert checked.returncode != 0 and "redirect" in checked.stdout + checked.stderr


# ---- other clients

NODE = """
const https = require('https'), http = require('http');
const [tls, plain] = process.argv.slice(1).map(Number);
const get = (lib, port, agent) => new Promise((good, bad) => lib.get({host: '127.0.0.1', port, agent,
    path: '/hello.txt', headers: {host: 'localhost'}, rejectUnauthorized: false}, (r) => {
  let n = 0;
  r.on('data', (d) => { n += d.length; });
  r.on('end', () => good([r.statusCode, r.httpVersion, n]));
}).on('error', bad));
(async () => {
  const seen = [];
  for (const [lib, port] of [[https, tls], [http, plain]]) {
    const agent = new lib.Agent({keepAlive: true, maxSockets: 4});
    let sockets = new Set();
    agent.on('free', (s) => sockets.add(s));
    const all = await Promise.all([...Array(100)].map(() => get(lib, port, agent)));
    seen.push([all.filter((a) => a[0] === 200 && a[1] === '1.1').length, sockets.size]);
    agent.destroy();
  }
  console.log(JSON.stringify(seen));
})();
"""


def test_nodes_agents_keep_their_connections(site):
    done = subprocess.run(["node", "-e", NODE, str(site.tls_port), str(site.h2c_port)],
                          capture_output=True, text=True, timeout=patience(30))
    assert done.returncode == 0, done.stderr
    for answered, sockets in json.loads(done.stdout):
        assert answered == 100
        assert sockets <= 4
