"""`herald client show` and `forget`: what the server believes of one client, for people."""
import concurrent.futures
import json
import os
import socket

import pytest

import server
from crowd import Crowd, check, pushload_is_built, serve  # noqa: F401
from server import wait_until
from webroot import ASSETS, LIGHT_ASSETS

HOUR = 3600
DAY = 24 * HOUR
TICK = 256


def client_of(site, path="/", nth=1):
    return site.page_entry(path, nth).client


def show(site, client, *options):
    done = site.command("client", "show", client, "--json", *options)
    answer = json.loads(done.stdout)
    assert answer["ok"] and done.returncode == 0, done.stdout + done.stderr
    return answer


def entries(site, client):
    return {entry["path"]: entry for entry in show(site, client)["entries"]}


def states(site, client):
    return {path: entry["state"] for path, entry in entries(site, client).items()}


def refused(site, *words):
    """The status and message of a client command that herald refuses."""
    done = site.command("client", *words)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert done.stderr.startswith("herald")
    return done.returncode, done.stderr


def visit_once(site, *options, **kwargs):
    crowd = Crowd(site, clients=1, **kwargs)
    report = crowd.run(*options)
    return crowd, report


def test_show_lists_what_was_pushed_with_its_age_and_end(herald):
    site = serve(herald)
    crowd, report = visit_once(site)
    check(report)
    answer = show(site, client_of(site))
    assert answer["site"] == "*" and answer["complete"] and answer["unlisted"] == 0
    assert answer["known"] >= len(ASSETS)
    held = {entry["path"]: entry for entry in answer["entries"]}
    assert set(ASSETS) <= set(held)
    for path in ASSETS:
        assert held[path]["state"] == "held" and held[path]["probation"]
        assert HOUR - 30 <= held[path]["left_s"] <= HOUR + TICK
        assert held[path]["age_s"] <= 30
    check(crowd.run())                       # it comes back
    held = entries(site, client_of(site))
    for path in ASSETS:
        assert not held[path]["probation"]
        assert 30 * DAY - 60 <= held[path]["left_s"] <= 30 * DAY + 2 * TICK


def test_show_prints_a_table(herald):
    site = serve(herald)
    visit_once(site)
    done = site.command("client", "show", client_of(site))
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("client %s of *, " % client_of(site))
    assert lines[2].split() == ["state", "since", "expires", "in", "path"]
    assert sorted(line.split()[-1] for line in lines if line.startswith("held")) == sorted(
        [*ASSETS, "/"])
    assert "probation" in lines[-1]


def test_a_ticket_client_is_shown_like_any_other(herald):
    site = serve(herald)
    crowd = Crowd(site, clients=1)
    check(crowd.run("--cookies", "off", "--resume", "on", "--visits", 1, jar=False))
    assert entries(site, client_of(site))[ASSETS[0]]["left_s"] <= HOUR + TICK
    report = crowd.run("--cookies", "off", "--resume", "on", "--visits", 2, jar=False)
    check(report)
    assert client_of(site, nth=2) == client_of(site, nth=3), "known again by its ticket"
    assert entries(site, client_of(site, nth=3))[ASSETS[0]]["left_s"] > 29 * DAY


def test_what_changed_on_disk_is_stale_and_what_was_cancelled_is_declined(herald):
    site = serve(herald)
    visit_once(site, "--cancel", 100)
    client = client_of(site)
    declined = {path for path, state in states(site, client).items() if state == "declined"}
    assert declined and declined <= set(ASSETS)
    visit_once(site, name="other")
    client = client_of(site, nth=2)
    site.root.write("/assets/site.css", b"body { color: teal }\n" * 300)
    large = "/assets/hero.jpg"
    assert states(site, client)["/assets/site.css"] == "stale"
    assert states(site, client)[large] == "held"
    site.root.asset(large, 900000)           # too large to be known by its bytes
    assert states(site, client)[large] == "stale"


def test_a_large_file_is_held_as_long_as_it_is_not_touched(herald):
    site = serve(herald)
    site.root.asset("/assets/hero.jpg", 900000)
    visit_once(site)
    assert states(site, client_of(site))["/assets/hero.jpg"] == "held"


def test_what_was_forgotten_is_pushed_again(herald):
    site = serve(herald)
    crowd, report = visit_once(site)
    check(report)
    _, other_report = visit_once(site, name="other")
    check(other_report)
    client, other = client_of(site, nth=1), client_of(site, nth=2)
    done = site.command("client", "forget", client)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "client %s of *: %d entries removed\n" % (client, len(ASSETS) + 1)
    assert refused(site, "show", client)[0] == 1
    assert len(entries(site, other)) == len(ASSETS) + 1, "the other client keeps its entries"
    assert crowd.promised(crowd.run()) == {path: 1 for path in ASSETS}
    done = site.command("client", "forget", client, "--json")
    assert json.loads(done.stdout)["removed"] == len(ASSETS) + 1


def test_names_that_need_encoding_are_found(herald):
    odd = ["/assets/a%20b.css", "/assets/%C3%A9.js", "/docs/"]
    site = serve(herald, pushes={"/": odd})
    site.root.write("/assets/a b.css", b"a { b: c }\n")
    site.root.write("/assets/\u00e9.js", b"1;\n")
    site.root.write("/docs/index.html", b"<p>docs\n")
    _, report = visit_once(site, assets=odd)
    check(report)
    found = states(site, client_of(site))
    assert {path: found[path] for path in odd} == {path: "held" for path in odd}


def two_sites(herald):
    keys = {"names": ["other.test"], "root": "@DIR@/elsewhere", "policies": ["pages.lua"]}
    site = herald(start=False, workers=1, pushes={"/": list(LIGHT_ASSETS)},
                  site={"names": ["one.test"]}, more="site " + server.to_lua(keys))
    folder = os.path.join(site.directory, "elsewhere", "assets")
    os.makedirs(folder)
    for path in ["/index.html", *LIGHT_ASSETS]:
        with open(os.path.join(site.directory, "elsewhere", path[1:]), "w") as file:
            file.write("body { color: teal }\n")
    server.start(site)
    for name in ("one.test", "other.test"):
        crowd = Crowd(site, clients=1, name=name, tls=False, assets=LIGHT_ASSETS)
        check(crowd.run("--authority", name))
    return site


def test_an_id_is_of_one_site(herald):
    site = two_sites(herald)
    one, other = client_of(site, nth=1), client_of(site, nth=2)
    assert show(site, one)["site"] == "one.test"
    assert show(site, other)["site"] == "other.test"
    assert show(site, other, "--site", "other.test")["site"] == "other.test"
    assert refused(site, "show", other, "--site", "one.test") == (
        1, "herald: client %s is of the site other.test, not of one.test\n" % other)
    assert refused(site, "forget", other, "--site", "one.test")[0] == 1
    assert show(site, other)["entries"], "nothing was removed"
    status, said = refused(site, "show", one, "--site", "one.tset")
    assert status == 1 and 'there is no site "one.tset"; did you mean "one.test"?' in said


def test_an_unknown_id_is_refused(herald):
    site = serve(herald)
    status, said = refused(site, "show", "0123456789abcdef")
    assert status == 1
    assert said.startswith("herald: nothing is known of client 0123456789abcdef: none of the ")
    done = site.command("client", "show", "0123456789abcdef", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize("id_", ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF",
                                 "../../etc/passwd", "\u00e9" * 16])
def test_what_is_no_id_is_a_usage_error(herald, id_):
    site = serve(herald)
    status, said = refused(site, "show", id_)
    assert status == 2 and "is no client id: these are the 16 hexadecimal digits" in said


@pytest.mark.parametrize("words, said", [
    (["show"], "ID is missing"),
    ([], "usage: herald client VERB"),
    (["shwo", "0123456789abcdef"], "unknown verb 'shwo'; did you mean 'show'? Or try"),
    (["show", "0123456789abcdef", "more"], "unknown argument 'more'"),
])
def test_half_a_command_is_a_usage_error(herald, words, said):
    site = serve(herald)
    done = site.command("client", *words, config=False)
    assert done.returncode == 2 and said in done.stderr


def test_without_a_running_herald_it_says_so(herald):
    site = serve(herald)
    site.stop()
    site.ended = True
    status, said = refused(site, "show", "0123456789abcdef")
    assert status == 1 and "is it running?" in said


def test_the_control_socket_answers_nonsense_in_words(herald):
    site = serve(herald)
    for request, error in (({"verb": "client"}, '"do" is "show" or "forget"'),
                           ({"verb": "client", "do": "show"}, '"" is no client id'),
                           ({"verb": "client", "do": "show", "id": 7}, '"" is no client id'),
                           ({"verb": "clients"}, 'did you mean "client"?')):
        answer = control(site, request)
        assert answer["ok"] is False and error in answer["error"]


def control(site, request):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(site.control)
        connection.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(connection.makefile().readline())


def test_two_look_ups_at_once_leave_the_master_well(herald):
    """Whichever comes second is answered or told to try again."""
    site = serve(herald)
    visit_once(site)
    client = client_of(site)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda _: control(site, {"verb": "client", "do": "show", "id": client}), range(8)))
    assert any(answer["ok"] for answer in answers)
    assert all(answer["ok"] or "try again" in answer["error"] for answer in answers)
    wait_until(lambda: entries(site, client), 5, "an answer afterwards")
