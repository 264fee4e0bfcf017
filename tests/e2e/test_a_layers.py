"""The rules of tests/layers can be broken."""
import os
import shutil
import subprocess
import sys

import pytest

import server

NAME = "of_no" + "_test"                 # a word that no test has in quotes


@pytest.fixture
def tree(tmp_path):
    """The tree, with a copy of master/ to break."""
    for room in ("policy", "worker", "tests"):
        os.symlink(os.path.join(server.TOP, room), tmp_path / room)
    shutil.copytree(os.path.join(server.TOP, "master"), tmp_path / "master")
    return tmp_path


def broken(tree):
    """The rules that are, with the first breach of each."""
    done = subprocess.run([sys.executable, os.path.join(server.TOP, "tests", "layers"), str(tree)],
                          capture_output=True, text=True)
    lines = done.stdout.splitlines()
    found = {line[len("not ok - "):]: lines[at + 1] for at, line in enumerate(lines)
             if line.startswith("not ok - ")}
    assert done.returncode == bool(found), done.stderr
    return found


@pytest.mark.quick
@pytest.mark.parametrize("path,more,rule", [
    ("handoff/counters.def", 'COUNTER(%s, "what nothing moves")', "every_counter_is_moved_by_a_test"),
    ("handoff/limits.def", 'LIMIT(%s, COUNT, 1, 1, 1, "nothing")', "every_limit_has_a_test"),
    ("handoff/span.h", '#include "worker/conn.h" /* %s */',
     "a_folder_includes_only_from_folders_before_it"),
    ("loop.c", "#include <openssl/ssl.h> /* %s */", "a_library_lives_in_its_room"),
    ("loop.c", "/* %s */\n" * 800, "a_file_holds_one_idea"),
])
def test_a_breach_is_told(tree, path, more, rule):
    with open(tree / "master" / path, "a") as file:
        file.write("\n" + more.replace("%s", NAME) + "\n")
    found = broken(tree)
    assert list(found) == [rule]
    assert NAME in found[rule] or path in found[rule]
