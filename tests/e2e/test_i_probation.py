"""An id that never came back is on probation; what it held lasts once it does."""
import json
import os

import pytest

import saved_table
from crowd import CLIENTS, TABLE, Crowd, check, pushload_is_built, serve  # noqa: F401
from server import wait_until
from webroot import ASSETS, LIGHT_ASSETS

PROBATION_S = 3600


def counter(site, name):
    done = site.command("status", "--json")
    return json.loads(done.stdout)["counters"][name]


def restart_later(site, seconds):
    """Stops the server, lets `seconds` pass for its table, and starts it again."""
    site.workers_may_change = True
    assert site.command("stop").returncode == 0 and site.wait_exit() == 0
    saved_table.make_older(os.path.join(site.state_dir, "push-table"), seconds)
    site.start()


def test_what_the_first_page_brought_outlasts_the_hour_only_if_the_cookie_came_back(herald):
    site = serve(herald)
    back, gone, elsewhere = (Crowd(site, name=name) for name in ("back", "gone", "elsewhere"))
    for crowd in (back, gone, elsewhere):
        check(crowd.run())
    assert counter(site, "beliefs_lifted") == 0, "nobody has come back yet"
    check(back.run())
    assert counter(site, "beliefs_lifted") == CLIENTS * len(ASSETS)
    check(back.run())
    assert counter(site, "beliefs_lifted") == CLIENTS * len(ASSETS), "nothing is lifted twice"
    other = Crowd(site, name="elsewhere", page="/light.html", assets=LIGHT_ASSETS)
    check(other.run())                   # no candidate of this page was on the first one
    report = elsewhere.run()             # but they are lifted when they are seen again
    check(report)
    assert report["promises"] == 0
    restart_later(site, PROBATION_S + 600)
    for crowd in (back, elsewhere):
        report = crowd.run()
        check(report)
        assert report["promises"] == 0, "what was lifted is still known"
    assert gone.promised(gone.run()) == {path: CLIENTS for path in ASSETS}, "the others' is not"


def test_what_no_page_looked_at_within_its_hour_is_pushed_once_more_and_then_lasts(herald):
    """The cookie came back within the hour, but with a page that needs nothing of the first one's."""
    site = serve(herald)
    crowd = Crowd(site)
    check(crowd.run())
    check(Crowd(site, page="/light.html", assets=LIGHT_ASSETS).run())
    restart_later(site, PROBATION_S + 600)
    assert crowd.promised(crowd.run()) == {path: CLIENTS for path in ASSETS}
    restart_later(site, PROBATION_S + 600)
    report = crowd.run()
    check(report)
    assert report["promises"] == 0


def test_a_lifted_belief_ends_with_its_freshness(herald):
    """It was fresh for two hours when it was noted, not from when the client came back."""
    routes = {"/assets/*": {"cache_control": "max-age=7200"}}
    site = serve(herald, routes=routes)
    crowd = Crowd(site)
    check(crowd.run("--visits", 2))
    restart_later(site, 7200 + 900)  # noting, lifting and saving round up to ticks of 256 s
    assert crowd.promised(crowd.run()) == {path: CLIENTS for path in ASSETS}


def test_a_refusal_on_the_first_page_lasts_once_the_cookie_came_back(herald):
    site = serve(herald)
    back, gone = Crowd(site, name="back"), Crowd(site, name="gone")
    for crowd in (back, gone):
        report = crowd.run("--cancel", 100)
        assert report["cancelled"] == report["promises"] > CLIENTS
    check(back.run())
    restart_later(site, PROBATION_S + 600)
    assert not set(back.promised(back.run())) & set(ASSETS[:4]), "these were cancelled"
    assert set(gone.promised(gone.run())) >= set(ASSETS[:4])


def test_a_client_without_cookies_is_lifted_by_its_ticket(herald):
    site = serve(herald)
    crowd = Crowd(site)
    check(crowd.run("--cookies", "off", "--resume", "on", "--visits", 1, jar=False))
    assert counter(site, "beliefs_lifted") == 0
    report = crowd.run("--cookies", "off", "--resume", "on", "--visits", 3, jar=False)
    check(report)
    assert crowd.promised(report) == {path: CLIENTS for path in ASSETS}
    assert counter(site, "beliefs_lifted") == CLIENTS * len(ASSETS)


@pytest.mark.parametrize("place", [0, 21, 24, 27, 40], ids=["id", "time", "time2", "time3", "mac"])
def test_a_cookie_with_a_time_of_its_own_making_is_no_cookie(herald, place):
    site = serve(herald)
    crowd = Crowd(site, name="honest")
    check(crowd.run())
    with open(crowd.jar) as jar:
        lines = jar.readlines()
    forged = Crowd(site, name="forged")
    with open(forged.jar, "w") as jar:
        for line in lines:
            if line.startswith("client "):
                name, _, value = line.strip().partition("=")
                other = "B" if value[place] == "A" else "A"
                line = "%s=%s%s%s\n" % (name, value[:place], other, value[place + 1:])
            jar.write(line)
    assert forged.promised(forged.run()) == {path: CLIENTS for path in ASSETS}, "as if new"
    assert counter(site, "cookies_rejected") == CLIENTS
    assert counter(site, "beliefs_lifted") == 0
    report = crowd.run()
    check(report)
    assert report["promises"] == 0 and counter(site, "beliefs_lifted") == CLIENTS * len(ASSETS)


def test_two_cookies_cannot_be_made_into_one(herald):
    """The id of one client with the time and MAC of another."""
    site = serve(herald)
    crowd = Crowd(site, clients=2)
    check(crowd.run())
    with open(crowd.jar) as jar:
        values = [line.strip().partition("=")[2] for line in jar if line.startswith("client ")]
    mixed = Crowd(site, clients=1, name="mixed")
    with open(mixed.jar, "w") as jar:
        jar.write("client __Host-herald=%s%s\n" % (values[0][:20], values[1][20:]))
    mixed.run()
    assert counter(site, "cookies_rejected") == 1


def test_a_site_that_never_remembers_keeps_nothing_and_sets_no_cookie(herald):
    site = serve(herald, site={"remember": "never"})
    crowd = Crowd(site)
    for _ in range(2):
        report = crowd.run("--cancel", 10)
        assert report["bad_status"] == report["lost"] == report["missed"] == 0
        assert crowd.promised(report) == {path: CLIENTS for path in ASSETS}, "each time anew"
    with open(crowd.jar) as jar:
        assert not [line for line in jar if "herald" in line], "no cookie was set"
    assert counter(site, "cookies_minted") == 0

    def table():
        counts = json.loads(site.command("status", "--json").stdout)["table"]
        return counts.get("held"), counts.get("declined"), counts.get("claimed")
    wait_until(lambda: table() != (None, None, None), 10, "the table to be counted")
    assert table() == (0, 0, 0), "no entry was made"


def test_clients_remember_never_holds_for_every_site_that_does_not_say_otherwise(herald):
    site = serve(herald, top={"clients": {"table": TABLE, "remember": "never"}})
    crowd = Crowd(site)
    check(crowd.run())
    report = crowd.run()
    assert crowd.promised(report) == {path: CLIENTS for path in ASSETS}
    with open(site.config_path) as config:
        text = config.read()
    with open(site.config_path, "w") as config:
        config.write(text.replace("site {", 'site { remember = "1h",'))
    site.reload()
    check(crowd.run())
    report = crowd.run()
    assert report["promises"] == 0, "now it is remembered"
