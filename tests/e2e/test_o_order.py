"""How much is pushed, and in which order bytes leave: the budget, the page first, decisions that take
effect within one send."""
import re
import struct

import pytest

import server
from h2client import (CANCEL, DATA, INITIAL_WINDOW_SIZE, REFUSED_STREAM, RST_STREAM, WINDOW_MAX)
from webroot import binary_bytes

PAGE = "/page.html"
FIGURES = re.compile(r"^size=(\d+) budget=(\d+) taken=(\d+)$")
SEND = 80 << 10                          # what one send carries, records of TLS included
RECORD = 16384 + 64                      # what of a record of TLS a client may have taken in unseen
UNSENT = 128 << 10                       # what may wait in the kernel of a client that reads slowly


def policy(*candidates):
    """Proposes each (path, options in Lua)."""
    lines = ["    push:add(%s, { %s })" % (server.to_lua(path), options)
             for path, options in candidates]
    return "return { api = 1, on_request = function(req, push)\n%s\nend }\n" % "\n".join(lines)


def budget_site(herald, sizes, page=2000, **kwargs):
    """A page and assets of these sizes, proposed in that order."""
    site = herald(pushes={PAGE: list(sizes)}, fill=False, **kwargs)
    site.root.page(PAGE, list(sizes), page)
    site.root.write("/hello.txt", b"hello, world\n")
    for path, size in sizes.items():
        site.root.asset(path, size)
    return site


def verdicts(entry):
    return {push["path"]: push["verdict"] for push in entry.fields["push"]}


def figures(entry, path):
    """(size, budget, taken) of a candidate that was over the budget."""
    (detail,) = [push["detail"] for push in entry.fields["push"] if push["path"] == path]
    found = FIGURES.match(detail)
    assert found, detail
    return tuple(map(int, found.groups()))


# ---- the budget ----

@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_no_more_is_pushed_than_the_clients_window_takes_beside_the_page(herald, connect, tls):
    sizes = {"/a.css": 40000, "/b.js": 40000, "/c.css": 3000}
    site = budget_site(herald, sizes)
    seen = connect(site, tls=tls, connection_window=65535).visit(PAGE)
    page = len(seen.page.body)
    assert seen.paths() == ["/a.css", "/c.css"], "what comes after one that is too large may fit"
    entry = site.page_entry(PAGE)
    assert verdicts(entry) == {"/a.css": server.PUSHED, "/b.js": server.OVER_BUDGET,
                               "/c.css": server.PUSHED}
    assert entry.fields["budget"] == 65535 - page
    assert figures(entry, "/b.js") == (40000, 65535 - page, 40000)


@pytest.mark.quick
def test_what_other_responses_have_left_is_not_idle(herald, connect):
    site = budget_site(herald, {"/a.css": 3000, "/b.css": 3000})
    site.root.write("/large.bin", binary_bytes("left", 58000))
    client = connect(site, window=0, connection_window=65535)
    large = client.request("/large.bin")
    client.wait(lambda: large.status, "the HEADERS of what is left")
    client.request(PAGE)
    client.settle()
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    entry = site.page_entry(PAGE)
    page = len(site.root.read(PAGE))
    assert entry.fields["budget"] == 65535 - 58000 - page
    assert verdicts(entry) == {"/a.css": server.PUSHED, "/b.css": server.OVER_BUDGET}
    assert figures(entry, "/b.css") == (3000, 65535 - 58000 - page, 3000)


def test_a_client_without_any_window_is_pushed_nothing(herald, connect):
    site = budget_site(herald, {"/a.css": 300})
    site.root.write("/large.bin", binary_bytes("all", 65535))
    client = connect(site, connection_window=65535, manual=True)
    client.get("/large.bin")
    page = client.request(PAGE)
    client.wait(lambda: page.status, "the page's HEADERS")
    client.settle()
    assert page.promises == [] and not page.body
    client.open_window(1 << 20)
    client.wait_done(page)
    assert figures(site.page_entry(PAGE), "/a.css") == (300, 0, 0)


@pytest.mark.quick
@pytest.mark.parametrize("budget,pushed", [("off", ["/a.css", "/b.js", "/c.css"]), ("4KiB", ["/c.css"]),
                                           ("auto", ["/a.css", "/c.css"])])
def test_the_budget_is_the_configs_to_say(herald, connect, budget, pushed):
    site = budget_site(herald, {"/a.css": 40000, "/b.js": 40000, "/c.css": 3000},
                       push={"budget": budget})
    assert connect(site, connection_window=65535).visit(PAGE).paths() == pushed
    refused = {push["verdict"] for push in site.page_entry(PAGE).fields["push"]}
    assert refused <= {server.PUSHED, server.OVER_BUDGET}


@pytest.mark.quick
@pytest.mark.parametrize("value,said", [
    ('"of"', 'push.budget: expected "auto", "off" or a size from 1 to 1GiB'),
    ('"64KB"', 'nearest "64KiB"'), ("0", "from 1 to 1GiB"), ("true", "push.budget")])
def test_a_budget_that_is_none_is_refused_with_its_line(herald, value, said):
    made = herald(start=False)
    with open(made.config_path) as file:
        text = file.read()
    with open(made.config_path, "w") as file:
        file.write(text.replace("site {", "site { push = { budget = %s }," % value, 1))
    done = made.command("check")
    assert done.returncode == 1
    assert re.search(r"herald\.lua:\d+: ", done.stderr) and said in done.stderr, done.stderr


# ---- the page first ----

def order_site(herald, candidates, page=200000):
    made = herald(policies=["own.lua"], policy_files={"own.lua": policy(*candidates)}, fill=False)
    made.root.page(PAGE, [path for path, _ in candidates], page)
    for path, _ in candidates:
        made.root.asset(path, 30000)
    return made


CSS, SCRIPT, IMAGE = "/a.css", "/b.js", "/c.png"


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
@pytest.mark.parametrize("priority", [None, "u=0, i", "u=3", "u=6", "i;x=1, u=7;y"])
def test_not_even_a_pushs_headers_go_before_its_pages_end(herald, connect, tls, priority):
    """Whatever urgency the page's client asked for. All is in memory at the second visit."""
    site = order_site(herald, [(IMAGE, ""), (SCRIPT, ""), (CSS, "")])
    for _ in range(2):
        seen = connect(site, tls=tls).visit(PAGE, fields=[("priority", priority)] if priority else ())
        assert seen.paths() == [CSS, SCRIPT, IMAGE]
        assert seen.page.ended_at <= min(s.headers_at for s in seen.page.promises)
        style, script, image = map(seen.pushed.get, (CSS, SCRIPT, IMAGE))
        if priority not in ("u=6", "i;x=1, u=7;y"):    # below 7 there is nothing to tell them apart
            assert max(style.ended_at, script.ended_at) < image.first_data_at


@pytest.mark.quick
@pytest.mark.parametrize("priority,options", [
    (None, "urgency = 1"), ("u=5", "urgency = 4"), ("u=0, i", "urgency = 0")])
def test_a_policy_can_put_a_style_sheet_ahead_of_the_rest_of_its_page(herald, connect, priority,
                                                                       options):
    """Through a window that takes little at a time, so that much is decided late."""
    site = order_site(herald, [(IMAGE, ""), (CSS, options)])
    fields = [("priority", priority)] if priority else ()
    client = connect(site, connection_window=65535)
    seen = client.visit(PAGE, fields=fields)
    style = seen.pushed[CSS]
    assert style.ended_at < seen.page.last_data_at
    before = sum(length for kind, _, stream, length in client.frames[:style.ended_at]
                 if kind == DATA and stream == seen.page.id)
    assert before <= 16384, "one frame of an incremental page, none of another"
    assert IMAGE not in seen.pushed


@pytest.mark.quick
def test_a_push_that_goes_ahead_is_not_held_to_what_its_page_leaves(herald, connect):
    site = order_site(herald, [(IMAGE, ""), (CSS, "urgency = 1"), (SCRIPT, "urgency = 1")])
    seen = connect(site, connection_window=65535).visit(PAGE)
    assert seen.paths() == [CSS, SCRIPT]
    entry = site.page_entry(PAGE)
    assert entry.fields["budget"] == 0
    assert figures(entry, IMAGE) == (30000, 0, 0)


PRIORITY_UPDATE = 0x10


def ask_with_update(client, value, first, fields=()):
    """Asks for the page in one segment with a PRIORITY_UPDATE for it, which comes `first` or after."""
    client.flush = lambda: None
    page = client.request(PAGE, fields=list(fields))
    del client.flush
    payload = struct.pack(">I", page.id) + value
    update = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", PRIORITY_UPDATE, 0, 0)
    asked = client.h2.data_to_send()
    client.send_raw(update + payload + asked if first else asked + update + payload)
    client.wait_done(page)
    return page


@pytest.mark.quick
@pytest.mark.parametrize("first,field,value,ahead", [
    (True, None, b"u=5", True), (False, None, b"u=5", True), (False, "u=0", b"u=5", True),
    (True, "u=0", b"u=5", False), (False, "u=5", b"u=0", False), (False, None, b"u=4, i", True),
    (False, None, b"u=4", False)])
def test_a_priority_update_says_what_is_ahead_of_a_page_as_its_field_does(herald, connect, first,
                                                                          field, value, ahead):
    """RFC 9218 7.1. What goes ahead is not held to what the page leaves of the window, which is
    nothing; what goes behind is. The page is not in memory yet when the frame comes."""
    site = order_site(herald, [(CSS, "urgency = 4")])
    page = ask_with_update(connect(site, connection_window=65535), value, first,
                           [("priority", field)] if field else [])
    assert [pushed.path for pushed in page.promises] == ([CSS] if ahead else [])


@pytest.mark.quick
def test_priority_updates_for_more_requests_than_are_kept_harm_nothing(herald, connect):
    site = order_site(herald, [(CSS, "urgency = 4")])
    client = connect(site, connection_window=65535)
    for stream in range(3, 63, 2):
        client.send_frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + b"u=5")
    assert ask_with_update(client, b"u=5", False).promises
    assert client.get(PAGE).status == 200


@pytest.mark.quick
def test_a_push_goes_while_its_page_has_no_window(herald, connect):
    """The page has nothing ready then, so the connection is idle."""
    site = order_site(herald, [(CSS, "")], page=2000)
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = client.request(PAGE)
    client.wait(lambda: page.promises and page.promises[0].status, "the push's HEADERS")
    client.open_window(1 << 20, page.promises[0])
    client.wait_done(page.promises[0])
    assert not page.body
    client.open_window(1 << 20, page)
    client.wait_done(page)
    assert bytes(page.body) == site.root.read(PAGE)


@pytest.mark.quick
@pytest.mark.parametrize("fields", [[("priority", "u=0, i")], []], ids=["chromium", "plain"])
def test_once_its_page_is_out_a_style_sheet_does_not_starve_behind_pictures(herald, connect, fields):
    """A client can't ask for a push more urgently, so it ranks as if it had been asked for."""
    site = order_site(herald, [(CSS, "")], page=2000)
    for n in range(4):
        site.root.asset("/%d.png" % n, 30000)
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = client.request(PAGE, fields=fields)
    client.wait(lambda: page.promises and page.promises[0].status, "the push's HEADERS")
    client.open_window(1 << 20, page)
    client.wait_done(page)
    images = [client.request("/%d.png" % n, fields=[("priority", "u=3, i")] if fields else [])
              for n in range(4)]
    client.wait(lambda: all(image.status for image in images), "the images' HEADERS")
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page.promises[0], *images)
    (style,) = page.promises
    before = [image for image in images if image.first_data_at < style.ended_at]
    assert not before


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("fields", [[("priority", "u=0, i")], []], ids=["chromium", "plain"])
def test_a_style_sheet_whose_page_was_reset_does_not_starve_behind_pictures(herald, connect, fields):
    """It ranks as it would if its page were out."""
    site = order_site(herald, [(CSS, "")], page=2000)
    for n in range(4):
        site.root.asset("/%d.png" % n, 30000)
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = client.request(PAGE, fields=fields)
    client.wait(lambda: page.promises and page.promises[0].status, "the push's HEADERS")
    client.reset(page)
    images = [client.request("/%d.png" % n, fields=[("priority", "u=3, i")] if fields else [])
              for n in range(4)]
    client.wait(lambda: all(image.status for image in images), "the images' HEADERS")
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    (style,) = page.promises
    client.wait_done(style, *images)
    assert bytes(style.body) == site.root.read(CSS)
    assert not [image for image in images if image.first_data_at < style.ended_at]


# ---- decisions take effect within one send ----

def is_asleep(pid):
    """Whether the process waits; one that would run, and gets no processor, does not."""
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "S"


def stalled(herald, connect, tls, **kwargs):
    """A client that takes nothing of a push of 32 MiB; all queues to it are full. Returns it with the
    push and the bytes on the way to it, what its TLS may hold included."""
    size = 32 << 20
    site = budget_site(herald, {"/huge.bin": 300}, push={"max_bytes": "64MiB", "budget": "off"},
                       workers=1)
    site.root.write("/huge.bin", binary_bytes("huge", size))
    client = connect(site, tls=tls, rcvbuf=32768, window=WINDOW_MAX, connection_window=WINDOW_MAX,
                     **kwargs)
    page = client.request(PAGE)
    client.wait(lambda: page.promises and page.promises[0].body, "the first DATA of the push")
    levels = []

    def full():
        waits = all(is_asleep(pid) for pid in site.workers())
        levels.append(site.in_flight(client.local_port) if waits else None)
        return len(levels) > 20 and levels[-1] and len(set(levels[-20:])) == 1
    server.wait_until(full, 10, "full sockets")
    connect(site).get("/hello.txt")      # for a second it is in memory: no disk is waited for
    return client, page.promises[0], levels[-1] + (RECORD if tls else 0)


@pytest.mark.alone
@pytest.mark.quick
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_little_is_queued_for_a_client_that_reads_slowly(herald, connect, tls):
    _, _, queued = stalled(herald, connect, tls)
    assert queued <= 2 * 32768 + UNSENT + SEND + (RECORD if tls else 0), "not the megabytes that a socket's buffer takes"


@pytest.mark.alone
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_cancel_takes_effect_within_one_send(herald, connect, tls):
    client, push, queued = stalled(herald, connect, tls)
    held = len(client._input)
    client.reset(push)
    assert bytes(client.get("/hello.txt").body) == b"hello, world\n"
    client.settle()
    assert push.octets_after_cancel <= queued + held + SEND


@pytest.mark.alone
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_what_is_asked_for_overtakes_a_push_within_one_send(herald, connect, tls):
    client, push, queued = stalled(herald, connect, tls)
    had = len(push.body) + len(client._input)
    asked = client.get("/hello.txt")
    assert bytes(asked.body) == b"hello, world\n"
    came = sum(length for kind, _, stream, length in client.frames[:asked.ended_at]
               if kind == DATA and stream == push.id)
    assert came - had <= queued + SEND


# ---- clients that refuse pushes ----

@pytest.mark.quick
@pytest.mark.parametrize("code", [CANCEL, REFUSED_STREAM], ids=["cancel", "refused"])
def test_half_of_a_connections_pushes_refused_switch_push_off_for_it(herald, connect, code):
    pages = {"/one.html": ["/%d.css" % n for n in range(6)],
             "/two.html": ["/%d.js" % n for n in range(4)], "/three.html": ["/x.css", "/y.css"]}
    site = herald(pushes=pages)
    for path, assets in pages.items():
        site.root.page(path, assets, 1000)
        for asset in assets:
            site.root.asset(asset, 900)
    client = connect(site, window=0, connection_window=WINDOW_MAX)
    page = client.request("/one.html")
    client.wait(lambda: len(page.promises) == 6, "the promises")
    for stream in page.promises[:2]:
        client.reset(stream, code)
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    more = client.visit("/two.html")     # two of six were refused: not half of them
    assert len(more.pushed) == 4
    for stream in list(more.pushed.values())[:3]:
        # After they came whole: that counts as well.
        client.send_frame(RST_STREAM, 0, stream.id, struct.pack(">I", code))
    client.settle()
    assert client.visit("/three.html").pushed == {}
    entry = site.page_entry("/three.html")
    assert set(verdicts(entry).values()) == {server.PUSH_OFF}
    assert "half of its pushes" in entry.fields["push_off"]
    assert len(connect(site).visit("/three.html").pushed) == 2, "another connection may have it"
