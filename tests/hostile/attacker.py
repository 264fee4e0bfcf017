"""A connection for attacks: sends whole floods of ready octets, reads what comes in headers only,
and says how it ended. Nothing that the server sends is checked here; the tests with rawh2 do that."""
import collections
import select
import socket
import ssl
import time

import rawhpack
from rawh2_wire import (FRAME_BYTES, PREFACE, Code, Flag, Setting, Type, frame, name_of,
                        settings_payload, tls_context, u32)

PATIENCE_S = 5.0                         # for what must come
CHUNK_OCTETS = 64 * 1024


class Ended(Exception):
    """The server has ended the connection."""


class Attacker:
    """One attacking connection. `reading=False`: nothing is read until the attack is over, as by a
    client that lets the answers pile up."""

    def __init__(self, site, tls=False, settings=(), reading=True, hello=True, receive_buffer=0,
                 tls_port=False):
        self.site, self.reading = site, reading
        self.scheme = b"https" if tls else b"http"
        self.authority = site.authority(tls).encode()
        self.received = collections.Counter()            # frames by type
        self.resets = collections.Counter()              # by code
        self.statuses = 0                                # HEADERS that came
        self.goaway, self.closed, self.broken = None, False, False
        self.frames_sent = 0
        self.opened = time.monotonic()
        self.ended_after = None
        self._inbox = bytearray()
        self._skip = 0
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((site.address, site.tls_port if tls or tls_port else site.h2c_port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls_context().wrap_socket(self.socket, server_hostname=site.host)
        self.socket.setblocking(False)
        if hello:
            pairs = {Setting.ENABLE_PUSH: 0, **dict(settings)}
            self.send(PREFACE + frame(Type.SETTINGS, 0, 0, settings_payload(pairs.items()))
                      + frame(Type.SETTINGS, Flag.ACK))

    # ---- sending

    def send(self, data, frames=1):
        """Sends all of `data` (reading meanwhile) or raises Ended, or gives up on a server that
        takes nothing for a while: BlockingIOError."""
        view, since = memoryview(data), time.monotonic()
        while view:
            self.pump()
            try:
                sent = self.socket.send(view[:CHUNK_OCTETS])
                view, since = view[sent:], time.monotonic()
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait(write=True)
                if time.monotonic() - since > 1.0:
                    raise BlockingIOError("the server takes nothing") from None
            except OSError:
                self._end(broken=True)
        self.frames_sent += frames

    def flood(self, data, count, frames=1):
        """Sends `data` (of `frames` frames) `count` times, in large pieces."""
        at_once = max(1, min(64, CHUNK_OCTETS // max(1, len(data))))
        piece = data * at_once
        for _ in range(count // at_once):
            self.send(piece, frames * at_once)
        if count % at_once:
            self.send(data * (count % at_once), frames * (count % at_once))

    def frame(self, type_, flags=0, stream=0, payload=b"", length=None):
        self.send(frame(type_, flags, stream, payload, length))

    def block(self, path=b"/", method=b"GET", extra=b""):
        """A request's field block in literals without indexing."""
        return rawhpack.block([(":method", method), (":scheme", self.scheme),
                               (":authority", self.authority), (":path", path)]) + extra

    def request(self, stream, path=b"/", method=b"GET", extra=b"", end=True):
        block = self.block(path, method, extra)
        pieces = [block[at:at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]
        frames = [frame(Type.CONTINUATION if i else Type.HEADERS,
                        (0 if i or not end else Flag.END_STREAM)
                        | (Flag.END_HEADERS if i == len(pieces) - 1 else 0), stream, piece)
                  for i, piece in enumerate(pieces)]
        return b"".join(frames)

    def ask(self, requests, at_once=50):
        """Sends (path, extra) requests, some at a time, with open windows: neither they nor the
        streams' limit are what is tried."""
        self.send(frame(Type.SETTINGS, 0, 0, settings_payload(
            [(Setting.INITIAL_WINDOW_SIZE, 2**30)])) + frame(Type.WINDOW_UPDATE, 0, 0, u32(2**30)), 2)
        for number, (path, extra) in enumerate(requests):
            self.send(self.request(2 * number + 1, path, extra=extra))
            if number % at_once == at_once - 1:
                self.read_for(PATIENCE_S, lambda: self.answered() > number - 2)
        self.read_for(0.3)

    def answered(self):
        return self.received[Type.HEADERS] + sum(self.resets.values())

    # ---- receiving

    def _wait(self, write=False, seconds=0.1):
        reads = [self.socket] if self.reading else []
        if isinstance(self.socket, ssl.SSLSocket) and self.reading and self.socket.pending():
            return
        if reads or write:
            select.select(reads, [self.socket] if write else [], [], seconds)
        else:
            time.sleep(seconds)

    def _end(self, broken=False):
        self.closed, self.broken = True, self.broken or broken
        if self.ended_after is None:
            self.ended_after = time.monotonic() - self.opened
        self.reading = True
        self._drain()
        raise Ended

    def _drain(self):
        """What had arrived before the end."""
        try:
            while data := self.socket.recv(65536):
                self._take(data)
        except OSError:
            pass

    def pump(self, force=False):
        """Reads what has come; raises Ended when the server closed."""
        if not (self.reading or force):
            return
        for _ in range(16):
            try:
                data = self.socket.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self._end(broken=True)
            if not data:
                self._end()
            self._take(data)

    def _take(self, data):
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        if self._skip:
            data, self._skip = data[self._skip:], 0
        self._inbox += data
        at, inbox = 0, self._inbox
        while len(inbox) - at >= 9:
            length = int.from_bytes(inbox[at:at + 3], "big")
            type_ = inbox[at + 3]
            whole = len(inbox) - at - 9 >= length
            if type_ in (Type.GOAWAY, Type.RST_STREAM) and not whole:
                break
            self.received[type_] += 1
            if type_ == Type.GOAWAY:
                self.goaway = int.from_bytes(inbox[at + 13:at + 17], "big")
            elif type_ == Type.RST_STREAM:
                self.resets[int.from_bytes(inbox[at + 9:at + 13], "big")] += 1
            if not whole:
                self._skip = length - (len(inbox) - at - 9)
                at = len(inbox)
                break
            at += 9 + length
        del inbox[:at]

    def read_for(self, seconds, until=None):
        """Reads for a while, or until the condition holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.pump()
            if until and until():
                break
            self._wait(seconds=0.05)

    def wait_end(self, seconds=PATIENCE_S):
        """Reads until the server ends the connection; an attack that it lets live comes back."""
        self.reading = True
        self.read_for(seconds)

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass

    # ---- what came of it

    def outcome(self):
        if self.goaway is not None and (self.goaway or self.closed):
            return "GOAWAY " + name_of(Code, self.goaway)
        if self.closed:
            return "closed"
        if self.resets:
            code, count = self.resets.most_common(1)[0]
            return "RST_STREAM %s × %d" % (name_of(Code, code), count)
        return "kept"
