"""A raw HTTP/2 client: it sends whatever frames a test asks for, right or wrong, and checks
every frame that the server sends, in every test.

A server's frame that breaks RFC 9113 (a reserved bit, a flag the type doesn't define, a DATA frame
beyond a window, a field block beyond the decoder's table, a promise where push is off ...) raises
Violation at once, whatever the test was about. Waiting is always for a condition, with a deadline;
that something was ignored is proved by the answer to a PING sent behind it.

What counts as the right answer to an error (RFC 9113, 5.4): a connection error is a GOAWAY with the
code that the RFC names, then the end of the connection; a stream error is a RST_STREAM with that
code, or the same as a connection error (5.4.1 lets a server escalate)."""

import itertools
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

from hpack import Decoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame

import rawhpack
from rawh2_checks import Violation, check_promise, check_response_section
from rawh2_wire import (DEFINED_FLAGS, FRAME_BYTES, INITIAL, PREFACE, RESERVED_BIT, WINDOW,
                        WINDOW_MAX, Code, Flag, Setting, Type, deadline, frame, name_of,
                        open_socket, settings_payload, u32)


@dataclass
class Stream:
    """What the server has sent on one stream, and what it was allowed to send."""
    id: int
    sections: list = field(default_factory=list)         # decoded field sections, in order
    blocks: list = field(default_factory=list)           # the same as octets
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    resets: list = field(default_factory=list)           # codes of RST_STREAM, in order
    received: int = 0                                     # flow-controlled octets
    credit: int = 0                                       # from our WINDOW_UPDATE frames
    head: bool = False                                    # asked for with HEAD

    @property
    def reset(self):
        """The code of the first RST_STREAM, or None so far."""
        return self.resets[0] if self.resets else None

    @property
    def status(self):
        """The final status, or None so far."""
        found = [int(dict(section)[b":status"]) for section in self.sections
                 if b":status" in dict(section)]
        return next((status for status in found if status >= 200), None)

    def fields(self):
        """The final response's fields."""
        return next(dict(section) for section in self.sections
                    if int(dict(section).get(b":status", b"0")) >= 200)


class Connection:
    """One connection to `peer`. With `handshake`, the prefaces and the ACKs of both sides'
    SETTINGS have been exchanged when the constructor returns. Push is off unless `settings`
    turns it on."""

    def __init__(self, peer, transport="h2c", settings=(), handshake=True, **tls_options):
        self.peer = peer
        self.transport = transport
        self.streams, self.promises, self.goaways = {}, {}, []
        self.server_settings, self.settings_frames, self.acks = {}, 0, 0
        self.pings_answered, self.frames, self.window_updates = [], [], []
        self.received, self.credit = 0, 0
        self.eof, self.broken = False, None               # how it ended, unless in good order
        self._acked, self._pending = dict(INITIAL), []
        self._inbox, self._block = bytearray(), None
        self._decoder = Decoder(max_header_list_size=2**20)
        self._ids, self._pings = itertools.count(1, 2), itertools.count(1)
        self.socket = open_socket(peer, transport, **tls_options)
        if handshake:
            self.greet(settings)

    def greet(self, settings=(), acknowledge=True):
        """Exchanges the prefaces and the ACKs of their SETTINGS."""
        self.send(PREFACE)
        self.send_settings({Setting.ENABLE_PUSH: 0, **dict(settings)})
        self.wait(lambda: self.settings_frames and self.acks, "the server's preface")
        if acknowledge:
            self.send_frame(Type.SETTINGS, Flag.ACK)

    def close(self):
        self.socket.close()

    def finish_sending(self):
        """Ends our direction of the connection."""
        if self.transport == "tls":
            self.socket.settimeout(deadline())
            self.socket.unwrap()
        else:
            self.socket.shutdown(socket.SHUT_WR)

    # ---- sending

    def send(self, data):
        """Sends octets as they are. A server that has gone is noticed on reading."""
        try:
            self.socket.settimeout(deadline())
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def send_frame(self, type_, flags=0, stream=0, payload=b"", length=None):
        self.send(frame(type_, flags, stream, payload, length))

    def send_settings(self, values, flags=0):
        """Sends legal SETTINGS, a dict or pairs, and remembers them until they are acknowledged."""
        pairs = list(values.items()) if isinstance(values, dict) else list(values)
        self._pending.append(dict(pairs))
        self.send_frame(Type.SETTINGS, flags, 0, settings_payload(pairs))

    def sync_settings(self, values):
        """Sends SETTINGS and waits for their ACK."""
        acks = self.acks
        self.send_settings(values)
        self.wait(lambda: self.acks > acks, "the SETTINGS ACK")

    def next_id(self):
        return next(self._ids)

    def fields(self, path=None, method="GET", extra=()):
        """A well-formed request's fields."""
        scheme = "https" if self.transport == "tls" else "http"
        authority = self.peer.authority(self.transport)
        return [(":method", method), (":scheme", scheme), (":authority", authority),
                (":path", path or self.peer.small), *extra]

    def request(self, path=None, method="GET", extra=(), end_stream=True, stream=None):
        """Sends a well-formed request and returns its stream."""
        return self.send_block(rawhpack.block(self.fields(path, method, extra)),
                               end_stream, stream, head=method == "HEAD")

    def send_fields(self, fields, end_stream=True):
        """Opens a stream with these fields, right or wrong."""
        return self.send_block(rawhpack.block(fields), end_stream)

    def send_block(self, block, end_stream=True, stream=None, head=False):
        """Opens a stream (the next one unless given) with HEADERS of this field block; what is
        beyond one frame goes into CONTINUATION frames."""
        id_ = self.next_id() if stream is None else stream
        record = self.stream(id_)
        record.head = head
        parts = [block[i:i + FRAME_BYTES] for i in range(0, len(block), FRAME_BYTES)] or [b""]
        for number, part in enumerate(parts):
            flags = Flag.END_HEADERS if number == len(parts) - 1 else 0
            if number == 0:
                flags |= Flag.END_STREAM if end_stream else 0
            self.send_frame(Type.CONTINUATION if number else Type.HEADERS, flags, id_, part)
        return record

    def send_data(self, stream, data=b"", end_stream=True):
        self.send_frame(Type.DATA, Flag.END_STREAM if end_stream else 0, stream.id, data)

    def window_update(self, stream, increment):
        """Gives the server credit on a stream, or on the connection (None)."""
        (stream or self).credit += increment
        self.send_frame(Type.WINDOW_UPDATE, 0, stream.id if stream else 0, u32(increment))

    def overflow(self, stream):
        """Makes a stream's window larger than any may be (6.9.1), so that the server resets the
        stream. What is in the window until then may be used."""
        stream.credit += WINDOW_MAX
        self.send(frame(Type.WINDOW_UPDATE, 0, stream.id, u32(WINDOW_MAX)) * 2)

    def room(self):
        """How much flow-controlled content the server's connection window allows in all."""
        return WINDOW + sum(increment for id_, increment in self.window_updates if id_ == 0)

    def reset(self, stream, code=Code.CANCEL):
        self.send_frame(Type.RST_STREAM, 0, stream.id, u32(code))

    def stream(self, id_):
        return self.streams.setdefault(id_, Stream(id_))

    def held_request(self, end_stream=True, extra=()):
        """A request whose response cannot finish: the big file through an empty stream window.
        `settings` must have made INITIAL_WINDOW_SIZE 0."""
        assert self.limit(Setting.INITIAL_WINDOW_SIZE) == 0
        return self.request(self.peer.big, extra=extra, end_stream=end_stream)

    # ---- receiving

    def limit(self, setting):
        """The most the server may believe of a setting: what it acknowledged, or what is on its
        way to it, whichever allows more."""
        values = [pending[setting] for pending in self._pending if setting in pending]
        return max(values + [self._acked[setting]])

    def wait(self, condition, what, seconds=None):
        """Reads until `condition()` is true. Fails at the deadline, or when the server ends the
        connection before."""
        until = time.monotonic() + (seconds or deadline())
        while not condition():
            if self._take_frame():
                continue
            assert not self.eof, f"the connection ended before {what} came; got {self.transcript()}"
            left = until - time.monotonic()
            assert left > 0, f"{what} did not come in time; got {self.transcript()}"
            self._read(left)

    def wait_end(self):
        """Reads until the server has ended the connection."""
        self.wait(lambda: self.eof and not self._inbox, "the end of the connection")

    def read_to_end(self):
        """Reads what does not come in frames, until the server ends the connection."""
        until = time.monotonic() + deadline()
        while not self.eof:
            left = until - time.monotonic()
            assert left > 0, f"the connection did not end; octets {bytes(self._inbox[:80])!r}"
            self._read(left)
        return bytes(self._inbox)

    def transcript(self):
        return ", ".join(self.frames[-25:]) or "nothing"

    def _read(self, seconds):
        try:
            self.socket.settimeout(seconds)
            data = self.socket.recv(65536)
        except (socket.timeout, TimeoutError, ssl.SSLWantReadError):
            return
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            self.broken, data = error, b""
        self._inbox += data
        if not data:
            self.eof = True

    def _take_frame(self):
        if self.eof and self._inbox and len(self._inbox) < 9:
            raise Violation(f"the connection ended in a frame's header: {bytes(self._inbox)!r}")
        if len(self._inbox) < 9:
            return False
        length = int.from_bytes(self._inbox[:3], "big")
        if length > self.limit(Setting.MAX_FRAME_SIZE):
            raise Violation(f"a frame of {length} octets (4.2); octets {bytes(self._inbox[:40])!r}")
        if len(self._inbox) < 9 + length:
            if self.eof:
                raise Violation("the connection ended in the middle of a frame")
            return False
        header, payload = bytes(self._inbox[:9]), bytes(self._inbox[9:9 + length])
        del self._inbox[:9 + length]
        self._accept(header, payload)
        return True

    def _accept(self, header, payload):
        type_, flags = header[3], header[4]
        stream_field = int.from_bytes(header[5:9], "big")
        self.frames.append(f"{name_of(Type, type_)}(stream {stream_field}, flags {flags:#x}, "
                           f"{len(payload)} octets)")
        if type_ not in DEFINED_FLAGS:
            raise Violation(f"a frame of type {type_:#x} (4.1)")
        if flags & ~DEFINED_FLAGS[type_]:
            raise Violation(f"{self.frames[-1]} has a flag that its type does not define (4.1)")
        if stream_field & RESERVED_BIT:
            raise Violation(f"{self.frames[-1]} has the reserved bit set (4.1)")
        if not self.settings_frames and (type_ != Type.SETTINGS or flags & Flag.ACK):
            raise Violation(f"{self.frames[-1]} came before the preface's SETTINGS (3.4)")
        if (self._block is not None) != (type_ == Type.CONTINUATION):
            raise Violation(f"{self.frames[-1]} where the field block has it wrong (6.10)")
        try:
            parsed, _ = Frame.parse_frame_header(memoryview(header))
            parsed.parse_body(memoryview(payload))
        except HyperframeError as error:
            raise Violation(f"{self.frames[-1]}: {error}") from error
        handler = getattr(self, "_on_" + Type(type_).name.lower(), None)
        if handler:
            handler(parsed, len(payload))

    def _on_settings(self, parsed, _length):
        if "ACK" in parsed.flags:
            if not self._pending:
                raise Violation("a SETTINGS ACK that nothing asked for (6.5.3)")
            self.acks += 1
            self._acked.update(self._pending.pop(0))
            return
        self.settings_frames += 1
        self.server_settings.update(parsed.settings)

    def _on_ping(self, parsed, _length):
        if "ACK" in parsed.flags:
            self.pings_answered.append(parsed.opaque_data)
        else:
            self.send_frame(Type.PING, Flag.ACK, 0, parsed.opaque_data)

    def _on_goaway(self, parsed, _length):
        self.frames[-1] += f"={name_of(Code, parsed.error_code)}, last {parsed.last_stream_id}"
        if parsed.additional_data:
            self.frames[-1] += f", {bytes(parsed.additional_data)!r}"
        if self.goaways and parsed.last_stream_id > self.goaways[-1].last_stream_id:
            raise Violation("a GOAWAY that raises the last stream identifier (6.8)")
        self.goaways.append(parsed)

    def _on_rst_stream(self, parsed, _length):
        self.frames[-1] += f"={name_of(Code, parsed.error_code)}"
        self._writable(parsed.stream_id, reset=True).resets.append(parsed.error_code)

    def _on_window_update(self, parsed, _length):
        self.window_updates.append((parsed.stream_id, parsed.window_increment))

    def _on_data(self, parsed, length):
        record = self._writable(parsed.stream_id)
        if record.status is None:
            raise Violation(f"DATA before a final status on stream {record.id} (8.1)")
        stream_limit = self.limit(Setting.INITIAL_WINDOW_SIZE) + record.credit
        if length and record.received + length > stream_limit:
            raise Violation(f"DATA up to octet {record.received + length} of stream {record.id}, "
                            f"whose window ends at {stream_limit} (6.9.1)")
        if length and self.received + length > WINDOW + self.credit:
            raise Violation(f"DATA up to octet {self.received + length} of the connection, "
                            f"whose window ends at {WINDOW + self.credit} (6.9.1)")
        record.received += length
        self.received += length
        record.body += parsed.data
        if "END_STREAM" in parsed.flags:
            self._finish(record)

    def _on_headers(self, parsed, _length):
        self._writable(parsed.stream_id)
        self._begin_block(parsed, parsed.stream_id, "END_STREAM" in parsed.flags)

    def _on_push_promise(self, parsed, _length):
        if not self.limit(Setting.ENABLE_PUSH):
            raise Violation("a PUSH_PROMISE although SETTINGS_ENABLE_PUSH is 0 (6.6, 8.4)")
        promised = parsed.promised_stream_id
        if promised % 2 or promised <= max(self.promises, default=0):
            raise Violation(f"a promise of stream {promised} (5.1.1)")
        if parsed.stream_id % 2 == 0:
            raise Violation(f"a promise on stream {parsed.stream_id}, a pushed one (8.4.1)")
        self._writable(parsed.stream_id)
        self.promises[parsed.promised_stream_id] = None
        self._begin_block(parsed, parsed.promised_stream_id, False, promise=True)

    def _begin_block(self, parsed, stream, end_stream, promise=False):
        self._block = (bytearray(parsed.data), stream, end_stream, promise)
        if "END_HEADERS" in parsed.flags:
            self._end_block()

    def _on_continuation(self, parsed, _length):
        self._block[0].extend(parsed.data)
        if "END_HEADERS" in parsed.flags:
            self._end_block()

    def _end_block(self):
        (data, stream, end_stream, promise), self._block = self._block, None
        self._decoder.max_allowed_table_size = self.limit(Setting.HEADER_TABLE_SIZE)
        try:
            section = [(bytes(name), bytes(value))
                       for name, value in self._decoder.decode(bytes(data), raw=True)]
        except (HPACKError, UnicodeDecodeError) as error:
            raise Violation(f"a field block that does not decode: {error!r} (RFC 7541)") from error
        if promise:
            check_promise(section)
            self.promises[stream] = section
            return
        record = self.stream(stream)
        check_response_section(section, trailers=record.status is not None, end_stream=end_stream)
        record.blocks.append(bytes(data))
        record.sections.append(section)
        if end_stream:
            self._finish(record)

    def _writable(self, id_, reset=False):
        """The stream, if the server may send on it. A RST_STREAM may come for a closed one, too:
        6.1 asks for it in answer to frames that had no business there."""
        if id_ % 2 == 0 and id_ not in self.promises:
            raise Violation(f"a frame on stream {id_}, which was never promised (5.1.1)")
        record = self.stream(id_)
        if not reset and (record.resets or record.ended):
            raise Violation(f"{self.frames[-1]} on a stream that the server had closed (5.1)")
        return record

    @staticmethod
    def _finish(record):
        record.ended = True
        length = record.fields().get(b"content-length")
        if length and not record.head and record.status != 304 and int(length) != len(record.body):
            raise Violation(f"content-length {length!r}, but {len(record.body)} octets (8.1.1)")

    # ---- expectations

    def roundtrip(self):
        """Returns once the server has answered a PING, so has processed all that was sent."""
        payload = struct.pack(">Q", next(self._pings))
        self.send_frame(Type.PING, 0, 0, payload)
        self.wait(lambda: payload in self.pings_answered, "the PING's ACK")

    def quiet(self):
        """Returns once the server has sent what it had to send. The ACK of a PING may overtake
        DATA (6.7), so it takes two."""
        self.roundtrip()
        self.roundtrip()

    def expect_no_error(self):
        """What was sent was accepted or ignored: the server lives on and has reset nothing (but a
        request whose response is complete, which 8.1 allows)."""
        self.quiet()
        assert not self.goaways, f"a GOAWAY came: {self.transcript()}"
        wrong = [s.id for s in self.streams.values()
                 if s.resets and not (s.ended and s.resets == [Code.NO_ERROR])]
        assert not wrong, f"streams {wrong} were reset: {self.transcript()}"

    def response(self, stream):
        """Waits for a complete response and returns its stream."""
        self.wait(lambda: stream.ended or stream.resets, f"stream {stream.id}'s response")
        assert stream.ended, f"stream {stream.id} was reset: {self.transcript()}"
        return stream

    def check_body(self, stream, path=None, octets=None):
        """The stream's content is the file's, or its first `octets`. Tests don't compare large
        contents themselves: pytest would take minutes to show the difference."""
        expected = self.peer.files[path or self.peer.small][:octets]
        if stream.body != expected:
            common = next((i for i, (a, b) in enumerate(zip(stream.body, expected)) if a != b),
                          min(len(stream.body), len(expected)))
            raise AssertionError(f"stream {stream.id} has {len(stream.body)} octets of content, "
                                 f"not {len(expected)}; the first {common} are right")

    def expect_served(self, path=None, **request):
        """A request is answered 200 with the file's octets, so the connection is in order."""
        stream = self.response(self.request(path, **request))
        assert stream.status == 200, f"status {stream.status} for {path or self.peer.small}"
        self.check_body(stream, path)
        return stream

    def expect_connection_error(self, *codes, goaway_optional=False):
        """A GOAWAY with one of `codes`, then the end of the connection (5.4.1)."""
        self.wait(lambda: self.goaways or self.eof and not self._inbox, "a connection error")
        self.wait_end()
        if not self.goaways:
            assert goaway_optional, f"the connection ended without GOAWAY; got {self.transcript()}"
            return
        got = self.goaways[-1].error_code
        assert got in codes, f"GOAWAY says {name_of(Code, got)}, not {_names(codes)}"

    def expect_stream_error(self, stream, *codes):
        """A RST_STREAM with one of `codes`, and a connection that goes on; or the same error for
        the whole connection (5.4.1). Returns True where the connection goes on."""
        self.wait(lambda: stream.resets or self.goaways, f"an error of stream {stream.id}")
        if self.goaways:
            self.expect_connection_error(*codes)
            return False
        assert stream.reset in codes, f"{name_of(Code, stream.reset)}, not {_names(codes)}"
        self.roundtrip()
        assert not self.goaways, f"a GOAWAY came: {self.transcript()}"
        return True

    def expect_malformed(self, stream):
        """A malformed request (8.1.1): a 4xx answer, or a stream error of type PROTOCOL_ERROR (or
        the same for the connection); never a success."""
        self.wait(lambda: stream.ended or stream.resets or self.goaways,
                  f"the answer to malformed stream {stream.id}")
        if stream.status is not None and 400 <= stream.status < 500:
            self.roundtrip()
            return
        assert not stream.ended, f"a malformed request was answered {stream.status}"
        self.expect_stream_error(stream, Code.PROTOCOL_ERROR)


def _names(codes):
    return " or ".join(name_of(Code, code) for code in codes)
