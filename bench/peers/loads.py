"""The load clients. Each is a program that ends by itself, and is ended when it does not."""
import json
import os
import re
import resource
import subprocess

import site_files
from peers import BUILD, TOP, Failed

LIMIT_S = 40
NEARLY_ALL = 0.98  # of the pushes: a bucket of herald's table may be full of better known clients
CIPHER = "TLS_AES_128_GCM_SHA256"
OPENSSL_CONF = """openssl_conf = all
[all]
ssl_conf = modules
[modules]
system_default = choice
[choice]
MinProtocol = TLSv1.3
Ciphersuites = %s
""" % CIPHER


def environment():
    """pushload and idle take the one cipher suite from OpenSSL's configuration."""
    path = os.path.join(BUILD, "openssl.cnf")
    with open(path, "w") as out:
        out.write(OPENSSL_CONF)
    return dict(os.environ, OPENSSL_CONF=path)


def run(command, cores):
    """Runs a client on `cores`; returns its output and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=LIMIT_S, env=environment(), stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: os.sched_setaffinity(0, cores))
    except subprocess.TimeoutExpired:
        raise Failed("%s was not done after %d s" % (os.path.basename(command[0]), LIMIT_S))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, spent


def h2load(server, transport, path, count, connections, streams, cores):
    """`count` requests for one file. Returns (requests, CPU seconds, "")."""
    output, spent = run(["h2load", "-n%d" % count, "-c%d" % connections, "-m%d" % streams, "-t1",
                         "--tls13-ciphers=" + CIPHER, server.url(transport, path)], cores)
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    statuses = re.search(r"status codes: (\d+) 2xx", output)
    if not found or int(found[1]) != count or int(statuses[1]) != count:
        raise Failed("%s: h2load: %s" % (server.label, output[-300:].strip()))
    if transport == "tls" and CIPHER not in output:
        raise Failed("%s: h2load did not get %s" % (server.label, CIPHER))
    return count, spent, ""


def pushload(server, transport, path, options, cores):
    """Returns (pages, CPU seconds, report). Pages that did not come count as a failure."""
    command = [TOP + "/build/bench/pushload", "--json", "--half-close", "--authority",
               "127.0.0.1:%d" % server.ports[transport]] + options
    output, spent = run(command + [server.url(transport, path)], cores)
    try:
        report = json.loads(output)
    except ValueError:
        raise Failed("%s: pushload: %s" % (server.label, output[-300:].strip()))
    for trouble in ("lost", "timeouts", "connect_failures", "bad_status", "mismatched"):
        if report[trouble]:
            raise Failed("%s: pushload: %s %d" % (server.label, trouble, report[trouble]))
    if not report["pages"] or report["out_of_time"]:
        raise Failed("%s: pushload: %d pages" % (server.label, report["pages"]))
    return report["pages"], spent, report


def fresh_pages(server, transport, count, cores):
    """`count` clients that nobody knows get the page and its pushes over a connection each."""
    pages, spent, report = pushload(
        server, transport, site_files.PAGE_PATH,
        ["--clients", str(count), "--parallel", "8", "--cookies", "off", "--no-verify"], cores)
    wanted = pages * site_files.ASSET_BYTES
    if not NEARLY_ALL * wanted <= report["pushed_bytes"] <= wanted:
        raise Failed("%s: %d of %d bytes were pushed" % (server.label, report["pushed_bytes"],
                                                         wanted))
    return pages, spent, ""


def returning_pages(server, transport, count, cores):
    """16 clients ask again and again for the page on a connection over which they got it."""
    each = max(50, count // 16)
    pages, spent, report = pushload(
        server, transport, site_files.PAGE_PATH,
        ["--clients", "16", "--parallel", "16", "--pages", str(each), "--no-verify"], cores)
    again = report["promises"] > 16 * len(site_files.ASSETS)
    return pages, spent, "pushes again" if again else ""


def handshakes(server, transport, count, cores):
    """`count` connections of one request each, none resumed."""
    pages, spent, _ = pushload(server, transport, "/1k.bin",
                               ["--clients", str(count), "--parallel", "16", "--cookies", "off",
                                "--no-verify"], cores)
    return pages, spent, ""


def resumptions(server, transport, count, cores):
    """The same, but only the first of each client's 40 shakes hands in full."""
    clients = max(16, count // 40)
    pages, spent, report = pushload(
        server, transport, "/1k.bin",
        ["--clients", str(clients), "--visits", "40", "--parallel", "16", "--cookies", "off",
         "--resume", "on", "--no-verify"], cores)
    return pages, spent, "" if report["resumed"] > 0.9 * pages else "does not resume"


class Idle:
    """Holds `count` connections that were answered once and then do nothing."""

    def __init__(self, server, transport, count, cores):
        self.process = subprocess.Popen(
            [TOP + "/build/bench/idle", transport, str(server.ports[transport]), str(count),
             "/1k.bin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(), preexec_fn=lambda: os.sched_setaffinity(0, cores))
        if not self.process.stdout.readline().startswith("ready"):
            self.close()
            raise Failed("%s does not hold %d idle connections" % (server.label, count))

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT_S)


def check(server, served, cores):
    """That the server serves the same bytes as every other, and pushes all twelve assets."""
    for transport in ("h2c", "tls"):
        for path, data in served.items():
            flag = "--http2-prior-knowledge" if transport == "h2c" else "-k"
            got = subprocess.run(["curl", "-s", flag, server.url(transport, path)],
                                 stdout=subprocess.PIPE, timeout=LIMIT_S).stdout
            if got != data:
                raise Failed("%s serves other bytes as %s (%s)" % (server.label, path, transport))
        _, _, report = pushload(
            server, transport, site_files.PAGE_PATH,
            [word for path in site_files.ASSET_PATHS for word in ("--asset", path)], cores)
        if report["missed"] or report["delivered"] != len(site_files.ASSETS):
            raise Failed("%s pushes %d of %d (%s)" % (server.label, report["delivered"],
                                                      len(site_files.ASSETS), transport))
