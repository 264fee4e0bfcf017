"""Field blocks and CONTINUATION: RFC 9113, 4.3, 6.2 and 6.10."""

import pytest

import rawhpack
from rawh2_wire import Code, Flag, Type, frame, over_both, u32

pytest_plugins = ["h_fixtures"]
pytestmark = [pytest.mark.asan, pytest.mark.quick]


def send_parts(conn, stream, parts, end_stream=True):
    """Sends a field block as HEADERS with the first part and a CONTINUATION for each other."""
    flags = Flag.END_STREAM if end_stream else 0
    for number, part in enumerate(parts):
        flags |= Flag.END_HEADERS if number == len(parts) - 1 else 0
        conn.send_frame(Type.CONTINUATION if number else Type.HEADERS, flags, stream.id, part)
        flags = 0


def halves(conn, count=2):
    """A request's field block in `count` parts of about the same size."""
    block = rawhpack.block(conn.fields())
    size = -(-len(block) // count)
    return [block[i:i + size] for i in range(0, len(block), size)]


@over_both
@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_field_block_in_several_frames_is_put_together(conn, count):
    """4.3 and 6.10: any number of CONTINUATION frames may follow."""
    stream = conn.stream(conn.next_id())
    send_parts(conn, stream, halves(conn, count))
    conn.check_body(conn.response(stream))


def test_a_field_block_may_be_cut_at_every_octet(conn):
    """4.3: the fragments are concatenated before decoding; a cut may be within an integer, a
    string or a Huffman code."""
    fields = conn.fields(method="HEAD", extra=[("x-long", "v" * 200)])
    block = rawhpack.size_update(4096) + rawhpack.block(fields, coded=True)
    for cut in range(len(block) + 1):
        stream = conn.stream(conn.next_id())
        stream.head = True
        send_parts(conn, stream, [block[:cut], block[cut:]])
        assert conn.response(stream).status == 200, f"cut at octet {cut}"


@pytest.mark.parametrize("transport", ["tls"])
def test_the_frames_of_a_field_block_may_come_in_records_of_an_octet(conn):
    """4.3: where frames are cut says nothing; eight CONTINUATION frames are within the limit however
    many pieces their headers come in."""
    stream = conn.stream(conn.next_id())
    first, *rest = halves(conn, 9)
    octets = frame(Type.HEADERS, Flag.END_STREAM, stream.id, first)
    for number, part in enumerate(rest):
        octets += frame(Type.CONTINUATION, Flag.END_HEADERS if number == len(rest) - 1 else 0,
                        stream.id, part)
    for octet in octets:
        conn.send(bytes([octet]))
    conn.check_body(conn.response(stream))


@pytest.mark.parametrize("empty", ["first", "middle", "last"])
def test_a_fragment_may_be_empty(conn, empty):
    """4.3: a fragment is a sequence of octets, also of none."""
    stream = conn.stream(conn.next_id())
    first, second = halves(conn)
    send_parts(conn, stream, {"first": [b"", first, second], "middle": [first, b"", second],
                              "last": [first, second, b""]}[empty])
    assert conn.response(stream).status == 200


def test_padding_of_headers_ends_before_the_continuation(conn):
    """6.2: padding belongs to its frame, not to the field block."""
    stream = conn.stream(conn.next_id())
    first, second = halves(conn)
    conn.send_frame(Type.HEADERS, Flag.PADDED | Flag.END_STREAM, stream.id,
                    b"\x20" + first + bytes(32))
    conn.send_frame(Type.CONTINUATION, Flag.END_HEADERS, stream.id, second)
    assert conn.response(stream).status == 200


def test_trailers_may_be_continued(conn):
    """8.1: trailers are a HEADERS frame with END_STREAM and any CONTINUATION frames."""
    stream = conn.request(end_stream=False)
    trailers = rawhpack.block([("x-checksum", "1234"), ("x-more", "5678")])
    send_parts(conn, stream, [trailers[:7], trailers[7:]])
    assert conn.response(stream).status is not None
    conn.expect_no_error()


INTERLOPERS = {
    "DATA on the same stream": lambda own: frame(Type.DATA, 0, own, b"x"),
    "DATA on another stream": lambda own: frame(Type.DATA, 0, own - 2, b"x"),
    "HEADERS on the same stream": lambda own: frame(Type.HEADERS, 0x05, own, b"\x82\x84\x86"),
    "HEADERS on another stream": lambda own: frame(Type.HEADERS, 0x05, own + 2, b"\x82\x84\x86"),
    "PRIORITY on the same stream": lambda own: frame(Type.PRIORITY, 0, own, bytes(5)),
    "PRIORITY on another stream": lambda own: frame(Type.PRIORITY, 0, own + 2, bytes(5)),
    "RST_STREAM on the same stream": lambda own: frame(Type.RST_STREAM, 0, own, u32(Code.CANCEL)),
    "RST_STREAM on another stream": lambda own: frame(Type.RST_STREAM, 0, own - 2, u32(8)),
    "SETTINGS": lambda own: frame(Type.SETTINGS),
    "SETTINGS ACK": lambda own: frame(Type.SETTINGS, Flag.ACK),
    "PUSH_PROMISE": lambda own: frame(Type.PUSH_PROMISE, 4, own, u32(2) + b"\x82\x84\x86"),
    "PING": lambda own: frame(Type.PING, 0, 0, bytes(8)),
    "PING ACK": lambda own: frame(Type.PING, Flag.ACK, 0, bytes(8)),
    "GOAWAY": lambda own: frame(Type.GOAWAY, 0, 0, bytes(8)),
    "WINDOW_UPDATE of the connection": lambda own: frame(Type.WINDOW_UPDATE, 0, 0, u32(1)),
    "WINDOW_UPDATE of the same stream": lambda own: frame(Type.WINDOW_UPDATE, 0, own, u32(1)),
    "CONTINUATION on another stream": lambda own: frame(Type.CONTINUATION, 0, own - 2, b"\x84"),
    "CONTINUATION on the connection": lambda own: frame(Type.CONTINUATION, 4, 0, b"\x84"),
    "an unknown type on the same stream": lambda own: frame(0x42, 0, own, b"x"),
    "an unknown type on the connection": lambda own: frame(0x42, 0, 0, b"x"),
    "an unknown type without payload": lambda own: frame(0xEE, 0xFF, own),
}


@pytest.mark.parametrize("after", ["HEADERS", "CONTINUATION"])
@pytest.mark.parametrize("name", INTERLOPERS)
def test_another_frame_within_a_field_block_is_a_protocol_error(stalled, name, after):
    """4.3, 5.5, 6.2, 6.10: a field block is contiguous; also extension frames end it."""
    stalled.held_request(end_stream=False)
    own = stalled.next_id()
    stalled.send_frame(Type.HEADERS, Flag.END_STREAM, own, b"\x82\x84")
    if after == "CONTINUATION":
        stalled.send_frame(Type.CONTINUATION, 0, own, b"\x86")
    stalled.send(INTERLOPERS[name](own))
    stalled.expect_connection_error(Code.PROTOCOL_ERROR)


@over_both
@pytest.mark.parametrize("before", ["nothing", "HEADERS", "CONTINUATION", "DATA", "SETTINGS",
                                    "a closed stream"])
def test_a_continuation_without_an_open_field_block_is_a_protocol_error(conn, before):
    """6.10: CONTINUATION MUST be preceded by a frame of its field block without END_HEADERS."""
    stream = conn.stream(conn.next_id())
    if before in ("HEADERS", "DATA"):
        conn.send_block(rawhpack.block(conn.fields()), stream=stream.id, end_stream=False)
    if before == "DATA":
        conn.send_data(stream, b"x", end_stream=False)
    if before == "CONTINUATION":
        send_parts(conn, stream, halves(conn), end_stream=False)
    if before == "SETTINGS":
        conn.send_settings({})
    if before == "a closed stream":
        stream = conn.expect_served(stream=stream.id)
    conn.send_frame(Type.CONTINUATION, Flag.END_HEADERS, stream.id, b"\x84")
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


def test_a_field_block_without_an_end_holds_back_nothing_already_asked_for(conn):
    """4.3: an unfinished field block is no reason to withhold other streams' responses."""
    stream = conn.request()
    conn.send_frame(Type.HEADERS, Flag.END_STREAM, conn.next_id(), halves(conn)[0])
    assert conn.response(stream).status == 200
    assert not conn.goaways


@pytest.mark.parametrize("how", ["malformed", "trailers on a reset stream", "refused path"])
def test_every_field_block_is_decoded_whatever_becomes_of_it(stalled, how):
    """4.3: a field block that is discarded still changes the compression state, so an entry that
    it inserts can be referred to afterwards."""
    entry = rawhpack.literal("x-later", "here", rawhpack.INCREMENTAL)
    if how == "malformed":
        fields = stalled.fields(extra=[("X-UPPER", "1")])
        stalled.expect_malformed(stalled.send_block(rawhpack.block(fields) + entry))
    elif how == "refused path":
        stalled.send_block(rawhpack.block(stalled.fields("/not/there")) + entry)
    else:
        stream = stalled.held_request(end_stream=False)
        stalled.overflow(stream)
        stalled.send_frame(Type.HEADERS, 0x05, stream.id, entry)
        if not stalled.expect_stream_error(stream, Code.FLOW_CONTROL_ERROR):
            return
    if stalled.goaways:
        return
    fields = rawhpack.block(stalled.fields(method="HEAD"))
    stream = stalled.send_block(fields + rawhpack.indexed(rawhpack.FIRST_DYNAMIC), head=True)
    assert stalled.response(stream).status == 200
