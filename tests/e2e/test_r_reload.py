"""Reload, drain and stop, while clients are at it."""
import json
import os
import signal
import time

import pytest

import server
from h2client import NO_ERROR, WINDOW_MAX, Client, visit_once
from load import Load
from webroot import LIGHT_ASSETS, binary_bytes

RELOADS = 20 if server.SOAK else 5


def begun(client, path="/large.bin"):
    """A download that waits for its window after 64 KiB."""
    stream = client.request(path)
    client.wait(lambda: len(stream.body) >= 65535, "the first window")
    return stream


def finish(client, stream, data):
    client.open_window(1 << 26, stream)
    client.wait_done(stream, seconds=30)
    assert stream.ended and bytes(stream.body) == data


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_reloads_under_load_fail_no_request(herald, tls):
    site = herald(workers=2)
    with Load(site, threads=6, tls=tls, paths=("/hello.txt", "/light.html")) as load:
        load.wait_done(200)
        for _ in range(RELOADS):
            site.reload()
            load.wait_done(100)
    assert load.refused == [], "a connect was refused"
    assert load.wrong == []
    assert [c.fault for c in load.faults()] == []
    assert load.goaways >= RELOADS


def test_each_connection_after_a_reload_is_answered(herald):
    """One at a time: no further connection comes by to wake a worker that has overlooked one."""
    site = herald(workers=2)
    for _ in range(200 if server.SOAK else 40):
        assert site.command("reload").returncode == 0
        site.workers_may_change = True
        for _ in range(4):
            client = Client(site, timeout=3)
            assert client.get("/hello.txt").status == 200
            client.close()


def test_a_reload_brings_the_new_config(herald):
    site = herald(routes={"/hello.txt": {"cache_control": "max-age=1"}})
    assert visit_once(site, "/hello.txt").page.field("cache-control") == "max-age=1"
    server.write_config(site, server.config_text(
        routes={"/hello.txt": {"cache_control": "max-age=2"}}))
    site.reload()
    for _ in range(4):
        assert visit_once(site, "/hello.txt").page.field("cache-control") == "max-age=2"


def test_a_reload_brings_the_new_policy(herald, connect):
    site = herald(pushes={"/light.html": [LIGHT_ASSETS[0]]})
    assert visit_once(site, "/light.html").paths() == [LIGHT_ASSETS[0]]
    with open(site.policy_dir + "/pages.lua", "w") as file:
        file.write(server.push_policy({"/light.html": [LIGHT_ASSETS[1]]}))
    site.reload()
    assert visit_once(site, "/light.html").paths() == [LIGHT_ASSETS[1]]


def test_a_reload_can_change_the_number_of_workers(herald):
    site = herald(workers=2)
    with Load(site, threads=4) as load:
        load.wait_done(100)
        for count in (4, 1, 2):
            server.write_config(site, server.config_text(workers=count))
            site.workers_may_change = True
            before = site.workers()
            site.send_signal(signal.SIGHUP)
            server.wait_until(lambda: len(site.workers()) == count
                              and not site.workers() & before, 30, "%d workers" % count)
            load.wait_done(100)
    assert load.refused == [] and load.wrong == []
    assert [c.fault for c in load.faults()] == []


@pytest.mark.quick
@pytest.mark.asan
@pytest.mark.parametrize("spoil,word", [
    (lambda text: "this is not Lua\n" + text, r"herald\.lua:1"),
    (lambda text: text.replace("@ROOT@", "@DIR@/nowhere"), "nowhere"),
    (lambda text: "workres = 3\n" + text, r"herald\.lua:1.*workres.*workers"),
    (lambda text: text.replace("@CERT@", "@DIR@/none.pem"), r"none\.pem"),
    (lambda text: text.replace('"pages.lua"', '"none.lua"'), r"none\.lua"),
    (lambda text: text + '\nsite { names = { "app.test" }, origin = { "https://127.0.0.1:1", '
                         'ca = "@ROOT@/hello.txt" } }\n',
     r"herald\.lua:\d+: origin\.ca \".*hello\.txt\" has no PEM certificate"),
], ids=["syntax", "root", "key", "certificate", "policy", "authorities"])
def test_a_config_that_does_not_load_leaves_the_old_one_serving(herald, connect, spoil, word):
    site = herald(pushes={})
    client = connect(site)
    assert client.get("/hello.txt").status == 200
    workers, said = site.workers(), len(site.err)
    server.write_config(site, spoil(server.config_text(policies=["pages.lua"])))
    site.send_signal(signal.SIGHUP)
    site.wait_error(word, since=said)
    assert client.get("/hello.txt").status == 200
    assert client.goaways == []
    assert visit_once(site, "/hello.txt").page.status == 200
    assert site.workers() == workers


@pytest.mark.asan
def test_a_reload_drains_what_is_under_way(herald, connect):
    site = herald(workers=1)
    data = site.root.write("/large.bin", binary_bytes("drain", 4 << 20))
    client = connect(site, window=65535, manual=True, connection_window=1 << 26)
    stream = begun(client)
    (old,) = site.workers()
    site.workers_may_change = True
    site.send_signal(signal.SIGHUP)
    client.wait(lambda: client.goaways, "GOAWAY")
    assert client.goaways[0] == (WINDOW_MAX, NO_ERROR), "in two steps: first a notice"
    server.wait_until(lambda: site.workers() - {old}, 10, "the new worker")
    assert visit_once(site, "/hello.txt").page.status == 200
    assert server.alive(old)
    finish(client, stream, data)
    client.wait_closed(10)
    assert client.goaways[-1] == (stream.id, NO_ERROR)
    server.wait_until(lambda: not server.alive(old), 10, "the end of the drained worker")


def test_a_drain_ends_by_its_deadline(herald, connect):
    site = herald(workers=1, limits={"drain": "1s"})
    site.root.write("/large.bin", binary_bytes("deadline", 4 << 20))
    client = connect(site, window=65535, manual=True)
    begun(client)
    site.reload(seconds=10)


def test_idle_connections_are_told_and_closed_at_a_reload(herald, connect):
    site = herald()
    clients = [connect(site, tls=n % 2 == 0) for n in range(4)]
    for client in clients:
        client.get("/hello.txt")
    site.reload()
    for client in clients:
        client.wait_closed(10)
        assert client.goaways and {code for _, code in client.goaways} == {NO_ERROR}


@pytest.mark.quick
@pytest.mark.asan
def test_quit_finishes_what_is_under_way(herald, connect):
    site = herald()
    data = site.root.write("/large.bin", binary_bytes("quit", 4 << 20))
    client = connect(site, window=65535, manual=True, connection_window=1 << 26)
    stream = begun(client)
    site.send_signal(signal.SIGQUIT)
    client.wait(lambda: client.goaways, "GOAWAY")
    finish(client, stream, data)
    assert site.wait_exit() == 0


@pytest.mark.quick
def test_term_does_not_wait(herald, connect):
    site = herald()
    site.root.write("/large.bin", binary_bytes("term", 4 << 20))
    client = connect(site, window=65535, manual=True)
    begun(client)
    start = time.monotonic()
    site.stop(signal.SIGTERM)
    assert time.monotonic() - start < server.patience(3)


@pytest.mark.quick
def test_usr1_reopens_the_log(herald):
    site = herald()
    visit_once(site, "/hello.txt")
    site.page_entry("/hello.txt")
    os.rename(site.access_log, site.access_log + ".1")
    site.send_signal(signal.SIGUSR1)
    server.wait_until(lambda: os.path.exists(site.access_log), 5, "a new log")
    visit_once(site, "/light.html")
    site.page_entry("/light.html")


# ---- the commands ----

@pytest.mark.quick
def test_status_tells_of_the_workers(herald):
    site = herald(workers=2)
    done = site.command("status", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for pid in site.workers():
        assert str(pid) in json.dumps(told)
    assert site.command("status").returncode == 0


def test_the_reload_command_answers_when_it_is_done(herald):
    site = herald()
    before = site.workers()
    site.workers_may_change = True
    done = site.command("reload")
    assert done.returncode == 0, done.stderr
    assert site.workers() - before, "the new generation is there"
    server.write_config(site, "not Lua")
    done = site.command("reload")
    assert done.returncode == 1
    assert "herald.lua:1" in done.stderr
    assert visit_once(site, "/hello.txt").page.status == 200


def test_the_stop_command_stops_it(herald):
    site = herald()
    assert site.command("stop").returncode == 0
    assert site.wait_exit() == 0


def test_commands_without_a_server_say_so(herald):
    made = herald(start=False)
    for word in ("status", "reload", "stop"):
        done = made.command(word)
        assert done.returncode == 1, word
        assert "herald.sock" in done.stderr, done.stderr
