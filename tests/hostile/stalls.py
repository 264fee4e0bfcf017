"""Who begins and does not go on. The server's limits of time are `site.short_s` here."""
from corpus import CLOSED, RESET, attack
from rawh2_wire import PREFACE, Flag, Type, frame

GROUP = "stalls"


@attack("a TLS handshake that stops", GROUP, CLOSED, "limit_handshake", hello=False, tls_port=True)
def handshake(link):
    link.send(b"\x16\x03\x01\x02")
    link.wait_end()


@attack("a preface that stops", GROUP, CLOSED, "limit_handshake", hello=False)
def preface(link):
    link.send(PREFACE[:12])
    link.wait_end()


@attack("a connection that says nothing", GROUP, CLOSED, "limit_handshake", hello=False)
def silence(link):
    link.wait_end()


@attack("a header block that stops", GROUP, (CLOSED, "GOAWAY"), "limit_header")
def header_block(link):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block())
    link.wait_end()


@attack("a header block octet by octet", GROUP, (CLOSED, "GOAWAY"), "limit_header")
def header_dribble(link):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block(), length=16_000)
    while True:
        link.send(bytes([0]), 0)
        link.read_for(0.02)


@attack("a body that stops", GROUP, (RESET, CLOSED, "GOAWAY NO_ERROR"), short=True)
def body(link):
    link.send(link.request(1, b"/", b"POST", end=False))
    link.frame(Type.DATA, 0, 1, b"x" * 10)
    link.wait_end(link.site.short_s * 4)


@attack("an idle connection", GROUP, ("GOAWAY NO_ERROR", CLOSED), "limit_idle")
def idle(link):
    link.send(link.request(1))
    link.wait_end()
