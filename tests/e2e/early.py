"""What the tests of early answers share: an origin that thinks until the test lets it answer, so that
`early` is no matter of time; policies, and what a page came with."""
import pytest

from thinking import Origin

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


def is_held(client, origin):
    page = client.request(PAGE)
    origin.wait().answer()
    finish(client, page)
    client.wait_done(*page.promises)
    return not page.promises
