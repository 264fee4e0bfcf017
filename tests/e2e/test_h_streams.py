"""Streams: RFC 9113, 5.1 (states), 5.1.1 (identifiers), 5.1.2 (concurrency), 5.4.2, 6.3, 6.4."""

import pytest

import rawhpack
from rawh2_wire import RESERVED_BIT, STREAM_MAX, Code, Flag, Setting, Type, frame, over_both, u32

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan

TRAILERS = rawhpack.block([("x-checksum", "1234")])


def frames_for(stream):
    """One frame of each type that a stream can get, well-formed but for the stream's state."""
    return {
        "DATA": frame(Type.DATA, Flag.END_STREAM, stream, b"content"),
        "empty DATA": frame(Type.DATA, Flag.END_STREAM, stream),
        "HEADERS": frame(Type.HEADERS, 0x05, stream, TRAILERS),
        "PRIORITY": frame(Type.PRIORITY, 0, stream, u32(0) + b"\x0f"),
        "RST_STREAM": frame(Type.RST_STREAM, 0, stream, u32(Code.CANCEL)),
        "WINDOW_UPDATE": frame(Type.WINDOW_UPDATE, 0, stream, u32(1)),
        "CONTINUATION": frame(Type.CONTINUATION, 0x04, stream, TRAILERS),
    }


def expect_closed_error(conn, stream, octets):
    """`octets` on a stream that the client knows to be closed: a stream error of type
    STREAM_CLOSED (6.1), or a connection error of type STREAM_CLOSED (5.1) or PROTOCOL_ERROR
    (5.1.1)."""
    before = len(stream.resets)
    conn.send(octets)
    conn.wait(lambda: conn.goaways or len(stream.resets) > before,
              f"an error for closed stream {stream.id}")
    if conn.goaways:
        conn.expect_connection_error(Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)
    else:
        assert stream.resets[before] == Code.STREAM_CLOSED, conn.transcript()


# ---- idle

@over_both
@pytest.mark.parametrize("stream", [1, 2, 77])
@pytest.mark.parametrize("name", ["DATA", "empty DATA", "RST_STREAM", "WINDOW_UPDATE",
                                  "CONTINUATION"])
def test_a_frame_on_an_idle_stream_is_a_protocol_error(conn, name, stream):
    """5.1: any frame but HEADERS and PRIORITY, on an idle stream of either side."""
    conn.send(frames_for(stream)[name])
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("stream", [1, 2, 77, STREAM_MAX])
def test_a_priority_frame_on_an_idle_stream_is_accepted(conn, stream):
    """5.1 and 6.3: PRIORITY can be sent in any state, and opens no stream."""
    conn.send(frames_for(stream)["PRIORITY"])
    conn.expect_no_error()
    assert conn.expect_served().id == 1


# ---- half-closed (remote)

@over_both
@pytest.mark.parametrize("name", ["DATA", "empty DATA", "HEADERS"])
def test_a_frame_after_end_stream_is_a_stream_closed_error(stalled, name):
    """5.1: what a client may not send on a stream that it has ended."""
    stream = stalled.held_request()
    stalled.wait(lambda: stream.status, "the response's HEADERS")
    stalled.send(frames_for(stream.id)[name])
    stalled.expect_stream_error(stream, Code.STREAM_CLOSED)


def test_a_second_request_on_a_stream_is_a_stream_closed_error(stalled):
    """5.1: HEADERS with a whole request don't reopen a stream that the client has ended."""
    stream = stalled.held_request()
    stalled.send_block(rawhpack.block(stalled.fields()), stream=stream.id)
    stalled.expect_stream_error(stream, Code.STREAM_CLOSED)


@pytest.mark.parametrize("name", ["PRIORITY", "WINDOW_UPDATE"])
def test_flow_control_and_priority_after_end_stream_are_accepted(stalled, name):
    """5.1: WINDOW_UPDATE and PRIORITY are expected on a half-closed (remote) stream."""
    stream = stalled.held_request()
    stream.credit += name == "WINDOW_UPDATE"
    stalled.send(frames_for(stream.id)[name])
    stalled.expect_no_error()
    assert len(stream.body) == (name == "WINDOW_UPDATE")


@over_both
def test_a_reset_after_end_stream_ends_the_response(stalled):
    """5.1 and 6.4: after RST_STREAM the server MUST NOT send more frames for the stream."""
    stream = stalled.held_request()
    stalled.wait(lambda: stream.status, "the response's HEADERS")
    stalled.reset(stream)
    stalled.window_update(stream, 5000)
    stalled.expect_no_error()
    assert not stream.body


# ---- closed

@pytest.mark.parametrize("name", ["DATA", "empty DATA", "HEADERS"])
def test_a_frame_after_both_ends_is_a_stream_closed_error(conn, name):
    """5.1 and 6.1: both sides have sent END_STREAM, so the client cannot be in the middle of
    sending."""
    stream = conn.expect_served()
    expect_closed_error(conn, stream, frames_for(stream.id)[name])


@pytest.mark.parametrize("name", ["DATA", "empty DATA", "HEADERS"])
def test_a_frame_after_the_clients_own_reset_is_a_stream_closed_error(stalled, name):
    """5.1 and 6.1: RST_STREAM closes the stream for the one who sends it, too."""
    stream = stalled.held_request(end_stream=False)
    stalled.reset(stream)
    expect_closed_error(stalled, stream, frames_for(stream.id)[name])


def test_a_new_request_on_a_closed_stream_is_an_error(conn):
    """5.1.1: stream identifiers cannot be reused."""
    stream = conn.expect_served()
    request = frame(Type.HEADERS, 0x05, stream.id, rawhpack.block(conn.fields()))
    expect_closed_error(conn, stream, request)


@over_both
@pytest.mark.parametrize("name", ["PRIORITY", "WINDOW_UPDATE", "RST_STREAM"])
def test_late_control_frames_on_an_answered_stream_are_ignored(conn, name):
    """5.1 and 6.9: these may have been under way when the server closed the stream."""
    stream = conn.expect_served()
    conn.send(frames_for(stream.id)[name])
    conn.expect_no_error()
    conn.expect_served()


@pytest.mark.parametrize("name", ["PRIORITY", "WINDOW_UPDATE"])
def test_control_frames_after_the_clients_own_reset_are_ignored(stalled, name):
    """5.1 and 6.9: a receiver MUST NOT treat WINDOW_UPDATE on a closed stream as an error."""
    stream = stalled.held_request()
    stalled.reset(stream)
    stalled.send(frames_for(stream.id)[name])
    stalled.expect_no_error()


@pytest.mark.parametrize("name", ["DATA", "HEADERS", "PRIORITY", "WINDOW_UPDATE", "RST_STREAM"])
def test_frames_under_way_when_the_server_resets_are_discarded(stalled, name):
    """5.1 and 5.4.2: the sender of RST_STREAM MUST be prepared to receive what was under way."""
    stream = stalled.held_request(end_stream=False)
    stalled.overflow(stream)
    stalled.send(frames_for(stream.id)[name])
    if stalled.expect_stream_error(stream, Code.FLOW_CONTROL_ERROR):
        stalled.window_update(None, 1)
        stalled.roundtrip()
        assert not stalled.goaways


@over_both
def test_frames_under_way_on_many_reset_streams_are_discarded(conn):
    """5.1: as above, for more streams than a server might like to remember. The client reads no
    answer before it has sent the content of all."""
    malformed = conn.fields(extra=[("connection", "close")])
    streams = [conn.send_fields(malformed, end_stream=False) for _ in range(60)]
    for stream in streams:
        conn.send_data(stream, b"late", end_stream=False)
        conn.send(frames_for(stream.id)["HEADERS"])
    conn.wait(lambda: conn.goaways or all(stream.resets or stream.ended for stream in streams),
              "every answer")
    conn.roundtrip()
    assert not conn.goaways
    conn.expect_served()


def test_a_reset_is_never_answered_with_a_reset(stalled):
    """5.4.2: an endpoint MUST NOT send RST_STREAM in response to RST_STREAM. The second one of
    these may be a connection error of type STREAM_CLOSED (5.1)."""
    stream = stalled.held_request()
    for code in (Code.NO_ERROR, Code.CANCEL):
        stalled.reset(stream, code)
    stalled.send_frame(Type.PING, 0, 0, b"and then")
    stalled.wait(lambda: b"and then" in stalled.pings_answered or stalled.goaways, "the PING's ACK")
    assert not stream.resets
    assert all(goaway.error_code == Code.STREAM_CLOSED for goaway in stalled.goaways)


@pytest.mark.parametrize("code", [*range(14), 14, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF], ids=hex)
def test_every_error_code_of_a_reset_means_a_reset(stalled, code):
    """7: unknown error codes MUST NOT trigger any special behaviour."""
    stream = stalled.held_request()
    stalled.reset(stream, code)
    stalled.window_update(stream, 100)
    stalled.expect_no_error()
    assert not stream.body


@over_both
def test_a_reset_in_the_middle_of_a_response_stops_it(dial):
    """6.4: no DATA of the stream follows what was sent before the reset was processed."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**20})
    stream = conn.request(conn.peer.big)
    conn.wait(lambda: stream.body, "the first DATA")
    conn.reset(stream)
    conn.roundtrip()
    received = len(stream.body)
    conn.window_update(None, 2**20)
    conn.expect_served()
    conn.expect_no_error()
    assert len(stream.body) == received < 2**20
    assert not stream.ended


# ---- identifiers

@over_both
@pytest.mark.parametrize("stream", [2, 4, 2**31 - 2])
def test_a_request_on_an_even_stream_is_a_protocol_error(conn, stream):
    """5.1.1: a client's streams have odd identifiers."""
    conn.send(frame(Type.HEADERS, 0x05, stream, rawhpack.block(conn.fields())))
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@over_both
@pytest.mark.parametrize("opened, lower", [(3, 1), (5, 3), (101, 99), (STREAM_MAX, 1)])
def test_a_request_on_a_lower_stream_never_opened_is_a_protocol_error(conn, opened, lower):
    """5.1.1: a new stream's identifier MUST be greater than all before; the one that was skipped
    is closed. Here the higher stream is closed already."""
    conn.expect_served(stream=opened)
    conn.send(frame(Type.HEADERS, 0x05, lower, rawhpack.block(conn.fields())))
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("opened, lower", [((3,), 1), ((1, 5), 3), ((1, 3, 9), 7)])
def test_a_request_below_an_open_stream_is_a_protocol_error(stalled, opened, lower):
    """5.1.1: as above, while the higher streams are open."""
    for stream in opened:
        stalled.request(stalled.peer.big, stream=stream)
    stalled.roundtrip()
    stalled.send(frame(Type.HEADERS, 0x05, lower, rawhpack.block(stalled.fields())))
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("lower", [3, 27, 47, 77])
def test_a_request_in_any_of_many_gaps_is_an_error(conn, lower):
    """5.1.1: as above, when identifiers were skipped again and again. A server that no longer knows
    which ones were opened may say STREAM_CLOSED, since all of these are closed (5.1)."""
    for stream in range(1, 82, 4):
        conn.request(method="HEAD", stream=stream)
    conn.wait(lambda: conn.stream(81).ended, "the last response")
    conn.send(frame(Type.HEADERS, 0x05, lower, rawhpack.block(conn.fields())))
    conn.expect_connection_error(Code.PROTOCOL_ERROR, Code.STREAM_CLOSED)


def test_a_request_below_a_refused_stream_is_a_protocol_error(conn):
    """5.1.1: a malformed request has used its identifier all the same."""
    malformed = rawhpack.block(conn.fields(extra=[("connection", "close")]))
    conn.expect_malformed(conn.send_block(malformed, stream=7))
    if conn.goaways:
        return
    conn.send(frame(Type.HEADERS, 0x05, 5, rawhpack.block(conn.fields())))
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("streams", [(1, 3, 5), (3, 7, 99), (101, 1001, 2**24 + 1),
                                     (1, 2**31 - 3, STREAM_MAX)])
def test_streams_may_skip_identifiers(conn, streams):
    """5.1.1: identifiers only have to grow."""
    for stream in streams:
        conn.expect_served(stream=stream)


def test_data_on_a_skipped_stream_is_an_error(conn):
    """5.1.1 and 6.1: a skipped stream is closed."""
    conn.expect_served(stream=5)
    expect_closed_error(conn, conn.stream(3), frames_for(3)["DATA"])


def test_a_priority_frame_on_a_skipped_stream_is_accepted(conn):
    """6.3: PRIORITY can be sent in any state."""
    conn.expect_served(stream=5)
    conn.send(frames_for(3)["PRIORITY"])
    conn.expect_no_error()


# ---- concurrency

def concurrency(conn):
    """How many streams the server lets a client have."""
    limit = conn.server_settings.get(Setting.MAX_CONCURRENT_STREAMS)
    if limit is None or limit > 2000:
        pytest.skip(f"the server advertises MAX_CONCURRENT_STREAMS {limit}")
    return limit


def test_the_advertised_concurrency_is_at_least_100(conn):
    """6.5.2: it is recommended that the value be no smaller than 100."""
    assert conn.server_settings.get(Setting.MAX_CONCURRENT_STREAMS, 100) >= 100


@over_both
def test_as_many_streams_as_advertised_are_served(stalled):
    """5.1.2: the limit itself is within the limit."""
    streams = [stalled.held_request() for _ in range(concurrency(stalled))]
    stalled.wait(lambda: all(stream.status == 200 for stream in streams), "every response")
    stalled.expect_no_error()


@over_both
def test_a_stream_beyond_the_advertised_limit_is_refused(stalled):
    """5.1.2: a stream error of type PROTOCOL_ERROR or REFUSED_STREAM; the others go on, and when
    one has ended there is room again. The refused block has changed the compression state."""
    streams = [stalled.held_request() for _ in range(concurrency(stalled))]
    entry = rawhpack.literal("x-later", "here", rawhpack.INCREMENTAL)
    surplus = stalled.send_block(rawhpack.block(stalled.fields()) + entry)
    if not stalled.expect_stream_error(surplus, Code.REFUSED_STREAM, Code.PROTOCOL_ERROR):
        return
    assert all(stream.reset is None for stream in streams)
    stalled.window_update(streams[0], 2**20)
    stalled.window_update(None, 2**20)
    stalled.response(streams[0])
    fields = rawhpack.block(stalled.fields(stalled.peer.big))
    last = stalled.send_block(fields + rawhpack.indexed(rawhpack.FIRST_DYNAMIC))
    stalled.wait(lambda: last.status == 200, "the response of the stream in its place")


def test_a_reset_stream_makes_room_for_another(stalled):
    """5.1.2: closed streams don't count."""
    streams = [stalled.held_request() for _ in range(concurrency(stalled))]
    stalled.wait(lambda: all(stream.status for stream in streams), "every response")
    for stream in streams[:5]:
        stalled.reset(stream)
    later = [stalled.held_request() for _ in range(5)]
    stalled.wait(lambda: all(stream.status == 200 for stream in later), "the later responses")
    stalled.expect_no_error()


def test_idle_streams_with_a_priority_do_not_count(stalled):
    """5.1.2 and 6.3: PRIORITY opens no stream."""
    for stream in range(1001, 1101, 2):
        stalled.send(frames_for(stream)["PRIORITY"])
    streams = [stalled.held_request() for _ in range(concurrency(stalled))]
    stalled.wait(lambda: all(stream.status == 200 for stream in streams), "every response")


# ---- priority, deprecated

@pytest.mark.parametrize("exclusive", [0, RESERVED_BIT], ids=["shared", "exclusive"])
@pytest.mark.parametrize("where", ["idle", "open"])
def test_a_stream_that_depends_on_itself_is_ignored_or_a_protocol_error(stalled, where, exclusive):
    """5.3.2: RFC 9113 leaves dependencies undefined, so ignoring them is right; RFC 7540, 5.3.1
    made this one a stream error of type PROTOCOL_ERROR."""
    stream = stalled.stream(99) if where == "idle" else stalled.held_request()
    stalled.send_frame(Type.PRIORITY, 0, stream.id, u32(stream.id | exclusive) + b"\x0f")
    expect_ignored_or_protocol_error(stalled, stream)


def test_headers_that_depend_on_themselves_are_served_or_a_protocol_error(conn):
    """5.3.2 and RFC 7540, 5.3.1: as above, in HEADERS."""
    stream = conn.stream(conn.next_id())
    conn.send_frame(Type.HEADERS, 0x25, stream.id,
                    u32(stream.id) + b"\x0f" + rawhpack.block(conn.fields()))
    conn.wait(lambda: stream.ended or stream.reset is not None or conn.goaways, "an answer")
    assert stream.status == 200 or stream.reset == Code.PROTOCOL_ERROR or \
        conn.goaways[-1].error_code == Code.PROTOCOL_ERROR


def expect_ignored_or_protocol_error(conn, stream):
    """The connection lives on, at most without this stream; or it ends with PROTOCOL_ERROR."""
    conn.send_frame(Type.PING, 0, 0, b"priority")
    conn.wait(lambda: b"priority" in conn.pings_answered or conn.goaways, "the PING's ACK")
    if conn.goaways:
        conn.expect_connection_error(Code.PROTOCOL_ERROR)
    else:
        assert stream.reset in (None, Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("depends_on", [0, 1, 1001, 2, STREAM_MAX])
def test_a_dependency_on_any_other_stream_is_accepted(stalled, depends_on):
    """5.3.2 and 6.3: a dependency may name a stream in any state."""
    stalled.held_request()
    stream = stalled.held_request()
    stalled.send_frame(Type.PRIORITY, 0, stream.id, u32(depends_on) + b"\xff")
    stalled.expect_no_error()


# ---- errors of one stream and the others

@over_both
def test_the_error_of_one_stream_leaves_the_others_alone(stalled):
    """5.4.2: a stream error does not affect other streams."""
    good, bad = stalled.held_request(), stalled.held_request()
    stalled.overflow(bad)
    if not stalled.expect_stream_error(bad, Code.FLOW_CONTROL_ERROR):
        return
    stalled.window_update(None, 2**20)
    stalled.window_update(good, 2**20)
    stalled.check_body(stalled.response(good), stalled.peer.big)
