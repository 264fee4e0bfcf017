"""Clients that keep a server busy and reconnect after GOAWAY, and remember all that went wrong."""
import ssl
import threading
import time

from h2client import WINDOW_MAX, Client, Gone
from server import wait_until


class Connection:
    """One connection of the load and what became of it."""

    def __init__(self):
        self.opened = time.monotonic()
        self.worker = None               # the pid that held it; None until the first answer
        self.done = 0                    # requests answered
        self.fault = None                # (when, why) of a request or connection that failed


class Load:
    """`threads` connections at a time, each with `inflight` requests under way.

    Half of them stop asking at the first GOAWAY; the other half go on until one names a last
    stream. A request above the last stream is not a failure: the server said it did not see it.
    """

    def __init__(self, server, threads=6, inflight=4, tls=True, paths=("/hello.txt",)):
        self.server, self.tls, self.paths, self.inflight = server, tls, paths, inflight
        self.connections = []
        self.refused = []                # when a connect was refused
        self.wrong = []                  # answers that were not 200 or not the file
        self.goaways = 0
        self.retried = 0                 # requests above the last stream
        self._bodies = {path: server.root.read(path) for path in paths}
        self._stop = threading.Event()
        self._crash = None
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 1,), daemon=True)
                         for n in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
        if self._crash:
            raise self._crash

    @property
    def done(self):
        return sum(c.done for c in self.connections)

    def wait_done(self, more, seconds=20):
        """Waits until `more` further requests were answered."""
        wanted = self.done + more
        wait_until(lambda: self.done >= wanted or self._crash, seconds,
                   lambda: "%d answers under load, at %d" % (wanted, self.done))

    def faults(self):
        """Connections on which something failed."""
        return [c for c in self.connections if c.fault]

    # -- one thread --

    def _run(self, eager):
        try:
            while not self._stop.is_set():
                self._serve_one(eager)
        except Exception as fault:       # a defect here, or a breach of the protocol
            self._crash = fault

    def _serve_one(self, eager):
        connection = Connection()
        self.connections.append(connection)
        try:
            client = Client(self.server, tls=self.tls)
        except ConnectionRefusedError:
            self.refused.append(time.monotonic())
            self.connections.remove(connection)
            self._stop.wait(0.05)
            return
        except (OSError, ssl.SSLError) as fault:
            connection.fault = (time.monotonic(), "connecting: %r" % fault)
            return
        try:
            self._ask(client, connection, eager)
        except Gone as fault:
            connection.fault = (time.monotonic(), str(fault))
        finally:
            client.close()

    def _ask(self, client, connection, eager):
        open_streams = {}
        number = 0
        while True:
            last = min((last for last, _ in client.goaways), default=None)
            going = last is not None and (not eager or last < WINDOW_MAX)
            while not going and not self._stop.is_set() and len(open_streams) < self.inflight \
                    and not client.closed:
                path = self.paths[number % len(self.paths)]
                number += 1
                open_streams[client.request(path)] = path
            for stream in [s for s in open_streams if s.done]:
                self._check(connection, client, stream, open_streams.pop(stream))
            if last is not None:
                above = [s for s in open_streams if s.id > last]
                self.retried += len(above)
                for stream in above:
                    del open_streams[stream]
            if not open_streams and (going or self._stop.is_set()):
                self.goaways += going
                return
            if client.closed:
                if not open_streams and last is not None:
                    self.goaways += 1
                    return
                raise Gone("%s with %d requests open (goaways %s)" % (
                    client.closed, len(open_streams), client.goaways))
            client.pump(0.5)
            self._look_for_stall(client, open_streams)

    @staticmethod
    def _look_for_stall(client, open_streams):
        oldest = min((s.asked_at for s in open_streams), default=None)
        if oldest is not None and time.monotonic() - oldest > 30:
            raise Gone("no answer for 30 s")

    def _check(self, connection, client, stream, path):
        if stream.reset is not None:
            connection.fault = (time.monotonic(), "stream %d was reset with %d (goaways %s)" % (
                stream.id, stream.reset, client.goaways))
        elif stream.status != 200 or bytes(stream.body) != self._bodies[path]:
            self.wrong.append((path, stream.status, len(stream.body)))
        else:
            connection.done += 1
        if connection.worker is None:
            connection.worker = self.server.worker_of(client.local_port)
