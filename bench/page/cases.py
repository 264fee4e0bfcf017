"""The cases: what is built, what is visited, and what must come out of it."""
import functools

import pages
import stats
from lab import Server, accepts

ASSETS = 'routes = { ["/assets/*"] = { cache_control = "public, max-age=31536000, immutable" } }'
WHOLE = "push.test"     # the site as an operator has it
PLAIN = "plain.test"    # the same files without policies
HOLDOUT = "holdout.test"  # all clients held out


def site(name, root, policies="", more=""):
    return 'names = { "%s" }, root = "%s", policies = { %s },\n%s,\n%s' % (
        name, root, policies, ASSETS, more)


@functools.lru_cache(None)
def holdout_known():
    return accepts("push = { holdout = 0.05 }")


class Mode:
    """A way to load the page, beside which others are measured."""

    def __init__(self, name, authority, words=(), needs=None):
        self.name, self.authority, self.words, self.needs = name, authority, words, needs


NOTHING = Mode("nothing", PLAIN)
PUSH = Mode("push", WHOLE)
HINTS = Mode("103", WHOLE, ["--no-push"])
MODES = [NOTHING, PUSH, HINTS]


class Claim:
    """What must be true, and whether it is."""

    def __init__(self, text, holds, figures):
        self.text, self.holds, self.figures = text, holds, figures


class Cell:
    """One link with one server: its modes are measured in turns."""

    def __init__(self, case, name, link, make_site, policies='"scan", "budget"', paths=("/",),
                 tls=True, modes=MODES, views=None, more_sites=(), words=()):
        self.case, self.name, self.link_settings = case, name, link
        self.make_site, self.policies = make_site, policies
        self.paths, self.tls, self.modes, self.words = paths, tls, modes, words
        self.views = views or {"": len(paths) - 1}  # what is told of: a name and a page's number
        self.more_sites = more_sites
        self.samples = {}    # (mode, view, metric) -> milliseconds
        self.counts = {}     # (mode, view) -> the pages' other figures
        self.disturbed = self.again = 0
        self.weight = link["rtt"] * len(paths) * len(modes)  # about how long it takes

    @property
    def title(self):
        return "%s, %s" % (self.case.name, self.name) if self.name else self.case.name

    def start_server(self, link, root):
        self.make_site(pages.Site(root))
        sites = [site(WHOLE, root, self.policies), site(PLAIN, root)]
        sites += [make(root) for make in self.more_sites]
        return Server(link, sites)

    def take(self, mode, run):
        for view, number in self.views.items():
            page = run.pages[number]
            for metric in METRICS:
                if page[metric + "_us"] is not None:
                    self.samples.setdefault((mode.name, view, metric), []).append(
                        page[metric + "_us"] / 1000)
            self.counts.setdefault((mode.name, view), []).append(page)

    def finish(self, server):
        """All visits were made; the server still runs."""

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
    """name, title, cells() and judge(cells) -> claims."""

    def judge(self, cells):
        return []


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
        return [no_later(cell, "complete", 0.02, what="complete") for cell in cells]


class ThinLink(Case):
    name = "thin"
    title = "1.5 Mbit/s, 200 ms: a page of 40 KiB and 100 KiB of assets"

    def cells(self):
        return [Cell(self, "", {"rtt": 200, "down": 1500, "up": 750}, pages.slow)]

    def judge(self, cells):
        return [no_later(cell, "html_last", 0.02, what="the HTML's last byte") for cell in cells]


CASES = [FirstWindow(), SlowStart(), ThinLink()]
