"""What the server believes of each client is true: seen by many clients that remember themselves.

bench/pushload visits a page as many clients and knows what each of them holds. `redundant` and
`doubled` are pushes of what a client had or was being sent, `missed` is what it neither had nor got.
"""
import json
import os
import re
import subprocess
import time

import pytest

import server
from crowd import CLIENTS, PUSHLOAD, WORKERS, Crowd, check, pushload_is_built, serve, thousand  # noqa: F401
from server import SOAK, wait_until
from sockets import tcp_rows
from webroot import ASSETS, LIGHT_ASSETS

SEEN_S = 1.2                             # a version is served for a second without a look


@pytest.mark.alone
def test_four_connections_at_once_are_promised_each_asset_once(herald):
    crowd = Crowd(serve(herald))
    report = crowd.run("--conns-per-client", 4, "--at-once", "--first", "/light.html",
                       "--visits", 2)
    check(report)
    assert crowd.promised(report) == {path: CLIENTS for path in ASSETS + LIGHT_ASSETS}
    assert report["pages"] == CLIENTS * (1 + 2 * 4)
    assert report["delivered"] == report["promises"]


@pytest.mark.alone
def test_beliefs_survive_a_killed_worker_a_reload_and_a_restart(herald):
    site = serve(herald)
    crowd = thousand(site)
    check(crowd.run("--visits", 2))
    site.workers_may_change = True
    for end_some in (kill_a_worker, server.Herald.reload, stop_and_start):
        end_some(site)
        report = crowd.run("--conns-per-client", 2)
        check(report)
        assert report["promises"] == 0 and report["pages"] == 2 * crowd.clients, end_some


def kill_a_worker(site):
    before = site.workers()
    os.kill(min(before), 9)
    wait_restarted(site, before)


def wait_restarted(site, before):
    wait_until(lambda: len(site.workers() - before) == 1 and len(site.workers()) == WORKERS, 10,
               "another worker in the killed one's place")


def stop_and_start(site):
    done = site.command("stop")
    assert done.returncode == 0, done.stderr
    assert site.wait_exit() == 0
    site.start()


def kill_in_mid_push(site, crowd, size):
    """Kills a worker while all clients are pushed a new picture; returns what pushload saw."""
    site.root.asset("/assets/hero.jpg", size)
    time.sleep(SEEN_S)
    before = site.workers()
    argv = [PUSHLOAD, "--json", "--jar", crowd.jar, "--clients", str(CLIENTS), "--at-once",
            site.url()]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: running.poll() is not None or
               sum(row.inode > 0 for row in tcp_rows(remote=site.tls_port)) >= CLIENTS * 0.9, 20,
               "nearly all clients to be connected, which ask at once then", every=0.001)
    os.kill(min(before), 9)
    wait_restarted(site, before)
    return json.loads(running.communicate(timeout=120)[0])


@pytest.mark.alone
def test_a_killed_worker_loses_only_what_was_not_acknowledged(herald):
    """Killed in mid-push: the next visit is pushed what had not come, and nothing else."""
    site = serve(herald, push={"max_bytes": "8MiB"})
    crowd = Crowd(site)
    site.workers_may_change = True
    check(crowd.run())
    size = max(900000, 240000000 // CLIENTS)     # half a second's work at least
    for attempt in range(4):
        report = kill_in_mid_push(site, crowd, size + attempt)
        if report["lost"]:               # else the kill came too late to prove anything
            break
    assert report["lost"] > 0, "the worker was killed too late"
    assert report["mismatched"] == report["redundant"] == report["doubled"] == 0
    assert set(crowd.promised(report)) == {"/assets/hero.jpg"}, "what was held stayed held"
    last = crowd.run()
    check(last)
    assert set(crowd.promised(last)) == {"/assets/hero.jpg"}
    did_not_come = CLIENTS - report["delivered"]
    in_doubt = report["lost"] + report["abrupt"]
    assert report["cut_off"] <= did_not_come <= last["promises"] <= did_not_come + in_doubt


@pytest.mark.alone
def test_only_what_changed_on_disk_is_pushed_again(herald):
    site = serve(herald)
    crowd = thousand(site)
    check(crowd.run())
    site.root.write("/assets/site.css", b"body { color: teal }\n" * 300)
    time.sleep(SEEN_S)
    report = crowd.run("--conns-per-client", 2, "--visits", 2)
    check(report)
    assert crowd.promised(report) == {"/assets/site.css": crowd.clients}


@pytest.mark.alone
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_what_a_cut_connection_left_out_is_pushed_on_the_next_visit(herald, how, tls):
    site = serve(herald)
    visits = 10 if SOAK else 3
    crowd = Crowd(site, clients=CLIENTS if tls else 1000, tls=tls)
    report = crowd.run("--first", "/light.html", "--visits", visits, "--%s-mid-push" % how, 100,
                       "--pause", 100)
    assert report["cuts"] >= crowd.clients * 0.9 and report["cut_off"] > crowd.clients, "they were cut in time"
    check(report)
    again = report["promises"] - report["delivered"] - report["cut_off"]
    assert again == 0, "each promise came whole or ended with its connection"


def test_what_a_black_hole_swallowed_is_pushed_once_its_claim_has_lapsed(herald):
    """Nothing is acknowledged and nothing ends: a claim that sees no progress lasts 16 s."""
    crowd = Crowd(serve(herald), clients=CLIENTS if SOAK else 200)
    report = crowd.run("--first", "/light.html", "--visits", 2, "--black-hole-mid-push", 100,
                       "--pause", 19000)
    assert report["cuts"] >= crowd.clients * 0.9 and report["cut_off"] > crowd.clients
    check(report)


def test_a_claim_that_has_not_lapsed_keeps_others_from_pushing(herald):
    crowd = Crowd(serve(herald), clients=12)
    report = crowd.run("--first", "/light.html", "--visits", 2, "--black-hole-mid-push", 100,
                       "--pause", 200)
    assert report["cut_off"] > 12
    check(report, missed=report["cut_off"])


@pytest.mark.alone
def test_two_crowds_at_one_address_know_nothing_of_each_other(herald):
    site = serve(herald)
    here, there = thousand(site, name="here"), thousand(site, name="there")
    check(here.run())
    report = there.run()
    check(report)
    assert there.promised(report) == {path: there.clients for path in ASSETS}
    for crowd in (here, there):
        report = crowd.run()
        check(report)
        assert report["promises"] == 0


FORGERIES = {
    "truncated": lambda value: value[:-1],
    "flipped": lambda value: ("B" if value[0] == "A" else "A") + value[1:],
    "mac": lambda value: value[:-2] + ("B" if value[-2] == "A" else "A") + value[-1],
    "empty": lambda value: "x",
}


def forge(jar, target, change):
    """A jar whose clients believe the same but show cookies that were tampered with."""
    with open(jar) as source, open(target, "w") as forged:
        for line in source:
            if line.startswith("client "):
                name, _, value = line[len("client "):].strip().partition("=")
                forged.write("client %s=%s\n" % (name, change(value)))


@pytest.mark.alone
@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_cookie_shows_nothing_of_its_victim(herald, how):
    site = serve(herald)
    victims, forgers = thousand(site, name="victims"), thousand(site, name="forgers")
    check(victims.run())
    forge(victims.jar, forgers.jar, FORGERIES[how])
    report = forgers.run("--cancel", 50)
    assert forgers.promised(report) == {path: forgers.clients for path in ASSETS}, "as if they were new"
    report = victims.run()
    check(report)
    assert report["promises"] == 0


@pytest.mark.alone
def test_the_cookie_of_another_site_is_no_cookie(herald):
    site_keys = {"names": ["other.test"], "root": "@ROOT@", "policies": ["pages.lua"]}
    site = serve(herald, site={"names": ["one.test"]}, more="site " + server.to_lua(site_keys))
    one, other = thousand(site, name="one", tls=False), thousand(site, name="other", tls=False)
    check(one.run("--authority", "one.test"))
    forge(one.jar, other.jar, lambda value: value)
    report = other.run("--authority", "other.test")
    check(report)
    assert other.promised(report) == {path: other.clients for path in ASSETS}
    report = one.run("--authority", "one.test")
    check(report)
    assert report["promises"] == 0


@pytest.mark.alone
def test_crowds_without_cookies_evict_no_known_client(herald):
    """A table which the strangers' entries alone would fill: each visit of theirs is a new client's, with
    an entry for the page and for each asset. The known have come back once. That there were evictions,
    and only once the strangers came, says that it was they who gave way."""
    site = serve(herald, top={"clients": {"table": "2MiB"}, "log": {"error": "stderr"}})
    known = thousand(site, name="known", tls=False)
    check(known.run())
    report = known.run()
    check(report)
    assert report["promises"] == report["evictions"] == 0
    light = {"page": "/light.html", "assets": LIGHT_ASSETS} if SOAK else {}
    strangers = thousand(site, tls=False, **light)
    visits = 1000 if SOAK else 20
    report = strangers.run("--cookies", "off", "--no-verify", "--visits", visits, jar=False,
                           seconds=3600 if SOAK else 120)
    assert report["pages"] == visits * strangers.clients
    assert report["redundant"] == report["doubled"] == report["lost"] == report["bad_status"] == 0
    assert report["missed"] <= report["unreadable"], "no stranger is refused for want of room"
    table = json.loads(site.command("status", "--json").stdout)["table"]
    print("table:", {name: table[name] for name in ("held", "entries_max", "full_buckets", "evictions")})
    assert table["held"] > 0.5 * table["entries_max"], "the table was never in need"
    assert table["evictions"] > 0
    assert re.search(r"^table +.* \d+ evicted", site.command("status").stdout, re.MULTILINE)
    report = known.run()
    check(report, full=True)
    assert report["promises"] == 0, "all that the known clients hold is still known"


@pytest.mark.alone
def test_a_resumed_session_is_the_same_client_without_a_cookie(herald):
    crowd = Crowd(serve(herald))
    report = crowd.run("--cookies", "off", "--resume", "on", "--visits", 3, jar=False)
    check(report)
    assert crowd.promised(report) == {path: CLIENTS for path in ASSETS}


@pytest.mark.alone
def test_a_cancelled_push_is_not_promised_again(herald):
    crowd = thousand(serve(herald))
    report = crowd.run("--visits", 3, "--first", "/light.html", "--cancel", 100)
    check(report)
    assert report["unheeded"] == 0 and report["cancelled"] == report["promises"] > crowd.clients
