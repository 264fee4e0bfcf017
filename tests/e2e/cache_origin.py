"""An origin for tests of the cache: a real HTTP/1.1 server that says what the test tells it to, and
counts what it is asked."""
import http.server
import socket
import threading

from server import ADDRESS, wait_until


class Answer:
    """What a path is answered with.

    chunked: without a length. after: content sent once `release` is set. cut: the connection ends
    after the content, before what its length promised. hold: the head waits for `release`.
    """

    def __init__(self, body=b"", status=200, chunked=False, after=b"", cut=0, hold=False, etag=None,
                 **fields):
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.fields = [(name.replace("_", "-"), value) for name, value in fields.items()
                       if value is not None]
        self.chunked, self.after, self.cut, self.hold = chunked, after, cut, hold
        self.etag = etag
        self.release = threading.Event()


class CacheOrigin:
    """`answers` maps targets to Answers, or to functions of the request that return one."""

    def __init__(self, answers):
        self.answers = dict(answers)
        self.requests = []               # (method, target, fields) in their order
        self._lock = threading.Lock()
        origin = self

        self._kept = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with origin._lock:
                    origin._kept.append(self.connection)

            def do_any(self):
                origin._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_any

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass                     # clients that go away are part of the tests

        self._server = Server((ADDRESS, 0), Handler)
        self.url = "http://%s:%d" % (ADDRESS, self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, handler):
        length = int(handler.headers.get("content-length") or 0)
        if length:
            handler.rfile.read(length)
        with self._lock:
            self.requests.append((handler.command, handler.path, dict(handler.headers.items())))
        answer = self.answers.get(handler.path) or Answer("none", status=404)
        if callable(answer):
            answer = answer(dict((k.lower(), v) for k, v in handler.headers.items()))
        if answer.hold:
            answer.release.wait(60)
        fields = list(answer.fields)
        status, body = answer.status, answer.body
        if answer.etag:
            fields.append(("etag", answer.etag))
            if handler.headers.get("if-none-match") == answer.etag:
                status, body = 304, b""
        handler.send_response_only(status)
        for name, value in fields:
            handler.send_header(name, value)
        if answer.chunked and status != 304:
            handler.send_header("transfer-encoding", "chunked")
        elif status != 304:
            handler.send_header("content-length", str(len(body) + len(answer.after) + answer.cut))
        handler.end_headers()
        if handler.command == "HEAD" or status == 304:
            return
        self._send(handler, answer, body)
        if answer.after:
            handler.wfile.flush()
            answer.release.wait(60)
            self._send(handler, answer, answer.after)
        if answer.chunked and not answer.cut:
            handler.wfile.write(b"0\r\n\r\n")
        if answer.cut:
            handler.close_connection = True

    @staticmethod
    def _send(handler, answer, body):
        if answer.chunked and body:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        else:
            handler.wfile.write(body)

    def count(self, target, method="GET"):
        """How often the target was asked for."""
        with self._lock:
            return sum(1 for m, t, _ in self.requests if (m, t) == (method, target))

    def wait_asked(self, target, times=1):
        wait_until(lambda: self.count(target) >= times, 5,
                   "request %d for %s at the origin" % (times, target))

    def last(self, target):
        """The fields of the last request for the target, names in lower case."""
        with self._lock:
            fields = [f for _, t, f in self.requests if t == target][-1]
        return {name.lower(): value for name, value in fields.items()}

    def hang_up(self):
        """From now on nobody answers, on kept connections neither."""
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for kept in self._kept:
                try:
                    kept.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        for answer in self.answers.values():
            if isinstance(answer, Answer):
                answer.release.set()
        self.hang_up()
