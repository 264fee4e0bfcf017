"""What an origin answered is kept for others where it says so (RFC 9111); how often the origin is
asked tells."""
import json

import pytest

import server
from cache_origin import Answer, CacheOrigin
from h2client import CANCEL
from rawh1 import Peer

pytestmark = [pytest.mark.quick, pytest.mark.asan]
FRESH = "public, max-age=600"


@pytest.fixture
def proxied(herald):
    """proxied({target: Answer}) starts an origin and a herald before it, of one worker unless told."""
    origins = []

    def start(answers, site=None, **kwargs):
        origin = CacheOrigin(answers)
        origins.append(origin)
        kwargs.setdefault("workers", 1)
        made = herald(site={"root": None, "origin": origin.url, **(site or {})}, fill=False, **kwargs)
        made.origin = origin
        return made

    yield start
    for origin in origins:
        origin.close()


def counters(site):
    return json.loads(site.command("status", "--json").stdout)["counters"]


def way(site, path, nth=1):
    return site.page_entry(path, nth).fields.get("cache")


def test_a_fresh_answer_is_given_again_without_asking_the_origin(proxied, connect):
    site = proxied({"/a.css": Answer("body {}", cache_control=FRESH, content_type="text/css",
                                     etag='"1"', x_own="kept")})
    client = connect(site)
    first, second = client.get("/a.css"), connect(site).get("/a.css")
    assert site.origin.count("/a.css") == 1
    for answer in (first, second):
        assert bytes(answer.body) == b"body {}"
        assert answer.field("content-type") == "text/css"
        assert answer.field("x-own") == "kept"
        assert answer.field("etag") == '"1"'
        assert answer.field("content-length") == "7"
        assert int(answer.field("age")) >= 0
        assert answer.field("date")
    assert (way(site, "/a.css"), way(site, "/a.css", 2)) == ("miss", "hit")
    counted = counters(site)
    assert (counted["proxy_cache_misses"], counted["proxy_cache_hits"]) == (1, 1)
    assert (counted["proxy_cache_stored"], counted["proxy_cache_stored_bytes"]) == (1, 7)
    assert "cache    1 hits, 1 misses, 0 joined" in site.command("status").stdout


@pytest.mark.parametrize("fields", [
    {"cache_control": "no-store, max-age=600"}, {"cache_control": "private, max-age=600"},
    {"cache_control": FRESH, "set_cookie": "a=b"}, {"cache_control": FRESH, "vary": "*"}, {}],
    ids=["no-store", "private", "set-cookie", "vary", "nothing"])
def test_what_is_not_for_everyone_is_asked_for_each_time(proxied, connect, fields):
    site = proxied({"/a": Answer("x", **fields)})
    client = connect(site)
    for _ in range(3):
        answer = client.get("/a")
        assert bytes(answer.body) == b"x"
        assert answer.field("age") is None
        assert answer.field("set-cookie") == fields.get("set_cookie")
    assert site.origin.count("/a") == 3


def test_the_cache_may_be_switched_off_for_a_route_and_for_all(proxied, connect):
    site = proxied({"/a": Answer("x", cache_control=FRESH), "/b": Answer("x", cache_control=FRESH)},
                   routes={"/b": {"cache": False}})
    client = connect(site)
    for _ in range(2):
        client.get("/a"), client.get("/b")
    assert (site.origin.count("/a"), site.origin.count("/b")) == (1, 2)
    site = proxied({"/a": Answer("x", cache_control=FRESH)}, top={"cache": {"memory": "0"}})
    client = connect(site)
    client.get("/a"), client.get("/a")
    assert site.origin.count("/a") == 2


def test_an_answer_larger_than_the_entry_limit_is_not_kept(proxied, connect):
    site = proxied({"/at": Answer(b"x" * 4096, cache_control=FRESH),
                    "/over": Answer(b"x" * 4097, cache_control=FRESH),
                    "/chunked": Answer(b"x" * 300000, cache_control=FRESH, chunked=True)},
                   top={"cache": {"entry": "4KiB"}})
    client = connect(site)
    for _ in range(2):
        for target, size in (("/at", 4096), ("/over", 4097), ("/chunked", 300000)):
            assert len(client.get(target).body) == size
    assert [site.origin.count(t) for t in ("/at", "/over", "/chunked")] == [1, 2, 2]


def test_the_memory_limit_evicts_the_least_recently_used(proxied, connect):
    answers = {"/%d" % i: Answer(b"x" * 20000, cache_control=FRESH) for i in range(4)}
    site = proxied(answers, top={"cache": {"memory": "72KiB", "entry": "32KiB"}})
    client = connect(site)
    for target in ("/0", "/1", "/2", "/0", "/3", "/0", "/1"):
        client.get(target)
    assert site.origin.count("/0") == 1
    assert site.origin.count("/1") == 2
    assert counters(site)["proxy_cache_evictions"] >= 1


# ---- one fetch for many ----

def test_a_hundred_requests_at_once_are_one_at_the_origin(proxied, connect):
    answer = Answer(b"shared" * 1000, cache_control=FRESH, hold=True)
    site = proxied({"/a": answer})
    clients = [connect(site) for _ in range(4)]
    streams = [(client, client.request("/a")) for client in clients for _ in range(25)]
    site.origin.wait_asked("/a")
    for client in clients:
        client.settle()
    answer.release.set()
    for client, stream in streams:
        client.wait_done(stream)
        assert stream.status == 200 and bytes(stream.body) == answer.body
    assert site.origin.count("/a") == 1
    assert counters(site)["proxy_cache_joined"] == 99


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_who_comes_while_the_content_grows_reads_it_from_its_start(proxied, connect, chunked):
    answer = Answer(b"a" * 5000, cache_control=FRESH, after=b"b" * 5000, chunked=chunked)
    site = proxied({"/a": answer})
    first, second = connect(site), connect(site)
    early = first.request("/a")
    first.wait(lambda: len(early.body) >= 4000, "the first half")
    late = second.request("/a")
    second.wait(lambda: len(late.body) >= 4000, "the first half, of the same fetch")
    assert not early.done and not late.done
    answer.release.set()
    first.wait_done(early), second.wait_done(late)
    assert bytes(early.body) == bytes(late.body) == b"a" * 5000 + b"b" * 5000
    assert bytes(first.get("/a").body) == bytes(early.body)
    assert site.origin.count("/a") == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_http1_clients_share_a_fetch_with_http2_ones(proxied, connect, chunked):
    answer = Answer(b"a" * 5000, cache_control=FRESH, after=b"b" * 5000, chunked=chunked, etag='"1"')
    site = proxied({"/a": answer})
    client = connect(site)
    early = client.request("/a")
    client.wait(lambda: len(early.body) >= 4000, "the first half")
    host = "Host: " + client.authority
    with Peer(site, tls=True) as peer:
        peer.request("/a", fields=[host])
        answer.release.set()
        late = peer.answer()
        again = peer.get("/a", fields=[host, 'If-None-Match: "1"'])
    client.wait_done(early)
    assert (late.status, bytes(late.body)) == (200, b"a" * 5000 + b"b" * 5000)
    assert again.status == 304
    assert bytes(early.body) == bytes(late.body)
    assert site.origin.count("/a") == 1


def test_the_fetch_goes_on_when_who_began_it_leaves(proxied, connect):
    answer = Answer(b"a" * 5000, cache_control=FRESH, after=b"b" * 5000)
    site = proxied({"/a": answer})
    first, second = connect(site), connect(site)
    early = first.request("/a")
    first.wait(lambda: len(early.body) >= 4000, "the first half")
    late = second.request("/a")
    second.wait(lambda: len(late.body) >= 4000, "the first half")
    first.reset(early)
    first.settle()
    answer.release.set()
    second.wait_done(late)
    assert bytes(late.body) == b"a" * 5000 + b"b" * 5000
    assert site.origin.count("/a") == 1


def test_a_leader_that_leaves_before_the_answer_leaves_it_to_the_others(proxied, connect):
    answer = Answer(b"shared", cache_control=FRESH, hold=True)
    site = proxied({"/a": answer})
    first, second = connect(site), connect(site)
    early = first.request("/a")
    site.origin.wait_asked("/a")
    late = second.request("/a")
    second.settle()
    first.reset(early)
    first.settle()
    answer.release.set()
    second.wait_done(late)
    assert bytes(late.body) == b"shared"
    assert site.origin.count("/a") == 1


def test_a_fetch_that_nobody_wanted_for_a_while_is_whole_or_begun_anew(proxied, connect):
    answer = Answer(b"a" * 5000, cache_control=FRESH, after=b"b" * 5000)
    site = proxied({"/a": answer})
    client = connect(site)
    stream = client.request("/a")
    client.wait(lambda: len(stream.body) >= 4000, "the first half")
    client.reset(stream)
    client.settle()
    answer.release.set()
    for _ in range(2):
        assert bytes(client.get("/a").body) == answer.body + answer.after
    assert site.origin.count("/a") <= 2


def test_those_who_waited_for_what_is_one_clients_own_ask_for_themselves(proxied, connect):
    first = Answer("mine", cache_control="private", hold=True)
    site = proxied({"/a": first})
    client = connect(site)
    streams = [client.request("/a") for _ in range(5)]
    site.origin.wait_asked("/a")
    client.settle()
    first.release.set()
    client.wait_done(*streams)
    assert [stream.status for stream in streams] == [200] * 5
    assert site.origin.count("/a") == 5
    assert way(site, "/a", 5) == "pass"
    assert counters(site)["proxy_cache_passed"] == 4


# ---- nothing partial ----

@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_what_ends_early_is_neither_stored_nor_ended_as_if_it_were_whole(proxied, connect, chunked):
    site = proxied({"/a": Answer(b"x" * 5000, cache_control=FRESH, cut=1, chunked=chunked)})
    client = connect(site)
    for _ in range(2):
        stream = client.request("/a")
        client.wait_done(stream)
        assert stream.reset is not None and not stream.ended
    assert site.origin.count("/a") >= 2
    assert counters(site)["proxy_cache_stored"] == 0


def test_an_origin_that_is_gone_fails_all_who_wait_and_stores_nothing(proxied, connect):
    answer = Answer("x", cache_control=FRESH)
    site = proxied({"/a": answer})
    site.origin.hang_up()
    client = connect(site)
    streams = [client.request("/a") for _ in range(5)]
    client.wait_done(*streams)
    assert [stream.status for stream in streams] == [502] * 5


# ---- validation ----

def test_what_is_stale_is_validated_and_answered_when_the_origin_confirms_it(proxied, connect):
    site = proxied({"/a": Answer("content", cache_control="max-age=1", etag='"1"',
                                 content_type="text/css")})
    client = connect(site)
    client.get("/a")
    server.wait_until(lambda: bytes(client.get("/a").body) == b"content" and
                      site.origin.count("/a") >= 2, 5, "the origin to be asked again", every=0.1)
    assert site.origin.last("/a")["if-none-match"] == '"1"'
    assert counters(site)["proxy_cache_revalidated"] >= 1
    site.wait_log(lambda e: e.fields.get("cache") == "revalidated")


def test_a_changed_answer_takes_the_stale_ones_place(proxied, connect):
    site = proxied({"/a": Answer("old", cache_control="no-cache", etag='"1"')})
    client = connect(site)
    assert bytes(client.get("/a").body) == b"old"
    site.origin.answers["/a"] = Answer("new", cache_control="no-cache", etag='"2"')
    assert bytes(client.get("/a").body) == b"new"
    assert site.origin.last("/a")["if-none-match"] == '"1"'
    assert bytes(client.get("/a").body) == b"new"
    assert site.origin.last("/a")["if-none-match"] == '"2"'
    assert site.origin.count("/a") == 3


def test_a_clients_own_conditions_are_answered_from_what_is_stored(proxied, connect):
    site = proxied({"/a": Answer("content", cache_control=FRESH, etag='"1"')})
    client = connect(site)
    first = client.get("/a", fields=[("if-none-match", '"1"')])
    again = client.get("/a", fields=[("if-none-match", '"1"')])
    assert (first.status, again.status) == (304, 304)
    assert again.field("etag") == '"1"' and again.field("cache-control") == FRESH
    assert client.get("/a", fields=[("if-none-match", '"0"')]).status == 200
    assert client.get("/a", fields=[("if-match", '"0"')]).status == 412
    assert site.origin.count("/a") == 1
    assert "if-none-match" not in site.origin.last("/a")


def test_ranges_and_heads_are_cut_from_what_is_stored(proxied, connect):
    site = proxied({"/a": Answer("0123456789", cache_control=FRESH, etag='"1"')})
    client = connect(site)
    client.get("/a")
    part = client.get("/a", fields=[("range", "bytes=2-4")])
    assert (part.status, bytes(part.body)) == (206, b"234")
    assert part.field("content-range") == "bytes 2-4/10"
    assert client.get("/a", fields=[("range", "bytes=99-")]).status == 416
    head = client.get("/a", method="HEAD")
    assert (head.status, bytes(head.body), head.field("content-length")) == (200, b"", "10")
    assert site.origin.count("/a") == 1 and site.origin.count("/a", "HEAD") == 0


def test_a_stale_answer_is_given_while_it_is_validated_where_it_says_so(proxied, connect):
    site = proxied({"/a": Answer("old", cache_control="max-age=1, stale-while-revalidate=600",
                                 etag='"1"')})
    client = connect(site)
    client.get("/a")
    site.origin.answers["/a"] = Answer("new", cache_control=FRESH, etag='"2"')
    server.wait_until(lambda: bytes(client.get("/a").body) == b"new", 10, "the new content",
                      every=0.1)
    site.wait_log(lambda e: e.fields.get("cache") == "stale")
    assert site.origin.count("/a") == 2
    assert counters(site)["proxy_cache_stale"] >= 1


def test_a_stale_answer_stands_for_an_error_where_it_says_so(proxied, connect):
    site = proxied({"/a": Answer("old", cache_control="max-age=1, stale-if-error=600"),
                    "/b": Answer("old", cache_control="max-age=1", etag='"1"')})
    client = connect(site)
    client.get("/a"), client.get("/b")
    site.origin.answers["/a"] = site.origin.answers["/b"] = Answer("broken", status=500)
    server.wait_until(lambda: client.get("/b").status == 500, 10, "b to be stale", every=0.1)
    answer = client.get("/a")
    assert (answer.status, bytes(answer.body)) == (200, b"old")


def test_a_stale_answer_stands_for_an_origin_that_is_gone_and_the_log_says_so(proxied, connect):
    site = proxied({"/a": Answer("old", cache_control="max-age=1, stale-if-error=600"),
                    "/b": Answer("old", cache_control="max-age=1", etag='"1"')})
    client = connect(site)
    client.get("/a"), client.get("/b")
    site.origin.hang_up()
    server.wait_until(lambda: client.get("/b").status == 502, 10, "b to be stale", every=0.1)
    server.wait_until(lambda: bytes(client.get("/a").body) == b"old" and
                      any("/a: 502: origin" in line for line in site.err), 5,
                      "the old content, and the line that says why", every=0.1)
    assert client.get("/a").status == 200


# ---- for whom ----

def test_answers_that_vary_are_given_to_those_they_are_for(proxied, connect):
    def by_language(fields):
        return Answer(fields.get("accept-language", "none"), cache_control=FRESH,
                      vary="Accept-Language")
    site = proxied({"/a": by_language})
    client = connect(site)
    for language in ("de", "en", "de", "en"):
        answer = client.get("/a", fields=[("accept-language", language)])
        assert bytes(answer.body) == language.encode()
    assert site.origin.count("/a") == 2


@pytest.mark.parametrize("credentials", [("cookie", "session=1"), ("authorization", "Basic eA==")],
                         ids=["cookie", "authorization"])
def test_answers_to_credentials_are_kept_only_when_they_say_so(proxied, connect, credentials):
    site = proxied({"/plain": Answer("x", cache_control="max-age=600"),
                    "/public": Answer("x", cache_control=FRESH),
                    "/shared": Answer("x", cache_control="s-maxage=600")})
    client = connect(site)
    for target in ("/plain", "/public", "/shared"):
        client.get(target, fields=[credentials])
        client.get(target, fields=[credentials])
        connect(site).get(target)
    assert site.origin.count("/plain") == 3
    assert site.origin.count("/public") == 1
    assert site.origin.count("/shared") == 1


def test_an_unsafe_request_makes_what_is_stored_void(proxied, connect):
    site = proxied({"/a": Answer("x", cache_control=FRESH), "/b": Answer("x", cache_control=FRESH),
                    "/c": Answer("x", cache_control=FRESH)})
    client = connect(site)
    for target in ("/a", "/b", "/c"):
        client.get(target)
    site.origin.answers["/a"] = Answer("y", cache_control=FRESH, location="/b")
    posted = client.request("/a", method="POST", fields=[("content-length", "0")])
    client.wait_done(posted)
    for target in ("/a", "/b", "/c"):
        client.get(target)
    assert [site.origin.count(t) for t in ("/a", "/b", "/c")] == [2, 2, 1]
    assert counters(site)["proxy_cache_invalidations"] == 2


def test_an_unsafe_request_that_failed_changes_nothing(proxied, connect):
    site = proxied({"/a": Answer("x", cache_control=FRESH)})
    client = connect(site)
    client.get("/a")
    site.origin.answers["/a"] = Answer("no", status=403)
    posted = client.request("/a", method="POST", fields=[("content-length", "0")])
    client.wait_done(posted)
    assert posted.status == 403
    assert bytes(client.get("/a").body) == b"x"


def test_stored_errors_and_redirects_are_answered_as_they_were(proxied, connect):
    site = proxied({"/gone": Answer("no such", status=404, cache_control=FRESH),
                    "/moved": Answer("", status=301, cache_control=FRESH, location="/new")})
    client = connect(site)
    for _ in range(2):
        gone, moved = client.get("/gone"), client.get("/moved")
        assert (gone.status, bytes(gone.body)) == (404, b"no such")
        assert (moved.status, moved.field("location")) == (301, "/new")
    assert site.origin.count("/gone") == site.origin.count("/moved") == 1


def test_answers_with_very_many_fields_are_kept_whole(proxied, connect):
    many = {"x_%d" % i: "v%d" % i for i in range(80)}
    site = proxied({"/a": Answer("x", cache_control=FRESH, **many)})
    client = connect(site)
    for _ in range(2):
        answer = client.get("/a")
        assert [answer.field("x-%d" % i) for i in range(80)] == ["v%d" % i for i in range(80)]
    assert site.origin.count("/a") == 1


def test_each_worker_keeps_a_cache_of_its_own(proxied, connect):
    site = proxied({"/a": Answer("x", cache_control=FRESH)}, workers=2)
    for _ in range(30):
        connect(site).get("/a")
    assert 1 <= site.origin.count("/a") <= 2


def test_a_slow_reader_of_what_is_kept_neither_stops_others_nor_loses_anything(proxied, connect):
    body = bytes(i * 7 >> 3 & 255 for i in range(1 << 20))
    site = proxied({"/a": Answer(body, cache_control=FRESH)})
    slow = connect(site, window=1000)
    stream = slow.request("/a")
    slow.wait(lambda: stream.status, "the head")
    assert bytes(connect(site).get("/a").body) == body
    assert site.origin.count("/a") == 1
    slow.reset(stream, CANCEL)
    slow.settle()
