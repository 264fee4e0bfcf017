"""Writes the pages that are measured: of exact sizes, the same bytes every time."""
import os
import random

WORDS = ("field river stone light paper window market signal garden morning copper letter harbour "
         "engine winter orange valley bridge summer thread").split()


def words(count, seed):
    """Exactly `count` bytes of text without markup."""
    rng = random.Random(seed)
    parts, length = [], 0
    while length <= count:
        part = "%s%x " % (rng.choice(WORDS), rng.getrandbits(20))
        parts.append(part)
        length += len(part)
    return "".join(parts)[:count]


def filled(text, size, seed, before, after):
    """`text` with a comment that makes it `size` bytes long."""
    room = size - len(text) - len(before) - len(after)
    if room < 0:
        raise ValueError("%d bytes do not fit into %d" % (size - room, size))
    return text + before + words(room, seed) + after


def style(size, seed, imports=(), urls=()):
    text = "".join('@import "%s";\n' % path for path in imports)
    for n, path in enumerate(urls):
        if path.endswith(".woff2"):
            text += '@font-face{font-family:f%d;src:url("%s") format("woff2")}\n' % (n, path)
        else:
            text += '.b%d{background:url("%s")}\n' % (n, path)
    return filled(text, size, seed, "/*", "*/")


def script(size, seed, loads=()):
    return filled("".join('load("%s");\n' % path for path in loads), size, seed, "/*", "*/")


def blob(size, seed):
    return random.Random(seed).randbytes(size)


def html(size, seed, head=(), images=(), last_scripts=()):
    """A page of `size` bytes: what is in its head, then text among which the images stand."""
    top = "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>page</title>\n"
    for path in head:
        if path.endswith(".css"):
            top += '<link rel="stylesheet" href="%s">\n' % path
        else:
            top += '<script src="%s"></script>\n' % path
    top += "</head>\n<body>\n"
    pictures = ['<img src="%s" alt="">\n' % path for path in images]
    bottom = "".join('<script src="%s"></script>\n' % path for path in last_scripts)
    bottom += "</body></html>\n"
    room = size - len(top) - len(bottom) - sum(map(len, pictures))
    if room < 0:
        raise ValueError("the page does not fit into %d bytes" % size)
    share = room // (len(pictures) + 1)
    text, used = top, 0
    for n, picture in enumerate(pictures):
        text += words(share, seed + n) + picture
        used += share
    return text + words(room - used, seed + 999) + bottom


class Site:
    """A folder of files that a case's server serves."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(os.path.join(directory, "assets"), exist_ok=True)

    def add(self, path, content):
        name = self.directory + (path + "index.html" if path.endswith("/") else path)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def style(self, path, size, **more):
        return self.add(path, style(size, path, **more))

    def script(self, path, size, **more):
        return self.add(path, script(size, path, **more))

    def blob(self, path, size):
        return self.add(path, blob(size, path))

    def page(self, path, size, **more):
        return self.add(path, html(size, sum(path.encode()), **more))


def small(site):
    """A page that fits into the first window with everything on it: 10 KB."""
    site.style("/assets/a.css", 2000)
    site.script("/assets/a.js", 2000)
    site.blob("/assets/a.png", 1500)
    site.page("/", 3000, head=["/assets/a.css", "/assets/a.js"], images=["/assets/a.png"])


def large(site):
    """12 KiB of HTML with 284 KiB of assets, fonts among them that only the sheets name."""
    kib = 1024
    fonts = [site.blob("/assets/f%d.woff2" % n, 20 * kib) for n in range(2)]
    head = [site.style("/assets/a.css", 20 * kib, urls=fonts),
            site.style("/assets/b.css", 12 * kib),
            site.script("/assets/a.js", 40 * kib), site.script("/assets/b.js", 28 * kib)]
    images = [site.blob("/assets/i%d.jpg" % n, size * kib)
              for n, size in enumerate((32, 28, 24, 20, 16, 12, 8, 4))]
    site.page("/", 12 * kib, head=head, images=images)


def slow(site):
    """40 KiB of HTML with 100 KiB of assets: on a thin link the page itself takes its time."""
    kib = 1024
    head = [site.style("/assets/a.css", 20 * kib), site.script("/assets/a.js", 30 * kib)]
    images = [site.blob("/assets/i%d.jpg" % n, 10 * kib) for n in range(5)]
    site.page("/", 40 * kib, head=head, images=images)
