"""Headless Chromium on a pipe: loads a page and tells what it requested and what blocked rendering."""
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--no-default-browser-check",
    "--disable-dev-shm-usage", "--mute-audio", "--remote-debugging-pipe",
]
RESOLVER = "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"

TIMINGS = """JSON.stringify([performance.getEntriesByType('navigation')[0],
    ...performance.getEntriesByType('resource')])"""

ENTRIES = """JSON.stringify(performance.getEntriesByType('resource').map(
    e => [e.name, e.renderBlockingStatus, e.initiatorType]))"""


def spki(certificate):
    """The hash of a certificate's public key, as Chromium wants it named."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True,
                         stdout=subprocess.PIPE, timeout=20).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                         stdout=subprocess.PIPE, timeout=20).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Chromium:
    """One browser with a profile of its own. Use it in a `with`; at its end both are gone.

    certificate: a PEM file of a server whose certificate is to be taken for a good one.
    launcher: a program that runs it, with its arguments. resolver: how names are resolved.
    """

    def __init__(self, limit_s=60, certificate=None, launcher=(), resolver=RESOLVER):
        self.limit_s = limit_s
        self.launcher = list(launcher)
        self.flags = FLAGS + ["--host-resolver-rules=" + resolver] + (["--ignore-certificate-errors-spki-list=" + spki(certificate)]
                              if certificate else [])
        self.next_id = 0
        self.events = []
        self.unread = b""

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="herald-chromium-")
        commands_out, self.commands = os.pipe()
        self.answers, answers_in = os.pipe()

        def connect():                   # Chromium reads commands from 3 and answers on 4
            high = [os.dup2(commands_out, 103), os.dup2(answers_in, 104)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [*self.launcher, PROGRAM, *self.flags, "--user-data-dir=" + self.profile, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=connect, pass_fds=(3, 4), start_new_session=True)
        os.close(commands_out)
        os.close(answers_in)
        os.set_blocking(self.answers, False)
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(timeout=10)
        os.close(self.commands)
        os.close(self.answers)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _message(self, deadline):
        """The next message, or None at the deadline."""
        while b"\0" not in self.unread:
            try:
                data = os.read(self.answers, 1 << 16)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.005)
                continue
            if not data:
                raise RuntimeError("Chromium ended (status %s)" % self.process.poll())
            self.unread += data
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def command(self, method, session=None, **params):
        """Sends a command and returns its result; events that come before it are kept."""
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.limit_s
        while True:
            answer = self._message(deadline)
            if answer is None:
                raise TimeoutError("%s: no answer within %d s" % (method, self.limit_s))
            if answer.get("id") != self.next_id:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError("%s: %s" % (method, answer["error"]["message"]))
            else:
                return answer["result"]

    def _wait(self, session, wanted):
        """Waits for an event that `wanted` accepts, those already here included."""
        deadline = time.monotonic() + self.limit_s
        while True:
            for event in self.events:
                if event.get("sessionId") == session and wanted(event):
                    return
            event = self._message(deadline)
            if event is None:
                raise TimeoutError("the page did not come to rest within %d s" % self.limit_s)
            self.events.append(event)

    def load(self, url):
        """Opens `url` in a new tab, waits until nothing more is requested, and closes it again.

        Returns a list of (URL, render-blocking status, initiator), from the page's resource timing.
        """
        return [tuple(entry) for entry in self.ask(url, ENTRIES)]

    def timings(self, url, fresh=False):
        """The same with the cache in use, or with a profile that knows nothing yet.

        Returns the performance entries: (navigation, resources).
        """
        entries = self.ask(url, TIMINGS, cache=True, fresh=fresh)
        return entries[0], entries[1:]

    def ask(self, url, expression, cache=False, fresh=False):
        """Loads a page, and returns what `expression`, which makes JSON, says there in the end."""
        own = {}
        if fresh:
            own["browserContextId"] = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", **own)["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.command("Page.enable", session)
        self.command("Network.enable", session)
        self.command("Network.setCacheDisabled", session, cacheDisabled=not cache)
        self.command("Page.setLifecycleEventsEnabled", session, enabled=True)
        self.events.clear()
        loader = self.command("Page.navigate", session, url=url)["loaderId"]
        self._wait(session, lambda e: e["method"] == "Page.lifecycleEvent"
                   and e["params"]["name"] == "networkIdle"
                   and e["params"]["loaderId"] == loader)
        result = self.command("Runtime.evaluate", session, expression=expression)
        self.command("Target.closeTarget", targetId=target)
        if fresh:
            self.command("Target.disposeBrowserContext", **own)
        return json.loads(result["result"]["value"])
