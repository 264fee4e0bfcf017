"""An origin that thinks for as long as the test wants: each request waits until it is answered."""
import queue
import socket
import threading

from server import ADDRESS, patience


class Asked:
    """A request that arrived. The test says what becomes of it, and when."""

    def __init__(self, connection, head, gone):
        self.connection = connection
        self.gone = gone
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.fields = [(name.lower(), value.strip())
                       for name, _, value in (line.partition(":") for line in lines[1:])]

    def send(self, text):
        """Octets, as they are."""
        self.connection.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def early(self, *links):
        """A 103 with one Link field for each of `links`."""
        self.send("HTTP/1.1 103 Early Hints\r\n%s\r\n"
                  % "".join("Link: %s\r\n" % link for link in links))

    def answer(self, body=b"<p>page</p>", status=200, fields=(), mime="text/html"):
        head = ["HTTP/1.1 %d Said" % status, "Content-Length: %d" % len(body)]
        head += ["Content-Type: " + mime] if mime else []
        head += ["%s: %s" % field for field in fields]
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def close(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def wait_gone(self):
        """Waits until the other side has closed the connection."""
        assert self.gone.wait(patience(5)), "the request for %s is still waited for" % self.target


class Origin:
    """Listens; `wait` gives the requests in the order in which they arrive. Use it in a `with`."""

    def __enter__(self):
        self.listener = socket.create_server((ADDRESS, 0))
        self.url = "http://%s:%d" % self.listener.getsockname()
        self.asked = queue.Queue()
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        """Heads only: these requests have no content. One at a time on a connection."""
        unread, gone = b"", threading.Event()
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                gone.set()
                return
            unread += data
            while b"\r\n\r\n" in unread:
                head, unread = unread.split(b"\r\n\r\n", 1)
                self.asked.put(Asked(connection, head, gone))

    def wait(self):
        """The next request."""
        return self.asked.get(timeout=patience(5))

    def is_idle(self):
        return self.asked.empty()
