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


def many(site):
    """2 KiB of HTML with many small assets, of which a first window holds some."""
    kib = 1024
    head = [site.style("/assets/a.css", 2 * kib), site.script("/assets/a.js", 3 * kib)]
    images = [site.blob("/assets/i%d.png" % n, 1500 + 300 * n) for n in range(20)]
    site.page("/", 2 * kib, head=head, images=images)


def thin(site):
    """40 KiB of HTML with 100 KiB of assets: on a thin link the page itself takes its time."""
    kib = 1024
    head = [site.style("/assets/a.css", 20 * kib), site.script("/assets/a.js", 30 * kib)]
    images = [site.blob("/assets/i%d.jpg" % n, 10 * kib) for n in range(5)]
    site.page("/", 40 * kib, head=head, images=images)


def rules(site, html_bytes, script_bytes):
    """A script in the head of a page, twice; and a page that lets the connection's window grow."""
    site.page("/", html_bytes, head=[site.script("/assets/a.js", script_bytes)])
    site.page("/idle.html", html_bytes, head=[site.script("/assets/idle.js", script_bytes)])
    site.page("/warm/", 2000, images=[site.blob("/assets/warm.jpg", 90000)])


REAL_IMAGES = (22, 18, 15, 12, 10, 8, 8, 6, 5, 4)  # KB


def real(site):
    """30 KB of HTML, 270 KB of what it needs, some of which only sheets and scripts name; and 90 KB
    of what other clients would take instead: images for finer screens, fonts for older browsers."""
    fonts = [site.blob("/assets/font%d.woff2" % n, 20000) for n in range(2)]
    for n in range(2):
        site.blob("/assets/font%d.woff" % n, 25000)
    back = site.blob("/assets/back.jpg", 12000)
    head = [site.style("/assets/base.css", 24000, urls=fonts),
            site.style("/assets/home.css", 10000, urls=[back]),
            site.script("/assets/library.js", 36000), site.script("/assets/page.js", 12000)]
    images = [site.blob("/assets/image%d.jpg" % n, size * 1000)
              for n, size in enumerate(REAL_IMAGES)]
    for n in range(2):
        site.blob("/assets/image%d-fine.jpg" % n, 20000)
    more = [site.script("/assets/more%d.js" % n, 8000) for n in range(2)]
    last = site.script("/assets/app.js", 24000, loads=more)
    site.page("/", 30000, head=head, images=images, last_scripts=[last])


def everything_policy():
    """Pushes all of real()'s assets, in the order of their names, none of them more urgent."""
    names = ["app.js", "back.jpg", "base.css", "home.css", "library.js", "more0.js", "more1.js",
             "page.js"]
    names += ["font%d.%s" % (n, kind) for n in range(2) for kind in ("woff", "woff2")]
    names += ["image%d.jpg" % n for n in range(len(REAL_IMAGES))]
    names += ["image%d-fine.jpg" % n for n in range(2)]
    return """return {
  api = 1,
  applies = { dest = "document" },
  on_request = function(req, push)
%s  end,
}
""" % "".join('    push:add("/assets/%s", { urgency = 3 })\n' % name for name in sorted(names))
