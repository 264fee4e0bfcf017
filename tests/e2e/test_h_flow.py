"""Flow control: RFC 9113, 5.2 and 6.9. That the server never sends beyond a window is checked
with every DATA frame of every test (rawh2); here it is also led to the windows' edges."""

import pytest

from rawh2_wire import FRAME_BYTES, WINDOW, WINDOW_MAX, Code, Flag, Setting, Type, over_both, u32

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan


def expect_exactly(conn, stream, octets):
    """The server sends `octets` of the stream's content, and not one more."""
    conn.wait(lambda: len(stream.body) >= octets, f"{octets} octets of stream {stream.id}")
    conn.expect_no_error()
    assert len(stream.body) == octets
    conn.check_body(stream, conn.peer.big, octets)


# ---- the server as the sender

@over_both
@pytest.mark.parametrize("window", [0, 1, 2, 100, 16383, 16384, 16385, 65534, 65535])
def test_a_stream_gets_exactly_its_initial_window(dial, window):
    """6.9.1 and 6.9.2: no octet more than the window, and none less for ever."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: window})
    stream = conn.request(conn.peer.big)
    conn.wait(lambda: stream.status == 200, "the response's HEADERS")
    expect_exactly(conn, stream, window)


@over_both
def test_a_window_is_filled_again_octet_by_octet(stalled):
    """6.9: every increment counts, the smallest too."""
    stream = stalled.held_request()
    sent = 0
    for increment in (1, 1, 5, 1000, 1, 20000):
        sent += increment
        stalled.window_update(stream, increment)
        expect_exactly(stalled, stream, sent)


@over_both
def test_the_connections_window_holds_for_all_streams_together(dial):
    """6.9.1: 65,535 octets for the connection, however large the streams' windows are."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: WINDOW_MAX})
    streams = [conn.request(conn.peer.big) for _ in range(3)]
    conn.wait(lambda: conn.received == WINDOW, "the connection's window")
    conn.expect_no_error()
    assert conn.received == WINDOW
    conn.window_update(None, 12345)
    conn.wait(lambda: conn.received == WINDOW + 12345, "the increment")
    conn.expect_no_error()
    conn.window_update(None, 3 * 2**20)
    for stream in streams:
        conn.check_body(conn.response(stream), conn.peer.big)


def test_a_large_initial_window_does_not_widen_the_connections(dial):
    """6.9.2: a SETTINGS frame cannot alter the connection's window."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: WINDOW})
    stream = conn.request(conn.peer.big)
    conn.wait(lambda: conn.received == WINDOW, "the connection's window")
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: WINDOW_MAX})
    expect_exactly(conn, stream, WINDOW)


def test_a_connection_window_given_ahead_counts(dial):
    """6.9: WINDOW_UPDATE on the connection before any request."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**21})
    conn.window_update(None, WINDOW_MAX - WINDOW)
    conn.expect_served(conn.peer.big)


def test_a_stream_window_given_before_the_response_counts(dial):
    """6.9: increments add up to the initial window."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 10})
    stream = conn.request(conn.peer.big, end_stream=False)
    conn.window_update(stream, 90)
    conn.send_data(stream)
    expect_exactly(conn, stream, 100)


def test_one_stream_without_a_window_holds_up_no_other(dial):
    """5.2.1: flow control is for each stream on its own."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2000})
    first = conn.request(conn.peer.big)
    conn.wait(lambda: len(first.body) == 2000, "the first stream's window")
    conn.expect_served()


@over_both
def test_a_larger_initial_window_lets_open_streams_go_on(dial):
    """6.9.2: a change is added to the window of every open stream."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 100})
    streams = [conn.request(conn.peer.big) for _ in range(2)]
    for stream in streams:
        expect_exactly(conn, stream, 100)
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: 350})
    for stream in streams:
        expect_exactly(conn, stream, 350)


@over_both
def test_a_smaller_initial_window_makes_windows_negative(dial):
    """6.9.2: nothing is sent until WINDOW_UPDATE has made the window positive again."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 1000})
    stream = conn.request(conn.peer.big)
    expect_exactly(conn, stream, 1000)
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: 200})
    for increment in (500, 299, 1):                       # the window: -300, -1, 0
        conn.window_update(stream, increment)
        expect_exactly(conn, stream, 1000)
    conn.window_update(stream, 1)
    expect_exactly(conn, stream, 1001)


def test_a_negative_window_made_positive_by_settings_is_used(dial):
    """6.9.2: settings change a negative window by the difference as well."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 5000})
    stream = conn.request(conn.peer.big)
    expect_exactly(conn, stream, 5000)
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: 0})
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: 5001})
    expect_exactly(conn, stream, 5001)


def test_a_smaller_initial_window_holds_for_new_streams(dial):
    """6.9.2: new streams begin with the new value."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 5000})
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: 7})
    expect_exactly(conn, conn.request(conn.peer.big), 7)


@pytest.mark.parametrize("window", [0, 10])
def test_a_response_without_content_needs_no_window(dial, window):
    """6.9.1: HEADERS and empty DATA with END_STREAM are not held up."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: window})
    stream = conn.response(conn.request(conn.peer.big, method="HEAD"))
    assert stream.status == 200 and not stream.body


def test_data_is_not_held_up_by_a_window_that_is_just_large_enough(dial):
    """6.9.1: a file of exactly the window's size is sent whole, its end included."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 1024})
    conn.expect_served()


# ---- wrong increments

@over_both
def test_an_increment_of_zero_on_the_connection_is_a_protocol_error(conn):
    """6.9: errors on the connection's window are connection errors."""
    conn.send_frame(Type.WINDOW_UPDATE, 0, 0, u32(0))
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@over_both
@pytest.mark.parametrize("value", [0, 0x80000000], ids=hex)
def test_an_increment_of_zero_on_a_stream_is_a_protocol_error(stalled, value):
    """6.9: a stream error; the reserved bit is not part of the increment."""
    stream = stalled.held_request()
    stalled.send_frame(Type.WINDOW_UPDATE, 0, stream.id, u32(value))
    stalled.expect_stream_error(stream, Code.PROTOCOL_ERROR)


@over_both
@pytest.mark.parametrize("increments", [(WINDOW_MAX,), (WINDOW_MAX - WINDOW + 1,),
                                        (2**30, 2**30)], ids=str)
def test_a_connection_window_above_its_maximum_is_a_flow_control_error(conn, increments):
    """6.9.1: a window MUST NOT exceed 2^31-1 octets."""
    for increment in increments:
        conn.send_frame(Type.WINDOW_UPDATE, 0, 0, u32(increment))
    conn.expect_connection_error(Code.FLOW_CONTROL_ERROR)


@over_both
@pytest.mark.parametrize("initial, increments", [(0, (WINDOW_MAX, 1)), (0, (2**30, 2**30)),
                                                 (1, (WINDOW_MAX,))], ids=str)
def test_a_stream_window_above_its_maximum_is_a_flow_control_error(dial, initial, increments):
    """6.9.1: a RST_STREAM of type FLOW_CONTROL_ERROR. The connection's window is used up before,
    so that the stream's stays as it is."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**20})
    conn.request(conn.peer.big)
    conn.wait(lambda: conn.received == WINDOW, "the connection's window")
    conn.sync_settings({Setting.INITIAL_WINDOW_SIZE: initial})
    stream = conn.request(conn.peer.big)
    for increment in increments:
        conn.send_frame(Type.WINDOW_UPDATE, 0, stream.id, u32(increment))
    conn.expect_stream_error(stream, Code.FLOW_CONTROL_ERROR)


def test_a_connection_window_at_its_maximum_is_accepted(dial):
    """6.9.1: 2^31-1 itself is legal."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: WINDOW_MAX})
    conn.window_update(None, WINDOW_MAX - WINDOW)
    conn.expect_served(conn.peer.big)


def test_a_stream_window_at_its_maximum_is_accepted(stalled):
    """6.9.1: 2^31-1 itself is legal."""
    stream = stalled.held_request()
    stalled.window_update(stream, WINDOW_MAX)
    expect_exactly(stalled, stream, WINDOW)               # all that the connection has room for


def test_settings_that_overflow_a_stream_window_are_a_flow_control_error(stalled):
    """6.9.2: a connection error, since SETTINGS apply to every stream. What the server may have
    sent meanwhile is at most the connection's 65,535 octets, too little to make room."""
    stream = stalled.held_request()
    stalled.window_update(stream, WINDOW_MAX)
    stalled.send_settings({Setting.INITIAL_WINDOW_SIZE: WINDOW_MAX})
    stalled.expect_connection_error(Code.FLOW_CONTROL_ERROR)


# ---- the server as the receiver

def send_content(conn, pad=None):
    """Sends more content than twice the connection's window holds, on as many streams as it takes.
    A server may well answer without reading it; what counts is that its window opens again."""
    target, sent = 2 * conn.room(), 0
    if target > 2**23:
        pytest.skip(f"the server's connection window holds {target // 2} octets")
    window = conn.server_settings.get(Setting.INITIAL_WINDOW_SIZE, WINDOW)
    piece = bytes(FRAME_BYTES) if pad is None else bytes([pad]) + b"content" + bytes(pad)
    flags = 0 if pad is None else Flag.PADDED
    while sent <= target:
        stream = conn.request(method="POST", end_stream=False)
        least = min(FRAME_BYTES, window)
        conn.wait(lambda: conn.room() - sent >= least, "WINDOW_UPDATE of the connection")
        count = min(conn.room() - sent, window) // len(piece)
        for _ in range(count):
            conn.send_frame(Type.DATA, flags, stream.id, piece)
        sent += count * len(piece)
        conn.send_data(stream)
        conn.wait(lambda: stream.ended or stream.resets, f"stream {stream.id}'s answer")
    conn.roundtrip()
    assert not conn.goaways


@over_both
def test_the_server_gives_back_the_window_of_what_it_received(conn):
    """5.2.2 and 6.9: without WINDOW_UPDATE no more than the first window would get through."""
    send_content(conn)


def test_the_server_gives_back_the_window_of_padding(conn):
    """6.1 and 6.9.1: the whole DATA payload is flow-controlled, pad length and padding included;
    a server that gave back only the content would stall here."""
    send_content(conn, pad=255)


def test_the_server_gives_back_the_window_of_discarded_data(conn):
    """6.9 and 5.1: DATA counts toward the connection's window even when it is in error. Each
    stream here is reset by the client behind its DATA, or by the server before it."""
    target, sent = 2 * conn.room(), 0
    if target > 2**20:
        pytest.skip(f"the server's connection window holds {target // 2} octets")
    piece = min(FRAME_BYTES, conn.server_settings.get(Setting.INITIAL_WINDOW_SIZE, WINDOW))
    malformed = conn.fields(extra=[("connection", "close")])
    while sent <= target:
        conn.wait(lambda: conn.room() - sent >= piece, "WINDOW_UPDATE of the connection")
        by_client = sent // piece % 2
        stream = conn.request(end_stream=False, method="POST") if by_client else \
            conn.send_fields(malformed, end_stream=False)
        conn.send_data(stream, bytes(piece), end_stream=False)
        sent += piece
        if by_client:
            conn.reset(stream)
    conn.roundtrip()
    assert not conn.goaways
