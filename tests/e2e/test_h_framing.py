"""Frames: RFC 9113, 4.1, 4.2, 5.5 and the frame-by-frame rules of 6."""

import pytest

import rawhpack
from rawh2_wire import (FRAME_BYTES, RESERVED_BIT, Code, Flag, Setting, Type, frame, over_both,
                        settings_payload, u32)

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan

UNKNOWN_TYPES = [0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x42, 0xEE, 0xFF]


def frame_limit(conn):
    """The largest payload that the server takes."""
    return conn.server_settings.get(Setting.MAX_FRAME_SIZE, FRAME_BYTES)


# ---- what must be ignored

@pytest.mark.parametrize("octets", [0, 8, FRAME_BYTES])
@pytest.mark.parametrize("type_", UNKNOWN_TYPES, ids=hex)
def test_a_frame_of_unknown_type_is_ignored_on_the_connection(conn, type_, octets):
    """4.1 and 5.5: frames of unknown types MUST be ignored and discarded."""
    conn.send_frame(type_, 0xFF, 0, bytes(octets))
    conn.expect_no_error()
    conn.expect_served()


@pytest.mark.parametrize("type_", UNKNOWN_TYPES, ids=hex)
def test_a_frame_of_unknown_type_is_ignored_on_an_open_stream(stalled, type_):
    """4.1 and 5.5: frames of unknown types MUST be ignored and discarded."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_frame(type_, 0xFF, stream.id, b"whatever")
    stalled.expect_no_error()


@pytest.mark.parametrize("stream", [1, 2, 99])
def test_a_frame_of_unknown_type_is_ignored_on_an_idle_stream(conn, stream):
    """5.1: a frame whose semantics are unknown cannot be an error in any state of a stream."""
    conn.send_frame(0x42, 0, stream, b"whatever")
    conn.expect_no_error()
    conn.expect_served()


def test_a_frame_of_unknown_type_is_ignored_on_a_closed_stream(conn):
    """5.1: a frame whose semantics are unknown cannot be an error in any state of a stream."""
    stream = conn.expect_served()
    conn.send_frame(0x42, 0, stream.id, b"whatever")
    conn.expect_no_error()


@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.PING, 0xFE, bytes(8), id="PING"),
    pytest.param(Type.WINDOW_UPDATE, 0xFF, u32(1), id="WINDOW_UPDATE"),
])
def test_undefined_flags_are_ignored_on_the_connection(conn, type_, flags, payload):
    """4.1: flags without semantics for a frame's type MUST be ignored."""
    conn.send_frame(type_, flags, 0, payload)
    conn.expect_no_error()
    conn.expect_served()


def test_undefined_flags_of_settings_are_ignored(conn):
    """4.1 and 6.5: SETTINGS defines ACK only, and this one has everything else."""
    acks = conn.acks
    conn.send_settings({Setting.INITIAL_WINDOW_SIZE: 2000}, flags=0xFE)
    conn.wait(lambda: conn.acks > acks, "the ACK")
    conn.expect_served()


@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.WINDOW_UPDATE, 0xFF, u32(1), id="WINDOW_UPDATE"),
    pytest.param(Type.PRIORITY, 0xFF, bytes(4) + b"\x0f", id="PRIORITY"),
    pytest.param(Type.DATA, 0xF6, b"some", id="DATA"),
])
def test_undefined_flags_are_ignored_on_a_stream(stalled, type_, flags, payload):
    """4.1: flags without semantics for a frame's type MUST be ignored."""
    stream = stalled.held_request(end_stream=False)
    if type_ == Type.WINDOW_UPDATE:
        stream.credit += 1
    stalled.send_frame(type_, flags, stream.id, payload)
    stalled.expect_no_error()


def test_undefined_flags_of_headers_are_ignored(conn):
    """4.1: bits 0x02, 0x10, 0x40 and 0x80 of HEADERS have no semantics."""
    stream = conn.stream(conn.next_id())
    conn.send_frame(Type.HEADERS, 0xD2 | Flag.END_HEADERS | Flag.END_STREAM, stream.id,
                    rawhpack.block(conn.fields()))
    assert conn.response(stream).status == 200


def test_an_end_stream_bit_on_continuation_is_ignored(stalled):
    """4.1 and 6.10: CONTINUATION defines END_HEADERS only, so the stream stays open and DATA may
    follow."""
    block = rawhpack.block(stalled.fields(stalled.peer.big))
    stream = stalled.stream(stalled.next_id())
    stalled.send_frame(Type.HEADERS, 0, stream.id, block[:10])
    stalled.send_frame(Type.CONTINUATION, 0xFB | Flag.END_HEADERS, stream.id, block[10:])
    stalled.send_data(stream, b"content")
    stalled.expect_no_error()


def test_undefined_flags_of_rst_stream_are_ignored(stalled):
    """4.1 and 6.4: RST_STREAM defines no flags."""
    stream = stalled.held_request()
    stalled.send_frame(Type.RST_STREAM, 0xFF, stream.id, u32(Code.CANCEL))
    stalled.expect_no_error()


@over_both
@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.PING, 0, bytes(8), id="PING"),
    pytest.param(Type.SETTINGS, Flag.ACK, b"", id="SETTINGS ACK"),
    pytest.param(Type.WINDOW_UPDATE, 0, u32(1), id="WINDOW_UPDATE"),
])
def test_the_reserved_bit_is_ignored_on_the_connection(dial, type_, flags, payload):
    """4.1: the bit before the stream identifier MUST be ignored."""
    conn = dial(handshake=type_ != Type.SETTINGS)
    if type_ == Type.SETTINGS:
        conn.greet(acknowledge=False)
    conn.send_frame(type_, flags, RESERVED_BIT, payload)
    conn.expect_no_error()


def test_the_reserved_bit_is_ignored_on_a_request(conn):
    """4.1: the bit before the stream identifier MUST be ignored."""
    stream = conn.stream(conn.next_id())
    conn.send_frame(Type.HEADERS, Flag.END_HEADERS, stream.id | RESERVED_BIT,
                    rawhpack.block(conn.fields()))
    conn.send_frame(Type.DATA, Flag.END_STREAM, stream.id | RESERVED_BIT)
    assert conn.response(stream).status == 200


def test_the_reserved_bit_of_an_increment_is_ignored(stalled):
    """6.9: the increment is 31 bits; the bit before it is reserved (4.1)."""
    stream = stalled.held_request()
    stream.credit += 7
    stalled.send_frame(Type.WINDOW_UPDATE, 0, stream.id, u32(7 | RESERVED_BIT))
    stalled.wait(lambda: len(stream.body) == 7, "seven octets")
    stalled.expect_no_error()


def test_the_reserved_bit_of_a_last_stream_identifier_is_ignored(conn):
    """6.8: GOAWAY's last stream identifier is 31 bits; the bit before it is reserved (4.1)."""
    stalled_stream = conn.request()
    conn.send_frame(Type.GOAWAY, 0, 0, u32(RESERVED_BIT) + u32(Code.NO_ERROR))
    assert conn.response(stalled_stream).status == 200


# ---- frame sizes

@over_both
def test_a_frame_of_the_maximum_size_is_accepted(stalled):
    """4.2: an endpoint MUST be able to receive frames of 2^14 octets, and of what it advertises."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_data(stream, bytes(FRAME_BYTES), end_stream=False)
    stalled.send_frame(0x42, 0, 0, bytes(frame_limit(stalled)))
    stalled.expect_no_error()


def test_headers_of_the_maximum_size_are_accepted(conn):
    """4.2: a field block that fills a frame of 2^14 octets; a server may find it too large for
    HTTP (431), never for its framing."""
    block = rawhpack.block(conn.fields())
    name, room = "x-filler", FRAME_BYTES - len(block)
    overhead = len(rawhpack.literal(name, "a" * 15000)) - 15000
    block += rawhpack.literal(name, "a" * (room - overhead))
    assert len(block) == FRAME_BYTES
    assert conn.response(conn.send_block(block)).status in (200, 431)
    conn.expect_served()


@over_both
@pytest.mark.parametrize("type_, flags, stream", [
    pytest.param(Type.HEADERS, 0x05, 1, id="HEADERS"),
    pytest.param(Type.SETTINGS, 0, 0, id="SETTINGS"),
    pytest.param(Type.PING, 0, 0, id="PING"),
    pytest.param(Type.GOAWAY, 0, 0, id="GOAWAY"),
    pytest.param(Type.WINDOW_UPDATE, 0, 0, id="WINDOW_UPDATE"),
    pytest.param(0x42, 0, 0, id="unknown type"),
])
def test_a_frame_above_the_maximum_size_is_a_frame_size_error(conn, type_, flags, stream):
    """4.2: FRAME_SIZE_ERROR, for the connection where the frame could alter its state."""
    conn.send_frame(type_, flags, stream, bytes(frame_limit(conn) + 1))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)


@over_both
def test_data_above_the_maximum_size_is_a_frame_size_error(stalled):
    """4.2: FRAME_SIZE_ERROR, at least for the stream."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_data(stream, bytes(frame_limit(stalled) + 1))
    stalled.expect_stream_error(stream, Code.FRAME_SIZE_ERROR)


def test_a_continuation_above_the_maximum_size_is_a_frame_size_error(conn):
    """4.2: a frame that carries a field block alters the connection's state."""
    conn.send_frame(Type.HEADERS, Flag.END_STREAM, 1, rawhpack.block(conn.fields()))
    filler = rawhpack.literal("x-filler", bytes(frame_limit(conn)).replace(b"\0", b"a"))
    conn.send_frame(Type.CONTINUATION, Flag.END_HEADERS, 1, filler)
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)


def test_the_largest_length_a_header_can_say_is_refused_at_once(conn):
    """4.2: the size is known from the header; the server need not wait for the payload."""
    conn.send_frame(Type.SETTINGS, 0, 0, b"", length=2**24 - 1)
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("type_, flags, octets", [
    *[pytest.param(Type.PING, 0, n, id=f"PING {n}") for n in (0, 1, 7, 9, 16)],
    *[pytest.param(Type.PING, Flag.ACK, n, id=f"PING ACK {n}") for n in (0, 7, 9)],
    *[pytest.param(Type.SETTINGS, 0, n, id=f"SETTINGS {n}") for n in (1, 3, 5, 7, 13)],
    *[pytest.param(Type.SETTINGS, Flag.ACK, n, id=f"SETTINGS ACK {n}") for n in (1, 6, 12)],
    *[pytest.param(Type.WINDOW_UPDATE, 0, n, id=f"WINDOW_UPDATE {n}") for n in (0, 3, 5, 8)],
    *[pytest.param(Type.GOAWAY, 0, n, id=f"GOAWAY {n}") for n in (0, 4, 7)],
])
def test_a_wrong_size_on_the_connection_is_a_frame_size_error(conn, type_, flags, octets):
    """4.2, 6.5, 6.7, 6.8, 6.9: the length of these frames is fixed, or has a least value."""
    conn.send_frame(type_, flags, 0, bytes(octets))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("type_, octets", [
    *[pytest.param(Type.RST_STREAM, n, id=f"RST_STREAM {n}") for n in (0, 3, 5, 8)],
    *[pytest.param(Type.WINDOW_UPDATE, n, id=f"WINDOW_UPDATE {n}") for n in (0, 3, 5)],
])
def test_a_wrong_size_on_a_stream_is_a_frame_size_error(stalled, type_, octets):
    """6.4 and 6.9: a connection error for any other length than 4."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_frame(type_, 0, stream.id, bytes(octets))
    stalled.expect_connection_error(Code.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("octets", [0, 4, 6, 10])
def test_a_priority_frame_of_a_wrong_size_is_a_frame_size_error(stalled, octets):
    """6.3: a stream error for any other length than 5."""
    stream = stalled.held_request()
    stalled.send_frame(Type.PRIORITY, 0, stream.id, bytes(octets))
    stalled.expect_stream_error(stream, Code.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("flags, octets", [
    pytest.param(Flag.PADDED, 0, id="PADDED without a pad length"),
    pytest.param(Flag.PRIORITY, 0, id="PRIORITY without its fields"),
    pytest.param(Flag.PRIORITY, 4, id="PRIORITY cut short"),
    pytest.param(Flag.PADDED | Flag.PRIORITY, 5, id="both cut short"),
])
def test_headers_too_small_for_their_flags_are_an_error(conn, flags, octets):
    """4.2: FRAME_SIZE_ERROR for what is too small for its mandatory data; PROTOCOL_ERROR where the
    padding is found wrong first (6.2)."""
    conn.send_frame(Type.HEADERS, flags | Flag.END_HEADERS | Flag.END_STREAM, 1, bytes(octets))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)


def test_padded_data_without_a_pad_length_is_an_error(stalled):
    """4.2 and 6.1: no room for the mandatory pad length."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_frame(Type.DATA, Flag.PADDED | Flag.END_STREAM, stream.id)
    stalled.expect_stream_error(stream, Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)


# ---- padding

@pytest.mark.parametrize("pad", [0, 1, 255])
def test_padded_headers_are_accepted(conn, pad):
    """6.2: padding is cut off before the field block is decoded."""
    stream = conn.stream(conn.next_id())
    conn.send_frame(Type.HEADERS, Flag.PADDED | Flag.END_HEADERS | Flag.END_STREAM, stream.id,
                    bytes([pad]) + rawhpack.block(conn.fields()) + bytes(pad))
    assert conn.response(stream).status == 200


@pytest.mark.parametrize("weight", [0, 255])
@pytest.mark.parametrize("pad", [0, 9])
def test_headers_with_padding_and_priority_are_accepted(conn, pad, weight):
    """6.2: pad length, then the priority fields, then the field block, then the padding."""
    stream = conn.stream(conn.next_id())
    conn.send_frame(Type.HEADERS, 0x2D, stream.id, bytes([pad]) + u32(RESERVED_BIT) +
                    bytes([weight]) + rawhpack.block(conn.fields()) + bytes(pad))
    assert conn.response(stream).status == 200


@pytest.mark.parametrize("data, pad", [(b"", 0), (b"", 1), (b"", 255), (b"content", 0),
                                       (b"content", 255)])
def test_padded_data_is_accepted_and_its_padding_is_not_content(conn, data, pad):
    """6.1 and 8.1.1: padding does not count towards content-length."""
    stream = conn.request(end_stream=False, extra=[("content-length", str(len(data)))])
    conn.send_frame(Type.DATA, Flag.PADDED | Flag.END_STREAM, stream.id,
                    bytes([pad]) + data + bytes(pad))
    assert conn.response(stream).status is not None
    conn.expect_no_error()


@pytest.mark.parametrize("payload", [b"\1", b"\5abcd", b"\x06abcd", b"\xffabcd"], ids=repr)
def test_data_with_padding_as_long_as_its_payload_is_a_protocol_error(stalled, payload):
    """6.1: padding of the payload's length or more is a connection error."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_frame(Type.DATA, Flag.PADDED | Flag.END_STREAM, stream.id, payload)
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("excess", [1, 2, 100])
def test_headers_with_padding_as_long_as_their_payload_are_a_protocol_error(conn, excess):
    """6.2: padding of the payload's length or more is a connection error."""
    block = b"\x82\x84\x86"
    conn.send_frame(Type.HEADERS, Flag.PADDED | Flag.END_HEADERS | Flag.END_STREAM, 1,
                    bytes([len(block) + excess]) + block)
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


def test_headers_whose_padding_eats_their_priority_fields_are_an_error(conn):
    """6.2 and 4.2: what is left after the padding must hold the priority fields."""
    conn.send_frame(Type.HEADERS, 0x2D, 1, b"\x03" + bytes(7))
    conn.expect_connection_error(Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR)


# ---- stream identifiers that a frame type forbids

@over_both
@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.DATA, Flag.END_STREAM, b"x", id="DATA"),
    pytest.param(Type.HEADERS, 0x05, b"\x82\x84\x86", id="HEADERS"),
    pytest.param(Type.PRIORITY, 0, bytes(5), id="PRIORITY"),
    pytest.param(Type.RST_STREAM, 0, u32(Code.CANCEL), id="RST_STREAM"),
    pytest.param(Type.PUSH_PROMISE, 0x04, u32(2) + b"\x82\x84\x86", id="PUSH_PROMISE"),
    pytest.param(Type.CONTINUATION, 0x04, b"\x82\x84\x86", id="CONTINUATION"),
])
def test_a_streams_frame_on_the_connection_is_a_protocol_error(conn, type_, flags, payload):
    """6.1 to 6.4, 6.6, 6.10: these frames MUST be associated with a stream."""
    conn.send_frame(type_, flags, 0, payload)
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("type_, flags, payload", [
    pytest.param(Type.SETTINGS, 0, settings_payload([(Setting.MAX_FRAME_SIZE, 16384)]),
                 id="SETTINGS"),
    pytest.param(Type.SETTINGS, Flag.ACK, b"", id="SETTINGS ACK"),
    pytest.param(Type.PING, 0, bytes(8), id="PING"),
    pytest.param(Type.PING, Flag.ACK, bytes(8), id="PING ACK"),
    pytest.param(Type.GOAWAY, 0, bytes(8), id="GOAWAY"),
])
@pytest.mark.parametrize("which", ["idle", "open", "even"])
def test_a_connections_frame_on_a_stream_is_a_protocol_error(stalled, which, type_, flags, payload):
    """6.5, 6.7, 6.8: these frames apply to the connection, never to a stream."""
    stream = {"idle": 99, "even": 2}.get(which) or stalled.held_request(end_stream=False).id
    stalled.send_frame(type_, flags, stream, payload)
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("which", ["idle", "open"])
def test_a_promise_by_the_client_is_a_protocol_error(stalled, which):
    """8.4: a client cannot push; a server MUST treat its PUSH_PROMISE as a connection error."""
    stream = 1 if which == "idle" else stalled.held_request(end_stream=False).id
    stalled.send_frame(Type.PUSH_PROMISE, Flag.END_HEADERS, stream,
                       u32(2) + rawhpack.block(stalled.fields()))
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


# ---- how frames arrive

@over_both
def test_frames_that_arrive_octet_by_octet_are_understood(conn):
    """4.1: frames have no relation to TCP segments or TLS records."""
    stream = conn.stream(conn.next_id())
    octets = frame(Type.PING, 0, 0, b"in parts") + frame(Type.HEADERS, 0x05, stream.id,
                                                         rawhpack.block(conn.fields()))
    for octet in octets:
        conn.send(bytes([octet]))
    conn.wait(lambda: b"in parts" in conn.pings_answered, "the PING's ACK")
    assert conn.response(stream).status == 200


@over_both
def test_many_frames_in_one_segment_are_all_processed(conn):
    """4.1: frames have no relation to TCP segments or TLS records."""
    streams = [conn.stream(conn.next_id()) for _ in range(20)]
    block = rawhpack.block(conn.fields())
    conn.send(b"".join(frame(Type.HEADERS, 0x05, stream.id, block) + frame(0x42, 0, 0, b"x") +
                       frame(Type.WINDOW_UPDATE, 0, 0, u32(1)) for stream in streams))
    conn.credit += len(streams)
    for stream in streams:
        conn.check_body(conn.response(stream))
    conn.expect_no_error()


@pytest.mark.parametrize("cut", [1, 8, 9, 12])
def test_a_connection_that_ends_within_a_frame_is_let_go(conn, cut):
    """4.1: half a frame is no frame; the server ends its side as well."""
    conn.send(frame(Type.PING, 0, 0, b"12345678")[:cut])
    conn.finish_sending()
    conn.wait_end()
    assert not conn.pings_answered
