"""Draws the site's two fonts, stroke by stroke, and writes them as WOFF2.

    /usr/bin/python3 bench/make-site/font.py bench/site/assets

A glyph is a list of strokes on a grid (x to the right, y up, 700 to a capital); a stroke is a
polyline that a round pen follows. Needs python3-fonttools and python3-brotli."""

import math
import sys

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

CAP, X, DESCENT, UNITS = 700, 490, -190, 1000


def arc(cx, cy, rx, ry, start, end, step=11.25):
    """Points of an ellipse's arc; degrees, counter-clockwise from the right."""
    count = max(2, round(abs(end - start) / step))
    return [(cx + rx * math.cos(math.radians(start + (end - start) * i / count)),
             cy + ry * math.sin(math.radians(start + (end - start) * i / count)))
            for i in range(count + 1)]


def ring(cx, cy, rx, ry):
    return arc(cx, cy, rx, ry, 0, 360)


def dot(x, y):
    return [(x, y), (x + 1, y)]


B = 190                 # half of a small bowl's width
BOWL = ring(200, 245, B, 245)
STEM_RIGHT = [(390, X), (390, 0)]

# name: (advance without side bearings, strokes)
GLYPHS = {
    "a": (390, [BOWL, STEM_RIGHT]),
    "b": (390, [BOWL, [(10, CAP + 20), (10, 0)]]),
    "c": (350, [arc(200, 245, B, 245, 48, 312)]),
    "d": (390, [BOWL, [(390, CAP + 20), (390, 0)]]),
    "e": (380, [[(12, 250), (388, 250)] + arc(200, 245, B, 245, 2, 310)]),
    "f": (240, [arc(200, 600, 110, 120, 60, 180) + [(90, 0)], [(0, X), (220, X)]]),
    "g": (390, [BOWL, [(390, X), (390, -40)] + arc(200, -40, B, 150, 0, -145)]),
    "h": (350, [[(10, CAP + 20), (10, 0)], [(10, 300)] + arc(180, 320, 170, 170, 180, 0) + [(350, 0)]]),
    "i": (20, [[(10, X), (10, 0)], dot(10, 660)]),
    "j": (90, [[(80, X), (80, -70)] + arc(-20, -70, 100, 120, 0, -90), dot(80, 660)]),
    "k": (320, [[(10, CAP + 20), (10, 0)], [(300, X), (10, 190)], [(120, 290), (320, 0)]]),
    "l": (20, [[(10, CAP + 20), (10, 0)]]),
    "m": (600, [[(10, X), (10, 0)], [(10, 300)] + arc(158, 342, 148, 148, 180, 0) + [(306, 0)],
                [(306, 300)] + arc(454, 342, 148, 148, 180, 0) + [(602, 0)]]),
    "n": (350, [[(10, X), (10, 0)], [(10, 300)] + arc(180, 320, 170, 170, 180, 0) + [(350, 0)]]),
    "o": (400, [BOWL]),
    "p": (390, [BOWL, [(10, X), (10, DESCENT)]]),
    "q": (390, [BOWL, [(390, X), (390, DESCENT)]]),
    "r": (220, [[(10, X), (10, 0)], [(10, 300)] + arc(170, 320, 160, 170, 180, 70)]),
    "s": (300, [arc(155, 365, 135, 125, 40, 270) + arc(155, 125, 145, 125, 90, -140)]),
    "t": (230, [[(90, 660), (90, 120)] + arc(200, 120, 110, 120, 180, 285), [(0, X), (215, X)]]),
    "u": (350, [[(10, X), (10, 170)] + arc(180, 170, 170, 170, 180, 360) + [(350, X)], [(350, X), (350, 0)]]),
    "v": (350, [[(0, X), (175, 0), (350, X)]]),
    "w": (540, [[(0, X), (140, 0), (270, 440), (400, 0), (540, X)]]),
    "x": (330, [[(0, X), (330, 0)], [(330, X), (0, 0)]]),
    "y": (350, [[(0, X), (180, 0)], [(350, X), (110, DESCENT)]]),
    "z": (310, [[(0, X), (310, X), (0, 0), (310, 0)]]),
    "A": (560, [[(0, 0), (280, CAP), (560, 0)], [(98, 240), (462, 240)]]),
    "B": (420, [[(10, 0), (10, CAP), (220, CAP)] + arc(220, 535, 165, 165, 90, -90) + [(10, 370)],
                [(220, 370)] + arc(230, 185, 190, 185, 90, -90) + [(10, 0)]]),
    "C": (560, [arc(330, 350, 320, 350, 45, 315)]),
    "D": (540, [[(10, 0), (10, CAP), (200, CAP)] + arc(200, 350, 340, 350, 90, -90) + [(10, 0)]]),
    "E": (390, [[(390, CAP), (10, CAP), (10, 0), (390, 0)], [(10, 365), (340, 365)]]),
    "F": (370, [[(380, CAP), (10, CAP), (10, 0)], [(10, 350), (320, 350)]]),
    "G": (600, [arc(330, 350, 320, 350, 45, 360) + [(650, 340), (370, 340)]]),
    "H": (520, [[(10, 0), (10, CAP)], [(520, 0), (520, CAP)], [(10, 360), (520, 360)]]),
    "I": (20, [[(10, 0), (10, CAP)]]),
    "J": (320, [[(310, CAP), (310, 180)] + arc(150, 180, 160, 180, 0, -170)]),
    "K": (460, [[(10, 0), (10, CAP)], [(440, CAP), (10, 290)], [(160, 430), (470, 0)]]),
    "L": (360, [[(10, CAP), (10, 0), (370, 0)]]),
    "M": (620, [[(10, 0), (30, CAP), (315, 180), (600, CAP), (620, 0)]]),
    "N": (530, [[(10, 0), (10, CAP), (520, 0), (520, CAP)]]),
    "O": (680, [ring(340, 350, 335, 350)]),
    "P": (410, [[(10, 0), (10, CAP), (220, CAP)] + arc(220, 510, 190, 190, 90, -90) + [(10, 320)]]),
    "Q": (680, [ring(340, 350, 335, 350), [(430, 160), (640, -50)]]),
    "R": (440, [[(10, 0), (10, CAP), (230, CAP)] + arc(230, 515, 185, 185, 90, -90) + [(10, 330)],
                [(230, 330), (440, 0)]]),
    "S": (420, [arc(215, 525, 190, 175, 35, 270) + arc(215, 175, 205, 175, 90, -145)]),
    "T": (500, [[(0, CAP), (500, CAP)], [(250, CAP), (250, 0)]]),
    "U": (500, [[(10, CAP), (10, 245)] + arc(255, 245, 245, 245, 180, 360) + [(500, CAP)]]),
    "V": (530, [[(0, CAP), (265, 0), (530, CAP)]]),
    "W": (800, [[(0, CAP), (205, 0), (400, 640), (595, 0), (800, CAP)]]),
    "X": (490, [[(0, CAP), (490, 0)], [(490, CAP), (0, 0)]]),
    "Y": (480, [[(0, CAP), (240, 340), (480, CAP)], [(240, 340), (240, 0)]]),
    "Z": (470, [[(0, CAP), (470, CAP), (0, 0), (480, 0)]]),
    "zero": (440, [ring(220, 350, 215, 350)]),
    "one": (200, [[(0, 560), (190, CAP), (190, 0)]]),
    "two": (400, [arc(200, 500, 195, 200, 165, -30) + [(0, 0), (410, 0)]]),
    "three": (400, [arc(195, 525, 180, 175, 150, -90) + [(150, 350)],
                    [(150, 350)] + arc(195, 178, 205, 178, 90, -150)]),
    "four": (460, [[(340, 0), (340, CAP), (0, 190), (460, 190)]]),
    "five": (400, [[(370, CAP), (70, CAP), (40, 390)] + arc(190, 225, 210, 225, 115, -145)]),
    "six": (420, [ring(215, 215, 205, 215), [(330, CAP), (60, 340)]]),
    "seven": (400, [[(0, CAP), (410, CAP), (130, 0)]]),
    "eight": (420, [ring(210, 535, 170, 165), ring(210, 185, 205, 185)]),
    "nine": (420, [ring(205, 485, 205, 215), [(90, 0), (360, 360)]]),
    "period": (20, [dot(10, 10)]),
    "comma": (40, [[(30, 20), (0, -110)]]),
    "colon": (20, [dot(10, 10), dot(10, 400)]),
    "semicolon": (40, [[(30, 20), (0, -110)], dot(20, 400)]),
    "exclam": (20, [[(10, CAP), (10, 220)], dot(10, 10)]),
    "question": (340, [arc(170, 530, 165, 170, 170, -60) + [(170, 220)], dot(170, 10)]),
    "hyphen": (240, [[(0, 270), (240, 270)]]),
    "endash": (420, [[(0, 270), (420, 270)]]),
    "emdash": (760, [[(0, 270), (760, 270)]]),
    "quotesingle": (20, [[(10, CAP + 20), (10, 520)]]),
    "quotedbl": (150, [[(10, CAP + 20), (10, 520)], [(140, CAP + 20), (140, 520)]]),
    "quoteright": (50, [[(40, CAP + 20), (5, 560)]]),
    "parenleft": (140, [arc(220, 300, 215, 470, 125, 235)]),
    "parenright": (140, [arc(-80, 300, 215, 470, 55, -55)]),
    "bracketleft": (130, [[(140, 780), (10, 780), (10, -130), (140, -130)]]),
    "bracketright": (130, [[(0, 780), (130, 780), (130, -130), (0, -130)]]),
    "slash": (300, [[(0, -90), (300, 780)]]),
    "plus": (420, [[(0, 300), (420, 300)], [(210, 90), (210, 510)]]),
    "equal": (420, [[(0, 210), (420, 210)], [(0, 390), (420, 390)]]),
    "less": (400, [[(400, 500), (0, 300), (400, 100)]]),
    "greater": (400, [[(0, 500), (400, 300), (0, 100)]]),
    "underscore": (460, [[(0, -120), (460, -120)]]),
    "asterisk": (300, [[(150, CAP), (150, 420)], [(25, 630), (275, 490)], [(25, 490), (275, 630)]]),
    "numbersign": (520, [[(150, 0), (220, CAP)], [(340, 0), (410, CAP)], [(20, 470), (520, 470)], [(0, 230), (500, 230)]]),
    "percent": (640, [ring(140, 560, 130, 140), ring(510, 140, 130, 140), [(540, CAP), (110, 0)]]),
    "ampersand": (520, [[(520, 0), (130, 500)] + arc(230, 570, 125, 130, 215, -40) + [(110, 330)] + arc(210, 190, 205, 190, 135, 360)]),
    "at": (740, [ring(370, 250, 140, 150), [(510, 400), (510, 180)] + arc(610, 190, 100, 90, 180, 360) + arc(370, 260, 345, 400, 0, 300)]),
    "arrowright": (560, [[(0, 300), (560, 300)], [(350, 510), (560, 300), (350, 90)]]),
    "multiply": (340, [[(0, 470), (340, 130)], [(340, 470), (0, 130)]]),
    "periodcentered": (20, [dot(10, 290)]),
}

CODES = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "period": ".", "comma": ",", "colon": ":",
    "semicolon": ";", "exclam": "!", "question": "?", "hyphen": "-", "endash": "\u2013",
    "emdash": "\u2014", "quotesingle": "'", "quotedbl": '"', "quoteright": "\u2019",
    "parenleft": "(", "parenright": ")", "bracketleft": "[", "bracketright": "]", "slash": "/",
    "plus": "+", "equal": "=", "less": "<", "greater": ">", "underscore": "_", "asterisk": "*",
    "numbersign": "#", "percent": "%", "ampersand": "&", "at": "@", "arrowright": "\u2192",
    "multiply": "\u00d7", "periodcentered": "\u00b7",
}


def circle(pen, x, y, radius):
    points = arc(x, y, radius, radius, 360, 0, 30)[:-1]
    pen.moveTo((round(points[0][0]), round(points[0][1])))
    for point in points[1:]:
        pen.lineTo((round(point[0]), round(point[1])))
    pen.closePath()


def segment(pen, a, b, radius):
    """A pen's straight movement: a rectangle, clockwise as TrueType wants its outsides."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = math.hypot(dx, dy)
    if length < 1.5:
        return
    nx, ny = -dy / length * radius, dx / length * radius
    corners = [(a[0] + nx, a[1] + ny), (b[0] + nx, b[1] + ny),
               (b[0] - nx, b[1] - ny), (a[0] - nx, a[1] - ny)]
    pen.moveTo((round(corners[0][0]), round(corners[0][1])))
    for corner in corners[1:]:
        pen.lineTo((round(corner[0]), round(corner[1])))
    pen.closePath()


def side(points, radius):
    """The points `radius` to the left of a polyline, each where its two sides meet."""
    out = []
    for i, (x, y) in enumerate(points):
        before = points[max(i - 1, 0)]
        after = points[min(i + 1, len(points) - 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = math.hypot(dx, dy) or 1
        out.append((x - dy / length * radius, y + dx / length * radius))
    return out


def turns_sharply(points):
    for a, b, c in zip(points, points[1:], points[2:]):
        first = math.atan2(b[1] - a[1], b[0] - a[0])
        second = math.atan2(c[1] - b[1], c[0] - b[0])
        if abs((second - first + math.pi) % (2 * math.pi) - math.pi) > 0.5:
            return True
    return False


def stroke(pen, points, radius):
    """Draws one stroke: smooth ones as one outline, others piece by piece with round joints."""
    if len(points) > 2 and not turns_sharply(points):
        outline = side(points, radius) + side(points[::-1], radius)
        pen.moveTo((round(outline[0][0]), round(outline[0][1])))
        for point in outline[1:]:
            pen.lineTo((round(point[0]), round(point[1])))
        pen.closePath()
        ends = (points[0], points[-1])
    else:
        for a, b in zip(points, points[1:]):
            segment(pen, a, b, radius)
        ends = points
    for x, y in ends:
        circle(pen, x, y, radius)


def glyph(strokes, radius, bearing):
    pen = TTGlyphPen(None)
    for points in strokes:
        stroke(pen, [(x + bearing, y) for x, y in points], radius)
    return pen.glyph()


def build(path, style, radius):
    bearing = 62 + radius
    glyphs, metrics, codes = {}, {}, {0x20: "space"}
    glyphs[".notdef"] = glyph([[(0, 0), (0, CAP), (400, CAP), (400, 0), (0, 0)]], radius, bearing)
    metrics[".notdef"] = (400 + 2 * bearing, 0)
    glyphs["space"] = TTGlyphPen(None).glyph()
    metrics["space"] = (270, 0)
    for name, (width, strokes) in GLYPHS.items():
        glyphs[name] = glyph(strokes, radius, bearing)
        metrics[name] = (width + 2 * bearing, 0)
        codes[ord(CODES.get(name, name))] = name
    builder = FontBuilder(UNITS, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(codes)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(metrics)
    builder.setupHorizontalHeader(ascent=900, descent=-260)
    builder.setupNameTable({"familyName": "Herald Round", "styleName": style})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-260, usWinAscent=960, usWinDescent=300)
    builder.setupPost()
    builder.font.flavor = "woff2"
    builder.font["head"].created = builder.font["head"].modified = 3786912000
    builder.font.recalcTimestamp = False
    builder.save(path)


if __name__ == "__main__":
    build(sys.argv[1] + "/round.woff2", "Regular", 34)
    build(sys.argv[1] + "/round-bold.woff2", "Bold", 58)
