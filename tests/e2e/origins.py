"""Origin servers for the tests of the proxy: one that does what a test says, byte by byte; Node and
nginx, as applications are served by them."""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

import server

CLIENTS = os.path.join(server.TOP, "tests", "clients")


class Request:
    """What an origin got: the request line's parts, its fields as they came, its content."""

    def __init__(self, head, body):
        first, *lines = head.split(b"\r\n")
        self.raw = head
        self.method, self.target, self.version = first.decode("latin-1").split(" ", 2)
        self.fields = [(name.decode("latin-1").lower(), value.strip().decode("latin-1"))
                       for name, _, value in (line.partition(b":") for line in lines)]
        self.body = body

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def field(self, name):
        values = self.all(name)
        assert len(values) <= 1, "%s is there %d times" % (name, len(values))
        return values[0] if values else None


class Wire:
    """One connection of an origin's, read as RFC 9112 says and no other way."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def more(self):
        got = self.sock.recv(65536)
        self.data += got
        return got

    def until(self, mark):
        while mark not in self.data:
            if not self.more():
                return None
        before, self.data = self.data.split(mark, 1)
        return before

    def exactly(self, count):
        while len(self.data) < count:
            if not self.more():
                raise ConnectionError("the request ended in the midst of its content")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def chunks(self):
        while True:
            size = int(self.until(b"\r\n"), 16)
            chunk = self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            yield chunk
            if size == 0:
                return

    def request(self, read_body=True):
        head = self.until(b"\r\n\r\n")
        if head is None:
            return None
        request = Request(head, b"")
        lengths, coded = request.all("content-length"), request.all("transfer-encoding")
        assert len(lengths) + len(coded) <= 1, "two readers would see two requests: %r" % head
        if read_body and coded:
            assert coded == ["chunked"]
            request.body = b"".join(self.chunks())
        elif read_body and lengths:
            request.body = self.exactly(int(lengths[0]))
        return request


def response(body=b"", *fields, status="200 OK", length=True):
    head = ["HTTP/1.1 " + status] + list(fields)
    if length:
        head.append("Content-Length: %d" % len(body))
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class Origin:
    """answer(request, wire) -> the response's bytes; b"" or None ends the connection. `requests` are
    those that came; with read_body=False the content is the answer's to read."""

    def __init__(self, answer=None, path=None, tls=None, read_body=True, rcvbuf=None,
                 address=server.ADDRESS, port=0):
        self.answer = answer or (lambda request, wire: response(b"hello\n"))
        self.read_body, self.tls = read_body, tls
        self.requests, self.connections, self.faults, self.open = [], 0, [], set()
        self.closed = threading.Event()      # a connection was ended by the other side
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.url = "unix:" + path
        else:
            self.listener = socket.socket()
            if rcvbuf:
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.port = self.listener.getsockname()[1]
            self.url = "%s://%s:%d" % ("https" if tls else "http", "localhost" if tls else address,
                                       self.port)
        self.listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw):
        sock = raw
        try:
            sock.settimeout(server.patience(30))
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.open.add(sock)
            wire = Wire(sock)
            while True:
                request = wire.request(self.read_body)
                if request is None:
                    self.closed.set()
                    return
                self.requests.append(request)
                answer = self.answer(request, wire)
                if not answer:
                    return
                sock.sendall(answer)
        except (ConnectionError, ssl.SSLError, socket.timeout, BrokenPipeError, OSError):
            self.closed.set()
        except Exception as fault:           # shown by the test that looks for it
            self.faults.append(fault)
        finally:
            self.open.discard(raw)
            self.open.discard(sock)
            sock.close()

    def close(self):
        """Nobody is answered any more, and connections end."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def tls_server(certificate, alpn=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.set_alpn_protocols(list(alpn))
    return context


class Process:
    """An origin in a process of its own, ended with close()."""

    def __init__(self, argv, ready):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = []
        if ready:
            line = self.process.stdout.readline().decode()
            match = re.match(ready, line)
            assert match, "the origin said " + line
            self.port = int(match.group(1))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def node(*words):
    """tests/clients/origin.js: what it does is said there."""
    process = Process(["node", os.path.join(CLIENTS, "origin.js"), *words], r"ready (\d+)")
    process.url = "%s://%s:%d" % ("https" if words else "http",
                                  "localhost" if words else server.ADDRESS, process.port)
    return process


class Nginx:
    """nginx that serves `root`, on a port of its own."""

    def __init__(self, root, more=""):
        self.directory = tempfile.mkdtemp(prefix="herald-nginx-")
        os.chmod(self.directory, 0o755)
        self.port = server.free_ports(1)[0]
        self.url = "http://%s:%d" % (server.ADDRESS, self.port)
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w") as file:
            file.write("daemon off; master_process off; pid %(d)s/pid; error_log %(d)s/error.log;"
                       "events { worker_connections 1024; }"
                       "http { access_log off; client_body_temp_path %(d)s/b; proxy_temp_path %(d)s/p;"
                       "fastcgi_temp_path %(d)s/f; uwsgi_temp_path %(d)s/u; scgi_temp_path %(d)s/s;"
                       "server { listen %(a)s:%(p)d; root %(r)s; %(m)s } }" % {
                           "d": self.directory, "a": server.ADDRESS, "p": self.port, "r": root,
                           "m": more})
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", path, "-p", self.directory],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_until(self._accepts, 5, "nginx to listen")

    def _accepts(self):
        with socket.socket() as probe:
            return probe.connect_ex((server.ADDRESS, self.port)) == 0

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def proxied(herald, *origins, keys=None, **kwargs):
    """A herald whose site's origin they are."""
    urls = [one if isinstance(one, str) else one.url for one in origins]
    site = {"root": None, "origin": {None: urls, **(keys or {})}, **kwargs.pop("site", {})}
    return herald(site=site, workers=kwargs.pop("workers", 1), **kwargs)


def counters(site):
    return json.loads(site.command("status", "--json").stdout)["counters"]


@pytest.fixture
def origin(request):
    """origin(answer, ...) starts an Origin; all are closed after the test, which fails when one saw
    what no origin is to see."""
    made = []

    def factory(*args, make=Origin, **kwargs):
        made.append(make(*args, **kwargs))
        return made[-1]

    yield factory
    for one in made:
        one.close()
    for one in made:
        assert not getattr(one, "faults", None), one.faults


def answered(site, connect, path="/", **kwargs):
    """The stream of a request, whether it was answered or reset."""
    client = connect(site, tls=False)
    stream = client.request(path, **kwargs)
    client.wait(lambda: stream.done or stream.reset is not None, "an end")
    return stream
