"""The parts of an experiment as Python objects: the link, the server behind it, one visit."""
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARIES = os.path.join(TOP, "build", "bench")
HERALD = os.environ.get("HERALD_BIN", os.path.join(TOP, "herald"))
TLS_PORT, H2C_PORT = 8443, 8080
START_LIMIT_S = 30

# How late something may be before a visit counts as disturbed: an emulated packet, and the three
# processes that were ready to run and did not. The larger of the two.
LATE_US, LATE_SHARE = 3000, 0.005   # the share is of the visit's own time


class LabError(Exception):
    """Something of the experiment itself failed: there is no result."""


def own(argv):
    """The command, made to end when this process does, however it ends."""
    return ["setpriv", "--pdeathsig", "KILL", *argv] if shutil.which("setpriv") else argv


def read_line(process, seconds, what):
    """A line of the process's output."""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise LabError("%s did not answer: %s" % (what, ended_with(process)))
    return line


def ended_with(process):
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return "it still runs"
    said = process.stderr.read().strip() if process.stderr else ""
    return said or "it ended with %s" % process.returncode


def stop(process, seconds=10):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


class Link:
    """Two network namespaces and the emulated link between them."""

    def __init__(self, rtt=40, down=0, up=0, down_queue=65536, up_queue=65536, loss=0, seed=1,
                 congestion="cubic", trace=None):
        argv = [os.path.join(BINARIES, "page_link"), "--rtt", str(rtt), "--down", str(down),
                "--up", str(up), "--down-queue", str(down_queue), "--up-queue", str(up_queue),
                "--loss", str(loss), "--seed", str(seed), "--congestion", congestion]
        if trace:
            argv += ["--trace", trace]
        self.process = subprocess.Popen(own(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        try:
            self.place = json.loads(read_line(self.process, 10, "the link"))
        except LabError:
            self.close()
            raise

    def stats(self):
        """What passed since the last call."""
        self.process.stdin.write("stats\n")
        self.process.stdin.flush()
        return json.loads(read_line(self.process, 10, "the link"))

    def close(self):
        stop(self.process)


def waited_us(pid):
    """How long the process was ready to run and did not; 0 where the kernel does not say."""
    try:
        with open("/proc/%d/schedstat" % pid) as stat:
            return int(stat.read().split()[1]) // 1000
    except (OSError, IndexError, ValueError):
        return 0


class Server:
    """A herald with one worker inside the link's server namespace."""

    def __init__(self, link, sites, policy_files=None, origin=None, names=()):
        """sites: Lua texts of `site { … }` tables' contents. origin: what origin.py is to do, its
        arguments after the socket, which is @ORIGIN@ in the texts. names: of sites that browsers
        visit, for which there is to be a certificate that they can be told to trust."""
        self.link = link
        self.directory = tempfile.mkdtemp(prefix="herald-page-")
        os.chmod(self.directory, 0o755)
        self.config = os.path.join(self.directory, "herald.lua")
        self.access_log = os.path.join(self.directory, "access.json")
        self.process = self.origin = self.certificate = None
        try:
            if names:
                self.make_certificate(names)
            if origin:
                self.start_origin(origin)
            self.write([text.replace("@ORIGIN@", "unix:" + self.socket) for text in sites],
                       policy_files or {})
            self.start()
        except BaseException:
            self.close()
            raise

    def make_certificate(self, names):
        self.certificate = os.path.join(self.directory, "cert.pem")
        key = os.path.join(self.directory, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=bench-page", "-addext", "subjectAltName="
                        + ",".join("DNS:" + name for name in names), "-keyout", key, "-out", self.certificate], check=True, capture_output=True, timeout=30)

    @property
    def socket(self):
        return os.path.join(self.directory, "origin.sock")

    def start_origin(self, arguments):
        argv = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                             "origin.py"), self.socket, *map(str, arguments)]
        if self.link.place["first_in_line"]:
            argv = ["chrt", "-f", "5", *argv]
        self.origin = subprocess.Popen(own(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        read_line(self.origin, START_LIMIT_S, "the origin")

    def write(self, sites, policy_files):
        os.mkdir(os.path.join(self.directory, "policies"))
        os.mkdir(os.path.join(self.directory, "state"))
        if os.geteuid() == 0:
            shutil.chown(os.path.join(self.directory, "state"), "nobody")
        for name, text in policy_files.items():
            with open(os.path.join(self.directory, "policies", name), "w") as file:
                file.write(text)
        address = self.link.place["server"]
        with open(self.config, "w") as file:
            file.write('user = "nobody"\nworkers = 1\nstate = "state"\n'
                       'listen = { { "%s:%d", tls = true }, "%s:%d" }\n'
                       'clients = { table = "4MiB" }\npolicy = { dir = "policies" }\n'
                       'log = { access = "access.json", error = "stderr" }\n'
                       'admin = { socket = "herald.sock" }\n'
                       % (address, TLS_PORT, address, H2C_PORT))
            if self.certificate:
                file.write('tls = { { sni = "*", cert = "cert.pem", key = "key.pem" } }\n')
            for site in sites:
                file.write("site {\n%s\n}\n" % site)

    def start(self):
        argv = ["nsenter", "--net=" + self.link.place["server_ns"]]
        if self.link.place["first_in_line"]:
            argv += ["chrt", "-f", "5"]  # other work on the machine is not to show in the times
        self.errors = open(os.path.join(self.directory, "errors"), "w+")
        self.process = subprocess.Popen(own(argv + [HERALD, "run", "-c", self.config]),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, cwd=self.directory)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._line(deadline).startswith("ready"):
            pass
        workers = self.status()["workers"]
        self.worker = workers[0]["pid"]

    def _line(self, deadline):
        try:
            return read_line(self.process, max(0, deadline - time.monotonic()), "herald")
        except LabError:
            self.errors.seek(0)
            raise LabError("herald did not start:\n" + self.errors.read()) from None

    def status(self, *words):
        done = subprocess.run([HERALD, "status", "--json", *words, "-c", self.config],
                              capture_output=True, text=True, timeout=20, cwd=self.directory)
        if done.returncode != 0:
            raise LabError("herald status: " + done.stderr.strip())
        return json.loads(done.stdout)

    def experiment(self, site):
        """What push.holdout has shown of this site's pushes, or None where herald does not say."""
        try:
            trials = self.status("--experiment")["experiment"]
        except (LabError, KeyError):
            return None
        return next((trial for trial in trials
                     if trial["site"] == site and trial["means"] == "push"), None)

    def log(self):
        """The access log's complete lines."""
        with open(self.access_log) as log:
            text = log.read()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def close(self):
        if self.process:
            self.process.terminate()
            stop(self.process)
        if self.origin:
            stop(self.origin)
        if getattr(self, "errors", None):
            self.errors.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Run:
    """What one visit was: a dictionary for each page, and what the link says of it."""

    def __init__(self, pages, link, server_waited_us):
        self.pages = pages
        self.link = link
        self.server_waited_us = server_waited_us

    def error(self):
        return next((page["error"] for page in self.pages if page["error"]), None)

    def disturbed(self):
        """Why the times of this run say little, or None."""
        late = max(self.link["down"]["late_max_us"], self.link["up"]["late_max_us"])
        limit = max(LATE_US, LATE_SHARE * sum(page["complete_us"] or 0 for page in self.pages))
        if self.link["down"]["overruns"] or self.link["up"]["overruns"]:
            return "the emulator overran"
        if late > limit:
            return "a packet was %.1f ms late" % (late / 1000)
        for who, waited in (("the emulator", self.link["waited_us"]),
                            ("the client", sum(page["waited_us"] for page in self.pages)),
                            ("the server", self.server_waited_us)):
            if waited > limit:
                return "%s waited %.1f ms for a CPU" % (who, waited / 1000)
        return None


def visit(link, server, paths, authority, tls=True, root=None, words=(), trace=None,
          timeout_ms=30000):
    """Loads the pages in the link's client namespace."""
    argv = [os.path.join(BINARIES, "page_visit"), "--netns", link.place["client_ns"],
            "--authority", authority, "--timeout", str(timeout_ms), *words]
    argv += ["--tls"] if tls else []
    argv += ["--root", root] if root else []
    argv += ["--trace", trace] if trace else []
    argv += ["%s:%d" % (link.place["server"], TLS_PORT if tls else H2C_PORT), *paths]
    link.stats()
    waited = waited_us(server.worker)
    done = subprocess.run(argv, capture_output=True, text=True,
                          timeout=timeout_ms / 1000 * len(paths) + 30)
    pages = [json.loads(line) for line in done.stdout.splitlines()]
    if len(pages) != len(paths) and not any(page["error"] for page in pages):
        raise LabError("visit: " + (done.stderr.strip() or "it ended with %s" % done.returncode))
    return Run(pages, link.stats(), waited_us(server.worker) - waited)
