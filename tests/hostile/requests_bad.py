"""Requests that cost more than they look."""
import rawhpack
from corpus import CALM, KEPT, attack
from rawh2_wire import Flag, Type, frame

GROUP = "requests"


@attack("range bombs", GROUP, KEPT)
def ranges(link):
    many = "bytes=" + ",".join("%d-" % i for i in range(1300))
    nested = "bytes=" + ",".join("0-%d" % i for i in range(1300))
    link.ask([(b"/assets/hero.jpg", rawhpack.literal("range", text)) for text in (many, nested) * 100])


@attack("paths out of the root, in every encoding", GROUP, KEPT)
def traversal(link):
    ups = [b"..", b"%2e%2e", b".%2e", b"%252e%252e", b"..%2f", b"..%5c", b"%c0%ae%c0%ae",
           b"..;", b"%2e%2e%2f", b"..\\", b"%00..", b"....//"]
    link.ask([(b"/" + b"/".join([up] * depth) + b"/etc/passwd", b"")
                for up in ups for depth in (1, 3, 12)])


@attack("ever new paths", GROUP, KEPT)
def new_paths(link):
    link.ask([(b"/no/such/%d" % i, b"") for i in range(3000)])


@attack("long paths and queries", GROUP, KEPT)
def long_paths(link):
    link.ask([(b"/" + b"a" * 8000, b""), (b"/?" + b"q" * 20000, b""),
                (b"/" + b"%41" * 4000, b""), (b"/" + b"a/" * 4000, b"")] * 50)


@attack("conditional fields without end", GROUP, KEPT)
def conditionals(link):
    tags = ", ".join('"%d"' % i for i in range(2500))
    link.ask([(b"/", rawhpack.literal("if-none-match", tags))] * 200)


@attack("accept-encoding without end", GROUP, KEPT)
def codings(link):
    value = ",".join("c%d;q=0.%d" % (i, i % 10) for i in range(1500))
    link.ask([(b"/", rawhpack.literal("accept-encoding", value))] * 200)


def _fields(link, *, method=b"GET", path=b"/", scheme=None, authority=None, more=()):
    """A field block as somebody wants it who knows no rules."""
    return rawhpack.block([(":method", method), (":scheme", scheme or link.scheme),
                           (":authority", authority or link.authority), (":path", path), *more])


MALFORMED = [
    {"more": [("x", "a\rb")]}, {"more": [("x", "a\nb")]}, {"more": [("x", "a\0b")]},
    {"more": [("X-Upper", "a")]}, {"more": [("te", "gzip")]}, {"more": [("connection", "close")]},
    {"more": [("keep-alive", "1")]}, {"more": [("transfer-encoding", "chunked")]},
    {"more": [("upgrade", "h2c")]}, {"more": [(":path", "/again")]}, {"more": [(":method", "GET")]},
    {"more": [("x", "a"), (":status", "200")]}, {"path": b""}, {"path": b"*"}, {"path": b"no/slash"},
    {"path": b"http://elsewhere/"}, {"more": [("content-length", "-1")]},
    {"more": [("content-length", "7")]}, {"more": [("x y", "a")]}, {"more": [("x", " a")]},
]


@attack("malformed requests of every kind", GROUP, CALM, "limit_server_reset")
def malformed(link):
    for number in range(1000):
        block = _fields(link, **MALFORMED[number % len(MALFORMED)])
        link.frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 2 * number + 1, block)
        link.read_for(2, lambda: link.answered() > number)


@attack("a Host that is not the authority, userinfo, authorities of others", GROUP, KEPT)
def authorities(link):
    kinds = [{"more": [("host", "elsewhere.test")]},
             {"authority": b"user:secret@" + link.authority},
             {"authority": b"elsewhere.test", "path": b"//elsewhere.test/"}]
    for number in range(300):
        block = _fields(link, **kinds[number % len(kinds)])
        link.frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 2 * number + 1, block)
        if number % 50 == 49:
            link.read_for(2, lambda: link.answered() > number - 2)
    link.read_for(0.3)


@attack("content that is more than its length", GROUP, CALM, "limit_server_reset")
def content_length(link):
    for number in range(1000):
        block = _fields(link, method=b"POST", more=[("content-length", "3")])
        stream = 2 * number + 1
        link.send(frame(Type.HEADERS, Flag.END_HEADERS, stream, block)
                  + frame(Type.DATA, Flag.END_STREAM, stream, b"x" * 40), 2)
        link.read_for(2, lambda: link.answered() > number)
