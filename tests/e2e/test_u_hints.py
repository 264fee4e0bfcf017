"""103 and Link, for what is pushed to others: whom they are for, what they say, what they leave out."""
import pytest

import server
from h2client import ENABLE_PUSH, Cookies

pytestmark = pytest.mark.quick
PAGE = "/light.html"
CSS, JS = "/assets/light.css", "/assets/light.js"
NAVIGATION = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]


def policy(body):
    return "return { api = 1, on_request = function(req, push)\n%s\nend }\n" % body


BOTH = policy('push:add("%s") push:add("%s")' % (CSS, JS))


def browser(connect, site, **kwargs):
    """A client that takes no push, as browsers are today."""
    return connect(site, settings={ENABLE_PUSH: 0}, **kwargs)


def hints(stream):
    """The Link values of its 103s, one list for each."""
    assert all(status == 103 for status, _ in stream.informational)
    return [[value for name, value in fields if name == "link"]
            for _, fields in stream.informational]


def link(path, kind):
    return "<%s>; rel=preload; as=%s" % (path, kind)


def test_a_navigation_gets_all_in_one_103_and_again_in_the_response(herald, connect):
    site = herald(policies=["own.lua"], policy_files={"own.lua": BOTH})
    page = browser(connect, site).get(PAGE, NAVIGATION)
    value = link(CSS, "style") + ", " + link(JS, "script")
    assert hints(page) == [[value]]
    assert page.all("link") == [value]
    assert dict(site.page_entry(PAGE).pushes) == {CSS: "hinted", JS: "hinted"}


@pytest.mark.parametrize("fields", [[], [("sec-fetch-mode", "cors")], [("sec-fetch-mode", "no-cors")]],
                         ids=["none", "cors", "no-cors"])
def test_what_is_no_navigation_gets_no_103(herald, connect, fields):
    site = herald(policies=["own.lua"], policy_files={"own.lua": BOTH})
    page = browser(connect, site).get(PAGE, fields)
    assert hints(page) == [] and page.all("link") == []


def test_who_takes_pushes_gets_no_103(herald, connect):
    site = herald(policies=["own.lua"], policy_files={"own.lua": BOTH})
    seen = connect(site).visit(PAGE, NAVIGATION)
    assert seen.paths() == [CSS, JS]
    assert hints(seen.page) == [] and seen.page.all("link") == []


def test_a_hint_says_what_the_policy_says_of_the_fetch(herald, connect):
    source = policy("""push:add("%s", { fetchpriority = "low" })
push:hint("%s", { fetchpriority = "high", crossorigin = true })
push:add("/assets/text.woff2", { fetchpriority = "auto" })
push:preconnect("https://img.example.com")""" % (CSS, JS))
    site = herald(policies=["own.lua"], policy_files={"own.lua": source})
    page = browser(connect, site).get(PAGE, NAVIGATION)
    assert hints(page) == [[", ".join([
        link(CSS, "style") + "; fetchpriority=low",
        link(JS, "script") + "; crossorigin; fetchpriority=high",
        link("/assets/text.woff2", "font") + "; crossorigin",
        "<https://img.example.com>; rel=preconnect"])]]


@pytest.mark.parametrize("value", ["'urgent'", "1", "true"])
def test_a_fetchpriority_that_is_none_is_an_error_with_its_line(herald, connect, value):
    source = policy('push:add("%s", { fetchpriority = %s })' % (CSS, value))
    site = herald(policies=["own.lua"], policy_files={"own.lua": source})
    assert hints(browser(connect, site).get(PAGE, NAVIGATION)) == []
    site.wait_error(r"own\.lua:2.*fetchpriority is")


@pytest.mark.parametrize("all_the_same", [False, True], ids=["left-out", "hint_held"])
def test_what_the_client_holds_is_hinted_again_only_where_the_site_says_so(herald, connect,
                                                                           all_the_same):
    site = herald(policies=["own.lua"], policy_files={"own.lua": BOTH},
                  site={"push": {"hint_held": all_the_same}})
    client = browser(connect, site, cookies=Cookies())
    both = [[link(CSS, "style") + ", " + link(JS, "script")]]
    assert hints(client.get(PAGE, NAVIGATION)) == both
    client.get(CSS, [("sec-fetch-mode", "no-cors")])
    client.get(JS, [("sec-fetch-mode", "no-cors")])
    pushing = connect(site, cookies=client.cookies)
    server.wait_until(lambda: pushing.visit(PAGE).paths() == [], 5, "both are known to be held")
    assert hints(client.get(PAGE, NAVIGATION)) == (both if all_the_same else [])
