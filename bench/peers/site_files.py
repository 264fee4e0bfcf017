"""The files that every server serves: four sizes, and a page with twelve assets, 284 KiB together.
Their bytes are random with a fixed seed, so that nothing compresses them."""
import json
import os
import random
import subprocess

FILES = {"1k.bin": 1024, "16k.bin": 16384, "64k.bin": 65536, "1m.bin": 1048576}
PAGE_PATH = "/page/"
PAGE_BYTES = 8192
ASSETS = [("base.css", 12), ("home.css", 6), ("app.js", 48), ("menu.js", 16), ("fonts.woff2", 24),
          ("bold.woff2", 24), ("logo.svg", 4), ("hero.jpg", 72), ("news.jpg", 32),
          ("map.png", 24), ("icon.png", 2), ("last.webp", 12)]  # KiB
ASSET_PATHS = ["/assets/" + name for name, _ in ASSETS]
ASSET_BYTES = 1024 * sum(size for _, size in ASSETS)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    os.utime(path, (1700000000, 1700000000))


def make(folder):
    """Writes the files below `folder`/site; returns {path: bytes}."""
    source, served = random.Random(8), {}
    for name, size in FILES.items():
        served["/" + name] = source.randbytes(size)
    links = "".join('<link rel="preload" href="%s">\n' % path for path in ASSET_PATHS)
    text = "<!doctype html>\n<title>A page</title>\n" + links
    served[PAGE_PATH] = text.encode().ljust(PAGE_BYTES, b"\n")
    for path, (_, size) in zip(ASSET_PATHS, ASSETS):
        served[path] = source.randbytes(1024 * size)
    for path, data in served.items():
        write(folder + "/site" + (path + "index.html" if path.endswith("/") else path), data)
    write(folder + "/site/push.json", json.dumps({PAGE_PATH: ASSET_PATHS}).encode())
    return served


def make_certificate(folder):
    """ECDSA P-256, self-signed, the same for every server."""
    cert, key = folder + "/cert.pem", folder + "/key.pem"
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "3650", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                       stderr=subprocess.DEVNULL, check=True)
    os.chmod(key, 0o644)  # servers that drop privileges first read it too; it guards nothing
    return cert, key
