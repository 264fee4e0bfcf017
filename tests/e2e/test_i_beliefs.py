"""What becomes of a belief: by the client's own requests, late resets, a GOAWAY, a reload."""
import json

import pytest
from h2.settings import SettingCodes

import server
from h2client import Cookies
from server import DECLINED, ELSEWHERE, HELD, PUSHED, wait_until
from webroot import ASSETS

PAGES = {"/": list(ASSETS[:4])}
CSS = ASSETS[1]
CANCEL, REFUSED_STREAM = 8, 7


@pytest.fixture
def site(herald):
    return herald(pushes=PAGES)


def counter(site, name):
    return json.loads(site.command("status", "--json").stdout)["counters"][name]


def come_back(connect, site, cookies, path="/"):
    """The verdicts of another visit, over another connection."""
    before = len([e for e in site.log() if e.path == path])
    client = connect(site, cookies=cookies)
    client.visit(path)
    client.close()
    return dict(site.page_entry(path, before + 1).pushes)


def met(connect, site):
    """The cookies of a client that the server has met and that holds nothing but another page."""
    cookies = Cookies()
    client = connect(site, cookies=cookies)
    assert client.visit("/light.html").pushed == {} and cookies
    client.close()
    return cookies


def settled(site, count):
    wait_until(lambda: counter(site, "settled_requests") >= count, 5, "the answer to be settled")


def test_what_the_client_asked_for_itself_is_held(site, connect):
    cookies = met(connect, site)
    before = counter(site, "settled_requests")
    client = connect(site, cookies=cookies)
    assert client.get(CSS).status == 200
    settled(site, before + 1)
    verdicts = come_back(connect, site, cookies)
    assert verdicts.pop(CSS) == HELD and set(verdicts.values()) == {PUSHED}


def test_a_304_confirms(site, connect):
    etag = connect(site).get(CSS).field("etag")
    cookies = met(connect, site)
    client = connect(site, cookies=cookies)
    assert client.get(CSS, fields=[("if-none-match", etag)]).status == 304
    verdicts = come_back(connect, site, cookies)
    assert verdicts.pop(CSS) == HELD and set(verdicts.values()) == {PUSHED}
    before = counter(site, "held_confirmed")
    client.get(CSS, fields=[("if-none-match", etag)])
    assert counter(site, "held_confirmed") == before + 1
    assert counter(site, "wrong_beliefs") == 0


def test_a_full_answer_for_what_is_held_is_a_wrong_belief_and_corrects_it(site, connect):
    cookies = Cookies()
    come_back(connect, site, cookies)
    assert set(come_back(connect, site, cookies).values()) == {HELD}
    before, wrong = counter(site, "settled_requests"), counter(site, "wrong_beliefs")
    client = connect(site, cookies=cookies)
    assert client.get(CSS).status == 200     # its cache had lost it
    assert counter(site, "wrong_beliefs") == wrong + 1
    settled(site, before + 1)
    assert set(come_back(connect, site, cookies).values()) == {HELD}, "and now it has it again"


def test_a_full_answer_that_did_not_arrive_leaves_nothing_believed(site, connect):
    cookies = Cookies()
    come_back(connect, site, cookies)
    client = connect(site, cookies=cookies, window=0, manual=True)
    client.request(CSS)
    wait_until(lambda: counter(site, "wrong_beliefs") == 1, 5, "the belief to be found wrong")
    client.close()
    verdicts = come_back(connect, site, cookies)
    assert verdicts.pop(CSS) == PUSHED and set(verdicts.values()) == {HELD}


@pytest.mark.parametrize("how", ["head", "range", "no-push"])
def test_other_requests_change_nothing(site, connect, how):
    cookies = met(connect, site)
    if how == "head":
        client = connect(site, cookies=cookies)
        assert client.get(CSS, method="HEAD").status == 200
    elif how == "range":
        client = connect(site, cookies=cookies)
        assert client.get(CSS, fields=[("range", "bytes=0-9")]).status == 206
    else:
        client = connect(site, cookies=cookies, settings={SettingCodes.ENABLE_PUSH: 0})
        assert client.get(CSS).status == 200
    client.close()
    assert set(come_back(connect, site, cookies).values()) == {PUSHED}


@pytest.mark.parametrize("cache_control", ["no-store", "no-cache", "max-age=0"])
def test_what_is_stale_at_once_is_never_held(herald, connect, cache_control):
    site = herald(pushes=PAGES, routes={CSS: {"cache_control": cache_control}})
    cookies = met(connect, site)
    client = connect(site, cookies=cookies)
    assert client.get(CSS).status == 200
    client.close()
    come_back(connect, site, cookies)
    verdicts = come_back(connect, site, cookies)
    assert verdicts.pop(CSS) == server.NOT_CACHEABLE and set(verdicts.values()) == {HELD}


@pytest.mark.parametrize("code", [CANCEL, REFUSED_STREAM])
def test_a_cancel_after_the_last_byte_turns_held_into_declined(site, connect, code):
    cookies = Cookies()
    client = connect(site, cookies=cookies)
    visit = client.visit("/")
    wait_until(lambda: counter(site, "pushes_delivered") == len(PAGES["/"]), 5,
               "the pushes to be acknowledged")
    client.send_frame(3, 0, visit.pushed[CSS].id, code.to_bytes(4, "big"))
    name = "pushes_cancelled" if code == CANCEL else "pushes_refused"
    wait_until(lambda: counter(site, name) == 1, 5, "the late reset to be counted")
    verdicts = come_back(connect, site, cookies)
    assert verdicts.pop(CSS) == DECLINED and set(verdicts.values()) == {HELD}


def test_a_goaway_below_a_push_returns_it_to_absent(site, connect):
    cookies = met(connect, site)
    client = connect(site, cookies=cookies, window=0, manual=True)
    page = client.request("/")
    client.wait(lambda: len(page.promises) == 4, "the promises")
    assert set(come_back(connect, site, cookies).values()) == {ELSEWHERE}
    client.goaway(page.promises[1].id)
    client.settle()
    verdicts = come_back(connect, site, cookies)
    assert [verdicts[stream.path] for stream in page.promises] == [
        ELSEWHERE, ELSEWHERE, PUSHED, PUSHED]


POLICY = """return {
  api = 1,
  on_request = function(req, push)
    if req.revalidate then push:skip("/assets/reset.css", "reload") return end
    push:add("/assets/reset.css")
  end,
}
"""


@pytest.mark.parametrize("value, reload", [("no-cache", True), ("max-age=0", True),
                                           ("max-age=0, no-cache", True), (None, False),
                                           ("max-stale", False)])
def test_a_reload_is_a_fact_that_policies_see(herald, connect, value, reload):
    site = herald(policies=["reload.lua"], policy_files={"reload.lua": POLICY})
    fields = [("cache-control", value)] if value else []
    pushed = connect(site).visit("/", fields=fields).paths()
    assert pushed == ([] if reload else ["/assets/reset.css"])


def test_a_page_that_sets_the_cookie_is_private_and_the_next_is_not(herald, connect):
    site = herald(pushes=PAGES, routes={"/": {"cache_control": "public, max-age=60"}})
    cookies = Cookies()
    client = connect(site, cookies=cookies)
    first = client.visit("/").page
    assert first.all("set-cookie") and first.field("cache-control") == "private, public, max-age=60"
    second = client.visit("/").page
    assert not second.all("set-cookie") and second.field("cache-control") == "public, max-age=60"
    for path in PAGES["/"]:
        assert "private" not in client.get(path).field("cache-control")


def test_what_a_client_known_by_its_connection_was_given_ends_with_it(herald, connect):
    site = herald(pushes=PAGES, workers=1, site={"identify": ["connection"]})
    client = connect(site)
    assert client.visit("/").pushed and not client.visit("/").pushed, "known on its connection"
    shown = site.command("client", "show", site.page_entry("/").client)
    assert shown.returncode == 0
    client.close()
    wait_until(lambda: site.command("client", "show", site.page_entry("/").client).returncode == 1,
               10, "its entries to be gone")
    again = connect(site)
    assert again.visit("/").pushed and not again.visit("/").page.all("set-cookie")
