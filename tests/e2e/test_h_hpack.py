"""The server's HPACK decoder: RFC 7541, 2 to 6, and RFC 9113, 4.3. What a block means is seen from
the file that its :path asks for; an error is a connection error of type COMPRESSION_ERROR."""

import pytest

import rawhpack
from rawh2_wire import Code, Flag, Setting, Type, over_both
from rawhpack import (DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD, FIRST_DYNAMIC, INCREMENTAL, NEVER,
                      STATIC_ENTRIES, WITHOUT, entry_bytes, huffman, indexed, integer, literal,
                      octets, size_update)

pytest_plugins = ["h_fixtures"]
pytestmark = pytest.mark.asan

METHOD_GET, SCHEME, PATH, AUTHORITY, ACCEPT_ENCODING = 2, {"h2c": 6, "tls": 7}, 4, 1, 16
HOWS = [INCREMENTAL, WITHOUT, NEVER]


def start(conn):
    """The pseudo-header fields but :path, with nothing put into the dynamic table."""
    return (indexed(METHOD_GET) + indexed(SCHEME[conn.transport]) +
            literal(AUTHORITY, conn.peer.authority(conn.transport)))


def expect_small(conn, block):
    """`block` is a whole request's, and its :path is the small file's."""
    stream = conn.response(conn.send_block(block))
    assert stream.status == 200
    conn.check_body(stream)


def expect_compression_error(conn, block):
    """`block`, in a request of its own, cannot be decoded."""
    conn.send_block(block)
    conn.expect_connection_error(Code.COMPRESSION_ERROR)


def table_limit(conn):
    """How large a dynamic table the server lets the client use."""
    return conn.server_settings.get(Setting.HEADER_TABLE_SIZE, DEFAULT_TABLE_BYTES)


def request(conn):
    """A whole request in literals that leave the dynamic table alone."""
    return rawhpack.block(conn.fields())


# ---- representations (6.1, 6.2) and strings (5.2)

@over_both
@pytest.mark.parametrize("coded", [False, True], ids=["plain", "huffman"])
@pytest.mark.parametrize("named", ["literal name", "indexed name"])
@pytest.mark.parametrize("how", HOWS)
def test_every_kind_of_literal_is_understood(conn, how, named, coded):
    """6.2.1 to 6.2.3, each with a literal and an indexed name, plain and Huffman-coded."""
    name = PATH if named == "indexed name" else ":path"
    expect_small(conn, start(conn) + literal(name, conn.peer.small, how, coded))


def test_a_name_and_its_value_may_be_coded_differently(conn):
    """5.2: each string says for itself whether it is Huffman-coded."""
    path = octets(":path")
    for name in (rawhpack.string(path, True), rawhpack.string(path, False)):
        for coded in (True, False):
            value = rawhpack.string(conn.peer.small, coded)
            expect_small(conn, start(conn) + b"\0" + name + value)


@pytest.mark.parametrize("index", [1, 15, 16, 38, STATIC_ENTRIES])
def test_the_static_table_is_indexed_from_its_first_to_its_last_entry(conn, index):
    """2.3.3 and appendix A: as the name of a literal; host (38) repeats the authority."""
    value = {1: None, 16: "gzip", 38: conn.peer.authority("h2c")}.get(index, "x")
    rest = literal(PATH, conn.peer.small)
    if index != 1:
        rest += literal(index, value)
    expect_small(conn, start(conn) + rest)


def test_an_indexed_static_entry_brings_its_value(conn):
    """6.1: index 5 is `:path: /index.html`."""
    stream = conn.response(conn.send_block(start(conn) + indexed(5)))
    conn.check_body(stream, "/index.html")


@pytest.mark.parametrize("how", HOWS)
def test_every_octet_can_be_huffman_coded(conn, how):
    """5.2 and appendix B: all codes, from 5 to 30 bits. NUL, CR and LF are for their test in
    test_h_messages; the others are legal within a value."""
    value = "v" + "".join(chr(c) for c in range(256) if chr(c) not in "\0\r\n" and
                          (c >= 0x20 and c != 0x7F or c == 9)) + "v"
    expect_small(conn, request(conn) + literal("x-all", value, how, True))


@pytest.mark.parametrize("value, coded", [("", False), ("", True)], ids=["plain", "huffman"])
def test_an_empty_string_is_a_value(conn, value, coded):
    """5.2: the length may be zero, with either coding."""
    expect_small(conn, request(conn) + literal("x-empty", value, coded=coded))


@pytest.mark.parametrize("length", [126, 127, 128, 254, 255, 256, 8000])
def test_a_length_around_the_edges_of_its_prefix_is_understood(conn, length):
    """5.1: 127 is the first value that needs a second octet behind a 7-bit prefix."""
    expect_small(conn, request(conn) + literal("x-long", "v" * length) +
                 literal("n" * min(length, 500), "v"))


# ---- the dynamic table (2.3.2, 4)

@over_both
@pytest.mark.parametrize("coded", [False, True], ids=["plain", "huffman"])
def test_an_inserted_entry_can_be_indexed_later(conn, coded):
    """2.3.3: in the same block and in later ones, until it is evicted."""
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL, coded))
    for _ in range(3):
        expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC))


def test_a_new_entry_takes_the_lowest_index(conn):
    """2.3.2: the newest entry comes first, older ones move up."""
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL))
    for number in range(5):
        expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + number) +
                     literal(f"x-{number}", "v", INCREMENTAL))


def test_an_entry_can_be_indexed_in_the_block_that_inserts_it(conn):
    """2.2 and 3.2: representations are processed one after another."""
    block = start(conn) + literal(PATH, conn.peer.small, INCREMENTAL)
    block += literal("x-mine", "v", INCREMENTAL) + indexed(FIRST_DYNAMIC) + indexed(FIRST_DYNAMIC)
    expect_small(conn, block)


def test_a_dynamic_entrys_name_can_be_used_with_another_value(conn):
    """6.2.1: the index of the name may lie in the dynamic table."""
    conn.response(conn.send_block(start(conn) + literal(PATH, "/index.html", INCREMENTAL)))
    expect_small(conn, start(conn) + literal(FIRST_DYNAMIC, conn.peer.small, INCREMENTAL))
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC))


def test_the_table_may_hold_the_same_entry_twice(conn):
    """2.3.2: duplicates are no error."""
    block = start(conn) + literal(PATH, conn.peer.small, INCREMENTAL)
    for _ in range(2):
        expect_small(conn, block)
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))


@pytest.mark.parametrize("how", [WITHOUT, NEVER])
def test_a_literal_without_indexing_enters_no_table(conn, how):
    """6.2.2 and 6.2.3: nothing can be indexed afterwards."""
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, how))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC))


def fill_behind_path(conn, excess):
    """A request that inserts its :path and behind it one filler, so that the two together are
    `excess` octets larger than the dynamic table."""
    room = DEFAULT_TABLE_BYTES - entry_bytes(":path", conn.peer.small)
    filler = "f" * (room - ENTRY_OVERHEAD - len("x-filler") + excess)
    return (start(conn) + literal(PATH, conn.peer.small, INCREMENTAL) +
            literal("x-filler", filler, INCREMENTAL))


def test_entries_that_fill_the_table_exactly_all_stay(conn):
    """4.1 and 4.4: an entry takes its name, its value and 32 octets."""
    conn.response(conn.send_block(size_update(DEFAULT_TABLE_BYTES) + fill_behind_path(conn, 0)))
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))


def test_one_octet_too_many_evicts_the_oldest_entry(conn):
    """4.4: entries are evicted from the end of the table."""
    conn.response(conn.send_block(size_update(DEFAULT_TABLE_BYTES) + fill_behind_path(conn, 1)))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))


def test_an_eviction_takes_no_more_than_it_needs(conn):
    """4.4: of three entries, one goes."""
    conn.response(conn.send_block(start(conn) + literal(PATH, "/index.html", INCREMENTAL)))
    block = size_update(DEFAULT_TABLE_BYTES) + fill_behind_path(conn, 0)
    conn.response(conn.send_block(block))
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC + 2))


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "huffman"])
def test_sizes_are_those_before_huffman_coding(conn, coded):
    """4.1: the size of an entry is that of its decoded strings."""
    room = DEFAULT_TABLE_BYTES - entry_bytes(":path", conn.peer.small) - entry_bytes("x-fill", "")
    conn.response(conn.send_block(
        size_update(DEFAULT_TABLE_BYTES) + start(conn) +
        literal(PATH, conn.peer.small, INCREMENTAL) +
        literal("x-fill", "0" * room, INCREMENTAL, coded)))
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))
    conn.response(conn.send_block(request(conn) + literal("x", "", INCREMENTAL)))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC + 2))


def test_an_entry_larger_than_the_table_empties_it(conn):
    """4.4: it is no error, and is not inserted; the field itself counts."""
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL))
    expect_small(conn, request(conn) + literal("x-huge", "v" * DEFAULT_TABLE_BYTES, INCREMENTAL))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC))


def test_an_entry_may_use_the_name_of_one_that_it_evicts(conn):
    """4.4: the name is read before the eviction."""
    name = "x" * 1000
    expect_small(conn, request(conn) + literal(name, "v" * 2000, INCREMENTAL))
    expect_small(conn, request(conn) + literal(FIRST_DYNAMIC, "w" * 2500, INCREMENTAL))
    expect_small(conn, request(conn) + indexed(FIRST_DYNAMIC))
    expect_compression_error(conn, request(conn) + indexed(FIRST_DYNAMIC + 1))


def test_hundreds_of_insertions_and_evictions_stay_in_step(conn):
    """4.4: the table as a ring, many times around."""
    for number in range(300):
        conn.send_block(rawhpack.block(conn.fields(method="HEAD")) + b"".join(
            literal(f"x-{number}-{n}", "v" * (n * 7), INCREMENTAL) for n in range(8)), head=True)
        if number % 20 == 19:
            conn.roundtrip()
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL) +
                 literal("x", "v" * 3900, INCREMENTAL))
    expect_small(conn, start(conn) + indexed(FIRST_DYNAMIC + 1))


def test_entries_from_trailers_count(conn):
    """RFC 9113, 4.3: one compression context for all field blocks of the connection."""
    stream = conn.request(end_stream=False)
    conn.send_block(literal("x-checksum", "1", INCREMENTAL), stream=stream.id)
    conn.response(stream)
    expect_small(conn, request(conn) + indexed(FIRST_DYNAMIC))


# ---- wrong indices (2.3.3, 6.1)

@over_both
@pytest.mark.parametrize("index", [0, FIRST_DYNAMIC, FIRST_DYNAMIC + 1, 127, 1000, 2**31])
def test_an_index_outside_the_tables_is_a_compression_error(conn, index):
    """2.3.3 and 6.1: index 0, and any above what the tables hold."""
    expect_compression_error(conn, request(conn) + indexed(index))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("index", [FIRST_DYNAMIC, FIRST_DYNAMIC + 1, 1000])
def test_a_name_outside_the_tables_is_a_compression_error(conn, how, index):
    """2.3.3: also as the name of a literal."""
    expect_compression_error(conn, request(conn) + literal(index, "value", how))


def test_an_index_one_beyond_the_last_entry_is_a_compression_error(conn):
    """2.3.3: the table has two entries."""
    conn.response(conn.send_block(request(conn) + literal("x-1", "v", INCREMENTAL) +
                                  literal("x-2", "v", INCREMENTAL)))
    expect_small(conn, request(conn) + indexed(FIRST_DYNAMIC + 1))
    expect_compression_error(conn, request(conn) + indexed(FIRST_DYNAMIC + 2))


# ---- integers (5.1)

@over_both
@pytest.mark.parametrize("what", ["index", "incremental", "without", "never", "size update",
                                  "name length", "value length"])
@pytest.mark.parametrize("value", [2**32 + METHOD_GET, 2**63, 2**64 + METHOD_GET, 2**70],
                         ids=["2^32+2", "2^63", "2^64+2", "2^70"])
def test_an_integer_beyond_any_limit_is_a_compression_error(conn, what, value):
    """5.1: excessively large integers MUST be treated as decoding errors, not be cut to 32 or 64
    bits."""
    wrong = {"index": integer(value, 7, 0x80),
             "incremental": integer(value, 6, 0x40) + b"\1v",
             "without": integer(value, 4) + b"\1v",
             "never": integer(value, 4, 0x10) + b"\1v",
             "size update": integer(value, 5, 0x20),
             "name length": b"\0" + integer(value, 7) + b"n\1v",
             "value length": b"\0\1n" + integer(value, 7) + b"v"}[what]
    block = wrong + request(conn) if what == "size update" else request(conn) + wrong
    expect_compression_error(conn, block)


@pytest.mark.parametrize("first", [b"\xff", b"\x7f", b"\x0f", b"\x1f", b"\x00\x7f"], ids=repr)
def test_an_integer_that_never_ends_is_a_compression_error(conn, first):
    """5.1: excessively long encodings MUST be treated as decoding errors."""
    expect_compression_error(conn, request(conn) + first + b"\xff" * 200 + b"\x01")


@pytest.mark.parametrize("tail", [b"\xff", b"\xff\x80", b"\xff\xff\xff", b"\x7f", b"\x0f",
                                  b"\x1f\x80", b"\x40", b"\x40\x01", b"\x40\x01n", b"\x40\x01n\x05",
                                  b"\x00", b"\x10\x01n\x02v", b"\x44", b"\x04\x0a/small",
                                  b"\x00\x05nam", b"\x00\x85\xff", b"\x40\x01n\x7f"], ids=repr)
def test_a_block_that_ends_within_a_representation_is_a_compression_error(conn, tail):
    """3.2, 5.1 and 5.2: an integer or a string that is cut off, a value that is missing."""
    expect_compression_error(conn, request(conn) + tail)


# ---- Huffman codes (5.2)

def coded_literal(data):
    """A literal whose value is these octets, said to be Huffman-coded."""
    return b"\0\1n" + integer(len(data), 7, 0x80) + data


@over_both
@pytest.mark.parametrize("data", [
    pytest.param(b"\x18", id="padding of zeros"),                     # `a` and 000
    pytest.param(b"\x1e", id="padding that ends in a zero"),          # `a` and 110
    pytest.param(b"\x1b", id="padding with a zero inside"),           # `a` and 011
    pytest.param(b"\x1f\xff", id="11 bits of padding"),               # `a`, then more than 7 bits
    pytest.param(b"\xff", id="8 bits of padding alone"),
    pytest.param(b"\xff\xff", id="16 bits of padding alone"),
    pytest.param(b"\xff\xff\xff", id="24 bits of padding alone"),
    pytest.param(b"\xff\xff\xff\xff", id="EOS and two bits"),
    pytest.param(b"\xff\xff\xff\xfc", id="EOS and two zeros"),
    pytest.param(huffman("abc") + b"\xff", id="a whole octet too many"),
    pytest.param(b"\x1f\xff\xff\xff\xff", id="EOS behind a symbol"),
    pytest.param(b"\xff\xff\xff\xfc\x1f", id="EOS before a symbol"),
    pytest.param(b"\xfe", id="a code that is cut off"),               # of `!`, which has 10 bits
    pytest.param(huffman("abc") + b"\xfe", id="a code that is cut off behind others"),
])
def test_a_wrong_huffman_string_is_a_compression_error(conn, data):
    """5.2: padding of more than 7 bits, padding that is not of ones, and EOS MUST be treated as
    decoding errors."""
    expect_compression_error(conn, request(conn) + coded_literal(data))


@pytest.mark.parametrize("bits", range(8))
def test_padding_of_up_to_seven_bits_is_accepted(conn, bits):
    """5.2: the most significant bits of EOS, as many as it takes to fill the octet. `0` has a code
    of 5 bits and `X` one of 8."""
    zeros = next(n for n in range(1, 9) if -5 * n % 8 == bits)
    expect_small(conn, request(conn) + coded_literal(huffman("0" * zeros + "X")))


def test_a_wrong_huffman_name_is_a_compression_error(conn):
    """5.2: names are strings as values are."""
    expect_compression_error(conn, request(conn) + b"\0\x81\x18" + b"\1v")


# ---- table size updates (4.2, 4.3, 6.3)

@over_both
@pytest.mark.parametrize("updates", [(0,), (1,), (DEFAULT_TABLE_BYTES,), (0, DEFAULT_TABLE_BYTES),
                                     (100, 200), (0, 0)], ids=str)
def test_a_size_update_at_the_beginning_is_accepted(conn, updates):
    """4.2: within the limit, one or two of them."""
    expect_small(conn, b"".join(map(size_update, updates)) + request(conn))


@over_both
@pytest.mark.parametrize("excess", [1, 2, 4096, 2**31])
def test_a_size_update_above_the_limit_is_a_compression_error(conn, excess):
    """6.3: the limit is what the server's SETTINGS_HEADER_TABLE_SIZE says, 4,096 octets if
    nothing."""
    expect_compression_error(conn, size_update(table_limit(conn) + excess) + request(conn))


def test_a_size_update_to_the_limit_is_accepted(conn):
    """6.3: a value less than or equal to the limit."""
    expect_small(conn, size_update(table_limit(conn)) + request(conn))


@over_both
@pytest.mark.parametrize("where", ["after the first field", "within the block", "at its end"])
def test_a_size_update_behind_a_field_is_a_compression_error(conn, where):
    """4.2: a size update MUST occur at the beginning of a block."""
    fields = [literal(name, value) for name, value in conn.fields()]
    position = {"after the first field": 1, "within the block": 3, "at its end": 4}[where]
    fields.insert(position, size_update(100))
    expect_compression_error(conn, b"".join(fields))


def test_a_size_update_may_begin_trailers(conn):
    """4.2: every block has a beginning."""
    stream = conn.request(end_stream=False)
    conn.send_block(size_update(50) + literal("x-checksum", "1"), stream=stream.id)
    conn.response(stream)
    expect_small(conn, request(conn))


def test_a_size_update_to_zero_empties_the_table(conn):
    """4.3: entries are evicted until the table fits; making it larger brings none back."""
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL))
    expect_small(conn, size_update(0) + size_update(DEFAULT_TABLE_BYTES) + request(conn))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC))


@pytest.mark.parametrize("room, kept", [(0, True), (-1, False)], ids=["just fits", "one too few"])
def test_a_smaller_table_evicts_what_does_not_fit(conn, room, kept):
    """4.3: the newest entries stay while they fit."""
    conn.response(conn.send_block(request(conn) + literal("x-old", "v", INCREMENTAL)))
    expect_small(conn, start(conn) + literal(PATH, conn.peer.small, INCREMENTAL))
    smaller = size_update(entry_bytes(":path", conn.peer.small) + room)
    if kept:
        expect_small(conn, smaller + start(conn) + indexed(FIRST_DYNAMIC))
        expect_compression_error(conn, request(conn) + indexed(FIRST_DYNAMIC + 1))
    else:
        expect_compression_error(conn, smaller + start(conn) + indexed(FIRST_DYNAMIC))


def test_a_table_of_no_size_takes_no_entries(conn):
    """4.4: with a maximum of 0 every entry is larger than the table."""
    expect_small(conn, size_update(0) + start(conn) + literal(PATH, conn.peer.small, INCREMENTAL))
    expect_compression_error(conn, start(conn) + indexed(FIRST_DYNAMIC))


# ---- errors in every place where a block can be

@over_both
def test_an_error_in_trailers_is_a_compression_error(stalled):
    """RFC 9113, 4.3: a decoding error in a field block is a connection error."""
    stream = stalled.held_request(end_stream=False)
    stalled.send_block(indexed(FIRST_DYNAMIC), stream=stream.id)
    stalled.expect_connection_error(Code.COMPRESSION_ERROR)


def test_an_error_in_a_continuation_is_a_compression_error(conn):
    """RFC 9113, 4.3: wherever in the block it is."""
    conn.send_frame(Type.HEADERS, Flag.END_STREAM, 1, request(conn))
    conn.send_frame(Type.CONTINUATION, Flag.END_HEADERS, 1, indexed(0))
    conn.expect_connection_error(Code.COMPRESSION_ERROR)


def test_an_error_behind_a_malformed_field_is_a_compression_error(conn):
    """RFC 9113, 4.3: a malformed request's block is decoded all the same."""
    block = request(conn) + literal("X-Upper", "1") + indexed(0)
    conn.send_block(block)
    conn.expect_connection_error(Code.COMPRESSION_ERROR, Code.PROTOCOL_ERROR)


@over_both
def test_an_error_on_a_refused_stream_is_a_compression_error(stalled):
    """RFC 9113, 4.3 and 5.1.2: also when the stream is beyond the concurrency limit; a server that
    takes the latter for a connection error may find that one first."""
    limit = stalled.server_settings.get(Setting.MAX_CONCURRENT_STREAMS)
    if limit is None or limit > 2000:
        pytest.skip(f"the server advertises MAX_CONCURRENT_STREAMS {limit}")
    for _ in range(limit):
        stalled.held_request()
    stalled.send_block(request(stalled) + indexed(0))
    stalled.expect_connection_error(Code.COMPRESSION_ERROR, Code.PROTOCOL_ERROR)
