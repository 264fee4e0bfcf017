"""What `scan` infers from a page's HTML against what Chromium requests for the same page."""
import functools
import http.server
import os
import shutil
import subprocess
import threading

import pytest

import chromium
import random_pages
from server import ASAN, TOP

PAGES = os.path.join(TOP, "tests", "pages")
SCANNER = os.path.join(TOP, "build-asan" if ASAN else "build", "tests", "assets_scan")
NAMES = ["classic", "app", "news", "docs", "soup"]
BLOCKING_FOUND = 0.9
RANDOM_PAGES = 300


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map,
                      ".woff": "font/woff", ".woff2": "font/woff2"}

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append(self.path)
        try:
            super().do_GET()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Site:
    """A folder's pages on a port of the kernel's choice, with a record of what was asked for."""

    def __init__(self, folder):
        self.folder = folder
        handler = functools.partial(Handler, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.seen = self.seen = []
        self.authority = "127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=10)


class Visit:
    """What the browser did on one page: every request of it, and those that blocked rendering.

    A request that was given up before it was sent is in the browser's own record only.
    """

    def __init__(self, site, browser, page):
        del site.seen[:]
        origin = "http://" + site.authority
        entries = [(url[len(origin):].split("#")[0], status)
                   for url, status, _ in browser.load(origin + page)
                   if url.startswith(origin + "/")]
        self.requested = (set(site.seen) | {path for path, _ in entries}) - {page}
        self.blocking = {path for path, status in entries if status == "blocking"}


def scan(site, page, slice_bytes=16384):
    """The scanner's lines for a page: path, as, blocking, crossorigin, module, fetchpriority."""
    answer = subprocess.run([SCANNER, "http", site.authority, page, site.folder, str(slice_bytes)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert answer.returncode == 0, answer.stderr.decode()
    assert answer.stderr == b"", "libxml2 must not write to stderr"
    return [line.split("\t") for line in answer.stdout.decode().splitlines()]


@pytest.fixture(scope="module")
def site():
    if not chromium.PROGRAM:
        pytest.skip("chromium is not installed (Debian package: chromium)")
    pages = Site(PAGES)
    yield pages
    pages.close()


@pytest.fixture(scope="module")
def visits(site):
    """Each page loaded once in one browser."""
    with chromium.Chromium() as browser:
        return {name: Visit(site, browser, "/%s/" % name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_proposed_that_the_browser_did_not_request(site, visits, name):
    proposed = [line[0] for line in scan(site, "/%s/" % name)]
    assert len(proposed) >= 8, "the page has more assets than that"
    assert [path for path in proposed if path not in visits[name].requested] == []


@pytest.mark.parametrize("name", NAMES)
def test_nearly_all_that_blocks_rendering_is_proposed(site, visits, name):
    proposed = {line[0] for line in scan(site, "/%s/" % name)}
    blocking = visits[name].blocking
    missed = blocking - proposed
    assert len(blocking) >= 2, "the page has assets that block rendering"
    assert len(blocking - missed) >= BLOCKING_FOUND * len(blocking), sorted(missed)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_to_block_blocks_and_comes_first(site, visits, name):
    lines = scan(site, "/%s/" % name)
    flags = [line[2] == "1" for line in lines]
    assert flags == sorted(flags, reverse=True)
    assert {line[0] for line in lines if line[2] == "1"} <= visits[name].blocking


def test_fonts_are_proposed_where_the_text_needs_them(site, visits):
    fonts = {line[0] for line in scan(site, "/docs/") if line[1] == "font"}
    assert fonts == {"/docs/fonts/" + name for name in
                     ("text-400.woff2", "text-400-italic.woff2", "text-700.woff2",
                      "heads-variable.woff2")}
    assert fonts <= visits["docs"].requested
    assert "/docs/fonts/text-600.woff2" not in visits["docs"].requested


@pytest.mark.parametrize("name", NAMES)
def test_the_result_does_not_depend_on_how_the_page_is_cut(site, name):
    whole = scan(site, "/%s/" % name, 1 << 20)
    for slice_bytes in (1, 7, 1000):
        assert scan(site, "/%s/" % name, slice_bytes) == whole


@pytest.mark.soak
def test_nothing_false_is_proposed_for_random_pages(site, tmp_path):
    """`site` is here for its check that there is a browser."""
    pages = [random_pages.write(str(tmp_path), seed) for seed in range(RANDOM_PAGES)]
    random_site = Site(str(tmp_path))
    proposed = []
    try:
        with chromium.Chromium() as browser:
            for page in pages:
                visit = Visit(random_site, browser, page)
                found = [line[0] for line in scan(random_site, page)]
                assert set(found) <= visit.requested, page
                proposed += found
                shutil.rmtree(str(tmp_path / page.strip("/")))
    finally:
        random_site.close()
    assert len(proposed) > 3 * RANDOM_PAGES, "the pages have references"
