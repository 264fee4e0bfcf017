"""HTTP/2 over TLS: RFC 9113, 3.2 and 9.2, and ALPN (RFC 7301, 3.2).

RFC 9113, 9.2.2 on TLS 1.2 with a prohibited cipher suite (appendix A): a deployment SHOULD NOT use
one; an endpoint MAY answer its negotiation with INADEQUATE_SECURITY. So it is right not to offer
them with h2, to end such a connection, or to speak HTTP/1.1 on it; what fails here is to serve
HTTP/2 over one."""

import os
import select
import socket
import ssl
import subprocess
import time
import warnings

import pytest

import rawh2
from rawh2_wire import PREFACE, Code, Setting, Type, deadline, frame, open_socket, tls_context

pytest_plugins = ["h_fixtures"]

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
MANDATORY_SUITE = "ECDHE-RSA-AES128-GCM-SHA256"
PROHIBITED = ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA",
              "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256", "AES128-SHA", "AES256-SHA256"]


@pytest.fixture
def transport():
    """Everything here is over TLS."""
    return "tls"


def handshake(peer, context, name="localhost"):
    """A TLS socket to the server; raises ssl.SSLError, or the end of the connection, where the
    server refuses."""
    if peer.tls is None:
        pytest.skip("the server under test has no TLS address")
    return open_socket(peer, "tls", context, name)


def answer(sock, octets):
    """Sends octets and returns what comes back until the server is done, or has said something."""
    with sock:
        try:
            sock.settimeout(deadline())
            sock.sendall(octets)
            return sock.recv(4096)
        except (ConnectionError, ssl.SSLError):
            return b""


# ---- ALPN

@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("offered", [("h2",), ("h2", "http/1.1"), ("http/1.1", "h2"),
                                     ("spdy/3.1", "h2"), ("h2", "x" * 200)], ids=str)
def test_h2_is_selected_by_alpn(dial, offered, version):
    """3.2: HTTP/2 over TLS uses the ALPN identifier `h2`, from TLS 1.2 on."""
    conn = dial(context=tls_context(offered, minimum=version, maximum=version))
    assert conn.socket.selected_alpn_protocol() == "h2"
    conn.expect_served()


@pytest.mark.parametrize("offered", [("h2c",), ("h2c", "spdy/3.1"), ("nothing/1.0",), ("h2-14",),
                                     ("H2",)], ids=str)
def test_nothing_but_h2_stands_for_http2(watched, offered):
    """3.2: `h2c` MUST NOT be selected by a server; RFC 7301, 3.2: a server that supports none of
    the protocols offered SHALL answer with the alert no_application_protocol."""
    try:
        sock = handshake(watched, tls_context(offered))
    except ssl.SSLError as error:
        assert "no application protocol" in str(error).lower()
        return
    with sock:
        pytest.fail(f"the handshake selected {sock.selected_alpn_protocol()!r}")


@pytest.mark.parametrize("offered", [(), ("http/1.1",)], ids=["no ALPN", "http/1.1"])
def test_http2_is_not_spoken_unless_alpn_selected_it(watched, offered):
    """3.3: connections over TLS MUST use ALPN, so prior knowledge is not enough. HTTP/1.1, or the
    end of the connection, is right."""
    try:
        sock = handshake(watched, tls_context(offered))
    except (ssl.SSLError, ConnectionError):
        return
    octets = answer(sock, PREFACE + frame(Type.SETTINGS))
    assert octets == b"" or octets.startswith(b"HTTP/1.1 "), f"the server sent {octets!r}"


# ---- versions, suites, names

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1],
                         ids=["1.0", "1.1"])
def test_tls_older_than_1_2_is_refused(watched, version):
    """9.2: HTTP/2 over TLS MUST use TLS 1.2 or higher."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = tls_context(("h2",), version, version, "ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)) as failure:
        handshake(watched, context).close()
    assert "NO_PROTOCOLS_AVAILABLE" not in str(failure.value), "this client cannot offer it"


def test_the_mandatory_suite_of_tls_1_2_is_supported(dial, peer):
    """9.2.2: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 with the P-256 curve MUST be supported."""
    context = tls_context(("h2",), V12, V12, MANDATORY_SUITE)
    context.set_ecdh_curve("prime256v1")
    conn = dial(context=context, server_name=peer.rsa_name)
    assert conn.socket.cipher()[0] == MANDATORY_SUITE
    conn.expect_served()


@pytest.mark.parametrize("name", ["localhost", "rsa"])
@pytest.mark.parametrize("suite", PROHIBITED)
def test_http2_is_not_served_over_a_prohibited_suite(watched, suite, name):
    """9.2.2 and appendix A: refused in the handshake, by HTTP/1.1, or with INADEQUATE_SECURITY."""
    context = tls_context(("h2", "http/1.1"), V12, V12, suite + ":@SECLEVEL=0")
    try:
        sock = handshake(watched, context, watched.rsa_name if name == "rsa" else name)
    except (ssl.SSLError, ConnectionError):
        return
    if sock.selected_alpn_protocol() != "h2":
        sock.close()
        return
    sock.close()
    conn = rawh2.Connection(watched, "tls", handshake=False, context=context)
    with conn.socket:
        conn.send(PREFACE)
        conn.send_settings({})
        conn.expect_connection_error(Code.INADEQUATE_SECURITY, goaway_optional=True)


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_tls_does_not_compress(dial, version):
    """9.2.1: TLS compression MUST be disabled."""
    conn = dial(context=tls_context(minimum=version, maximum=version))
    assert conn.socket.compression() is None


@pytest.mark.parametrize("name", ["localhost", "unheard-of.test", "a" * 63 + ".test"],
                         ids=["known", "unknown", "long"])
def test_a_server_name_is_accepted(dial, name):
    """9.2: SNI MUST be supported; a name that the server doesn't know gets its default
    certificate, or is refused in the handshake (RFC 6066, 3)."""
    try:
        conn = dial(server_name=name)
    except (ssl.SSLError, ConnectionError):
        assert name != "localhost"
        return
    conn.roundtrip()


def test_a_client_without_server_name_is_accepted(watched):
    """9.2: only names of hosts have to be sent; an address has none."""
    if watched.tls is None:
        pytest.skip("the server under test has no TLS address")
    with socket.create_connection(watched.tls, deadline()) as plain:
        with tls_context().wrap_socket(plain) as sock:
            assert sock.selected_alpn_protocol() == "h2"


def read_until(pipe, condition):
    """Reads a child's output until it fulfils `condition`, ends, or the deadline is there."""
    said, until = b"", time.monotonic() + deadline()
    while not condition(said):
        ready, _, _ = select.select([pipe], [], [], max(0, until - time.monotonic()))
        piece = os.read(pipe.fileno(), 65536) if ready else b""
        if not piece:
            break
        said += piece
    return said


def test_renegotiation_is_refused(watched):
    """9.2.1: renegotiation MUST be disabled for TLS 1.2. `R` makes openssl's client ask for it; it
    prints a line that begins with `depth=` for a certificate that it gets by a new handshake."""
    if watched.tls is None:
        pytest.skip("the server under test has no TLS address")
    with subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % watched.tls, "-tls1_2",
                           "-alpn", "h2", "-servername", "localhost"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            client.stdin.write(b"R\n")
            client.stdin.flush()
            said = read_until(client.stdout, lambda said: b"error" in said.partition(
                b"RENEGOTIATING")[2] or b"depth=" in said.partition(b"RENEGOTIATING")[2])
        finally:
            client.kill()
    asked, _, after = said.partition(b"RENEGOTIATING")
    assert b"ALPN protocol: h2" in asked
    assert b"error" in after and b"depth=" not in after, f"openssl said {after!r}"


# ---- TLS and frames

def test_a_large_response_crosses_records_whole(dial):
    """9.2: frames and records have no relation; the file is the same over TLS."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**21})
    conn.window_update(None, 2**21)
    conn.expect_served(conn.peer.big)


def test_a_connection_error_reaches_a_tls_client_before_the_end(conn):
    """5.4.1: the GOAWAY is sent, then the connection is closed, through TLS as well; with
    close_notify (RFC 8446, 6.1) the client can tell this end from one made by somebody else."""
    conn.send_frame(Type.PING, 0, 0, bytes(7))
    conn.expect_connection_error(Code.FRAME_SIZE_ERROR)
    assert conn.broken is None, f"the connection ended with {conn.broken!r}"


def test_a_resumed_session_speaks_http2(dial):
    """9.2.3: TLS tickets have no interaction with HTTP/2; a resumed connection is as the first."""
    context = tls_context()
    first = dial(context=context)
    first.expect_served()
    session = first.socket.session
    if session is None or not session.has_ticket:
        pytest.skip("the server under test issues no tickets")
    second = dial(context=context, session=session)
    assert second.socket.selected_alpn_protocol() == "h2"
    second.expect_served()
