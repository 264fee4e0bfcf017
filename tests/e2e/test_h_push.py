"""Server push at frame level: RFC 9113, 5.1 (reserved streams), 6.6 and 8.4. That promises are
complete requests, that their streams are even and grow, and that none comes where push is off, is
checked with every frame (rawh2). What is pushed, and when, has tests of its own elsewhere."""

import pytest

import rawhpack
from rawh2_wire import Code, Setting, Type, over_both, u32

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan


@pytest.fixture
def pushing(dial, watched):
    """dial_pushing(settings) connects as a client that takes pushes."""
    if watched.push_page is None:
        pytest.skip("the server under test has no page with pushes")
    return lambda settings=(): dial(settings={Setting.ENABLE_PUSH: 1, **dict(settings)})


def get_page(conn):
    """Asks for the page with pushes, waits for its response, and returns its stream."""
    conn.window_update(None, 2**20)
    return conn.response(conn.request(conn.peer.push_page))


def promised(conn):
    """The promised streams so far, in order."""
    return [conn.stream(id_) for id_ in sorted(conn.promises)]


def promised_stream(pushing, limit):
    """A connection whose last promised stream has not finished, and that stream. It is reserved
    where the server promises more than `limit` lets it send at once, else half-closed (remote)."""
    conn = pushing({Setting.MAX_CONCURRENT_STREAMS: limit, Setting.INITIAL_WINDOW_SIZE: 0})
    conn.request(conn.peer.push_page)
    conn.wait(lambda: conn.promises and conn.stream(1).status, "a promise and the page's HEADERS")
    conn.quiet()
    return conn, promised(conn)[-1]


@over_both
def test_a_page_comes_with_its_pushes(pushing):
    """8.4.1 and 8.4.2: promises on the page's stream, then a whole response on each."""
    conn = pushing({Setting.INITIAL_WINDOW_SIZE: 2**20})
    get_page(conn)
    assert len(conn.promises) >= 2
    for stream in promised(conn):
        assert conn.response(stream).status == 200


@over_both
def test_promises_precede_the_pages_content(pushing):
    """8.4.1: PUSH_PROMISE SHOULD be sent before any frames that reference the promised response."""
    conn = pushing({Setting.INITIAL_WINDOW_SIZE: 2**20})
    page = get_page(conn)
    order = [entry.partition(", flags")[0] for entry in conn.frames]
    promises = [place for place, entry in enumerate(order) if entry.startswith("PUSH_PROMISE")]
    assert promises and promises[-1] < order.index(f"DATA(stream {page.id}")


def test_promised_requests_are_for_the_servers_own_authority(pushing):
    """8.4: the server MUST be authoritative for what it promises."""
    conn = pushing()
    get_page(conn)
    for section in conn.promises.values():
        assert dict(section)[b":authority"].decode() == conn.peer.authority("h2c")
        assert dict(section)[b":scheme"] == b"http"


@over_both
def test_no_promise_comes_where_push_is_off(pushing, dial):
    """6.6 and 8.4: ENABLE_PUSH 0 in the preface, and changed to 0 later."""
    quiet = dial()
    get_page(quiet)
    conn = pushing()
    conn.sync_settings({Setting.ENABLE_PUSH: 0})
    get_page(conn)
    assert not quiet.promises and not conn.promises


def test_push_may_be_switched_on_later(pushing, dial):
    """6.5.2: a setting's value is the last one."""
    pushing()
    conn = dial()
    conn.sync_settings({Setting.ENABLE_PUSH: 1})
    get_page(conn)
    assert conn.promises


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_no_more_pushed_streams_are_open_than_the_client_allows(pushing, allowed):
    """8.4.2 and 5.1.2: MAX_CONCURRENT_STREAMS limits the pushed responses under way."""
    conn = pushing({Setting.MAX_CONCURRENT_STREAMS: allowed, Setting.INITIAL_WINDOW_SIZE: 1})
    page = conn.request(conn.peer.push_page)
    conn.window_update(page, 2**20)
    conn.response(page)
    conn.quiet()
    begun = [stream for stream in promised(conn) if stream.sections and not stream.ended]
    assert len(begun) <= allowed


# ---- what a client may send on a promised stream: reserved (limit 1), or half-closed (remote)

@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.DATA, 0x01, b"x", id="DATA"),
    pytest.param(Type.HEADERS, 0x05, rawhpack.block([("x-name", "value")]), id="HEADERS"),
])
def test_content_on_a_promised_stream_is_an_error(pushing, type_, flags, payload, limit):
    """5.1: PROTOCOL_ERROR while reserved, STREAM_CLOSED while half-closed (remote); 5.1.1 and 6.1
    make the other code right as well."""
    conn, stream = promised_stream(pushing, limit)
    conn.send_frame(type_, flags, stream.id, payload)
    conn.expect_stream_error(stream, Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("type_, payload", [
    pytest.param(Type.CONTINUATION, b"\x84", id="CONTINUATION"),
    pytest.param(Type.PUSH_PROMISE, u32(100) + b"\x82\x84\x86", id="PUSH_PROMISE"),
])
def test_a_field_block_on_a_promised_stream_is_a_protocol_error(pushing, type_, payload, limit):
    """6.10 and 8.4: neither of them is the client's to send there."""
    conn, stream = promised_stream(pushing, limit)
    conn.send_frame(type_, 0x04, stream.id, payload)
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("type_, payload", [
    pytest.param(Type.PRIORITY, u32(0) + b"\x0f", id="PRIORITY"),
    pytest.param(Type.WINDOW_UPDATE, u32(100), id="WINDOW_UPDATE"),
])
def test_control_frames_on_a_promised_stream_are_accepted(pushing, type_, payload, limit):
    """5.1: PRIORITY and WINDOW_UPDATE MAY be received in both states."""
    conn, stream = promised_stream(pushing, limit)
    stream.credit += 100 if type_ == Type.WINDOW_UPDATE else 0
    conn.send_frame(type_, 0, stream.id, payload)
    conn.expect_no_error()


@over_both
@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("code", [Code.CANCEL, Code.REFUSED_STREAM, Code.PROTOCOL_ERROR])
def test_a_refused_promise_gets_no_content(pushing, code, limit):
    """6.6 and 8.4.2: RST_STREAM before the DATA; also when windows and room for streams come."""
    conn, _ = promised_stream(pushing, limit)
    refused = promised(conn)
    for stream in refused:
        conn.reset(stream, code)
    conn.roundtrip()
    begun = [len(stream.sections) for stream in refused]
    conn.sync_settings({Setting.MAX_CONCURRENT_STREAMS: 100, Setting.INITIAL_WINDOW_SIZE: 2**20})
    conn.expect_no_error()
    assert not any(stream.body for stream in refused)
    assert [len(stream.sections) for stream in refused] == begun
    conn.window_update(None, 2**20)
    conn.expect_served()


@over_both
def test_a_cancelled_push_stops(pushing):
    """8.4.2 and 6.4: RST_STREAM during the DATA; the other pushes and the page go on."""
    conn = pushing({Setting.INITIAL_WINDOW_SIZE: 1})
    page = conn.request(conn.peer.push_page)
    conn.wait(lambda: len(conn.promises) >= 2 and all(s.body for s in promised(conn)),
              "the first octet of every push")
    cancelled, *others = promised(conn)
    conn.reset(cancelled)
    conn.window_update(None, 2**20)
    for stream in (page, cancelled, *others):
        conn.window_update(stream, 2**20)
    for stream in (page, *others):
        assert conn.response(stream).status == 200
    conn.expect_no_error()
    assert len(cancelled.body) == 1


def test_pushed_data_obeys_its_own_window(pushing):
    """6.9: a pushed stream has the initial window; the audit counts every octet."""
    conn = pushing({Setting.INITIAL_WINDOW_SIZE: 1})
    page = conn.request(conn.peer.push_page)
    conn.window_update(page, 2**20)
    conn.wait(lambda: page.ended and all(s.body for s in promised(conn)), "an octet of every push")
    conn.quiet()
    assert all(len(stream.body) == 1 for stream in promised(conn))


# ---- GOAWAY

def test_no_promise_comes_after_the_clients_goaway(pushing):
    """6.8: the receiver of a GOAWAY MUST NOT open additional streams, promised ones included."""
    conn = pushing()
    conn.window_update(None, 2**20)
    conn.send_frame(Type.GOAWAY, 0, 0, u32(0) + u32(Code.NO_ERROR))
    stream = conn.request(conn.peer.push_page)
    conn.wait(lambda: stream.ended or conn.eof or conn.goaways, "the page or the end")
    assert not conn.promises
