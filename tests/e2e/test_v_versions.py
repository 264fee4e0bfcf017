"""Versions of the policies: loaded, used, rolled back, kept; no connection is touched."""
import concurrent.futures
import glob
import json
import os
import re
import signal
import subprocess
import time

import pytest

import server
from h2client import Cookies, visit_once
from versions import CSS, JS, PAGE, Versions, pushes


@pytest.mark.quick
@pytest.mark.asan
def test_a_version_is_loaded_used_and_rolled_back(herald, connect):
    own = Versions(herald)
    client = connect(own.site)
    assert client.visit(PAGE).paths() == [CSS]
    answer = own.load(pushes(JS), "-m", "the script instead")
    assert (answer["version"], answer["active"], answer["workers"], answer["of"]) == (2, False, 2, 2)
    assert client.visit("/plain.html").paths() == []   # held: the first version still decides
    said = own.run("use", "v2").stdout
    assert re.match(r"v2 active on 2/2 workers in [\d.]+ ms; undo: herald policy rollback\n$", said)
    assert client.visit(PAGE).paths() == [JS]          # on the same connection
    said = own.run("rollback").stdout
    assert re.match(r"v1 active on 2/2 workers in [\d.]+ ms; undo: herald policy use v2\n$", said)
    assert visit_once(own.site, PAGE).paths() == [CSS]
    assert [v["state"] for v in own.state()["versions"]] == ["rolled back", "active"]
    version = own.version(2)
    assert (version["message"], version["why"]) == ("the script instead", "by " + version["author"])


@pytest.mark.quick
def test_the_log_says_which_version_decided(herald):
    own = Versions(herald)
    visit_once(own.site, PAGE)
    assert own.site.page_entry(PAGE).fields["version"] == "v1"
    own.load(pushes(JS), "--use")
    visit_once(own.site, PAGE)
    assert own.site.page_entry(PAGE, nth=2).fields["version"] == "v2"


@pytest.mark.quick
def test_the_same_content_is_the_same_version(herald):
    own = Versions(herald)
    assert own.ask("load")["version"] == 1
    assert own.load(pushes(JS))["new"] is True
    answer = own.load(pushes(CSS), "--use")
    assert (answer["version"], answer["new"], answer["active"]) == (1, False, True)


@pytest.mark.quick
def test_one_file_or_another_directory_can_be_loaded(herald, tmp_path):
    own = Versions(herald)
    other = tmp_path / "own.lua"
    other.write_text(pushes(JS))
    os.chmod(tmp_path, 0o755)
    assert own.ask("load", str(other), "--use")["version"] == 2
    assert visit_once(own.site, PAGE).paths() == [JS]
    other.write_text(pushes(JS, CSS))
    assert own.ask("load", str(tmp_path), "--use")["version"] == 3
    assert visit_once(own.site, PAGE).paths() == [CSS, JS]
    status = json.loads(own.site.command("status", "--json").stdout)
    assert status["policy"]["files"] == {
        "state": "differ", "version": 1, "dir": own.site.policy_dir, "watched": False}


@pytest.mark.quick
@pytest.mark.parametrize("source, said", [
    ("return { api = 1, on_request = function(req, push) push:add(", r"own\.lua:1: .*near '<eof>'"),
    ("return {\n  api = 1,\n  on_requst = function() end,\n}", r"own\.lua:3: .*did you mean 'on_request'"),
    ("local x = pusj\nreturn {}", r"own\.lua:1: .*pusj.*\n +1 \| local x = pusj"),
    ("error('at load')", r"own\.lua:1: at load"),
    ("while true do end", r"own\.lua:1: soft deadline"),
], ids=["torn", "key", "global", "error", "endless"])
def test_what_does_not_load_changes_nothing(herald, source, said):
    own = Versions(herald)
    own.write(source)
    done = own.run("load", "--use")
    assert done.returncode == 1
    assert re.search(said, done.stderr), done.stderr
    assert [v["number"] for v in own.state()["versions"]] == [1]
    assert visit_once(own.site, PAGE).paths() == [CSS]


@pytest.mark.quick
def test_a_spec_that_fails_keeps_a_version_out(herald):
    own = Versions(herald)
    own.write("""return function(spec)
  spec:case("proposes nothing", function() error("it does not") end)
end""", "own_spec.lua")
    done = own.run("load", "--use")
    assert done.returncode == 1 and "own_spec.lua" in done.stderr
    assert own.state()["active"] == 1


@pytest.mark.quick
@pytest.mark.parametrize("words, status, said", [
    (["use", "v7"], 1, "there is no version v7"),
    (["use", "seven"], 2, "'seven' is no version"),
    (["use"], 2, "vN is missing"),
    (["rollback"], 1, "no earlier version"),
    (["discard", "v1"], 1, "v1 is active"),
    (["canary", "v1", "10%"], 1, "v1 is active already"),
    (["canary", "v1", "200%"], 2, "0.1% to 100%"),
    (["canary", "v1"], 2, "0.1% to 100%"),
    (["shadow", "x"], 2, "not a version"),
    (["lod"], 2, "did you mean 'load'? Or try herald policy --help"),
    (["load", "/nowhere"], 1, "/nowhere"),
    (["load", "-m", "x" * 201], 1, "longer than 200 bytes"),
])
def test_a_wrong_word_is_said(herald_once, words, status, said):
    done = herald_once.run(*words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert herald_once.state()["active"] == 1


@pytest.fixture(scope="module")
def herald_once(shared_herald):
    return Versions(shared_herald)


@pytest.mark.quick
def test_diff_shows_what_changed(herald):
    own = Versions(herald)
    own.load(pushes(JS))
    said = own.run("diff", "v1", "v2").stdout
    assert '-  push:add("%s")' % CSS in said and '+  push:add("%s")' % JS in said
    assert "v1 and files" not in own.run("diff").stdout
    own.ask("use", "v2")
    assert own.run("diff").stdout == "v2 and files are the same\n"


@pytest.mark.quick
def test_restarts_keep_what_was_active(herald):
    own = Versions(herald)
    own.load(pushes(JS), "--use")
    own.ask("rollback")
    own.load(pushes(JS, CSS))                     # loaded, not used
    own.site.stop()
    own.site.start()
    assert visit_once(own.site, PAGE).paths() == [CSS]
    states = {v["number"]: v["state"] for v in own.state()["versions"]}
    assert (states[1], states[2]) == ("active", "rolled back")
    assert own.ask("use", "v3")["active"]
    assert visit_once(own.site, PAGE).paths() == [CSS, JS]


@pytest.mark.quick
def test_files_that_changed_meanwhile_are_a_new_version_at_start(herald):
    own = Versions(herald)
    own.site.stop()
    own.write(pushes(JS))
    own.site.start()
    assert visit_once(own.site, PAGE).paths() == [JS]
    assert own.state()["active"] == 2


@pytest.mark.quick
def test_bad_files_at_start_leave_the_last_version_serving(herald):
    own = Versions(herald)
    own.site.stop()
    own.write("return {")
    own.site.start()
    assert visit_once(own.site, PAGE).paths() == [CSS]
    assert own.state()["files"]["state"] == "bad"
    assert "the files are bad: own.lua:1" in own.site.command("status").stdout


def test_a_reload_takes_up_only_what_changed(herald):
    own = Versions(herald)
    own.site.reload()
    assert own.state()["active"] == 1
    own.write(pushes(JS))
    own.site.reload()
    assert (own.state()["active"], visit_once(own.site, PAGE).paths()) == (2, [JS])
    own.ask("rollback")
    own.site.reload()                             # the files are still those of v2
    assert (own.state()["active"], visit_once(own.site, PAGE).paths()) == (1, [CSS])
    own.write(pushes(CSS, JS))
    own.site.reload()
    assert own.state()["active"] == 3
    own.write(pushes(JS))                         # v2 again, which was rolled back
    own.site.reload()
    assert own.state()["active"] == 3
    own.site.wait_error("those of v2, which was rolled back")


def test_a_version_brings_its_lists_back(herald):
    own = Versions(herald, policy_files={"own.lua": pushes(CSS), "more.lua": pushes(JS)})
    config = open(own.site.config_path).read()
    server.write_config(own.site, config.replace('"own.lua"', '"own.lua", "more.lua"'))
    own.site.reload()
    assert visit_once(own.site, PAGE).paths() == [CSS, JS]
    assert "+policy more.lua {}" in own.run("diff", "v1", "v2").stdout
    own.ask("rollback")
    assert visit_once(own.site, PAGE).paths() == [CSS]


def test_a_worker_that_starts_later_runs_what_is_active(herald):
    own = Versions(herald, workers=1)
    own.site.workers_may_change = True
    own.load(pushes(JS), "--use")
    before = own.site.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.wait_until(lambda: own.site.workers() - before, 10, "another worker")
    assert visit_once(own.site, PAGE).paths() == [JS]


def test_old_versions_go_but_those_in_use(herald):
    own = Versions(herald, policy={"keep": 4})
    for n in range(2, 12):
        own.load(pushes(CSS, more="  local n = %d\n" % n), *(["--use"] if n in (2, 3) else []))
    state = own.state()
    assert state["active"] == 3 and state["previous"] == 2
    assert [v["number"] for v in state["versions"]] == [11, 10, 3, 2]
    files = glob.glob(os.path.join(own.site.state_dir, "policies", "v*.policies"))
    assert len(files) == 4
    assert own.ask("discard", "v10")["ok"]
    assert own.version(10) is None


def damage(path, how):
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(how(content))


@pytest.mark.quick
@pytest.mark.parametrize("how, said", [
    (lambda content: content[:len(content) // 2], "is torn: its length is wrong"),
    (lambda content: content[:-9] + b"?" + content[-8:], "is torn: its checksum is wrong"),
    (lambda content: b"", "is torn: its length is wrong"),
    (lambda content: b"x" * 100, "is no file of herald's policy store"),
], ids=["short", "flipped", "empty", "foreign"])
def test_a_damaged_version_is_left_out(herald, how, said):
    own = Versions(herald)
    own.load(pushes(JS), "--use")
    own.ask("rollback")
    own.site.stop()
    damage(os.path.join(own.site.state_dir, "policies", "v2.policies"), how)
    own.site.start()
    own.site.wait_error("v2.policies: " + said)
    assert [v["number"] for v in own.state()["versions"]] == [1]
    assert visit_once(own.site, PAGE).paths() == [CSS]
    assert own.load(pushes(JS, CSS))["version"] == 3      # numbers are not used again

@pytest.fixture
def small_store(herald):
    """A server whose versions are stored on a file system of 64 KiB: (Versions, its directory)."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    own = Versions(herald, start=False)
    directory = os.path.join(own.site.state_dir, "policies")
    os.mkdir(directory, 0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "herald-test", directory],
                      capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        server.start(own.site)
        yield own, directory
        own.site.stop()
    finally:
        own.site.kill()
        own.site.ended = True
        subprocess.run(["umount", directory], check=True)


def test_a_version_that_finds_no_room_is_refused_and_the_last_one_serves(small_store):
    own, directory = small_store
    assert visit_once(own.site, PAGE).paths() == [CSS]
    stored = sorted(os.listdir(directory))
    filler = os.path.join(directory, "filler")
    with open(filler, "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
    own.write(pushes(JS))
    for _ in range(2):                                 # and again: nothing is half there
        done = own.run("load", "--use")
        assert done.returncode == 1
        assert re.search(r"policies: the version cannot be stored: No space left on device",
                         done.stderr), done.stderr
        assert sorted(os.listdir(directory)) == sorted([*stored, "filler"])
    assert [(v["number"], v["state"]) for v in own.state()["versions"]] == [(1, "active")]
    assert visit_once(own.site, PAGE).paths() == [CSS]
    os.unlink(filler)
    assert own.ask("load", "--use")["version"] == 2    # its number was not used up
    assert visit_once(own.site, PAGE).paths() == [JS]
    own.site.stop()
    server.start(own.site)
    assert own.state()["active"] == 2
    assert visit_once(own.site, PAGE).paths() == [JS]


@pytest.mark.quick
def test_a_state_that_is_lost_leaves_the_versions(herald):
    own = Versions(herald)
    own.load(pushes(JS), "--use")
    own.site.stop()
    damage(os.path.join(own.site.state_dir, "policies", "state"), lambda content: content[:20])
    own.site.start()
    own.site.wait_error("which version of the policies was active is not known")
    assert own.state()["active"] == 2                    # what the files are
    assert {v["number"] for v in own.state()["versions"]} == {1, 2}


def test_a_master_that_dies_between_store_and_use_comes_back_with_the_old_one(herald):
    own = Versions(herald)
    own.load(pushes(JS))                                 # stored, and no more
    own.site.workers_may_change = True
    os.kill(own.site.pid, signal.SIGKILL)
    own.site.wait_exit()
    own.site.start()                     # at once: its workers, and then their rings, may still go
    assert visit_once(own.site, PAGE).paths() == [CSS]
    assert own.version(2)["message"] == ""
    assert own.ask("use", "v2")["active"]


def test_commands_at_once_are_done_one_after_the_other(herald):
    own = Versions(herald)
    numbers = [1] + [own.load(pushes(CSS, more="  local n = %d\n" % n))["version"]
                     for n in range(5)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: own.run("use", "v%d" % n), numbers * 2))
    assert {d.returncode for d in done} == {0}, [d.stderr for d in done]
    state = own.state()
    last = [e["what"] for e in state["events"] if re.match(r"v\d+ active", e["what"])][0]
    assert state["active"] == int(re.match(r"v(\d+) active", last).group(1))
    for _ in range(8):
        visit_once(own.site, PAGE)
    entries = server.wait_until(lambda: own.site.log()[7:] and own.site.log(), 5, "the log")
    assert {e.fields["version"] for e in entries} == {"v%d" % state["active"]}


def test_two_operators_loading_at_once_both_get_what_they_loaded(herald, tmp_path):
    own = Versions(herald)
    os.chmod(tmp_path, 0o755)
    paths = []
    for n in range(6):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "own.lua").write_text(pushes(CSS, more="  local n = %d\n" % n))
        paths.append(str(folder / "own.lua"))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda p: own.ask("load", p, "-m", "from " + p, "--use"), paths))
    assert sorted(a["version"] for a in answers) == [2, 3, 4, 5, 6, 7]
    for path, answer in zip(paths, answers):
        assert own.version(answer["version"])["message"] == "from " + path
    uses = [e for e in own.state()["events"] if re.match(r"v\d+ active$", e["what"])]
    assert len(uses) == 6 and all(e["by"] == uses[0]["by"] for e in uses)


def test_a_version_on_its_way_to_the_workers_is_not_discarded(herald):
    own = Versions(herald, workers=1, policy={"keep": 3})
    for script in ("  local two\n", "  local three\n"):
        own.load(pushes(CSS, more=script), "--use")
    own.site.workers_may_change = True
    stopped = own.site.workers().pop()
    os.kill(stopped, signal.SIGSTOP)      # it does not say that it has v1
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        use = pool.submit(own.run, "use", "v1")
        server.wait_until(lambda: own.version(1)["state"] == "loaded", 5, "v1 on its way")
        assert "is being sent" in own.run("discard", "v1").stderr
        own.write(pushes(CSS, JS))        # a fourth one: the oldest that nobody needs has to go
        assert own.site.command("reload").returncode == 0
        os.kill(stopped, signal.SIGCONT)
        done = use.result()
    assert (done.returncode, done.stderr) == (0, "")
    assert own.state()["active"] == 1
    assert visit_once(own.site, PAGE).paths() == [CSS]


@pytest.mark.quick
def test_a_message_that_quotes_other_bytes_than_utf8_is_said(herald):
    own = Versions(herald)
    path = os.path.join(own.site.policy_dir, "own.lua")
    with open(path, "wb") as file:
        file.write(b"local x = caf\xe9\nreturn {}")
    done = own.run("load")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"own\.lua:1: .*caf\?", done.stderr), done.stderr
    assert own.run("load", "-m", b"caf\xe9").stderr == "herald: what was asked for is not UTF-8\n"
    assert "no global 'caf?'" in own.run("check").stderr
    done = own.site.command("explain", "/", "--header", b"a: caf\xe9")
    assert (done.returncode, done.stderr) == (2, "herald explain: the header field 'a' is not UTF-8\n")
    own.write(pushes(CSS))
    with open(os.path.join(own.site.policy_dir, "own_spec.lua"), "wb") as file:
        file.write(b'return { { "caf\xe9", push = { "/none.css" } } }\n')
    assert "own_spec.lua:1: caf?\n" in own.run("test").stdout


@pytest.mark.quick
def test_pushes_are_switched_off_and_on(herald, connect):
    own = Versions(herald)
    client = connect(own.site)
    began = time.monotonic()
    assert own.site.command("push", "off").returncode == 0
    assert client.visit(PAGE).paths() == []
    assert own.site.page_entry(PAGE).verdict(CSS) == "switched_off"
    assert time.monotonic() - began < server.patience(1)
    page = visit_once(own.site, PAGE, fields=[("sec-fetch-mode", "navigate")]).page
    assert page.field("link") is None               # nor hints
    assert "PUSHES ARE SWITCHED OFF" in own.site.command("status").stdout
    own.site.stop()
    own.site.start()
    assert visit_once(own.site, PAGE).paths() == []
    own.site.reload()
    assert visit_once(own.site, PAGE).paths() == []
    assert own.site.command("push", "on").returncode == 0
    assert visit_once(own.site, PAGE).paths() == [CSS]


@pytest.mark.quick
def test_pushes_are_switched_off_for_one_site(herald):
    own = Versions(herald, more='site { names = { "www.herald.test" }, root = "@ROOT@", '
                                'policies = { "own.lua" } }')
    done = own.site.command("push", "off", "--site", "www.herald.tst")
    assert done.returncode == 1 and 'did you mean "www.herald.test"?' in done.stderr
    assert own.site.command("push", "off", "--site", "www.herald.test").returncode == 0
    assert visit_once(own.site, PAGE).paths() == [CSS]
    assert visit_once(own.site, PAGE, host="www.herald.test").paths() == []
    assert own.site.command("push", "on").returncode == 0
    assert visit_once(own.site, PAGE, host="www.herald.test").paths() == [CSS]
