"""What a client holds is not pushed again; what was lost, changed or unknown is."""
import time

import pytest

import server
from h2client import CANCEL, INITIAL_WINDOW_SIZE, WINDOW_MAX, Client, Cookies, visit_once
from webroot import ASSETS, LIGHT_ASSETS, asset_bytes

PAGES = {"/": list(ASSETS), "/light.html": list(LIGHT_ASSETS),
         "/both.html": list(ASSETS[:3]) + list(LIGHT_ASSETS)}


@pytest.fixture
def site(herald):
    made = herald(pushes=PAGES)
    made.root.page("/both.html", PAGES["/both.html"], 1500)
    return made


def visits_until(site, wanted, seconds=15, path="/", between=None, **kwargs):
    """Visits until what was pushed altogether is `wanted`, each path once and nothing else."""
    wanted, pushed = sorted(wanted), []

    def visit():
        if between:
            between()
        pushed.extend(visit_once(site, path, **kwargs).paths())
        assert not set(pushed) - set(wanted), "pushed beyond what was lacking: %s" % pushed
        return sorted(pushed) == wanted
    server.wait_until(visit, seconds, lambda: "pushes of %s, not %s" % (wanted, pushed), every=0.2)


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_the_second_visit_with_the_firsts_cookie_pushes_nothing(site, tls):
    cookies = Cookies()
    assert len(visit_once(site, tls=tls, cookies=cookies).pushed) == len(ASSETS)
    assert len(cookies) == 1
    for _ in range(5):                   # either worker
        assert visit_once(site, tls=tls, cookies=cookies).pushed == {}
    verdicts = {v for _, v in site.page_entry("/", nth=6).pushes}
    assert verdicts <= {server.HELD, server.ELSEWHERE} and verdicts


@pytest.mark.quick
def test_at_the_same_time_on_two_connections_each_asset_is_pushed_once(site, connect):
    cookies = Cookies()
    visit_once(site, "/light.html", cookies=cookies)
    clients = [connect(site, cookies=cookies) for _ in range(4)]
    pages = [client.request("/") for client in clients]
    for client, page in zip(clients, pages):
        client.wait_done(page)
        client.wait_done(*page.promises)
    pushed = [stream.path for page in pages for stream in page.promises]
    assert sorted(pushed) == sorted(ASSETS)


@pytest.mark.quick
@pytest.mark.asan
def test_a_resumed_tls_session_is_the_same_client_without_a_cookie(site):
    first = Client(site)
    assert len(first.visit("/").pushed) == len(ASSETS)
    session, context = first.session, first.context
    first.close()
    for _ in range(4):
        again = Client(site, session=session, context=context)
        visit = again.visit("/")
        assert again.resumed, "the session was not resumed"
        session = again.session
        again.close()
        assert visit.pushed == {}


@pytest.mark.quick
def test_a_new_client_without_cookie_and_session_gets_everything(site):
    for _ in range(3):
        assert len(visit_once(site).pushed) == len(ASSETS)


@pytest.mark.quick
def test_on_one_connection_nothing_is_pushed_twice(site, connect):
    for tls in (True, False):
        client = connect(site, tls=tls)
        assert len(client.visit("/").pushed) == len(ASSETS)
        assert client.visit("/").pushed == {}
        assert sorted(client.visit("/both.html").pushed) == sorted(LIGHT_ASSETS)


@pytest.mark.quick
def test_the_cookie_counts_more_than_the_session(site):
    first = Client(site, cookies=Cookies())
    first.visit("/")
    session, context = first.session, first.context
    first.close()
    other = Cookies()
    visit_once(site, "/light.html", cookies=other)
    again = Client(site, session=session, context=context, cookies=other)
    assert len(again.visit("/").pushed) == len(ASSETS)
    again.close()


@pytest.mark.quick
@pytest.mark.parametrize("spoil", [
    lambda value: value[:-1] + ("A" if value[-1] != "A" else "B"),
    lambda value: ("A" if value[0] != "A" else "B") + value[1:],
    lambda value: value[:len(value) // 2],
    lambda value: value + "x",
    lambda value: "",
    lambda value: "x" * 4000,
], ids=["last", "first", "half", "longer", "empty", "long"])
def test_a_cookie_that_is_not_ours_is_nobodys(site, spoil):
    cookies = Cookies()
    visit_once(site, cookies=cookies)
    (name, value), = cookies.items()
    forged = Cookies({name: spoil(value)})
    assert len(visit_once(site, cookies=forged).pushed) == len(ASSETS)
    assert forged[name] not in (value, spoil(value)), "a new one was given"
    assert visit_once(site, cookies=forged).pushed == {}


@pytest.mark.quick
def test_the_cookie_is_found_among_others(site):
    cookies = Cookies(a="b")
    visit_once(site, cookies=cookies)
    mixed = Cookies(first="x", second='"y; z"'.replace(";", ","), **cookies)
    assert visit_once(site, cookies=mixed).pushed == {}
    client = Client(site)                # in crumbs (RFC 9113, 8.2.3)
    crumbs = [("cookie", "%s=%s" % pair) for pair in mixed.items()]
    assert client.visit("/", fields=crumbs).pushed == {}
    client.close()


@pytest.mark.asan
def test_a_page_answered_304_pushes_what_the_client_lacks(site):
    cookies = Cookies()
    tag = visit_once(site, "/both.html").page.field("etag")
    visit_once(site, "/light.html", cookies=cookies)
    visit = visit_once(site, "/both.html", cookies=cookies, fields=[("if-none-match", tag)])
    assert visit.page.status == 304
    assert visit.paths() == sorted(ASSETS[:3])
    visit = visit_once(site, "/both.html", cookies=cookies, fields=[("if-none-match", tag)])
    assert (visit.page.status, visit.pushed) == (304, {})


@pytest.mark.asan
def test_one_changed_asset_is_pushed_alone(herald):
    site = herald(pushes=PAGES, workers=1)
    cookies = Cookies()
    assert len(visit_once(site, cookies=cookies).pushed) == len(ASSETS)
    assert visit_once(site, cookies=cookies).pushed == {}
    changed = ASSETS[1]
    data = site.root.write(changed, asset_bytes("another " + changed, 5000))
    visits_until(site, [changed], cookies=cookies)
    for _ in range(3):
        assert visit_once(site, cookies=cookies).pushed == {}
    assert bytes(visit_once(site).pushed[changed].body) == data, "a new client gets the new one"


def test_what_the_client_asked_for_itself_is_not_pushed(site, connect):
    cookies = Cookies()
    visit_once(site, "/light.html", cookies=cookies)
    client = connect(site, cookies=cookies)
    client.get(ASSETS[0])
    # The server looks for the acknowledgement when something arrives, at the latest after 1 s.
    deadline = time.monotonic() + server.patience(1)
    while time.monotonic() < deadline:
        client.settle()
        client.pump(0.1)
    assert visit_once(site, cookies=cookies).paths() == sorted(ASSETS[1:])


def test_a_range_or_a_head_says_nothing_of_what_is_held(site, connect):
    client = connect(site)
    assert client.get(ASSETS[0], fields=[("range", "bytes=0-9")]).status == 206
    assert client.get(ASSETS[1], method="HEAD").status == 200
    deadline = time.monotonic() + server.patience(1)
    while time.monotonic() < deadline:
        client.settle()
        client.pump(0.1)
    assert len(client.visit("/").pushed) == len(ASSETS)


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_what_was_cut_off_in_mid_push_is_pushed_again(site, connect, tls):
    cookies = Cookies()
    client = connect(site, tls=tls, window=0, connection_window=WINDOW_MAX, cookies=cookies)
    page = client.request("/")
    client.wait(lambda: page.status and all(s.status for s in page.promises), "the HEADERS")
    whole = page.promises[0]
    client.open_window(1 << 20, page, whole)
    client.wait_done(page, whole)
    client.settle()
    client.close()
    visits_until(site, set(ASSETS) - {whole.path}, tls=tls, cookies=cookies)


def test_what_a_client_refused_is_not_offered_again(site, connect):
    cookies = Cookies()
    client = connect(site, window=0, connection_window=WINDOW_MAX, cookies=cookies)
    page = client.request("/")
    client.wait(lambda: page.status, "the page's HEADERS")
    refused = page.promises[2]
    client.reset(refused, CANCEL)
    client.update_settings({INITIAL_WINDOW_SIZE: 1 << 20})
    client.wait_done(page, *page.promises)
    client.close()
    for _ in range(4):
        assert visit_once(site, cookies=cookies).pushed == {}
    assert site.page_entry("/", nth=5).verdict(refused.path) == server.DECLINED


@pytest.mark.quick
def test_two_clients_behind_one_address_know_nothing_of_each_other(site):
    one, two = Cookies(), Cookies()
    assert len(visit_once(site, cookies=one).pushed) == len(ASSETS)
    assert len(visit_once(site, cookies=two).pushed) == len(ASSETS)
    assert visit_once(site, cookies=one).pushed == {}
    assert visit_once(site, cookies=two).pushed == {}
    assert one != two


def test_memory_outlives_a_reload(site):
    cookies = Cookies()
    visit_once(site, cookies=cookies)
    site.reload()
    assert visit_once(site, cookies=cookies).pushed == {}


def test_a_session_is_resumed_after_a_reload(site):
    first = Client(site)
    first.visit("/")
    session, context = first.session, first.context
    first.close()
    site.reload()
    again = Client(site, session=session, context=context)
    visit, resumed = again.visit("/"), again.resumed
    again.close()
    assert resumed, "the session was not resumed"
    assert visit.pushed == {}
