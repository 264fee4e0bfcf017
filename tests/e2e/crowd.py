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
        return report

    def promised(self, report):
        """{path: promises} of what was promised at all."""
        return {path: r["promises"] for path, r in report["resources"].items() if r["promises"]}


def check(report, redundant=0, doubled=0, missed=0, lost=0):
    """No connection failed, and of each kind of untrue belief there were so many."""
    found = {name: report[name] for name in ("connect_failures", "timeouts", "lost", "abrupt", "redundant",
                                             "doubled", "missed", "bad_status")}
    wanted = dict.fromkeys(found, 0) | {"redundant": redundant, "doubled": doubled,
                                        "missed": missed, "lost": lost}
    assert found == wanted, "found %s in %s" % (
        {name: n for name, n in found.items() if n != wanted[name]}, report)


def serve(herald, **kwargs):
    kwargs.setdefault("workers", WORKERS)
    kwargs.setdefault("pushes", PAGES)
    top = {"clients": {"table": "4MiB"}, **kwargs.pop("top", {})}
    return herald(top=top, **kwargs)
