"""Limits on time: who says nothing, or takes nothing, is let go; nobody else is."""
import socket
import ssl
import time

import pytest

import server
from h2client import Client, tls_context
from webroot import binary_bytes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04\x00" + bytes(4)


def closed_after(peer, seconds):
    """How long the server kept `peer` open, which takes what comes and says nothing."""
    start = time.monotonic()
    peer.settimeout(server.patience(seconds))
    try:
        while peer.recv(65536):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    return time.monotonic() - start


def opened(site, tls, first=b""):
    peer = socket.create_connection((server.ADDRESS, site.tls_port if tls else site.h2c_port))
    if tls:
        peer = tls_context(site.ca).wrap_socket(peer, server_hostname=server.HOST)
    peer.sendall(first)
    return peer


def test_a_handshake_that_does_not_end_is_ended(herald):
    site = herald(limits={"handshake": "500ms"})
    for port, begun in ((site.tls_port, b"\x16\x03\x01"), (site.h2c_port, b"PRI * HT")):
        for first in (b"", begun):
            with socket.create_connection((server.ADDRESS, port)) as peer:
                peer.sendall(first)
                assert 0.3 < closed_after(peer, 3) < server.patience(2), (port, first)


def test_a_preface_that_does_not_come_after_tls_is_not_waited_for(herald):
    with opened(herald(limits={"handshake": "500ms"}), True) as peer:
        assert 0.2 < closed_after(peer, 3) < server.patience(2)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_a_header_block_that_does_not_end_is_ended(herald, tls):
    site = herald(limits={"header": "500ms"})
    # HEADERS of stream 1 with END_STREAM and without END_HEADERS: CONTINUATION must follow.
    headers = b"\x00\x00\x01\x01\x01" + (1).to_bytes(4, "big") + b"\x82"
    with opened(site, tls, PREFACE + SETTINGS + headers) as peer:
        assert 0.2 < closed_after(peer, 3) < server.patience(2)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "h2c"])
def test_an_idle_connection_gets_goaway_and_is_closed(herald, connect, tls):
    site = herald(limits={"idle": "500ms"})
    client = connect(site, tls=tls)
    assert client.get("/hello.txt").status == 200
    client.wait_closed(5)
    assert client.goaways and client.goaways[-1][1] == 0


def test_a_connection_in_use_is_not_idle(herald, connect):
    site = herald(limits={"idle": "500ms"})
    site.root.write("/large.bin", binary_bytes("in use", 1 << 20))
    client = connect(site, window=65535, manual=True)
    stream = client.request("/large.bin")
    client.wait(lambda: len(stream.body) == 65535, "the first window")
    start = time.monotonic()
    while time.monotonic() - start < 1.5:    # three times the limit
        have = len(stream.body)
        client.open_window(1000, stream)
        client.wait(lambda: len(stream.body) > have, "the next octets")
        client.pump(0.1)
    assert not client.closed and client.goaways == []


def test_who_takes_nothing_is_let_go(herald):
    site = herald(limits={"send_progress": "1s"})
    site.root.write("/large.bin", binary_bytes("nothing", 32 << 20))
    client = Client(site, rcvbuf=4096, window=1 << 30, connection_window=1 << 30)
    stream = client.request("/large.bin")
    client.wait(lambda: stream.body, "the first octets")
    server.wait_until(lambda: site.worker_of(client.local_port) is None, 10,
                      "the end of a connection that takes nothing")
    client.close()


def test_a_stream_whose_window_stays_shut_is_let_go(herald, connect):
    site = herald(limits={"send_progress": "1s"})
    client = connect(site, window=0)
    stream = client.request("/hello.txt")
    client.wait(lambda: stream.reset is not None or client.closed, "the stream's end", 10)


def test_requests_of_a_connection_can_be_limited(herald, connect):
    site = herald(limits={"requests": 5})
    client = connect(site)
    for _ in range(5):
        assert client.get("/hello.txt").status == 200
    client.wait(lambda: client.goaways, "GOAWAY after five requests")
    assert connect(site).get("/hello.txt").status == 200


def test_streams_at_once_are_limited(herald, connect):
    site = herald(limits={"streams": 8})
    site.root.write("/large.bin", binary_bytes("at once", 1 << 20))
    client = connect(site, window=0)
    client.settle()
    assert client.h2.remote_settings.max_concurrent_streams == 8
    asked = [client.request("/large.bin") for _ in range(8)]
    client.wait(lambda: all(s.status == 200 for s in asked), "eight answers at once")
