"""What an attack costs the server, and what an honest client feels meanwhile. Linux only."""
import multiprocessing
import os
import socket
import threading
import time

import rawhpack
from attacker import PATIENCE_S, Attacker, Ended
from corpus import CLOSED, KEPT, RESET
from rawh2_wire import PREFACE, Flag, Setting, Type, frame, settings_payload, u32

TICK = os.sysconf("SC_CLK_TCK")
PROCESSORS = sorted(os.sched_getaffinity(0))
WORKER_PRIORITY, HONEST_PRIORITY = 5, 10     # among what runs in real time (sched(7))


# ---- the honest client ----------------------------------------------------------------------

class Honest:
    """One request after another on one connection, each timed."""

    def __init__(self, site):
        self.site = site
        self.socket = socket.create_connection((site.address, site.h2c_port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(10)
        self.block = rawhpack.block([(":method", "GET"), (":scheme", "http"),
                                     (":authority", site.authority(False)),
                                     (":path", "/hello.txt")])
        self.next = 1
        self.socket.sendall(PREFACE + frame(Type.SETTINGS, 0, 0, settings_payload(
            [(Setting.ENABLE_PUSH, 0)])) + frame(Type.SETTINGS, Flag.ACK)
            + frame(Type.WINDOW_UPDATE, 0, 0, u32(2**30)))
        self.inbox = bytearray()

    def ask(self):
        self.asked, self.next = self.next, self.next + 2
        self.socket.sendall(frame(Type.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, self.asked,
                                  self.block))

    def wait(self):
        while not self._answered(self.asked):
            received = self.socket.recv(65536)
            assert received, "the server ended an honest connection"
            self.inbox += received

    def get(self):
        """The time one answer takes, in seconds."""
        began = time.perf_counter()
        self.ask()
        self.wait()
        return time.perf_counter() - began

    def _answered(self, stream):
        while len(self.inbox) >= 9:
            length = int.from_bytes(self.inbox[:3], "big")
            if len(self.inbox) < 9 + length:
                return False
            type_, flags = self.inbox[3], self.inbox[4]
            id_ = int.from_bytes(self.inbox[5:9], "big")
            del self.inbox[:9 + length]
            assert type_ not in (Type.GOAWAY, Type.RST_STREAM), "an honest client was punished"
            if id_ == stream and type_ in (Type.DATA, Type.HEADERS) and flags & Flag.END_STREAM:
                return True
        return False


def prefer(task, priority):
    """It runs before whatever else its processors do, where that is allowed. A nice value would not do:
    whoever has begun a slice ends it, which takes milliseconds."""
    try:
        os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, ProcessLookupError):
        pass


def apart(worker, master):
    """Leaves a processor to the worker; its master, and what measures and attacks, share the others:
    timed is the worker's own queue, not whose turn it is to run. It stays where it has been put, as nobody
    there runs before it; the kernel's threads that open files for it are begun where it may run, and
    would starve there with a worker that never rests."""
    first, *others = PROCESSORS
    try:
        prefer(worker, WORKER_PRIORITY)
        if others:
            os.sched_setaffinity(worker, {first})
            os.sched_setaffinity(worker, PROCESSORS)
            os.sched_setaffinity(master, others)
            os.sched_setaffinity(0, others)
    except OSError:                      # not allowed, or it is gone
        pass


def honest_times(site, seconds, pipe):
    """Child process: times until told to stop, or for `seconds`; sends the list."""
    times = []
    prefer(0, HONEST_PRIORITY)
    try:
        client, until = Honest(site), time.monotonic() + seconds
        for _ in range(20):
            client.get()
        pipe.send("ready")
        while time.monotonic() < until and not pipe.poll():
            times.append(client.get())
            time.sleep(0.001)
        pipe.send(times)
    except (OSError, AssertionError) as fault:
        pipe.send(str(fault) or type(fault).__name__)


def percentile(times, share):
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class HonestClient:
    """The honest client in its own process; `finish` returns its times or raises."""

    def __init__(self, site, seconds):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=honest_times, args=(site, seconds, theirs))
        self.process.start()
        theirs.close()
        self.said = self._receive()

    def _receive(self):
        try:
            return self.pipe.recv() if self.pipe.poll(20) else "it said nothing for 20 s"
        except EOFError:
            return "it ended early"

    def finish(self, now=False):
        said = self.said
        if said == "ready":
            if now:
                self.pipe.send("enough")
            said = self._receive()
        self.process.join(5)
        if isinstance(said, str):
            raise AssertionError("the honest client: " + said)
        return said


# ---- the attackers --------------------------------------------------------------------------

def attack_once(site, attack):
    """One connection's attack: (outcome, frames sent, seconds until the end)."""
    link = None
    try:
        link = Attacker(site, **attack.link)
        said = attack.run(link)
        # A server that is busy, or a machine that is, ends it when its turn comes.
        may_live = KEPT in attack.expect or (RESET in attack.expect and link.resets)
        link.wait_end(0.1 if said or may_live else PATIENCE_S)
        return said or link.outcome(), link.frames_sent, None
    except Ended:
        if not link:                     # before it had said hello
            return CLOSED, 0, None
        return link.outcome(), link.frames_sent, link.ended_after
    except BlockingIOError:              # the server has stopped reading: what it then does counts
        try:
            link.wait_end(3)
        except Ended:
            pass
        said = link.outcome()
        return ("stopped reading" if said == "kept" else said), link.frames_sent, link.ended_after
    except OSError as fault:             # refused, or reset while connecting
        return "connect: " + type(fault).__name__, 0, None
    finally:
        if link:
            link.close()


def attack_all(site, attack, connections, seconds, pipe):
    """Child process: attacks over so many connections, over and over, for so long."""
    os.nice(15)                          # what is measured is the server, not who gets a CPU first
    results, until = [], time.monotonic() + seconds

    def one():
        while True:
            try:
                results.append(attack_once(site, attack))
            except Exception as fault:   # of the attack itself: no outcome is expected to begin so
                results.append(("attacker: %r" % fault, 0, None))
                return
            if time.monotonic() >= until:
                return
    threads = [threading.Thread(target=one) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(results)


# ---- the server -----------------------------------------------------------------------------

def anonymous_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def stolen_s():
    """The time that the host has taken from this machine's processors."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) / TICK


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def shared_kib(pid):
    """The size of what the process shares with others by mapping it."""
    with open("/proc/%d/maps" % pid) as maps:
        ranges = [line.split()[0].split("-") for line in maps if line.split()[1].endswith("s")]
    return sum(int(end, 16) - int(begin, 16) for begin, end in ranges) // 1024


class Watch:
    """Samples a process's memory until it is stopped."""

    def __init__(self, pid):
        self.pid, self.before = pid, anonymous_kib(pid)
        self.peak, self.going = self.before, True
        self.cpu = cpu_s(pid)
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.going:
            self.peak = max(self.peak, anonymous_kib(self.pid))
            time.sleep(0.005)

    def stop(self):
        self.going = False
        self.thread.join()
        return ((self.peak - self.before) / 1024, cpu_s(self.pid) - self.cpu,
                time.monotonic() - self.began)
