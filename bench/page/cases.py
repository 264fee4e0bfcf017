"""The cases: what is built, what is visited, and what must come out of it."""
import functools
import os
import re
import statistics
import sys

import pages
import plot
import stats
from lab import TLS_PORT, TOP, Server

sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))
import chromium  # noqa: E402

ROUTES = ('routes = { ["/assets/*"] = { cache_control = "public, max-age=31536000, immutable" },\n'
          '           ["/warm/*"] = { policies = {} } }')
WHOLE = "push.test"       # the site as its operator has it
PLAIN = "plain.test"      # the same files without policies
HOLDOUT = "holdout.test"  # the whole site, all of whose clients are held out
KIB = 1024


def site(name, root, policies="", push=""):
    return 'names = { "%s" }, root = "%s", policies = { %s },\n%s,\npush = { %s }' % (
        name, root, policies, ROUTES, push)


def file_name(words):
    """The words as a part of a file's name."""
    return re.sub(r"[^\w.]+", "-", words).strip("-")


class Mode:
    """A way to load the page, beside which others are measured."""

    def __init__(self, name, authority, words=()):
        self.name, self.authority, self.words = name, authority, words


NOTHING = Mode("nothing", PLAIN)
PUSH = Mode("push", WHOLE)
HINTS = Mode("103", WHOLE, ["--no-push"])
HELD_OUT = Mode("holdout", HOLDOUT)
MODES = [NOTHING, PUSH, HINTS, HELD_OUT]


class Claim:
    """What must be true, and whether it is; `holds` is None for what is only told."""

    def __init__(self, text, holds, figures):
        self.text, self.holds, self.figures = text, holds, figures


class Cell:
    """One link with one server, and the ways to load its page that are measured in turns."""

    def __init__(self, case, name, link, make_site, policies='"scan"', paths=("/",), tls=True,
                 modes=MODES, views=None, more_sites=(), policy_files=None, words=()):
        self.case, self.name, self.link_settings = case, name, link
        self.make_site, self.policies, self.policy_files = make_site, policies, policy_files
        self.paths, self.tls, self.modes, self.words = paths, tls, modes, words
        self.views = views or {"": len(paths) - 1}  # what is told of: a name and a page's number
        self.more_sites = more_sites
        self.samples = {}    # (mode, view, metric) -> milliseconds
        self.loads = {}      # (mode, view) -> pages, as the client described them
        self.disturbed = self.again = 0
        self.client_bytes = self.server_bytes = 0  # pushed: as each of them counts
        self.budgets = []    # of the pages that were pushed with, as the log says
        self.experiment = None
        self.trials = []     # every visit to a site that holds some clients out
        self.weight = link["rtt"] * len(paths) * len(modes)  # about how long it takes

    @property
    def title(self):
        return "%s, %s" % (self.case.name, self.name) if self.name else self.case.name

    @property
    def file_name(self):
        return file_name("%s %s" % (self.case.name, self.name))

    def start_server(self, link, root):
        self.make_site(pages.Site(root))
        sites = [site(WHOLE, root, self.policies), site(PLAIN, root),
                 site(HOLDOUT, root, self.policies, "holdout = 1")]
        sites += [site(name, root, policies, push) for name, policies, push in self.more_sites]
        return Server(link, sites, self.policy_files)

    def saw(self, mode, run):
        """A visit was made, whether it counts or not."""
        self.client_bytes += sum(page["pushed_bytes"]["all"] for page in run.pages)
        if mode is Experiment.TRIAL:
            self.trials += run.pages

    def take(self, mode, run):
        """A visit counts."""
        for view, number in self.views.items():
            page = run.pages[number]
            for metric in METRICS:
                if page[metric + "_us"] is not None:
                    self.samples.setdefault((mode.name, view, metric), []).append(
                        page[metric + "_us"] / 1000)
            self.loads.setdefault((mode.name, view), []).append(page)

    def finish(self, server):
        """All visits were made; the server still runs."""
        status = server.status()
        self.server_bytes = status["push"]["bytes"]
        self.budgets = [line["budget"] for line in server.log() if line.get("budget")]
        self.case.at_end(self, server, status)

    def of_request(self, mode, metric, view=""):
        """Times from the page's request on, where that is not when the navigation began."""
        return [(page[metric + "_us"] - page["asked_us"]) / 1000
                for page in self.loads.get((mode.name, view), [])]

    @property
    def ways(self):
        return list(dict.fromkeys(self.modes))

    def times(self, mode, metric, view=""):
        return self.samples.get((mode.name, view, metric), [])

    def median(self, mode, metric, view=""):
        return stats.median(self.times(mode, metric, view))

    def gain(self, metric, view="", before=NOTHING, after=PUSH):
        return stats.difference(self.times(before, metric, view), self.times(after, metric, view))


METRICS = ("html_first", "html_last", "painted", "complete")


def no_later(cell, metric, share, view="", before=NOTHING, after=PUSH, what=None):
    """A claim: `after` is at most `share` later than `before`."""
    old, new = cell.median(before, metric, view), cell.median(after, metric, view)
    change = new / old - 1
    return Claim("%s: %s at most %.0f %% later with %s than with %s"
                 % (cell.title + (" " + view if view else ""), what or metric, share * 100,
                    after.name, before.name),
                 change <= share, "%.1f ms against %.1f ms: %+.1f %%" % (new, old, change * 100))


class Case:
    """name, title, cells() and judge(cells) -> claims, tables(cells) -> lines of Markdown."""

    def judge(self, cells):
        return []

    def tables(self, cells):
        return []

    def plots(self, cells):
        """More plots than every case has: name -> SVG."""
        return {}

    def at_end(self, cell, server, status):
        pass


class FirstWindow(Case):
    name = "window"
    title = "Page and pushes within the first window, 40 ms"
    RTT, TOLERANCE = 40, 5

    def cells(self):
        return [Cell(self, kind, {"rtt": self.RTT}, pages.small, tls=kind == "TLS")
                for kind in ("TLS", "h2c")]

    def judge(self, cells):
        claims = []
        for cell in cells:
            gain = cell.gain("complete")
            claims.append(Claim(
                "%s: complete one round trip sooner, within %d ms" % (cell.title, self.TOLERANCE),
                abs(gain["difference"] - self.RTT) <= self.TOLERANCE,
                "%.1f ms sooner, 95 %% interval %.1f to %.1f" % (
                    gain["difference"], gain["low"], gain["high"])))
        return claims


class SlowStart(Case):
    name = "slow-start"
    title = "284 KiB of assets behind a page of 12 KiB, slow start"

    def cells(self):
        return [Cell(self, "%d ms" % rtt,
                     {"rtt": rtt, "down": 100000, "up": 100000, "down_queue": 1 << 20},
                     pages.large) for rtt in (40, 200)]

    def judge(self, cells):
        return [no_later(cell, "complete", 0.02) for cell in cells]


class ThinLink(Case):
    name = "thin"
    title = "1.5 Mbit/s, 200 ms: a page of 40 KiB and 100 KiB of assets"

    def cells(self):
        return [Cell(self, "", {"rtt": 200, "down": 1500, "up": 750}, pages.thin)]

    def judge(self, cells):
        return [no_later(cell, "html_last", 0.02, what="the HTML's last byte") for cell in cells]


class Rules(Case):
    name = "rules"
    title = "3G (1,360 kbit/s, 209 ms): a script of 10 KB in the head, after Bergan and others"
    LINK = {"rtt": 209, "down": 1360, "up": 1360, "down_queue": 262144}
    SIZES = (5, 20, 40, 80)  # KB of HTML
    SCRIPT = 10
    # What "Rules of Thumb for HTTP/2 Push" prints: ms without and with push; None: no gain.
    PUBLISHED = {("cold", 5): (1231, 1097), ("cold", 20): (1233, 1175), ("cold", 40): None,
                 ("cold", 80): None, ("warm", 5): (746, 462), ("warm", 20): (1378, 1161),
                 ("warm", 40): (3319, 3237), ("warm", 80): None}
    TOLERANCE = 25  # ms between the gain of a warm connection and the model's

    def cells(self):
        cells = []
        for size in self.SIZES:
            make = functools.partial(pages.rules, html_bytes=size * 1000,
                                     script_bytes=self.SCRIPT * 1000)
            modes = [NOTHING, PUSH, HINTS]
            cells.append(Cell(self, "%d KB cold" % size, self.LINK, make, modes=modes))
            cells.append(Cell(self, "%d KB" % size, self.LINK, make, modes=modes,
                              paths=("/warm/", "/", "1500@/idle.html"),
                              views={"warm": 1, "idle": 2}))
        return cells

    def model(self, size):
        """T = rtt + max(rtt, HTML/bw) + JS/bw without push, rtt + HTML/bw + JS/bw with it."""
        rtt, kb_ms = self.LINK["rtt"], 8000 / self.LINK["down"]
        html, script = size * kb_ms, self.SCRIPT * kb_ms
        return rtt + max(rtt, html) + script, rtt + html + script

    def rows(self, cells):
        """(state, HTML KB, cell, view) for each line of the table."""
        for state, view, warm in (("cold", "", 0), ("warm", "warm", 1), ("idle", "idle", 1)):
            for n, size in enumerate(self.SIZES):
                yield state, size, cells[2 * n + warm], view

    def judge(self, cells):
        claims = []
        for state, size, cell, view in self.rows(cells):
            claims.append(no_later(cell, "complete", 0.02, view))
            claims.append(no_later(cell, "html_last", 0.02, view, what="the HTML's last byte"))
            if state != "warm":
                continue
            before, after = self.model(size)
            gain = cell.gain("complete", view)["difference"]
            claims.append(Claim("%s: gains what the model does, or at most %d ms less"
                                % (cell.title, self.TOLERANCE),
                                gain >= before - after - self.TOLERANCE,
                                "%.0f ms, the model %.0f ms" % (gain, before - after)))
        return claims

    def tables(self, cells):
        lines = ["| connection | HTML KB | published ms | model ms, from the request "
                 "| ours ms, from the request | ours ms, from the navigation | ours gains "
                 "| with 103 ms |", "|---" * 8 + "|"]
        for state, size, cell, view in self.rows(cells):
            published = self.PUBLISHED.get((state, size)) if state != "idle" else ()
            asked = [stats.median(cell.of_request(mode, "complete", view))
                     for mode in (NOTHING, PUSH)]
            began = [cell.median(mode, "complete", view) for mode in (NOTHING, PUSH, HINTS)]
            said = "no gain" if published is None else "%d → %d" % published if published else "–"
            lines.append("| %s | %d | %s | %s | %.0f | %.0f |" % (
                state, size, said,
                " | ".join("%.0f → %.0f" % pair
                           for pair in (self.model(size), tuple(asked), tuple(began[:2]))),
                asked[0] - asked[1], began[2]))
        return lines + ["", "Cold: a new connection over TLS 1.3, set up within the navigation. "
                        "Warm: the second page of a connection whose window has grown. Idle: the "
                        "same, 1.5 s later; the kernel has taken the window back "
                        "(net.ipv4.tcp_slow_start_after_idle)."]


    def plots(self, cells):
        panels = []
        for state in ("cold", "warm", "idle"):
            rows = [row for row in self.rows(cells) if row[0] == state]

            def points(mode):
                return [(size, stats.median(cell.of_request(mode, "complete", view)))
                        for _, size, cell, view in rows]
            panels.append((state, [
                ("without push", "#8a94a0", "", points(NOTHING)),
                ("with push", "#0b6e8f", "", points(PUSH)),
                ("model without", "#8a94a0", "5 4", [(n, self.model(n)[0]) for n in self.SIZES]),
                ("model with", "#0b6e8f", "5 4", [(n, self.model(n)[1]) for n in self.SIZES])]))
        return {"model": plot.curves(self.title, "from the page's request until it is complete, ms",
                                     "KB of HTML", panels)}


class Everything(Case):
    name = "everything"
    title = "3G: a real-looking page, its pushes bounded and not"
    ALL, BDP, NEEDED = "all.test", "bdp.test", "needed.test"
    BDP_BYTES = 1360 * 209 // 8
    MODES = [NOTHING, PUSH, Mode("one bandwidth-delay product", BDP),
             Mode("all that is needed, no budget", NEEDED), Mode("everything, no budget", ALL)]

    def cells(self):
        off = 'budget = "off", max_bytes = "64MiB", max_streams = 1000'
        return [Cell(self, "", Rules.LINK, pages.real, modes=self.MODES,
                     policy_files={"everything.lua": pages.everything_policy()},
                     more_sites=[(self.ALL, '"everything.lua"', off),
                                 (self.BDP, '"scan"', 'budget = %d' % self.BDP_BYTES),
                                 (self.NEEDED, '"scan"', off)])]

    def judge(self, cells):
        claims = []
        for cell in cells:
            for mode in self.MODES[1:3]:
                claims += [no_later(cell, metric, 0.02, after=mode)
                           for metric in ("painted", "complete")]
            for mode in self.MODES[3:]:
                told = [no_later(cell, metric, 0.02, after=mode)
                        for metric in ("painted", "complete")]
                for claim in told:
                    claim.holds = None
                claims += told
        return claims


class Cancelling(Case):
    name = "cancel"
    title = "A client that cancels every push, and whose counts are right"
    # Without a word in the log the budget is what a new connection's window holds.
    FIRST_WINDOW = 10 * 1448
    MODE = Mode("cancelling", WHOLE, ["--cancel", "--reconnect"])

    def cells(self):
        return [Cell(self, name, link, pages.many, paths=("/", "/"), modes=[self.MODE],
                     views={"first visit": 0, "second visit": 1})
                for name, link in (("40 ms, 10 Mbit/s", {"rtt": 40, "down": 10000, "up": 10000}),
                                   ("200 ms", {"rtt": 200, "down": 100000, "up": 100000,
                                               "down_queue": 1 << 20}))]

    def judge(self, cells):
        claims = []
        for cell in cells:
            first, second = ([page["pushed_bytes"]["all"] for page in
                              cell.loads[(self.MODE.name, view)]] for view in cell.views)
            promised = min(page["pushes"]["promised"] for page in
                           cell.loads[(self.MODE.name, "first visit")])
            budget = max(cell.budgets or [self.FIRST_WINDOW])
            claims.append(Claim("%s: there is something to cancel" % cell.title, promised > 0,
                                "at least %d promises at the first visit" % promised))
            claims.append(Claim("%s: the first visit wastes at most one budget" % cell.title,
                                max(first) <= budget,
                                "at most %d bytes, budget %d" % (max(first), budget)))
            claims.append(Claim("%s: the second visit wastes nothing" % cell.title,
                                max(second) == 0, "at most %d bytes" % max(second)))
        return claims


def counts_agree(cells):
    """A claim, if anything was pushed: the server counts the pushed bytes that the clients do."""
    pushed = [cell for cell in cells if cell.client_bytes or cell.server_bytes]
    if not pushed:
        return []

    def apart(cell):
        return abs(cell.server_bytes - cell.client_bytes) / max(cell.client_bytes, 1)
    worst = max(pushed, key=apart)
    return [Claim("the server's count of pushed bytes is the clients' own, within 1 %",
                  apart(worst) <= 0.01,
                  "%s: %d and %d bytes" % (worst.title, worst.server_bytes, worst.client_bytes))]


class Experiment(Case):
    name = "experiment"
    title = "What the server's own experiment says, and what is measured here"
    TRIAL = Mode("half held out", "trial.test")
    TRIALS = 4  # visits in each turn: half of them serve, half are held out

    def cells(self):
        return [Cell(self, "40 ms", {"rtt": 40}, pages.small,
                     modes=[NOTHING, PUSH] + [self.TRIAL] * self.TRIALS,
                     more_sites=[("trial.test", '"scan"', "holdout = 0.5")])]

    def at_end(self, cell, server, status):
        cell.experiment = server.experiment("trial.test")

    def judge(self, cells):
        return [self.claim(cell) for cell in cells]

    def claim(self, cell):
        text = "%s: the server's interval contains the difference measured here" % cell.title
        if cell.experiment is None:
            return Claim(text, None, "this herald has no `status --experiment`")
        here, beside = self.same_visits(cell), self.other_visits(cell)
        found = cell.experiment["difference"]["ms"]
        known = found["low"] is not None
        return Claim(text, known and found["low"] <= here <= found["high"],
                     "%.2f ms of the same visits (%.2f of push against nothing); %s ms there, %s to "
                     "%s, of %d served and %d held out"
                     % (here, beside, *(found[k] if found[k] is None else "%.2f" % found[k]
                                        for k in ("is", "low", "high")),
                        cell.experiment["served"]["timed_pages"],
                        cell.experiment["held_out"]["timed_pages"]))

    def same_visits(self, cell):
        """The means' difference of those that were pushed and those that were not, in ms."""
        arms = {True: [], False: []}
        for page in cell.trials:
            arms[page["pushes"]["promised"] > 0].append(
                (page["complete_us"] - page["asked_us"]) / 1000)
        return statistics.fmean(arms[True]) - statistics.fmean(arms[False])

    def other_visits(self, cell):
        pushed, nothing = (statistics.fmean(cell.of_request(mode, "complete"))
                           for mode in (PUSH, NOTHING))
        return pushed - nothing


class Thinking(Case):
    """The page comes from an application that thinks; its assets are files."""

    name = "origin"
    title = "An origin that thinks 200 ms, 50 ms round trip"
    RTT, THINK_MS, TOLERANCE, CHROMIUM_VISITS = 50, 200, 5, 15
    ORIGIN = '["/"] = { origin = "@ORIGIN@", cache = false }, '

    def cells(self):
        return [ThinkingCell(self, name, {"rtt": self.RTT, "down": 100000, "up": 100000,
                                          "down_queue": 1 << 20}, make,
                             modes=[NOTHING, PUSH, HINTS])
                for name, make in (("10 KB", pages.small), ("296 KiB", pages.large))]

    def at_end(self, cell, server, status):
        """Chromium, each visit with a profile that knows nothing, in turns."""
        cell.chromium = {NOTHING.name: [], HINTS.name: []}
        if not chromium.PROGRAM:
            return
        space = ["nsenter", "--net=" + server.link.place["client_ns"]]
        rules = "MAP *.test " + server.link.place["server"]
        with chromium.Chromium(certificate=server.certificate, launcher=space,
                               resolver=rules) as browser:
            for turn in range(self.CHROMIUM_VISITS + 1):
                for mode, site_name in ((NOTHING, PLAIN), (HINTS, WHOLE)):
                    navigation, _ = browser.timings("https://%s:%d/" % (site_name, TLS_PORT),
                                                    fresh=True)
                    if turn:             # the first is Chromium's own start
                        cell.chromium[mode.name].append(navigation["loadEventStart"])

    def judge(self, cells):
        claims = []
        for cell in cells:
            for mode in (PUSH, HINTS):
                gain = cell.gain("complete", after=mode)
                claims.append(Claim(
                    "%s: complete sooner with %s than with nothing, by a round trip at least"
                    % (cell.title, mode.name), gain["low"] >= self.RTT - self.TOLERANCE,
                    "%.1f ms against %.1f ms" % (cell.median(mode, "complete"),
                                                 cell.median(NOTHING, "complete"))))
            times = cell.chromium
            if times[HINTS.name]:
                gain = stats.difference(times[NOTHING.name], times[HINTS.name])
                claims.append(Claim(
                    "%s: Chromium has loaded all sooner with 103 than with nothing" % cell.title,
                    gain["low"] > 0, "%.1f ms against %.1f ms" % (
                        stats.median(times[HINTS.name]), stats.median(times[NOTHING.name]))))
        return claims

    def tables(self, cells):
        lines = ["| page | way | all assets there, ms (quartiles) |", "|---|---|---|"]
        for cell in cells:
            for mode in (NOTHING, HINTS, PUSH):
                lines.append(self.row(cell, mode.name, cell.times(mode, "complete")))
            for name, times in cell.chromium.items():
                lines.append(self.row(cell, "Chromium, " + name, times))
        return lines

    @staticmethod
    def row(cell, name, times):
        value = stats.summary(times)
        figures = "%.1f (%.1f – %.1f)" % (value["median"], value["q1"],
                                          value["q3"]) if value else "–"
        return "| %s | %s | %s |" % (cell.name, name, figures)


class ThinkingCell(Cell):
    def start_server(self, link, root):
        self.make_site(pages.Site(root))
        sites = [site(name, root, policies).replace("routes = { ", "routes = { " + Thinking.ORIGIN)
                 for name, policies in ((WHOLE, self.policies), (PLAIN, ""))]
        return Server(link, sites, self.policy_files, origin=[Thinking.THINK_MS, root],
                      names=[WHOLE, PLAIN])


CASES = [FirstWindow(), SlowStart(), ThinLink(), Rules(), Everything(), Cancelling(), Experiment(),
         Thinking()]
