"""SETTINGS: RFC 9113, 6.5, and RFC 9218, 2.1 for SETTINGS_NO_RFC7540_PRIORITIES."""

import pytest

from rawh2_wire import (FRAME_BYTES, WINDOW_MAX, Code, Flag, Setting, Type, over_both,
                        settings_payload)

pytest_plugins = ["h_fixtures"]


def send_raw_settings(conn, pairs):
    """Sends SETTINGS that may be illegal, so that Connection cannot keep account of them."""
    conn.send_frame(Type.SETTINGS, 0, 0, settings_payload(pairs))


# ---- what the server sends

@over_both
def test_the_servers_settings_are_within_their_ranges(conn):
    """6.5.2: ranges of INITIAL_WINDOW_SIZE and MAX_FRAME_SIZE."""
    settings = conn.server_settings
    assert settings.get(Setting.INITIAL_WINDOW_SIZE, 0) <= WINDOW_MAX
    assert FRAME_BYTES <= settings.get(Setting.MAX_FRAME_SIZE, FRAME_BYTES) <= 2**24 - 1


@over_both
def test_the_server_never_sets_enable_push_to_one(conn):
    """6.5.2: a server MUST NOT set ENABLE_PUSH to 1; it may send 0."""
    assert conn.server_settings.get(Setting.ENABLE_PUSH, 0) == 0


@over_both
def test_the_first_settings_switch_the_old_priorities_off(conn):
    """RFC 9218, 2.1: NO_RFC7540_PRIORITIES, when used, is in the first SETTINGS frame and is 1."""
    assert conn.settings_frames == 1
    assert conn.server_settings.get(Setting.NO_RFC7540_PRIORITIES) == 1


# ---- acknowledgement

@over_both
@pytest.mark.parametrize("count", [1, 5, 20])
def test_every_settings_frame_is_acknowledged(conn, count):
    """6.5.3: an ACK for each, in order."""
    acks = conn.acks
    for number in range(count):
        conn.send_settings({Setting.INITIAL_WINDOW_SIZE: 1000 + number})
    conn.wait(lambda: conn.acks == acks + count, f"{count} ACKs")
    conn.expect_no_error()
    assert conn.acks == acks + count


def test_empty_settings_are_acknowledged(conn):
    """6.5: a SETTINGS frame consists of zero or more settings."""
    conn.sync_settings({})
    conn.expect_no_error()


def test_the_ack_of_settings_is_not_answered(dial):
    """6.5.3: only a SETTINGS frame without the ACK flag is acknowledged."""
    conn = dial(handshake=False)
    conn.greet(acknowledge=False)
    acks = conn.acks
    conn.send_frame(Type.SETTINGS, Flag.ACK)
    conn.expect_no_error()
    assert conn.acks == acks


def test_settings_are_acknowledged_while_a_response_waits_for_its_window(stalled):
    """6.5.3: the ACK is immediate, and not subject to flow control."""
    stalled.held_request()
    stalled.sync_settings({Setting.MAX_FRAME_SIZE: 20000})


# ---- values

@over_both
@pytest.mark.parametrize("setting, value, code", [
    *[pytest.param(Setting.ENABLE_PUSH, value, Code.PROTOCOL_ERROR, id=f"ENABLE_PUSH {value:#x}")
      for value in (2, 3, 0x100, 0xFFFFFFFF)],
    *[pytest.param(Setting.INITIAL_WINDOW_SIZE, value, Code.FLOW_CONTROL_ERROR,
                   id=f"INITIAL_WINDOW_SIZE {value:#x}") for value in (2**31, 2**32 - 1)],
    *[pytest.param(Setting.MAX_FRAME_SIZE, value, Code.PROTOCOL_ERROR,
                   id=f"MAX_FRAME_SIZE {value:#x}") for value in (0, 1, 16383, 2**24, 2**32 - 1)],
    *[pytest.param(Setting.NO_RFC7540_PRIORITIES, value, Code.PROTOCOL_ERROR,
                   id=f"NO_RFC7540_PRIORITIES {value:#x}") for value in (2, 2**32 - 1)],
])
def test_a_value_out_of_range_is_a_connection_error(conn, setting, value, code):
    """6.5.2, and RFC 9218, 2.1: with the code that the setting's definition names."""
    send_raw_settings(conn, [(setting, value)])
    conn.expect_connection_error(code)


def test_a_value_out_of_range_behind_right_ones_is_an_error(conn):
    """6.5.3: every value of the frame is processed."""
    send_raw_settings(conn, [(Setting.INITIAL_WINDOW_SIZE, 65535), (0xABCD, 1),
                             (Setting.MAX_FRAME_SIZE, 16384), (Setting.MAX_FRAME_SIZE, 16383)])
    conn.expect_connection_error(Code.PROTOCOL_ERROR)


@pytest.mark.parametrize("setting, value", [
    (Setting.HEADER_TABLE_SIZE, 0), (Setting.HEADER_TABLE_SIZE, 2**32 - 1),
    (Setting.ENABLE_PUSH, 0), (Setting.ENABLE_PUSH, 1),
    (Setting.MAX_CONCURRENT_STREAMS, 0), (Setting.MAX_CONCURRENT_STREAMS, 2**32 - 1),
    (Setting.INITIAL_WINDOW_SIZE, 1024), (Setting.INITIAL_WINDOW_SIZE, WINDOW_MAX),
    (Setting.MAX_FRAME_SIZE, FRAME_BYTES), (Setting.MAX_FRAME_SIZE, 2**24 - 1),
    (Setting.MAX_HEADER_LIST_SIZE, 2**32 - 1),
], ids=lambda value: value.name if isinstance(value, Setting) else hex(value))
def test_a_value_at_the_end_of_its_range_is_accepted(conn, setting, value):
    """6.5.2: the ends of the ranges are legal."""
    conn.sync_settings({setting: value})
    conn.expect_served()


@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF], ids=hex)
@pytest.mark.parametrize("identifier", [0x0, 0x7, 0xA, 0xFF, 0x0A0A, 0xF000, 0xFFFF], ids=hex)
def test_an_unknown_setting_is_ignored(conn, identifier, value):
    """6.5.2: unknown or unsupported identifiers MUST be ignored; the frame is acknowledged."""
    conn.sync_settings({identifier: value})
    conn.expect_served()


@over_both
def test_the_last_of_several_values_holds(stalled):
    """6.5: each parameter replaces the value before."""
    stalled.send_settings([(Setting.INITIAL_WINDOW_SIZE, 1), (Setting.INITIAL_WINDOW_SIZE, 500),
                           (0x7777, 9), (Setting.INITIAL_WINDOW_SIZE, 100)])
    stream = stalled.request(stalled.peer.big)
    stalled.wait(lambda: len(stream.body) >= 100, "100 octets")
    stalled.expect_no_error()
    assert len(stream.body) == 100


@pytest.mark.parametrize("frame_size", [16384, 20000, 65536, 2**20])
def test_data_frames_keep_to_the_maximum_frame_size(dial, frame_size):
    """4.2: nothing larger than the client's MAX_FRAME_SIZE; the audit of every frame checks it."""
    conn = dial(settings={Setting.MAX_FRAME_SIZE: frame_size,
                          Setting.INITIAL_WINDOW_SIZE: 2**21})
    conn.window_update(None, 2**21)
    conn.expect_served(conn.peer.big)


def test_a_smaller_maximum_frame_size_holds_from_its_ack_on(dial):
    """6.5.3: the ACK tells that the value has been applied; the audit takes the old limit until
    then and the new one after."""
    conn = dial(settings={Setting.MAX_FRAME_SIZE: 2**20, Setting.INITIAL_WINDOW_SIZE: 2**16})
    conn.window_update(None, 2**21)
    stream = conn.request(conn.peer.big)
    conn.wait(lambda: len(stream.body) == 2**16, "the first window")
    conn.sync_settings({Setting.MAX_FRAME_SIZE: FRAME_BYTES})
    conn.window_update(stream, 2**21)
    conn.check_body(conn.response(stream), conn.peer.big)


def test_settings_in_mid_connection_may_come_in_any_number_of_frames(conn):
    """6.5: SETTINGS MAY be sent at any time over the lifetime of the connection."""
    for value in (100, 0, 200, 65535):
        conn.sync_settings({Setting.MAX_CONCURRENT_STREAMS: value})
        conn.expect_served()


def test_a_client_that_allows_no_pushed_streams_is_served(dial):
    """6.5.2: MAX_CONCURRENT_STREAMS is directional; 0 says nothing about the client's own."""
    conn = dial(settings={Setting.MAX_CONCURRENT_STREAMS: 0})
    conn.expect_served()
