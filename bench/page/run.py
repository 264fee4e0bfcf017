"""Measures pages over emulated links, in cases, and says whether what is claimed holds.

usage: run.py [--cases NAME,…] [--runs N] [--out DIR] [--parallel N] [--trace] [--list]
"""
import argparse
import concurrent.futures
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

import cases as known
import report
from lab import LabError, Link, visit

RUNS_AGAIN = 1.0     # of the runs, at most so many are made again because they were disturbed
WARM_UPS = 2         # visits that do not count: herald reads a page's HTML when it is first asked


class Progress:
    """One line on standard error that says how far everything is."""

    def __init__(self, total):
        self.total, self.done, self.again = total, 0, 0
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.shown = 0

    def step(self, disturbed=False):
        with self.lock:
            self.done += not disturbed
            self.again += disturbed
            self.show()

    def show(self, last=False):
        now = time.monotonic()
        live = sys.stderr.isatty()
        if not last and now - self.shown < (0.2 if live else 15):
            return
        self.shown = now
        text = "bench-page: %d of %d visits, %d disturbed and made again, %d s" % (
            self.done, self.total, self.again, now - self.began)
        sys.stderr.write("\r%s" % text if live else text + "\n")
        if last and live:
            sys.stderr.write("\n")
        sys.stderr.flush()


class Measurement:
    """A cell while it is measured: its link, its server, its pages' folder."""

    def __init__(self, cell, runs, progress, stop, trace=None):
        self.cell, self.runs, self.progress, self.stop = cell, runs, progress, stop
        self.trace = os.path.join(trace, cell.file_name) if trace else None
        self.allowed = int(runs * len(cell.modes) * RUNS_AGAIN)
        self.link = self.server = None

    def run(self):
        self.root = tempfile.mkdtemp(prefix="herald-pages-")
        os.chmod(self.root, 0o755)      # the worker, which has no privileges, reads there
        try:
            self.link = Link(**self.cell.link_settings,
                             trace=self.trace + ".packets" if self.trace else None)
            self.server = self.cell.start_server(self.link, self.root)
            self.take_turns()
            self.cell.finish(self.server)
        finally:
            for part in (self.server, self.link):
                if part:
                    part.close()
            shutil.rmtree(self.root, ignore_errors=True)

    def take_turns(self):
        """All visits, the ways in turns; the order of a turn changes from one to the next."""
        modes = self.cell.modes
        for mode in self.cell.ways:
            for _ in range(WARM_UPS):
                self.visit(mode)
        for turn in range(self.runs):
            shift = turn % len(modes)
            for mode in modes[shift:] + modes[:shift]:
                run = self.undisturbed(mode)
                self.cell.disturbed += bool(run.disturbed())
                self.cell.take(mode, run)
                self.progress.step()

    def undisturbed(self, mode):
        """A visit that nothing disturbed, as long as some may be made again."""
        run = self.visit(mode)
        while run.disturbed() and self.allowed > 0:
            self.allowed -= 1
            self.cell.again += 1
            self.progress.step(disturbed=True)
            run = self.visit(mode)
        return run

    def visit(self, mode):
        if self.stop.is_set():
            raise LabError("stopped")
        cell = self.cell
        trace = "%s-%s.frames" % (self.trace, known.file_name(mode.name)) if self.trace else None
        run = visit(self.link, self.server, cell.paths, mode.authority, tls=cell.tls,
                    root=self.root, words=[*cell.words, *mode.words], trace=trace)
        cell.saw(mode, run)
        if run.error():
            raise LabError("%s, %s: %s" % (cell.title, mode.name, run.error()))
        return run


def chosen(names):
    by_name = {case.name: case for case in known.CASES}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        sys.exit("bench-page: there is no case \"%s\"; there are: %s"
                 % (unknown[0], ", ".join(by_name)))
    return [by_name[name] for name in names] if names else known.CASES


def measure_all(cells, runs, parallel, trace):
    """Measures cells side by side; returns what failed, by cell."""
    progress = Progress(sum(runs * len(cell.modes) for cell in cells))
    stop, failures = threading.Event(), {}
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        # The longest first, so that none of them is left over at the end.
        futures = {pool.submit(Measurement(cell, runs, progress, stop, trace).run): cell
                   for cell in sorted(cells, key=lambda cell: -cell.weight)}
        try:
            for future in concurrent.futures.as_completed(futures):
                if future.exception():
                    failures[futures[future]] = future.exception()
        except KeyboardInterrupt:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    progress.show(last=True)
    return failures


def arguments():
    parser = argparse.ArgumentParser(prog="bench-page", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help="names, separated by commas; all without")
    parser.add_argument("--runs", type=int, default=25, help="visits of each mode (25)")
    parser.add_argument("--out", default="build/bench-page", help="a folder for tables and plots")
    parser.add_argument("--parallel", type=int, default=8, help="links at the same time (8)")
    parser.add_argument("--trace", action="store_true",
                        help="write every packet of each link, and the frames of each way's last "
                             "visit, into the folder")
    parser.add_argument("--list", action="store_true", help="say what cases there are")
    return parser.parse_args()


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    if options.list:
        for case in known.CASES:
            print("%-12s %s" % (case.name, case.title))
        return 0
    if options.runs < 1 or options.parallel < 1:
        sys.exit("bench-page: --runs and --parallel are at least 1")
    selected = chosen([name for name in options.cases.replace(" ", ",").split(",") if name])
    cells = {case: case.cells() for case in selected}
    os.makedirs(options.out, exist_ok=True)
    began = time.monotonic()
    try:
        failures = measure_all([cell for each in cells.values() for cell in each], options.runs,
                               options.parallel, options.out if options.trace else None)
    except KeyboardInterrupt:
        sys.exit("bench-page: stopped")
    return report.write(options.out, cells, failures, options.runs, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
