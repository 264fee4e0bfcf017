"""Other people's clients: nghttp, h2load, Node's http2, Java's HttpClient."""
import hashlib
import json
import os
import re
import subprocess

import pytest

import server
from curl import curl
from webroot import ASSETS, LIGHT_ASSETS

CLIENTS = os.path.join(server.TOP, "tests", "clients")
PAGES = {"/": list(ASSETS), "/light.html": list(LIGHT_ASSETS)}
REQUESTS = 200000 if server.SOAK else 20000


@pytest.fixture(scope="module")
def site(shared_herald):
    return shared_herald(pushes=PAGES, push={"budget": "off"})


def run(*argv, seconds=60):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=server.patience(seconds))
    assert done.returncode == 0, (done.stdout + done.stderr).strip().splitlines()[-5:]
    return done.stdout


def expected(site, paths):
    """What each path's body must be: (status, length, sha256) of a GET by a client without push."""
    answers = {path: curl(site, path) for path in paths}
    return {path: (a.status, len(a.body), hashlib.sha256(a.body).hexdigest())
            for path, a in answers.items()}


# ---- nghttp ----

@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_nghttp_lists_the_page_and_what_was_pushed(site, tls):
    said = run("nghttp", "-ns", site.url("/", tls))
    rows = re.findall(r"^ *\d+ +\S+ (\*)? +\S+ +\S+ +(\d+) +\S+ (\S+)$", said, re.MULTILINE)
    assert ("", "200", "/") in rows
    pushed = sorted(path for star, status, path in rows if star and status == "200")
    assert pushed == sorted(ASSETS)


def test_nghttp_asks_for_nothing_that_was_pushed(site):
    """With -a it fetches what the page refers to; here all of that is on its way already."""
    said = run("nghttp", "-ans", site.url("/light.html"))
    rows = re.findall(r"^ *\d+ +\S+ (\*)? +\S+ +\S+ +(\d+) +\S+ (\S+)$", said, re.MULTILINE)
    assert sorted(path for star, _, path in rows if not star) == ["/light.html"]


@pytest.mark.quick
def test_nghttp_without_push_gets_the_page_alone(site):
    said = run("nghttp", "-ns", "--no-push", site.url("/"))
    assert " * " not in said.split("request path")[1]


# ---- Node and Java ----

@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_node_receives_the_pushed_bodies(site, tls):
    result = json.loads(run("node", os.path.join(CLIENTS, "push_client.js"), site.ca,
                            site.url("/", tls), "/hello.txt"))
    wanted = expected(site, ("/", "/hello.txt") + ASSETS)
    assert sorted(answer["path"] for answer in result["pushed"]) == sorted(ASSETS)
    for answer in [result["page"]] + result["pushed"] + result["asked"]:
        got = (answer["status"], answer["length"], answer["sha256"])
        assert got == wanted[answer["path"]], answer["path"]


def test_java_receives_the_pushed_bodies(site):
    said = run("java", os.path.join(CLIENTS, "PushClient.java"), site.ca, site.url("/"),
               "/hello.txt", seconds=90)
    rows = [line.split("\t") for line in said.splitlines()]
    assert [path for role, path, *_ in rows if role == "page"] == ["/"]
    assert [path for role, path, *_ in rows if role == "asked"] == ["/hello.txt"]
    assert sorted(path for role, path, *_ in rows if role == "pushed") == sorted(ASSETS)
    wanted = expected(site, ("/", "/hello.txt") + ASSETS)
    for _, path, status, length, digest in rows:
        assert (int(status), int(length), digest) == wanted[path], path


# ---- h2load ----

def h2load(url, requests, clients=64, streams=32):
    """Runs h2load and checks that every request succeeded with 2xx."""
    said = run("h2load", "-n", str(requests), "-c", str(clients), "-m", str(streams), url,
               seconds=300 + requests // 500)
    counts = {word: int(number) for number, word in re.findall(
        r"(\d+) (total|started|done|succeeded|failed|errored|timeout|2xx|3xx|4xx|5xx)\b", said)}
    assert counts["succeeded"] == counts["2xx"] == counts["done"] == requests, said
    assert counts["failed"] == counts["errored"] == counts["timeout"] == 0, said
    return said


@pytest.mark.parametrize("path", ["/", "/hello.txt"])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_h2load_succeeds_in_every_request(site, tls, path):
    h2load(site.url(path, tls), REQUESTS)
    site.check_running()


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_h2load_succeeds_in_a_short_run(site, tls):
    h2load(site.url("/", tls), 1000, clients=8)


def test_h2load_is_pushed_nothing(herald):
    """It switches push off, so nothing may be promised to it, and the log says why."""
    site = herald(pushes=PAGES)
    h2load(site.url("/light.html"), 100, clients=1, streams=1)
    entries = server.wait_until(lambda: site.log()[99:] and site.log(), 5, "100 lines of the log")
    assert {e.path for e in entries} == {"/light.html"}
    assert {v for e in entries for _, v in e.pushes} <= {server.PUSH_DISABLED}
