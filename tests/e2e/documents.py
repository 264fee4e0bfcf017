"""The examples of the README files and manual pages: Lua, commands, and what stands in between."""
import os
import re

import server

MANUALS = ("lua/herald-policy.7", "master/herald.conf.5", "master/herald.8")
READMES = ("README.md", "lua/README.md", "policy/README.md", "master/README.md", "worker/README.md",
           "bench/README.md", "tests/README.md")


class Example:
    """A piece of a document, and where it stands."""

    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text

    def __repr__(self):                  # pytest shows it as the test's id
        return "%s:%d" % (self.path, self.line)


def read(path):
    with open(os.path.join(server.TOP, path)) as file:
        return file.read()


def fenced(path, language):
    """The blocks of a README that are marked as being in this language."""
    text = read(path)
    return [Example(path, text.count("\n", 0, match.start()) + 2, match.group(1))
            for match in re.finditer(r"^```%s\n(.*?)^```$" % language, text, re.M | re.S)]


def plain(roff):
    """What a line of roff prints."""
    return roff.replace("\\-", "-").replace("\\(dq", '"').replace("\\&", "").replace("\\e", "\\")


def displayed(path):
    """The blocks that a manual page shows as they are."""
    found, block, start = [], None, 0
    for number, line in enumerate(read(path).splitlines(), 1):
        if line in (".nf", ".EX"):
            block, start = [], number + 1
        elif line in (".fi", ".EE") and block is not None:
            found.append(Example(path, start, "\n".join(block) + "\n"))
            block = None
        elif block is not None and not line.startswith("."):
            block.append(plain(line))
    return found


def lua(path):
    """The Lua examples of a document."""
    if path.endswith(".md"):
        return fenced(path, "lua")
    return [one for one in displayed(path) if kind(one.text)]


def kind(text):
    """Whether an example is a "policy", its "spec", a "config", a "site"'s keys, or None of these."""
    code = re.sub(r"--.*", "", text).strip()
    if re.match(r"return \{", code) and re.search(r'\{ "', code) and "on_" not in code:
        return "spec"
    if code.startswith("return"):
        return "policy"
    if re.search(r"^(site \{|listen\b|policy\b)", code, re.M):
        return "config"
    return "site" if re.match(r"policies\b|push\b|routes\b", code) else None


def inline(path):
    """What a README says in backquotes."""
    text = re.sub(r"^```.*?^```$", lambda m: "\n" * m.group().count("\n"), read(path), flags=re.M | re.S)
    return [Example(path, text.count("\n", 0, match.start()) + 1, match.group(1))
            for match in re.finditer(r"`([^`\n]+)`", text)]


def commands(path):
    """The commands that a README shows, each on an indented line, with its comment cut off."""
    found = []
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r"    (?=(?:make|nghttp|\./herald|echo) )(.*?)(?:\s+# .*)?$", line)
        if match:
            found.append(Example(path, number, match.group(1)))
    return found
