"""The scripts of tests/policy/hostile on a running herald: put in the place of its one policy, loaded,
used. The tests and bench/hostile-policies share this."""
import json
import os
import re

import server
from versions import Versions

FOLDER = os.path.join(server.TOP, "tests", "policy", "hostile")
EVENTS = {"soft": "policy_soft_deadlines", "hard": "policy_hard_deadlines",
          "memory": "policy_memory", "error": "policy_errors"}
NO_QUARANTINE = {"soft_strikes": 0, "hard_strikes": 0, "failures": 0}


def expected():
    """The scripts' names and how each ends, as EXPECTED says."""
    with open(os.path.join(FOLDER, "EXPECTED")) as lines:
        return dict(re.match(r"(\w+): (.*)", line).groups() for line in lines if line[0] != "#")


def source(name):
    with open(os.path.join(FOLDER, name + ".lua"), "rb") as file:
        return file.read()


class Hostile(Versions):
    """A herald of one worker, which honest clients and those of the hostile policy share. No policy
    is asked about /hello.txt."""

    def __init__(self, herald, policy=None):
        super().__init__(herald, workers=1, policy={"keep": 3, **(policy or {})},
                         routes={"/hello.txt": {"policies": []}})
        self.site.root.write("/hello.txt", b"hello\n")
        self.h2c_port, self.address, self.authority = (
            self.site.h2c_port, server.ADDRESS, self.site.authority)

    def put(self, name):
        path = os.path.join(self.site.policy_dir, "own.lua")
        with open(path + ".new", "wb") as file:
            file.write(source(name))
        os.rename(path + ".new", path)

    def try_load(self, name):
        """Loads it: the version's number, or what the operator is told."""
        self.put(name)
        done = self.run("load", "--json")
        if done.returncode == 0:
            return json.loads(done.stdout)["version"], ""
        return 0, (done.stdout + done.stderr).strip()

    def events(self):
        """How often hooks failed so far, by how."""
        counters = self.status()["counters"]
        return {event: counters[counter] for event, counter in EVENTS.items()}

    def status(self):
        return json.loads(self.site.command("status", "--json").stdout)
