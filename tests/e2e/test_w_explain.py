"""`herald explain` and `herald policy test|new|check|doc`: the operator asks before anything is sent."""
import json
import random
import subprocess

import pytest
from h2.settings import SettingCodes

import server
from h2client import Cookies
from server import wait_until
from webroot import ASSETS

HERALD = server.BINARY
CASES = 1000 if not server.SOAK else 5000
CLIENTS = 20                              # of one round: none asks twice in it

# Proposes and judges by what requests say, so that random requests get different decisions.
FICKLE = """
return {
  api = 1,
  applies = { dest = { "document", "fetch" }, path = { "/*" } },
  on_request = function(req, push)
    if req.save_data then return false, "thrift" end
    push:add("/assets/none-" .. #req.query .. ".css")
    if #req.query % 3 == 0 then push:hint("/assets/light.js") end
    if #req.query % 4 == 0 then push:skip("/assets/menu.js", "not today") end
    if #req.query % 5 == 0 then push:preconnect("https://img.example.com") end
    if req.headers["x-boom"] then error("boom") end
    push:add("/private/secret.css")
    push:add("http://other.example/x.css")
    push:add(req.path)
  end,
  on_push = function(req, r)
    -- Whom nobody knows yet is dealt a new id each time.
    if r.as == "font" and req.client.identified_by ~= "connection"
       and util.bucket(req.client, 2) == 0 then
      return false, "no fonts"
    end
    if r.as == "image" and req.client.can.push and #req.query % 2 == 1 then
      return "hint", "pictures later"
    end
    if r.path == "/assets/data.json" and req.headers["x-judge"] then error("judge") end
    if r.has == "stale" then return false, "stale" end
  end,
}
"""


def explain(site, *words, ok=True):
    done = site.command("explain", *words)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def explain_json(site, *words):
    return json.loads(explain(site, *words, "--json"))


def batch(site, questions):
    done = subprocess.run([HERALD, "explain", "--batch", "-c", site.config_path],
                          input="".join(json.dumps(one) + "\n" for one in questions),
                          capture_output=True, text=True, timeout=server.patience(60))
    assert done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def decision(fields):
    """What of a line of the log, or of an answer, is the decision."""
    return {
        "status": fields["status"],
        "push": [{key: one.get(key) for key in ("path", "verdict", "by", "judge", "detail", "size")}
                 for one in fields.get("push", [])],
        "nothing_from": fields.get("nothing_from"),
        "push_off": fields.get("push_off"),
        "version": fields.get("version"),
    }


class Visitor:
    def __init__(self, random_, tls):
        self.random, self.tls = random_, tls
        self.cookies, self.id = Cookies(), None

    def case(self, number, paths):
        chosen = self.random
        path = chosen.choice(paths) + "?n=" + "x" * chosen.randrange(12) + "&c=%d" % number
        fields = [("accept-encoding", "gzip")] if chosen.random() < 0.5 else []
        for name, value, share in (("save-data", "on", .1), ("x-boom", "1", .1),
                                   ("x-judge", "1", .2), ("sec-fetch-mode", "navigate", .3),
                                   ("sec-fetch-dest", "document", .3),
                                   ("referer", "https://x.example/", .1), ("range", "bytes=0-9", .05),
                                   ("cache-control", "no-cache", .1)):
            if chosen.random() < share:
                fields.append((name, value))
        method = chosen.choices(("GET", "HEAD", "POST"), (18, 1, 1))[0]
        return {"path": path, "fields": fields, "method": method,
                "no_push": chosen.random() < 0.15, "by_id": bool(self.id and chosen.random() < .4)}

    def question(self, site, case):
        one = {"url": site.url(case["path"], self.tls), "method": case["method"],
               "headers": [list(field) for field in case["fields"]], "no_push": case["no_push"]}
        if case["by_id"]:
            one["client"] = self.id
        elif self.cookies:
            one["headers"].append(["cookie", self.cookies.header()])
        return one

    def ask(self, connect, site, case):
        settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 100,
                    SettingCodes.ENABLE_PUSH: 0 if case["no_push"] else 1}
        client = connect(site, tls=self.tls, cookies=self.cookies, settings=settings)
        client.visit(case["path"], case["fields"], method=case["method"])
        client.close()


def is_settled(site):
    push = json.loads(site.command("status", "--json").stdout)["push"]
    return push["promised"] == sum(push[key] for key in ("delivered", "cancelled", "refused", "lost"))


def entries_of(site, count):
    """The lines of the pages asked for so far, by the number in their query."""
    found = {}
    for entry in site.log():
        if "&c=" in entry.path:
            found[int(entry.path.split("&c=")[1])] = entry
    return found if len(found) >= count else None


def test_explain_agrees_with_what_the_server_then_does(herald, connect):
    site = herald(policies=["scan", "fickle.lua", "budget"],
                  policy_files={"fickle.lua": FICKLE}, top={"clients": {"table": "16MiB"}},
                  push={"budget": "off", "max_bytes": "90KiB", "max_streams": 6},
                  routes={"/private/*": {"cache_control": "no-store"}})
    site.root.write("/private/secret.css", b"p{}")
    chosen = random.Random(7)
    paths = ["/", "/index.html", "/light.html", "/none", "/assets", "/assets/site.css"]
    visitors = [Visitor(chosen, chosen.random() < 0.5) for _ in range(3 * CLIENTS)]
    verdicts, asked = {}, 0
    while asked < CASES:
        for number in chosen.sample(range(len(visitors)), 4):      # some never came before
            visitors[number] = Visitor(chosen, chosen.random() < 0.5)
        present = chosen.sample(visitors, CLIENTS)
        cases = [one.case(asked + i, paths) for i, one in enumerate(present)]
        answers = batch(site, [one.question(site, case) for one, case in zip(present, cases)])
        for one, case in zip(present, cases):
            one.ask(connect, site, case)
        asked += CLIENTS
        found = wait_until(lambda: entries_of(site, asked), 10, "the pages' lines in the log")
        for i, (one, case, answer) in enumerate(zip(present, cases, answers)):
            real = found[asked - CLIENTS + i].fields
            if real.get("identified_by") == "cookie":
                assert answer["client"] == real["client"]
                one.id = real["client"]
            said, done = decision(answer), decision(real)
            assert said == done, json.dumps({"case": case, "said": said, "done": done}, indent=1)
            for push in real.get("push", []):
                verdicts[push["verdict"]] = verdicts.get(push["verdict"], 0) + 1
        wait_until(lambda: is_settled(site), 10, "every push settled")
    expected = {"pushed", "hinted", "held", "vetoed", "policy_failed", "not_found", "skipped",
                "not_cacheable", "push_disabled", "max_bytes", "max_streams"}
    print("%d cases equal; verdicts: %s" % (asked, verdicts))
    assert expected <= set(verdicts), verdicts


def test_explain_says_what_it_cannot_answer(herald):
    site = herald(pushes={"/": ["/assets/site.css"]})
    for words, said in ((("ftp://x",), "a URL (https://host/path) or a path"),
                        (("/", "--client", "zz"), "16 hexadecimal digits"),
                        (("/", "--policy", "v99"), "v99"), (("/", "--policy", "x"), "is no version"),
                        (("/", "--header", "none"), "write --header 'name: value'"),
                        (("/", "--rtt", "soon"), "like 50ms"), (("/", "--clint", "a"), "--client"),
                        (("/", "-H", "a@b: c"), "malformed"), ((), "give a URL"),
                        (("/", "--batch"), "give only one of a URL"),
                        (("--request", "0" * 16), "no request has the id")):
        assert said in explain(site, *words, ok=False), words


def test_a_past_request_is_read_back_as_it_was(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css", "/assets/none.css"]})
    connect(site).visit("/")
    entry = site.page_entry("/")
    assert explain_json(site, "--request", entry.id) == entry.fields
    text = explain(site, "--request", entry.id)
    assert "pushed        /assets/site.css" in text and "no such resource" in text


def test_without_an_access_log_a_past_request_is_refused(herald):
    site = herald(pushes={"/": []}, top={"log": {"error": "stderr"}})
    assert "the access log is off" in explain(site, "--request", "0" * 16, ok=False)


def test_explaining_claims_counts_and_logs_nothing(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css"]})
    for _ in range(3):
        assert explain_json(site, "/", "--cwnd", "1MiB")["push"][0]["verdict"] == "pushed"
    status = json.loads(site.command("status", "--json").stdout)
    assert status["push"]["promised"] == 0 and status["counters"]["requests"] == 0
    assert site.log() == []
    assert connect(site).visit("/").paths() == ["/assets/site.css"]


def test_the_debug_header_counts_what_was_sent_and_held(herald, connect):
    site = herald(pushes={"/": ["/assets/site.css", "/assets/none.css"]},
                  site={"debug_header": True})
    cookies = Cookies()
    page = connect(site, cookies=cookies).visit("/").page
    assert page.field("server-timing") == 'push;desc="1 sent, 1 left out"'
    wait_until(lambda: is_settled(site), 10, "the push settled")
    page = connect(site, cookies=cookies).visit("/").page
    assert page.field("server-timing") == 'push;desc="0 sent, 1 held, 1 left out"'


def test_a_new_policy_comes_with_a_spec_that_passes_and_overwrites_nothing(herald):
    site = herald(pushes={"/": []}, start=False)
    assert site.command("policy", "new", "mine").returncode == 0
    done = site.command("policy", "test")
    assert done.returncode == 0 and "4 cases: all passed" in done.stdout, done.stdout + done.stderr
    for name in ("mine", "mine.lua", "mine_spec.lua"):
        done = site.command("policy", "test", name)
        assert done.returncode == 0 and "1 specs, 4 cases" in done.stdout, done.stdout + done.stderr
    done = site.command("policy", "test", "mien")
    assert done.returncode == 1 and "no mien_spec.lua in " + site.policy_dir in done.stderr
    again = site.command("policy", "new", "mine.lua")
    assert again.returncode == 1 and "is there already" in again.stderr
    assert site.command("policy", "new", "../x").returncode == 1
    with open(site.policy_dir + "/mine.lua", "a") as policy:
        policy.write("x = = 1\n")
    done = site.command("policy", "test", site.policy_dir + "/mine.lua", config=False)
    assert done.returncode == 1 and "mine.lua:" in done.stdout


def test_policy_check_finds_globals_that_no_run_has_reached(herald):
    site = herald(policies=["p.lua"], start=False, policy_files={
        "p.lua": "return function(req, push)\n  if req.path == '/rare' then\n    pussh = 1\n"
                 "    return lgo.info('x')\n  end\nend\n"})
    done = site.command("policy", "check")
    assert done.returncode == 0 and "of CPU time" in done.stdout
    assert "p.lua:3: 'pussh' is assigned as a global" in done.stderr
    assert "p.lua:4: there is no global 'lgo'; did you mean 'log'?" in done.stderr
    assert "p.lua: has no spec" in done.stderr


@pytest.mark.quick
def test_policy_doc_names_the_nearest_word():
    done = subprocess.run([HERALD, "policy", "doc", "push:ad"], capture_output=True, text=True)
    assert done.returncode == 1 and "did you mean 'push:add'?" in done.stderr
    done = subprocess.run([HERALD, "policy", "doc", "on_push"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("on_push = function(")
