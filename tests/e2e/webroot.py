"""The site that most tests serve: pages and assets of real kinds, the same bytes every time."""
import os
import random

# What index.html refers to, in document order; 12 of them, 2 to 24 KiB.
ASSETS = (
    "/assets/reset.css", "/assets/site.css", "/assets/app.js", "/assets/menu.js",
    "/assets/text.woff2", "/assets/title.woff2", "/assets/logo.svg", "/assets/hero.jpg",
    "/assets/one.png", "/assets/two.png", "/assets/three.webp", "/assets/data.json",
)
LIGHT_ASSETS = ("/assets/light.css", "/assets/light.js")

TEXT_WORDS = ("promise stream window frame header field page client asset cache origin "
              "weight urgency settings connection body").split()


def text_bytes(name, size):
    """Printable content that compresses, different for every name."""
    words = random.Random("text " + name)
    made = "/* %s */\n" % name
    while len(made) < size:
        made += " ".join(words.choice(TEXT_WORDS) for _ in range(9)) + "\n"
    return made[:size - 1].encode() + b"\n"


def binary_bytes(name, size):
    return random.Random("binary " + name).randbytes(size)


def asset_bytes(name, size):
    textual = name.endswith((".css", ".js", ".svg", ".json", ".html", ".txt"))
    return text_bytes(name, size) if textual else binary_bytes(name, size)


def page_bytes(title, assets, size=0):
    """An HTML page that refers to `assets`, filled up to `size` bytes."""
    head, body = [], []
    for path in assets:
        if path.endswith(".css"):
            head.append('<link rel="stylesheet" href="%s">' % path)
        elif path.endswith(".js"):
            head.append('<script src="%s" defer></script>' % path)
        elif path.endswith(".woff2"):
            head.append('<link rel="preload" as="font" type="font/woff2" crossorigin href="%s">'
                        % path)
        elif path.endswith(".json"):
            head.append('<link rel="preload" as="fetch" crossorigin href="%s">' % path)
        else:
            body.append('<img src="%s" alt="">' % path)
    made = ("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n"
            "%s\n</head><body>\n%s\n" % (title, "\n".join(head), "\n".join(body))).encode()
    end = b"</body></html>\n"
    filler = size - len(made) - len(end)
    if filler > 0:
        made += b"<p>" + text_bytes(title, max(1, filler - 4)) + b"\n"
    return made + end


class Webroot:
    """A directory of files that any user may read."""

    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)

    def path(self, name):
        return os.path.join(self.directory, name.lstrip("/"))

    def write(self, name, data):
        """Puts a file in place in one step, as a deployment does."""
        path = self.path(name)
        folder = os.path.dirname(path)
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            os.mkdir(folder)
            os.chmod(folder, 0o755)
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)
        return data

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def asset(self, name, size):
        return self.write(name, asset_bytes(name, size))

    def page(self, name, assets=(), size=0):
        return self.write(name, page_bytes(name, assets, size))

    def fill(self):
        """The standard site: index.html with 12 assets, light.html with two, plain.html, a folder."""
        sizes = random.Random("sizes")
        for name in ASSETS:
            self.asset(name, sizes.randrange(2048, 24 * 1024))
        for name in LIGHT_ASSETS:
            self.asset(name, 1500)
        self.page("/index.html", ASSETS, 9000)
        self.page("/light.html", LIGHT_ASSETS, 1200)
        self.page("/plain.html", (), 2000)
        self.page("/folder/index.html", (), 700)
        self.write("/hello.txt", b"hello, world\n")
        return self
