"""TLS handshakes: begun, broken off, senseless, and all too many."""
import os
import socket
import ssl
import time

from corpus import KEPT, attack
from rawh2_wire import tls_context

GROUP = "tls"
FOR_S = 0.5


def _hello(link):
    """The first octets of a handshake."""
    out = ssl.MemoryBIO()
    session = tls_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=link.site.host)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    return b""


def _again_and_again(link, act):
    """Further connections, one after another; `act(socket)`."""
    until = time.monotonic() + FOR_S
    while time.monotonic() < until:
        with socket.create_connection((link.site.address, link.site.tls_port), timeout=5) as peer:
            try:
                act(peer)
            except OSError:
                pass
        link.frames_sent += 1


@attack("handshakes broken off", GROUP, KEPT, hello=False, tls_port=True)
def broken_off(link):
    hello = _hello(link)
    _again_and_again(link, lambda peer: peer.sendall(hello))


@attack("handshakes answered and broken off", GROUP, KEPT, hello=False, tls_port=True)
def half_way(link):
    """The server has signed by then, which is what costs."""
    hello = _hello(link)

    def act(peer):
        peer.sendall(hello)
        peer.recv(1)
    _again_and_again(link, act)


@attack("whole handshakes, never a request", GROUP, KEPT, "handshakes", hello=False, tls_port=True)
def whole(link):
    context = tls_context()
    _again_and_again(link, lambda peer: context.wrap_socket(
        peer, server_hostname=link.site.host).close())


@attack("garbage instead of handshakes", GROUP, KEPT, "handshake_failures", hello=False,
        tls_port=True)
def garbage(link):
    kinds = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(2000),
             b"\x80\x2e\x01\x00\x02" + bytes(43), os.urandom(3000), bytes(500)]

    def act(peer):
        peer.sendall(kinds[link.frames_sent % len(kinds)])
        while peer.recv(4096):
            pass
    _again_and_again(link, act)


@attack("handshakes of versions before TLS 1.2", GROUP, KEPT,
        "handshake_failures", hello=False, tls_port=True)
def downgrade(link):
    hello = bytearray(_hello(link))
    body = hello.find(b"\x03\x03", 5)
    hello[body + 1] = 1                   # TLS 1.0; and no extension that says otherwise
    hello = bytes(hello).replace(b"\x00\x2b", b"\xfa\xfb", 1)

    def act(peer):
        peer.sendall(hello)
        while peer.recv(4096):
            pass
    _again_and_again(link, act)
