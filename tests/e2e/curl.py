"""curl, as a client that knows no push: one request, one answer."""
import os
import re
import subprocess
import tempfile

from server import ADDRESS, HOST, patience


class Answer:
    def __init__(self, status, version, fields, body, informational):
        self.status, self.version = status, version
        self.fields = fields             # [(name, value)], names in lower case
        self.body = body
        self.informational = informational

    def field(self, name, default=None):
        """The values of the fields called `name`, joined as HTTP allows."""
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else default

    def __repr__(self):
        return "<%s %s, %d octets>" % (self.status, self.fields, len(self.body))


def parse_heads(text):
    """The heads that curl wrote: [(version, status, fields)]."""
    heads = []
    for block in re.split(r"\r?\n\r?\n", text.strip()):
        first, *rest = block.splitlines()
        match = re.match(r"HTTP/([\d.]+) (\d+)", first)
        fields = [(name.strip().lower(), value.strip())
                  for name, _, value in (line.partition(":") for line in rest)]
        heads.append((match.group(1), int(match.group(2)), fields))
    return heads


def curl(server, path="/", *words, tls=True, fields=(), method=None, http="--http2"):
    """Asks for `path`, exactly as written, and returns an Answer."""
    if not tls and http == "--http2":
        http = "--http2-prior-knowledge"
    port = server.tls_port if tls else server.h2c_port
    with tempfile.TemporaryDirectory() as folder:
        head, body = os.path.join(folder, "head"), os.path.join(folder, "body")
        argv = ["curl", "--silent", "--show-error", "--path-as-is", http, "--globoff", "--noproxy",
                "*", "--cacert", server.ca, "--resolve", "%s:%d:%s" % (HOST, port, ADDRESS),
                "--max-time", str(patience(20)), "-D", head, "-o", body]
        if method:
            argv += ["--head"] if method == "HEAD" else ["-X", method]
        for field in fields:
            argv += ["-H", field]
        done = subprocess.run(argv + list(words) + [server.url(path, tls)],
                              capture_output=True, text=True, timeout=patience(30))
        assert done.returncode == 0, "curl %s: %s" % (path, done.stderr.strip())
        with open(head, newline="") as file:
            heads = parse_heads(file.read())
        content = b""
        if os.path.exists(body) and method != "HEAD":    # else curl repeats the head there
            with open(body, "rb") as file:
                content = file.read()
    version, status, received = heads[-1]
    return Answer(status, version, received, content, heads[:-1])
