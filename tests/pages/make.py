#!/usr/bin/python3
"""Makes the pages' images and fonts: run it in this folder after changing what is listed below.

Every glyph of the fonts is the same box; the images are plain colours. `brotli` must be installed.
"""
import os
import struct
import subprocess
import zlib

IMAGES = {
    "classic/img": ["logo", "banner", "product", "team", "button"],
    "app/img": ["mark"],
    "news/img": ["lead-480", "lead-960", "lead-1440", "hero", "author", "chart", "chart-dark",
                 "single", "same", "story-1", "story-2", "story-3", "poster", "pixel", "inline",
                 "wide", "narrow"],
    "docs/img": ["diagram", "tile"],
    "soup/assets/img": ["a", "b", "c d", "e", "f", "g", "h", "never", "lazy"],
}
FONTS = {
    "app/fonts": ["shell-400.woff2", "shell-700.woff2"],
    "docs/fonts": ["text-400.woff2", "text-400.woff", "text-400-italic.woff2", "text-600.woff2",
                   "text-700.woff2", "text-greek.woff2", "heads-variable.woff2", "code.woff",
                   "icons.woff2", "print.woff2", "wide.woff2"],
    "soup/assets/fonts": ["old.woff", "hidden.woff2"],
}
GLYPHS = 96                              # .notdef and one for each printable ASCII character


def png(number):
    width, height = 16, 16
    colour = bytes((37 * number % 256, 91 * number % 256, 53 * number % 256))
    rows = (b"\0" + colour * width) * height

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def box():
    """A simple glyph: one contour of four points."""
    points = [(100, 0), (0, 700), (400, 0), (0, -700)]
    flags = bytes([1, 1, 1, 1])
    data = struct.pack(">hhhhh", 1, 100, 0, 500, 700) + struct.pack(">HH", 3, 0) + flags
    data += b"".join(struct.pack(">h", x) for x, _ in points)
    data += b"".join(struct.pack(">h", y) for _, y in points)
    return data + b"\0" * (-len(data) % 4)


def names(family):
    records, text = b"", b""
    for number, value in ((1, family), (2, "Regular"), (3, family + " 1"), (4, family),
                          (5, "Version 1.0"), (6, family)):
        encoded = value.encode("utf-16-be")
        records += struct.pack(">HHHHHH", 3, 1, 0x409, number, len(encoded), len(text))
        text += encoded
    return struct.pack(">HHH", 0, 6, 6 + len(records)) + records + text


def cmap():
    """Format 4, two segments: U+0020 to U+007E, and the final one."""
    table = struct.pack(">HHHHHHH", 4, 32, 0, 4, 4, 1, 0)
    table += struct.pack(">HH", 0x7E, 0xFFFF) + struct.pack(">H", 0)
    table += struct.pack(">HH", 0x20, 0xFFFF)
    table += struct.pack(">hh", 1 - 0x20, 1) + struct.pack(">HH", 0, 0)
    return struct.pack(">HHHHI", 0, 1, 3, 1, 12) + table


def tables(family, weight):
    glyph = box()
    head = struct.pack(">IIIIHHqqhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 3, 1000, 3600, 3600,
                       0, 0, 500, 700, 0, 8, 2, 1, 0)
    hhea = struct.pack(">IhhhHhhhhhhhhhhhH", 0x10000, 800, -200, 0, 600, 100, 100, 500, 1, 0, 0,
                       0, 0, 0, 0, 0, GLYPHS)
    maxp = struct.pack(">IHHHHHHHHHHHHHH", 0x10000, GLYPHS, 4, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)
    os2 = struct.pack(">HhHHHhhhhhhhhhhh", 4, 600, weight, 5, 0, 650, 600, 0, 75, 650, 600, 0, 350,
                      50, 300, 0)
    os2 += b"\0" * 10 + struct.pack(">IIII", 1, 0, 0, 0) + b"HRLD"
    os2 += struct.pack(">HHHhhhHHIIhhHHH", 0x40, 0x20, 0x7E, 800, -200, 0, 800, 200, 1, 0, 500,
                       700, 0, 0x20, 1)
    post = struct.pack(">IIhhIIIII", 0x30000, 0, -100, 50, 0, 0, 0, 0, 0)
    return {
        b"OS/2": os2, b"cmap": cmap(), b"glyf": glyph * GLYPHS, b"head": head, b"hhea": hhea,
        b"hmtx": struct.pack(">Hh", 600, 100) * GLYPHS,
        b"loca": struct.pack(">%dI" % (GLYPHS + 1), *(i * len(glyph) for i in range(GLYPHS + 1))),
        b"maxp": maxp, b"name": names(family), b"post": post,
    }


def checksum(data):
    data += b"\0" * (-len(data) % 4)
    return sum(struct.unpack(">%dI" % (len(data) // 4), data)) & 0xFFFFFFFF


def adjust(parts):
    """Sets head's checkSumAdjustment, which covers the whole file as TrueType."""
    offset = 12 + 16 * len(parts)
    directory, body = b"", b""
    for tag, data in parts.items():
        directory += tag + struct.pack(">III", checksum(data), offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    whole = struct.pack(">IHHHH", 0x10000, len(parts), 128, 3, 16 * len(parts) - 128)
    total = checksum(whole + directory + body)
    head = parts[b"head"]
    parts[b"head"] = head[:8] + struct.pack(">I", (0xB1B0AFBA - total) & 0xFFFFFFFF) + head[12:]
    return len(whole + directory + body)


def woff(parts):
    size = adjust(parts)
    offset = 44 + 20 * len(parts)
    directory, body = b"", b""
    for tag, data in parts.items():
        packed = zlib.compress(data, 9)
        packed = packed if len(packed) < len(data) else data
        directory += tag + struct.pack(">IIII", offset + len(body), len(packed), len(data),
                                       checksum(data))
        body += packed + b"\0" * (-len(packed) % 4)
    return (struct.pack(">4sIIHHIHHIIIII", b"wOFF", 0x10000, 44 + len(directory + body),
                        len(parts), 0, size, 1, 0, 0, 0, 0, 0, 0) + directory + body)


def base128(number):
    digits = [number & 0x7F]
    while number > 0x7F:
        number >>= 7
        digits.insert(0, number & 0x7F | 0x80)
    return bytes(digits)


KNOWN = [b"cmap", b"head", b"hhea", b"hmtx", b"maxp", b"name", b"OS/2", b"post", b"cvt ", b"fpgm",
         b"glyf", b"loca"]


def woff2(parts):
    size = adjust(parts)
    directory, body = b"", b""
    for tag, data in parts.items():
        null_transform = 3 if tag in (b"glyf", b"loca") else 0
        directory += bytes([KNOWN.index(tag) | null_transform << 6]) + base128(len(data))
        body += data
    packed = subprocess.run(["brotli", "--stdout", "--best", "-"], input=body, check=True,
                            stdout=subprocess.PIPE).stdout
    length = 48 + len(directory) + len(packed)
    padding = b"\0" * (-length % 4)
    return (struct.pack(">4sIIHHIIHHIIIII", b"wOF2", 0x10000, length + len(padding), len(parts), 0,
                        size, len(packed), 1, 0, 0, 0, 0, 0, 0) + directory + packed + padding)


def main():
    number = 0
    for folder, files in IMAGES.items():
        os.makedirs(folder, exist_ok=True)
        for name in files:
            number += 1
            with open(os.path.join(folder, name + ".png"), "wb") as image:
                image.write(png(number))
    for folder, files in FONTS.items():
        os.makedirs(folder, exist_ok=True)
        for name in files:
            stem, kind = name.rsplit(".", 1)
            parts = tables("Herald " + stem.title(), 700 if "700" in stem else 400)
            with open(os.path.join(folder, name), "wb") as font:
                font.write(woff2(parts) if kind == "woff2" else woff(parts))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
