"""The servers that are attacked: one worker each, with the default limits, or with short times."""
import json
import shutil
import tempfile

import server
from h2client import Client

WIDE = """local many = {}
for i = 1, 10000 do many[i] = "/assets/" .. i .. ".css" end
return {
  api = 1,
  on_request = function(req, push)
    if req.path == "/wide.html" then
      for _, path in ipairs(many) do push:add(path) end
    else
      for _, path in ipairs { "/assets/site.css", "/assets/app.js", "/assets/hero.jpg" } do
        push:add(path)
      end
    end
  end,
}
"""
SHORT_S = 0.5
SHORT = {"handshake": "500ms", "header": "500ms", "idle": "500ms", "send_progress": "500ms",
         "body_grace": "500ms"}


class Target:
    """A herald as attackers see it."""

    address, host = server.ADDRESS, server.HOST
    big = b"/big.bin"

    def __init__(self, herald):
        self.herald = herald
        self.tls_port, self.h2c_port = herald.tls_port, herald.h2c_port

    @staticmethod
    def fill(root):
        root.write("/hello.txt", b"hello\n")
        root.write("/big.bin", bytes(4 << 20))

    def authority(self, tls):
        return self.herald.authority(tls)

    def worker(self):
        return next(iter(self.herald.workers()), 0)

    def master(self):
        return self.herald.pid

    def status(self):
        return json.loads(self.herald.command("status", "--json").stdout)

    def counters(self):
        return self.status()["counters"]

    def claims(self):
        """Entries of the push table that say that something is being sent."""
        return self.status()["table"]["claimed"]

    def counter(self, name):
        return self.counters()[name] if name else 0


class Site(Target):
    """One that is made for attacks, with the default limits or others."""

    short_s = SHORT_S

    def __init__(self, certificate, limits=None):
        made = server.make(certificate, workers=1, limits=limits,
                           policy_files={"wide.lua": WIDE}, policies=["wide.lua"],
                           top={"log": {"error": "stderr"}})
        made.root.write("/wide.html", b"<!doctype html><title>wide</title>")
        self.fill(made.root)
        server.start(made)
        super().__init__(made)
        self._warm()

    def _warm(self):
        """What the worker opens once and keeps is not to be counted against an attack."""
        client = Client(self.herald, tls=False)
        for path in ("/", "/wide.html", "/hello.txt", "/big.bin"):
            client.get(path)
        client.close()


class Sites:
    """Context: `of(attack)` is the site for it, started when it is first needed."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="herald-cert-")
        self.certificate = server.Certificate(self.directory)
        self.made = {}
        return self

    def of(self, attack):
        kind = "short" if attack.short else "default"
        if kind not in self.made:
            self.made[kind] = Site(self.certificate, SHORT if kind == "short" else None)
        return self.made[kind]

    def close(self):
        """Ends the servers; returns how many ended badly (a sanitizer's report, a lost worker)."""
        bad = 0
        for site in self.made.values():
            try:
                site.herald.close()
            except Exception as fault:   # the others are to be ended as well
                print("  ^ FAIL: %s" % fault)
                bad += 1
            shutil.rmtree(site.herald.directory, ignore_errors=True)
        self.made = {}
        return bad

    def __exit__(self, *_):
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)
