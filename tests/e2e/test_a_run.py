"""herald starts, serves on both kinds of listener, says what is wrong with a config, and stops."""
import json
import re
import signal
import socket
import subprocess

import pytest

import server

pytestmark = pytest.mark.quick


@pytest.mark.asan
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_page_is_served(herald, connect, tls):
    page = herald()
    client = connect(page, tls=tls)
    answer = client.get("/")
    assert answer.status == 200
    assert bytes(answer.body) == page.root.read("/index.html")
    assert answer.field("content-type").startswith("text/html")


def test_ready_comes_with_the_urls(herald):
    running = herald()
    said = "\n".join(running.out)
    assert "https://" in said and ":%d" % running.tls_port in said
    assert "http://" in said and ":%d" % running.h2c_port in said


def test_as_many_workers_as_configured(herald):
    assert len(herald(workers=3).workers()) == 3


def test_workers_have_no_privileges(herald):
    running = herald()
    for pid in running.workers():
        with open("/proc/%d/status" % pid) as status:
            fields = dict(line.split(":", 1) for line in status.read().splitlines())
        assert fields["Uid"].split() != ["0"] * 4 and fields["Uid"].split()[0] != "0"
        assert int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT],
                         ids=["TERM", "QUIT", "INT"])
def test_an_idle_server_ends_with_status_0(herald, number):
    herald().stop(number)


def test_it_starts_again_on_the_same_ports(herald, connect):
    running = herald()
    assert connect(running).get("/").status == 200
    running.stop()
    running.start()
    assert connect(running).get("/").status == 200


def test_a_second_one_on_the_same_port_is_refused(herald):
    running = herald()
    other = running.command("run")
    assert other.returncode == 1
    assert str(running.tls_port) in other.stderr or str(running.h2c_port) in other.stderr
    running.check_running()


LISTEN = 'listen = { "127.0.0.1:@H2C@" }'


def check(herald, text, *words):
    """`herald check` refuses the config with one line that holds all of `words`."""
    made = herald(config=text + "\n" + LISTEN, start=False)
    done = made.command("check")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1, done
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], "%r is not in %r" % (word, lines[0])


def test_check_accepts_a_good_config(herald):
    done = herald(start=False).command("check")
    assert (done.returncode, done.stderr) == (0, "")


def test_check_prints_the_resolved_config(herald):
    made = herald(start=False)
    done = made.command("check", "--print")
    assert done.returncode == 0, done.stderr
    assert made.root.directory in done.stdout
    assert "max_streams" in done.stdout, "the defaults are part of it"


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(herald):
    text = 'workers = 1\nworkrs = 2\nsite { names = { "*" }, root = "@ROOT@" }\n'
    check(herald, text, "herald.lua:2", "workrs", "workers")


def test_an_unknown_key_of_a_site_is_named(herald):
    text = 'site {\n  names = { "*" },\n  rot = "@ROOT@",\n}\n'
    check(herald, text, "herald.lua", "rot", "root")


def test_a_wrong_type_is_named(herald):
    check(herald, 'workers = { 1 }\nsite { names = { "*" }, root = "@ROOT@" }\n',
          "herald.lua", "workers")


def test_a_syntax_error_has_its_line(herald):
    check(herald, 'workers = 1\nsite { names = = }\n', "herald.lua:2")


def test_a_missing_root_is_named(herald):
    check(herald, 'site { names = { "*" }, root = "@DIR@/nowhere" }\n', "nowhere")


def test_a_bad_certificate_is_named(herald):
    text = server.config_text().replace("@CERT@", "@KEY@")
    check(herald, text, "key.pem")


def test_a_missing_certificate_is_named(herald):
    text = server.config_text().replace("@CERT@", "@DIR@/none.pem")
    check(herald, text, "none.pem")


def test_a_missing_config_is_named(herald):
    made = herald(start=False)
    made.config_path += ".none"
    done = made.command("check")
    assert done.returncode == 1
    assert "herald.lua.none" in done.stderr


def test_the_config_has_no_input_and_output(herald):
    check(herald, 'local f = io.open("/etc/passwd")\nsite { names = { "*" }, root = "@ROOT@" }\n',
          "herald.lua:1", "io")


def test_an_unknown_command_is_a_usage_error(herald):
    assert herald(start=False).command("frobnicate", config=False).returncode == 2


def test_version_is_told(herald):
    done = herald(start=False).command("version", config=False)
    assert done.returncode == 0
    assert re.fullmatch(r"herald [\d.]+\nOpenSSL 3[\d.]+ \(loaded\)\n"
                        r"nghttp2 1[\d.]+ \((linked in|loaded)\)\nlibcurl [\d.]+ \(loaded\)\n", done.stdout)
    told = json.loads(herald(start=False).command("version", "--json", config=False).stdout)
    loaded = "libnghttp2" in subprocess.run(["readelf", "-d", server.BINARY], check=True, text=True,
                                            stdout=subprocess.PIPE, timeout=60).stdout
    assert told["ok"] and told["nghttp2_linked_in"] is not loaded
    assert "nghttp2 %s (" % told["nghttp2"] in done.stdout


def test_a_port_in_use_is_named(herald):
    made = herald(start=False)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((server.ADDRESS, made.h2c_port))
        squatter.listen()
        done = made.command("run")
    assert done.returncode == 1
    assert str(made.h2c_port) in done.stderr


def test_without_a_config_it_serves_a_directory(herald):
    """`herald run --root DIR` takes everything else from the defaults."""
    made = herald(start=False)
    done = made.command("check", "--root", made.root.directory, config=False)
    assert done.returncode == 0, done.stderr
