"""Many clients that remember what they hold, by bench/pushload; what the push state tests share."""
import json
import os
import subprocess

import pytest

import server
from server import SOAK
from webroot import ASSETS, LIGHT_ASSETS

PUSHLOAD = os.path.join(server.TOP, "build", "bench", "pushload")
PAGES = {"/": list(ASSETS), "/light.html": list(LIGHT_ASSETS)}
CLIENTS = 1000 if SOAK else 60
WORKERS = 4
# Three crowds of 1,000 clients with 16 entries each overflow one of its buckets in one of 10,000 runs; so
# whatever is pushed again was not evicted, but forgotten or never believed.
TABLE = "8MiB"
FIGURES = ("pages", "promises", "delivered", "cancelled", "cuts", "cut_off", "redundant", "doubled",
           "missed", "evictions", "unreadable")


@pytest.fixture(autouse=True, scope="module")
def pushload_is_built():
    assert os.access(PUSHLOAD, os.X_OK), "%s is missing: make bench-binaries" % PUSHLOAD


class Crowd:
    """Clients that stay the same from one run of pushload to the next."""

    def __init__(self, site, clients=CLIENTS, name="jar", tls=True, page="/", assets=ASSETS):
        self.site, self.clients, self.tls, self.page = site, clients, tls, page
        self.assets = list(assets)
        self.jar = os.path.join(site.directory, name)

    def run(self, *options, jar=True, seconds=600 if SOAK else 60):
        argv = [PUSHLOAD, "--json", "--clients", str(self.clients), "--duration", str(seconds),
                "--timeout", str(min(seconds, 120))]
        for path in self.assets:
            argv += ["--asset", path]
        if jar:
            argv += ["--jar", self.jar]
        argv += [str(option) for option in options] + [self.site.url(self.page, self.tls)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
        assert done.returncode == 0, "pushload ended with %d: %s %s" % (
            done.returncode, done.stderr, done.stdout[:2000])
        report = json.loads(done.stdout)
        assert not report["out_of_time"] and report["mismatched"] == 0
        if "--no-verify" not in options:
            assert report["verified"] == report["delivered"]
        report |= told(self.site)
        print("%d clients %s:" % (self.clients, " ".join(map(str, options))),
              {name: report[name] for name in FIGURES})
        return report

    def promised(self, report):
        """{path: promises} of what was promised at all."""
        return {path: r["promises"] for path, r in report["resources"].items() if r["promises"]}


def thousand(site, **kwargs):
    """1,000 clients; over TLS, whose handshakes cost more than all else, in soak only."""
    return Crowd(site, clients=1000, **{"tls": SOAK, **kwargs})


def told(site):
    """What the server says, counted since it started: the live beliefs that gave way to others' in the
    table, and the candidates whose files a worker could not open in time, the machine being busy."""
    said = json.loads(site.command("status", "--json").stdout)
    assert said["counters"]["table_evictions"] == said["table"]["evictions"]
    return {"evictions": said["table"]["evictions"], "unreadable": said["skips"].get("unreadable", 0)}


def check(report, missed=0, full=False):
    """No connection failed, and of each kind of untrue belief there were so many. Unless it is `full`, the
    table was never in need; if it was, so says the message, before what may have come of it."""
    assert full or report["evictions"] == 0, "the table gave up %d beliefs for want of room: %s" % (
        report["evictions"], report)
    found = {name: report[name] for name in ("connect_failures", "timeouts", "lost", "abrupt", "redundant",
                                             "doubled", "missed", "bad_status")}
    wanted = dict.fromkeys(found, 0) | {"missed": missed}
    assert found == wanted, "found %s, %d evictions, %d unreadable in time, in %s" % (
        {name: n for name, n in found.items() if n != wanted[name]}, report["evictions"],
        report["unreadable"], report)


def serve(herald, **kwargs):
    kwargs.setdefault("workers", WORKERS)
    kwargs.setdefault("pushes", PAGES)
    # What an idle connection carries depends on how busy the machine is; what is left out for that is no
    # untrue belief, but would be missed all the same.
    kwargs["push"] = {"budget": "off", **kwargs.pop("push", {})}
    top = {"clients": {"table": TABLE}, **kwargs.pop("top", {})}
    return herald(top=top, **kwargs)
