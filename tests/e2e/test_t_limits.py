"""Each limit of the config from both sides: what keeps within it is served, what goes beyond is cut
off, counted under the limit's name, and said in one line of the log."""
import os
import re
import sys
from dataclasses import dataclass

import pytest

import server

sys.path.insert(0, os.path.join(server.TOP, "tests", "hostile"))
import rawhpack                          # noqa: E402
from attacker import Attacker, Ended     # noqa: E402
from rawh2_wire import PREFACE, Flag, Setting, Type, frame, u32   # noqa: E402
from site_under_attack import Target     # noqa: E402

CALM = "GOAWAY ENHANCE_YOUR_CALM"
COUNTERS = os.path.join(server.TOP, "master", "handoff", "counters.def")
LIMITS = os.path.join(server.TOP, "master", "handoff", "limits.def")
SHUT = {Setting.INITIAL_WINDOW_SIZE: 0}
PAUSE_S = 0.2                            # well within the limits of half a second
HALF = "%dms" % server.patience(250)     # a limit of time that the pause keeps within
PAST_S = server.patience(0.25) * 1.5     # and what is past it


def prose(counter):
    with open(COUNTERS) as table:
        return re.search(r'COUNTER\(%s, "(?:\w+ )+\w+: (.*)"\)' % counter, table.read()).group(1)


@dataclass
class Sides:
    """`act(link, beyond)` keeps within the limit, or goes just beyond it."""
    key: str
    value: object
    act: object
    ends: tuple                          # outcomes beyond it, by their beginning
    within: str                          # and within it
    counter: str = ""
    logged: bool = True                  # whether the log tells of the connection
    others: tuple = ()                   # further limits, (key, value) each
    link: dict = None


SIDES = []


def limit(key, value, ends=CALM, counter="", logged=True, link=None, within="kept", **others):
    def register(act):
        SIDES.append(Sides(key, value, act, (ends,) if isinstance(ends, str) else ends, within, counter,
                           logged and bool(counter), tuple(others.items()), link or {}))
        return act
    return register


# ---- time ----

@limit("handshake", HALF, "closed", "limit_handshake", link={"hello": False})
def handshake(link, beyond):
    link.send(PREFACE[:12], 0)
    link.read_for(PAST_S * 2 if beyond else PAUSE_S)
    link.send(PREFACE[12:] + frame(Type.SETTINGS))


@limit("header", HALF, "closed", "limit_header")
def header(link, beyond):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block(b"/hello.txt"))
    link.read_for(PAST_S * 2 if beyond else PAUSE_S)
    link.frame(Type.CONTINUATION, Flag.END_HEADERS, 1)


@limit("idle", HALF, ("GOAWAY NO_ERROR", "closed"), "limit_idle", logged=False)
def idle(link, beyond):
    for stream in range(1, 13, 2):
        link.send(link.request(stream, b"/hello.txt"))
        link.read_for(PAUSE_S)
    link.read_for(PAST_S * 2 if beyond else 0)


@limit("send_progress", HALF, "closed", "limit_send", link={"settings": SHUT})
def send_progress(link, beyond):
    link.send(link.request(1, link.site.big))
    for _ in range(6):
        link.frame(Type.WINDOW_UPDATE, 0, 1, u32(10))
        link.read_for(PAUSE_S)
    link.read_for(PAST_S * 3 if beyond else 0)


@limit("body_grace", HALF, "RST_STREAM CANCEL", "limit_body", link={"settings": SHUT})
def body_grace(link, beyond):
    """The answer is held, so that the stream is still of interest."""
    link.send(link.request(1, link.site.big, end=False))
    link.read_for(PAST_S * 2 if beyond else PAUSE_S)
    link.frame(Type.DATA, Flag.END_STREAM, 1, b"at last")
    link.read_for(PAST_S * 2)


@limit("body_rate", 1000, "RST_STREAM CANCEL", "limit_body", body_grace="200ms",
       link={"settings": SHUT})
def body_rate(link, beyond):
    link.send(link.request(1, link.site.big, end=False))
    for _ in range(30):
        link.frame(Type.DATA, 0, 1, b"x" * (20 if beyond else 2000))
        link.read_for(0.05)


# ---- frames ----

def repeated(data, within, beyond):
    """So many frames in one segment, on either side."""
    def act(link, too_many):
        link.send(data * (beyond if too_many else within), beyond if too_many else within)
        link.read_for(PAUSE_S)
    return act


PRIORITY = frame(Type.PRIORITY, 0, 1, u32(0) + b"\x10")
limit("ping_rate", 20, CALM, "limit_ping")(
    repeated(frame(Type.PING, 0, 0, b"12345678"), 20, 40))
limit("settings_rate", 20, CALM, "limit_settings")(repeated(frame(Type.SETTINGS), 18, 40))
limit("priority_base", 20, CALM, "limit_priority")(repeated(PRIORITY, 20, 21))
limit("window_update_base", 20, CALM, "limit_window_update")(
    repeated(frame(Type.WINDOW_UPDATE, 0, 0, u32(1)), 20, 21))
limit("unknown_rate", 20, CALM, "limit_unknown")(repeated(frame(0x42, 0, 0, b"?"), 20, 40))


@limit("priority_per_request", 3, CALM, "limit_priority", priority_base=1)
def priority_per_request(link, beyond):
    for stream in (1, 3, 5):
        link.send(link.request(stream, b"/hello.txt"))
    link.read_for(5, lambda: link.answered() == 3)
    link.send(PRIORITY * (11 if beyond else 10), 10)
    link.read_for(PAUSE_S)


@limit("empty_data", 5, CALM, "limit_empty_data", link={"settings": SHUT})
def empty_data(link, beyond):
    link.send(link.request(1, link.site.big, end=False))
    for _ in range(3):                   # content ends a run of empty ones
        link.send(frame(Type.DATA, 0, 1) * 5 + frame(Type.DATA, 0, 1, b"x" * 40), 6)
    link.send(frame(Type.DATA, 0, 1) * (6 if beyond else 5), 6)
    link.read_for(PAUSE_S)


def resets(link, count, first=1):
    link.send(b"".join(link.request(stream, link.site.big) + frame(Type.RST_STREAM, 0, stream, u32(8))
                       for stream in range(first, first + 2 * count, 2)), 2 * count)


@limit("reset_burst", 10, CALM, "limit_reset", reset_rate=1)
def reset_burst(link, beyond):
    resets(link, 15 if beyond else 10)
    link.read_for(PAUSE_S)


@limit("reset_rate", 40, CALM, "limit_reset", reset_burst=4)
def reset_rate(link, beyond):
    for step in range(10):               # 20 a second within it, 200 a second beyond
        resets(link, 20 if beyond else 2, 1 + 40 * step)
        link.read_for(0.1)


@limit("server_resets", 10, CALM, "limit_server_reset", within="RST_STREAM PROTOCOL_ERROR × 10")
def server_resets(link, beyond):
    """Requests that are malformed: each is reset."""
    bad = rawhpack.literal("Connection", "close")
    for stream in range(1, 2 * (14 if beyond else 10), 2):
        link.send(link.request(stream, extra=bad))
        link.read_for(2, lambda: link.answered() > stream // 2)


@limit("misbehaviour", 1, CALM, "limit_misbehaviour", ping_rate=100, settings_rate=100,
       unknown_rate=100)
def misbehaviour(link, beyond):
    """Each kind is below its own limit, all of them together above one whole limit, or not."""
    share = 45 if beyond else 25
    link.send((frame(Type.PING, 0, 0, b"12345678") + frame(Type.SETTINGS)
               + frame(0x42, 0, 0, b"?")) * share, 3 * share)
    link.read_for(PAUSE_S)


@limit("continuations", 4, CALM, "limit_continuation")
def continuations(link, beyond):
    link.frame(Type.HEADERS, Flag.END_STREAM, 1, link.block(b"/hello.txt"))
    link.send(frame(Type.CONTINUATION, 0, 1) * (4 if beyond else 3)
              + frame(Type.CONTINUATION, Flag.END_HEADERS, 1), 5)
    link.read_for(PAUSE_S)


# ---- requests ----

@limit("requests", 5, "GOAWAY NO_ERROR", "limit_requests", logged=False)
def requests(link, beyond):
    for stream in range(1, 11 if beyond else 7, 2):
        link.send(link.request(stream, b"/hello.txt"))
    link.read_for(3 if beyond else PAUSE_S, lambda: link.closed)


@limit("streams", 8, ("GOAWAY PROTOCOL_ERROR", "RST_STREAM REFUSED_STREAM"),
       link={"settings": SHUT})
def streams(link, beyond):
    """The eighth is what is asked for afterwards."""
    for stream in range(1, 2 * (9 if beyond else 7), 2):
        link.send(link.request(stream, link.site.big))
    link.read_for(2, lambda: link.received[Type.HEADERS] >= 7)


@pytest.fixture
def target(herald):
    def factory(**limits):
        made = herald(workers=1, limits=limits, start=False, site={"policies": []})
        Target.fill(made.root)
        server.start(made)
        return Target(made)
    return factory


def attempt(site, sides, beyond):
    """One connection, attacking or not; its outcome, and the log's lines from then on."""
    link = Attacker(site, **sides.link)
    try:
        sides.act(link, beyond)
        link.read_for(0.1)
        if not beyond:
            link.send(link.request(1001, b"/hello.txt"))
            answered = link.received[Type.HEADERS]
            link.read_for(5, lambda: link.received[Type.HEADERS] > answered)
            assert link.received[Type.HEADERS] > answered, "no answer"
    except Ended:
        pass
    outcome = link.outcome()
    link.close()
    return outcome


@pytest.mark.asan
@pytest.mark.parametrize("sides", SIDES, ids=[sides.key for sides in SIDES])
def test_a_limit_lets_pass_what_keeps_to_it_and_ends_what_does_not(target, sides):
    site = target(**{sides.key: sides.value, **dict(sides.others)})
    assert attempt(site, sides, False).startswith(sides.within)
    if sides.counter:
        assert site.counter(sides.counter) == 0
    lines = len(site.herald.err)
    outcome = attempt(site, sides, True)
    assert outcome.startswith(sides.ends), outcome
    if sides.counter:
        assert site.counter(sides.counter) == 1
    if sides.logged:
        text = prose(sides.counter)
        site.herald.wait_error(re.escape(text), since=lines)
        assert sum("127.0.0.1: " in line for line in site.herald.err[lines:]) == 1
    assert sum("127.0.0.1: " in line for line in site.herald.err[:lines]) == 0


@pytest.mark.asan
@pytest.mark.parametrize("over", [False, True], ids=["within", "beyond"])
def test_the_fields_of_a_request_are_limited(target, connect, over):
    site = target(header_fields=12)      # pseudo-fields are fields as well
    fields = [("x-%d" % n, "y") for n in range(9 if over else 8)]
    assert connect(site.herald, tls=False).get("/hello.txt", fields=fields).status == (
        431 if over else 200)
    assert site.counter("limit_fields") == over


@pytest.mark.asan
@pytest.mark.parametrize("over", [False, True], ids=["within", "beyond"])
def test_the_size_of_a_requests_fields_is_limited(target, connect, over):
    site = target(header_bytes=2048)
    client = connect(site.herald, tls=False)
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", client.authority),
              (":path", "/hello.txt")]
    left = 2048 - sum(len(name) + len(value) + 32 for name, value in pseudo) - len("x") - 32
    stream = client.get("/hello.txt", fields=[("x", "y" * (left + over))])
    assert stream.status == (431 if over else 200)
    assert site.counter("limit_fields") == over


def test_the_connections_of_a_worker_are_limited(target):
    site = target(connections=16)
    opened = []
    try:
        for _ in range(16):
            link = Attacker(site)
            opened.append(link)
            link.send(link.request(1, b"/hello.txt"))
            link.read_for(5, link.answered)
            assert link.answered() == 1
        assert site.counter("limit_connections") == 0
        with pytest.raises((Ended, OSError)):
            link = Attacker(site)
            opened.append(link)
            link.wait_end(5)
        assert site.counter("limit_connections") == 1
        opened.pop().close()
        opened.pop().close()

        def there_is_room():
            link = Attacker(site)
            try:
                link.send(link.request(1, b"/hello.txt"))
                link.read_for(2, link.answered)
                return link.answered()
            except (Ended, OSError):
                return False
            finally:
                link.close()
        server.wait_until(there_is_room, 5, "room for another")
    finally:
        for link in opened:
            link.close()


def anonymous_mib(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def read_ahead_mib(site, streams, paths, enough, seconds):
    """What the worker's memory grows by for large answers that are asked for, begun and not taken:
    once it is above `enough`, or stands still for so many seconds. Each window has room for more than
    what is read at once where a send was nearly full, which is little."""
    link = Attacker(site, settings={Setting.INITIAL_WINDOW_SIZE: 60000})
    before = anonymous_mib(site.worker())
    link.frame(Type.WINDOW_UPDATE, 0, 0, u32(2**30))
    for number in range(streams):
        link.send(link.request(2 * number + 1, paths[number % len(paths)]))
    link.read_for(5, lambda: link.received[Type.DATA] >= streams)
    grown, still = 0, 0
    while grown <= enough and still * PAUSE_S < seconds:
        link.read_for(PAUSE_S)
        last, grown = grown, round(anonymous_mib(site.worker()) - before, 1)
        still = still + 1 if grown <= last else 0
    link.close()
    return grown


@pytest.mark.alone
@pytest.mark.skipif(server.ASAN, reason="the sanitizer's own memory is measured with it")
@pytest.mark.parametrize("key,limits,streams,large", [
    ("stream_buffer", {"stream_buffer": "32KiB", "connection_buffer": "16MiB"}, 100, False),
    ("stream_buffer", {"stream_buffer": "128KiB", "connection_buffer": "16MiB"}, 100, True),
    ("connection_buffer", {"stream_buffer": "128KiB", "connection_buffer": "256KiB"}, 100, False),
    ("connection_buffer", {"stream_buffer": "128KiB", "connection_buffer": "16MiB"}, 100, True),
])
def test_what_is_read_ahead_of_a_client_is_limited(target, key, limits, streams, large):
    """A hundred large files of which little is taken: what is read of each, and of all."""
    site = target(**limits)
    assert key in limits
    paths = []
    for number in range(10):
        paths.append(b"/large-%d.bin" % number)
        site.herald.root.write(paths[-1].decode(), bytes(8 << 20))
    grown = read_ahead_mib(site, streams, paths, enough=6, seconds=server.patience(5) if large else 1)
    assert grown > 6 if large else grown < 4, "%.1f MiB" % grown


def test_every_limit_of_the_config_is_tested_here_or_by_name_elsewhere():
    with open(LIMITS) as table:
        keys = set(re.findall(r"^LIMIT\((\w+)", table.read(), re.MULTILINE))
    elsewhere = {"header_fields", "header_bytes", "connections", "stream_buffer",
                 "connection_buffer",                      # above
                 "address_connections", "address_rate",    # test_y_weapons.py
                 "drain"}                                  # test_r_reload.py
    assert keys == {sides.key for sides in SIDES} | elsewhere
