"""What came out: Markdown for people, JSON for programs, plots; and the exit status."""
import json
import os

import plot
import stats
from cases import counts_agree, file_name

HEADINGS = {"html_first": "HTML's first byte", "html_last": "HTML's last byte",
            "painted": "painted", "complete": "complete"}


def cell_rows(cell):
    for view in cell.views:
        for mode in cell.ways:
            row = {metric: stats.summary(cell.times(mode, metric, view)) for metric in HEADINGS}
            pages = cell.loads.get((mode.name, view), [])
            yield view, mode, row, pages


def shown(value):
    if not value:
        return "–"
    return "%.1f (%.1f – %.1f)" % (value["median"], value["q1"], value["q3"])


def mean_of(pages, read):
    return sum(read(page) for page in pages) / len(pages) if pages else 0


def cell_table(cell):
    lines = ["| way | n | %s | promised | pushed KB | redundant, unneeded, cancelled KB |"
             % " | ".join(HEADINGS.values()), "|---" * (len(HEADINGS) + 5) + "|"]
    for view, mode, row, pages in cell_rows(cell):
        lines.append("| %s | %d | %s | %.1f | %.1f | %.1f, %.1f, %.1f |" % (
            (view + " " if view else "") + mode.name, len(pages),
            " | ".join(shown(row[metric]) for metric in HEADINGS),
            mean_of(pages, lambda p: p["pushes"]["promised"]),
            mean_of(pages, lambda p: p["pushed_bytes"]["all"]) / 1000,
            *(mean_of(pages, lambda p, k=kind: p["pushed_bytes"][k]) / 1000
              for kind in ("redundant", "unneeded", "cancelled"))))
    return lines


def claims_of(cells, failures):
    """(case, claims or the failure) in order."""
    for case, each in cells.items():
        failed = [failures[cell] for cell in each if cell in failures]
        claims = case.judge(each) + counts_agree(each) if not failed else []
        yield case, each, claims, failed


def verdict(claim):
    return "NOTE" if claim.holds is None else "PASS" if claim.holds else "FAIL"


def typical(pages):
    """The page whose time to completeness is the median's."""
    done = sorted((page for page in pages if page["complete_us"]), key=lambda p: p["complete_us"])
    return done[len(done) // 2] if done else None


def link_words(link):
    rate = ", %g kbit/s" % link["down"] if link.get("down") else ""
    return "round trip %g ms%s" % (link["rtt"], rate)


def plots_of(case, cells):
    """name -> SVG, of the cells that could be measured."""
    groups = []
    made = {}
    for cell in cells:
        for view in cell.views:
            rows = [(mode.name, row) for shown_view, mode, row, _ in cell_rows(cell)
                    if shown_view == view]
            groups.append((" ".join(filter(None, [cell.title, view])), rows))
            loads = [(mode.name, typical(cell.loads.get((mode.name, view), [])))
                     for mode in cell.ways]
            loads = [load for load in loads if load[1]]
            made[file_name("waterfall %s %s" % (cell.name, view))] = plot.waterfall(
                "%s %s" % (cell.title, view), link_words(cell.link_settings) +
                "; of each way the visit that took the median time", loads)
    if cells:
        made["milestones"] = plot.milestones(
            case.title, "medians, ms from the start of the navigation; " +
            link_words(cells[0].link_settings) + (" and others" if len(cells) > 1 else ""), groups)
    made.update(case.plots(cells))
    return made


def write_plots(folder, case, cells):
    names = []
    for name, svg in plots_of(case, cells).items():
        names.append("%s-%s.svg" % (case.name, name))
        with open(os.path.join(folder, names[-1]), "w") as file:
            file.write(svg)
    return names


def write(folder, cells, failures, runs, seconds):
    os.makedirs(folder, exist_ok=True)
    text = ["# Pages over emulated links", "",
            "Times in ms from the start of the navigation: median (quartiles). %d visits of each "
            "way, %d s in all." % (runs, seconds), ""]
    data = {"runs": runs, "seconds": seconds, "cases": []}
    status = 0
    for case, each, claims, failed in claims_of(cells, failures):
        text += ["## %s" % case.title, ""]
        print("\n%s" % case.title)
        for claim in claims:
            line = "%s  %s: %s" % (verdict(claim), claim.text, claim.figures)
            print("  " + line)
            text += ["- **%s** %s: %s" % (verdict(claim), claim.text, claim.figures)]
            status |= claim.holds is False
        for failure in failed:
            print("  FAIL  could not be measured: %s" % failure)
            text += ["- **FAIL** could not be measured: %s" % failure]
            status = 1
        if not failed:
            text += [""] + case.tables(each) + [""]
            text += ["[%s](%s)" % (name[:-4], name) for name in write_plots(folder, case, each)]
        for cell in each:
            if cell not in failures:
                text += ["", "### " + cell.title, ""] + cell_table(cell)
                text += ["", "%d visits were disturbed and made again, %d disturbed ones count."
                         % (cell.again, cell.disturbed)]
        text.append("")
        data["cases"].append(case_data(case, each, claims, failed, failures))
    with open(os.path.join(folder, "report.md"), "w") as file:
        file.write("\n".join(text) + "\n")
    with open(os.path.join(folder, "report.json"), "w") as file:
        json.dump(data, file, indent=1)
    print("\nreport.md, report.json: %s" % folder)
    return int(status)


def case_data(case, each, claims, failed, failures):
    return {"name": case.name, "title": case.title,
            "claims": [{"claim": c.text, "holds": c.holds, "figures": c.figures} for c in claims],
            "failures": [str(f) for f in failed],
            "cells": [cell_data(cell) for cell in each if cell not in failures]}


def cell_data(cell):
    return {"name": cell.name, "link": cell.link_settings, "made_again": cell.again,
            "disturbed": cell.disturbed,
            "ways": [{"way": mode.name, "view": view, "ms": row,
                      "samples_ms": {metric: [round(t, 2) for t in cell.times(mode, metric, view)]
                                     for metric in HEADINGS}}
                     for view, mode, row, _ in cell_rows(cell)]}
