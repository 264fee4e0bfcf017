"""Paints the site's pictures: computed, so that they are ours, and the same at each run.

    /usr/bin/python3 bench/make-site/images.py bench/site/assets

Needs python3-pil and python3-numpy."""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

RANDOM = np.random.default_rng(20)


def noise(width, height, cells):
    """Smooth noise between 0 and 1: random values on a coarse grid, enlarged and added up."""
    total, weight, field = 0.0, 1.0, np.zeros((height, width))
    while cells < width:
        small = Image.fromarray((RANDOM.random((cells * height // width + 2, cells)) * 255).astype("uint8"))
        field += weight * np.asarray(small.resize((width, height), Image.BICUBIC)) / 255.0
        total, weight, cells = total + weight, weight / 2, cells * 2
    return field / total


def ridge(width, base, height, cells):
    """A skyline: for each column, how far up the hill reaches."""
    return base - height * noise(width, 8, cells)[4]


def hills(width, height):
    """Hills at dawn, paler with distance."""
    y = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - y) * np.array([38, 52, 110]) + y * np.array([250, 186, 130])
    picture = np.broadcast_to(sky, (height, width, 3)).copy()
    rows = np.arange(height)[:, None]
    sun = np.hypot(rows - height * 0.52, np.arange(width)[None, :] - width * 0.68)
    picture += np.exp(-(sun / (height * 0.16)) ** 2)[:, :, None] * np.array([120, 90, 40])
    for i in range(5):
        top = ridge(width, height * (0.62 + 0.09 * i), height * (0.26 - 0.03 * i), 5 + 3 * i)
        shade = np.array([118, 98, 128]) * (1 - i / 5.5) + np.array([22, 32, 48]) * (i / 5.5)
        picture[rows >= top[None, :]] = shade
    picture += (noise(width, height, 160)[:, :, None] - 0.5) * 22
    return Image.fromarray(picture.clip(0, 255).astype("uint8"))


def night_map(width, height):
    """An edge network seen from above: land, and lights joined by lines."""
    land = noise(width, height, 6)
    base = np.where((land > 0.52)[:, :, None], np.array([26, 42, 62]), np.array([12, 20, 36]))
    base = base + (noise(width, height, 60)[:, :, None] - 0.5) * 18
    picture = Image.fromarray(base.clip(0, 255).astype("uint8"))
    glow = Image.new("RGB", picture.size)
    draw = ImageDraw.Draw(glow)
    spots = [(int(x * width), int(y * height)) for x, y in RANDOM.random((34, 2))]
    for i, a in enumerate(spots):
        for b in sorted(spots, key=lambda s: (s[0] - a[0]) ** 2 + (s[1] - a[1]) ** 2)[1:3]:
            draw.line([a, b], fill=(60, 130, 170), width=2)
        radius = 3 + i % 5
        draw.ellipse([a[0] - radius, a[1] - radius, a[0] + radius, a[1] + radius], fill=(255, 214, 140))
    blurred = glow.filter(ImageFilter.GaussianBlur(7))
    sum_ = np.asarray(picture).astype(int) + np.asarray(blurred) * 1.6 + np.asarray(glow) * 0.9
    return Image.fromarray(sum_.clip(0, 255).astype("uint8"))


def chart(width, height):
    """Two visits on one time line: with a push, and without."""
    picture = Image.new("RGB", (width, height), (250, 248, 244))
    draw = ImageDraw.Draw(picture)
    rows = [("#c8553d", 0, 180), ("#c8553d", 180, 360), ("#c8553d", 360, 480), ("#2f6690", 0, 180),
            ("#2f6690", 150, 280), ("#2f6690", 165, 300)]
    for x in range(60, width - 20, 40):
        draw.line([(x, 20), (x, height - 30)], fill="#e4dfd6", width=2 if (x - 60) % 160 == 0 else 1)
    for i, (color, start, end) in enumerate(rows):
        y = 36 + i * 46 + (24 if i > 2 else 0)
        scale = (width - 120) / 500
        box = [60 + start * scale, y, 60 + end * scale, y + 28]
        draw.rounded_rectangle(box, 10, fill=color)
        for j in range(6):
            x = box[0] + (box[2] - box[0]) * j / 6
            draw.line([(x, y + 4), (x, y + 24)], fill="#ffffff55")
    grain = (noise(width, height, 60) - 0.5) * 6
    data = np.asarray(picture).astype(float) + grain[:, :, None]
    return Image.fromarray(data.clip(0, 255).astype("uint8")).quantize(32, dither=Image.NONE)


def weave(size):
    """A tile that repeats: woven threads."""
    y, x = np.mgrid[0:size, 0:size]
    over = ((x // 16 + y // 16) % 2).astype(float)
    threads = over * np.sin(x * np.pi / 8) ** 2 + (1 - over) * np.sin(y * np.pi / 8) ** 2
    tile = 236 + 10 * threads[:, :, None] * np.array([1.0, 0.96, 0.9]) + RANDOM.normal(0, 1.2, (size, size, 1))
    return Image.fromarray(tile.clip(0, 255).astype("uint8"))


if __name__ == "__main__":
    folder = sys.argv[1] + "/"
    hills(1280, 560).save(folder + "dawn.jpg", quality=82, optimize=True, progressive=True)
    night_map(900, 560).save(folder + "edge.webp", quality=84, method=6)
    chart(760, 360).save(folder + "timeline.png", optimize=True)
    weave(128).save(folder + "weave.png", optimize=True)
