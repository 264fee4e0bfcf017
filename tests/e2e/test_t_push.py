"""Pushing from the cache: what an origin answered for everyone is pushed with the pages of its site,
as files are; nothing else of an origin ever is."""
import gzip
import json
import subprocess
import zlib

import pytest

import server
from cache_origin import Answer, CacheOrigin
from h2client import Cookies

pytestmark = [pytest.mark.quick, pytest.mark.asan]
FRESH = "public, max-age=600"
PAGE = "<!doctype html><title>t</title>"


@pytest.fixture
def proxied(herald):
    """As in test_t_cache.py; `pages` tells what is proposed with which page."""
    origins = []

    def start(answers, pages=None, fetch=False, policies=None, **kwargs):
        origin = CacheOrigin(answers)
        origins.append(origin)
        kwargs.setdefault("workers", 1)
        if pages:
            source = server.push_policy(pages)
            if fetch:
                source = source.replace("push:add(path)", "push:add(path, { fetch = true })")
            kwargs.update(policy_files={"pages.lua": source})
            policies = ["pages.lua"]
        made = herald(site={"root": None, "origin": origin.url}, fill=False,
                      policies=policies or [], **kwargs)
        made.origin = origin
        return made

    yield start
    for origin in origins:
        origin.close()


def page(**fields):
    return Answer(PAGE, content_type="text/html", **fields)


def test_what_is_cached_is_pushed_byte_for_byte_as_a_get_returns_it(proxied, connect):
    body = bytes(i * 5 >> 2 & 255 for i in range(30000))
    site = proxied({"/": page(), "/a.css": Answer(body, cache_control=FRESH, etag='"1"',
                                                  content_type="text/css", x_own="1")},
                   {"/": ["/a.css"]})
    asked = connect(site).get("/a.css")
    visit = connect(site).visit("/")
    assert visit.paths() == ["/a.css"]
    pushed = visit.pushed["/a.css"]
    assert pushed.status == 200 and bytes(pushed.body) == bytes(asked.body) == body
    for name in ("content-type", "content-length", "etag", "cache-control", "x-own", "date"):
        assert pushed.field(name) == asked.field(name), name
    assert site.origin.count("/a.css") == 1
    assert bytes(visit.page.body) == PAGE.encode()


def test_what_is_not_cached_is_not_promised(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("x", cache_control=FRESH)}, {"/": ["/a.css"]})
    assert connect(site).visit("/").paths() == []
    assert site.page_entry("/").verdict("/a.css") == "not_cached"
    assert site.origin.count("/a.css") == 0


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("etag", ['"1"', None], ids=["tag", "content"])
def test_with_fetch_the_origin_is_asked_for_what_is_not_cached(proxied, connect, chunked, etag):
    site = proxied({"/": page(), "/a.css": Answer("body {}", cache_control=FRESH, etag=etag,
                                                  chunked=chunked)},
                   {"/": ["/a.css"]}, fetch=True)
    visit = connect(site).visit("/", fields=[("cookie", "secret=1"), ("accept-encoding", "br")])
    assert visit.paths() == ["/a.css"]
    assert bytes(visit.pushed["/a.css"].body) == b"body {}"
    asked = site.origin.last("/a.css")
    assert "cookie" not in asked and asked["accept-encoding"] == "br"
    assert connect(site).visit("/", fields=[("accept-encoding", "br")]).paths() == ["/a.css"]
    assert site.origin.count("/a.css") == 1


def test_pushes_go_out_while_the_origin_still_makes_the_page(proxied, connect):
    answer = page(hold=True)
    site = proxied({"/": answer, "/a.css": Answer("body {}", cache_control=FRESH)},
                   {"/": ["/a.css"]})
    connect(site).get("/a.css")
    client = connect(site)
    stream = client.request("/")
    client.wait(lambda: stream.promises and stream.promises[0].ended, "the push, before its page")
    assert stream.status is None
    answer.release.set()
    client.wait_done(stream)
    assert bytes(stream.body) == PAGE.encode()


def test_what_the_client_holds_is_pushed_again_only_when_it_changed_at_the_origin(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("old", cache_control="public, max-age=1, "
                                                  "stale-if-error=0", etag='"1"')},
                   {"/": ["/a.css"]}, fetch=True)
    site.origin.answers["/a.css"] = Answer("old", cache_control=FRESH, etag='"1"')
    client = connect(site, cookies=Cookies())
    assert client.visit("/").paths() == ["/a.css"]
    client.settle()
    server.wait_until(lambda: client.visit("/").paths() == [], 5, "the push to be held")
    entry = site.page_entry("/", 2)
    assert entry.verdict("/a.css") in (server.HELD, server.ELSEWHERE)
    site.origin.answers["/a.css"] = Answer("new", cache_control=FRESH, etag='"2"')
    posted = client.request("/a.css", method="POST", fields=[("content-length", "0")])
    client.wait_done(posted)             # so the cache asks again
    visit = client.visit("/")
    assert visit.paths() == ["/a.css"]
    assert bytes(visit.pushed["/a.css"].body) == b"new"


def test_what_the_client_asked_for_itself_is_held_as_if_pushed(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("x", cache_control=FRESH, etag='"1"')},
                   {"/": ["/a.css"]})
    client = connect(site)
    client.get("/a.css")
    client.settle()
    server.wait_until(lambda: client.visit("/").paths() == [], 5, "the asset to be held")
    site.wait_log(lambda e: e.verdict("/a.css") == server.HELD)


@pytest.mark.parametrize("fields", [
    {"cache_control": "private, max-age=600"}, {"cache_control": "no-store"},
    {"cache_control": FRESH, "set_cookie": "a=b"}, {"cache_control": FRESH, "vary": "Cookie"},
    {"cache_control": "max-age=0, s-maxage=600"}, {"cache_control": "no-cache", "etag": '"1"'},
    {"cache_control": FRESH, "status": 404}, {"cache_control": FRESH, "status": 500}],
    ids=["private", "no-store", "set-cookie", "vary", "stale", "no-cache", "404", "500"])
def test_what_is_not_for_everyone_to_keep_is_never_pushed(proxied, connect, fields):
    site = proxied({"/": page(), "/a.css": Answer("x", **fields)}, {"/": ["/a.css"]}, fetch=True)
    for _ in range(3):
        client = connect(site)
        client.get("/a.css")
        visit = client.visit("/")
        assert visit.paths() == []
        assert visit.page.status == 200


def test_what_was_kept_for_credentials_is_not_pushed_to_others(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("x", cache_control="max-age=600")},
                   {"/": ["/a.css"]})
    connect(site).get("/a.css", fields=[("cookie", "session=1")])
    connect(site).get("/a.css", fields=[("authorization", "Basic eA==")])
    assert connect(site).visit("/").paths() == []


def test_an_asset_that_fails_at_the_origin_costs_its_page_nothing(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("x" * 5000, cache_control=FRESH, cut=100)},
                   {"/": ["/a.css", "/b.css"]}, fetch=True)
    client = connect(site)
    stream = client.request("/")
    client.wait_done(stream)
    assert (stream.status, bytes(stream.body)) == (200, PAGE.encode())
    for pushed in stream.promises:
        client.wait_done(pushed)
        assert pushed.reset is not None, "half an asset was ended as if it were whole"
    assert connect(site).get("/").status == 200


def test_a_slow_asset_does_not_hold_up_its_page(proxied, connect):
    slow = Answer("x", cache_control=FRESH, hold=True)
    site = proxied({"/": page(), "/a.css": slow}, {"/": ["/a.css"]}, fetch=True)
    client = connect(site)
    assert bytes(client.get("/").body) == PAGE.encode()
    slow.release.set()
    server.wait_until(lambda: connect(site).visit("/").paths() == ["/a.css"], 5,
                      "what was fetched meanwhile to be pushed with the next page")
    assert site.origin.count("/a.css") == 1


def test_clients_that_take_hints_are_told_of_what_is_not_cached_too(proxied, connect):
    site = proxied({"/": page(), "/a.css": Answer("x", cache_control=FRESH)}, {"/": ["/a.css"]})
    client = connect(site, settings={server_push(): 0})
    stream = client.get("/", fields=[("sec-fetch-mode", "navigate"),
                                     ("sec-fetch-dest", "document")])
    assert [status for status, _ in stream.informational] == [103]
    assert "</a.css>" in dict(stream.informational[0][1])["link"]


def server_push():
    from h2client import ENABLE_PUSH
    return ENABLE_PUSH


def test_policies_see_where_an_answer_came_from(proxied, connect):
    source = """return { api = 1, on_response = function(req, res, push)
      log.info("from", { from = res.from })
    end }"""
    site = proxied({"/": page(cache_control=FRESH), "/own": page(cache_control="private")},
                   policies=["from.lua"], policy_files={"from.lua": source})
    client = connect(site)
    for number, (target, origin) in enumerate((("/", "origin"), ("/", "cache"),
                                               ("/own", "origin"))):
        since = len(site.err)
        client.get(target)
        site.wait_error(r'"from": ?"%s"' % origin, since=since)


# ---- what pages reference ----

HTML = """<!doctype html><html><head><title>t</title><link rel="stylesheet" href="/a.css">
<script src="/b.js"></script></head><body><p>text</p></body></html>"""
ASSETS = {"/a.css": Answer("body {}", cache_control=FRESH, content_type="text/css"),
          "/b.js": Answer("1", cache_control=FRESH, content_type="text/javascript")}


def html(body=HTML, **fields):
    return Answer(body, content_type="text/html; charset=utf-8", **fields)


def brotli(data):
    return subprocess.run(["brotli", "-c", "-"], input=data, stdout=subprocess.PIPE, check=True).stdout


CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "br": brotli}
DECODERS = ("gzip", "br")
LONG = "".join("<p>%d</p>" % n for n in range(10000))         # takes several slices to read


def coded(coding, text=HTML + LONG, **fields):
    return html(CODINGS[coding](text.encode()), content_encoding=coding, **fields)


def skip_unless_known(answer):
    if ("content-encoding", "br") in answer.fields and not server.built_with("BROTLI"):
        pytest.skip("herald was built without libbrotli")


def pages_read(site):
    return json.loads(site.command("status", "--json").stdout)["counters"]["pages_read"]


@pytest.mark.parametrize("answer", [html(), html(chunked=True), html(cache_control=FRESH)]
                         + [coded(coding) for coding in CODINGS],
                         ids=["plain", "chunked", "cached", *CODINGS])
def test_scan_pushes_what_a_proxied_page_referenced_when_it_was_last_answered(proxied, connect,
                                                                             answer):
    skip_unless_known(answer)
    site = proxied({"/": answer, **ASSETS}, policies=[{None: ["scan"], "fetch": True}])
    assert connect(site).visit("/").paths() == []
    server.wait_until(lambda: pages_read(site) == 1, 5, "the page to be read")
    visit = connect(site).visit("/")
    assert visit.paths() == ["/a.css", "/b.js"]
    assert bytes(visit.pushed["/a.css"].body) == b"body {}"


def test_without_fetch_scan_pushes_what_clients_have_asked_for(proxied, connect):
    site = proxied({"/": html(), **ASSETS}, policies=["scan"])
    client = connect(site)
    client.get("/"), client.get("/a.css")
    server.wait_until(lambda: pages_read(site) == 1, 5, "the page to be read")
    assert connect(site).visit("/").paths() == ["/a.css"]


@pytest.mark.parametrize("coding", [None, "gzip", "br"])
def test_fonts_of_a_cached_stylesheet_are_among_what_a_page_references(proxied, connect, coding):
    css = "@font-face { font-family: f; src: url(/f.woff2) } body { font-family: f }"
    style = Answer(CODINGS[coding](css.encode()) if coding else css, cache_control=FRESH,
                   content_type="text/css", content_encoding=coding)
    skip_unless_known(style)
    site = proxied({"/": html(), **ASSETS,
                    "/a.css": style,
                    "/f.woff2": Answer("font", cache_control=FRESH)},
                   policies=[{None: ["scan"], "fetch": True}])
    client = connect(site)
    client.get("/a.css"), client.get("/")
    server.wait_until(lambda: pages_read(site) == 1, 5, "the page to be read")
    assert connect(site).visit("/").paths() == ["/a.css", "/b.js", "/f.woff2"]


@pytest.mark.parametrize("answer, fields", [
    (html(cache_control="private"), ()), (html(cache_control="no-store"), ()),
    (html(set_cookie="a=b"), ()), (html(), [("cookie", "a=b")]),
    (html(), [("authorization", "Basic eA==")]),
    (html(HTML + " " * (256 * 1024)), ()), (Answer(HTML, content_type="text/plain"), ()),
    (html(status=404), ()), (html(cut=5), ()),
    *((html(b"not so coded", content_encoding=coding), ()) for coding in ("gzip", "br", "zstd")),
    *((html(CODINGS[coding](HTML.encode())[:-5], content_encoding=coding), ()) for coding in DECODERS),
    *((coded(coding, HTML + " " * (256 * 1024)), ()) for coding in DECODERS)],
    ids=["private", "no-store", "set-cookie", "cookie", "authorization", "large", "text", "404",
         "cut", "no-gzip", "no-br", "zstd", *("short-" + coding for coding in DECODERS),
         *("bomb-" + coding for coding in DECODERS)])
def test_pages_that_are_one_clients_own_or_not_whole_or_too_long_are_not_read(proxied, connect,
                                                                             answer, fields):
    site = proxied({"/": answer, "/other": html(), **ASSETS},
                   policies=[{None: ["scan"], "fetch": True}])
    client = connect(site)
    client.wait_done(client.request("/", fields=list(fields)))
    client.wait_done(client.request("/other"))
    server.wait_until(lambda: pages_read(site) == 1, 5, "the other page to be read")
    assert client.request("/", fields=list(fields)).promises == []
    assert pages_read(site) == 1


def test_a_page_is_read_again_once_it_has_changed(proxied, connect):
    site = proxied({"/": html(), **ASSETS}, policies=[{None: ["scan"], "fetch": True}])
    connect(site).get("/")
    server.wait_until(lambda: pages_read(site) == 1, 5, "the page to be read")
    site.origin.answers["/"] = html('<link rel="stylesheet" href="/a.css">')
    server.wait_until(lambda: connect(site).get("/") and pages_read(site) == 2, 10,
                      "the page to be read again", every=0.2)
    assert connect(site).visit("/").paths() == ["/a.css"]


def test_preload_pushes_what_the_origins_link_fields_name(proxied, connect):
    site = proxied({"/": html(link="</a.css>; rel=preload; as=style"), **ASSETS},
                   policies=[{None: ["preload"], "fetch": True}])
    visit = connect(site).visit("/")
    assert visit.paths() == ["/a.css"]
    assert bytes(visit.pushed["/a.css"].body) == b"body {}"
