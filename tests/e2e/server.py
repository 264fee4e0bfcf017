"""Starts ./herald for a test, watches it, and reads what it says: its log is read here only."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from sockets import tcp_rows
from webroot import Webroot

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("HERALD_BIN", os.path.join(TOP, "herald")))
ASAN = "asan" in BINARY
SOAK = os.environ.get("HERALD_SOAK") == "1"
HOST = "localhost"
ADDRESS = "127.0.0.1"
PORTS_FIRST, PORTS_END = 10240, 32768

START_LIMIT_S = 10
STOP_LIMIT_S = 10
SANITIZER = re.compile(r"ERROR: \w*Sanitizer|runtime error: |SUMMARY: \w*Sanitizer")


def built_with(name):
    """Whether configure found what this variable of config.mk stands for."""
    with open(os.path.join(TOP, "config.mk")) as made:
        return "\n%s = yes\n" % name in made.read()


def patience(seconds):
    """A deadline in seconds: longer under the sanitizers, and never a matter of the machine's mood."""
    return seconds * (4 if ASAN else 2)


def wait_until(predicate, seconds, what, give_up=None, every=0.01):
    """Waits until predicate() is true and returns its value; fails after `seconds` (scaled).

    `what` says what was waited for; a function is asked for it at the end.
    """
    deadline = time.monotonic() + patience(seconds)
    while True:
        value = predicate()
        if value:
            return value
        if give_up:
            give_up()
        assert time.monotonic() < deadline, "waited %.0f s in vain: %s" % (
            patience(seconds), what() if callable(what) else what)
        time.sleep(every)


def free_ports(count):
    """Ports that nobody else holds now, below those the kernel gives to outgoing connections: a
    server that is started again finds its own still free."""
    ports = []
    while len(ports) < count:
        port = random.randrange(PORTS_FIRST, PORTS_END)
        with socket.socket() as made:
            try:
                made.bind((ADDRESS, port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def to_lua(value):
    """A Python value as the Lua expression that the config's sandbox reads."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if isinstance(value, dict):          # None as a key stands for the array part: {None: [...]}
        parts = [to_lua(v) for v in value.get(None, ())]
        parts += ["[%s] = %s" % (to_lua(k), to_lua(v)) for k, v in value.items() if k is not None]
        return "{ %s }" % ", ".join(parts)
    return "{ %s }" % ", ".join(to_lua(v) for v in value)


def push_policy(pages):
    """A policy that proposes, for each page path in `pages`, the given assets in that order."""
    return """local pages = %s
return {
  api = 1,
  on_request = function(req, push)
    for _, path in ipairs(pages[req.path] or {}) do
      push:add(path)
    end
  end,
}
""" % to_lua(pages)


# ---- the access log -------------------------------------------------------------------------

class LogEntry:
    """One line of the access log: a request, with the verdicts on what was proposed for it.

    The names of its fields are known here and nowhere else. Pushed streams have no lines.
    """

    def __init__(self, line):
        self.fields = json.loads(line)
        self.id = self.fields.get("id")
        self.client = self.fields.get("client")
        self.method = self.fields.get("method")
        self.path = self.fields.get("path")
        self.status = self.fields.get("status")
        self.bytes = self.fields.get("bytes")
        self.pushes = [(p.get("path"), p.get("verdict")) for p in self.fields.get("push") or ()]

    def verdict(self, path):
        """Why `path` was or was not pushed with this page; None if nobody proposed it."""
        return dict(self.pushes).get(path)

    def __repr__(self):
        return json.dumps(self.fields)


# Verdicts, as policy/reasons.def words them.
PUSHED = "pushed"
HELD = "held"
DECLINED = "declined"
ELSEWHERE = "elsewhere"
HOLDOUT = "holdout"
PUSH_DISABLED = "push_disabled"
CLIENT_LIMIT = "client_limit"
MAX_STREAMS = "max_streams"
MAX_BYTES = "max_bytes"
OVER_BUDGET = "over_budget"
GOING_AWAY = "going_away"
NOT_FOUND = "not_found"
UNREADABLE = "unreadable"
VETOED = "vetoed"
NOT_CACHEABLE = "not_cacheable"
PUSH_OFF = "push_off"
PROTOCOL = "protocol"


# ---- processes ------------------------------------------------------------------------------

def alive(pid):
    """True while the process exists and is no zombie."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def descriptors(pid):
    """What the process's descriptors point to: {"socket:[123]", "anon_inode:[io_uring]", ...}."""
    found = set()
    folder = "/proc/%d/fd" % pid
    try:
        for name in os.listdir(folder):
            try:
                found.add(os.readlink(os.path.join(folder, name)))
            except OSError:
                pass
    except OSError:
        pass
    return found


class Herald:
    """A herald that serves, with its ports, root, access log and processes."""

    def __init__(self, directory, certificate, root, ports):
        self.directory = directory
        self.certificate = certificate
        self.root = root
        self.tls_port, self.h2c_port = ports
        self.ca = certificate.cert
        self.config_path = os.path.join(directory, "herald.lua")
        self.access_log = os.path.join(directory, "access.json")
        self.policy_dir = os.path.join(directory, "policies")
        self.state_dir = os.path.join(directory, "state")
        self.control = os.path.join(directory, "herald.sock")
        self.process = None
        self.launcher = []               # a program that runs it, with its arguments
        self.out, self.err = [], []
        self._said = threading.Condition()
        self._threads = []
        self._workers_at_start = None
        self.workers_may_change = False  # a test that kills or reloads sets this
        self.ended = False               # the test has seen it end

    # -- life --

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Starts the process and waits for its `ready` line."""
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        self.out, self.err, self.ended = [], [], False
        self.process = subprocess.Popen([*self.launcher, BINARY, "run", "-c", self.config_path],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        cwd=self.directory, env=env)
        self._threads = [self._follow(self.process.stdout, self.out),
                         self._follow(self.process.stderr, self.err)]
        self.wait_said(self.out, r"^ready\b", START_LIMIT_S, "the line that begins with `ready`")
        self._workers_at_start = self.workers()
        return self

    def _follow(self, pipe, lines):
        def read():
            for line in pipe:
                with self._said:
                    lines.append(line.rstrip("\n"))
                    self._said.notify_all()
            pipe.close()
            with self._said:
                self._said.notify_all()
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def wait_said(self, lines, pattern, seconds=5, what=None, since=0):
        """Waits for a line (from the `since`th on) that matches, and returns it."""
        deadline = time.monotonic() + patience(seconds)
        with self._said:
            while True:
                for line in lines[since:]:
                    if re.search(pattern, line):
                        return line
                left = deadline - time.monotonic()
                assert self.process.poll() is None or any(t.is_alive() for t in self._threads), \
                    "herald ended with status %s before it printed %s" % (
                        self.process.returncode, what or repr(pattern))
                assert left > 0, "waited %.0f s for %s" % (patience(seconds), what or repr(pattern))
                self._said.wait(min(left, 0.2))

    def wait_error(self, pattern, seconds=5, since=0):
        """Waits for a line on stderr."""
        return self.wait_said(self.err, pattern, seconds, since=since)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, seconds=STOP_LIMIT_S):
        """Waits for the master to end and returns its status."""
        status = self.process.wait(timeout=patience(seconds))
        self.ended = True
        for thread in self._threads:
            thread.join(timeout=patience(5))
        return status

    def stop(self, number=signal.SIGTERM):
        """Ends it and checks that it ended well."""
        workers = self.workers()
        self.send_signal(number)
        status = self.wait_exit()
        assert status == 0, "herald ended with status %s" % status
        wait_until(lambda: not any(map(alive, workers)), 3, "the workers to end with their master")

    def kill(self):
        """Last resort, when a test failed: nothing of it is left."""
        if self.process and self.process.poll() is None:
            pids = children(self.pid)
            self.process.kill()
            self.wait_exit()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass

    def close(self):
        """What every test ends with: a good end, no report of a sanitizer, no worker lost."""
        if self.process is None:
            return
        try:
            if not self.ended:
                self.check_running()
                now = self.workers()
                assert self.workers_may_change or now == self._workers_at_start, \
                    "the workers were %s and are now %s: one went down" % (
                        sorted(self._workers_at_start), sorted(now))
                self.stop()
        finally:
            self.kill()
        report = [line for line in self.err if SANITIZER.search(line)]
        assert not report, "a sanitizer reports: " + report[0]

    def command(self, *words, config=True):
        """Runs `herald words… -c CONFIG` and returns the finished process."""
        argv = [BINARY, *words] + (["-c", self.config_path] if config else [])
        return subprocess.run(argv, capture_output=True, text=True, timeout=patience(20),
                              cwd=self.directory)

    # -- processes --

    def workers(self):
        """The pids of the workers: the master's children that have a ring."""
        return {pid for pid in children(self.pid) if "anon_inode:[io_uring]" in descriptors(pid)}

    def worker_of(self, client_port):
        """The worker that holds the connection from the client's port; None until one accepted it."""
        inodes = {"socket:[%d]" % row.inode for port in (self.tls_port, self.h2c_port)
                  for row in tcp_rows(local=port, remote=client_port) if row.inode}
        for pid in children(self.pid):
            if inodes & descriptors(pid):
                return pid
        return None

    def in_flight(self, client_port):
        """Bytes between the server's socket and the client's reader: both queues of a connection."""
        return sum(sum(row.sending for row in tcp_rows(local=port, remote=client_port))
                   + sum(row.receiving for row in tcp_rows(local=client_port, remote=port))
                   for port in (self.tls_port, self.h2c_port))

    def reload(self, seconds=30):
        """HUP, and waits until only workers of the new generation are left."""
        self.workers_may_change = True
        before, count = self.workers(), len(self.workers())
        self.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.workers() - before) >= count and not self.workers() & before,
                   seconds, "a new generation of workers alone", self.check_running)

    def check_running(self):
        assert self.process.poll() is None, "herald ended with status %s" % self.process.returncode

    # -- the access log --

    def _log_lines(self):
        try:
            with open(self.access_log, errors="replace") as log:
                text = log.read()
        except FileNotFoundError:
            return []
        return text[:text.rfind("\n") + 1].splitlines()

    def log(self):
        """All complete lines of the access log that tell of requests."""
        entries = [LogEntry(line) for line in self._log_lines()]
        return [e for e in entries if "settled" not in e.fields]

    def settled(self, entry, seconds=5):
        """The line that says what became of the pushes of an entry's page; waits for it."""
        def line():
            found = [json.loads(line) for line in self._log_lines() if '"settled"' in line]
            return [fields for fields in found if fields["settled"] == entry.id]
        return wait_until(line, seconds, "the line of what was settled for " + entry.id)[0]

    def wait_log(self, predicate, seconds=5, what="a line of the access log"):
        """Waits for an entry for which predicate(entry) is true; returns the last such entry."""
        found = wait_until(lambda: [e for e in self.log() if predicate(e)], seconds, what)
        return found[-1]

    def page_entry(self, path, nth=1, **wanted):
        """The `nth` line for a request of `path`; waits for it."""
        def entries():
            found = [e for e in self.log() if e.path == path
                     and all(getattr(e, k) == v for k, v in wanted.items())]
            return found[nth - 1:nth]
        return wait_until(entries, 5, "line %d of the access log for %s" % (nth, path))[0]

    def url(self, path="/", tls=True):
        return "%s://%s%s" % ("https" if tls else "http", self.authority(tls), path)

    def authority(self, tls=True):
        return "%s:%d" % (HOST, self.tls_port if tls else self.h2c_port)


class Certificate:
    """A P-256 key and a self-signed certificate for localhost, made when the tests run."""

    NAMES = "DNS:localhost,DNS:www.herald.test,DNS:*.wild.test,IP:127.0.0.1"

    def __init__(self, directory, names=NAMES):
        self.key = os.path.join(directory, "key.pem")
        self.cert = os.path.join(directory, "cert.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=" + names,
             "-addext", "basicConstraints=critical,CA:TRUE"],
            check=True, capture_output=True)
        os.chmod(self.key, 0o600)
        os.chmod(self.cert, 0o644)


def resolve_config(config, herald):
    """Puts the ports and paths of this run in the places `@NAME@` of a config text."""
    places = {"TLS": str(herald.tls_port), "H2C": str(herald.h2c_port),
              "ROOT": herald.root.directory, "CERT": herald.certificate.cert,
              "KEY": herald.certificate.key, "DIR": herald.directory}
    return re.sub(r"@([A-Z0-9]+)@", lambda m: places[m.group(1)], config)


def config_text(workers=2, site=None, routes=None, policies=(), push=None, limits=None, top=None,
                more=""):
    """The config of a test. `site` and `top` add keys; `more` is Lua put at the end."""
    site_keys = {"names": ["*"], "root": "@ROOT@", "policies": list(policies),
                 "routes": {"/assets/*": {"cache_control": "public, max-age=31536000, immutable"},
                            **(routes or {})}}
    if push:
        site_keys["push"] = push
    site_keys.update(site or {})
    keys = {"user": "nobody", "workers": workers, "state": "@DIR@/state",
            "listen": [{None: ["127.0.0.1:@TLS@"], "tls": True}, "127.0.0.1:@H2C@"],
            "tls": [{"sni": "*", "cert": "@CERT@", "key": "@KEY@"}],
            "clients": {"table": "1MiB"},
            "policy": {"dir": "@DIR@/policies"},
            "log": {"access": "@DIR@/access.json", "error": "stderr"},
            "admin": {"socket": "@DIR@/herald.sock"}}
    if limits:
        keys["limits"] = limits
    keys.update(top or {})
    lines = ["%s = %s" % (key, to_lua(value)) for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\nsite %s\n%s\n" % (to_lua(site_keys), more)


def make(certificate, config=None, pushes=None, policy_files=None, fill=True, **kwargs):
    """A Herald with its files written and nothing started; conftest's factory calls this."""
    directory = tempfile.mkdtemp(prefix="herald-test-")
    os.chmod(directory, 0o755)           # a worker without privileges reads below it
    root = Webroot(os.path.join(directory, "root"))
    if fill:
        root.fill()
    herald = Herald(directory, certificate, root, free_ports(2))
    files = dict(policy_files or {})
    if pushes is not None:
        files["pages.lua"] = push_policy(pushes)
        kwargs.setdefault("policies", ["pages.lua"])
    os.makedirs(herald.policy_dir)
    for name, source in files.items():
        with open(os.path.join(herald.policy_dir, name), "w") as file:
            file.write(source)
    os.makedirs(herald.state_dir)
    if os.geteuid() == 0:
        shutil.chown(herald.state_dir, "nobody")
    write_config(herald, config if config is not None else config_text(**kwargs))
    return herald


def write_config(herald, config):
    with open(herald.config_path + ".new", "w") as file:
        file.write(resolve_config(config, herald))
    os.rename(herald.config_path + ".new", herald.config_path)


def start(herald):
    """Starts it; on ports that someone took meanwhile it tries others."""
    for attempt in range(3):
        try:
            return herald.start()
        except AssertionError:
            taken = any(re.search(r"in use|EADDRINUSE", line) for line in herald.err)
            herald.kill()
            if not taken or attempt == 2:
                raise
            with open(herald.config_path) as file:
                text = file.read()
            old = herald.tls_port, herald.h2c_port
            herald.tls_port, herald.h2c_port = free_ports(2)
            for before, after in zip(old, (herald.tls_port, herald.h2c_port)):
                text = text.replace(":%d" % before, ":%d" % after)
            write_config(herald, text)
    return herald
