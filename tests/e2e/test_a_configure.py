"""./configure, as people call it again and again: also make demo and make check do."""
import os
import re
import shutil
import subprocess
import time

import pytest

from server import BINARY, TOP


@pytest.fixture
def folder(tmp_path):
    shutil.copy(os.path.join(TOP, "configure"), tmp_path)
    return tmp_path


def configure(folder, *arguments):
    """The time and the text of config.mk."""
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run(["./configure", *arguments], cwd=folder, env=environment, check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    made = folder / "config.mk"
    return made.stat().st_mtime_ns, made.read_text()


def test_a_config_that_is_the_same_keeps_its_time(folder):
    """Everything that is compiled depends on it."""
    first = configure(folder, "CFLAGS=-O1")
    assert configure(folder, "CFLAGS=-O1") == first
    time.sleep(0.02)
    changed = configure(folder, "CFLAGS=-O2", "LDFLAGS=-Wl,-O1")
    assert changed[0] > first[0]
    assert "CFLAGS = -O2\nLDFLAGS = -Wl,-O1\n" in changed[1]


def test_a_newer_configure_writes_it_anew(folder):
    first = configure(folder)
    time.sleep(0.02)
    os.utime(folder / "configure")
    assert configure(folder)[0] > first[0]
    assert sorted(entry.name for entry in folder.iterdir()) == ["config.mk", "configure"]


def test_what_was_given_is_kept_by_the_targets_that_configure_again(folder):
    """make check of somebody's own compiler and flags must not test other ones."""
    shutil.copy(os.path.join(TOP, "Makefile"), folder)
    configure(folder, "CFLAGS=-O1 -g", "PREFIX=/opt/herald")
    shown = subprocess.run(["make", "-n", "deps-build"], cwd=folder, check=True, text=True,
                           stdout=subprocess.PIPE, timeout=60).stdout
    assert "CFLAGS='-O1 -g'" in shown and "PREFIX='/opt/herald'" in shown


def test_without_an_optional_library_it_says_what_is_left_out(folder):
    names = folder / "bin"
    names.mkdir()
    (names / "pkg-config").write_text(
        '#!/bin/sh\ncase "$*" in *libbrotlidec*) exit 1 ;; esac\nexec %s "$@"\n' % shutil.which("pkg-config"))
    (names / "pkg-config").chmod(0o755)
    done = subprocess.run(["./configure"], cwd=folder, check=True, text=True, stdout=subprocess.PIPE,
                          env={"PATH": "%s:%s" % (names, os.environ["PATH"])}, timeout=60)
    assert "libbrotlidec: none, built without (Debian package: libbrotli-dev)" in done.stdout
    made = (folder / "config.mk").read_text()
    assert "BROTLI" not in made and "brotli" not in made and "-lz" in made


def linked_with(config):
    return next(line for line in config.splitlines() if line.startswith("LIB_LIBS = "))


def test_libnghttp2_is_linked_in_unless_the_shared_one_is_wanted(folder):
    assert re.search(r"--exclude-libs,libnghttp2\.a /\S*/libnghttp2\.a ", linked_with(configure(folder)[1]))
    shared = configure(folder, "NGHTTP2=shared")[1]
    assert " -lnghttp2 " in linked_with(shared) and "libnghttp2.a" not in shared
    shutil.copy(os.path.join(TOP, "Makefile"), folder)
    shown = subprocess.run(["make", "-n", "deps-build"], cwd=folder, check=True, text=True,
                           stdout=subprocess.PIPE, timeout=60).stdout
    assert "NGHTTP2='shared'" in shown


def test_another_way_of_linking_it_is_refused(folder):
    done = subprocess.run(["./configure", "NGHTTP2=both"], cwd=folder, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "NGHTTP2 is 'static' or 'shared', not 'both'" in done.stderr
    assert not (folder / "config.mk").exists()


def test_libcurl_does_not_use_heralds_own_libnghttp2():
    """It was built for the installed one, and may come to be given a newer one than herald has."""
    shown = subprocess.run(["nm", "-D", "--defined-only", BINARY], check=True, text=True,
                           stdout=subprocess.PIPE, timeout=60).stdout
    assert "stdout" in shown and "nghttp2" not in shown
