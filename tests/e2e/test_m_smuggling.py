"""Requests that two parties might read differently, by name, with what each gets. Whatever comes
behind one of them is not looked at: the connection ends. (RFC 9112, 2.2, 5, 6, 7.1 and 11.2)"""
import pytest

from rawh1 import Peer

pytestmark = pytest.mark.asan

HOST = "Host: localhost\r\n"
BEHIND = "GET /hello.txt?smuggled=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET = "GET /hello.txt HTTP/1.1\r\n"
POST = "POST /hello.txt HTTP/1.1\r\n"
CHUNKED = POST + HOST + "Transfer-Encoding: chunked\r\n\r\n"

# name -> (the request, its status)
CASES = {
    # -- the length of the content: 6.1 to 6.3
    "Content-Length, then Transfer-Encoding":
        (POST + HOST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding, then Content-Length":
        (POST + HOST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "Content-Length of 0 beside Transfer-Encoding":
        (POST + HOST + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths that differ":
        (POST + HOST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    "two lengths that are the same":
        (POST + HOST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "two lengths in one field":
        (POST + HOST + "Content-Length: 5, 5\r\n\r\nhello", 400),
    "a length with a sign":
        (POST + HOST + "Content-Length: +5\r\n\r\nhello", 400),
    "a negative length":
        (POST + HOST + "Content-Length: -1\r\n\r\n", 400),
    "a hexadecimal length":
        (POST + HOST + "Content-Length: 0x5\r\n\r\nhello", 400),
    "a length with a space in it":
        (POST + HOST + "Content-Length: 1 0\r\n\r\n0123456789", 400),
    "a length with an underscore":
        (POST + HOST + "Content-Length: 1_0\r\n\r\n0123456789", 400),
    "an empty length":
        (POST + HOST + "Content-Length:\r\n\r\n", 400),
    "a length of 2 to the 64th and 5":
        (POST + HOST + "Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    "a length of nineteen digits":
        (POST + HOST + "Content-Length: 1000000000000000000\r\n\r\n", 400),
    "a transfer coding in HTTP/1.0":
        ("POST /hello.txt HTTP/1.0\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two transfer codings":
        (POST + HOST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400),
    "chunked, then identity":
        (POST + HOST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "identity":
        (POST + HOST + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 400),
    "identity alone":
        (POST + HOST + "Transfer-Encoding: identity\r\n\r\n", 400),
    "gzip alone":
        (POST + HOST + "Transfer-Encoding: gzip\r\n\r\n", 400),
    "xchunked":
        (POST + HOST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunkedx":
        (POST + HOST + "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 400),
    "chunked in quotes":
        (POST + HOST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "chunked, chunked":
        (POST + HOST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "an empty coding before chunked":
        (POST + HOST + "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", 400),
    "an empty transfer coding beside a length":
        (POST + HOST + "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a vertical tab before chunked":
        (POST + HOST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a NUL behind chunked":
        (POST + HOST + "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400),
    "gzip, then chunked, which is understood and not done":
        (POST + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    # -- names of fields: 5.1
    "a space before the colon":
        (POST + HOST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "a space before the colon of a length":
        (POST + HOST + "Content-Length : 5\r\n\r\nhello", 400),
    "a tab before the colon":
        (POST + HOST + "Content-Length\t: 5\r\n\r\nhello", 400),
    "a space within a name":
        (GET + HOST + "X Y: z\r\n\r\n", 400),
    "an empty name":
        (GET + HOST + ": z\r\n\r\n", 400),
    "a line without a colon":
        (GET + HOST + "Content-Length\r\n\r\n", 400),
    "a name with a NUL":
        (GET + HOST + "X\0Y: z\r\n\r\n", 400),
    "a name with an octet above 127":
        (GET + HOST + "X\xe9: z\r\n\r\n", 400),
    "a name in parentheses":
        (GET + HOST + "(X): z\r\n\r\n", 400),
    # -- folded lines: 5.2
    "a folded value":
        (GET + HOST + "X: a\r\n b\r\n\r\n", 400),
    "a value folded by a tab":
        (GET + HOST + "X: a\r\n\tb\r\n\r\n", 400),
    "a transfer coding on a folded line":
        (POST + HOST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a first field that begins with a space":
        (GET + " X: y\r\n" + HOST + "\r\n", 400),
    # -- ends of lines: 2.2
    "a LF alone behind the request line":
        ("GET /hello.txt HTTP/1.1\n" + HOST + "\r\n", 400),
    "a LF alone behind a field":
        (GET + "Host: localhost\nX: y\r\n\r\n", 400),
    "a LF alone as the empty line":
        (GET + HOST + "\n", 400),
    "all lines with LF alone":
        ("GET /hello.txt HTTP/1.1\nHost: localhost\n\n", 400),
    "a CR alone behind the request line":
        ("GET /hello.txt HTTP/1.1\r" + HOST + "\r\n", 400),
    "a CR within a value":
        (GET + HOST + "X: a\rb\r\n\r\n", 400),
    "a CR alone that hides a field":
        (GET + HOST + "X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "two CRs before a LF":
        (GET + HOST + "X: a\r\r\n\r\n", 400),
    "a CR, then the end":
        (GET + HOST + "\r\r\n", 400),
    # -- values
    "a NUL in a value":
        (GET + HOST + "X: a\0b\r\n\r\n", 400),
    "a control octet in a value":
        (GET + HOST + "X: a\x01b\r\n\r\n", 400),
    "a DEL in a value":
        (GET + HOST + "X: a\x7fb\r\n\r\n", 400),
    # -- the request line: 3
    "two spaces in the request line":
        ("GET  /hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a space at the end of the request line":
        ("GET /hello.txt HTTP/1.1 \r\n" + HOST + "\r\n", 400),
    "a tab in the request line":
        ("GET\t/hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a space in the target":
        ("GET /hello .txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a request line that begins with a space":
        (" GET /hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "no version":
        ("GET /hello.txt\r\n" + HOST + "\r\n", 400),
    "no target":
        ("GET HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a NUL in the target":
        ("GET /hello.txt\0 HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "an octet above 127 in the target":
        ("GET /h\xe9llo.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a fragment in the target":
        ("GET /hello.txt#x HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a version in lower case":
        ("GET /hello.txt http/1.1\r\n" + HOST + "\r\n", 400),
    "a version of three digits":
        ("GET /hello.txt HTTP/1.10\r\n" + HOST + "\r\n", 400),
    "HTTP/0.9":
        ("GET /hello.txt HTTP/0.9\r\n" + HOST + "\r\n", 400),
    "HTTP/2.0 in a request line":
        ("GET /hello.txt HTTP/2.0\r\n" + HOST + "\r\n", 505),
    "HTTP/3.0 in a request line":
        ("GET /hello.txt HTTP/3.0\r\n" + HOST + "\r\n", 505),
    "a method that nobody knows":
        ("FROB /hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 501),
    "a method in lower case":
        ("get /hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 501),
    "a method with a control octet":
        ("G\x01T /hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "PRI, which is HTTP/2's":
        ("PRI * HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "two empty lines before the request":
        ("\r\n\r\n" + GET + HOST + "\r\n", 400),
    "a target of another kind":
        ("GET hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a target of another scheme":
        ("GET ftp://localhost/hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a target with a user":
        ("GET http://a@localhost/hello.txt HTTP/1.1\r\n" + HOST + "\r\n", 400),
    # -- Host: 3.2
    "no Host":
        (GET + "X: y\r\n\r\n", 400),
    "two Hosts":
        (GET + HOST + "Host: other.example\r\n\r\n", 400),
    "two Hosts that are the same":
        (GET + HOST + HOST + "\r\n", 400),
    "an empty Host":
        (GET + "Host:\r\n\r\n", 400),
    "an empty Host in HTTP/1.0":
        ("GET /hello.txt HTTP/1.0\r\nHost:\r\n\r\n", 400),
    "two Hosts in HTTP/1.0":
        ("GET /hello.txt HTTP/1.0\r\n" + HOST + "Host: other.example\r\n\r\n", 400),
    "a Host with a path":
        (GET + "Host: localhost/x\r\n\r\n", 400),
    "a Host with a user":
        (GET + "Host: a@localhost\r\n\r\n", 400),
    "two Hosts in one field":
        (GET + "Host: localhost, other.example\r\n\r\n", 400),
    "no Host beside a target that has one":
        ("GET http://localhost/hello.txt HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "an expectation that nobody knows":
        (POST + HOST + "Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 417),
    # -- methods that are not served
    "CONNECT":
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 405),
    # -- chunks: 7.1
    "a chunk's size with a sign": (CHUNKED + "+5\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk's size with 0x": (CHUNKED + "0x5\r\nhello\r\n0\r\n\r\n", 400),
    "a space before a chunk's size": (CHUNKED + " 5\r\nhello\r\n0\r\n\r\n", 400),
    "a space behind a chunk's size": (CHUNKED + "5 \r\nhello\r\n0\r\n\r\n", 400),
    "no chunk's size": (CHUNKED + "\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk's size of 2 to the 64th and 5": (CHUNKED + "10000000000000005\r\nhello\r\n0\r\n\r\n",
                                              400),
    "a chunk's line that ends with LF": (CHUNKED + "5\nhello\r\n0\r\n\r\n", 400),
    "a chunk's line with a CR alone": (CHUNKED + "5\rX\nhello\r\n0\r\n\r\n", 400),
    "an extension that ends with LF": (CHUNKED + "5;x\nhello\r\n0\r\n\r\n", 400),
    "an extension with a NUL": (CHUNKED + "5;x\0y\r\nhello\r\n0\r\n\r\n", 400),
    "an extension of 300 octets": (CHUNKED + "5;" + "x" * 300 + "\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk longer than its size": (CHUNKED + "4\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk shorter than its size": (CHUNKED + "6\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk that ends with LF": (CHUNKED + "5\r\nhello\n0\r\n\r\n", 400),
    "a last chunk that ends with LF": (CHUNKED + "5\r\nhello\r\n0\n\n", 400),
    "trailers with LF": (CHUNKED + "0\r\nX: y\n\r\n", 400),
    "folded trailers": (CHUNKED + "0\r\nX: y\r\n z\r\n\r\n", 400),
    "a trailer without a colon": (CHUNKED + "0\r\nX\r\n\r\n", 400),
    "a space before a trailer's colon": (CHUNKED + "0\r\nX : y\r\n\r\n", 400),
    "a trailer with a NUL": (CHUNKED + "0\r\nX: \0\r\n\r\n", 400),
}


@pytest.fixture(scope="module")
def site(shared_herald):
    return shared_herald(workers=1)


def behind(name):
    return (BEHIND % list(CASES).index(name)).encode()


def asked_for(site, name):
    return [e for e in site.log() if e.path and behind(name).split()[1].decode() == e.path]


@pytest.mark.parametrize("name", CASES)
def test_a_request_that_may_be_read_in_two_ways_ends_its_connection(site, name):
    request, status = CASES[name]
    with Peer(site) as peer:
        peer.send(request.encode("latin-1") + behind(name))
        answer = peer.answer()
        assert answer.status == status, answer
        assert answer.field("connection") == "close", answer
        assert peer.is_closed(), "something came behind the refusal"
    assert not asked_for(site, name)


@pytest.mark.parametrize("name", CASES)
def test_and_so_it_does_when_it_comes_octet_by_octet(site, name):
    """What is wrong with chunks comes late then: the 405 for their header block was sent already."""
    request, status = CASES[name]
    octets = request.encode("latin-1") + behind(name)
    with Peer(site) as peer:
        try:
            peer.send(*(octets[i:i + 1] for i in range(len(octets))))
        except (BrokenPipeError, ConnectionResetError):
            pass                         # it was refused before all was sent
        said = peer.rest()
    assert said.count(b"HTTP/1.1 ") == 1, said
    assert int(said.split(b" ")[1]) in ((status, 405) if CHUNKED in request else (status,)), said
    assert b"\r\nconnection: close\r\n" in said
    assert not asked_for(site, name)
