"""What the README and the manual pages show is run as it stands, but for ports and paths."""
import json
import os
import re
import shlex
import socket
import subprocess

import pytest

import documents
import server
from h2client import Cookies, visit_once
from versions import CSS, PAGE, pushes

LUA = [one for path in documents.READMES + documents.MANUALS for one in documents.lua(path)]
POLICIES = [one for one in LUA if documents.kind(one.text) == "policy"]
CONFIGS = [one for one in LUA if documents.kind(one.text) in ("config", "site")]
SPECS = [one for one in LUA if documents.kind(one.text) == "spec"]


LISTEN = 'listen = { "127.0.0.1:@H2C@" }\n'


def placed(site, text):
    """A config of a document with this run's root and files in the places of its own."""
    for name, source in (("example.pem", site.certificate.cert), ("example.key", site.certificate.key)):
        os.symlink(source, os.path.join(site.directory, name))
    os.makedirs(os.path.join(site.directory, "sites.d"))
    with open(os.path.join(site.directory, "sites.d", "other.lua"), "w") as file:
        file.write('site { names = { "other.example.com" }, root = "%s" }\n' % site.root.directory)
    site.root.write("/build/assets.json", b"{}")
    return text.replace("/srv/www", site.root.directory)


def test_every_kind_of_example_is_found():
    assert len(POLICIES) >= 2 and len(CONFIGS) >= 5 and len(SPECS) >= 1
    assert not [one for one in LUA if documents.kind(one.text) is None]


@pytest.mark.quick
@pytest.mark.parametrize("example", CONFIGS, ids=repr)
def test_a_config_of_a_document_is_good(herald, example):
    site = herald(start=False, policy_files={"shop.lua": pushes(CSS)})
    text = placed(site, example.text)
    if documents.kind(example.text) == "site":
        text = (LISTEN + 'policy = { dir = "policies" }\nsite { names = { "*" }, root = "%s",\n%s }\n'
                % (site.root.directory, text))
    server.write_config(site, text)
    done = site.command("check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.quick
@pytest.mark.parametrize("example", POLICIES, ids=repr)
def test_a_policy_of_a_document_pushes_what_it_says(herald, connect, example):
    site = herald(start=False, policies=["doc.lua"], policy_files={"doc.lua": example.text})
    assets = re.findall(r'push:add\("([^"]+)"', example.text)
    where = re.search(r'path = "([^"*]*)\*?"', example.text)
    page = (where.group(1) if where else "/") + ("" if not where else "page.html")
    for path in [*assets, page if where else "/index.html"]:
        site.root.write(path, b"<!doctype html><title>page</title>" if path == page else b"x" * 100)
    server.start(site)
    assert assets and sorted(connect(site).visit(page).paths()) == sorted(assets)


@pytest.mark.quick
@pytest.mark.parametrize("example", SPECS, ids=repr)
def test_a_spec_of_a_document_holds_for_the_policy_before_it(herald, example):
    (policy,) = [one for one in POLICIES if one.path == example.path]
    site = herald(start=False, policies=["doc.lua"],
                  policy_files={"doc.lua": policy.text, "doc_spec.lua": example.text})
    done = site.command("policy", "test")
    assert done.returncode == 0 and "all passed" in done.stdout, done.stdout + done.stderr


CALLS = [one for path in ("README.md", "lua/README.md", "policy/README.md") for one in documents.inline(path)
         if re.match(r"(shared\.\w+|stats|push|learn|assets|util|policy|log|res|client)[.:]\w+\(.*\)$", one.text)]
KEYS = [one for path in documents.READMES for one in documents.inline(path)
        if re.match(r"[a-z]+ = \{.*\}$", one.text)]


@pytest.mark.quick
def test_the_calls_that_prose_mentions_are_the_api_s(herald, connect):
    assert len(CALLS) >= 2
    body = "\n".join("  do local path = req.path local _ = %s end" % one.text for one in CALLS)
    site = herald(policies=["calls.lua"], top={"policy": {"dir": "@DIR@/policies"},
                                                 "shared": {"counters": "1MiB"}},
                  policy_files={"calls.lua": "return function(req, push)\n%s\n  push:add('%s')\nend\n"
                                % (body, CSS)})
    assert connect(site).visit(PAGE).paths() == [CSS], site.err[-3:]


@pytest.mark.quick
@pytest.mark.parametrize("example", KEYS, ids=repr)
def test_a_key_that_prose_mentions_is_a_config_s(herald, example):
    site = herald(start=False)
    config = LISTEN + 'site { names = { "*" }, root = "%s", %%s }\n%%s\n' % site.root.directory
    said = []
    for text in (config % (example.text, ""), config % ("", example.text)):
        server.write_config(site, text)
        said.append(site.command("check"))
    assert any(done.returncode == 0 for done in said), [done.stderr for done in said]


@pytest.mark.quick
@pytest.mark.parametrize("example", documents.fenced("tests/README.md", "python"), ids=repr)
def test_a_test_of_a_document_passes(herald, connect, example):
    scope = {"Cookies": Cookies}
    exec(example.text, scope)
    tests = [scope[name] for name in scope if name.startswith("test_")]
    assert tests
    for test in tests:
        test(herald, connect)


@pytest.mark.quick
def test_the_control_socket_s_examples_are_understood(herald):
    """Each line of herald(8) is sent as it is, but for versions, paths and clients."""
    site = herald(policies=["own.lua"], policy_files={"own.lua": pushes(CSS)},
                  site={"names": ["www.example.com", "*"]})
    jar = Cookies()
    visit_once(site, PAGE, cookies=jar)
    client = server.wait_until(lambda: site.log() and site.log()[0].fields["client"], 5, "the log")
    (block,) = [one for one in documents.displayed("master/herald.8") if '{"verb"' in one.text]
    lines = block.text.splitlines()
    assert len(lines) >= 9
    for line in sorted(lines, key=lambda line: '"stop"' in line):
        request = json.loads(line)
        request.update({key: value for key, value in
                        (("version", 1), ("path", site.policy_dir), ("id", client)) if key in request})
        if request["verb"] == "policy-canary":
            request["version"] = loaded(site)
        answer = ask(site, request)
        assert answer["ok"], (line, answer)
    assert site.wait_exit() == 0


def loaded(site):
    """A version beside the active one."""
    with open(os.path.join(site.policy_dir, "own.lua"), "a") as file:
        file.write("-- more\n")
    return ask(site, {"verb": "policy-load"})["version"]


def ask(site, request):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(site.control)
        link.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(link.makefile("r").readline())


# ---- the README's commands, in its order ----

ELSEWHERE = {"make demo": "it installs packages", "make check": "it runs this test",
             "./herald run --root DIR": "test_a_run.py"}


class Operator:
    """Somebody who goes through the README, with one herald in the place of the demo and of their own."""

    def __init__(self, site):
        self.site, self.version, self.edits, self.policies = site, 0, 0, '"scan", "budget"'

    def configure(self, policies):
        with open(self.site.config_path) as file:
            text = file.read()
        assert self.policies in text
        server.write_config(self.site, text.replace(self.policies, policies))
        self.policies = policies

    def edit(self, *changes):
        for name in ("shop.lua", "shop_spec.lua"):
            path = os.path.join(self.site.policy_dir, name)
            with open(path) as file:
                text = file.read()
            for before, after in changes:
                text = text.replace(before, after)
            self.edits += 1
            with open(path, "w") as file:
                file.write(text + "-- edit %d\n" % self.edits)

    def words(self, command):
        words = []
        for word in shlex.split(command):
            if word.startswith("https://127.0.0.1"):
                words.append(self.site.url("/"))
            elif word == "--demo":
                words += ["-c", self.site.config_path]
            elif word == "ID":
                words.append(self.site.log()[-1].fields["client"])
            else:
                words.append("v%d" % self.version if word == "v14" else word)
        return [server.BINARY if words[0] == "./herald" else words[0], *words[1:]]

    def do(self, command):
        if command.startswith("echo "):
            subprocess.run(command, shell=True, cwd=self.site.directory, check=True)
            return ""
        if command == "./herald run -c herald.lua":      # it runs
            command = "./herald reload -c herald.lua"
        done = subprocess.run(self.words(command), cwd=self.site.directory, capture_output=True,
                              text=True, timeout=server.patience(30))
        assert done.returncode == 0, "%s: %s%s" % (command, done.stdout, done.stderr)
        version = re.search(r"^v(\d+) loaded", done.stdout, re.M)
        self.version = int(version.group(1)) if version else self.version
        return done.stdout


def pushed(said):
    """The paths that nghttp marks as pushed."""
    return re.findall(r"^ *\d+ .* \* .* (/\S*)$", said, re.M)


def test_the_commands_of_the_readme_do_what_it_says(herald):
    site = herald(policies=["scan", "budget"], fill=False, top={"policy": {"dir": "@DIR@/policies"}})
    subprocess.run(["cp", "-r", os.path.join(server.TOP, "bench", "site") + "/.",
                    site.root.directory], check=True)
    site.workers_may_change = True       # at the reloads
    operator, said = Operator(site), []
    for one in documents.commands("README.md"):
        if one.text in ELSEWHERE:
            continue
        if "policy new shop" in one.text:    # the reader has edited the config by now,
            os.rmdir(site.policy_dir)
            operator.configure('"shop.lua", "budget"')
        if "policy test" in one.text:        # and both files
            operator.edit(("/site.css", "/assets/home.css"), ("/hero.webp", "/assets/edge.webp"))
        if "policy load -m" in one.text:
            operator.edit(("/assets/edge.webp", "/assets/mark.svg"))
        said.append((one.text, operator.do(one.text)))
    assert len(said) >= 22
    visits = [set(pushed(text)) for command, text in said if command.startswith("nghttp")]
    assert len(visits[0]) > 5 and visits[1] == set()
    assert visits[2:] == [{"/assets/home.css"}, {"/assets/home.css", "/assets/edge.webp"}]
    assert re.search(r"undo: herald policy rollback$", dict(said)["./herald policy use v14"].strip())
    assert "PUSHES ARE SWITCHED OFF" in site.command("status").stdout
