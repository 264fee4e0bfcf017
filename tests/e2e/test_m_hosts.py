"""Requests of HTTP/1.0 that name no host, which is theirs to leave out (RFC 9112 3.2): they are for
the address that the connection came to, and so for the default site where none has its name."""
import socket

import pytest

import server
from origins import Origin, proxied
from rawh1 import Peer

pytestmark = pytest.mark.asan

NAMED = {"names": ["www.herald.test"]}


def ask(site, target="/hello.txt", tls=False, fields=(), method="GET"):
    with Peer(site, tls) as peer:
        return peer.get(target, method=method, version="1.0", fields=fields)


@pytest.fixture(params=[True, False], ids=["tls", "cleartext"])
def tls(request):
    return request.param


@pytest.mark.quick
def test_the_default_site_answers_who_names_none(herald, tls, tmp_path):
    """Whatever its certificate covers: its client has not said which name it means."""
    narrow = server.Certificate(str(tmp_path), names="DNS:localhost")
    site = herald(workers=1, top={"tls": [{"sni": "*", "cert": narrow.cert, "key": narrow.key}]},
                  more='site { names = { "www.herald.test" }, root = "@DIR@" }', start=False)
    site.ca = narrow.cert
    server.start(site)
    answer = ask(site, tls=tls)
    assert (answer.status, answer.field("connection")) == (200, "close")
    entry = site.wait_log(lambda e: e.path == "/hello.txt")
    assert entry.fields["host"] == "127.0.0.1"
    if tls:
        assert ask(site, tls=True, fields=["Host: 127.0.0.1"]).status == 421


def test_without_a_default_site_it_is_misdirected(herald):
    site = herald(workers=1, site=NAMED)
    assert ask(site).status == 421
    assert ask(site, fields=["Host: www.herald.test"]).status == 200
    assert ask(site, "http://www.herald.test/hello.txt").status == 200


def test_a_site_can_have_the_address_for_its_name(herald):
    site = herald(workers=1, site={"names": ["127.0.0.1"]})
    assert ask(site).status == 200


def test_an_address_of_ipv6_stands_in_brackets(herald):
    site = herald(workers=1, top={"listen": ["[::1]:@H2C@"]})
    with socket.create_connection(("::1", site.h2c_port), timeout=server.patience(10)) as peer:
        peer.sendall(b"GET /hello.txt HTTP/1.0\r\n\r\n")
        assert peer.recv(15) == b"HTTP/1.1 200 OK"
    assert site.wait_log(lambda e: e.path == "/hello.txt").fields["host"] == "[::1]"


def test_an_origin_is_told_the_address_and_the_port(herald):
    origin = Origin()
    try:
        site = proxied(herald, origin)
        assert ask(site, "/").body == b"hello\n"
        authority = "127.0.0.1:%d" % site.h2c_port
        assert origin.requests[0].field("host") == authority
        assert origin.requests[0].field("x-forwarded-host") == authority
    finally:
        origin.close()


def test_other_forms_of_target_without_a_host(herald):
    site = herald(workers=1)
    assert ask(site, "*", method="OPTIONS").status == 405
    assert ask(site, "localhost:80", method="CONNECT").status == 405
    assert ask(site, "hello.txt").status == 400
    assert ask(site, "http:///hello.txt").status == 400
    assert ask(site, "/" + "x" * 3000).status == 404
