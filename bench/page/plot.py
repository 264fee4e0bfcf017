"""Plots as SVG, drawn by hand: when what came, page by page and way by way."""
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 960, 250, 90
ROW, GAP = 22, 14
INK, FAINT, GRID = "#1d2733", "#6b7785", "#dfe4ea"
WAYS = ["#8a94a0", "#0b6e8f", "#d97a1f", "#6b4fa0", "#3f8f3a", "#b3364a"]
VIAS = {"request": "#8a94a0", "push": "#0b6e8f", "cache": "#3f8f3a", "nothing": "#c9ced4"}


class Drawing:
    """An SVG that grows downwards."""

    def __init__(self, title, note=""):
        self.parts, self.y = [], 30
        self.text(20, self.y, title, size=17, weight="bold")
        if note:
            self.y += 20
            self.text(20, self.y, note, fill=FAINT)
        self.y += 16

    def text(self, x, y, words, size=12, fill=INK, anchor="start", weight="normal"):
        self.parts.append('<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s" '
                          'font-weight="%s">%s</text>'
                          % (x, y, size, fill, anchor, weight, escape(str(words))))

    def rect(self, x, y, width, height, fill, opacity=1.0, title=None):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" '
                          'opacity="%.2f">%s</rect>'
                          % (x, y, max(width, 0.5), height, fill, opacity,
                             "<title>%s</title>" % escape(title) if title else ""))

    def line(self, x1, y1, x2, y2, stroke=INK, width=1.0, dash=""):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" '
                          'stroke-width="%.1f"%s/>'
                          % (x1, y1, x2, y2, stroke, width,
                             ' stroke-dasharray="%s"' % dash if dash else ""))

    def path(self, points, stroke, dash=""):
        self.parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>'
                          % (" ".join("%.1f,%.1f" % p for p in points), stroke,
                             ' stroke-dasharray="%s"' % dash if dash else ""))

    def circle(self, x, y, radius, fill, stroke="#ffffff"):
        self.parts.append('<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" stroke="%s"/>'
                          % (x, y, radius, fill, stroke))

    def finish(self):
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                'viewBox="0 0 %d %d" font-family="Helvetica, Arial, sans-serif">\n'
                '<rect width="100%%" height="100%%" fill="#ffffff"/>\n%s\n</svg>\n'
                % (WIDTH, self.y + 20, WIDTH, self.y + 20, "\n".join(self.parts)))


def ticks(most, about=8):
    """Round steps from 0 to at least `most`."""
    step = 1
    while most / step > about:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return [step * n for n in range(int(most / step) + 2)]


class Axis:
    """Milliseconds from left to right."""

    def __init__(self, most):
        self.marks = [mark for mark in ticks(most) if mark <= most * 1.001]
        self.most = most

    def x(self, ms):
        return LEFT + ms / self.most * (WIDTH - LEFT - RIGHT)

    def draw(self, drawing, top, bottom):
        for mark in self.marks:
            drawing.line(self.x(mark), top, self.x(mark), bottom, GRID)
            drawing.text(self.x(mark), bottom + 14, "%d" % mark, 11, FAINT, "middle")
        drawing.text(WIDTH - RIGHT + 6, bottom + 14, "ms", 11, FAINT)


MARKS = (("html_first", "HTML's first byte"), ("html_last", "HTML's last byte"),
         ("painted", "painted"))


def draw_mark(drawing, kind, x, y):
    if kind == "html_first":
        drawing.circle(x, y, 4, "#ffffff", INK)
    elif kind == "html_last":
        drawing.circle(x, y, 4, INK)
    else:
        drawing.parts.append('<path d="M%.1f %.1f l5 5 l-5 5 l-5 -5 z" fill="#f2c230" '
                             'stroke="%s"/>' % (x, y - 5, INK))


def milestones(title, note, groups):
    """groups: (name, rows); row: (way, {metric: summary}). Bars end where the page is complete."""
    drawing = Drawing(title, note)
    x = 20
    for kind, words in MARKS:
        draw_mark(drawing, kind, x + 5, drawing.y)
        drawing.text(x + 16, drawing.y + 4, words, 11, FAINT)
        x += 30 + 7 * len(words)
    drawing.text(x, drawing.y + 4, "bar: complete (median), line: its quartiles", 11, FAINT)
    drawing.y += 20
    for name, rows in groups:
        draw_group(drawing, name, [row for row in rows if row[1].get("complete")])
    return drawing.finish()


def draw_group(drawing, name, rows):
    if not rows:
        return
    axis = Axis(max(row["complete"]["q3"] for _, row in rows))
    drawing.y += GAP
    drawing.text(20, drawing.y, name, 13, weight="bold")
    drawing.y += 8
    top = drawing.y
    axis.draw(drawing, top, top + ROW * len(rows))
    for n, (way, row) in enumerate(rows):
        y, end = top + ROW * n, row["complete"]
        middle = y + ROW / 2
        drawing.text(LEFT - 8, middle + 4, way, anchor="end")
        drawing.rect(axis.x(0), y + 4, axis.x(end["median"]) - axis.x(0), ROW - 8,
                     WAYS[n % len(WAYS)], 0.75)
        drawing.line(axis.x(end["q1"]), middle, axis.x(end["q3"]), middle, INK, 2)
        for kind, _ in MARKS:
            if row.get(kind):
                draw_mark(drawing, kind, axis.x(row[kind]["median"]), middle)
        drawing.text(axis.x(end["median"]) + 8, middle + 4, "%.0f" % end["median"], 11)
    drawing.y = top + ROW * len(rows) + 22


def waterfall(title, note, loads):
    """loads: (way, page) of one visit each: what came when, and by which way."""
    drawing = Drawing(title, note)
    x = 20
    for via, words in (("request", "asked for"), ("push", "pushed"), ("cache", "held")):
        drawing.rect(x, drawing.y - 9, 12, 10, VIAS[via])
        drawing.text(x + 17, drawing.y, words, 11, FAINT)
        x += 40 + 7 * len(words)
    drawing.text(x, drawing.y, "pale: asked for or promised, nothing has come", 11, FAINT)
    drawing.y += 10
    most = max(page["complete_us"] or 0 for _, page in loads) / 1000
    for way, page in loads:
        draw_load(drawing, Axis(most), way, page)
    return drawing.finish()


def draw_load(drawing, axis, way, page):
    rows = [("the page", page["asked_us"], page["html_first_us"], page["html_last_us"], "request")]
    for asset in sorted(page["assets"], key=lambda a: a["first_us"] or a["found_us"] or 0):
        began = asset["asked_us"] if asset["via"] == "request" else asset["promised_us"]
        if asset["last_us"]:
            name = asset["path"].rsplit("/", 1)[-1] + ("" if asset["needed"] else " (not needed)")
            rows.append((name, began, asset["first_us"], asset["last_us"], asset["via"]))
    drawing.y += GAP
    drawing.text(20, drawing.y, "%s: complete after %.0f ms" % (way, page["complete_us"] / 1000),
                 13, weight="bold")
    drawing.y += 8
    height, top = 14, drawing.y
    axis.draw(drawing, top, top + height * len(rows))
    for n, (name, began, first, last, via) in enumerate(rows):
        y = top + height * n
        drawing.text(LEFT - 8, y + 11, name, 11, anchor="end")
        began, first, last = ((began or first) / 1000, first / 1000, last / 1000)
        drawing.rect(axis.x(began), y + 3, axis.x(first) - axis.x(began), height - 6, VIAS[via],
                     0.3)
        drawing.rect(axis.x(first), y + 2, max(axis.x(last) - axis.x(first), 2), height - 4,
                     VIAS[via], 1, "%s: %.0f to %.0f ms" % (name, first, last))
    for ms, color in ((page["painted_us"], "#d9a400"), (page["complete_us"], INK)):
        if ms:
            drawing.line(axis.x(ms / 1000), top, axis.x(ms / 1000), top + height * len(rows), color,
                         1.5, "4 3")
    drawing.y = top + height * len(rows) + 22


def curves(title, note, unit_x, panels):
    """panels: (name, [(label, color, dash, [(x, ms)])])."""
    drawing = Drawing(title, note)
    width, height = (WIDTH - 60) / len(panels) - 60, 260
    top = drawing.y + 30
    most = max(ms for _, series in panels for _, _, _, points in series for _, ms in points)
    most_x = max(x for _, series in panels for _, _, _, points in series for x, _ in points)
    for n, (name, series) in enumerate(panels):
        left = 70 + n * (width + 60)
        draw_panel(drawing, (left, top, width, height), name, unit_x, series, most, most_x)
    drawing.y = top + height + 50
    for n, (label, color, dash, _) in enumerate(panels[0][1]):
        x = 70 + n * 210
        drawing.path([(x, drawing.y), (x + 30, drawing.y)], color, dash)
        drawing.text(x + 36, drawing.y + 4, label, 11)
    drawing.y += 10
    return drawing.finish()


def draw_panel(drawing, place, name, unit_x, series, most, most_x):
    left, top, width, height = place
    drawing.text(left, top - 10, name, 13, weight="bold")
    for mark in ticks(most, 6):
        if mark <= most * 1.05:
            y = top + height - mark / (most * 1.05) * height
            drawing.line(left, y, left + width, y, GRID)
            drawing.text(left - 6, y + 4, "%d" % mark, 11, FAINT, "end")
    for x_value in sorted({x for _, _, _, points in series for x, _ in points}):
        x = left + x_value / most_x * width
        drawing.text(x, top + height + 16, "%g" % x_value, 11, FAINT, "middle")
    drawing.text(left + width, top + height + 32, unit_x, 11, FAINT, "end")
    for _, color, dash, points in series:
        placed = [(left + x / most_x * width, top + height - ms / (most * 1.05) * height)
                  for x, ms in points]
        drawing.path(placed, color, dash)
        for x, y in placed:
            drawing.circle(x, y, 3.5, color)
