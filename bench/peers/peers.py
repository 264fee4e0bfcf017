"""The servers: how each is configured, started, watched and ended. One file in conf/ for each."""
import os
import shutil
import signal
import socket
import subprocess
import time

import site_files

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build", "peers")
ROOT = os.path.join(BUILD, "root")
START_LIMIT_S, STOP_LIMIT_S = 20, 5

# How each configuration writes the twelve pushes: a line for each, or the text between them.
PUSH_FORM = {
    "h2o": ('"%s"', ", "), "nginx": ("            http2_push %s;", "\n"),
    "apache": ("    H2PushResource %s", "\n"), "nghttpd": ("%s", ","),
    "nghttpx": ("<%s>; rel=preload", ", "), "caddy": ("\t\tGET %s", "\n"), "herald": ("%s", ""), "origin": ("%s", ""),
}
NAMES = ["herald", "h2o", "nginx", "apache", "nghttpd", "nghttpx", "caddy"]


class Failed(Exception):
    """A server that did not start, does not push, or does not serve what it should."""


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def process_tree(pid):
    """The pid and all its living descendants."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir("/proc/%d/task" % parent):
                with open("/proc/%d/task/%s/children" % (parent, task)) as listed:
                    pids += [int(child) for child in listed.read().split()]
        except OSError:
            pass
    return pids


def cpu_of(pid):
    """Seconds of user and system time of a process, all its threads, ended ones too: the clock
    that /proc/PID/stat's utime + stime are made of, in nanoseconds."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def private_bytes(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            return 1024 * sum(int(line.split()[1]) for line in rollup
                              if line.startswith("Private_"))
    except OSError:
        return 0


class Server:
    """One server, its processes pinned to `cores`. Ends them when closed."""

    def __init__(self, name, cert, key, cores=(0,), label=None, workers=1, access="off",
                 policies='{ "manifest", file = "push.json" }', origin=9):
        self.name, self.label, self.cores = name, label or name, cores
        self.run = os.path.join(BUILD, "run", self.label)
        self.ports = {"h2c": free_port(), "tls": free_port()}
        if name == "origin":
            del self.ports["tls"]
        self.processes = []
        form, between = PUSH_FORM[name]
        self.words = {
            "H2C": self.ports["h2c"], "TLS": self.ports.get("tls"), "CERT": cert, "KEY": key,
            "SITE": BUILD + "/site", "RUN": self.run, "ROOT": ROOT, "WORKERS": workers,
            "ACCESS": access, "POLICIES": policies, "ORIGIN": origin,
            "PUSHES": between.join(form % path for path in site_files.ASSET_PATHS)}

    def configure(self, file):
        """Fills conf/FILE in; returns where it was written, and its text."""
        with open(os.path.join(HERE, "conf", file)) as form:
            text = form.read()
        for word, value in self.words.items():
            text = text.replace("@%s@" % word, str(value))
        path = os.path.join(self.run, file)
        with open(path, "w") as out:
            out.write(text)
        return path, text

    def commands(self):
        binary = {"h2o": "usr/bin/h2o", "nginx": "usr/sbin/nginx", "apache": "usr/sbin/apache2",
                  "nghttpd": "usr/sbin/nghttpd", "nghttpx": "usr/sbin/nghttpx",
                  "caddy": "usr/bin/caddy"}.get(self.name)
        binary = binary and os.path.join(ROOT, binary)
        if self.name == "herald":
            path, _ = self.configure("herald.lua")
            return [[os.path.join(TOP, "herald"), "run", "-c", path]]
        if self.name == "h2o":
            return [[binary, "-m", "worker", "-c", self.configure("h2o.conf")[0]]]
        if self.name in ("nginx", "origin"):
            return [self.nginx(self.name + ".conf")]
        if self.name == "apache":
            return [[binary, "-DFOREGROUND", "-f", self.configure("apache.conf")[0]]]
        if self.name == "nghttpd":
            text = self.configure("nghttpd.args")[1]
            return [[binary] + line.split() for line in text.splitlines() if line[0] == "-"]
        if self.name == "nghttpx":
            return [self.nginx("nghttpx-backend.conf"),
                    [binary, "--conf=" + self.configure("nghttpx.conf")[0]]]
        return [[binary, "run", "--adapter", "caddyfile", "--config",
                 self.configure("Caddyfile")[0]]]

    def nginx(self, file):
        return [os.path.join(ROOT, "usr/sbin/nginx"), "-e", self.run + "/errors.log", "-c",
                self.configure(file)[0]]

    def start(self, keep=False):
        """Starts the server and waits until it accepts. `keep`: its folder is there already."""
        if not keep:
            shutil.rmtree(self.run, ignore_errors=True)
            os.makedirs(self.run)
        os.chmod(self.run, 0o777)  # most drop to nobody before they write there
        environment = dict(os.environ, H2O_ROOT=ROOT + "/usr", HOME=self.run, GOMAXPROCS="1",
                           LD_LIBRARY_PATH=ROOT + "/usr/lib/x86_64-linux-gnu")
        if self.name == "herald":
            del environment["LD_LIBRARY_PATH"]
        with open(self.run + "/output", "ab") as output:
            for command in self.commands():
                self.processes.append(subprocess.Popen(
                    command, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                    env=environment, start_new_session=True, cwd=self.run,
                    preexec_fn=lambda: os.sched_setaffinity(0, self.cores)))
        self.wait_until_ready()
        return self

    def wait_until_ready(self):
        deadline = time.monotonic() + START_LIMIT_S
        for port in self.ports.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    ended = any(p.poll() is not None for p in self.processes)
                    if ended or time.monotonic() > deadline:
                        self.stop()
                        raise Failed("%s did not start: %s" % (self.label, self.last_words()))
                    time.sleep(0.02)

    def last_words(self):
        words = ""
        for file in ("output", "errors.log"):
            if os.path.exists(os.path.join(self.run, file)):
                with open(os.path.join(self.run, file), errors="replace") as text:
                    words += text.read()
        return words.strip()[-600:] or "it said nothing"

    def pids(self):
        return [pid for process in self.processes for pid in process_tree(process.pid)]

    def cpu_s(self):
        return sum(cpu_of(pid) for pid in self.pids())

    def private_bytes(self):
        return sum(private_bytes(pid) for pid in self.pids())

    def url(self, transport, path):
        return "%s://127.0.0.1:%d%s" % ("https" if transport == "tls" else "http",
                                        self.ports[transport], path)

    def stop(self):
        """Ends all of its processes, and only those: by the sessions that they were started in."""
        for sign, limit in ((signal.SIGTERM, STOP_LIMIT_S), (signal.SIGKILL, STOP_LIMIT_S)):
            for process in self.processes:
                try:
                    os.killpg(process.pid, sign)
                except OSError:
                    pass
            deadline = time.monotonic() + limit
            while any(p.poll() is None for p in self.processes) and time.monotonic() < deadline:
                time.sleep(0.01)
        self.processes = []
