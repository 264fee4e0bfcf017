"""The instrument of bench/page itself: what it emulates is there, and what it counts is right."""
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import server

PAGE = os.path.join(server.TOP, "bench", "page")
sys.path.append(PAGE)
import cases    # noqa: E402
import lab      # noqa: E402
import pages    # noqa: E402
import report   # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

TRIES = 6       # a visit that the machine disturbed is made again
LINK = os.path.join(lab.BINARIES, "page_link")


class Bench:
    """A link with a server behind it, and its page."""

    def __init__(self, directory, make_site, settings):
        self.root = os.path.join(directory, "root")
        os.makedirs(self.root)
        make_site(pages.Site(self.root))
        self.link = lab.Link(**settings)
        self.server = None

    def start(self, policies='"scan"'):
        self.server = lab.Server(self.link, [cases.site(cases.WHOLE, self.root, policies),
                                             cases.site(cases.PLAIN, self.root)])
        if policies:
            self.visit(cases.WHOLE)         # herald reads the page's HTML when it is first asked
        return self

    def visit(self, authority=cases.PLAIN, paths=("/",), words=(), tls=True):
        """A visit that nothing disturbed, if that can be had."""
        for _ in range(TRIES):
            self.before = self.server.status()["push"]["bytes"]
            run = lab.visit(self.link, self.server, paths, authority, tls, self.root, words)
            assert run.error() is None
            if not run.disturbed():
                break
        return run

    def server_bytes(self):
        """What the server says it pushed in the last visit."""
        return self.server.status()["push"]["bytes"] - self.before

    def close(self):
        if self.server:
            self.server.close()
        self.link.close()


@pytest.fixture
def bench(tmp_path):
    made = []

    def factory(make_site=pages.small, policies='"scan"', **settings):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        os.chmod(tmp_path, 0o755)
        made.append(Bench(str(folder), make_site, settings))
        return made[-1].start(policies)

    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(folder, 0o755)              # a worker without privileges reads below it
    assert os.access(LINK, os.X_OK), "%s is not there: make bench-binaries" % LINK
    yield factory
    for each in made:
        each.close()


def picture(site):
    site.page("/", 2000, images=[site.blob("/assets/a.jpg", 300000)])


def by_name(page):
    return {asset["path"].rsplit("/", 1)[-1]: asset for asset in page["assets"]}


def test_the_link_has_its_round_trip_and_its_rate(bench):
    run = bench(picture, "", rtt=60, down=8000, down_queue=0).visit(tls=False)
    page, = run.pages
    assert 60000 <= page["connected_us"] < 66000
    assert 60000 <= page["html_first_us"] - page["asked_us"] < 70000
    sent_ms = run.link["down"]["bytes"] * 8 / 8000
    assert sent_ms < page["complete_us"] / 1000 < sent_ms + 500
    assert run.link["down"]["dropped"] == 0


def test_a_short_queue_drops_packets_and_tcp_makes_up_for_them(bench):
    run = bench(picture, "", rtt=20, down=4000, down_queue=12000).visit()
    assert run.link["down"]["dropped"] > 0
    assert run.link["down"]["queue_max"] <= 12000
    assert by_name(run.pages[0])["a.jpg"]["whole"]
    assert run.pages[0]["mismatched"] == 0


def test_losses_by_chance_are_made_up_for_too(bench):
    run = bench(picture, "", rtt=20, loss=3, seed=5).visit()
    assert run.link["down"]["lost"] + run.link["up"]["lost"] > 0
    assert by_name(run.pages[0])["a.jpg"]["whole"]


def test_what_was_promised_is_not_asked_for_and_counted_as_the_server_does(bench):
    it = bench(rtt=20)
    page, = it.visit(cases.WHOLE).pages
    assert page["requests"] == 1
    assert {asset["via"] for asset in page["assets"]} == {"push"}
    assert page["pushed_bytes"]["delivered"] == page["pushed_bytes"]["all"] == 5500
    assert it.server_bytes() == 5500


def test_without_policies_everything_is_asked_for_one_round_trip_later(bench):
    it = bench(rtt=40)
    without, = it.visit(cases.PLAIN).pages
    pushed, = it.visit(cases.WHOLE).pages
    assert {asset["via"] for asset in without["assets"]} == {"request"}
    assert without["pushed_bytes"]["all"] == 0
    assert 30000 < without["complete_us"] - pushed["complete_us"] < 50000


def test_bytes_of_cancelled_pushes_are_counted_though_nobody_takes_them(bench):
    it = bench(rtt=40)
    page, = it.visit(cases.WHOLE, words=["--cancel"]).pages
    assert page["pushes"]["cancelled"] == page["pushes"]["promised"] == 3
    assert page["pushed_bytes"]["cancelled"] == page["pushed_bytes"]["all"] > 0
    assert {asset["via"] for asset in page["assets"]} == {"request"}
    assert it.server_bytes() == page["pushed_bytes"]["all"]


def test_a_client_keeps_its_cookie_and_its_cache_from_page_to_page(bench):
    first, second = bench(rtt=20).visit(cases.WHOLE, ["/", "/"], ["--reconnect"]).pages
    assert second["cookie"] == first["cookie"] != ""
    assert {asset["via"] for asset in second["assets"]} == {"cache"}
    assert second["pushes"]["promised"] == 0


def test_hints_are_asked_for_before_the_page_names_them(bench):
    page, = bench(rtt=20).visit(cases.WHOLE, words=["--no-push"]).pages
    assert page["hints"] == 1 and page["pushes"]["promised"] == 0
    for asset in page["assets"]:
        assert asset["hinted"] and asset["asked_us"] < asset["found_us"]


def test_what_sheets_and_scripts_name_is_asked_for_once_they_are_there(bench):
    run = bench(pages.real, "", rtt=20).visit()
    assets = by_name(run.pages[0])
    for parent, child in (("base.css", "font0.woff2"), ("home.css", "back.jpg"),
                          ("app.js", "more1.js")):
        assert assets[child]["found_us"] >= assets[parent]["last_us"]
        assert assets[child]["asked_us"] >= assets[child]["found_us"]
    assert assets["more1.js"]["found_us"] >= assets["library.js"]["last_us"]  # it ran in order
    assert "image0-fine.jpg" not in assets


def namespaces():
    """The network namespaces that some process is in."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            found.add(os.stat("/proc/%s/ns/net" % name).st_ino)
        except OSError:
            pass
    return found


def test_nothing_is_left_when_the_link_is_killed(bench):
    it = bench(rtt=20)
    mine = {os.stat(it.link.place[end]).st_ino for end in ("server_ns", "client_ns")}
    assert mine & namespaces()
    it.link.process.kill()
    it.link.process.wait()
    it.server.close()
    server.wait_until(lambda: not mine & namespaces(), 5, "the namespaces to go")


def test_without_the_privilege_the_link_says_what_it_needs(tmp_path):
    copy = tmp_path / "page_link"
    shutil.copy(LINK, copy)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(folder, 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "--regid=65534",
                           "--bounding-set=-all", "--inh-caps=-all", str(copy)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert "network namespace" in done.stderr and "root" in done.stderr


@pytest.mark.parametrize("words, said", [
    (["--rtt", "fast"], '--rtt: "fast" is not a number'),
    (["--loss", "101"], "from 0 to 100"),
    (["--congestion", "nosuch"], "tcp_available_congestion_control"),
    (["--rate"], "--down"),
])
def test_the_link_refuses_what_makes_no_sense(words, said):
    done = subprocess.run([LINK, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert said in done.stderr


def run_py(*words):
    return subprocess.run([sys.executable, os.path.join(PAGE, "run.py"), *words],
                          capture_output=True, text=True, timeout=300)


def test_a_run_writes_tables_and_plots_and_its_status_says_that_all_holds(tmp_path):
    out = str(tmp_path / "out")
    done = run_py("--cases", "window", "--runs", "3", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") >= 2 and "FAIL" not in done.stdout
    with open(os.path.join(out, "report.json")) as file:
        case, = json.load(file)["cases"]
    assert [cell["name"] for cell in case["cells"]] == ["TLS", "h2c"]
    assert all(claim["holds"] for claim in case["claims"])
    with open(os.path.join(out, "report.md")) as file:
        assert "**PASS** window, TLS: complete one round trip sooner" in file.read()
    for name in os.listdir(out):
        if name.endswith(".svg"):
            subprocess.run([sys.executable, "-c", "import sys, xml.dom.minidom as d; "
                            "d.parse(sys.argv[1])", os.path.join(out, name)], check=True)
    assert "window-milestones.svg" in os.listdir(out)


def test_a_claim_that_does_not_hold_shows_in_the_status(tmp_path, capsys):
    class Broken(cases.Case):
        name = title = "broken"

        def judge(self, cells):
            return [cases.Claim("it holds", False, "it doesn't")]

        def plots(self, cells):
            return {}

    assert report.write(str(tmp_path), {Broken(): []}, {}, 1, 1) == 1
    assert "FAIL  it holds: it doesn't" in capsys.readouterr().out


def test_an_unknown_case_is_named_with_those_there_are():
    done = run_py("--cases", "windwo")
    assert done.returncode != 0
    assert 'no case "windwo"' in done.stderr and "window" in done.stderr


def interruptible():
    """A shell lets what it runs in the background ignore the signal, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_run_leaves_nothing(tmp_path):
    before = namespaces()
    run = subprocess.Popen([sys.executable, os.path.join(PAGE, "run.py"), "--cases", "thin",
                            "--runs", "1000", "--out", str(tmp_path)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           preexec_fn=interruptible)
    server.wait_until(lambda: len(namespaces() - before) >= 2, 20, "the run's namespaces")
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0 and "stopped" in said
    server.wait_until(lambda: not namespaces() - before, 5, "the namespaces to go")
