"""An origin's own 103: who gets it, what policies make of it, what of it is left out."""
import pytest

import server
from early import (CSS, EARLY, FONT, JS, NAVIGATION, PAGE, finish, hints, is_held, link, make, origin, policy,
                   promised, wait_hinted, wait_pushed)  # noqa: F401
from h2client import ENABLE_PUSH, Cookies

pytestmark = pytest.mark.quick


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
