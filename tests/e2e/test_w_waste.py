"""What pushes cost and what they gain: the server's figures against the client's own count, and
clients that are held out for comparison."""
import json
import math
import os
import signal
import statistics
import time

import pytest

import server
from crowd import Crowd, serve
from h2client import Cookies
from server import HOLDOUT, wait_until
from webroot import ASSETS

PAGES = {"/": list(ASSETS[:3])}


def sent_nothing(page):
    return not page.promises and not page.informational and "link" not in dict(page.fields)


def visit(client, path="/", fields=()):
    page = client.request(path, fields=fields)
    client.wait_done(page)
    client.wait_done(*page.promises)
    return page


@pytest.mark.quick
def test_a_client_held_out_gets_no_push_and_the_log_says_why(herald, connect):
    site = herald(pushes=PAGES, push={"holdout": 1})
    client = connect(site)
    assert sent_nothing(visit(client))
    entry = site.page_entry("/")
    assert entry.pushes == [(path, HOLDOUT) for path in PAGES["/"]]
    client.close()
    assert site.settled(entry)["arm"] == "holdout"


@pytest.mark.quick
def test_a_client_held_out_gets_no_hints(herald, connect):
    site = herald(pushes=PAGES, push={"holdout": 1})
    client = connect(site, settings={2: 0})
    assert sent_nothing(visit(client, fields=[("sec-fetch-mode", "navigate")]))
    assert {verdict for _, verdict in site.page_entry("/").pushes} == {HOLDOUT}


@pytest.mark.alone
def test_the_share_held_out_is_the_configured_one_and_stays_with_its_clients(herald, connect):
    """2,000 clients; each is held out on every connection, or on none, also after the workers
    were started anew."""
    share, clients = 0.2, 2000
    site = herald(pushes=PAGES, push={"holdout": share})
    jars = [Cookies() for _ in range(clients)]
    held_out = set()
    for number, jar in enumerate(jars):
        client = connect(site, cookies=jar, tls=False)
        if sent_nothing(visit(client)):
            held_out.add(number)
        client.close()
    deviation = math.sqrt(clients * share * (1 - share))
    assert abs(len(held_out) - clients * share) < 4 * deviation, len(held_out)
    site.reload()
    for number in list(held_out)[:30]:
        client = connect(site, cookies=jars[number], tls=False)
        assert sent_nothing(visit(client)), "client %d was held out before" % number
        client.close()


# ---- bytes ----------------------------------------------------------------------------------

def status(site, *words):
    done = site.command("status", "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def figures(site):
    """The sums of the one site and version that there is."""
    rows = status(site)["waste"]["sites"]
    assert len(rows) == 1, rows
    return rows[0]


def wait_figures(site, predicate, what):
    return wait_until(lambda: [w for w in [figures(site)] if predicate(w)], 5, what)[0]


def settled_promises(row):
    return sum(row[kind]["count"] for kind in ("delivered", "cancelled", "refused", "lost"))


@pytest.mark.parametrize("tls, percent", [(False, 40), (False, 100), (True, 0)])
def test_reported_bytes_equal_the_clients_own_count(herald, tls, percent):
    site = serve(herald)
    crowd = Crowd(site, tls=tls)
    report = crowd.run("--cancel", percent, "--visits", 2, jar=False)
    row = wait_figures(site, lambda w: settled_promises(w) == w["promised"]["count"],
                       "every push to be settled")
    assert row["promised"]["count"] == report["promises"]
    assert row["delivered"] == {"count": report["delivered"], "bytes": report["pushed_bytes"]}
    assert row["cancelled"]["count"] == report["cancelled"]
    assert row["pushed_bytes"] == pytest.approx(report["data_bytes"], rel=0.01)
    assert row["cancelled"]["bytes"] == pytest.approx(report["cancelled_bytes"], rel=0.01)
    assert row["wasted_bytes"] == row["cancelled"]["bytes"]
    assert status(site)["push"]["wasted_bytes"] == row["wasted_bytes"]


def test_figures_outlive_a_killed_worker_and_a_reload(herald, connect):
    site = herald(pushes=PAGES)
    site.workers_may_change = True
    for _ in range(4):
        visit(connect(site))
    row = wait_figures(site, lambda w: w["delivered"]["count"] == 12, "twelve pushes")
    before = site.workers()
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(site.workers() - before) == 1, 5, "the worker's successor")
    site.reload()
    again = figures(site)
    assert {k: again[k] for k in again if k != "counted_s"} == \
        {k: row[k] for k in row if k != "counted_s"}


@pytest.mark.quick
def test_the_log_says_what_became_of_a_pages_pushes(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css", "/assets/app.js"]})
    client = connect(site, window=100)
    page = client.request("/")
    client.wait(lambda: len(page.promises) == 2, "both promises")
    client.reset(page.promises[0])
    client.open_window(1 << 20, page, page.promises[1])
    client.wait_done(page, page.promises[1])
    client.settle()
    client.close()
    entry = site.page_entry("/")
    line = site.settled(entry)
    app = len(site.root.read("/assets/app.js"))
    cancelled = len(page.promises[0].body) + page.promises[0].octets_after_cancel
    assert (line["promised"], line["delivered"], line["cancelled"]) == (2, 1, 1)
    assert line["pushed_bytes"] == app + cancelled
    assert line["wasted_bytes"] == cancelled > 0
    assert line["client"] == entry.client and "arm" not in line
    row = wait_figures(site, lambda w: settled_promises(w) == 2, "both pushes to be settled")
    assert row["wasted_bytes"] == line["wasted_bytes"]
    paths = status(site)["waste"]["paths"]
    assert [p["wasted_bytes"] for p in paths] == [line["wasted_bytes"]]
    said = site.command("status").stdout
    assert "(%s)" % paths[0]["resource"] in said and "fewer than five clients" in said


@pytest.mark.quick
def test_a_client_that_asks_again_for_what_it_was_pushed_is_counted(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css"]})
    client = connect(site)
    visit(client)
    wait_figures(site, lambda w: w["delivered"]["count"] == 1, "the push to be settled")
    size = len(client.get("/assets/site.css").body)
    row = figures(site)
    assert row["rerequested"] == {"count": 1, "bytes": size}
    assert row["wasted_bytes"] == size


@pytest.mark.quick
def test_a_client_that_asks_for_what_is_being_pushed_is_counted(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css"]})
    client = connect(site, window=0)
    page = client.request("/")
    client.wait(lambda: page.promises, "the promise")
    own = client.request("/assets/site.css")
    client.wait(lambda: own.status, "its answer")
    row = figures(site)
    assert row["redundant"] == {"count": 1, "bytes": len(site.root.read("/assets/site.css"))}
    client.open_window(1 << 20, page, own, page.promises[0])
    client.wait_done(page, own, page.promises[0])


@pytest.mark.quick
def test_what_was_never_pushed_wastes_nothing(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css"]})
    client = connect(site)
    visit(client)
    client.get("/assets/app.js")
    client.settle()
    client.get("/assets/app.js")
    assert figures(site)["rerequested"]["count"] == 0


def test_what_clients_keep_cancelling_is_only_hinted(herald, connect):
    """20 clients cancel the script and keep the style; the next one is pushed the style alone."""
    site = herald(policy_files={"p.lua": server.push_policy(
        {"/": ["/assets/site.css", "/assets/app.js"]})}, policies=["p.lua", "budget"],
                  push={"budget": "off"})
    for _ in range(20):
        client = connect(site, window=0)
        page = client.request("/")
        client.wait(lambda: len(page.promises) == 2, "both promises")
        client.reset(page.promises[1])
        client.open_window(1 << 20, page, page.promises[0])
        client.wait_done(page, page.promises[0])
        client.settle()
        client.close()
    wait_figures(site, lambda w: settled_promises(w) == 40, "every push to be settled")
    page = visit(connect(site))
    assert [stream.path for stream in page.promises] == ["/assets/site.css"]
    assert "</assets/app.js>; rel=preload" in dict(page.fields)["link"]


# ---- the experiment -------------------------------------------------------------------------

@pytest.mark.alone
def test_the_experiment_measures_what_the_clients_saw(herald, connect):
    """Clients that are pushed nothing ask for the assets 60 ms after the page: the interval of the
    difference contains what the clients measured themselves."""
    site = herald(pushes=PAGES, push={"holdout": 0.4})
    times = {True: [], False: []}
    for number in range(80):
        client = connect(site, tls=False)
        client.settle()                  # the preface is over
        began = time.monotonic()
        page = client.request("/")
        client.wait_done(page)
        held_out = not page.promises
        client.wait_done(*page.promises)
        if held_out:
            time.sleep(0.06)
            client.wait_done(*[client.request(path) for path in PAGES["/"]])
        times[held_out].append(1000 * (time.monotonic() - began))
        client.close()
    trial = wait_until(lambda: [t for t in status(site, "--experiment")["experiment"]
                                if t["served"]["pages"] + t["held_out"]["pages"] == 80], 5,
                       "all pages to be counted")[0]
    assert trial["means"] == "push"
    for arm, held_out in (("served", False), ("held_out", True)):
        assert trial[arm]["pages"] == trial[arm]["timed_pages"] == len(times[held_out])
    seen = sum(times[False]) / len(times[False]) - sum(times[True]) / len(times[True])
    measured = trial["difference"]["ms"]
    # What a client waits for its own turn on a busy machine, the server cannot see.
    room = 5 + 3 * math.hypot(*(statistics.stdev(arm) / math.sqrt(len(arm)) for arm in times.values()))
    assert measured["low"] - room < seen < measured["high"] + room, (seen, measured, room)
    assert measured["high"] < -40 and trial["difference"]["time_ratio"]["high"] < 0.8
    assert trial["difference"]["bytes"]["is"] == 0 and trial["served"]["mean_bytes"] > 0
    text = site.command("status", "--experiment").stdout
    assert "sooner" in text and "held out" in text


def test_hints_are_an_experiment_of_their_own(herald, connect):
    site = herald(pushes=PAGES, push={"holdout": 0.5})
    for number in range(30):
        client = connect(site, tls=False, settings={2: 0})
        page = visit(client, fields=[("sec-fetch-mode", "navigate")])
        fetched = [client.request(path, fields=[("sec-fetch-mode", "no-cors")])
                   for path in PAGES["/"]]
        client.wait_done(*fetched)
        client.close()
    trial = wait_until(lambda: [t for t in status(site, "--experiment")["experiment"]
                                if t["served"]["pages"] + t["held_out"]["pages"] == 30], 5,
                       "all pages to be counted")[0]
    assert trial["means"] == "hints"
    assert trial["served"]["timed_pages"] == trial["served"]["pages"] > 0
    assert trial["held_out"]["timed_pages"] == trial["held_out"]["pages"] > 0


@pytest.mark.quick
def test_without_a_holdout_there_is_no_experiment(herald, connect):
    site = herald(pushes=PAGES)
    visit(connect(site))
    assert status(site, "--experiment")["experiment"] == []
    assert "experiment" not in status(site)
    assert "push.holdout" in site.command("status", "--experiment").stdout
