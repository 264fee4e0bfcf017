"""herald check: what is said of a config, good or bad, and with which status."""
import json
import os
import subprocess

import pytest

from server import BINARY, patience

BASE = """listen = { "127.0.0.1:8080" }
site { root = "www" }
"""


def check(directory, *words, user=None, env=None):
    return subprocess.run([BINARY, "check", *words], cwd=directory, capture_output=True, text=True,
                          timeout=patience(20), user=user, extra_groups=[] if user else None,
                          env=env)


@pytest.fixture
def here(tmp_path):
    """A directory with a www/ in it, that everyone may read; here(text) writes herald.lua."""
    for folder in (tmp_path, *tmp_path.parents):
        if os.stat(folder).st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    (tmp_path / "www").mkdir()
    (tmp_path / "policies").mkdir()

    def write(text, name="herald.lua"):
        (tmp_path / name).write_text(text)
        return tmp_path
    write.path = tmp_path
    return write


@pytest.mark.quick
def test_a_good_config_is_said_to_be_ok_and_summed_up(here):
    done = check(here(BASE))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "herald.lua: ok"
    assert "127.0.0.1:8080" in done.stdout
    assert any("push table" in line and "256MiB" in line and " clients x " in line
               for line in lines)


@pytest.mark.quick
@pytest.mark.parametrize("text, fault", [
    ("lisen = {}", 'herald.lua:3: unknown key "lisen", nearest "listen"'),
    ("site {\n  names = { 'a' },\n  rooot = 'x' }",
     'herald.lua:5: unknown key "rooot" in site, nearest "root"'),
    ("workers = 'two'",
     'herald.lua:3: workers: expected "auto" or a whole number from 1 to 64, found string "two"'),
    ("x = = 1", "herald.lua:3: unexpected symbol near '='"),
    ("site { names = { 'a' },\n root = 'nowhere' }",
     'herald.lua:4: root "@/nowhere" cannot be opened: No such file or directory'),
    ("policy = {\n  dir = 'nowhere' }",
     'herald.lua:4: policy.dir "@/nowhere" cannot be opened: No such file or directory'),
    ("listen = { { '127.0.0.1:8443', tls = true } }\n"
     "tls = { { sni = '*', cert = 'no.pem', key = 'no.key' } }",
     'herald.lua:4: cert "@/no.pem" cannot be read: No such file or directory'),
])
def test_a_bad_config_gives_one_line_with_file_and_line(here, text, fault):
    done = check(here(BASE + text))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == fault.replace("@", str(here.path)) + "\n"


def fault_of(done):
    """The one line that is no warning."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert done.returncode == 1 and len(lines) == 1, done
    return lines[0]


def test_a_bad_certificate_is_named_with_the_line_of_its_entry(here, certificate):
    (here.path / "junk.pem").write_text("junk")
    text = BASE + "listen = { { '127.0.0.1:8443', tls = true } }\ntls = {\n  %s }\n"
    done = check(here(text % "{ sni = '*', cert = 'junk.pem', key = 'junk.pem' }"))
    assert fault_of(done).startswith("herald.lua:5: %s/junk.pem: " % here.path)
    done = check(here(text % ("{ sni = '*', cert = '%s', key = 'junk.pem' }" % certificate.cert)))
    assert fault_of(done).startswith("herald.lua:5: %s/junk.pem: " % here.path)
    done = check(here(text % ("{ sni = '*', cert = '%s', key = '%s' }"
                              % (certificate.cert, certificate.key))))
    assert done.returncode == 0, done.stderr


def test_bad_authorities_of_an_origin_are_named_with_its_line(here, certificate):
    good = open(certificate.cert).read()
    (here.path / "junk.pem").write_text("junk")
    (here.path / "cut.pem").write_text(good + good[:len(good) // 2] + "\n-----END CERTIFICATE-----\n")
    text = BASE + "site {\n names = { 'a' },\n origin = { 'https://127.0.0.1:1', ca = '%s' } }\n"
    named = 'herald.lua:5: origin.ca "%s/%%s.pem" ' % here.path
    assert fault_of(check(here(text % "no.pem"))) == \
        named % "no" + "cannot be read: No such file or directory"
    assert fault_of(check(here(text % "junk.pem"))) == \
        named % "junk" + "has no PEM certificate in it"
    assert fault_of(check(here(text % "cut.pem"))).startswith(named % "cut" + "cannot be read: ")
    done = check(here(text % certificate.cert))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key", ["access", "error"])
def test_a_log_whose_folder_is_missing_is_named_with_its_line(here, key):
    text = BASE + "log = {\n  %s = '%%s' }\nsite { names = { 'a' }, root = 'www' }" % key
    gone = str(here.path / "gone" / "log")
    assert fault_of(check(here(text % gone))) == \
        'herald.lua:4: log.%s "%s" cannot be opened: No such file or directory' % (key, gone)
    assert fault_of(check(here(text % here.path))) == \
        'herald.lua:4: log.%s "%s" cannot be opened: Is a directory' % (key, here.path)
    done = check(here(text % (here.path / "log")))
    assert done.returncode == 0 and not (here.path / "log").exists(), done.stderr


def test_an_unknown_policy_is_named_with_its_line_and_the_nearest(here):
    done = check(here(BASE + "site { names = { 'a' }, root = 'www', policies = {\n 'scan',\n"
                             " 'budgett' } }"))
    fault = fault_of(done)
    assert fault.startswith("herald.lua:5: ") and "'budgett'" in fault and "'budget'" in fault


def test_a_policy_with_a_syntax_error_is_named(here):
    (here.path / "policies" / "shop.lua").write_text("return {\n  api = = 1\n}\n")
    done = check(here(BASE + "policy = { dir = 'policies' }\n"
                             "site { names = { 'a' }, root = 'www', policies = { 'shop.lua' } }"))
    assert fault_of(done).startswith("shop.lua:2: ")


def test_a_fault_in_an_included_file_names_that_file(here):
    (here.path / "sites.d").mkdir()
    here("site { root = 'www', rooot = 1 }", "sites.d/a.lua")
    done = check(here('listen = { "127.0.0.1:8080" }\ninclude "sites.d/*.lua"'))
    assert fault_of(done) == 'sites.d/a.lua:1: unknown key "rooot" in site, nearest "root"'


def test_an_endless_loop_is_stopped(here):
    done = check(here(BASE + "local n = 0\nwhile true do n = n + 1 end"))
    assert fault_of(done) == \
        "herald.lua:4: the config has run for 1s of CPU time: an endless loop?"


@pytest.mark.quick
def test_what_print_prints_is_a_config_that_means_the_same(here):
    first = check(here(BASE + "site { names = { 'a', 'b' }, root = 'www', remember = 'never',\n"
                              "  policies = { 'scan', { 'budget', max_bytes = 100000 } },\n"
                              "  routes = { ['/x/*'] = { cache_control = 'no-cache' } } }\n"
                              "limits = { idle = '90s' }"), "--print")
    assert first.returncode == 0, first.stderr
    again = check(here(first.stdout), "--print")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert 'idle = "90s"' in again.stdout and 'remember = "never"' in again.stdout


@pytest.mark.quick
def test_json_says_the_same_of_good_and_bad_configs(here):
    done = check(here(BASE + "clients = { table = '3MiB' }"), "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["ok"] is True
    assert said["table"]["bytes"] == 2 << 20 and said["table"]["entries"] > 100000
    assert said["config"]["sites"][0]["routes"][0]["root"] == str(here.path / "www")
    assert any("rounded down to 2MiB" in warning for warning in said["warnings"])
    done = check(here(BASE + 'user = "\\27[31m"'), "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["ok"] is False
    assert (said["file"], said["line"]) == ("herald.lua", 3)


@pytest.mark.quick
def test_misuse_has_status_2(here):
    assert check(here(BASE), "--prin").returncode == 2
    assert check(here(BASE), "more").returncode == 2


@pytest.mark.quick
def test_the_file_is_the_named_one_or_the_one_here(here, tmp_path):
    (tmp_path / "conf").mkdir()
    here('listen = { "127.0.0.1:8080" } site { root = "../www" }', "conf/other.lua")
    done = check(tmp_path, "-c", "conf/other.lua")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("conf/other.lua: ok\n")
    done = check(tmp_path)
    if not os.path.exists("/etc/herald/herald.lua"):
        assert done.returncode == 1 and "there is no config" in done.stderr
    done = check(tmp_path, "-c", "conf/nowhere.lua")
    assert fault_of(done) == \
        "conf/nowhere.lua: the config cannot be opened: No such file or directory"


def test_root_reads_a_config_below_a_closed_home(here, certificate):
    if os.geteuid() != 0:
        pytest.skip("only root may read there")
    home = here.path / "home"
    (home / "checkout" / "sites.d").mkdir(parents=True)
    here('include "sites.d/*.lua"\nlisten = { { "127.0.0.1:8443", tls = true } }\n'
         'tls = { { sni = "*", cert = "%s", key = "%s" } }' % (certificate.cert, certificate.key),
         "home/checkout/herald.lua")
    here('site { root = "../www", policies = { "scan" } }', "home/checkout/sites.d/a.lua")
    (home / "www").mkdir()
    (home / "checkout" / "herald.lua").chmod(0o600)
    home.chmod(0o700)
    done = check(home / "checkout")
    assert done.returncode == 0, done.stderr


def test_an_ordinary_user_checks_as_well(here):
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user")
    done = check(here(BASE), "--print", user="nobody",
                 env={"XDG_STATE_HOME": "/tmp/xdg", "PATH": os.environ["PATH"]})
    if "Permission denied" in done.stderr and BINARY in done.stderr:
        pytest.skip("nobody may not run the binary where it lies")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert 'state = "/tmp/xdg/herald"' in done.stdout or "/build/state" in done.stdout


def test_nothing_is_left_running_or_listening(here):
    before = set(os.listdir("/proc"))
    done = check(here(BASE + "state = 'state'"))
    assert done.returncode == 0
    assert not (here.path / "state").exists()
    left = [pid for pid in set(os.listdir("/proc")) - before
            if pid.isdigit() and os.path.exists("/proc/%s/exe" % pid)
            and os.path.realpath("/proc/%s/exe" % pid) == BINARY
            and os.path.realpath("/proc/%s/cwd" % pid) == str(here.path)]
    assert left == []
