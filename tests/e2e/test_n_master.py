"""The master by itself: its commands, its socket, its state, what it does when forbidden things."""
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

import pytest

import server
from h2client import visit_once
from webroot import LIGHT_ASSETS

NOBODY = 65534
VERBS = ("run", "demo", "check", "status", "reload", "stop", "doctor", "version")


def herald_cli(*words, **kwargs):
    """Runs `herald words…` away from any config."""
    return subprocess.run([server.BINARY, *words], capture_output=True, text=True,
                          timeout=server.patience(20), cwd="/", **kwargs)


# ---- the verbs ----

@pytest.mark.quick
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    done = herald_cli(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("herald " + verb)


@pytest.mark.quick
def test_unknown_words_are_usage_errors_that_name_the_nearest():
    for words, nearest in ((["statsu"], "status"), (["run", "--confg", "x"], "--config"),
                           (["status", "--jsn"], "--json")):
        done = herald_cli(*words)
        assert done.returncode == 2, words
        assert len(done.stderr.splitlines()) == 1 and nearest in done.stderr


@pytest.mark.quick
def test_an_option_without_its_argument_is_a_usage_error():
    done = herald_cli("run", "-c")
    assert done.returncode == 2 and "--config" in done.stderr
    assert herald_cli().returncode == 2


@pytest.mark.quick
def test_a_config_and_a_root_exclude_each_other():
    done = herald_cli("run", "-c", "x", "--root", "/tmp")
    assert done.returncode == 2 and "--root" in done.stderr


def test_faults_are_json_on_request(herald):
    made = herald(start=False)
    done = made.command("status", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False and "herald.sock" in told["error"]
    made.config_path += ".none"
    told = json.loads(made.command("run", "--json").stdout)
    assert told["ok"] is False and "herald.lua.none" in told["error"]


def test_ready_is_json_on_request(herald):
    made = herald(start=False)
    process = subprocess.Popen([server.BINARY, "run", "-c", made.config_path, "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        told = json.loads(process.stdout.readline())
        assert told["ok"] is True and len(told["ready"]) == 2
        assert told["ready"][0] == "https://%s:%d/" % (server.ADDRESS, made.tls_port)
        process.terminate()
        assert process.wait(timeout=server.patience(10)) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.quick
def test_status_is_for_people_too(herald, connect):
    site = herald(workers=2, pushes={"/light.html": LIGHT_ASSETS})
    visit_once(site, "/light.html")
    told = json.loads(site.command("status", "--json").stdout)
    text = site.command("status").stdout
    assert told["generation"] == 1 and told["state"] == "serving"
    assert {w["pid"] for w in told["workers"]} == site.workers()
    assert sum(w["requests"] for w in told["workers"]) == told["counters"]["requests"] >= 1
    assert told["push"]["promised"] == len(LIGHT_ASSETS)
    assert told["sites"][0]["root"] == site.root.directory
    for word in ("generation 1", site.url(), "pages.lua", "%d promised" % len(LIGHT_ASSETS)):
        assert word.replace(server.HOST, server.ADDRESS) in text, word


def test_the_stop_command_returns_when_all_has_ended(herald):
    site = herald(workers=2)
    workers = site.workers()
    done = site.command("stop")
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert not any(map(server.alive, workers))
    assert not os.path.exists(site.control)
    assert site.wait_exit() == 0


# ---- what forbids io_uring ----

def forbid_io_uring(error=errno.EPERM):
    """Puts this process under a filter that refuses io_uring_setup, as container engines do."""
    libc = ctypes.CDLL(None, use_errno=True)
    ld, jeq, ret = 0x20, 0x15, 0x06      # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    program = b"".join(struct.pack("HBBI", *line) for line in (
        (ld, 0, 0, 0),                   # the system call's number
        (jeq, 0, 1, 425),                # io_uring_setup, the same on every architecture
        (ret, 0, 0, 0x00050000 | error),  # SECCOMP_RET_ERRNO
        (ret, 0, 0, 0x7fff0000)))        # SECCOMP_RET_ALLOW
    lines = ctypes.create_string_buffer(program, len(program))
    filtered = struct.pack("HxxxxxxP", 4, ctypes.addressof(lines))
    assert libc.prctl(38, 1, 0, 0, 0) == 0          # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, filtered, 0, 0) == 0   # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


@pytest.mark.quick
def test_the_doctor_finds_this_machine_fit():
    done = herald_cli("doctor")
    assert done.returncode == 0, done.stdout
    told = json.loads(herald_cli("doctor", "--json").stdout)
    verdicts = {f["subject"]: f["verdict"] for f in told["findings"]}
    assert told["ok"] is True and verdicts["io_uring"] == "good"


@pytest.mark.quick
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
def test_the_doctor_names_the_filter_that_forbids_io_uring(error):
    done = herald_cli("doctor", preexec_fn=lambda: forbid_io_uring(error))
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if "io_uring" in line)
    for word in ("BAD", "seccomp", "--security-opt"):
        assert word in line, line
    told = json.loads(herald_cli("doctor", "--json", preexec_fn=forbid_io_uring).stdout)
    assert told["ok"] is False


def test_run_says_the_same_and_leaves_nothing(herald):
    made = herald(start=False)
    done = subprocess.run([server.BINARY, "run", "-c", made.config_path], capture_output=True,
                          text=True, timeout=server.patience(20), preexec_fn=forbid_io_uring)
    assert done.returncode == 1 and done.stdout == ""
    fault = [line for line in done.stderr.splitlines() if " warn " not in line]
    assert len(fault) == 1 and "seccomp" in fault[0] and "--security-opt" in fault[0]
    assert not os.path.exists(made.control)


# ---- the control socket ----

@contextlib.contextmanager
def control(site):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(server.patience(10))
        connection.connect(site.control)
        yield connection


def line_of(connection):
    text = b""
    while not text.endswith(b"\n"):
        more = connection.recv(65536)
        if not more:
            break
        text += more
    return json.loads(text) if text else None


@pytest.mark.quick
@pytest.mark.asan
def test_senseless_commands_get_an_error_and_harm_nothing(herald):
    site = herald()
    for text in (b"\n", b"hello\n", b"{}\n", b'{"verb":"statsu"}\n', b'{"verb":["status"]}\n',
                 b"[" * 4000 + b"\n", b"\xff\xfe\n", b"x" * 5000):
        with control(site) as connection:
            connection.sendall(text)
            told = line_of(connection)
            assert told["ok"] is False and told["error"], text[:40]
    with control(site) as connection:
        connection.sendall(b'{"verb":"statsu"}\n')
        assert "status" in line_of(connection)["error"]
    assert site.command("status").returncode == 0


def test_slow_and_silent_clients_hold_up_nobody(herald):
    site = herald()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(control(site)).sendall(b'{"verb":')
        start = time.monotonic()
        assert site.command("status").returncode == 0
        assert time.monotonic() - start < server.patience(2)
        assert visit_once(site, "/hello.txt").page.status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_only_its_owner_may_use_the_control_socket(herald):
    site = herald()
    assert stat.S_IMODE(os.stat(site.control).st_mode) == 0o600
    done = subprocess.run([server.BINARY, "stop", "--socket", site.control], user=NOBODY, group=NOBODY,
                          capture_output=True, text=True, timeout=server.patience(20), cwd="/")
    assert done.returncode == 1 and "permission" in done.stderr.lower()
    site.check_running()


def test_who_asked_is_logged(herald):
    site = herald()
    site.workers_may_change = True
    assert site.command("reload").returncode == 0
    site.wait_error(r"reload asked for by %s \(pid \d+\)" % pwd.getpwuid(os.geteuid()).pw_name)


# ---- state ----

def test_two_heralds_do_not_share_a_state_directory(herald):
    site, other = herald(), herald(start=False)
    with open(other.config_path) as file:
        text = file.read()
    server.write_config(other, text.replace(other.state_dir, site.state_dir))
    done = other.command("run")
    assert done.returncode == 1 and site.state_dir in done.stderr
    assert "another herald" in done.stderr


def test_secrets_are_private_and_kept(herald):
    site = herald()
    keys = os.path.join(site.state_dir, "keys")
    before = open(keys, "rb").read()
    for name in os.listdir(site.state_dir):
        mode = os.stat(os.path.join(site.state_dir, name)).st_mode
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), name
    site.stop()
    site.start()
    assert open(keys, "rb").read() == before


def test_keys_that_others_may_read_are_refused(herald):
    site = herald()
    site.stop()
    os.chmod(os.path.join(site.state_dir, "keys"), 0o644)
    done = site.command("run")
    assert done.returncode == 1 and "keys" in done.stderr and "0600" in done.stderr


def cookie_of(visit):
    return visit.page.field("set-cookie").split(";")[0]


@pytest.mark.asan
def test_what_a_client_holds_is_known_after_a_restart(herald):
    site = herald(pushes={"/light.html": LIGHT_ASSETS})
    first = visit_once(site, "/light.html")
    assert sorted(first.paths()) == sorted(LIGHT_ASSETS)
    cookie = [("cookie", cookie_of(first))]
    server.wait_until(lambda: visit_once(site, "/light.html", fields=cookie).paths() == [], 5,
                      "everything to be held")
    site.stop()
    site.start()
    assert visit_once(site, "/light.html", fields=cookie).paths() == []


def test_a_damaged_table_is_said_and_forgotten(herald):
    site = herald(pushes={"/light.html": LIGHT_ASSETS})
    cookie = [("cookie", cookie_of(visit_once(site, "/light.html")))]
    site.stop()
    path = os.path.join(site.state_dir, "push-table")
    with open(path, "r+b") as file:
        file.seek(16)
        file.write(b"\x77")
    site.start()
    site.wait_error("the push table starts empty: .*push-table")
    assert sorted(visit_once(site, "/light.html", fields=cookie).paths()) == sorted(LIGHT_ASSETS)


def test_what_can_not_change_while_it_runs_is_refused(herald):
    site = herald()
    server.write_config(site, server.config_text(top={"clients": {"table": "2MiB"}}))
    done = site.command("reload")
    assert done.returncode == 1 and "clients.table" in done.stderr
    assert visit_once(site, "/hello.txt").page.status == 200


@pytest.mark.quick
def test_what_is_meant_for_the_herald_of_another_config_is_refused(herald):
    """Two configs that name the same socket: only one of them runs."""
    site = herald()
    other = os.path.join(site.directory, "other.lua")
    shutil.copy(site.config_path, other)
    for words in (["status"], ["stop"], ["push", "off"], ["reload"]):
        done = site.command(*words, "-c", other, config=False)
        assert done.returncode == 1 and site.config_path in done.stderr and other in done.stderr
    assert site.command("status").returncode == 0 and visit_once(site, "/hello.txt").page.status == 200
    alias = os.path.join(site.directory, "alias.lua")
    os.symlink(site.config_path, alias)
    assert site.command("status", "-c", alias, config=False).returncode == 0


# ---- what reads a config ----

def named_child(site, name):
    for pid in server.children(site.pid):
        with contextlib.suppress(OSError):
            with open("/proc/%d/comm" % pid) as comm:
                if comm.read().strip() == name:
                    return pid
    return None


def memory_holds(pid, needle):
    """Whether the process's writable memory holds the bytes."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            bounds, rights = line.split()[:2]
            if not rights.startswith("rw") or line.rstrip().endswith("[vvar]"):
                continue
            start, end = (int(word, 16) for word in bounds.split("-"))
            with contextlib.suppress(OSError):
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


@pytest.mark.skipif(server.ASAN, reason="its shadow memory is too large to be read")
def test_a_config_that_spins_holds_up_nothing_and_sees_no_secret(herald):
    site = herald()
    with open(site.certificate.key) as file:
        secret = file.read().splitlines()[1].encode()
    (worker, *_) = site.workers()
    with open("/proc/%d/maps" % worker) as maps:
        assert "herald-secrets" in maps.read()
    assert memory_holds(site.pid, secret), "the master has the key: the search finds what is there"
    server.write_config(site, "while true do end\n")
    site.send_signal(signal.SIGHUP)
    reader = server.wait_until(lambda: named_child(site, "herald-helper"), 5, "the config's reader")
    with open("/proc/%d/status" % reader) as status:
        assert os.geteuid() != 0 or "\nUid:\t0" not in status.read()
    assert visit_once(site, "/hello.txt").page.status == 200
    assert site.command("status", "--socket", site.control, config=False).returncode == 0
    server.wait_until(lambda: "herald-secrets" not in open("/proc/%d/maps" % reader).read(), 5,
                      "the secrets to be let go")
    assert not memory_holds(reader, secret)
    os.kill(reader, signal.SIGKILL)
    site.wait_error("reload failed.*reading the config.*signal 9")
    assert visit_once(site, "/hello.txt").page.status == 200


# ---- signals and logs ----

def test_usr2_is_answered_in_the_log(herald):
    site = herald()
    site.send_signal(signal.SIGUSR2)
    site.wait_error("not supported in this version")
    assert visit_once(site, "/hello.txt").page.status == 200


def test_it_can_be_ended_at_any_moment_of_its_start(herald):
    made = herald(start=False)
    for n in range(12):
        process = subprocess.Popen([server.BINARY, "run", "-c", made.config_path],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(n * 0.008)            # a different moment each time, not a wait for something
        process.terminate()
        status = process.wait(timeout=server.patience(10))
        assert status in (0, -signal.SIGTERM), n     # killed before it took signals in
    assert made.start() is made


def test_a_log_that_nobody_reads_stops_nothing(herald):
    """The master's own lines go to a full pipe: they are dropped, and it goes on."""
    made = herald(start=False)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([server.BINARY, "run", "-c", made.config_path],
                               stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    try:
        assert process.stdout.readline().startswith("ready")
        for _ in range(60):
            os.kill(process.pid, signal.SIGUSR2)
            time.sleep(0.002)            # signals of a kind merge
        assert visit_once(made, "/hello.txt").page.status == 200
        assert made.command("status").returncode == 0
        assert b" info " in os.read(read, 65536)
        os.set_blocking(read, False)
        os.kill(process.pid, signal.SIGUSR2)

        def counted():
            with contextlib.suppress(BlockingIOError):
                return re.search(rb"\d+ lines were dropped", os.read(read, 65536))
        server.wait_until(counted, 5, "the count of lost lines")
        process.terminate()
        assert process.wait(timeout=server.patience(10)) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(read)


def test_a_reopened_error_log_is_used(herald):
    site = herald(top={"log": {"access": "@DIR@/access.json", "error": "@DIR@/error.log"}})
    path = os.path.join(site.directory, "error.log")
    assert "generation 1 serves" in open(path).read()
    os.rename(path, path + ".1")
    site.send_signal(signal.SIGUSR1)
    server.wait_until(lambda: os.path.exists(path) and "logs reopened" in open(path).read(), 5,
                      "the new error log")


# ---- without privileges ----

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_it_runs_as_an_ordinary_user(herald):
    made = herald(start=False)
    shutil.chown(made.directory, NOBODY, NOBODY)
    for path in (made.state_dir, made.policy_dir):
        shutil.chown(path, NOBODY, NOBODY)
    key = os.path.join(made.directory, "key.pem")
    shutil.copy(made.certificate.key, key)
    shutil.chown(key, NOBODY, NOBODY)
    with open(made.config_path) as file:
        text = file.read()
    server.write_config(made, text.replace(made.certificate.key, key))
    process = subprocess.Popen([server.BINARY, "run", "-c", made.config_path], user=NOBODY,
                               group=NOBODY, extra_groups=[], stdout=subprocess.PIPE, text=True,
                               cwd="/")
    try:
        assert process.stdout.readline().startswith("ready")
        for tls in (True, False):
            assert visit_once(made, "/hello.txt", tls=tls).page.status == 200
        for pid in server.children(process.pid):
            assert os.stat("/proc/%d" % pid).st_uid == NOBODY
        process.terminate()
        assert process.wait(timeout=server.patience(10)) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---- the demo ----

@pytest.fixture
def demo(tmp_path):
    """The demo in a network of its own, since its ports are fixed; a function runs commands there."""
    unshare = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" demo', server.BINARY]
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    out = open(tmp_path / "out", "w+")
    process = subprocess.Popen(unshare, stdout=out, stderr=subprocess.DEVNULL, cwd="/")

    def said():
        with open(tmp_path / "out") as file:
            return file.read()

    def run(*argv):
        return subprocess.run(["nsenter", "--net", "-t", str(process.pid), *argv], text=True,
                              capture_output=True, timeout=server.patience(20))
    try:
        server.wait_until(lambda: "Ctrl-C" in said(), 10, "the demo to be ready",
                          lambda: process.poll() is None or pytest.fail("the demo ended"))
        yield process, said, run
    finally:
        process.kill()
        process.wait()
        out.close()


def test_the_demo_pushes_and_says_what_it_did(demo):
    process, said, run = demo
    assert said().startswith("ready  https://127.0.0.1:8443/  http://127.0.0.1:8080/\n")
    rich = run("nghttp", "-ans", "https://127.0.0.1:8443/").stdout
    assert len(re.findall(r"^ *\d+ +\+\S+ +\* +\+", rich, re.MULTILINE)) >= 10, rich
    server.wait_until(lambda: re.search(r"^GET / 200: \d\d pushed", said(), re.MULTILINE), 5,
                      "the line of the page")
    run("nghttp", "-ns", "--no-push", "https://127.0.0.1:8443/")
    server.wait_until(lambda: "nothing pushed: the client sent SETTINGS_ENABLE_PUSH=0" in said(), 5,
                      "the reason why nothing was pushed")
    suggested = re.search(r"^  (.* status --demo)$", said(), re.MULTILINE)[1]
    assert run(*suggested.split()).stdout.startswith("herald ")
    children = server.children(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=server.patience(10)) == 0
    assert not any(map(server.alive, children))
