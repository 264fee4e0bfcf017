"""PING, GOAWAY, the end of a connection and error codes: RFC 9113, 5.4, 6.7, 6.8 and 7."""

import pytest

import rawhpack
from rawh2_wire import STREAM_MAX, Code, Flag, Setting, Type, frame, over_both, u32

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.quick

ERRORS = {"PING of 7 octets": (frame(Type.PING, payload=bytes(7)), Code.FRAME_SIZE_ERROR),
          "DATA on the connection": (frame(Type.DATA, payload=b"x"), Code.PROTOCOL_ERROR),
          "a window of 2^31": (frame(Type.WINDOW_UPDATE, payload=u32(2**31 - 1)),
                               Code.FLOW_CONTROL_ERROR)}


# ---- PING

@over_both
@pytest.mark.parametrize("payload", [bytes(8), b"\xff" * 8, b"herald!?"], ids=repr)
def test_a_ping_is_answered_with_its_own_payload(conn, payload):
    """6.7: the ACK has an identical payload."""
    conn.send_frame(Type.PING, 0, 0, payload)
    conn.wait(lambda: conn.pings_answered, "the PING's ACK")
    assert conn.pings_answered == [payload]


def test_every_ping_is_answered_once(conn):
    """6.7: an ACK for each PING."""
    payloads = [bytes([number]) * 8 for number in range(30)]
    conn.send(b"".join(frame(Type.PING, 0, 0, payload) for payload in payloads))
    conn.wait(lambda: all(payload in conn.pings_answered for payload in payloads), "30 ACKs")
    conn.quiet()
    assert all(conn.pings_answered.count(payload) == 1 for payload in payloads)


@over_both
def test_the_ack_of_a_ping_is_not_answered(conn):
    """6.7: an endpoint MUST NOT respond to PING frames with the ACK flag."""
    conn.send_frame(Type.PING, Flag.ACK, 0, b"no reply")
    conn.expect_no_error()
    assert b"no reply" not in conn.pings_answered


def test_a_ping_is_answered_while_responses_wait_for_their_window(stalled):
    """6.7 and 5.2.1: PING is not subject to flow control."""
    for _ in range(5):
        stalled.held_request()
    stalled.roundtrip()


def test_a_ping_is_answered_ahead_of_a_large_response(dial):
    """6.7: PING responses SHOULD be given higher priority than any other frame. The window holds
    the server back so that it still has most of the file when it reads the PING."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**20})
    conn.request(conn.peer.big)
    conn.wait(lambda: conn.received == 65535, "the connection's window")
    conn.send(frame(Type.PING, 0, 0, b"overtake") +
              frame(Type.WINDOW_UPDATE, 0, 0, u32(2**20)))
    conn.credit += 2**20
    conn.wait(lambda: b"overtake" in conn.pings_answered, "the PING's ACK")
    assert conn.received < 2**20


# ---- GOAWAY from the server

@over_both
@pytest.mark.parametrize("error", ERRORS)
def test_a_connection_error_is_told_and_the_connection_closed(conn, error):
    """5.4.1: GOAWAY with the code, then the server MUST close the TCP connection."""
    octets, code = ERRORS[error]
    conn.send(octets)
    conn.expect_connection_error(code)


@over_both
@pytest.mark.parametrize("requests", [0, 1, 3])
def test_a_goaway_names_the_last_stream_processed(conn, requests):
    """6.8: the highest stream that the server might have acted on; 0 when there was none."""
    for _ in range(requests):
        conn.expect_served()
    conn.send(ERRORS["PING of 7 octets"][0])
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)
    assert conn.goaways[-1].last_stream_id == max(0, 2 * requests - 1)


@pytest.mark.parametrize("streams", [(1, 7), (3, 101), (STREAM_MAX,)])
def test_a_goaway_counts_streams_still_open_and_skipped_ones(stalled, streams):
    """6.8: streams that are being processed are at or below the last stream identifier."""
    for stream in streams:
        stalled.request(stalled.peer.big, stream=stream)
    stalled.wait(lambda: all(stalled.stream(s).status for s in streams), "the responses' HEADERS")
    stalled.send(ERRORS["DATA on the connection"][0])
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)
    assert stalled.goaways[-1].last_stream_id == streams[-1]


def test_a_goaway_does_not_count_a_stream_that_only_had_a_priority(conn):
    """6.8 and 6.3: PRIORITY opens no stream."""
    conn.expect_served()
    conn.send_frame(Type.PRIORITY, 0, 99, u32(0) + b"\x0f")
    conn.send(ERRORS["PING of 7 octets"][0])
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)
    assert conn.goaways[-1].last_stream_id == 1


def test_a_second_error_does_not_raise_the_last_stream(conn):
    """6.8: the last stream identifier MUST NOT increase; requests after an error are not served."""
    stream_block = rawhpack.block(conn.fields())
    conn.send(ERRORS["PING of 7 octets"][0] + frame(Type.HEADERS, 0x05, 1, stream_block) +
              ERRORS["DATA on the connection"][0])
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)
    assert conn.goaways[-1].last_stream_id == 0
    assert conn.stream(1).status is None


# ---- GOAWAY from the client

@over_both
@pytest.mark.parametrize("code", [*range(14), 0x77777777, 0xFFFFFFFF], ids=hex)
def test_a_clients_goaway_lets_open_streams_finish(stalled, code):
    """6.8 and 7: activity on open streams may still complete; unknown codes mean nothing special.
    A server may also end the connection when the client reports an error."""
    stream = stalled.held_request()
    stalled.wait(lambda: stream.status, "the response's HEADERS")
    stalled.send_frame(Type.GOAWAY, 0, 0, u32(0) + u32(code) + b"why the client leaves")
    stalled.window_update(None, 2**20)
    stalled.window_update(stream, 2**20)
    stalled.wait(lambda: stream.ended or stalled.eof, "the response or the end")
    if code == Code.NO_ERROR:
        stalled.check_body(stream, stalled.peer.big)
    assert all(goaway.error_code == Code.NO_ERROR for goaway in stalled.goaways)


def test_a_clients_second_goaway_is_accepted(conn):
    """6.8: an endpoint MAY send multiple GOAWAY frames, whose last stream does not grow."""
    stream = conn.request()
    for last in (STREAM_MAX - 1, 0):
        conn.send_frame(Type.GOAWAY, 0, 0, u32(last) + u32(Code.NO_ERROR))
    assert conn.response(stream).status == 200


# ---- the end

@over_both
def test_a_client_that_ends_its_side_is_not_kept(conn):
    """5.4.3: without the client's direction the connection is of no more use, so the server ends
    its own."""
    conn.expect_served()
    conn.finish_sending()
    conn.wait_end()


def test_frames_after_a_connection_error_are_not_acted_on(conn):
    """5.4.1: after a connection error the frame layer is not processed further."""
    conn.send(ERRORS["PING of 7 octets"][0] + frame(Type.PING, 0, 0, b"too late"))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)
    assert b"too late" not in conn.pings_answered
