"""An HTTP/2 client for tests, on python-h2: one thread, deadlines, every frame seen in its order.

python-h2 checks what the server sends: what breaks RFC 9113 raises, and so fails the test. It takes
a GOAWAY for the end of the connection, though, so GOAWAY frames are read here and kept from it.
"""
import hashlib
import select
import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes

from server import ADDRESS, HOST, patience

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = (
    0, 1, 3, 4, 5, 6, 7, 8)
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 0, 1, 7, 8
WINDOW_MAX = (1 << 31) - 1
ENABLE_PUSH = SettingCodes.ENABLE_PUSH
MAX_CONCURRENT_STREAMS = SettingCodes.MAX_CONCURRENT_STREAMS
INITIAL_WINDOW_SIZE = SettingCodes.INITIAL_WINDOW_SIZE


class Gone(Exception):
    """The connection ended while something was still awaited."""


class Stream:
    """One exchange: asked for by the client, or promised by the server (then `promised` is set).

    Other `…_at` members than asked_at are positions in the connection's order of frames, or None.
    """

    def __init__(self, number):
        self.id = number
        self.asked_at = time.monotonic()
        self.status = None
        self.fields = []                 # of the final response, in order
        self.informational = []          # [(status, fields)]
        self.trailers = None
        self.body = bytearray()
        self.promises = []               # streams promised on this one
        self.promised = None             # fields of the promised request, in order
        self.parent = None
        self.ended = False               # END_STREAM was received
        self.reset = None                # the error code of the server's RST_STREAM
        self.cancelled = False           # the client reset it
        self.octets_after_cancel = 0     # DATA that arrived for it afterwards
        self.promised_at = self.headers_at = self.first_data_at = self.last_data_at = None
        self.ended_at = None

    @property
    def done(self):
        return self.ended or self.reset is not None or self.cancelled

    @property
    def path(self):
        return dict(self.promised or ()).get(":path")

    def field(self, name, default=None):
        """The value of the first field called `name`."""
        for key, value in self.fields:
            if key == name:
                return value
        return default

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def sha256(self):
        return hashlib.sha256(self.body).hexdigest()

    def __repr__(self):
        return "<stream %d %s %s, %d octets%s>" % (
            self.id, self.path or "asked", self.status, len(self.body),
            "" if self.reset is None else ", reset with %d" % self.reset)


class Visit:
    """A page with everything that was pushed with it."""

    def __init__(self, page):
        self.page = page
        self.pushed = {stream.path: stream for stream in page.promises}

    def paths(self):
        return sorted(self.pushed)


class Cookies(dict):
    """One client's cookies, by name, as a browser keeps them for one host."""

    def keep(self, fields):
        for name, value in fields:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self[key.strip()] = rest.split(";")[0]

    def header(self):
        return "; ".join("%s=%s" % pair for pair in self.items())


def tls_context(ca, alpn=("h2",)):
    """A context whose sessions may be resumed by connections that share it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_alpn_protocols(list(alpn))
    return context


class Client:
    """One connection.

    settings: what the client announces, {SettingCodes: value}; ENABLE_PUSH is 1 unless given.
    window: the initial window of every stream; connection_window: that of the connection.
    manual: windows open only by open_window(); otherwise what arrived is given back at once.
    cookies: a Cookies that requests send and responses add to; several connections may share one.
    session, context: of an earlier connection, to resume its TLS session.
    rcvbuf: SO_RCVBUF, for a client that can take little.
    """

    def __init__(self, server, tls=True, settings=None, window=1 << 20, connection_window=1 << 24,
                 manual=False, cookies=None, session=None, context=None, rcvbuf=None, host=HOST,
                 timeout=10):
        self.server = server
        self.tls = tls
        self.port = server.tls_port if tls else server.h2c_port
        self.authority = "%s:%d" % (host, self.port)
        self.cookies = cookies
        self.manual = manual
        self.timeout = timeout
        self.streams = {}
        self.frames = []                 # (type, flags, stream, length) of all that came in
        self.goaways = []                # [(last stream, error code)]
        self.settings_acked = 0
        self.pings_acked = 0
        self.closed = None               # why the connection is over, once it is
        self._settings_sent = 1
        self._input = bytearray()
        self._open(host, rcvbuf, session, context)
        self._begin(dict(settings or {}), window, connection_window)

    # -- the connection --

    def _open(self, host, rcvbuf, session, context):
        raw = socket.socket()
        try:
            if rcvbuf:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(patience(self.timeout))
            raw.connect((ADDRESS, self.port))
            self.local_port = raw.getsockname()[1]
            self.context = self.socket = None
            if self.tls:
                self.context = context or tls_context(self.server.ca)
                self.socket = self.context.wrap_socket(raw, server_hostname=host, session=session)
                assert self.socket.selected_alpn_protocol() == "h2", "ALPN did not choose h2"
            else:
                self.socket = raw
            self._poll = select.poll()
            self._poll.register(self.socket, select.POLLIN)
        except BaseException:
            raw.close()
            raise

    def _begin(self, settings, window, connection_window):
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        settings.setdefault(INITIAL_WINDOW_SIZE, window)
        self.h2.local_settings.update(settings)
        # These are in force from the start: nothing can have been sent under other ones.
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        if connection_window > 65535:
            self.h2.increment_flow_control_window(connection_window - 65535)
        self.flush()

    @property
    def session(self):
        """The TLS session, for another connection; complete once something was received."""
        return self.socket.session

    @property
    def resumed(self):
        return self.socket.session_reused

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.send_raw(data)

    def send_raw(self, data):
        """Octets that python-h2 knows nothing of."""
        try:
            self.socket.settimeout(patience(self.timeout))
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError) as fault:
            self.closed = self.closed or repr(fault)

    def send_frame(self, kind, flags, stream, payload):
        self.send_raw(struct.pack(">I", len(payload))[1:]
                      + struct.pack(">BBI", kind, flags, stream) + payload)

    def close(self):
        """Closes at once, as a client that goes away does."""
        try:
            self.socket.close()
        except OSError:
            pass

    # -- what comes in --

    def pump(self, seconds=0.0):
        """Takes what arrives within `seconds`; True if anything did."""
        if self.closed:
            return False
        pending = self.tls and self.socket.pending()
        if not pending and not self._poll.poll(max(0.0, seconds) * 1000):
            return False
        try:
            self.socket.settimeout(0)    # a record of TLS may hold no octet of HTTP/2
            data = self.socket.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except (ConnectionError, ssl.SSLError) as fault:
            self.closed = repr(fault)
            return False
        if not data:
            self.closed = "closed by the server"
            return False
        self._input += data
        self._take_frames()
        self.flush()
        return True

    def _take_frames(self):
        while len(self._input) >= 9:
            length = int.from_bytes(self._input[:3], "big")
            if len(self._input) < 9 + length:
                return
            frame = bytes(self._input[:9 + length])
            del self._input[:9 + length]
            kind, flags = frame[3], frame[4]
            stream = int.from_bytes(frame[5:9], "big") & WINDOW_MAX
            self.frames.append((kind, flags, stream, length))
            self._take_frame(kind, stream, frame)

    def _take_frame(self, kind, stream, frame):
        known = self.streams.get(stream)
        if kind == GOAWAY:
            last, code = struct.unpack(">II", frame[9:17])
            self.goaways.append((last & WINDOW_MAX, code))
            return
        if kind == DATA and known and known.cancelled:
            # Accounted for here alone: python-h2 would answer each one with another RST_STREAM.
            known.octets_after_cancel += len(frame) - 9
            if not self.manual and len(frame) > 9:
                self.send_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(frame) - 9))
            return
        self.flush()
        events = self.h2.receive_data(frame)
        if kind == HEADERS and known and known.cancelled:
            self.h2.clear_outbound_data_buffer()     # the second RST_STREAM of that kind
        for event in events:
            self._take_event(event)

    def _take_event(self, event):
        at = len(self.frames)
        if isinstance(event, h2.events.PushedStreamReceived):
            self._take_promise(event, at)
            return
        if isinstance(event, h2.events.SettingsAcknowledged):
            self.settings_acked += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pings_acked += 1
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.fields = list(event.headers)
            stream.status = int(dict(event.headers)[":status"])
            stream.headers_at = at
            if self.cookies is not None:
                self.cookies.keep(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.informational.append((int(dict(event.headers)[":status"]), event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(stream, event, at)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended, stream.ended_at = True, at
        elif isinstance(event, h2.events.StreamReset) and event.remote_reset:
            stream.reset = int(event.error_code)
            stream.ended_at = at

    def _take_promise(self, event, at):
        parent = self.streams[event.parent_stream_id]
        stream = Stream(event.pushed_stream_id)
        stream.promised = list(event.headers)
        stream.parent = parent
        stream.promised_at = at
        parent.promises.append(stream)
        self.streams[stream.id] = stream

    def _take_data(self, stream, event, at):
        stream.body += event.data
        if stream.first_data_at is None:
            stream.first_data_at = at
        stream.last_data_at = at
        if not self.manual and event.flow_controlled_length:
            try:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream.id)
            except h2.exceptions.StreamClosedError:
                pass

    def wait(self, predicate, what, seconds=None):
        """Takes what arrives until predicate() is true."""
        deadline = time.monotonic() + patience(seconds or self.timeout)
        while not predicate():
            left = deadline - time.monotonic()
            assert left > 0, "waited in vain: %s (goaways %s, %s)" % (
                what, self.goaways, list(self.streams.values())[-8:])
            if not self.pump(min(left, 1.0)) and self.closed and not predicate():
                raise Gone("%s while waiting: %s (goaways %s)" % (self.closed, what, self.goaways))

    def wait_done(self, *streams, seconds=None):
        for stream in streams:
            self.wait(lambda s=stream: s.done, "the end of %r" % stream, seconds)

    def settle(self):
        """A PING and its ACK: what the server had to say before it has arrived."""
        wanted = self.pings_acked + 1
        self.h2.ping(b"herald!!")
        self.flush()
        self.wait(lambda: self.pings_acked >= wanted, "the ACK of a PING")

    def wait_closed(self, seconds=None):
        """Waits until the server has closed the connection."""
        deadline = time.monotonic() + patience(seconds or self.timeout)
        while not self.closed:
            left = deadline - time.monotonic()
            assert left > 0, "the server did not close the connection"
            self.pump(min(left, 1.0))

    # -- what goes out --

    def request(self, path="/", method="GET", fields=(), authority=None, pseudo=None,
                end=True, behind=b""):
        """Sends a request and returns its stream. `pseudo` replaces all pseudo-header fields;
        the octets `behind` it go in the same segment."""
        stream = Stream(self.h2.get_next_available_stream_id())
        head = pseudo if pseudo is not None else [
            (":method", method), (":scheme", "https" if self.tls else "http"),
            (":authority", authority or self.authority), (":path", path)]
        fields = list(fields)
        if self.cookies:
            fields.append(("cookie", self.cookies.header()))
        self.streams[stream.id] = stream
        self.h2.send_headers(stream.id, list(head) + fields, end_stream=end)
        if behind:
            self.send_raw(self.h2.data_to_send() + behind)
        else:
            self.flush()
        return stream

    def get(self, path="/", fields=(), **kwargs):
        """A request and its whole answer; pushes are not awaited."""
        stream = self.request(path, fields=fields, **kwargs)
        self.wait_done(stream)
        assert stream.reset is None, "%s was reset with %s" % (path, stream.reset)
        return stream

    def visit(self, path="/", fields=(), **kwargs):
        """A page and all that is pushed with it, everything complete."""
        page = self.request(path, fields=fields, **kwargs)
        self.wait_done(page)
        assert page.reset is None, "%s was reset with %s" % (path, page.reset)
        self.wait_done(*page.promises)
        for stream in page.promises:
            assert stream.promised_at < page.headers_at, \
                "%s was promised after the page's HEADERS" % stream.path
        return Visit(page)

    def reset(self, stream, code=CANCEL):
        stream.cancelled = True
        self.h2.reset_stream(stream.id, code)
        self.flush()

    def goaway(self, last, code=NO_ERROR):
        """A GOAWAY to the server; this end goes on reading."""
        self.send_frame(GOAWAY, 0, 0, struct.pack(">II", last, code))

    def update_settings(self, settings):
        """Announces settings and waits until the server has acknowledged them."""
        self._settings_sent += 1
        self.h2.update_settings(settings)
        self.flush()
        self.wait(lambda: self.settings_acked >= self._settings_sent, "the ACK of SETTINGS")

    def open_window(self, count, *streams):
        """Gives `count` more octets to the streams, or to the connection if none is named."""
        for stream in streams or (None,):
            self.h2.increment_flow_control_window(count, stream and stream.id)
        self.flush()


def visit_once(server, path="/", fields=(), **kwargs):
    """One visit from a connection of its own, which is closed afterwards."""
    client = Client(server, **kwargs)
    try:
        return client.visit(path, fields=fields)
    finally:
        client.close()
