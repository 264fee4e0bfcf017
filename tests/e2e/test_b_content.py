"""Static files to curl, which knows no push: names, kinds, conditions, ranges, codings, refusals."""
import email.utils
import gzip
import hashlib
import os
import socket
import subprocess

import pytest

from curl import curl
from server import ADDRESS, patience
from webroot import binary_bytes, text_bytes

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def site(shared_herald):
    return shared_herald()


# ---- names and kinds ----

@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_file_is_served_over_http2(site, tls):
    answer = curl(site, "/hello.txt", tls=tls)
    assert (answer.status, answer.version) == (200, "2")
    assert answer.body == b"hello, world\n"
    assert answer.field("content-length") == "13"
    assert answer.field("content-type").startswith("text/plain")


def test_a_folder_serves_its_index(site):
    assert curl(site, "/").body == site.root.read("/index.html")
    assert curl(site, "/folder/").body == site.root.read("/folder/index.html")


@pytest.mark.parametrize("query", ["", "?a=b&c"])
def test_a_folder_without_slash_redirects_and_keeps_the_query(site, query):
    answer = curl(site, "/folder" + query)
    assert answer.status in (301, 308)
    place = answer.field("location")
    assert place in ("/folder/" + query, site.url("/folder/" + query))


def test_a_query_does_not_change_the_file(site):
    assert curl(site, "/hello.txt?x=%00&y=../z").body == b"hello, world\n"


def test_an_encoded_name_is_decoded_once(site):
    site.root.write("/a b%41.txt", b"odd\n")
    assert curl(site, "/a%20b%2541.txt").body == b"odd\n"
    assert curl(site, "/hell%6f.txt").body == b"hello, world\n"


@pytest.mark.parametrize("name,kind", [
    ("style.css", "text/css"), ("script.js", "javascript"), ("page.html", "text/html"),
    ("font.woff2", "font/woff2"), ("picture.svg", "image/svg+xml"), ("picture.png", "image/png"),
    ("picture.jpg", "image/jpeg"), ("data.json", "application/json"),
    ("picture.webp", "image/webp"), ("without-extension", "application/octet-stream"),
])
def test_the_kind_follows_the_extension(site, name, kind):
    site.root.write("/kinds/" + name, b"x")
    assert kind in curl(site, "/kinds/" + name).field("content-type")


def test_an_empty_file_is_empty(site):
    site.root.write("/empty.txt", b"")
    answer = curl(site, "/empty.txt")
    assert (answer.status, answer.body, answer.field("content-length")) == (200, b"", "0")


def test_head_says_what_get_would(site, connect):
    head, get = connect(site).get("/index.html", method="HEAD"), curl(site, "/index.html")
    assert head.status == 200 and head.ended and head.body == b""
    for name in ("content-length", "content-type", "etag", "last-modified"):
        assert head.field(name) == get.field(name) and head.field(name)


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_large_file_arrives_whole(site, tls):
    data = binary_bytes("large", 24 << 20)
    if not os.path.exists(site.root.path("/large.bin")):
        site.root.write("/large.bin", data)
    answer = curl(site, "/large.bin", tls=tls)
    assert len(answer.body) == len(data)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(data).digest()


# ---- refusals ----

def test_what_is_not_there_is_404(site):
    answer = curl(site, "/nothing.html")
    assert answer.status == 404
    assert 0 < len(answer.body) < 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_and_name_the_allowed_ones(site, method):
    answer = curl(site, "/hello.txt", method=method)
    assert answer.status == 405
    allowed = {word.strip() for word in answer.field("allow").split(",")}
    assert {"GET", "HEAD"} <= allowed


@pytest.mark.asan
@pytest.mark.parametrize("path", [
    "/../etc/passwd", "/folder/../hello.txt", "/..", "/%2e%2e/etc/passwd", "/folder/%2E%2E/x",
    "/hello.txt%00.css", "/%00", "/folder%2fhello.txt", "/folder%2Findex.html", "/%", "/%4",
    "/%zz", "/..%2f..%2fetc/passwd",
])
def test_a_path_with_tricks_is_400(site, path):
    answer = curl(site, path)
    assert answer.status == 400
    assert b"root:" not in answer.body


def test_a_link_out_of_the_root_is_not_followed(site, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    os.symlink(secret, site.root.path("/link.txt"))
    os.symlink("/etc", site.root.path("/etc"))
    for path in ("/link.txt", "/etc/passwd"):
        answer = curl(site, path)
        assert answer.status in (403, 404)
        assert b"secret" not in answer.body and b"root:" not in answer.body


def test_something_else_than_a_file_is_not_served(site):
    os.mkfifo(site.root.path("/pipe"))
    assert curl(site, "/pipe").status in (403, 404)


def test_a_file_the_worker_may_not_read_is_refused(site):
    if os.geteuid() != 0:
        pytest.skip("needs root: else the file's owner asks")
    site.root.write("/private.txt", b"private\n")
    os.chmod(site.root.path("/private.txt"), 0o600)
    answer = curl(site, "/private.txt")
    assert answer.status in (403, 404)
    assert b"private" not in answer.body


@pytest.mark.asan
def test_too_many_fields_are_431(site):
    answer = curl(site, "/", fields=["x-field-%d: v" % i for i in range(150)])
    assert answer.status == 431


@pytest.mark.asan
def test_too_large_fields_are_431(site):
    answer = curl(site, "/", fields=["x-field-%d: %s" % (i, "v" * 4000) for i in range(10)])
    assert answer.status == 431
    assert curl(site, "/", fields=["x-field: " + "v" * 20000]).status == 200


def test_an_authority_outside_the_certificate_is_421(site):
    assert curl(site, "/", fields=["Host: other.example"]).status == 421
    assert curl(site, "/", fields=["Host: www.herald.test"]).status == 200
    assert curl(site, "/", fields=["Host: a.wild.test"]).status == 200
    assert curl(site, "/", fields=["Host: a.b.wild.test"]).status == 421


def test_in_cleartext_any_authority_is_served(site):
    assert curl(site, "/", tls=False, fields=["Host: other.example"]).status == 200


@pytest.mark.quick
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "cleartext"])
def test_the_same_is_served_over_http1_on_the_same_port(site, tls):
    answer = curl(site, "/hello.txt", tls=tls, http="--http1.1")
    assert (answer.version, answer.status) == ("1.1", 200)
    assert answer.body == curl(site, "/hello.txt", tls=tls).body


# ---- conditions (RFC 9110, 13) ----

def test_a_matching_etag_is_304(site):
    first = curl(site, "/hello.txt")
    tag = first.field("etag")
    assert tag and tag.endswith('"')
    for value in (tag, "W/" + tag.removeprefix("W/"), '"x", %s' % tag, "*"):
        answer = curl(site, "/hello.txt", fields=["If-None-Match: " + value])
        assert (answer.status, answer.body) == (304, b""), value
        assert answer.field("etag") == tag
    assert curl(site, "/hello.txt", fields=['If-None-Match: "other"']).status == 200


def test_an_unchanged_date_is_304(site):
    date = curl(site, "/hello.txt").field("last-modified")
    later = email.utils.formatdate(email.utils.parsedate_to_datetime(date).timestamp() + 5,
                                   usegmt=True)
    for value in (date, later):
        assert curl(site, "/hello.txt", fields=["If-Modified-Since: " + value]).status == 304
    for value in ("Mon, 01 Jan 2001 00:00:00 GMT", "yesterday"):
        assert curl(site, "/hello.txt", fields=["If-Modified-Since: " + value]).status == 200


def test_the_etag_is_asked_before_the_date(site):
    date = curl(site, "/hello.txt").field("last-modified")
    answer = curl(site, "/hello.txt", fields=["If-Modified-Since: " + date,
                                              'If-None-Match: "other"'])
    assert answer.status == 200


def test_another_content_has_another_etag(site):
    first = curl(site, "/hello.txt").field("etag")
    site.root.write("/other.txt", b"hello, World\n")
    assert curl(site, "/other.txt").field("etag") != first


# ---- ranges (RFC 9110, 14) ----

def test_a_range_is_206(site):
    whole = site.root.read("/index.html")
    size = len(whole)
    for asked, start, end in (("0-0", 0, 0), ("10-99", 10, 99), ("100-", 100, size - 1),
                              ("-50", size - 50, size - 1), ("0-999999", 0, size - 1),
                              ("-999999", 0, size - 1)):
        answer = curl(site, "/index.html", fields=["Range: bytes=" + asked])
        assert answer.status == 206, asked
        assert answer.body == whole[start:end + 1], asked
        assert answer.field("content-range") == "bytes %d-%d/%d" % (start, end, size), asked


def test_a_range_of_a_large_file_starts_where_asked(site):
    data = site.root.write("/range.bin", binary_bytes("range", 8 << 20))
    answer = curl(site, "/range.bin", fields=["Range: bytes=5000001-7000000"])
    assert (answer.status, answer.body == data[5000001:7000001]) == (206, True)


def test_a_range_outside_the_file_is_416(site):
    answer = curl(site, "/hello.txt", fields=["Range: bytes=13-20"])
    assert answer.status == 416
    assert answer.field("content-range") == "bytes */13"


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=5-2", "bytes=x", "bytes=0-1,4-5"])
def test_a_range_that_is_none_is_ignored(site, asked):
    answer = curl(site, "/hello.txt", fields=["Range: " + asked])
    assert (answer.status, answer.body) == (200, b"hello, world\n")


def test_if_range_decides_between_the_part_and_the_whole(site):
    first = curl(site, "/hello.txt")
    asked = "Range: bytes=0-4"
    # A strong validator is required (RFC 9110, 13.1.5): a weak one never selects the part.
    tag = first.field("etag")
    part = curl(site, "/hello.txt", fields=[asked, "If-Range: " + tag])
    assert part.status == (200 if tag.startswith("W/") else 206)
    for value in ('"other"', "Mon, 01 Jan 2001 00:00:00 GMT"):
        whole = curl(site, "/hello.txt", fields=[asked, "If-Range: " + value])
        assert (whole.status, whole.body) == (200, b"hello, world\n")


# ---- codings and caching ----

@pytest.fixture(scope="module")
def coded(site):
    """/coded.css with three precompressed siblings."""
    text = site.root.write("/coded.css", text_bytes("coded", 20000))
    for suffix, argv in ((".br", ["brotli", "-c"]), (".zst", ["zstd", "-q", "-c"])):
        try:
            packed = subprocess.run(argv, input=text, capture_output=True, check=True).stdout
        except FileNotFoundError:        # herald never looks inside
            packed = b"stands for " + suffix.encode()
        site.root.write("/coded.css" + suffix, packed)
    site.root.write("/coded.css.gz", gzip.compress(text, mtime=0))
    return site


@pytest.mark.parametrize("accepted,coding,suffix", [
    ("br", "br", ".br"), ("zstd", "zstd", ".zst"), ("gzip", "gzip", ".gz"),
    ("gzip, deflate, br, zstd", "br", ".br"), ("gzip, zstd", "zstd", ".zst"),
    ("br;q=0, gzip", "gzip", ".gz"), ("br;q=0.1, gzip;q=1.0", None, None),
    ("identity", None, ""), ("", None, ""), ("BR", "br", ".br"), ("*;q=0, identity", None, ""),
])
def test_a_precompressed_sibling_is_sent_to_who_takes_it(coded, accepted, coding, suffix):
    answer = curl(coded, "/coded.css", fields=["Accept-Encoding: " + accepted] if accepted else ())
    assert answer.status == 200
    assert "accept-encoding" in (answer.field("vary") or "").lower()
    assert answer.field("content-type").startswith("text/css")
    if suffix is not None:               # with weights either order of preference is right
        assert answer.field("content-encoding") == coding
        assert answer.body == coded.root.read("/coded.css" + suffix)


def test_codings_have_their_own_etags(coded):
    tags = {curl(coded, "/coded.css", fields=["Accept-Encoding: " + c]).field("etag")
            for c in ("br", "zstd", "gzip", "identity")}
    weak = all(tag.startswith("W/") for tag in tags)
    assert len(tags) == 4 or weak, "one strong validator for different octets"


def test_each_coding_has_its_condition(coded):
    for coding in ("br", "identity"):
        accept = "Accept-Encoding: " + coding
        tag = curl(coded, "/coded.css", fields=[accept]).field("etag")
        again = curl(coded, "/coded.css", fields=[accept, "If-None-Match: " + tag])
        assert again.status == 304
        assert "accept-encoding" in again.field("vary").lower()


def test_a_sibling_alone_is_no_file_of_that_name(site):
    site.root.write("/alone.css.gz", gzip.compress(b"x"))
    assert curl(site, "/alone.css", fields=["Accept-Encoding: gzip"]).status == 404


def test_cache_control_follows_the_route(herald):
    site = herald(routes={"/short/*": {"cache_control": "max-age=60"},
                          "/short/never/*": {"cache_control": "no-store"}})
    for path in ("/short/a.txt", "/short/never/a.txt"):
        site.root.write(path, b"a\n")
    assert curl(site, "/assets/site.css").field("cache-control") == \
        "public, max-age=31536000, immutable"
    assert curl(site, "/short/a.txt").field("cache-control") == "max-age=60"
    assert curl(site, "/short/never/a.txt").field("cache-control") == "no-store"
    assert curl(site, "/hello.txt").field("cache-control") is None


# ---- sites ----

def test_each_name_has_its_root_and_an_alias_redirects(herald):
    text = """
workers = 1
user = "nobody"
state = "@DIR@/state"
listen = { { "127.0.0.1:@TLS@", tls = true }, "127.0.0.1:@H2C@" }
tls = { { sni = "*", cert = "@CERT@", key = "@KEY@" } }
clients = { table = "1MiB" }
log = { access = "@DIR@/access.json", error = "stderr" }
admin = { socket = "@DIR@/herald.sock" }
site { names = { "*" }, root = "@ROOT@" }
site { names = { "www.herald.test" }, aliases = { "a.wild.test" }, root = "@ROOT@/folder" }
"""
    site = herald(config=text)
    assert curl(site, "/").body == site.root.read("/index.html")
    assert curl(site, "/", fields=["Host: www.herald.test"]).body == \
        site.root.read("/folder/index.html")
    moved = curl(site, "/x?y", fields=["Host: a.wild.test"])
    assert moved.status in (301, 302, 307, 308)
    assert moved.field("location").startswith("https://www.herald.test")
    assert moved.field("location").endswith("/x?y")


# ---- names of the server that contradict each other (RFC 9113, 8.3.1) ----

def test_a_host_that_is_not_the_authority_is_400(site, connect):
    client = connect(site)
    assert client.get("/", fields=[("host", "other.example")]).status == 400
    assert client.get("/", fields=[("host", client.authority)]).status == 200


def test_userinfo_in_the_authority_is_400(site, connect):
    client = connect(site)
    assert client.get("/", authority="user@" + client.authority).status == 400
    assert client.get("/").status == 200
