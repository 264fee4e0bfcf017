"""Policies as operators write them: vetoes, reasons, mistakes that cost no response."""
import pytest

import server
from webroot import LIGHT_ASSETS

pytestmark = pytest.mark.quick
PAGE = "/light.html"


def policy(body, more=""):
    return "return { api = 1, %s on_request = function(req, push)\n%s\nend }\n" % (more, body)


def visit(herald, connect, source, name="own.lua", **kwargs):
    site = herald(policies=[name], policy_files={name: source}, **kwargs)
    return site, connect(site).visit(PAGE)


def test_on_push_can_refuse_and_its_reason_is_logged(herald, connect):
    source = policy("""for _, p in ipairs { "/assets/light.css", "/assets/light.js" } do
  push:add(p)
end""", """on_push = function(req, r, push)
  if r.mime:find("javascript") then return false, "no_scripts" end
end,""")
    site, seen = visit(herald, connect, source)
    assert seen.paths() == ["/assets/light.css"]
    entry = site.page_entry(PAGE)
    assert entry.verdict("/assets/light.css") == server.PUSHED
    assert "no_scripts" in repr(entry)
    assert entry.verdict("/assets/light.js") != server.PUSHED


@pytest.mark.asan
@pytest.mark.parametrize("body", [
    "error('boom')", "local x = nil; x.y = 1", "while true do end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) end",
    "local function f() return f() + 1 end f()", "undeclared = 1", "push:add({})",
    "while true do pcall(function() while true do end end) end",
], ids=["error", "nil", "endless", "memory", "recursion", "global", "argument", "pcall"])
def test_a_mistake_costs_no_response(herald, connect, body):
    site, seen = visit(herald, connect, policy(body))
    assert seen.page.status == 200
    assert bytes(seen.page.body) == site.root.read(PAGE)
    assert seen.pushed == {}
    again = connect(site).visit(PAGE)
    assert (again.page.status, again.pushed) == (200, {})


def test_a_mistake_of_one_policy_leaves_the_others(herald, connect):
    good = policy('push:add("/assets/light.css")')
    site = herald(policies=["bad.lua", "good.lua"],
                  policy_files={"bad.lua": policy("error('boom')"), "good.lua": good})
    assert connect(site).visit(PAGE).paths() == ["/assets/light.css"]
    site.wait_error(r"bad\.lua:\d+")


def test_a_failing_on_push_refuses(herald, connect):
    source = policy('push:add("/assets/light.css")',
                    "on_push = function() error('boom') end,")
    site, seen = visit(herald, connect, source)
    assert seen.pushed == {}
    assert site.page_entry(PAGE).verdict("/assets/light.css") == "policy_failed"


@pytest.mark.parametrize("name", ["io", "os", "debug", "ffi", "jit", "package", "loadstring",
                                  "dofile", "collectgarbage", "coroutine", "getfenv"])
def test_the_sandbox_has_no_way_out(herald, connect, name):
    source = policy("""local found, value = pcall(function() return %s end)
if not found or value == nil then push:add("/assets/light.css") end""" % name)
    _, seen = visit(herald, connect, source)
    assert seen.paths() == ["/assets/light.css"]


def test_a_policy_that_does_not_compile_is_refused_with_its_line(herald):
    made = herald(start=False, policies=["own.lua"], policy_files={"own.lua": "return {\n oops oops\n}"})
    done = made.command("check")
    assert done.returncode == 1
    assert "own.lua:2" in done.stderr


def test_a_policy_that_is_not_there_is_refused(herald):
    made = herald(start=False, policies=["nowhere.lua"])
    done = made.command("check")
    assert done.returncode == 1
    assert "nowhere.lua" in done.stderr


def test_arguments_reach_the_policy(herald, connect):
    source = """return { api = 1, args = { paths = "table" }, on_request = function(req, push)
  for _, p in ipairs(policy.args.paths) do push:add(p) end
end }"""
    _, seen = visit(herald, connect, source,
                    site={"policies": [{None: ["own.lua"], "paths": list(LIGHT_ASSETS)}]})
    assert seen.paths() == sorted(LIGHT_ASSETS)


def test_the_request_is_seen_as_it_was(herald, connect):
    source = policy("""if req.method == "GET" and req.scheme == "https" and req.path == "/light.html"
  and req.query == "a=1" and req.dest == "document" and req.headers["x-some"] == "thing"
  and req.cookies["c"] == "d" then push:add("/assets/light.css") end""")
    site = herald(policies=["own.lua"], policy_files={"own.lua": source})
    seen = connect(site).visit(PAGE + "?a=1", fields=[("x-some", "thing"), ("cookie", "c=d")])
    assert seen.paths() == ["/assets/light.css"]


# ---- the stock policies ----

def test_scan_pushes_what_the_page_refers_to(herald, connect):
    site = herald(policies=["scan"])

    def pushed():
        return connect(site).visit(PAGE).paths() == sorted(LIGHT_ASSETS)
    server.wait_until(pushed, 5, "a page whose assets are known", every=0.1)


def test_manifest_pushes_what_the_build_wrote_down(herald, connect):
    site = herald(fill=True, start=False,
                  site={"policies": [{None: ["manifest"], "file": "push.json"}]})
    site.root.write("/push.json", b'{ "/light.html": ["/assets/light.css"] }')
    server.start(site)
    assert connect(site).visit(PAGE).paths() == ["/assets/light.css"]


def test_budget_keeps_to_its_bytes(herald, connect):
    every = policy("""for n = 1, 20 do push:add("/many/" .. n .. ".bin") end""")
    site = herald(policy_files={"all.lua": every},
                  site={"policies": ["all.lua", {None: ["budget"], "max_bytes": "100KiB"}]})
    for n in range(1, 21):
        site.root.asset("/many/%d.bin" % n, 16384)
    seen = connect(site).visit(PAGE)
    assert seen.paths() == sorted("/many/%d.bin" % n for n in range(1, 7))
    assert "over_budget" in repr(site.page_entry(PAGE))
