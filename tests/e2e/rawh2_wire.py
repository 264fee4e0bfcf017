"""HTTP/2 on the wire: numbers and names of RFC 9113, frames as octets, sockets."""

import os
import socket
import ssl
import struct
from enum import IntEnum

import pytest

over_both = pytest.mark.parametrize("transport", ["h2c", "tls"])

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 65535
WINDOW_MAX = 2**31 - 1
FRAME_BYTES = 16384
STREAM_MAX = 2**31 - 1
RESERVED_BIT = 0x80000000


class Type(IntEnum):
    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
    PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
    ALTSVC, ORIGIN, PRIORITY_UPDATE = 0x0A, 0x0C, 0x10


class Flag(IntEnum):
    END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x01, 0x04, 0x08, 0x20
    ACK = 0x01                                            # the same bit, on SETTINGS and PING


class Code(IntEnum):
    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = range(5)
    STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)
    CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = range(10, 14)


class Setting(IntEnum):
    HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
    MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, NO_RFC7540_PRIORITIES = 5, 6, 9


INITIAL = {Setting.HEADER_TABLE_SIZE: 4096, Setting.ENABLE_PUSH: 1,
           Setting.INITIAL_WINDOW_SIZE: WINDOW, Setting.MAX_FRAME_SIZE: FRAME_BYTES}

DEFINED_FLAGS = {Type.DATA: 0x09, Type.HEADERS: 0x2D, Type.PRIORITY: 0, Type.RST_STREAM: 0,
                 Type.SETTINGS: 0x01, Type.PUSH_PROMISE: 0x0C, Type.PING: 0x01, Type.GOAWAY: 0,
                 Type.WINDOW_UPDATE: 0, Type.CONTINUATION: 0x04, Type.ALTSVC: 0, Type.ORIGIN: 0}


def deadline():
    """How long to wait for what must come, in seconds; longer under the sanitizers."""
    slower = 4 if "asan" in os.environ.get("HERALD_BIN", "") else 1
    return float(os.environ.get("HERALD_TEST_DEADLINE", "5")) * slower


def name_of(enum, number):
    """`number` by its name, where it has one."""
    return enum(number).name if number in enum._value2member_map_ else hex(number)


def frame(type_, flags=0, stream=0, payload=b"", length=None):
    """One frame's octets; `length` overrides what the header says of the payload."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([type_, flags]) + struct.pack(">L", stream) + payload


def settings_payload(pairs):
    """SETTINGS payload of (identifier, value) pairs, in order, repeats allowed."""
    return b"".join(struct.pack(">HL", identifier, value) for identifier, value in pairs)


def u32(value):
    return struct.pack(">L", value)


def tls_context(alpn=("h2",), minimum=None, maximum=None, ciphers=None):
    """A client's TLS context that takes any certificate: the tests' servers sign their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def open_socket(peer, transport, context=None, server_name=None, session=None):
    """A connected socket: h2c in the clear, or TLS with ALPN h2 unless `context` says otherwise."""
    plain = socket.create_connection(peer.h2c if transport == "h2c" else peer.tls, deadline())
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if transport == "h2c":
        return plain
    try:
        return (context or tls_context()).wrap_socket(
            plain, server_hostname=server_name or "localhost", session=session,
            suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise
