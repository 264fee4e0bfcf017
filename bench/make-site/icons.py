"""Draws the site's three icons as SVG.

    /usr/bin/python3 bench/make-site/icons.py bench/site/assets"""

import math
import random
import sys

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" fill="none" stroke-linecap="round" stroke-linejoin="round">\n'
INK, BRASS, PALE = "#1d2b45", "#d9903d", "#efe4d2"


def leaf(x, y, angle, length, width):
    """A leaf of a laurel, tip outwards."""
    tip = x + length * math.cos(angle), y + length * math.sin(angle)
    side = angle + math.pi / 2
    bend = (x + tip[0]) / 2, (y + tip[1]) / 2
    left = bend[0] + width * math.cos(side), bend[1] + width * math.sin(side)
    right = bend[0] - width * math.cos(side), bend[1] - width * math.sin(side)
    return (f'M{x:.1f} {y:.1f}Q{left[0]:.1f} {left[1]:.1f} {tip[0]:.1f} {tip[1]:.1f}'
            f'Q{right[0]:.1f} {right[1]:.1f} {x:.1f} {y:.1f}z')


def laurel():
    out = []
    for mirror in (1, -1):
        for i in range(11):
            turn = math.pi / 2 + mirror * (0.35 + i * 0.235)
            x, y = 48 + 33 * math.cos(turn), 48 + 33 * math.sin(turn)
            for lean in (0.75, -0.55):
                out.append(f'  <path d="{leaf(x, y, turn + mirror * 1.57 - mirror * lean, 13, 3.4)}" '
                           f'fill="{BRASS}" opacity="{0.62 + 0.035 * i:.2f}"/>')
    return "\n".join(out)


def held():
    return (HEAD + f'  <circle cx="48" cy="48" r="46" fill="{PALE}"/>\n' + laurel() +
            f'\n  <path d="M31 49l12 12 22-26" stroke="{INK}" stroke-width="7"/>\n</svg>\n')


def scales():
    ticks = "\n".join(
        f'  <path d="M{48 + 40 * math.cos(a):.1f} {48 + 40 * math.sin(a):.1f}'
        f'L{48 + (34 if i % 5 else 30) * math.cos(a):.1f} {48 + (34 if i % 5 else 30) * math.sin(a):.1f}" '
        f'stroke="{INK}" stroke-width="{1.2 if i % 5 else 2.4}" opacity=".55"/>'
        for i, a in enumerate(math.pi * (0.75 + 1.5 * i / 40) for i in range(41)))
    return (HEAD + f'  <circle cx="48" cy="48" r="46" fill="{PALE}"/>\n{ticks}\n'
            f'  <path d="M48 50L70 32" stroke="{BRASS}" stroke-width="6"/>\n'
            f'  <circle cx="48" cy="50" r="6" fill="{INK}"/>\n'
            f'  <path d="M34 72h28" stroke="{INK}" stroke-width="4"/>\n</svg>\n')


def quill():
    random.seed(4)
    barbs = "\n".join(
        f'  <path d="M{30 + i * 1.05:.1f} {70 - i * 1.28:.1f}q{5 + random.random() * 3:.1f} '
        f'{-1 - random.random() * 2:.1f} {10 + i * 0.16:.1f} {-9 - i * 0.1:.1f}" stroke="{BRASS}" '
        f'stroke-width="2.2" opacity="{0.5 + i / 80:.2f}"/>' for i in range(6, 38))
    return (HEAD + f'  <circle cx="48" cy="48" r="46" fill="{PALE}"/>\n{barbs}\n'
            f'  <path d="M24 78L70 22" stroke="{INK}" stroke-width="3"/>\n'
            f'  <path d="M40 78q8-5 14 0t16-2" stroke="{INK}" stroke-width="2.6"/>\n</svg>\n')


if __name__ == "__main__":
    for name, draw in (("held", held), ("scales", scales), ("quill", quill)):
        with open(f"{sys.argv[1]}/{name}.svg", "w") as out:
            out.write(draw())
