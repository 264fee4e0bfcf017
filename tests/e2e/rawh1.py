"""An HTTP/1.1 client that sends what it is told, octet by octet, and reads answers strictly."""
import socket
import ssl

from server import ADDRESS, HOST, patience

BODILESS = (204, 304)


class Answer:
    def __init__(self, version, status, fields):
        self.version, self.status, self.fields = version, status, fields
        self.body = b""
        self.chunks = []                 # the sizes of its chunks, where it has any

    def field(self, name, default=None):
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else default

    def __repr__(self):
        return "<%s %s, %d octets>" % (self.status, self.fields, len(self.body))


class Peer:
    """One connection. `tls`: with ALPN http/1.1. `rcvbuf`: octets that its kernel takes ahead."""

    def __init__(self, server, tls=False, alpn=("http/1.1",), name=HOST, seconds=10, rcvbuf=None):
        port = server.tls_port if tls else server.h2c_port
        self.socket = socket.create_connection((ADDRESS, port), timeout=patience(seconds))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.port = self.socket.getsockname()[1]
        if tls:
            context = ssl.create_default_context(cafile=server.ca)
            if alpn:
                context.set_alpn_protocols(list(alpn))
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.ahead = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *octets):
        """Sends each of them by itself."""
        for part in octets:
            self.socket.sendall(part if isinstance(part, bytes) else part.encode())
        return self

    def request(self, path="/", method="GET", fields=(), body=b"", version="1.1"):
        lines = ["%s %s HTTP/%s" % (method, path, version)]
        if version == "1.1" and not any(f.lower().startswith("host:") for f in fields):
            lines.append("Host: " + HOST)
        return self.send("\r\n".join(lines + list(fields)).encode() + b"\r\n\r\n" + body)

    def end(self):
        """Nothing more is sent."""
        self.socket.shutdown(socket.SHUT_WR)

    # -- reading --

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.ahead += data
        return bool(data)

    def _line(self):
        while b"\n" not in self.ahead:
            assert self._more(), "the connection ended within a line: %r" % self.ahead[:200]
        line, _, self.ahead = self.ahead.partition(b"\n")
        assert line.endswith(b"\r") and b"\r" not in line[:-1], "a line ends without CRLF: %r" % line
        return line[:-1].decode("latin-1")

    def _octets(self, length):
        while len(self.ahead) < length:
            assert self._more(), "the connection ended %d octets early" % (length - len(self.ahead))
        data, self.ahead = self.ahead[:length], self.ahead[length:]
        return data

    def _chunks(self, answer):
        while True:
            size = int(self._line(), 16)
            answer.chunks.append(size)
            answer.body += self._octets(size)
            assert self._line() == "", "a chunk is longer than its size"
            if size == 0:
                return

    def head(self):
        """An answer's head, interim ones too."""
        version, status, _ = self._line().split(" ", 2)
        assert version == "HTTP/1.1", version
        fields = []
        while line := self._line():
            name, _, value = line.partition(": ")
            fields.append((name, value))
        names = [name for name, _ in fields if name in ("content-length", "transfer-encoding")]
        assert len(names) <= 1, "the answer's framing is not clear: %s" % fields
        return Answer(version, int(status), fields)

    def answer(self, method="GET"):
        """A whole answer; its end as its own fields say."""
        answer = self.head()
        if answer.status >= 200 and method != "HEAD" and answer.status not in BODILESS:
            if answer.field("transfer-encoding") == "chunked":
                self._chunks(answer)
            elif answer.field("content-length") is not None:
                answer.body = self._octets(int(answer.field("content-length")))
            else:
                answer.body = self.rest()
        return answer

    def get(self, path="/", method="GET", **more):
        self.request(path, method, **more)
        return self.answer(method)

    def rest(self):
        """All that comes until the server closes."""
        while self._more():
            pass
        data, self.ahead = self.ahead, b""
        return data

    def is_closed(self):
        """Waits for the server's end; nothing may come before it."""
        return self.rest() == b""
