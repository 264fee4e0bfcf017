"""Dictionaries that policies share: counted by all workers, kept across versions, reloads, crashes."""
import concurrent.futures
import json
import os
import re
import signal

import pytest

import server
from h2client import Client, Gone, visit_once
from server import wait_until
from versions import CSS, JS, PAGE, Versions, pushes

TOP = {"counters": "64KiB", "notes": "64KiB"}
COUNT = """return { api = 1, on_request = function(req, push)
  if req.query == "read" then
    log.info("pages=" .. tostring(shared.counters:get("pages")) .. " note=" ..
             tostring(shared.notes:get("note")) .. " version=%s")
  else
    local n = shared.counters:incr("pages")
    if req.query == "note" then shared.notes:set("note", "left by %s") end
    push:add(n %% 2 == 0 and "/assets/light.css" or "/assets/light.js")
  end
end }
"""


def counting(name):
    return COUNT % (name, name)


class Sharing(Versions):
    def __init__(self, herald, **kwargs):
        files = {"own.lua": counting("one")}
        super().__init__(lambda **more: herald(**{**more, "top": {**more["top"], "shared": TOP}}),
                         policy_files=files, workers=2, **kwargs)

    def read(self):
        since = len(self.site.err)
        visit_once(self.site, PAGE + "?read")
        line = self.site.wait_error("pages=", since=since)
        return re.search(r"pages=(\S+) note=(.*?) version=(\w+)", line).groups()

    def visit(self, connections, pages, give_up=False):
        """So many pages on each of so many connections at once; returns how many were answered."""
        def one(_):
            done, client = 0, None
            try:
                client = Client(self.site)
                for _ in range(pages):
                    done += client.visit(PAGE).page.status == 200
            except (Gone, OSError):      # its worker was killed
                assert give_up
            finally:
                if client:
                    client.close()
            return done
        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            return sum(pool.map(one, range(connections)))


@pytest.mark.quick
@pytest.mark.asan
def test_two_workers_count_to_an_exact_total(herald):
    own = Sharing(herald)
    clients = [Client(own.site) for _ in range(12)]
    served = {own.site.worker_of(client.local_port) for client in clients}
    for client in clients:
        client.close()
    assert len(served - {None}) == 2, "both workers take connections"
    assert own.visit(8, 40) == 320
    assert own.read()[0] == "320"


@pytest.mark.quick
def test_a_version_and_a_reload_find_what_was_written_before(herald):
    own = Sharing(herald)
    visit_once(own.site, PAGE + "?note")
    own.load(counting("two"), "--use")
    assert own.read() == ("1", "left by one", "two")
    visit_once(own.site, PAGE + "?note")
    own.site.reload()
    assert own.read() == ("2", "left by two", "two")


def test_a_worker_that_is_killed_loses_nothing(herald):
    own = Sharing(herald)
    own.site.workers_may_change = True
    answered = 0
    for _ in range(4):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            load = pool.submit(own.visit, 4, 30, give_up=True)
            before = own.site.workers()
            os.kill(min(before), signal.SIGKILL)
            answered += load.result()
        wait_until(lambda: len(own.site.workers()) == 2 and own.site.workers() != before, 10,
                   "a worker in the dead one's place", own.site.check_running)
    counted = int(own.read()[0])
    # A page that was counted and not answered may be lost with its worker, one for each connection.
    assert 0 < answered <= counted <= answered + 4 * 4


@pytest.mark.quick
def test_the_status_tells_how_full_each_is(herald):
    own = Sharing(herald)
    for n in range(3):
        visit_once(own.site, PAGE + "?note")
    status = json.loads(own.site.command("status", "--json").stdout)
    shared = {one["name"]: one for one in status["shared"]}
    assert list(shared) == ["counters", "notes"]
    for one in shared.values():
        assert one["entries"] == 1 and one["evictions"] == one["refusals"] == 0
        assert one["bytes"] == 64 and one["bytes"] < one["room"] < 64 * 1024
    said = own.site.command("status").stdout
    assert re.search(r"^shared   counters +1 entries, 64 bytes: 0\.1 % of 45\.0 KiB; "
                     r"0 evicted, 0 refused$", said, re.MULTILINE), said
    assert re.search(r"^ +notes +1 entries, ", said, re.MULTILINE), said


@pytest.mark.quick
def test_explain_and_a_shadow_change_nothing(herald):
    own = Sharing(herald)
    visit_once(own.site, PAGE)
    for _ in range(3):
        done = own.site.command("explain", PAGE)
        assert done.returncode == 0, done.stderr
    own.load(counting("two"))
    own.ask("shadow", "v2")
    for _ in range(4):
        visit_once(own.site, PAGE)
    assert own.read()[0] == "5"


@pytest.mark.quick
@pytest.mark.parametrize("source, said", [
    ("local _ = shared.cuonters\nreturn {}", r"own\.lua:1: .*'shared\.cuonters'; did you mean 'counters'"),
    ("return function(req)\n  local a = 1\n  shared.nots:get(req.path .. a)\nend",
     r"own\.lua:3: .*'shared\.nots'; did you mean 'notes'"),
    ("local s = shared.zzzz return {}", r"own\.lua:1: .*'shared\.zzzz'; add shared = \{ zzzz = \"1MiB\" \}"),
    ("shared.counters:set('a', 1)\nreturn {}", r"own\.lua:1: .*set needs a request"),
    ("local _ = shared.counters.inc return {}", r"own\.lua:1: .*no method 'inc'; did you mean 'incr'"),
    ("shared.mine = {}\nreturn {}", r"own\.lua:1: .*read-only"),
], ids=["at load", "in a hook", "no near one", "no request", "method", "write"])
def test_what_is_not_there_is_said_at_load(herald, source, said):
    own = Sharing(herald)
    own.write(source)
    done = own.run("load", "--use")
    assert done.returncode == 1
    assert re.search(said, done.stderr), done.stderr
    assert own.state()["active"] == 1


@pytest.mark.quick
def test_specs_have_dictionaries_of_their_own(herald):
    own = Sharing(herald)
    own.write("""return {
  { "the first page", push = { "%s" } },
  { "is the first in each case", push = { "%s" } },
}
""" % (JS, JS), "own_spec.lua")
    assert own.ask("load", "--use")["active"]
    assert own.read()[0] == "nil"


@pytest.mark.quick
@pytest.mark.parametrize("changed", [{"counters": "128KiB", "notes": "64KiB"}, {"counters": "64KiB"},
                                     {"counters": "64KiB", "other": "64KiB"}])
def test_a_reload_with_other_dictionaries_is_refused(herald, changed):
    own = Sharing(herald)
    visit_once(own.site, PAGE)
    with open(own.site.config_path) as file:
        text = file.read()
    assert server.to_lua(TOP) in text
    server.write_config(own.site, text.replace(server.to_lua(TOP), server.to_lua(changed)))
    done = own.site.command("reload")
    assert done.returncode == 1
    assert re.search(r"herald\.lua:\d+: shared can't change while herald runs", done.stderr), done.stderr
    assert own.read()[0] == "1"


@pytest.mark.quick
def test_every_kind_of_value_comes_back(herald):
    source = """return function(req)
  local d = shared.counters
  assert(d:set("t", "text", 60)) assert(d:set("n", 1.5)) assert(d:set("b", false)) assert(d:set(7, true))
  assert(d:get("t") == "text" and d:get("n") == 1.5 and d:get("b") == false and d:get("7") == true)
  assert(select(2, d:add("t", "other")) == "exists" and d:add("fresh", 1) == true)
  assert(select(2, d:set("l", string.rep("x", 8193))) == "too large")
  assert(d:set("l", string.rep("x", 8192)) and #d:get("l") == 8192)
  assert(select(2, d:get("")) == "bad key" and select(2, d:incr("t")) == "not a number")
  assert(d:incr("new", 5, 10) == 15 and d:incr("new", -1) == 14)
  assert(d:delete("new") == true and d:delete("new") == false and d:get("new") == nil)
  for _, wrong in ipairs({ {}, log.info }) do assert(not pcall(d.set, d, "k", wrong)) end
  assert(not pcall(d.set, d, "k", nil) and not pcall(d.set, d, "k", 1, 0) and not pcall(d.set, d, "k", 1, -1))
  assert(not pcall(d.get, "k"))
  log.info("all is well")
end
"""
    own = Sharing(herald)
    own.load(source, "--use")
    since = len(own.site.err)
    visit_once(own.site, PAGE)
    assert "all is well" in own.site.wait_error(r"policy own\.lua", since=since)
