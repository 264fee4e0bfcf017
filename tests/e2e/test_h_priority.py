"""PRIORITY_UPDATE frames: RFC 9218, 7.1. A server that says NO_RFC7540_PRIORITIES (test_h_settings)
takes these signals instead. Sections are those of RFC 9218."""

import pytest

from rawh2_wire import WINDOW, Code, Setting, Type, over_both, u32

pytest_plugins = ["h_fixtures"]


@over_both
@pytest.mark.parametrize("value", [b"u=0", b"u=7, i", b"i", b"", b"u=3, x=unknown"], ids=repr)
@pytest.mark.parametrize("which", ["open", "idle", "closed"])
def test_a_priority_update_is_accepted(stalled, which, value):
    """7.1: for a stream in any state; one that is idle is remembered until it opens."""
    stalled.sync_settings({Setting.INITIAL_WINDOW_SIZE: 2000})
    closed = stalled.expect_served()
    opened = stalled.request(stalled.peer.big)
    stream = {"open": opened.id, "idle": 101, "closed": closed.id}[which]
    stalled.send_frame(Type.PRIORITY_UPDATE, 0, 0, u32(stream) + value)
    stalled.expect_no_error()
    stalled.expect_served(stream=101)


@pytest.mark.parametrize("stream", [1, 2, 99])
def test_a_priority_update_on_a_stream_is_a_protocol_error(stalled, stream):
    """7.1: the frame is sent on the connection; the stream it is about is in its payload."""
    stalled.held_request()
    stalled.send_frame(Type.PRIORITY_UPDATE, 0, stream, u32(1) + b"u=1")
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


def test_a_priority_update_for_the_connection_is_a_protocol_error(conn):
    """7.1: the prioritized stream identifier 0 MUST be answered with PROTOCOL_ERROR."""
    conn.send_frame(Type.PRIORITY_UPDATE, 0, 0, u32(0) + b"u=1")
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


def test_a_priority_update_for_a_stream_never_promised_is_a_protocol_error(conn):
    """7.1: a push stream that is idle MUST be answered with PROTOCOL_ERROR."""
    conn.send_frame(Type.PRIORITY_UPDATE, 0, 0, u32(2) + b"u=1")
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("octets", [0, 3])
def test_a_priority_update_too_short_for_a_stream_is_a_frame_size_error(conn, octets):
    """7.1 and RFC 9113, 4.2: the prioritized stream identifier takes four octets."""
    conn.send_frame(Type.PRIORITY_UPDATE, 0, 0, bytes(octets))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)


def prioritize_idle_streams(conn, count):
    for number in range(count):
        conn.send_frame(Type.PRIORITY_UPDATE, 0, 0, u32(2 * number + 1) + b"u=1")


def test_priorities_of_some_idle_streams_are_accepted(conn):
    """7.1: a client may prioritize requests that it will send."""
    prioritize_idle_streams(conn, 50)
    conn.expect_no_error()


def test_priorities_of_idle_streams_are_limited_as_streams_are(conn):
    """7.1: prioritized idle streams and active ones together MUST NOT exceed
    MAX_CONCURRENT_STREAMS; a PRIORITY_UPDATE beyond is a PROTOCOL_ERROR. A server may find so many
    of them suspicious before (RFC 9113, 10.5)."""
    limit = conn.server_settings.get(Setting.MAX_CONCURRENT_STREAMS)
    if limit is None or limit > 2000:
        pytest.skip(f"the server advertises MAX_CONCURRENT_STREAMS {limit}")
    prioritize_idle_streams(conn, limit + 1)
    conn.expect_connection_error(Code.PROTOCOL_ERROR, Code.ENHANCE_YOUR_CALM)


def test_responses_follow_their_urgency(stalled):
    """RFC 9218, 10: of two responses that wait for the connection's window, the more urgent one
    gets it (but for what was in hand already), whether the request said so or a PRIORITY_UPDATE
    did later."""
    stalled.sync_settings({Setting.INITIAL_WINDOW_SIZE: 2**20})
    first = stalled.request(stalled.peer.big, extra=[("priority", "u=1")])
    stalled.wait(lambda: stalled.received == WINDOW, "the connection's window")
    later = stalled.request(stalled.peer.big, extra=[("priority", "u=5")])
    stalled.wait(lambda: later.status, "the second response's HEADERS")
    stalled.window_update(None, 50000)
    stalled.wait(lambda: stalled.received == WINDOW + 50000, "the first increment")
    assert len(later.body) < 1000
    stalled.send_frame(Type.PRIORITY_UPDATE, 0, 0, u32(later.id) + b"u=0")
    stalled.roundtrip()
    before = len(first.body)
    stalled.window_update(None, 50000)
    stalled.wait(lambda: stalled.received == WINDOW + 100000, "the second increment")
    assert len(later.body) > 49000 and len(first.body) < before + 1000
