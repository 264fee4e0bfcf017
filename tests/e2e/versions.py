"""What the tests of versions share: policies to edit, and the verbs of `herald policy`."""
import json
import os

CSS, JS = "/assets/light.css", "/assets/light.js"
PAGE = "/light.html"


def pushes(*assets, more=""):
    """A policy that proposes these assets for every page."""
    return "return { api = 1, on_request = function(req, push)\n%s%s\nend }\n" % (
        more, "\n".join('  push:add("%s")' % asset for asset in assets))


class Versions:
    """The policies of a herald, as its operator sees them. Its one policy is `own.lua`."""

    def __init__(self, herald, **kwargs):
        top = {"policy": {"dir": "@DIR@/policies", **kwargs.pop("policy", {})}}
        files = kwargs.pop("policy_files", {"own.lua": pushes(CSS)})
        self.site = herald(policies=kwargs.pop("policies", ["own.lua"]), policy_files=files,
                           top=top, **kwargs)

    def write(self, source, name="own.lua"):
        """As editors save: another file, renamed over the old one."""
        path = os.path.join(self.site.policy_dir, name)
        with open(path + ".new", "w") as file:
            file.write(source)
        os.rename(path + ".new", path)

    def run(self, *words):
        """`herald policy words…`: the finished process."""
        return self.site.command("policy", *words)

    def ask(self, *words):
        """The same, which must succeed: its answer as an object."""
        done = self.site.command("policy", *words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def load(self, source, *words):
        self.write(source)
        return self.ask("load", *words)

    def state(self):
        return self.ask("list")["policy"]

    def version(self, number):
        return {v["number"]: v for v in self.state()["versions"]}.get(number)
