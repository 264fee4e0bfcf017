"""Push as a weapon: against the server that promises."""
import rawhpack
from corpus import CALM, CLOSED, KEPT, PROTOCOL, attack
from h2client import Client
from rawh2_wire import Setting, Type, frame, settings_payload, u32

GROUP = "push"
PUSHING = {Setting.ENABLE_PUSH: 1}


def _pages(link, count, path=b"/", first=1):
    for stream in range(first, first + 2 * count, 2):
        link.send(link.request(stream, path))


@attack("a page of 10,000 candidates", GROUP, KEPT, settings=PUSHING)
def wide_page(link):
    _pages(link, 20, b"/wide.html")
    link.read_for(0.3)


@attack("promises never read", GROUP, (CLOSED, "GOAWAY NO_ERROR"), settings=PUSHING, short=True,
        reading=False, receive_buffer=4096)
def unread_promises(link):
    link.frame(Type.WINDOW_UPDATE, 0, 0, u32(2**30))
    _pages(link, 60)
    link.read_for(link.site.short_s * 4)
    link.wait_end(2)


@attack("promises kept waiting by a zero window", GROUP, (CLOSED, KEPT), "limit_send",
        settings={**PUSHING, Setting.INITIAL_WINDOW_SIZE: 0})
def held_promises(link):
    _pages(link, 60)
    link.wait_end(link.site.short_s * 4)


@attack("each promise reset", GROUP, (KEPT, CALM, PROTOCOL), settings=PUSHING)
def reset_each(link):
    for stream in range(1, 400, 2):
        link.send(link.request(stream))
        link.send(b"".join(frame(Type.RST_STREAM, 0, promised, u32(8))
                           for promised in range(2, 2 + 2 * min(64, link.received[Type.PUSH_PROMISE]),
                                                 2)), 0)
        link.read_for(0.005)


@attack("resets of pushes far beyond what was promised", GROUP, CALM, "limit_reset",
        settings=PUSHING)
def reset_too_many(link):
    _pages(link, 1)
    link.read_for(0.2, lambda: link.received[Type.PUSH_PROMISE] > 0)
    link.flood(frame(Type.RST_STREAM, 0, 2, u32(8)), 100_000)


@attack("ENABLE_PUSH and the streams' limit flipped in mid-push", GROUP, (CALM, KEPT),
        settings=PUSHING)
def flip(link):
    states = [settings_payload([(Setting.ENABLE_PUSH, on),
                                (Setting.MAX_CONCURRENT_STREAMS, 100 * on)]) for on in (0, 1)]
    for stream in range(1, 2000, 2):
        link.send(link.request(stream)
                  + frame(Type.SETTINGS, 0, 0, states[stream // 2 % 2]), 2)


@attack("pages asked for again and again, windows never opened", GROUP, (CLOSED, KEPT), "limit_send",
        settings=PUSHING)
def never_opened(link):
    for stream in range(1, 121, 2):
        link.send(link.request(stream, b"/"))
        link.read_for(0.005)
    link.wait_end(link.site.short_s * 4)


@attack("cookies forged, replayed and swapped", GROUP, KEPT, "cookies_rejected", settings=PUSHING)
def cookies(link):
    """A real cookie's value, its halves exchanged, each octet changed, at length, and as it was."""
    known = Client(link.site.herald, tls=False)
    name, value = known.visit("/").page.field("set-cookie").split(";")[0].split("=", 1)
    known.close()
    half = len(value) // 2
    values = [value, value[half:] + value[:half], value[:-1], value * 20, "", "=" * 50]
    values += [value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1:]
               for at in range(len(value))]
    link.ask([(b"/", rawhpack.literal("cookie", "%s=%s" % (name, each))) for each in values], 20)
