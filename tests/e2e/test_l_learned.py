"""What clients ask for after a page, learned from them: the stock policy `learned`, without any
manifest."""
import json
import os
import signal

import pytest

from h2client import ENABLE_PUSH, HOST, Cookies, Client
from server import wait_until

PAGE = "/shop.html"
ASSETS = ["/assets/shop.css", "/assets/shop.js", "/img/shop.png", "/fonts/shop.woff2"]
OTHER = "/news.html"
OTHER_ASSETS = ["/assets/news.css", "/img/news.png"]
DESTS = {"css": "style", "js": "script", "png": "image", "woff2": "font", "json": "empty"}


class Learning:
    """A site whose visitors come one by one, each with a connection and a cookie jar of its own."""

    def __init__(self, herald, visitors=0, **kwargs):
        kwargs.setdefault("policies", ["learned"])
        kwargs.setdefault("site", {"cache_control": "public, max-age=3600"})
        kwargs.setdefault("workers", 2)
        routes = {"/live/*": {"cache_control": "no-store"}, "/mine/*": {"cache_control": "private"},
                  "/assets/*": {"cache_control": "max-age=31536000"}}
        self.herald = herald(routes=routes, fill=False, **kwargs)
        self.count = 0
        self.write(PAGE, OTHER, *ASSETS, *OTHER_ASSETS, "/live/now.json", "/mine/basket.json",
                   "/search.json", "/assets/lonely.js")
        self.come(visitors)

    def write(self, *names):
        for name in names:
            self.herald.root.asset(name, 300)

    def visit(self, page=PAGE, assets=tuple(ASSETS), more=(), cookies=None, fields=(), host=HOST,
              tls=False, referer=True, settings=None):
        """Loads a page as a browser does; returns the paths that were pushed with it."""
        cookies = Cookies() if cookies is None else cookies
        client = Client(self.herald, tls=tls, cookies=cookies, host=host, settings=settings)
        try:
            navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
            loaded = client.visit(page, navigate + list(fields))
            cookies.keep(loaded.page.fields)
            url = "%s://%s%s" % ("https" if tls else "http", client.authority, page)
            asked = [path for path in list(assets) + list(more) if path not in loaded.pushed]
            streams = [client.request(path, fields=self.fields(path, url if referer else None)
                                      + list(fields)) for path in asked]
            client.wait_done(*streams)
            return loaded.paths()
        finally:
            client.close()

    @staticmethod
    def fields(path, referer):
        dest = DESTS[path.partition("?")[0].rpartition(".")[2]]
        fields = [("sec-fetch-dest", dest), ("sec-fetch-mode", "no-cors")]
        return fields + [("referer", referer)] if referer else fields

    def come(self, visitors, **kwargs):
        """New visitors; each also asks for noise that must not be learned."""
        for _ in range(visitors):
            self.count += 1
            own = "/img/own-%d.png" % self.count
            self.write(own)
            self.visit(more=[own, "/search.json?q=shop", "/live/now.json", "/mine/basket.json"],
                       **kwargs)

    def pushed_to_new_visitors(self, visitors=12, **kwargs):
        """What is pushed to visitors that are new, watched ones apart."""
        sets = [self.visit(**kwargs) for _ in range(visitors)]
        assert all(not found or found == max(sets, key=len) for found in sets), sets
        return max(sets, key=len)

    def counters(self):
        return json.loads(self.herald.command("status", "--json").stdout)["counters"]


def test_after_300_visitors_a_pages_assets_are_pushed_and_nothing_else(herald):
    site = Learning(herald)
    for _ in range(300):
        site.come(1)
        site.visit(page=OTHER, assets=OTHER_ASSETS)
    sets = [site.visit() for _ in range(60)]
    assert {tuple(found) for found in sets} <= {(), tuple(sorted(ASSETS))}
    assert sum(1 for found in sets if found) >= 40, "most visitors get pushes"
    assert site.pushed_to_new_visitors(page=OTHER, assets=OTHER_ASSETS) == sorted(OTHER_ASSETS)
    with open("/proc/%d/maps" % site.herald.pid) as maps:
        segment = next(line for line in maps if "herald-segment" in line)
    start, end = (int(word, 16) for word in segment.split()[0].split("-"))
    with open("/proc/%d/mem" % site.herald.pid, "rb") as memory:
        memory.seek(start)
        text = memory.read(end - start)
    assert b"/img/shop.png" in text, "what is public lies in shared memory"
    for secret in (b"/img/own-", b"search.json", b"basket.json", b"now.json", b"lonely"):
        assert secret not in text, "%r lies in shared memory" % secret


@pytest.mark.quick
def test_five_visitors_teach_a_page(herald):
    site = Learning(herald, visitors=5)
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
@pytest.mark.asan
def test_what_was_learned_is_known_after_a_restart(herald):
    site = Learning(herald, visitors=5)
    site.herald.stop()
    site.herald.start()
    site.herald.wait_error("loaded what was learned of [1-9][0-9]* pages, saved [0-9]+ s ago")
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
def test_a_damaged_file_of_learned_sets_is_said_and_learning_begins_anew(herald):
    site = Learning(herald, visitors=5)
    site.herald.stop()
    path = os.path.join(site.herald.state_dir, "learned")
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "r+b") as file:
        file.seek(24)                    # the time when it was saved
        file.write(b"\x01")
    site.herald.start()
    site.herald.wait_error("learned sets start empty: .*/learned: is torn: its checksum is wrong")
    assert site.pushed_to_new_visitors(visitors=2) == []
    site.come(5)
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
def test_four_visitors_teach_nothing(herald):
    site = Learning(herald, visitors=4)
    assert site.visit() == []


@pytest.mark.quick
def test_what_one_user_asked_for_is_never_proposed_to_another_whatever_it_does(herald):
    """Many connections, many cookies, from one address: clients.per_address bounds what they count
    for. Loopback addresses are not bounded by default, since that is where proxies are."""
    site = Learning(herald, top={"clients": {"table": "1MiB", "per_address": 4}})
    for _ in range(60):
        site.visit(assets=["/assets/lonely.js"])
    cookies = Cookies()
    for _ in range(10):
        site.visit(assets=["/assets/lonely.js"], cookies=cookies)
    assert site.visit() == []
    assert site.counters()["learned_visits"] > 0


@pytest.mark.quick
def test_one_client_asking_again_and_again_counts_once(herald):
    site = Learning(herald, visitors=20)
    cookies = Cookies()
    for _ in range(30):
        site.visit(assets=["/assets/lonely.js"], cookies=cookies)
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
def test_a_crowd_of_few_among_many_visitors_adds_nothing_to_the_set(herald):
    """Where addresses are not told apart, the share of visits is what stops a forger of clients."""
    site = Learning(herald, visitors=60)
    for _ in range(6):
        site.visit(assets=["/assets/lonely.js"])
        site.come(10)
    assert "/assets/lonely.js" not in site.pushed_to_new_visitors()


@pytest.mark.quick
@pytest.mark.parametrize("fields", [[("authorization", "Basic eDp5")], [("cookie", "session=1")]])
def test_what_is_asked_for_with_credentials_is_not_learned(herald, fields):
    site = Learning(herald, site={"cache_control": "max-age=3600"})
    for _ in range(20):
        site.visit(fields=fields)
    assert site.counters()["learned_notes"] == 0
    assert site.visit() == []


@pytest.mark.quick
def test_public_answers_to_requests_with_cookies_are_learned(herald):
    site = Learning(herald)
    for _ in range(8):
        site.visit(fields=[("cookie", "session=1")])
    pushed = site.pushed_to_new_visitors()
    assert pushed == ["/fonts/shop.woff2", "/img/shop.png"], "/assets/* does not say public"


@pytest.mark.quick
def test_without_referer_the_connections_last_page_is_meant(herald):
    site = Learning(herald)
    for _ in range(8):
        site.visit(referer=False)
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
def test_a_referer_of_another_page_is_not_counted_for_this_one(herald):
    site = Learning(herald)
    for _ in range(8):
        client = Client(site.herald, tls=False)
        client.visit(PAGE, [("sec-fetch-mode", "navigate")])
        for path in ASSETS:
            client.get(path, site.fields(path, "http://%s/else.html" % client.authority))
        client.close()
    assert site.visit() == []


@pytest.mark.quick
def test_browsers_teach_it_too_and_get_hints(herald):
    site = Learning(herald)
    for _ in range(8):
        site.visit(tls=True, settings={ENABLE_PUSH: 0})
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


def test_a_change_of_the_page_decays_out(herald):
    site = Learning(herald, visitors=40)
    fresh = ["/assets/shop.2.css", "/img/shop.2.png"]
    site.write(*fresh)

    def learned_anew():
        sets = {tuple(site.visit(assets=fresh)) for _ in range(8)} - {()}
        return sets == {tuple(sorted(fresh))}
    for _ in range(150):
        if learned_anew():
            break
    assert learned_anew()


CONFIG_OF_TWO = """
listen = { "127.0.0.1:@H2C@", { "127.0.0.1:@TLS@", tls = true } }
tls = { { sni = "*", cert = "@CERT@", key = "@KEY@" } }
user = "nobody" workers = 2 state = "@DIR@/state" clients = { table = "1MiB" }
policy = { dir = "@DIR@/policies" } log = { error = "stderr" }
admin = { socket = "@DIR@/herald.sock" }
for _, name in ipairs { "one.test", "two.test" } do
  site { names = { name }, root = "@ROOT@", cache_control = "public, max-age=3600",
         policies = { "learned" } }
end
"""


@pytest.mark.quick
def test_sites_with_the_same_paths_do_not_mix(herald):
    site = Learning.__new__(Learning)
    site.herald, site.count = herald(config=CONFIG_OF_TWO, fill=False), 0
    site.write(PAGE, *ASSETS, "/assets/lonely.js")
    for _ in range(12):
        site.visit(host="one.test")
        site.visit(host="two.test", assets=["/assets/lonely.js"])
    assert site.pushed_to_new_visitors(host="one.test") == sorted(ASSETS)
    assert site.pushed_to_new_visitors(host="two.test",
                                       assets=["/assets/lonely.js"]) == ["/assets/lonely.js"]


@pytest.mark.quick
def test_what_is_learned_survives_a_reload(herald):
    site = Learning(herald, visitors=20)
    site.herald.workers_may_change = True
    before = site.herald.workers()
    site.herald.send_signal(signal.SIGHUP)
    wait_until(lambda: site.herald.workers() and not site.herald.workers() & before, 10,
               "the new generation")
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


def test_workers_that_are_killed_while_they_learn_lose_nothing(herald):
    site = Learning(herald, visitors=10)
    site.herald.workers_may_change = True
    for _ in range(5):
        pid = min(site.herald.workers())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in site.herald.workers() and site.herald.workers(), 10,
                   "another worker")
        for _ in range(4):
            try:
                site.come(1)
            except Exception:       # its worker had just been killed
                pass
    assert site.pushed_to_new_visitors() == sorted(ASSETS)


@pytest.mark.quick
def test_the_policys_limits_hold(herald):
    site = Learning(herald, policies=[{None: ["learned"], "max": 2}], visitors=9)
    assert len(site.pushed_to_new_visitors()) == 2


@pytest.mark.quick
def test_more_seen_than_one_can_be_wanted_is_refused_with_its_bounds(herald):
    site = Learning(herald, policies=[{None: ["learned"], "min_seen": 4}])
    site.visit()
    site.herald.wait_error(r"learned.*min_seen is an integer from 5 to 20")


@pytest.mark.quick
def test_a_site_without_learning_watches_nothing(herald):
    site = Learning(herald, visitors=8, policies=["scan"])
    assert site.counters()["learned_visits"] == 0
    assert site.counters()["learned_notes"] == 0
