"""Pages of an origin: what goes out while it thinks, what its own hints add, and what is left when it
fails. The origin here thinks until the test lets it answer, so that `early` is no matter of time."""
import contextlib
import os
import re
import subprocess
import threading

import pytest

import chromium
import server
from curl import curl
from h2client import ENABLE_PUSH, Cookies
from thinking import Origin
from versions import Versions

pytestmark = pytest.mark.quick
PAGE = "/app/page"
CSS, JS, FONT = "/assets/light.css", "/assets/light.js", "/assets/text.woff2"
NAVIGATION = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]


def policy(request="", response="", more=""):
    """A policy with these bodies of hooks."""
    return """return { api = 1, %s
on_request = function(req, push) %s end,
on_response = function(req, res, push) %s end }
""" % (more, request, response)


EARLY = policy('push:add("%s") push:add("%s")' % (CSS, JS))
LATE = policy(response='if res.status == 200 then push:add("%s") push:add("%s") end' % (CSS, JS))
FIRST_AND_LATE = policy('push:add("%s")' % CSS,
                        'if res.status == 200 then push:add("%s") push:add("%s") end' % (CSS, JS))


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


@pytest.fixture
def make(herald, origin):
    """Makes a herald whose files are as in other tests, with an origin for /app/*."""
    def make_site(source=None, policies=None, route=None, **kwargs):
        files = {"own.lua": source} if source else {}
        routes = {"/app/*": dict({"origin": origin.url}, **(route or {}))}
        site = dict({"routes": routes}, **kwargs.pop("site", {}))
        return herald(policies=policies or (["own.lua"] if source else []), policy_files=files,
                      site=site, **kwargs)
    return make_site


def link(path, kind="style"):
    return "<%s>; rel=preload; as=%s" % (path, kind)


def hints(stream):
    """What each of its 103s names: a list of links for each."""
    assert all(status == 103 for status, _ in stream.informational)
    return [[part for name, value in fields if name == "link" for part in value.split(", ")]
            for _, fields in stream.informational]


def promised(page):
    return [stream.path for stream in page.promises]


def wait_pushed(client, page, *paths):
    """Waits until these are promised on the page, and complete."""
    client.wait(lambda: promised(page) == list(paths), "promises of %s" % (paths,))
    client.wait_done(*page.promises)


def wait_hinted(client, page, count=1):
    client.wait(lambda: len(page.informational) >= count, "%d 103s" % count)


def finish(client, page):
    client.wait_done(page)
    assert page.reset is None
    return page


# ---- pushes ----

@pytest.mark.asan
@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_promises_and_content_arrive_while_the_origin_thinks(make, connect, origin, tls):
    site = make(EARLY)
    client = connect(site, tls=tls)
    page = client.request(PAGE)
    asked = origin.wait()
    wait_pushed(client, page, CSS, JS)
    assert page.status is None
    for stream in page.promises:
        assert bytes(stream.body) == site.root.read(stream.path)
    asked.answer(b"<p>late</p>")
    finish(client, page)
    assert (page.status, bytes(page.body)) == (200, b"<p>late</p>")
    assert all(stream.ended_at < page.headers_at for stream in page.promises)
    assert site.page_entry(PAGE).pushes == [(CSS, server.PUSHED), (JS, server.PUSHED)]


def test_what_the_response_adds_is_promised_before_its_headers(make, connect, origin):
    site = make(FIRST_AND_LATE)
    client = connect(site)
    page = client.request(PAGE)
    asked = origin.wait()
    wait_pushed(client, page, CSS)
    asked.answer()
    finish(client, page)
    client.wait_done(*page.promises)
    assert promised(page) == [CSS, JS]
    assert page.promises[1].promised_at < page.headers_at
    # By the order of the wire the page goes first once it is there.
    assert page.headers_at < page.promises[1].first_data_at
    assert site.page_entry(PAGE).pushes == [(CSS, server.PUSHED), (JS, server.PUSHED)]


def test_the_response_is_seen_as_the_origin_gave_it(make, connect, origin):
    seen = """log.info("seen", { status = res.status, mime = res.mime, size = res.size,
  from = res.from, etag = res.etag, ttl = res.ttl_s, cacheable = res.cacheable,
  field = res.headers["x-own"], links = #res.links, rel = res.links[2].rel,
  path = res.links[2].path, crossorigin = res.links[2].crossorigin })"""
    site = make(policy(response=seen))
    client = connect(site)
    page = client.request(PAGE)
    origin.wait().answer(b"x" * 20, mime="text/html; charset=utf-8", fields=[
        ("ETag", '"e"'), ("Cache-Control", "max-age=30"), ("X-Own", "yes"),
        ("Link", "</a.css>; rel=preload"), ("Link", '<b.woff2>; rel="Preload"; crossorigin')])
    finish(client, page)
    line = site.wait_error(r"policy own\.lua: ")
    for part in ('"status":200', '"mime":"text/html"', '"size":20', '"from":"origin"', '"ttl":30',
                 r'"etag":"\"e\""', '"cacheable":true', '"field":"yes"', '"links":2',
                 '"rel":"preload"', '"path":"/app/b.woff2"', '"crossorigin":true'):
        assert part in line, (part, line)


def test_the_stock_policy_pushes_what_the_origins_link_fields_name(make, connect, origin):
    site = make(policies=["preload"])
    client = connect(site)
    page = client.request(PAGE)
    origin.wait().answer(fields=[("Link", link(CSS) + ", <%s>; rel=preload; as=script; nopush" % JS)])
    finish(client, page)
    client.wait_done(*page.promises)
    assert promised(page) == [CSS]
    assert page.promises[0].promised_at < page.headers_at
    assert site.page_entry(PAGE).pushes == [(CSS, server.PUSHED), (JS, "hinted")]
    # What the response names itself is not named again.
    assert page.all("link") == [link(CSS) + ", <%s>; rel=preload; as=script; nopush" % JS]


def test_no_more_is_pushed_than_the_site_allows_in_both_rounds_together(make, connect, origin):
    site = make(FIRST_AND_LATE, route={"push": {"max_streams": 1}})
    client = connect(site, window=0)
    page = client.request(PAGE)
    asked = origin.wait()
    client.wait(lambda: promised(page) == [CSS], "the first promise")
    asked.answer()
    client.open_window(1 << 16, page)
    finish(client, page)
    client.settle()
    assert promised(page) == [CSS]
    assert site.page_entry(PAGE).verdict(JS) == server.MAX_STREAMS


def test_what_on_request_sent_cannot_be_skipped_any_more(make, connect, origin):
    site = make(policy('push:add("%s")' % CSS,
                       'local ok, why = push:skip("%s") log.info(tostring(ok) .. " " .. why)' % CSS))
    client = connect(site)
    page = client.request(PAGE)
    asked = origin.wait()
    wait_pushed(client, page, CSS)
    asked.answer()
    finish(client, page)
    site.wait_error(r"false pushed")
    assert site.page_entry(PAGE).verdict(CSS) == server.PUSHED


# ---- 103 ----

def test_a_103_goes_out_while_the_origin_thinks_and_is_repeated(make, connect, origin):
    site = make(FIRST_AND_LATE)
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    wait_hinted(client, page)
    assert page.status is None
    assert hints(page) == [[link(CSS)]]
    asked.answer()
    finish(client, page)
    assert len(page.informational) == 1      # what the response adds comes with it
    assert page.all("link") == [link(CSS) + ", " + link(JS, "script")]


def test_what_the_response_names_itself_is_not_named_twice(make, connect, origin):
    site = make(EARLY)
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    wait_hinted(client, page)
    own = "<%s>; rel=preload; as=style; integrity=x" % CSS
    asked.answer(fields=[("Link", own)])
    finish(client, page)
    assert page.all("link") == [own, link(JS, "script")]


@pytest.mark.parametrize("fields", [[], [("sec-fetch-mode", "cors")]], ids=["none", "cors"])
@pytest.mark.parametrize("source", [None, EARLY], ids=["without-policies", "with"])
def test_no_103_goes_to_what_is_no_navigation(make, connect, origin, fields, source):
    site = make(source)
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=fields)
    asked = origin.wait()
    asked.early(link(FONT, "font"))
    asked.answer()
    finish(client, page)
    assert page.informational == [] and page.all("link") == []


# ---- the origin's own 103 ----

@pytest.mark.parametrize("pushes", [False, True], ids=["no-push", "push"])
def test_an_origins_103_goes_on_to_navigations_without_any_policy(make, connect, origin, pushes):
    site = make()
    client = connect(site, settings={ENABLE_PUSH: int(pushes)})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    own = "<%s>; rel=preload; as=style; integrity=\"x,y\"" % CSS
    asked.early(own, "<https://cdn.example.net>; rel=preconnect")
    wait_hinted(client, page)
    assert page.status is None
    assert [value for _, fields in page.informational for name, value in fields if name == "link"] \
        == [own + ", <https://cdn.example.net>; rel=preconnect"]
    asked.answer()
    finish(client, page)
    assert page.all("link") == []            # it is the origin's to repeat


def test_who_joins_anothers_fetch_gets_its_103(make, connect, origin):
    site = make(workers=1)
    leader, joiner, other = [connect(site, settings={ENABLE_PUSH: 0}) for _ in range(3)]
    pages = [leader.request(PAGE, fields=NAVIGATION)]
    asked = origin.wait()
    pages.append(joiner.request(PAGE, fields=NAVIGATION))
    pages.append(other.request(PAGE))           # no navigation
    joiner.settle(), other.settle()
    asked.early(link(CSS))
    wait_hinted(leader, pages[0]), wait_hinted(joiner, pages[1])
    asked.answer(fields=[("cache-control", "max-age=60")])
    for client, page in zip((leader, joiner, other), pages):
        finish(client, page)
    assert [hints(page) for page in pages] == [[[link(CSS)]], [[link(CSS)]], []]
    assert origin.is_idle()


def test_who_joins_anothers_fetch_after_its_103_gets_it_then(make, connect, origin):
    """Each of them, in their order, and what comes afterwards as everybody."""
    site = make(workers=1)
    leader, joiner, other = [connect(site, settings={ENABLE_PUSH: 0}) for _ in range(3)]
    pages = [leader.request(PAGE, fields=NAVIGATION)]
    asked = origin.wait()
    asked.early(link(CSS))
    asked.early(link(JS))
    wait_hinted(leader, pages[0], 2)
    pages.append(joiner.request(PAGE, fields=NAVIGATION))
    pages.append(other.request(PAGE))           # no navigation
    wait_hinted(joiner, pages[1], 2)
    other.settle()
    asked.early(link("/late.css"))
    wait_hinted(leader, pages[0], 3), wait_hinted(joiner, pages[1], 3)
    asked.answer(fields=[("cache-control", "max-age=60")])
    for client, page in zip((leader, joiner, other), pages):
        finish(client, page)
    said = [[link(CSS)], [link(JS)], [link("/late.css")]]
    assert [hints(page) for page in pages] == [said, said, []]
    assert origin.is_idle()


def test_a_103_for_credentials_is_for_nobody_else(make, connect, origin):
    site = make(workers=1)
    leader, joiner = [connect(site, settings={ENABLE_PUSH: 0}) for _ in range(2)]
    own = leader.request(PAGE, fields=NAVIGATION + [("cookie", "who=me")])
    asked = origin.wait()
    other = joiner.request(PAGE, fields=NAVIGATION)
    joiner.settle()
    asked.early(link(CSS))
    wait_hinted(leader, own)
    asked.answer(fields=[("cache-control", "public, max-age=60")])
    finish(leader, own), finish(joiner, other)
    assert origin.is_idle()
    assert hints(own) == [[link(CSS)]] and hints(other) == []


def test_an_origins_103_adds_only_what_was_not_said_before(make, connect, origin):
    site = make(EARLY)
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    wait_hinted(client, page)
    asked.early(link(CSS), link(FONT, "font") + "; crossorigin")
    wait_hinted(client, page, 2)
    asked.early(link(FONT, "font") + "; crossorigin")
    asked.early(link(JS, "script"), "<https://cdn.example.net>; rel=preconnect")
    wait_hinted(client, page, 3)
    asked.answer()
    finish(client, page)
    assert hints(page) == [[link(CSS), link(JS, "script")], [link(FONT, "font") + "; crossorigin"],
                           ["<https://cdn.example.net>; rel=preconnect"]]
    assert page.all("link") == [link(CSS) + ", " + link(JS, "script")]


def test_what_a_policy_makes_of_an_origins_103_goes_out_in_one_with_it(make, connect, origin):
    adds = 'if res.status == 103 then push:add(res.links[1].path) push:add("%s") end' % JS
    site = make(policy(response=adds))
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    asked.early(link(CSS) + "; integrity=x")
    wait_hinted(client, page)
    assert hints(page) == [[link(CSS) + "; integrity=x", link(JS, "script")]]
    asked.answer()
    finish(client, page)
    assert page.all("link") == [link(CSS) + ", " + link(JS, "script")]


@pytest.mark.asan
def test_an_origins_103_is_pushed_while_it_thinks_on(make, connect, origin):
    site = make(policies=["preload"])
    client = connect(site)
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    asked.early(link(CSS), link(JS, "script") + "; nopush")
    wait_pushed(client, page, CSS)
    wait_hinted(client, page)
    assert page.status is None
    assert hints(page) == [[link(JS, "script") + "; nopush"]]     # not what is pushed
    asked.answer(fields=[("Link", link(CSS))])
    finish(client, page)
    assert promised(page) == [CSS]
    assert site.page_entry(PAGE).pushes == [(CSS, server.PUSHED), (JS, "hinted")]


@pytest.mark.parametrize("all_the_same", [False, True], ids=["left-out", "hint_held"])
def test_what_the_client_holds_is_taken_out_of_an_origins_103(make, connect, origin, all_the_same):
    site = make(EARLY, site={"push": {"hint_held": all_the_same}})
    cookies = Cookies()
    client = connect(site, cookies=cookies)
    for _ in range(2):                       # the first answer brings the cookie
        page = client.request(PAGE)
        origin.wait().answer()
        finish(client, page)
        client.wait_done(*page.promises)
    server.wait_until(lambda: is_held(client, origin), 5, "the style sheet is held")
    browser = connect(site, settings={ENABLE_PUSH: 0}, cookies=cookies)
    page = browser.request("/app/else", fields=NAVIGATION)
    asked = origin.wait()
    asked.early(link("/assets/light.css"), link(FONT, "font"))
    asked.answer()
    finish(browser, page)
    named = [part for one in hints(page) for part in one]
    assert (link(CSS) in named) == all_the_same
    assert link(FONT, "font") in named


def is_held(client, origin):
    page = client.request(PAGE)
    origin.wait().answer()
    finish(client, page)
    client.wait_done(*page.promises)
    return not page.promises


@pytest.mark.asan
@pytest.mark.parametrize("text", [
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: <\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: ,,,\r\nX-Other: </a.css>; rel=preload\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </%s>; rel=preload\r\n\r\n" % ("a" * 5000),
    "HTTP/1.1 102 Processing\r\nLink: </a.css>; rel=preload\r\n\r\n",
], ids=["empty", "malformed", "no-links", "too-long", "102"])
def test_what_an_origins_103_cannot_say_is_left_out(make, connect, origin, text):
    site = make(policies=["preload"])
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    asked.send(text)
    asked.answer()
    finish(client, page)
    assert page.status == 200 and page.informational == []


@pytest.mark.asan
def test_of_many_103s_the_first_four_go_on(make, connect, origin):
    site = make()
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    for number in range(6):
        asked.early(link("/assets/%d.css" % number))
    asked.answer()
    finish(client, page)
    assert hints(page) == [[link("/assets/%d.css" % number)] for number in range(4)]


# ---- when the answer is no page ----

@pytest.mark.asan
@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_page_asks_no_policy_and_names_nothing(make, connect, origin, status):
    site = make(policy('push:hint("%s")' % CSS, 'log.info("asked of " .. res.status)'))
    client = connect(site, settings={ENABLE_PUSH: 0})
    page = client.request(PAGE, fields=NAVIGATION)
    asked = origin.wait()
    wait_hinted(client, page)
    asked.answer(status=status, fields=[("Location", "/app/else")] if status == 302 else [])
    finish(client, page)
    assert page.status == status and page.all("link") == []
    assert site.page_entry(PAGE).status == status
    assert not any("asked of" in line for line in site.err)


@pytest.mark.asan
def test_when_the_origin_fails_what_was_pushed_is_still_the_clients(make, connect, origin):
    site = make(EARLY)
    cookies = Cookies()
    client = connect(site, cookies=cookies)
    page = client.request(PAGE)              # its answer brings the cookie
    origin.wait().answer()
    finish(client, page)
    other = connect(site, cookies=cookies)
    source = other.request("/app/other")
    asked = origin.wait()
    other.settle()
    asked.close()

    def has_failed():                        # a kept connection's request is sent once more
        if not origin.is_idle():
            origin.wait().close()
        return source.done
    other.wait(has_failed, "an answer")
    assert source.status == 502
    other.wait_done(*source.promises)
    server.wait_until(lambda: is_held(other, origin), 5, "what was pushed is held")


@pytest.mark.asan
@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_client_that_goes_while_the_origin_thinks_leaves_nothing_behind(make, connect, origin,
                                                                         how):
    site = make(EARLY)
    cookies = Cookies()
    first = connect(site, cookies=cookies)
    page = first.request("/app/first")
    asked = origin.wait()
    wait_pushed(first, page, CSS, JS)
    asked.answer()
    finish(first, page)
    client = connect(site, cookies=Cookies(), window=0)      # pushes can't complete
    page = client.request(PAGE)
    asked = origin.wait()
    client.wait(lambda: promised(page) == [CSS, JS], "promises")
    if how == "reset":
        client.reset(page)
        for stream in page.promises:
            client.reset(stream)
    else:
        client.close()
    asked.wait_gone()
    assert site.page_entry(PAGE).status == 0
    again = connect(site)
    page = again.request("/app/again")
    asked = origin.wait()
    wait_pushed(again, page, CSS, JS)
    asked.answer()
    finish(again, page)


def test_what_is_still_looked_for_when_the_answer_is_an_error_is_left_out(make, connect, origin):
    site = make(policy('push:add("/app/slow.css", { fetch = true })'))
    client = connect(site)

    def verdict(number):
        """Of a style sheet that the origin thinks about longer than about the page."""
        path = "/app/page%d" % number
        page = client.request(path)
        asked = {}
        while path not in asked or ("/app/slow.css" not in asked and number == 0):
            request = origin.wait()
            asked[request.target] = request
        asked[path].answer(status=500)
        finish(client, page)
        assert page.status == 500 and page.promises == []
        return site.page_entry(path).verdict("/app/slow.css")
    # A candidate is not waited for as long as one likes: on a slow machine the first try is late.
    assert "no_page" in [verdict(number) for number in range(5)]


def test_a_head_and_a_post_push_nothing(make, connect, origin):
    site = make(EARLY)
    client = connect(site)
    for method in ("HEAD", "POST"):
        page = client.request(PAGE, method=method)
        origin.wait().answer(b"" if method == "HEAD" else b"done")
        finish(client, page)
        assert page.status == 200 and page.promises == []


# ---- who is held out, who is shown what ----

def test_who_is_held_out_gets_nothing_early(make, connect, origin):
    site = make(EARLY, route={"push": {"holdout": 1}})
    client = connect(site)
    page = client.request(PAGE)
    asked = origin.wait()
    client.settle()
    asked.answer()
    finish(client, page)
    assert page.promises == [] and page.informational == []
    assert site.page_entry(PAGE).pushes == [(CSS, server.HOLDOUT), (JS, server.HOLDOUT)]


def test_explain_tells_what_goes_out_early_and_that_no_origin_is_asked(make, origin):
    site = make(FIRST_AND_LATE)
    done = site.command("explain", "https://localhost%s" % PAGE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "GET https://localhost" + PAGE
    assert CSS in done.stdout and "the origin is not asked" in done.stdout
    assert JS not in done.stdout
    assert origin.is_idle()


def test_a_shadow_has_the_rounds_of_its_page(make, connect, origin):
    site = make(FIRST_AND_LATE, workers=1)
    small = ["/assets/one.css", "/assets/two.css"]
    for path in small:
        site.root.asset(path, 500)
    own = Versions.__new__(Versions)
    own.site = site
    own.load(policy('push:add("%s")' % CSS, """push:add("%s")
if res.status == 103 then push:add(res.links[1].path) end""" % small[0]))
    own.ask("shadow", "v2")
    visitor = connect(site)                  # every file has been looked for once
    for path in [CSS, JS, *small]:
        visitor.get(path)
    client = connect(site)
    page = client.request(PAGE)
    asked = origin.wait()
    wait_pushed(client, page, CSS)
    asked.early(link(small[1]))
    asked.answer()
    finish(client, page)
    assert promised(page) == [CSS, JS]
    server.wait_until(lambda: (own.version(2) or {}).get("compared"), 5, "the page to be compared")
    said = own.run("show", "v2").stdout
    told = sorted(re.search(r" /app/page: (.*)$", said, re.MULTILINE).group(1).split(", "))
    assert told == sorted(["- %s pushed" % JS] + ["+ %s pushed" % path for path in small])


# ---- other clients ----

@pytest.mark.parametrize("path", [PAGE, "/light.html"], ids=["origin", "file"])
def test_over_http_1_the_same_is_in_the_link_field_and_no_103(make, origin, path):
    site = make(FIRST_AND_LATE)

    def answer():
        asked = origin.wait()
        asked.early(link(FONT, "font"))
        asked.answer()
    thread = threading.Thread(target=answer)
    if path == PAGE:
        thread.start()
    answer = curl(site, path, fields=["%s: %s" % field for field in NAVIGATION], http="--http1.1")
    if path == PAGE:
        thread.join()
    assert (answer.status, answer.version, answer.informational) == (200, "1.1", [])
    assert answer.field("link") == link(CSS) + ", " + link(JS, "script")


def test_curl_sees_the_103_and_then_the_page(make, origin):
    site = make(EARLY)

    def answer():
        asked = origin.wait()
        asked.early(link(FONT, "font"))
        asked.answer(b"<p>late</p>")
    thread = threading.Thread(target=answer)
    thread.start()
    answer = curl(site, PAGE, fields=["%s: %s" % field for field in NAVIGATION])
    thread.join()
    assert answer.status == 200 and answer.body == b"<p>late</p>"
    assert [status for _, status, _ in answer.informational] == [103, 103]


# ---- Chromium, and an application in Node ----

@contextlib.contextmanager
def application(wait_ms, *links):
    """tests/e2e/origin.mjs: its URL."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "origin.mjs")
    process = subprocess.Popen(["node", script, str(wait_ms), *links], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield "http://%s:%d" % (server.ADDRESS, int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(timeout=server.patience(5))
        process.stdout.close()


@pytest.mark.skipif(not chromium.PROGRAM, reason="chromium is not installed")
@pytest.mark.parametrize("links", [(), (link(JS, "script"),)], ids=["ours", "merged"])
def test_chromium_fetches_what_is_hinted_before_the_pages_response_is_there(herald, links):
    with application(600, *links) as url:
        site = herald(policies=["own.lua"],
                      policy_files={"own.lua": EARLY if not links else
                                    policy(response='push:add("%s")' % CSS)},
                      site={"cache_control": "public, max-age=3600",
                            "routes": {"/app/*": {"origin": url}}})
        with chromium.Chromium(certificate=site.ca) as browser:
            browser.timings(site.url("/hello.txt"), fresh=True)  # it is not all there at first
            # Nor does Chromium follow a 103 each time: one is sent each time, and early.
            assert any(early_visit(site, browser) for _ in range(5))


def early_visit(site, browser):
    """Loads the page as a new client. Returns whether Chromium fetched the assets before it."""
    before = len(site.log())
    navigation, resources = browser.timings(site.url(PAGE), fresh=True)
    assert 0 < navigation["firstInterimResponseStart"] < navigation["finalResponseHeadersStart"] - 200
    entries = {entry["name"]: entry for entry in resources}
    kinds = {entries[site.url(path)]["initiatorType"] for path in (CSS, JS)}
    server.wait_until(lambda: PAGE in [line.path for line in site.log()[before:]], 5, "its line")
    # The log has a line when a response is complete: the assets' come before the page's.
    order = [line.path for line in site.log()[before:]]
    return kinds == {"early-hints"} and set(order[:2]) == {CSS, JS} and order[2] == PAGE
