"""Activations while the server carries traffic: no request fails, no connection is closed."""
import contextlib
import json
import os
import re
import subprocess
import threading

import pytest

import server
from load import Load
from versions import CSS, JS, PAGE, Versions, pushes

pytestmark = pytest.mark.alone

ACTIVATIONS = 1000
PUSHLOAD = os.path.join(server.TOP, "build", "bench", "pushload")


def activate(own, count):
    """Uses two versions in turn; how long each took, in milliseconds."""
    took = []
    for n in range(count):
        answer = own.ask("use", "v%d" % (n % 2 + 1))
        assert answer["workers"] == answer["of"]
        took.append(answer["us"] / 1000)
    return sorted(took)


@contextlib.contextmanager
def visited(site):
    """h2load keeps the server busy meanwhile, a second at a time; nothing that it asks for may fail."""
    over, said = threading.Event(), []

    def rounds():
        argv = ["h2load", "-c", "16", "-m", "8", "-D", "1", site.url(PAGE)]
        while not over.is_set():
            said.append(subprocess.run(argv, stdout=subprocess.PIPE, text=True,
                                       timeout=server.patience(20)).stdout)

    thread = threading.Thread(target=rounds)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    for text in said:
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
        assert failed and {int(n) for n in failed.groups()} == {0}, text
    assert said


def test_activations_under_load_fail_nothing(herald):
    own = Versions(herald)
    own.load(pushes(JS))
    load = Load(own.site, threads=4, inflight=4, paths=(PAGE, "/hello.txt"))
    with visited(own.site), load:
        load.wait_done(50)
        took = activate(own, ACTIVATIONS if server.SOAK else 60)
        load.wait_done(50)
    assert load.faults() == [] and load.wrong == [] and load.refused == []
    assert len(load.connections) == 4 and load.goaways == 0      # none was closed
    print("activations: median %.1f ms, most %.1f ms" % (took[len(took) // 2], took[-1]))
    states = {v["number"]: v for v in own.state()["versions"]}
    assert states[1]["failures"] == states[2]["failures"] == 0


@pytest.mark.skipif(not os.path.exists(PUSHLOAD), reason="make bench-binaries makes pushload")
def test_clients_that_are_pushed_to_notice_nothing(herald):
    own = Versions(herald)
    own.load(pushes(JS))
    pushload = subprocess.Popen([PUSHLOAD, "--clients", "2000", "--visits", "3", "--parallel", "32",
                                 "--duration", "50", "--asset", CSS, "--asset", JS,
                                 "--fetch-missing", "--json", own.site.url(PAGE)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    took = []
    while pushload.poll() is None and len(took) < 400:
        took += activate(own, 2)
    said, errors = pushload.communicate(timeout=server.patience(60))
    assert pushload.returncode == 0, errors + said
    report = json.loads(said)
    assert len(took) > 10, "the load was over too soon: %s" % said
    faults = {k: v for k, v in report.items() if re.search("fail|error|wrong|mismatch|closed", k)}
    assert not any(v for v in faults.values() if isinstance(v, (int, float))), said


def test_a_request_stays_on_the_version_it_began_with(herald, connect):
    """Its pushes are still under way when another version takes over; the result goes to the first."""
    own = Versions(herald, policy_files={"own.lua": """return { api = 1,
  on_request = function(req, push) push:add("%s") end,
  on_push_result = function(req, r, result) log.info("the first heard " .. result) end,
}""" % CSS})
    own.load("""return { api = 1,
  on_request = function(req, push) push:add("%s") end,
  on_push_result = function(req, r, result) log.info("the second heard " .. result) end,
}""" % JS)
    client = connect(own.site, window=0, manual=True)
    page = client.request(PAGE)
    client.wait(lambda: page.promises, "the promise")
    assert [s.path for s in page.promises] == [CSS]
    own.ask("use", "v2")
    for n in range(30):
        own.load(pushes(JS, more="  local n = %d\n" % n), "--use")
    client.open_window(1 << 20, page, *page.promises)
    client.wait_done(page, *page.promises)
    client.settle()
    own.site.wait_error("the first heard delivered")
    assert not any("the second heard" in line for line in own.site.err)
