"""What a hostile peer, policy, file system or operator may try besides floods."""
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import server
from h2client import Client, Cookies, tls_context, visit_once
from webroot import ASSETS, LIGHT_ASSETS

PAGES = {"/": list(ASSETS[:3]), "/light.html": list(LIGHT_ASSETS)}


# ---- push as a weapon: the policy's proposals, the client's claims ----------------------------

EVIL = ("//evil.test/a.css", "https://evil.test/a.css", "http://localhost/a.css", "/../etc/passwd",
        "/%2e%2e/etc/passwd", "/assets/%00.css", "/assets/a\\..\\b", "assets/site.css", "",
        "javascript:alert(1)", "/assets/si te.css", "/assets/\nx: y", "/a" * 3000)


def test_a_policy_cannot_push_what_is_not_the_sites_own(herald):
    site = herald(pushes={"/": list(EVIL) + [ASSETS[0]]})
    visit = visit_once(site)
    assert visit.paths() == [ASSETS[0]]
    verdicts = dict(site.page_entry("/").pushes)
    assert not [path for path, verdict in verdicts.items()
                if verdict == server.PUSHED and path != ASSETS[0]]


def test_a_page_that_proposes_itself_is_not_pushed_with_itself(herald):
    site = herald(pushes={"/": ["/", "/index.html", ASSETS[0]]})
    visit = visit_once(site)
    assert "/" not in visit.paths() and ASSETS[0] in visit.paths()


def test_pushed_pages_push_nothing_themselves(herald, connect):
    site = herald(pushes={"/": ["/light.html"], "/light.html": ["/"]})
    client = connect(site)
    visit = client.visit("/")
    assert visit.paths() == ["/light.html"]
    assert not [s for s in visit.pushed.values() if s.promises]


@pytest.mark.parametrize("cache_control", ["no-store", "private", "private, max-age=60"])
def test_what_only_one_client_may_keep_is_not_pushed(herald, cache_control):
    site = herald(pushes={"/": [ASSETS[0]]},
                  routes={"/assets/*": {"cache_control": cache_control}})
    assert visit_once(site).paths() == []


def test_a_page_asked_for_with_credentials_promises_without_them(herald, connect):
    site = herald(pushes=PAGES)
    client = connect(site)
    visit = client.visit("/", fields=[("authorization", "Basic c2VjcmV0OnNlY3JldA=="),
                                      ("cookie", "session=secret")])
    assert visit.paths() == sorted(PAGES["/"])
    for pushed in visit.pushed.values():
        names = [name for name, _ in pushed.promised]
        assert not {"authorization", "cookie"} & set(names)
        assert not [value for _, value in pushed.promised if "secret" in value]


def test_a_cookie_of_another_site_is_another_client_here(herald):
    """The same id at two sites: what the one pushed says nothing to the other."""
    site = herald(config=server.config_text(policies=["pages.lua"], more="""
site { names = { "www.herald.test" }, root = "@ROOT@", policies = { "pages.lua" } }
"""), policy_files={"pages.lua": server.push_policy(PAGES)})
    cookies = Cookies()
    there = {"host": "www.herald.test", "cookies": cookies, "tls": False}
    assert visit_once(site, **there).paths() == sorted(PAGES["/"])
    assert visit_once(site, **there).paths() == []
    here = Cookies(cookies)
    assert visit_once(site, cookies=here, tls=False).paths() == sorted(PAGES["/"])
    assert visit_once(site, cookies=here, tls=False).paths() == []
    assert visit_once(site, **there).paths() == []


def test_no_answer_depends_on_what_another_client_holds(herald):
    """A probe with every id but the other's own gets what a stranger gets."""
    site = herald(pushes=PAGES)
    known = Cookies()
    visit_once(site, cookies=known)
    (name, value), = known.items()
    strangers = visit_once(site).paths()
    for at in range(0, len(value), 5):
        flipped = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1:]
        assert visit_once(site, cookies=Cookies({name: flipped})).paths() == strangers
    assert visit_once(site, cookies=known).paths() == [], "while the other is known"


DEAR = """return {
  api = 1,
  on_request = function(req, push)
    local x = 0
    for i = 1, 400000 do x = (x * 31 + i) % 1000003 end
    if x >= 0 then push:add("/assets/site.css") end
  end,
}
"""


def test_pages_queued_on_one_connection_hold_up_no_other_connections_page(herald, connect):
    """Each page costs its policy milliseconds, and one client asks for a hundred at once: another
    one's page is decided after one of them, not after all."""
    site = herald(workers=1, policies=["dear.lua"], policy_files={"dear.lua": DEAR},
                  top={"policy": {"dir": "@DIR@/policies", "soft": "500ms", "hard": "1s"}})
    greedy, other = connect(site, tls=False), connect(site, tls=False)
    greedy.visit("/")
    other.visit("/")
    asked = [greedy.request("/") for _ in range(100)]
    greedy.wait(lambda: any(stream.done for stream in asked), "the first of the answers")
    other.get("/light.html")
    greedy.wait_done(*asked)
    server.wait_until(lambda: len(site.log()) == 103, 5, "every page's line of the log")
    ahead = [entry.path for entry in site.log()][2:].index("/light.html")
    assert ahead < 60, "%d pages went first" % ahead


# ---- files ------------------------------------------------------------------------------------

def test_a_path_that_races_between_a_file_and_a_link_out_never_leads_out(herald, connect, tmp_path):
    site = herald()
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"outside the root\n")
    os.chmod(tmp_path, 0o755)
    inside, path = b"inside the root\n", os.path.join(site.root.directory, "raced.txt")
    going = True

    def race():
        while going:
            for make in (lambda p: os.symlink(secret, p), lambda p: open(p, "wb").write(inside)):
                make(path + ".new")
                os.rename(path + ".new", path)
    thread = threading.Thread(target=race)
    thread.start()
    try:
        client = connect(site, tls=False)
        answers = set()
        for i in range(400):
            stream = client.get("/raced.txt?%d" % i)
            answers.add((stream.status, bytes(stream.body) if stream.status == 200 else b""))
    finally:
        going = False
        thread.join()
    assert all(body in (inside, b"") for status, body in answers if status == 200), answers
    assert {status for status, _ in answers} <= {200, 403, 404, 500}


def test_a_folder_that_races_with_a_link_out_never_leads_out(herald, connect, tmp_path):
    site = herald()
    os.chmod(tmp_path, 0o755)
    (tmp_path / "file.txt").write_bytes(b"outside")
    folder = os.path.join(site.root.directory, "raced")
    kept = os.path.join(site.root.directory, "kept")
    os.mkdir(kept)
    with open(os.path.join(kept, "file.txt"), "wb") as file:
        file.write(b"inside")
    going = True

    def race():
        while going:
            os.rename(kept, folder)
            os.rename(folder, kept)
            os.symlink(tmp_path, folder)
            os.unlink(folder)
    thread = threading.Thread(target=race)
    thread.start()
    try:
        client = connect(site, tls=False)
        for i in range(400):
            stream = client.get("/raced/file.txt")
            assert b"outside" not in bytes(stream.body)
    finally:
        going = False
        thread.join()


def test_a_precompressed_sibling_that_leads_out_is_not_served(herald, connect, tmp_path):
    site = herald()
    secret = tmp_path / "secret"
    secret.write_bytes(b"outside the root")
    os.chmod(tmp_path, 0o755)
    plain = site.root.write("/app.css", b"body { color: black }\n" * 40)
    os.symlink(secret, os.path.join(site.root.directory, "app.css.gz"))
    os.mkdir(os.path.join(site.root.directory, "app.css.br"))
    stream = connect(site).get("/app.css", fields=[("accept-encoding", "br, gzip")])
    assert stream.status == 200 and b"outside" not in bytes(stream.body)
    assert bytes(stream.body) == plain and not stream.field("content-encoding")


# ---- TLS --------------------------------------------------------------------------------------

def test_a_ticket_of_another_servers_key_is_no_session_and_no_client(herald):
    one, other = herald(pushes=PAGES), herald(pushes=PAGES)
    first = Client(one)
    first.visit("/")
    session, context = first.session, first.context
    first.close()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    again = Client(other, session=session, context=context)
    assert again.visit("/").paths() == sorted(PAGES["/"])
    assert not again.resumed
    again.close()


def test_early_data_is_refused_and_the_connection_goes_on(herald, tmp_path):
    site = herald()
    session, early = str(tmp_path / "session"), tmp_path / "early"
    early.write_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    common = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % site.tls_port, "-servername",
              server.HOST, "-alpn", "h2", "-tls1_3", "-ign_eof"]

    def run(*more):
        # The server ends it: s_client sends no preface, or one that is early and refused.
        return subprocess.run([*common, *more], input=b"x" * 24, capture_output=True,
                              timeout=server.patience(20)).stdout.decode(errors="replace")
    run("-sess_out", session)
    told = run("-sess_in", session, "-early_data", str(early))
    assert re.search(r"Early data was (not sent|rejected)", told), told[-400:]
    assert "Max Early Data: 0" in told or "Early data was" in told


def test_handshakes_that_are_broken_off_cost_nobody_else(herald, connect):
    site = herald(workers=1)
    client = connect(site)
    assert client.get("/hello.txt").status == 200
    worker, = site.workers()
    open_before = len(os.listdir("/proc/%d/fd" % worker))
    hello = ssl.MemoryBIO()
    session = tls_context(site.ca).wrap_bio(ssl.MemoryBIO(), hello, server_hostname=server.HOST)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    hello = hello.read()
    for _ in range(300):
        with socket.create_connection((server.ADDRESS, site.tls_port)) as peer:
            peer.sendall(hello)
    assert client.get("/hello.txt").status == 200
    server.wait_until(lambda: len(os.listdir("/proc/%d/fd" % worker)) <= open_before, 5,
                      "the descriptors of broken handshakes to be closed")


def test_garbage_instead_of_a_handshake_is_counted_and_closed(herald, connect):
    site = herald(workers=1, limits={"handshake": "1s"})
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 2000, bytes(500),
                 b"\x80\x2e\x01\x00\x02" + bytes(40), os.urandom(3000)):
        with socket.create_connection((server.ADDRESS, site.tls_port)) as peer:
            peer.settimeout(server.patience(10))
            try:
                peer.sendall(data)
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
    assert counters(site)["handshake_failures"] >= 4
    assert connect(site).get("/hello.txt").status == 200


# ---- resources run out ------------------------------------------------------------------------

def counters(site):
    return json.loads(site.command("status", "--json").stdout)["counters"]


def test_a_worker_without_descriptors_serves_those_it_has_and_recovers(herald, connect):
    site = herald(workers=1, start=False)
    site.launcher = ["prlimit", "--nofile=80:80"]
    server.start(site)
    client = connect(site, tls=False)
    assert client.get("/hello.txt").status == 200
    crowd = [socket.create_connection((server.ADDRESS, site.h2c_port)) for _ in range(100)]
    try:
        server.wait_until(lambda: counters(site)["accept_failures"] > 0, 5, "an accept that failed")
        assert client.get("/hello.txt").status == 200
    finally:
        for peer in crowd:
            peer.close()
    server.wait_until(lambda: Client(site, tls=False).get("/hello.txt").status == 200, 5,
                      "a new connection")


def test_a_log_on_a_full_disk_costs_lines_and_nothing_else(herald, connect):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    site = herald(config=server.config_text(top={"log": {"access": "/dev/full",
                                                        "error": "stderr"}}))
    client = connect(site)
    for _ in range(50):
        assert client.get("/hello.txt").status == 200
    server.wait_until(lambda: counters(site)["log_dropped"] > 0, 10, "dropped lines to be counted")
    assert client.get("/hello.txt").status == 200


def test_a_state_that_cannot_be_written_is_said_and_stops_nothing(herald):
    """As on a full disk, and as nobody may write: the table is not saved, the rest goes on."""
    site = herald(pushes=PAGES)
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "herald-test",
                              site.state_dir], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with open(os.path.join(site.state_dir, "filler"), "wb") as filler:
            try:
                filler.write(bytes(1 << 20))
            except OSError:
                pass
        visit_once(site)
        site.stop()
        site.ended = True
        assert any("save" in line and ("space" in line or "No" in line) for line in site.err), \
            site.err[-5:]
    finally:
        subprocess.run(["umount", site.state_dir], check=True)


# ---- one address ------------------------------------------------------------------------------

def refused(site):
    peer = socket.create_connection((server.ADDRESS, site.h2c_port))
    peer.settimeout(server.patience(3))
    try:
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        return not peer.recv(9)
    except ConnectionError:
        return True
    finally:
        peer.close()


def test_an_address_may_have_so_many_connections(herald, connect):
    site = herald(workers=1, limits={"address_connections": 5})
    clients = [connect(site, tls=False) for _ in range(5)]
    assert all(client.get("/hello.txt").status == 200 for client in clients)
    assert refused(site)
    assert counters(site)["limit_address"] == 1
    clients.pop().close()
    server.wait_until(lambda: not refused(site), 5, "room for another")


def test_an_address_may_begin_so_many_a_second(herald):
    site = herald(workers=1, limits={"address_rate": 20})
    began = time.monotonic()
    outcomes = [refused(site) for _ in range(40)]
    took = time.monotonic() - began
    assert not any(outcomes[:20])
    assert sum(outcomes) >= 40 - 20 - 20 * took - 1 and (took > 0.9 or any(outcomes))
    server.wait_until(lambda: not refused(site), 5, "the next second")


def test_without_the_limits_one_address_may_have_hundreds(herald):
    site = herald(workers=1)
    assert not any(refused(site) for _ in range(300))
