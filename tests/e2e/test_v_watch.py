"""Policies that are loaded when their files are saved."""
import os
import select
import signal
import subprocess
import time

import pytest

import server
from h2client import visit_once
from versions import CSS, JS, PAGE, Versions, pushes


def wait_active(own, number):
    server.wait_until(lambda: own.state()["active"] == number, 10,
                      lambda: "v%d to be active: %s" % (number, own.site.err[-3:]))


@pytest.fixture
def watched(herald):
    return Versions(herald, policy={"watch": True})


@pytest.mark.quick
def test_what_is_renamed_into_place_is_used(watched):
    watched.write(pushes(JS))
    wait_active(watched, 2)
    assert visit_once(watched.site, PAGE).paths() == [JS]
    assert "files watched" in watched.site.command("status").stdout


@pytest.mark.quick
def test_a_file_written_in_pieces_is_used_when_it_is_closed(watched):
    path = os.path.join(watched.site.policy_dir, "own.lua")
    half = "return { api = 1, on_request = function(req, push) end }\n"   # valid, and not what is meant
    with open(path, "w") as file:
        file.write(half)
        file.flush()
        for _ in range(8):                       # longer than the quiet that is waited for
            time.sleep(0.05)
            file.write("-- more\n")
            file.flush()
        assert watched.state()["active"] == 1
        file.seek(0)
        file.truncate()
        file.write(pushes(JS))
    wait_active(watched, 2)
    assert visit_once(watched.site, PAGE).paths() == [JS]
    assert [v["number"] for v in watched.state()["versions"]] == [2, 1]


@pytest.mark.quick
@pytest.mark.parametrize("source, said", [
    ("return { api = 1, on_request = function(", r"own\.lua:1: .*near '<eof>'"),
    ("return { api = 1, on_requst = function() end }", r"own\.lua:1: .*did you mean 'on_request'"),
], ids=["torn", "key"])
def test_a_broken_edit_never_runs_and_is_told(watched, source, said):
    watched.write(source)
    watched.site.wait_error("the policy files are bad, v1 stays active: " + said)
    assert visit_once(watched.site, PAGE).paths() == [CSS]
    assert watched.state()["files"]["state"] == "bad"
    watched.write(pushes(JS))
    wait_active(watched, 2)
    assert watched.state()["files"]["state"] == "active"


def test_files_in_folders_and_new_folders_are_seen(watched):
    folder = os.path.join(watched.site.policy_dir, "lib")
    os.mkdir(folder)
    watched.write("return { asset = '%s' }" % JS, os.path.join("lib", "names.lua"))
    watched.write('local names = require("lib.names")\n' + pushes(CSS).replace('"%s"' % CSS,
                                                                             "names.asset"))
    server.wait_until(lambda: visit_once(watched.site, PAGE).paths() == [JS], 10, "the new module")
    watched.write("return { asset = '%s' }" % CSS, os.path.join("lib", "names.lua"))
    server.wait_until(lambda: visit_once(watched.site, PAGE).paths() == [CSS], 10, "its change")


class Releases:
    """policy.dir as deployments have it: RELEASES/current/policies, and `current` is a link."""

    def __init__(self, own):
        self.folder = os.path.join(own.site.directory, "releases")
        os.mkdir(self.folder)
        self.made = 0

    def deploy(self, source):
        self.made += 1
        policies = os.path.join(self.folder, str(self.made), "policies")
        os.makedirs(policies)
        with open(os.path.join(policies, "own.lua"), "w") as file:
            file.write(source)
        self.switch(self.made)

    def switch(self, number):
        link = os.path.join(self.folder, "current")
        os.symlink(str(number), link + ".new")
        os.rename(link + ".new", link)


@pytest.fixture
def deployed(herald):
    own = Versions(herald, start=False, policy={"watch": True, "dir": "@DIR@/releases/current/policies"})
    releases = Releases(own)
    releases.deploy(pushes(CSS))
    own.site.start()
    return own, releases


@pytest.mark.quick
def test_a_link_that_is_swapped_on_the_way_to_the_directory_is_seen(deployed):
    own, releases = deployed
    releases.deploy(pushes(JS))
    wait_active(own, 2)
    assert visit_once(own.site, PAGE).paths() == [JS]
    releases.switch(1)                           # back: those are the files of v1
    wait_active(own, 1)
    releases.deploy(pushes(CSS, JS))             # and the way is watched again after each
    wait_active(own, 3)


def test_what_lies_behind_a_swapped_link_is_watched_and_what_lay_there_no_more(deployed):
    own, releases = deployed
    releases.deploy(pushes(JS))
    wait_active(own, 2)
    with open(os.path.join(releases.folder, "1", "policies", "own.lua"), "w") as file:
        file.write(pushes(JS, more="  -- of a release that is over\n"))
    with open(os.path.join(releases.folder, "2", "policies", "own.lua"), "w") as file:
        file.write(pushes(CSS, JS))
    wait_active(own, 3)
    assert [v["number"] for v in own.state()["versions"]] == [3, 2, 1]


def test_what_was_rolled_back_is_not_used_again_for_being_saved(watched):
    watched.write(pushes(JS))
    wait_active(watched, 2)
    watched.ask("rollback")
    watched.write(pushes(CSS, JS))
    wait_active(watched, 3)
    watched.write(pushes(JS))                    # v2 again
    watched.site.wait_error("the policy files are those of v2, which was taken out of use")
    assert watched.state()["active"] == 3


def test_many_edits_end_with_the_last(watched):
    for n in range(40):
        watched.write(pushes(JS, more="  local n = %d\n" % n) if n % 3 else "return { half")
    watched.write(pushes(JS, CSS))
    server.wait_until(lambda: visit_once(watched.site, PAGE).paths() == [CSS, JS], 10, "the last")


@pytest.mark.quick
def test_without_watch_the_status_says_that_the_files_differ(herald):
    own = Versions(herald)
    own.write(pushes(JS))
    server.wait_until(lambda: "the files differ from it" in own.site.command("status").stdout, 5,
                      "status to say so")
    assert own.state()["active"] == 1
    own.write(pushes(CSS))
    server.wait_until(lambda: own.state()["files"]["state"] == "active", 5, "them to be the same")


def next_line(pipe):
    """A line that comes within the deadline."""
    assert select.select([pipe], [], [], server.patience(10))[0], "no line came"
    return pipe.readline()


def test_policy_watch_tells_the_operator(herald):
    own = Versions(herald)
    process = subprocess.Popen([server.BINARY, "policy", "watch", "-c", own.site.config_path],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert next_line(process.stdout).startswith("v1 is active; watching ")
        own.write(pushes(JS))
        assert next_line(process.stdout).startswith("v2 active on 2/2 workers in ")
        own.write("return { api = 1, on_requst = function() end }")
        assert "own.lua:1: " in next_line(process.stderr)
        assert own.state()["active"] == 2
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
