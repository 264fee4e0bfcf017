"""Pages of an origin: what goes out while it thinks, and what is left when it fails."""
import contextlib
import os
import re
import subprocess
import threading

import pytest

import chromium
import server
from curl import curl
from early import (CSS, EARLY, FIRST_AND_LATE, FONT, JS, NAVIGATION, PAGE, finish, hints, is_held, link,
                   make, origin, policy, promised, wait_hinted, wait_pushed)  # noqa: F401
from h2client import ENABLE_PUSH, Cookies
from versions import Versions

pytestmark = pytest.mark.quick


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
