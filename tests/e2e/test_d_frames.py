"""Pushes frame by frame (RFC 9113): settings, limits, windows, RST_STREAM and GOAWAY."""
import pytest

import server
from h2client import (CANCEL, DATA, ENABLE_PUSH, GOAWAY, INITIAL_WINDOW_SIZE,
                      MAX_CONCURRENT_STREAMS, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
                      WINDOW_MAX, Cookies, Gone, visit_once)
from rawh2_wire import frame, settings_payload
from webroot import ASSETS, binary_bytes

SIX = ["/six/%d.css" % n for n in range(18)]
PAGES = {"/": list(ASSETS), "/first.html": SIX[:6], "/second.html": SIX[6:12],
         "/third.html": SIX[12:]}


@pytest.fixture
def site(herald):
    """Three pages with six assets each that no other page has, beside the usual ones."""
    made = herald(pushes=PAGES, push={"budget": "off"})
    for path in SIX:
        made.root.asset(path, 3000)
    for path in ("/first.html", "/second.html", "/third.html"):
        made.root.page(path, PAGES[path], 2000)
    return made


def held_back(client, path):
    """Asks for a page on a client with windows of 0; all HEADERS are there, no DATA."""
    page = client.request(path)
    client.wait(lambda: page.status, "HEADERS of " + path)
    client.settle()
    client.wait(lambda: all(s.status for s in page.promises if not s.cancelled), "pushed HEADERS")
    return page


# ---- SETTINGS_ENABLE_PUSH (6.5.2, 8.4) ----

@pytest.mark.quick
@pytest.mark.asan
def test_a_client_that_takes_no_push_gets_none_and_the_log_says_so(site, connect):
    client = connect(site, settings={ENABLE_PUSH: 0})
    assert client.visit("/").pushed == {}
    assert site.page_entry("/").pushes == [(path, server.PUSH_DISABLED) for path in ASSETS]


@pytest.mark.quick
def test_push_can_be_switched_off_and_on(site, connect):
    client = connect(site)
    assert len(client.visit("/first.html").pushed) == 6
    client.update_settings({ENABLE_PUSH: 0})
    assert client.visit("/second.html").pushed == {}
    client.update_settings({ENABLE_PUSH: 1})
    assert len(client.visit("/third.html").pushed) == 6
    assert len(client.visit("/second.html").pushed) == 6, "what was not pushed was not claimed"


@pytest.mark.quick
def test_push_can_be_switched_on_later(site, connect):
    client = connect(site, settings={ENABLE_PUSH: 0})
    assert client.visit("/first.html").pushed == {}
    client.update_settings({ENABLE_PUSH: 1})
    assert len(client.visit("/first.html").pushed) == 6


def test_switching_off_in_mid_push_lets_promised_ones_finish(site, connect):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/first.html")
    assert len(page.promises) == 6
    client.update_settings({ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    for pushed in page.promises:
        assert bytes(pushed.body) == site.root.read(pushed.path)
    assert client.visit("/second.html").pushed == {}


# ---- what overtakes a page's promises ----

OVERTAKES = [
    pytest.param(frame(SETTINGS, payload=settings_payload([(ENABLE_PUSH, 0)])),
                 server.PUSH_DISABLED, id="ENABLE_PUSH"),
    pytest.param(frame(SETTINGS, payload=settings_payload([(MAX_CONCURRENT_STREAMS, 0)])),
                 server.CLIENT_LIMIT, id="limit"),
    pytest.param(frame(GOAWAY, payload=bytes(8)), server.GOING_AWAY, id="GOAWAY"),
    pytest.param(frame(RST_STREAM, stream=3, payload=CANCEL.to_bytes(4, "big")), server.PROTOCOL,
                 id="reset")]


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("sent,verdict", OVERTAKES[:3])
def test_what_stops_pushes_while_assets_are_looked_up_stops_that_pages(herald, connect, sent, verdict):
    """The page is in memory, so that it is decided at once; its assets are not."""
    site = herald(policies=["own.lua"], policy_files={"own.lua": """return { api = 1,
        on_request = function(req, push)
          if req.query == "push" then push:add("/assets/site.css") push:add("/assets/light.css") end
        end }"""})
    client = connect(site)
    client.get("/light.html")
    page = client.request("/light.html?push", behind=sent)
    client.wait_done(page)
    entry = site.page_entry("/light.html?push")
    assert page.promises == []
    assert entry.pushes == [("/assets/site.css", verdict), ("/assets/light.css", verdict)]
    assert entry.fields["push_off"], "and why, in a sentence"


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("sent,verdict", [OVERTAKES[0], *OVERTAKES[2:]])
def test_promises_that_could_not_be_written_are_not_logged_as_pushed(herald, connect, sent, verdict):
    """All is in memory: the promises were made before the frame was read."""
    site = herald(pushes=PAGES, workers=1, push={"budget": "off"})
    connect(site).visit("/")
    client = connect(site)
    client.get("/", method="HEAD")
    page = client.request("/", behind=sent)
    entry = site.page_entry("/", method="GET", nth=2)
    assert entry.pushes == [(path, verdict) for path in ASSETS]
    assert page.promises == []


# ---- SETTINGS_MAX_CONCURRENT_STREAMS (5.1.2, 8.4.2) ----

@pytest.mark.quick
@pytest.mark.asan
def test_a_client_limit_of_0_means_no_promise(site, connect):
    client = connect(site, settings={MAX_CONCURRENT_STREAMS: 0})
    assert client.visit("/").pushed == {}
    assert {v for _, v in site.page_entry("/").pushes} == {server.CLIENT_LIMIT}
    assert not any(kind == PUSH_PROMISE for kind, *_ in client.frames)


def most_unfinished(streams):
    """The largest number of streams promised and not ended at one time."""
    return max(sum(other.promised_at <= stream.promised_at
                   and (other.ended_at is None or other.ended_at > stream.promised_at)
                   for other in streams) for stream in streams)


@pytest.mark.asan
def test_a_client_limit_of_4_is_never_passed(site, connect):
    client = connect(site, settings={MAX_CONCURRENT_STREAMS: 4}, window=0,
                     connection_window=WINDOW_MAX)
    first = held_back(client, "/first.html")
    assert len(first.promises) == 4
    second = held_back(client, "/second.html")
    assert second.promises == [], "the four before are unfinished"
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(first, second, *first.promises)
    third = client.visit("/third.html").page
    assert len(third.promises) == 4
    assert most_unfinished(first.promises + third.promises) == 4
    verdicts = [v for _, v in site.page_entry("/first.html").pushes]
    assert verdicts == [server.PUSHED] * 4 + [server.CLIENT_LIMIT] * 2


def test_a_cancelled_push_makes_room_under_the_limit(site, connect):
    client = connect(site, settings={MAX_CONCURRENT_STREAMS: 4}, window=0,
                     connection_window=WINDOW_MAX)
    first = held_back(client, "/first.html")
    client.reset(first.promises[0])
    client.settle()
    assert len(held_back(client, "/second.html").promises) == 1


def test_a_limit_can_change(site, connect):
    client = connect(site)
    assert len(client.visit("/first.html").pushed) == 6
    client.update_settings({MAX_CONCURRENT_STREAMS: 0})
    assert client.visit("/second.html").pushed == {}
    client.update_settings({MAX_CONCURRENT_STREAMS: 2})
    assert len(client.visit("/third.html").pushed) == 2


def test_the_limit_is_for_pushes_alone(site, connect):
    """The server's limit for the client is its own: ten requests at once are fine."""
    client = connect(site, settings={MAX_CONCURRENT_STREAMS: 0})
    asked = [client.request("/hello.txt") for _ in range(10)]
    client.wait_done(*asked)
    assert [s.status for s in asked] == [200] * 10


# ---- windows (6.9) ----

@pytest.mark.asan
def test_tiny_windows_deliver_everything(site, connect):
    client = connect(site, window=16, connection_window=65535)
    page = client.request("/first.html")
    client.wait(lambda: page.status, "the page's HEADERS")
    for stream in page.promises[1:]:     # one push is enough: each update counts on the server
        client.reset(stream)
    client.wait_done(page, *page.promises, seconds=20)
    assert bytes(page.body) == site.root.read("/first.html")
    assert bytes(page.promises[0].body) == site.root.read(page.promises[0].path)
    assert max(length for kind, _, _, length in client.frames if kind == DATA) <= 16


def test_the_connections_window_holds_for_all_streams(site, connect):
    client = connect(site, connection_window=65535, manual=True)
    page = client.request("/")
    client.wait(lambda: sum(len(s.body) for s in client.streams.values()) == 65535,
                "the whole window")
    client.settle()
    assert sum(len(s.body) for s in client.streams.values()) == 65535
    client.open_window(1 << 24)
    client.wait_done(page, *page.promises)
    assert len(page.promises) == len(ASSETS)
    for pushed in page.promises:
        assert bytes(pushed.body) == site.root.read(pushed.path)


def test_streams_blocked_by_their_windows_do_not_block_others(site, connect):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/first.html")
    assert all(not s.body for s in page.promises) and not page.body
    last = page.promises[-1]
    client.open_window(1 << 20, last)
    client.wait_done(last)
    assert bytes(last.body) == site.root.read(last.path)
    assert not page.body and not any(s.body for s in page.promises[:-1])
    client.open_window(1 << 20, page, *page.promises[:-1])
    client.wait_done(page, *page.promises)


def test_a_window_that_shrinks_below_zero_stops_the_stream(site, connect):
    """6.9.2: after a smaller INITIAL_WINDOW_SIZE a window may be negative."""
    data = site.root.write("/large.bin", binary_bytes("shrinking", 300000))
    client = connect(site, window=50000, manual=True)
    stream = client.request("/large.bin")
    client.wait(lambda: len(stream.body) == 50000, "the first window")
    client.update_settings({INITIAL_WINDOW_SIZE: 10000})     # now -40000
    client.open_window(40000, stream)
    client.settle()
    assert len(stream.body) == 50000
    client.open_window(100, stream)
    client.wait(lambda: len(stream.body) == 50100, "100 octets more")
    client.open_window(300000, stream)
    client.wait_done(stream)
    assert bytes(stream.body) == data


# ---- RST_STREAM (5.4.2, 8.4) ----

@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("code", [CANCEL, REFUSED_STREAM], ids=["cancel", "refused"])
def test_a_promise_reset_before_its_data_sends_none(site, connect, code):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/first.html")
    unwanted = page.promises[:2]
    for stream in unwanted:
        client.reset(stream, code)
    client.settle()
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    client.settle()
    assert [s.octets_after_cancel for s in unwanted] == [0, 0]
    for stream in page.promises[2:]:
        assert bytes(stream.body) == site.root.read(stream.path)


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_push_reset_during_its_data_stops(herald, connect, tls):
    """No more arrives than was in the sockets, in one send and in the one that was being filled."""
    site = herald(pushes={"/light.html": ["/assets/huge.bin"]}, push={"max_bytes": "64MiB", "budget": "off"})
    size = 32 << 20
    site.root.write("/assets/huge.bin", binary_bytes("huge", size))
    client = connect(site, tls=tls, rcvbuf=32768, window=WINDOW_MAX, connection_window=WINDOW_MAX)
    page = client.request("/light.html")
    client.wait(lambda: page.promises and page.promises[0].body, "the first DATA of the push")
    (push,) = page.promises
    levels = []

    def full():
        """The queues stand still: the server has stopped at a full socket."""
        levels.append(site.in_flight(client.local_port))
        return len(levels) > 20 and len(set(levels[-20:])) == 1
    server.wait_until(full, 10, "full sockets")
    client.reset(push)
    before, queued = len(push.body), levels[-1] + len(client._input)
    client.settle()
    after = client.get("/hello.txt")
    assert bytes(after.body) == b"hello, world\n"
    assert before + push.octets_after_cancel < size, "the whole file came nevertheless"
    # What one send carries, and nothing beyond the one that was under way.
    assert push.octets_after_cancel <= queued + (80 << 10)


@pytest.mark.asan
def test_half_of_the_pushes_cancelled_leave_the_connection_alive(site, connect):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/")
    assert len(page.promises) == len(ASSETS)
    for stream in page.promises[::2]:
        client.reset(stream)
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    assert bytes(page.body) == site.root.read("/index.html")
    for stream in page.promises[1::2]:
        assert bytes(stream.body) == site.root.read(stream.path)
    for path in ASSETS[::2]:
        assert bytes(client.get(path).body) == site.root.read(path)
    assert client.goaways == []


def test_all_pushes_cancelled_at_once_by_a_client_that_wants_none(site, connect):
    """As browsers do that hold everything: the promise is reset as soon as it is read."""
    client = connect(site)
    for path in ("/first.html", "/second.html", "/third.html"):
        page = client.request(path)
        while not page.done:
            client.wait(lambda: page.done or any(not s.done for s in page.promises), "a frame")
            for stream in page.promises:
                if not stream.done:
                    client.reset(stream)
        assert bytes(page.body) == site.root.read(path)
    assert client.goaways == []
    assert client.get("/hello.txt").status == 200


def test_a_page_reset_by_the_client_keeps_the_connection(site, connect):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/first.html")
    client.reset(page)
    client.settle()
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(*page.promises)
    assert page.octets_after_cancel == 0
    assert client.get("/hello.txt").status == 200


def test_a_reset_of_a_finished_push_is_tolerated(site, connect):
    client = connect(site)
    visit = client.visit("/first.html")
    for stream in visit.page.promises:
        client.send_frame(3, 0, stream.id, CANCEL.to_bytes(4, "big"))
    client.settle()
    assert client.goaways == []
    assert client.get("/hello.txt").status == 200


# ---- GOAWAY (6.8) ----

@pytest.mark.asan
def test_after_the_clients_goaway_promised_pushes_finish_and_none_is_promised(site, connect):
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = held_back(client, "/first.html")
    assert len(page.promises) == 6
    client.goaway(max(s.id for s in page.promises))
    second = client.request("/second.html")
    client.settle()
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    for stream in [page] + page.promises:
        path = stream.path or "/first.html"
        assert bytes(stream.body) == site.root.read(path), path
    try:
        client.wait_done(second)
        assert second.status == 200 or second.reset is not None
    except Gone:
        pass                             # the server may leave once all before it was done
    assert second.promises == []
    assert connect(site).get("/hello.txt").status == 200


def test_pushes_above_the_clients_goaway_stop_and_are_pushed_again_later(site, connect):
    cookies = Cookies()
    client = connect(site, window=0, connection_window=WINDOW_MAX, cookies=cookies)
    page = held_back(client, "/first.html")
    client.goaway(0)
    client.settle()
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page)
    client.close()
    pushed = []

    def again():
        pushed.extend(visit_once(site, "/first.html", cookies=cookies).paths())
        return sorted(pushed) == sorted(SIX[:6])
    server.wait_until(again, 15, lambda: "each of the six once more, not %s" % pushed, every=0.2)


def test_a_client_that_closes_in_mid_push_harms_nobody(site, connect):
    other = connect(site)
    for _ in range(10):
        client = connect(site, rcvbuf=4096)
        page = client.request("/")
        client.wait(lambda: page.promises, "a promise")
        client.close()
    assert len(other.visit("/").pushed) == len(ASSETS)


# ---- priorities (RFC 9218) ----

def test_an_urgency_given_by_the_policy_ranks_the_pushes(herald, connect):
    policy = """return { api = 1, on_request = function(req, push)
  push:add("/assets/later.bin", { urgency = 6 })
  push:add("/assets/sooner.bin", { urgency = 4 })
end }"""
    site = herald(policies=["ranks.lua"], policy_files={"ranks.lua": policy})
    for name in ("later", "sooner"):
        site.root.asset("/assets/%s.bin" % name, 30000)
    for attempt in range(2):             # the second time both are in the cache
        client = connect(site, window=0, connection_window=WINDOW_MAX)
        page = held_back(client, "/light.html")
        client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
        client.wait_done(page, *page.promises)
        by_path = {s.path: s for s in page.promises}
        assert by_path["/assets/sooner.bin"].last_data_at < \
            by_path["/assets/later.bin"].first_data_at, "attempt %d" % attempt
