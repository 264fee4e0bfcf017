"""HTTP messages in frames: RFC 9113, 8.1 to 8.5. A malformed request (8.1.1) is answered 4xx or
ends in a stream error of type PROTOCOL_ERROR; what the same request gives without its flaw is
tested beside."""

import pytest

import rawhpack
from rawh2_wire import Code, Flag, Setting, Type, over_both

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan

PSEUDO = (":method", ":scheme", ":authority", ":path")


def without(fields, name):
    return [field for field in fields if field[0] != name]


def replaced(fields, name, value):
    return [(n, value if n == name else v) for n, v in fields]


def shown(value):
    return ascii(value)[:40]


# ---- requests that are right

@over_both
def test_a_get_is_answered_with_the_file(conn):
    """8.1: HEADERS, then DATA, the last frame with END_STREAM."""
    conn.expect_served()
    conn.expect_served("/index.html")


@over_both
def test_a_head_is_answered_without_content(conn):
    """8.1: a response to HEAD may say a content-length, and has no content."""
    stream = conn.response(conn.request(method="HEAD"))
    assert stream.status == 200 and not stream.body
    assert int(stream.fields().get(b"content-length", 1024)) == 1024


def test_what_does_not_exist_is_an_answer_not_an_error(conn):
    """8.1: 404 is a response like any other, and the stream ends with it."""
    assert conn.response(conn.request("/there/is/no/such/file")).status == 404
    conn.expect_no_error()


@pytest.mark.parametrize("extra", [
    [("x-empty", "")],
    [("x-tab", "a\tb")],
    [("x-obs-text", bytes(range(0x80, 0x100)))],
    [("x!#$%&'*+-.^_`|~0", "every character of a token")],
    [("te", "trailers")],
    [("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f; g=h")],
    [("x-twice", "1"), ("x-twice", "2")],
    [("content-length", "0")],
    [("priority", "u=1, i")],
    [("x-long", "v" * 8000)],
], ids=lambda extra: extra[0][0])
def test_a_request_with_unusual_but_legal_fields_is_served(conn, extra):
    """8.2.1, 8.2.2, 8.2.3: what RFC 9113 and RFC 9110 allow in a request."""
    conn.expect_served(extra=extra)


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)], ids=str)
def test_pseudo_header_fields_come_in_any_order(conn, order):
    """8.3: only before all regular fields."""
    fields = [conn.fields()[i] for i in order]
    assert conn.response(conn.send_fields(fields)).status == 200


def test_a_host_field_may_stand_for_the_authority(conn):
    """8.3.1: what has been translated from HTTP/1.1 may come with Host alone."""
    authority = dict(conn.fields())[":authority"]
    fields = without(conn.fields(), ":authority") + [("host", authority)]
    assert conn.response(conn.send_fields(fields)).status == 200


def test_a_host_field_may_repeat_the_authority(conn):
    """8.3.1: only a Host that differs is wrong."""
    conn.expect_served(extra=[("host", dict(conn.fields())[":authority"])])


def test_an_asterisk_for_options_is_not_malformed(conn):
    """8.3.1: OPTIONS without a path has the :path `*`; what the server thinks of it is its own."""
    stream = conn.response(conn.send_fields(replaced(conn.fields(method="OPTIONS"), ":path", "*")))
    assert stream.status != 400
    conn.expect_no_error()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PROPFIND", "X-UNHEARD-OF"])
def test_any_method_is_answered(conn, method):
    """8.3.1: a method that the server doesn't do is no protocol error."""
    assert conn.response(conn.request(method=method)).status in range(200, 600)
    conn.expect_no_error()


@over_both
@pytest.mark.parametrize("pieces", [(b"12345",), (b"12", b"345"), (b"", b"12345", b"")], ids=str)
def test_content_of_the_declared_length_is_accepted(conn, pieces):
    """8.1.1: content-length is the sum of the DATA payloads."""
    stream = conn.request(end_stream=False, extra=[("content-length", "5")])
    for number, piece in enumerate(pieces):
        conn.send_data(stream, piece, end_stream=number == len(pieces) - 1)
    assert conn.response(stream).status is not None
    conn.expect_no_error()


def test_trailers_are_accepted(conn):
    """8.1: a second HEADERS frame, with END_STREAM."""
    stream = conn.request(end_stream=False)
    conn.send_data(stream, b"content", end_stream=False)
    conn.send_block(rawhpack.block([("x-checksum", "1234")]), stream=stream.id)
    assert conn.response(stream).status is not None
    conn.expect_no_error()


# ---- field names and values

@over_both
@pytest.mark.parametrize("name", ["X-Upper", "x-uppeR", "ACCEPT", "Cookie"])
def test_an_uppercase_field_name_is_malformed(conn, name):
    """8.2.1: names MUST NOT contain characters in the range 0x41 to 0x5a."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[(name, "value")])))


@pytest.mark.parametrize("octet", [*range(0x00, 0x21), 0x3A, 0x7F, 0x80, 0xA0, 0xFF], ids=hex)
@pytest.mark.parametrize("where", ["first", "inside", "last"])
def test_a_forbidden_octet_in_a_field_name_is_malformed(conn, octet, where):
    """8.2.1: 0x00 to 0x20, 0x7f to 0xff and the colon, which in the first place makes an undefined
    pseudo-header field (8.3)."""
    octet = bytes([octet])
    name = {"first": octet + b"x-name", "inside": b"x-na" + octet + b"me",
            "last": b"x-name" + octet}[where]
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[(name, "value")])))


@pytest.mark.parametrize("character", '"(),/;<=>?@[\\]{}')
def test_a_field_name_that_is_no_token_is_malformed(conn, character):
    """8.2.1: names SHOULD be validated according to RFC 9110, 5.1."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[(f"x-{character}-name", "value")])))


def test_an_empty_field_name_is_malformed(conn):
    """8.2.1, and RFC 9110, 5.1: a token has at least one character."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[("", "value")])))


@over_both
@pytest.mark.parametrize("octet", [0x00, 0x0A, 0x0D], ids=hex)
@pytest.mark.parametrize("where", ["alone", "first", "inside", "last"])
def test_a_forbidden_octet_in_a_field_value_is_malformed(conn, octet, where):
    """8.2.1: NUL, LF and CR at any position."""
    octet = bytes([octet])
    value = {"alone": octet, "first": octet + b"value", "inside": b"val" + octet + b"ue",
             "last": b"value" + octet}[where]
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[("x-name", value)])))


@pytest.mark.parametrize("value", [" value", "value ", "\tvalue", "value\t", " ", "\t", " value "],
                         ids=shown)
def test_whitespace_around_a_field_value_is_malformed(conn, value):
    """8.2.1: a value MUST NOT start or end with SP or HTAB."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[("x-name", value)])))


@pytest.mark.parametrize("name", ["x-name", "cookie", "user-agent", "accept", "host"])
def test_a_line_break_is_malformed_in_any_field(conn, name):
    """8.2.1: whether the server makes use of the field or not."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[(name, "a\r\nb: c")])))


# ---- connection-specific fields

@over_both
@pytest.mark.parametrize("name, value", [
    ("connection", "close"), ("connection", "keep-alive"), ("connection", "x-other"),
    ("proxy-connection", "keep-alive"), ("keep-alive", "timeout=5"),
    ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("upgrade", "h2c"),
    ("upgrade", "websocket"),
])
def test_a_connection_specific_field_is_malformed(conn, name, value):
    """8.2.2: MUST be treated as malformed."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[(name, value)])))


@pytest.mark.parametrize("value", ["gzip", "deflate", "trailers, deflate", "deflate, trailers",
                                   "trailers;q=0.5", "chunked", "trailersx"])
def test_te_with_anything_but_trailers_is_malformed(conn, value):
    """8.2.2: TE MUST NOT contain any value other than `trailers`."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[("te", value)])))


# ---- pseudo-header fields

@over_both
@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
def test_a_request_without_a_mandatory_pseudo_field_is_malformed(conn, name):
    """8.3.1: :method, :scheme and :path are mandatory."""
    conn.expect_malformed(conn.send_fields(without(conn.fields(), name)))


def test_a_request_without_any_field_is_malformed(conn):
    """8.3.1: an empty field block has none of the mandatory fields."""
    conn.expect_malformed(conn.send_block(b""))


def test_a_request_of_a_table_size_update_alone_is_malformed(conn):
    """8.3.1, and RFC 7541, 6.3: a size update is no field."""
    conn.expect_malformed(conn.send_block(rawhpack.size_update(0)))


@over_both
@pytest.mark.parametrize("name", PSEUDO)
@pytest.mark.parametrize("same", [True, False], ids=["same value", "other value"])
def test_a_repeated_pseudo_field_is_malformed(conn, name, same):
    """8.3: the same pseudo-header field name MUST NOT appear more than once."""
    value = dict(conn.fields())[name]
    again = value if same else {":method": "HEAD", ":scheme": "ftp"}.get(name, value + "x")
    conn.expect_malformed(conn.send_fields(conn.fields()[:4] + [(name, again)]))


@over_both
@pytest.mark.parametrize("name", PSEUDO)
def test_a_pseudo_field_after_a_regular_one_is_malformed(conn, name):
    """8.3: all pseudo-header fields come first."""
    value = dict(conn.fields())[name]
    fields = without(conn.fields(), name) + [("accept", "*/*"), (name, value)]
    conn.expect_malformed(conn.send_fields(fields))


@over_both
@pytest.mark.parametrize("name, value", [
    (":status", "200"), (":foo", "bar"), (":", "bar"), (":protocol", "websocket"),
    (":Path", "/"), (":METHOD", "GET"), (":host", "localhost"), (":version", "HTTP/2"),
    ("::path", "/"), (":path ", "/"),
])
def test_an_undefined_pseudo_field_is_malformed(conn, name, value):
    """8.3: undefined ones, and those of responses; :protocol needs RFC 8441's setting."""
    conn.expect_malformed(conn.send_fields(conn.fields() + [(name, value)]))


@over_both
@pytest.mark.parametrize("path", ["", "index.html", "*", "?query", " /small.bin", "/small.bin ",
                                  "http://localhost/small.bin", "/a b", "/a\tb", "/a\nb", "/a\r\nb",
                                  "/a\0b", "/a\x7fb", "\\small.bin"], ids=shown)
def test_an_invalid_path_is_malformed(conn, path):
    """8.3.1: :path is an absolute path and perhaps a query, not empty; 8.2.1 and 10.3 for the
    characters."""
    conn.expect_malformed(conn.send_fields(replaced(conn.fields(), ":path", path)))


@pytest.mark.parametrize("method", ["", "GE T", "GET ", " GET", "GET\0", "G\nET", "GET/", "G\x80T",
                                    "GET\r\n"], ids=shown)
def test_an_invalid_method_is_malformed(conn, method):
    """8.3.1 and RFC 9110, 9.1: a method is a token."""
    conn.expect_malformed(conn.send_fields(replaced(conn.fields(), ":method", method)))


@pytest.mark.parametrize("scheme", ["", "ht tp", "http ", "1http", "http:", "http\0", "ht\ntp"],
                         ids=shown)
def test_an_invalid_scheme_is_malformed(conn, scheme):
    """8.3.1 and RFC 3986, 3.1."""
    conn.expect_malformed(conn.send_fields(replaced(conn.fields(), ":scheme", scheme)))


@pytest.mark.parametrize("prefix, suffix", [("user@", ""), ("user:secret@", ""), ("", "/path"),
                                            ("", " "), (" ", ""), ("", "\r\nx: y"), ("", "\0"),
                                            ("", "?query"), ("", "#part"), ("a b", "")], ids=shown)
def test_an_invalid_authority_is_malformed(conn, prefix, suffix):
    """8.3.1: no userinfo for http and https; RFC 3986, 3.2 for the rest."""
    authority = prefix + dict(conn.fields())[":authority"] + suffix
    conn.expect_malformed(conn.send_fields(replaced(conn.fields(), ":authority", authority)))


@over_both
@pytest.mark.parametrize("host", ["other.test", "localhost.other.test", "", "localhost:1"])
def test_a_host_field_that_differs_from_the_authority_is_malformed(conn, host):
    """8.3.1: a server SHOULD treat a request with another Host as malformed."""
    conn.expect_malformed(conn.send_fields(conn.fields(extra=[("host", host)])))


def test_two_host_fields_are_malformed(conn):
    """RFC 9110, 7.2 and 8.3.1: one authority, whichever field says it."""
    authority = dict(conn.fields())[":authority"]
    fields = without(conn.fields(), ":authority")
    conn.expect_malformed(conn.send_fields(fields + [("host", authority), ("host", "other.test")]))


@pytest.mark.parametrize("add, drop", [((":path", "/"), None), ((":scheme", "http"), None),
                                       (None, ":authority")], ids=str)
def test_a_connect_with_the_wrong_pseudo_fields_is_malformed(conn, add, drop):
    """8.5: :scheme and :path MUST be omitted, :authority is needed."""
    fields = [(":method", "CONNECT"), (":authority", "localhost:443")]
    fields = without(fields, drop) + ([add] if add else [])
    conn.expect_malformed(conn.send_fields(fields))


def test_a_proper_connect_is_not_established_by_an_origin_server(conn):
    """8.5: CONNECT is for proxies; 2xx would mean that a tunnel is there."""
    stream = conn.send_fields([(":method", "CONNECT"), (":authority", "localhost:443")],
                              end_stream=False)
    conn.send_data(stream)
    conn.wait(lambda: stream.status or stream.resets, "an answer to CONNECT")
    assert stream.status is None or stream.status >= 400
    conn.roundtrip()
    assert not conn.goaways


# ---- content-length

@over_both
@pytest.mark.parametrize("declared, pieces", [
    ("5", []), ("5", [b""]), ("5", [b"1234"]), ("5", [b"123456"]), ("0", [b"1"]),
    ("5", [b"12", b"34"]), ("5", [b"123", b"456"]), ("100000", [b"12345"]),
    ("18446744073709551621", [b"12345"]), ("4294967301", [b"12345"]),
], ids=str)
def test_content_that_does_not_match_its_length_is_malformed(stalled, declared, pieces):
    """8.1.1: the sum of the DATA payloads MUST equal content-length. The response is held back, so
    that a server which answers early still has to tell."""
    extra = [("content-length", declared)]
    stream = stalled.request(stalled.peer.big, end_stream=not pieces, extra=extra)
    for number, piece in enumerate(pieces):
        stalled.send_data(stream, piece, end_stream=number == len(pieces) - 1)
    stalled.expect_malformed(stream)


def test_padding_does_not_make_up_for_missing_content(stalled):
    """8.1.1 and 6.1: only the data counts."""
    stream = stalled.held_request(end_stream=False, extra=[("content-length", "5")])
    stalled.send_frame(Type.DATA, Flag.PADDED | Flag.END_STREAM, stream.id, b"\x02ab" + bytes(2))
    stalled.expect_malformed(stream)


def test_content_cut_short_by_trailers_is_malformed(stalled):
    """8.1.1: also when trailers end the content."""
    stream = stalled.held_request(end_stream=False, extra=[("content-length", "5")])
    stalled.send_data(stream, b"123", end_stream=False)
    stalled.send_block(rawhpack.block([("x-checksum", "1234")]), stream=stream.id)
    stalled.expect_malformed(stream)


@pytest.mark.parametrize("value", ["five", "-1", "+5", "5 5", "5,6", "0x5", "5.0", "",
                                   "99999999999999999999999"], ids=shown)
def test_a_content_length_that_is_no_number_is_malformed(stalled, value):
    """8.1.1, and RFC 9110, 8.6: one decimal number, that of the content."""
    stream = stalled.held_request(end_stream=False, extra=[("content-length", value)])
    stalled.send_data(stream, b"12345")
    stalled.expect_malformed(stream)


def test_two_content_lengths_that_differ_are_malformed(stalled):
    """8.1.1, and RFC 9110, 8.6: at least one of them is not the content's."""
    stream = stalled.held_request(end_stream=False, extra=[("content-length", "5"),
                                                           ("content-length", "6")])
    stalled.send_data(stream, b"12345")
    stalled.expect_malformed(stream)


# ---- trailers

@over_both
@pytest.mark.parametrize("field", [(":path", "/"), (":method", "GET"), (":status", "200"),
                                   (":foo", "bar")], ids=str)
def test_trailers_with_a_pseudo_field_are_malformed(stalled, field):
    """8.1: trailers MUST NOT include pseudo-header fields."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_data(stream, b"content", end_stream=False)
    stalled.send_block(rawhpack.block([("x-checksum", "1234"), field]), stream=stream.id)
    stalled.expect_malformed(stream)


@over_both
@pytest.mark.parametrize("content", [True, False], ids=["after content", "at once"])
def test_a_second_field_section_without_end_stream_is_malformed(stalled, content):
    """8.1: HEADERS after the request's own MUST end the stream."""
    stream = stalled.held_request(end_stream=False)
    if content:
        stalled.send_data(stream, b"content", end_stream=False)
    stalled.send_block(rawhpack.block([("x-checksum", "1234")]), end_stream=False,
                       stream=stream.id)
    stalled.expect_malformed(stream)


@pytest.mark.parametrize("field", [("X-Upper", "1"), ("x-name", "a\nb"), ("x-name", " a"),
                                   ("connection", "close"), ("x name", "a"), ("te", "gzip")],
                         ids=shown)
def test_trailers_with_an_invalid_field_are_malformed(stalled, field):
    """8.2.1 and 8.2.2: trailers obey the rules of every field section."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_block(rawhpack.block([field]), stream=stream.id)
    stalled.expect_malformed(stream)


@over_both
def test_data_after_trailers_is_a_stream_closed_error(stalled):
    """8.1 and 5.1: trailers end the stream."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_block(rawhpack.block([("x-checksum", "1234")]), stream=stream.id)
    stalled.send_data(stream, b"more")
    stalled.expect_stream_error(stream, Code.STREAM_CLOSED)


# ---- after an error, and too much

@over_both
def test_a_malformed_request_leaves_the_connection_in_order(conn):
    """5.4.2 and 8.1.1: a malformed request is an error of its stream."""
    for name in ("X-Upper", "connection", "te", "x name"):
        stream = conn.send_fields(conn.fields(extra=[(name, "close")]))
        conn.expect_malformed(stream)
        assert not conn.goaways, f"a GOAWAY came: {conn.transcript()}"
    conn.expect_served()


def test_a_malformed_request_is_told_as_a_stream_error_at_most_once(conn):
    """5.4.2: one RST_STREAM for a stream, and nothing after it."""
    stream = conn.send_fields(conn.fields(extra=[("X-Upper", "1")]))
    conn.expect_malformed(stream)
    conn.quiet()
    assert len(stream.resets) <= 1


@over_both
@pytest.mark.parametrize("fields", [
    pytest.param([("x-filler", "v" * 15000)] * 5, id="75 KB in five fields"),
    pytest.param([(f"x-{number}", "v") for number in range(3000)], id="3,000 fields"),
])
def test_a_field_section_larger_than_the_server_takes_keeps_the_compression_state(conn, fields):
    """10.5.1: such a request may be answered 431, or be refused with its stream or connection. When
    the connection goes on, the field block has been processed to its end."""
    entry = rawhpack.literal("x-later", "here", rawhpack.INCREMENTAL)
    stream = conn.send_block(rawhpack.block(conn.fields(extra=fields)) + entry)
    conn.wait(lambda: stream.ended or stream.resets or conn.goaways or conn.eof, "an answer")
    if conn.goaways or conn.eof:
        conn.expect_connection_error(Code.ENHANCE_YOUR_CALM, Code.PROTOCOL_ERROR,
                                     Code.COMPRESSION_ERROR, Code.INTERNAL_ERROR)
        return
    assert stream.status in (200, 431) or stream.reset in (
        Code.REFUSED_STREAM, Code.ENHANCE_YOUR_CALM, Code.PROTOCOL_ERROR, Code.INTERNAL_ERROR)
    block = rawhpack.block(conn.fields()) + rawhpack.indexed(rawhpack.FIRST_DYNAMIC)
    assert conn.response(conn.send_block(block)).status == 200


def test_an_answer_may_come_before_the_end_of_the_request(dial):
    """8.1: a server may answer early, and then ask the client to stop with NO_ERROR; the response
    counts. One that waits for the end gets it."""
    conn = dial(settings={Setting.INITIAL_WINDOW_SIZE: 2**20})
    stream = conn.request("/there/is/no/such/file", method="POST", end_stream=False)
    conn.send_data(stream, b"begin", end_stream=False)
    conn.roundtrip()
    if not stream.ended:
        conn.send_data(stream, b"end")
    assert conn.response(stream).status >= 400
    assert stream.resets in ([], [Code.NO_ERROR])
    conn.expect_served()
