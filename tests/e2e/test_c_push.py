"""A page's assets arrive as pushes: what, in which order, and what never."""
import gzip

import pytest

import server
from h2client import ENABLE_PUSH, INITIAL_WINDOW_SIZE, WINDOW_MAX, Cookies
from webroot import ASSETS, LIGHT_ASSETS, text_bytes

pytestmark = pytest.mark.quick
PAGES = {"/": list(ASSETS), "/light.html": list(LIGHT_ASSETS)}


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_pushed_bodies_are_what_a_get_returns(herald, connect, tls):
    site = herald(pushes=PAGES)
    visit = connect(site, tls=tls).visit("/")
    assert visit.paths() == sorted(ASSETS)
    asking = connect(site, tls=tls)
    for path, pushed in visit.pushed.items():
        asked = asking.get(path)
        assert pushed.status == 200 and pushed.ended
        assert bytes(pushed.body) == bytes(asked.body) == site.root.read(path), path
        for name in ("content-type", "content-length", "etag", "cache-control", "last-modified"):
            assert pushed.field(name) == asked.field(name), (path, name)


def test_promises_come_in_the_policys_order_and_before_the_pages_headers(herald, connect):
    visit = connect(herald(pushes=PAGES)).visit("/")
    streams = visit.page.promises
    assert [stream.path for stream in streams] == list(ASSETS)
    assert max(stream.promised_at for stream in streams) < visit.page.headers_at


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_promise_says_no_more_than_the_request(herald, connect, tls):
    site = herald(pushes=PAGES)
    client = connect(site, tls=tls, cookies=Cookies(session="secret-cookie"))
    visit = client.visit("/", fields=[
        ("accept-encoding", "gzip, br"), ("authorization", "Basic c2VjcmV0"),
        ("referer", client.authority + "/secret"), ("if-none-match", '"x"'),
        ("user-agent", "secret"), ("accept-language", "de"), ("x-secret", "secret")])
    assert visit.paths() == sorted(ASSETS)
    for path, pushed in visit.pushed.items():
        assert dict(pushed.promised) == {
            ":method": "GET", ":scheme": "https" if tls else "http",
            ":authority": client.authority, ":path": path, "accept-encoding": "gzip, br"}
        assert len(pushed.promised) == 5


def test_without_accept_encoding_a_promise_has_none(herald, connect):
    visit = connect(herald(pushes=PAGES)).visit("/light.html")
    for pushed in visit.pushed.values():
        assert sorted(name for name, _ in pushed.promised) == [
            ":authority", ":method", ":path", ":scheme"]


def test_a_push_is_coded_as_a_get_would_be(herald, connect):
    site = herald(pushes={"/light.html": ["/assets/coded.css"]})
    text = site.root.write("/assets/coded.css", text_bytes("coded", 9000))
    site.root.write("/assets/coded.css.gz", gzip.compress(text, mtime=0))
    for accepted, coding in (("gzip", "gzip"), ("identity", None)):
        fields = [("accept-encoding", accepted)]
        pushed = connect(site).visit("/light.html", fields=fields).pushed["/assets/coded.css"]
        asked = connect(site).get("/assets/coded.css", fields=fields)
        assert pushed.field("content-encoding") == asked.field("content-encoding") == coding
        assert pushed.body == asked.body
        assert pushed.field("vary") == asked.field("vary")


def test_a_page_is_complete_before_its_pushes_begin(herald, connect):
    """All bodies are made to wait for their windows, so that all is there when these open."""
    site = herald(pushes={"/wide.html": list(ASSETS)})
    site.root.page("/wide.html", ASSETS, 40000)
    for attempt in range(2):             # the second time everything is in the cache
        client = connect(site, window=0, connection_window=WINDOW_MAX)
        page = client.request("/wide.html")
        client.wait(lambda: page.status, "the page's HEADERS")
        client.wait(lambda: all(s.status for s in page.promises), "the pushes' HEADERS")
        client.settle()
        client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
        client.wait_done(page, *page.promises)
        assert len(page.promises) == len(ASSETS)
        first_push = min(s.first_data_at for s in page.promises)
        assert page.last_data_at < first_push, "attempt %d" % attempt


@pytest.mark.asan
def test_head_of_a_page_pushes_nothing(herald, connect):
    client = connect(herald(pushes=PAGES))
    page = client.visit("/", method="HEAD")
    assert page.page.status == 200 and not page.page.body
    assert page.pushed == {}
    assert len(client.visit("/").pushed) == len(ASSETS), "a HEAD claims nothing"


def test_a_post_to_a_page_pushes_nothing(herald, connect):
    visit = connect(herald(pushes=PAGES)).visit("/", method="POST")
    assert (visit.page.status, visit.pushed) == (405, {})


@pytest.mark.parametrize("path,verdict", [
    ("/assets/missing.css", "not_found"), ("/secret/a.css", "not_cacheable"),
    ("/assets/huge.bin", "too_large"), ("https://other.example/a.css", None),
    ("/light.html", None), ("assets/site.css", None), ("/assets/../hello.txt", None),
])
def test_what_may_not_be_pushed_is_skipped(herald, connect, path, verdict):
    site = herald(pushes={"/light.html": [path, "/assets/light.css"]},
                  routes={"/secret/*": {"cache_control": "no-store"}})
    site.root.write("/secret/a.css", b"a {}\n")
    site.root.asset("/assets/huge.bin", (1 << 20) + 1)
    visit = connect(site).visit("/light.html")
    assert visit.page.status == 200
    assert visit.paths() == ["/assets/light.css"]
    entry = site.page_entry("/light.html")
    assert entry.verdict("/assets/light.css") == server.PUSHED
    if verdict:                          # else it was refused by its name: push:add said why
        assert entry.verdict(path) == verdict


def test_an_asset_proposed_twice_is_pushed_once(herald, connect):
    pushes = {"/light.html": ["/assets/light.css", "/assets/light.css"]}
    visit = connect(herald(pushes=pushes)).visit("/light.html")
    assert [s.path for s in visit.page.promises] == ["/assets/light.css"]


def test_a_pushed_page_pushes_nothing_itself(herald, connect):
    pushes = {"/light.html": ["/plain.html"], "/plain.html": ["/assets/light.css"]}
    visit = connect(herald(pushes=pushes)).visit("/light.html")
    assert visit.paths() == ["/plain.html"]
    assert visit.pushed["/plain.html"].promises == []


def test_the_bytes_of_a_page_are_limited(herald, connect):
    site = herald(pushes=PAGES, push={"max_bytes": "40KiB"})
    visit = connect(site).visit("/")
    size = sum(len(s.body) for s in visit.pushed.values())
    assert 0 < size <= 40 << 10
    verdicts = [v for _, v in site.page_entry("/").pushes]
    assert verdicts.count(server.PUSHED) == len(visit.pushed) < len(ASSETS)
    assert set(verdicts) <= {server.PUSHED, server.MAX_BYTES, "too_large"}


def test_the_unfinished_pushes_are_limited(herald, connect):
    """Files that are not found in time, as cold ones may be, are left out before they are counted."""
    site = herald(pushes=PAGES, push={"max_streams": 3}, workers=1)
    visits = []

    def with_all_found():
        visits.append(connect(site).visit("/"))
        verdicts = [v for _, v in site.page_entry("/", nth=len(visits)).pushes]
        return verdicts if server.UNREADABLE not in verdicts else None
    verdicts = server.wait_until(with_all_found, 10, "a visit whose files were all found in time")
    assert all(len(visit.pushed) <= 3 for visit in visits)
    assert len(visits[-1].pushed) == verdicts.count(server.PUSHED) == 3
    assert verdicts.count(server.MAX_STREAMS) == len(ASSETS) - 3


# ---- the cookie ----

@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_the_cookie_is_as_closed_as_the_connection_allows(herald, connect, tls):
    page = connect(herald(pushes=PAGES), tls=tls).visit("/").page
    (cookie,) = page.all("set-cookie")
    name, *attributes = [part.strip() for part in cookie.split(";")]
    attributes = [part.lower() for part in attributes]
    assert name.startswith("__Host-herald=" if tls else "herald=")
    assert "httponly" in attributes and "samesite=lax" in attributes
    assert ("secure" in attributes) == tls
    assert "path=/" in attributes
    assert not any(part.startswith("domain") for part in attributes)
    assert "private" in page.field("cache-control", "")


def test_who_takes_no_push_gets_no_cookie(herald, connect):
    client = connect(herald(pushes=PAGES), settings={ENABLE_PUSH: 0})
    assert client.visit("/").page.all("set-cookie") == []


def test_a_push_sets_no_cookie(herald, connect):
    visit = connect(herald(pushes=PAGES)).visit("/")
    assert visit.pushed
    for pushed in visit.pushed.values():
        assert pushed.all("set-cookie") == []


# ---- the access log ----

def test_the_log_has_a_line_a_request_with_each_candidates_verdict(herald, connect):
    site = herald(pushes=PAGES)
    cookies = Cookies()
    first = connect(site, cookies=cookies)
    first.visit("/")
    first.close()
    second = connect(site, cookies=cookies)
    second.get("/hello.txt")
    second.get("/nothing.txt")
    entry = site.page_entry("/")
    assert (entry.method, entry.status) == ("GET", 200)
    assert entry.pushes == [(path, server.PUSHED) for path in ASSETS]
    assert site.page_entry("/hello.txt").bytes >= 13
    assert site.page_entry("/nothing.txt").status == 404
    ids = [e.id for e in site.log()]
    assert all(ids) and len(set(ids)) == len(ids)
    value = next(iter(cookies.values()))
    assert entry.client, "the page's client has a name in the log"
    assert site.page_entry("/hello.txt").client == entry.client
    assert entry.client not in value and value not in repr(entry), "the log shows only a hash"
