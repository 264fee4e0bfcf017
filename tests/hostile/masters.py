"""Attacks on the master, by who may reach its control socket."""
import json
import os
import socket
import time

from corpus import KEPT, attack

GROUP = "master"
FOR_S = 0.5
GARBAGE = [b"\n", b"hello\n", b"{}\n", b'{"verb":"statsu"}\n', b'{"verb":["status"]}\n',
           b"[" * 4000 + b"\n", b"\xff\xfe\n", b"x" * 5000, os.urandom(4000) + b"\n"]


def _command(link, data, seconds=5):
    """Sends octets to the control socket; what it says, or nothing."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(seconds)
        try:
            peer.connect(link.site.herald.control)
            peer.sendall(data)
            return peer.recv(65536)
        except OSError:
            return b""


def _for_a_while(link, act):
    until = time.monotonic() + FOR_S
    while time.monotonic() < until:
        act()
        link.frames_sent += 1


@attack("the control socket fed garbage", GROUP, KEPT, master=True, hello=False)
def garbage(link):
    _for_a_while(link, lambda: _command(link, GARBAGE[link.frames_sent % len(GARBAGE)]))


@attack("half and silent commands, as many as there may be", GROUP, KEPT, master=True, hello=False)
def half(link):
    """Whoever comes meanwhile is told that there are too many; nobody has to wait."""
    peers = []
    for number in range(18):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(1)
        peers.append(peer)
        try:
            peer.connect(link.site.herald.control)
            peer.sendall(b'{"verb":' if number % 2 else b"")
        except OSError:
            pass
    _for_a_while(link, lambda: time.sleep(0.05))
    for peer in peers:
        peer.close()


@attack("status asked for without end", GROUP, KEPT, master=True, hello=False)
def status(link):
    _for_a_while(link, lambda: _command(link, json.dumps({"verb": "status"}).encode() + b"\n"))
