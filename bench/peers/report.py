"""From samples to the table and the JSON."""
import statistics

MARKS = "~ disturbed rounds; c the client saturates its core; p pushes again what it pushed; " \
        "r does not resume; ! failed"


def settled(samples):
    """The undisturbed samples, when they are at least half of all; and whether any was left out."""
    quiet = [s for s in samples if not s.disturbed]
    return (quiet, len(quiet) < len(samples)) if 2 * len(quiet) >= len(samples) else (samples, True)


def summarize(samples):
    """Median cost and what marks it."""
    used, disturbed = settled(samples)
    costs = [s.us for s in used]
    notes = {s.note for s in used}
    marks = "~" * disturbed
    marks += "c" * (sum(s.client_saturated for s in used) * 2 > len(used))
    marks += "p" * ("pushes again" in notes) + "r" * ("does not resume" in notes)
    return {"us": statistics.median(costs), "low": min(costs), "high": max(costs),
            "rounds": len(samples), "used": len(used), "marks": marks,
            "units": sum(s.units for s in used),
            "client_us": statistics.median(s.client_s / s.units * 1e6 for s in used),
            "server_share": statistics.median(s.server_s / s.wall_s for s in used),
            "client_share": statistics.median(s.client_s / s.wall_s for s in used)}


def comparable(cell):
    """Whether a peer's cost is for the same work: what it pushes again is other work."""
    return cell and "us" in cell and not set("pr") & set(cell["marks"])


def verdict(ratio, goal):
    return "" if ratio is None or goal is None else "met" if ratio <= goal else "NOT met"


def paired_ratio(base, other):
    """The median of the rounds' own ratios, which drift together."""
    return statistics.median(b.us / a.us for a, b in zip(base, other))


def cell_text(cell):
    if cell is None:
        return "-"
    if "us" not in cell:
        return "!"
    form = "%.0f" if cell["us"] >= 100 else "%.1f"
    return form % cell["us"] + cell["marks"]


def row_of(case, cells):
    """A peer case's row: herald's ratio to the best peer of those that did the same work."""
    rivals = {n: c["us"] for n, c in cells.items() if n != "herald" and comparable(c)}
    best = min(rivals, key=rivals.get) if rivals else None
    herald = cells.get("herald")
    ratio = herald["us"] / rivals[best] if best and herald and "us" in herald else None
    return {"case": case.key, "title": case.title, "goal": case.goal, "cells": cells, "best": best,
            "ratio": ratio, "verdict": verdict(ratio, case.goal)}


def print_peers(rows, names, heading="CPU µs"):
    if not rows:
        return
    width = max(len(r["title"]) for r in rows)
    print("\n%-*s %8s %8s %6s %6s  %-8s" % (width, heading, names[0], "best", "ratio", "goal", "") +
          "".join("%10s" % n for n in names[1:]))
    for row in rows:
        ratio = "%6.2f" % row["ratio"] if row["ratio"] is not None else "     -"
        print("%-*s %8s %8s %s %6s  %-8s" % (
            width, row["title"], cell_text(row["cells"].get(names[0])), row["best"] or "-", ratio,
            "%.2f" % row["goal"] if row["goal"] else "-", row["verdict"]) +
            "".join("%10s" % cell_text(row["cells"].get(n)) for n in names[1:]))


def print_alone(rows):
    if not rows:
        return
    width = max(len(r["title"]) for r in rows)
    print("\n%-*s %8s %8s %6s %6s" % (width, "herald alone", "with", "without", "ratio", "goal"))
    for row in rows:
        print("%-*s %8s %8s %6s %6.2f  %s" % (
            width, row["title"], cell_text(row.get("with")), cell_text(row.get("without")),
            "%.2f" % row["ratio"] if row["ratio"] is not None else "-", row["goal"],
            row["verdict"]))


def print_clients(rows, names):
    """What the client took, so that a reader sees who set the pace."""
    if not rows:
        return
    width = max(len(r["title"]) for r in rows)
    print("\n%-*s" % (width, "server's / client's share of its core") +
          "".join("%12s" % n for n in names))
    for row in rows:
        cells = [row["cells"].get(n) for n in names]
        print("%-*s" % (width, row["title"]) + "".join(
            "%12s" % ("%.2f / %.2f" % (c["server_share"], c["client_share"])
                      if c and "server_share" in c else "-") for c in cells))
