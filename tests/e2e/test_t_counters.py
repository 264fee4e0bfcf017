"""Each counter is moved by what it counts, and by how much. Those of limits are in test_t_limits.py
and tests/hostile, those of what is believed and pushed mostly in the files about that."""
import json
import os
import signal
import socket
import sys
import threading
import time

import pytest

import server
from h2client import Client, Cookies
from test_l_learned import Learning
from webroot import ASSETS, binary_bytes

sys.path.insert(0, os.path.join(server.TOP, "tests", "hostile"))
from attacker import Attacker, Ended     # noqa: E402
from rawh2_wire import Type, frame   # noqa: E402
from site_under_attack import Target     # noqa: E402

PAGES = {"/": list(ASSETS[:3])}


def counters(site):
    return json.loads(site.command("status", "--json").stdout)["counters"]


class Moved:
    """Context: what the counters were moved by, once something was done; `expect` waits for it."""

    def __init__(self, site):
        self.site, self.before = site, counters(site)

    def by(self, name):
        return counters(self.site)[name] - self.before[name]

    def expect(self, **wanted):
        for name, number in wanted.items():
            server.wait_until(lambda n=name, w=number: self.by(n) == w, 3,
                              lambda n=name: "%s moved by %d" % (n, self.by(n)))


@pytest.mark.asan
def test_handshakes_and_resumptions_are_counted_apart(herald, connect):
    site = herald(workers=1)
    moved = Moved(site)
    first = connect(site)
    first.get("/hello.txt")
    moved.expect(**{"handshakes": 1, "resumptions": 0, "accepted": 1})
    session, context = first.session, first.context
    first.close()
    again = connect(site, session=session, context=context)
    again.get("/hello.txt")
    assert again.resumed
    moved.expect(**{"handshakes": 1, "resumptions": 1, "closed": 1})


@pytest.mark.asan
def test_who_is_known_again_by_cookie_or_ticket_is_counted(herald, connect):
    site = herald(workers=1, pushes=PAGES)
    moved = Moved(site)
    cookies = Cookies()
    connect(site, cookies=cookies, tls=False).visit("/")
    moved.expect(**{"cookies_minted": 1, "cookies_known": 0})
    connect(site, cookies=cookies, tls=False).visit("/")
    moved.expect(**{"cookies_known": 1, "tickets_known": 0})
    first = connect(site)
    first.visit("/")
    connect(site, session=first.session, context=first.context).visit("/")
    moved.expect(**{"tickets_known": 1})


@pytest.mark.asan
def test_responses_are_counted_by_the_class_of_their_status(herald, connect):
    site = herald(workers=1)
    client = connect(site, tls=False)
    moved = Moved(site)
    etag = client.get("/hello.txt").field("etag")
    client.get("/hello.txt", fields=[("if-none-match", etag)])
    client.get("/assets")
    for path in ("/no/such", "/nor/this", "/nor/that"):
        client.get(path)
    moved.expect(**{"requests": 6, "responses_2xx": 1, "responses_3xx": 2, "responses_4xx": 3,
                    "responses_5xx": 0})


@pytest.mark.asan
def test_bytes_are_counted_on_the_way_in_and_out(herald, connect):
    site = herald(workers=1)
    site.root.write("/some.bin", binary_bytes("some", 5000))
    client = connect(site, tls=False)
    client.settle()
    moved = Moved(site)
    for _ in range(3):
        client.get("/some.bin")
    moved.expect(**{"body_bytes": 15000})
    assert 15000 < moved.by("bytes_sent") < 17000
    assert 3 * 9 < moved.by("bytes_received") < 1000
    client.get("/some.bin", fields=[("x-large", "y" * 10000)])
    assert 8000 < moved.by("bytes_received")


@pytest.mark.asan
def test_files_are_opened_once_and_found_in_the_cache_then(herald, connect):
    site = herald(workers=1)
    client = connect(site, tls=False)
    client.get("/light.html")            # what every look-up needs is opened now
    moved = Moved(site)
    client.get("/hello.txt")
    assert moved.by("files_opened") > 0
    moved.expect(**{"cache_misses": 1, "cache_hits": 0})
    opened = moved.by("files_opened")
    for _ in range(5):
        client.get("/hello.txt")
    moved.expect(**{"cache_misses": 1, "cache_hits": 5, "files_opened": opened})


@pytest.mark.asan
def test_lines_of_the_logs_are_counted(herald, connect):
    site = herald(workers=1)
    client = connect(site, tls=False)
    moved = Moved(site)
    for _ in range(7):
        client.get("/hello.txt")
    moved.expect(**{"log_lines": 7, "log_dropped": 0})
    assert len(site.log()) == 7


@pytest.mark.asan
def test_an_error_of_the_protocol_is_counted(herald):
    site = herald(workers=1)
    moved = Moved(site)
    link = Attacker(Target(site))
    with pytest.raises(Ended):
        link.frame(Type.PING, 0, 0, b"short")
        link.wait_end()
    assert link.outcome() == "GOAWAY FRAME_SIZE_ERROR"
    moved.expect(**{"protocol_errors": 1, "closed": 1})


def test_more_than_the_buffers_hold_is_counted_and_read_nevertheless(herald):
    """A worker that stood still finds more. Fewer unknown frames than a second allows are no
    offence, however large they are."""
    site = herald(workers=1)
    target, (worker,) = Target(site), site.workers()
    moved = Moved(site)
    links = [Attacker(target) for _ in range(64)]
    senders = [threading.Thread(target=link.send, args=(frame(0x42, 0, 0, bytes(16384)) * 90
                                                        + link.request(1, b"/hello.txt"),))
               for link in links]
    os.kill(worker, signal.SIGSTOP)
    try:
        for sender in senders:
            sender.start()
    finally:
        os.kill(worker, signal.SIGCONT)
    for link, sender in zip(links, senders):
        sender.join()
        link.read_for(10, link.answered)
        assert link.answered() == 1
        link.close()
    assert moved.by("buffer_shortages") > 0


@pytest.mark.asan
def test_a_body_that_fails_while_it_is_sent_is_counted(herald, connect):
    site = herald(workers=1)
    path = site.root.path("/shrinks.bin")
    site.root.write("/shrinks.bin", binary_bytes("shrinks", 8 << 20))
    client = connect(site, tls=False, window=65535, manual=True)
    moved = Moved(site)
    stream = client.request("/shrinks.bin")
    client.wait(lambda: len(stream.body) == 65535, "the first window")
    os.truncate(path, 1000)
    client.open_window(1 << 20)
    client.open_window(1 << 20, stream)
    client.wait(lambda: stream.done, "the stream's end")
    assert stream.reset is not None
    moved.expect(**{"body_failures": 1})


def test_answers_for_want_of_descriptors_are_counted(herald, connect):
    site = herald(workers=1, start=False)
    site.launcher = ["prlimit", "--nofile=80:80"]
    server.start(site)
    client = connect(site, tls=False)
    client.get("/hello.txt")
    moved = Moved(site)
    crowd = [socket.create_connection((server.ADDRESS, site.h2c_port)) for _ in range(100)]
    try:
        server.wait_until(lambda: moved.by("accept_failures") > 0, 5, "an accept that failed")
        assert client.get("/light.html").status == 503
        moved.expect(**{"responses_5xx": 1})
    finally:
        for peer in crowd:
            peer.close()
    server.wait_until(lambda: client.get("/light.html").status == 200, 5, "descriptors")


# ---- policies ----

ENDLESS = "while true do end"
PATTERN = 'local s, p = ("a"):rep(60), (".-"):rep(12) .. "b"; s:find(p)'
HOARD = "local t = {}; while true do t[#t + 1] = {} end"


@pytest.mark.asan
@pytest.mark.parametrize("hook,counter", [
    ('error("no")', "policy_errors"), (ENDLESS, "policy_soft_deadlines"),
    (PATTERN, "policy_hard_deadlines"), (HOARD, "policy_memory")])
def test_a_hook_that_fails_is_counted_by_its_way_to_fail(herald, connect, hook, counter):
    """Asked once: a single failure makes no version bad."""
    source = """return { api = 1, on_request = function(req, push)
  if req.path == "/" then %s end
end }""" % hook
    site = herald(workers=1, policies=["bad.lua"], policy_files={"bad.lua": source},
                  top={"policy": {"dir": "@DIR@/policies", "soft": "200ms", "hard": "500ms",
                                  "memory": "2MiB"}})
    client = connect(site, tls=False)
    client.get("/light.html")
    moved = Moved(site)
    assert client.get("/").status == 200
    moved.expect(**{counter: 1})
    others = {"policy_errors", "policy_soft_deadlines", "policy_hard_deadlines", "policy_memory"}
    assert not any(moved.by(other) for other in others - {counter})


@pytest.mark.asan
def test_calls_of_policies_are_counted_hook_by_hook(herald, connect):
    site = herald(workers=1, pushes=PAGES)
    client = connect(site, tls=False)
    moved = Moved(site)
    client.get("/hello.txt")
    calls = moved.by("policy_calls")
    client.visit("/")
    assert moved.by("policy_calls") > calls


@pytest.mark.asan
def test_pushes_that_a_closed_connection_cut_off_are_counted_as_lost(herald):
    site = herald(workers=1, pushes=PAGES)
    moved = Moved(site)
    client = Client(site, tls=False, window=0, connection_window=1 << 24)
    page = client.request("/")
    client.wait(lambda: len(page.promises) == 3, "the promises")
    client.close()
    moved.expect(**{"promises": 3, "pushes_lost": 3, "pushes_delivered": 0})


def test_promises_that_were_not_written_are_not_counted_as_sent(herald, connect):
    """The client resets the page in the same segment."""
    site = herald(workers=1, pushes=PAGES)
    connect(site, tls=False).visit("/")
    moved = Moved(site)
    client = connect(site, tls=False)
    client.request("/", behind=frame(Type.RST_STREAM, stream=1, payload=bytes(4)))
    moved.expect(**{"pushes_lost": 3, "promises": 0})
    client.visit("/")
    moved.expect(**{"pushes_lost": 3, "promises": 3})


def test_a_page_whose_client_is_held_out_is_counted(herald, connect):
    site = herald(workers=1, pushes=PAGES, push={"holdout": 1})
    moved = Moved(site)
    assert connect(site, tls=False).visit("/").paths() == []
    moved.expect(**{"holdouts": 1, "promises": 0})


def test_what_finds_no_room_among_the_learned_is_counted(herald):
    """A page has room for some thirty assets that are asked for equally often."""
    site = Learning(herald, workers=1)
    many = ["/img/%d.png" % n for n in range(80)]
    site.write(*many)
    moved = Moved(site.herald)
    began = time.monotonic()
    while not moved.by("learned_refused"):
        site.visit(assets=many)
        assert time.monotonic() - began < server.patience(10), "nothing was refused"
    assert moved.by("learned_notes") >= 5
