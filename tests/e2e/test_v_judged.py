"""Versions tried on some clients, beside the active one, and taken out of use when they do badly."""
import json
import os
import re
import subprocess
import time

import pytest

import server
from h2client import Cookies, visit_once
from versions import CSS, JS, PAGE, Versions, pushes

CLIENTS = 240
# On one path in twenty it fails; the paths are asked for one after the other.
FAILS = """return { api = 1, on_request = function(req, push)
  if tonumber(req.query:match("n=(%d+)")) % 20 == 0 then error("one in twenty") end
  push:add("/assets/light.js")
end }
"""


def versions_of(site, first, count):
    """Which version decided `count` pages, from the `first` that was asked for."""
    entries = server.wait_until(lambda: site.log()[first + count - 1:] and site.log(), 10, "the log")
    return [e.fields["version"] for e in entries[first:first + count]]


def test_a_canary_has_its_share_of_the_clients_and_the_same_ones(herald):
    own = Versions(herald, workers=1)                    # whose log is in order
    own.load(pushes(JS))
    assert own.run("canary", "v2", "10%").stdout.startswith("v2 for 10.0 % of the clients")
    jars, first = [], []
    for _ in range(CLIENTS):
        jars.append(Cookies())
        first.append(visit_once(own.site, PAGE, cookies=jars[-1]).paths())
    share = first.count([JS]) / CLIENTS
    assert 0.03 < share < 0.2, share                     # four standard deviations about 10 %
    assert first.count([JS]) + first.count([CSS]) == CLIENTS
    print("canary 10 %%: %d of %d clients, %.1f %%" % (first.count([JS]), CLIENTS, 100 * share))
    before = versions_of(own.site, 0, CLIENTS)
    for jar in jars:
        visit_once(own.site, PAGE, cookies=jar)
    assert versions_of(own.site, CLIENTS, CLIENTS) == before      # each client stays on its version
    own.ask("canary", "v2", "50%")
    for jar in jars:
        visit_once(own.site, PAGE, cookies=jar)
    after = versions_of(own.site, 2 * CLIENTS, CLIENTS)
    assert all(b == "v2" for a, b in zip(before, after) if a == "v2")   # those had it already
    assert 0.37 < after.count("v2") / CLIENTS < 0.63
    own.ask("canary", "off")
    visit_once(own.site, PAGE, cookies=jars[before.index("v2")])
    assert versions_of(own.site, 3 * CLIENTS, 1) == ["v1"]


@pytest.mark.quick
def test_a_canary_survives_a_restart_and_ends_when_it_is_used(herald):
    own = Versions(herald)
    own.load(pushes(JS))
    own.ask("canary", "v2", "100%")
    own.site.stop()
    own.site.start()
    assert visit_once(own.site, PAGE).paths() == [JS]
    assert (own.state()["canary"], own.state()["permille"]) == (2, 1000)
    own.ask("use", "v2")
    assert (own.state()["active"], own.state()["canary"]) == (2, 0)


def examples_of(own, number):
    said = own.run("show", "v%d" % number).stdout
    differing, compared = re.search(r"differs +on (\d+) of (\d+) pages", said).groups()
    return int(differing), int(compared), said


SHADOW_PAGES = ["/light.html", "/plain.html", "/", "/folder/"]


def test_the_shadow_tells_what_its_activation_then_does(herald):
    site_assets = {"/light.html": [CSS, JS], "/plain.html": [CSS], "/": ["/assets/a.css"],
                   "/folder/": [JS]}
    before = server.push_policy({**site_assets, "/": [CSS]})
    after = server.push_policy({**site_assets, "/light.html": [JS, "/nowhere.css"], "/": [CSS],
                                "/plain.html": []})
    own = Versions(herald, policy_files={"own.lua": before}, workers=1)
    own.load(after)
    own.ask("shadow", "v2")
    def pushed():
        return {page: visit_once(own.site, page).paths() for page in SHADOW_PAGES}
    pushed()                                             # every file has been looked for once
    own.ask("shadow", "v2")                              # counts from 0
    now = pushed()
    assert now == {"/light.html": sorted([CSS, JS]), "/plain.html": [CSS], "/": [CSS],
                   "/folder/": [JS]}
    server.wait_until(lambda: examples_of(own, 2)[1] >= len(SHADOW_PAGES), 5, "all to be compared")
    differing, compared, said = examples_of(own, 2)
    told = {path: re.findall(r"([-+~]) (\S+) pushed", rest)
            for path, rest in re.findall(r"^  \w+ (/\S*): (.*)$", said, re.MULTILINE)}
    own.ask("use", "v2")
    then = pushed()
    differences = {}
    for page in SHADOW_PAGES:
        found = [("-", p) for p in now[page] if p not in then[page]]
        found += [("+", p) for p in then[page] if p not in now[page]]
        if found:
            differences[page] = found
    print("shadow: told", told, "then seen", differences)
    assert told == differences, said
    assert (differing, compared) == (len(differences), len(SHADOW_PAGES))


@pytest.mark.quick
@pytest.mark.asan
def test_a_shadow_changes_nothing(herald):
    own = Versions(herald)
    own.load("""return { api = 1, on_request = function(req, push)
  push:add("%s") req.vars.x = 1 error("always")
end }""" % JS)
    own.ask("shadow", "v2")
    for _ in range(5):
        assert visit_once(own.site, PAGE).paths() == [CSS]
    assert {e.fields["version"] for e in own.site.log()} <= {"v1"}
    page = visit_once(own.site, "/hello.txt").page       # no policy proposes anything there
    assert page.status == 200


def test_a_shadow_takes_a_share_of_a_workers_time_and_no_more(herald, connect):
    """Each of its hooks runs into the soft deadline, after more than one tick of 4 ms."""
    own = Versions(herald, workers=1, policy={"soft_strikes": 0, "hard_strikes": 0, "failures": 0})
    own.load("return { api = 1, on_request = function() while true do end end }")
    own.ask("shadow", "v2")
    client, pages, began = connect(own.site), 200, time.monotonic()
    for _ in range(pages):
        assert client.get(PAGE).status == 200
    elapsed_ms = 1000 * (time.monotonic() - began)
    counters = json.loads(own.site.command("status", "--json").stdout)["counters"]
    asked = counters["policy_soft_deadlines"]
    assert 2 <= asked <= (20 + elapsed_ms / 8) / 4 + 2, elapsed_ms
    assert asked < pages / 2
    server.wait_until(lambda: own.version(2).get("compared") == asked, 5,
                      "those pages to be compared, and no others")


def test_a_shadow_learns_nothing(herald, connect):
    """Else what the active version's visitors ask for would count as if nothing had been pushed."""
    source = "return { api = 1, on_request = function(req, push) learn.next(req.path, {}) end }"
    own = Versions(herald, workers=1, site={"cache_control": "public, max-age=3600"})

    def notes():
        client = connect(own.site)
        client.visit(PAGE, [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")])
        client.get(JS, [("sec-fetch-dest", "script"), ("sec-fetch-mode", "no-cors")])
        counters = json.loads(own.site.command("status", "--json").stdout)["counters"]
        return counters["learned_notes"]
    own.load(source)
    own.ask("shadow", "v2")
    assert notes() == 0
    own.ask("use", "v2")
    assert notes() == 1                                  # as an active version it does


def ask_many(own, count, path="/light.html"):
    for n in range(count):
        assert visit_once(own.site, "%s?n=%d" % (path, n)).page.status == 200


def test_a_version_that_fails_on_one_path_in_twenty_is_rolled_back(herald):
    own = Versions(herald, policy={"window": "30s"})
    own.load(FAILS, "--use")
    number = 0
    while own.state()["active"] == 2:
        assert number < 1000, own.run("show", "v2").stdout
        ask_many(own, 50)
        number += 50
    state = own.state()
    print("after %d pages: %s" % (number, state["events"][0]["what"]))
    assert state["active"] == 1
    assert re.match(r"v2 quarantined: it failed on \d+ of \d+ pages within 30 s; v1 active again",
                    state["events"][0]["what"])
    assert own.version(2)["state"] == "quarantined"
    own.site.wait_error("policies: v2 quarantined")
    assert "v2 quarantined" in own.site.command("status").stdout
    assert visit_once(own.site, PAGE + "?n=1").paths() == [CSS]
    own.site.reload()                                    # the files are those of v2
    assert own.state()["active"] == 1
    assert own.ask("use", "v2")["active"]                # but who says so has it


def test_a_first_version_that_fails_stays(herald):
    """There is nothing better: on the other pages it is right."""
    own = Versions(herald, policy_files={"own.lua": FAILS})
    ask_many(own, 300)
    own.site.wait_error("v1 does badly, and there is no earlier version")
    assert own.state()["active"] == 1
    assert visit_once(own.site, PAGE + "?n=1").paths() == [JS]


def test_soft_deadlines_are_strikes(herald):
    own = Versions(herald, policy={"soft_strikes": 3, "failures": 0})
    own.load("return { api = 1, on_request = function() while true do end end }", "--use")
    for _ in range(3):
        assert visit_once(own.site, PAGE).page.status == 200
    server.wait_until(lambda: own.state()["active"] == 1, 5, "the roll-back")
    assert "3 soft deadlines within 60 s" in own.version(2)["why"]


def test_a_bad_canary_is_no_canary_any_more(herald):
    own = Versions(herald, policy={"soft_strikes": 2, "failures": 0})
    own.load("return { api = 1, on_request = function() while true do end end }")
    own.ask("canary", "v2", "100%")
    for _ in range(2):
        assert visit_once(own.site, PAGE).page.status == 200
    server.wait_until(lambda: own.state()["canary"] == 0, 5, "the end of the canary")
    assert own.version(2)["state"] == "quarantined" and own.state()["active"] == 1


WEDGE = """#include <signal.h>
#include <time.h>
/* Policies' deadlines are told by this timer, which never ticks. */
int timer_create(clockid_t c, struct sigevent *e, timer_t *t) { (void)c, (void)e; *t = 0; return 0; }
int timer_settime(timer_t t, int f, const struct itimerspec *n, struct itimerspec *o)
{ (void)t, (void)f, (void)n, (void)o; return 0; }
int timer_delete(timer_t t) { (void)t; return 0; }
"""


@pytest.mark.skipif(server.ASAN, reason="the sanitizers want to be loaded first")
def test_a_policy_that_wedges_its_worker_is_quarantined(herald, tmp_path, monkeypatch):
    source, library = tmp_path / "wedge.c", tmp_path / "wedge.so"
    source.write_text(WEDGE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    os.chmod(tmp_path, 0o755)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    own = Versions(herald, workers=2)
    monkeypatch.delenv("LD_PRELOAD")
    own.site.workers_may_change = True
    own.load("""return { api = 1, applies = { path = "/wedge/*" }, on_request = function()
  while true do end
end }""", "--use")
    own.site.root.write("/wedge/index.html", b"<p>")
    with pytest.raises(Exception):                       # its connection goes with the worker
        visit_once(own.site, "/wedge/", timeout=10)
    own.site.wait_error("is killed: it used 1 s of CPU inside one policy hook")
    server.wait_until(lambda: own.state()["active"] == 1, 5, "the quarantine")
    version = own.version(2)
    assert version["state"] == "quarantined"
    assert "one of its hooks did not end and its worker had to be killed" in version["why"]
    server.wait_until(lambda: len(own.site.workers()) == 2, 10, "the worker's successor")
    assert visit_once(own.site, "/wedge/").page.status == 200
    assert visit_once(own.site, PAGE).paths() == [CSS]
