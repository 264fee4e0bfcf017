"""Starting HTTP/2: RFC 9113, 3.3 and 3.4."""

import pytest

from rawh2_checks import Violation
from rawh2_wire import PREFACE, Code, Flag, Setting, Type, frame, over_both, settings_payload

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.quick

SETTINGS = frame(Type.SETTINGS)
SETTINGS_ACK = frame(Type.SETTINGS, Flag.ACK)


def expect_turned_away(conn):
    """RFC 9113, 3.4: a GOAWAY of type PROTOCOL_ERROR, or just the end of the connection. What
    isn't HTTP/2 at all may also be told so in HTTP/1.1 before the connection ends."""
    try:
        conn.expect_connection_error(Code.PROTOCOL_ERROR, goaway_optional=True)
    except Violation:
        octets = conn.read_to_end()
        assert octets.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), f"the server sent {octets!r}"


@over_both
def test_the_servers_first_frame_is_settings(dial):
    """3.4: the server's preface is a SETTINGS frame, the first frame that it sends."""
    conn = dial(handshake=False)
    conn.send(PREFACE + SETTINGS)
    conn.wait(lambda: conn.frames, "the server's first frame")
    assert conn.settings_frames == 1


@over_both
def test_the_clients_preface_settings_are_acknowledged(dial):
    """3.4: the SETTINGS of the preface MUST be acknowledged."""
    conn = dial(handshake=False)
    conn.send(PREFACE)
    conn.send_settings({Setting.ENABLE_PUSH: 0})
    conn.wait(lambda: conn.acks == 1, "the ACK of the preface's SETTINGS")


@over_both
def test_a_request_right_behind_the_preface_is_served(dial):
    """3.4: a client may send frames without waiting for the server's preface."""
    conn = dial(handshake=False)
    conn.send(PREFACE)
    conn.send_settings({Setting.ENABLE_PUSH: 0})
    conn.expect_served()
    assert conn.acks == 1


@over_both
def test_a_preface_that_arrives_octet_by_octet_is_accepted(dial):
    """3.4: TCP and TLS have no message boundaries that the preface could rely on."""
    conn = dial(handshake=False)
    for octet in PREFACE + SETTINGS:
        conn.send(bytes([octet]))
    conn.send_frame(Type.SETTINGS, Flag.ACK)
    conn.wait(lambda: conn.settings_frames, "the server's SETTINGS")
    conn.send_settings({Setting.ENABLE_PUSH: 0})


@over_both
@pytest.mark.parametrize("position", [0, 1, 3, 4, 8, 13, 14, 15, 16, 18, 20, 23])
def test_a_preface_with_one_wrong_octet_ends_the_connection(dial, position):
    """3.4: an invalid preface is a connection error; the GOAWAY may be left out."""
    conn = dial(handshake=False)
    wrong = bytearray(PREFACE)
    wrong[position] ^= 0x20
    conn.send(bytes(wrong) + SETTINGS)
    expect_turned_away(conn)


@pytest.mark.parametrize("octets", [
    pytest.param(b"\x00" * 24 + SETTINGS, id="zeros"),
    pytest.param(SETTINGS * 3, id="frames without the preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, id="a TLS hello"),
    pytest.param(PREFACE[:16] + b"\r\n" * 8, id="PRI as a whole HTTP/1.1 request"),
    pytest.param(PREFACE[:18] + SETTINGS * 2, id="the preface without its last lines"),
])
def test_other_octets_than_the_preface_end_the_connection(dial, octets):
    """3.4: an invalid preface is a connection error; the GOAWAY may be left out."""
    conn = dial(handshake=False)
    conn.send(octets)
    expect_turned_away(conn)


@pytest.mark.parametrize("octets", [b"", PREFACE[:1], PREFACE[:23]], ids=len)
def test_a_client_that_leaves_within_the_preface_is_let_go(dial, octets):
    """3.4: half a preface and the end of the stream leave no connection behind."""
    conn = dial(handshake=False)
    conn.send(octets)
    conn.finish_sending()
    expect_turned_away(conn)


@pytest.mark.parametrize("first", [
    pytest.param(frame(Type.PING, payload=bytes(8)), id="PING"),
    pytest.param(frame(Type.WINDOW_UPDATE, payload=b"\0\0\0\1"), id="WINDOW_UPDATE"),
    pytest.param(frame(Type.GOAWAY, payload=bytes(8)), id="GOAWAY"),
    pytest.param(frame(Type.PRIORITY, stream=1, payload=bytes(5)), id="PRIORITY"),
    pytest.param(frame(Type.DATA, stream=1, payload=b"x"), id="DATA"),
    pytest.param(frame(Type.HEADERS, 0x05, 1, b"\x82\x84\x86"), id="HEADERS"),
    pytest.param(frame(Type.RST_STREAM, stream=1, payload=bytes(4)), id="RST_STREAM"),
    pytest.param(frame(0x42, payload=bytes(8)), id="an unknown frame"),
    pytest.param(SETTINGS_ACK, id="the ACK of SETTINGS"),
])
@over_both
def test_a_preface_that_goes_on_without_settings_is_a_protocol_error(dial, first):
    """3.4: the sequence MUST be followed by a SETTINGS frame."""
    conn = dial(handshake=False)
    conn.send(PREFACE + first)
    conn.send_settings({})
    conn.expect_connection_error(Code.PROTOCOL_ERROR, goaway_optional=True)


@pytest.mark.parametrize("settings, code", [
    pytest.param(frame(Type.SETTINGS, stream=1), Code.PROTOCOL_ERROR, id="on a stream"),
    pytest.param(frame(Type.SETTINGS, payload=bytes(5)), Code.FRAME_SIZE_ERROR, id="5 octets"),
    pytest.param(frame(Type.SETTINGS, payload=settings_payload([(Setting.ENABLE_PUSH, 2)])),
                 Code.PROTOCOL_ERROR, id="ENABLE_PUSH of 2"),
])
def test_a_preface_with_bad_settings_is_an_error(dial, settings, code):
    """3.4 and 6.5: the SETTINGS of the preface obey the rules of every SETTINGS frame."""
    conn = dial(handshake=False)
    conn.send(PREFACE + settings)
    conn.expect_connection_error(code, Code.PROTOCOL_ERROR, goaway_optional=True)


@over_both
def test_a_second_preface_is_an_error(conn):
    """3.4 and 4.2: the preface comes once; later its octets are a frame header whose length is
    beyond SETTINGS_MAX_FRAME_SIZE."""
    conn.send(PREFACE + SETTINGS)
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)


def test_the_preface_may_carry_many_settings(dial):
    """3.4 and 6.5.2: every setting of RFC 9113, and unknown ones, in the first frame."""
    conn = dial(settings={Setting.HEADER_TABLE_SIZE: 4096, Setting.MAX_CONCURRENT_STREAMS: 100,
                          Setting.INITIAL_WINDOW_SIZE: 65535, Setting.MAX_FRAME_SIZE: 16384,
                          Setting.MAX_HEADER_LIST_SIZE: 65536, 0x0A0A: 1, 0xF0F0: 2**32 - 1})
    conn.expect_served()
