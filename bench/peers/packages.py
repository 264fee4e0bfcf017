"""Fetches the peers' Debian packages and unpacks them below build/peers/root. Nothing is installed:
no service starts, no file outside the build folder is written."""
import os
import shutil
import subprocess

PACKAGES = {
    "h2o": ["h2o"],
    "nginx": ["nginx", "nginx-common"],
    "apache": ["apache2-bin"],
    "nghttpd": ["nghttp2-server"],
    "nghttpx": ["nghttp2-proxy", "nginx", "nginx-common"],
    "caddy": ["caddy"],
}
DOWNLOAD_LIMIT_S = 300


def installed(package):
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return answer.stdout == "install ok installed"


def libraries_of(package):
    """The libraries that a package depends on directly."""
    answer = subprocess.run(
        ["apt-cache", "depends", "--no-recommends", "--no-suggests", "--no-conflicts",
         "--no-breaks", "--no-replaces", "--no-enhances", package],
        stdout=subprocess.PIPE, text=True, check=True)
    words = [line.split() for line in answer.stdout.splitlines()]
    return [w[1] for w in words if w[:1] == ["Depends:"] and w[1].startswith("lib")
            and not w[1].endswith("-tools")]


def wanted(names):
    """The peers' packages, and the libraries they need that are not installed."""
    packages, queue = [], [p for name in names for p in PACKAGES[name]]
    while queue:
        package = queue.pop(0)
        if package not in packages:
            packages.append(package)
            queue += [lib for lib in libraries_of(package) if not installed(lib)]
    return packages


def fetch(names, folder):
    """Leaves the packages of the named peers unpacked in `folder`/root; returns their versions."""
    root, debs = os.path.join(folder, "root"), os.path.join(folder, "debs")
    os.makedirs(debs, exist_ok=True)
    stamp = os.path.join(folder, "unpacked")
    have = open(stamp).read().split() if os.path.exists(stamp) else []
    missing = [p for p in wanted(names) if not any(h.startswith(p + "=") for h in have)]
    if missing:
        if not shutil.which("apt-get"):
            raise SystemExit("bench: the peers come from Debian packages, and there is no apt-get")
        print("fetching %s" % " ".join(missing), flush=True)
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"] +
                       missing, cwd=debs, check=True,
                       timeout=DOWNLOAD_LIMIT_S)
        for package in missing:
            deb = next(f for f in sorted(os.listdir(debs)) if f.startswith(package + "_"))
            subprocess.run(["dpkg", "-x", deb, "../root"], cwd=debs, check=True)
            have.append("%s=%s" % (package, deb.split("_")[1].replace("%3a", ":")))
        with open(stamp, "w") as out:
            out.write("\n".join(have) + "\n")
    return dict(h.split("=", 1) for h in have)
