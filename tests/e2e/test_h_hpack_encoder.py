"""The server's HPACK encoder: RFC 7541, 4.2 and RFC 9113, 4.3.1. That what it sends decodes, and
stays within the table that was allowed, is checked with every field block of every test (rawh2)."""

import pytest

from rawh2_wire import Setting, over_both
from rawhpack import (DEFAULT_TABLE_BYTES, FIRST_DYNAMIC, INCREMENTAL, STATIC_ENTRIES,
                      representations)

pytest_plugins = ["h_fixtures"]


def response_block(conn, path=None):
    """The representations of the next response's field block."""
    stream = conn.response(conn.request(path, method="HEAD"))
    return representations(stream.blocks[-1])


def updates_of(block):
    """The size updates that begin a block."""
    updates = []
    for kind, number in block:
        if kind != "size_update":
            break
        updates.append(number)
    return updates


def uses_the_dynamic_table(block):
    """Whether a representation refers to a dynamic entry."""
    return any(kind != "size_update" and number > STATIC_ENTRIES for kind, number in block)


def test_the_status_of_a_plain_answer_is_an_indexed_static_field(conn):
    """6.1: no MUST, but a server that doesn't even index `:status: 200` has no encoder."""
    assert response_block(conn)[0] == ("indexed", 8)


def test_an_etag_is_copied_as_it_is(conn):
    """5.2 leaves it to the encoder: an etag comes with every response, so herald's are of
    characters that Huffman coding would not make shorter."""
    for _ in range(2):
        stream = conn.response(conn.request(method="HEAD"))
        tag = stream.fields()[b"etag"]
        assert len(tag) == 13 and tag in stream.blocks[-1]


@over_both
def test_size_updates_stand_at_the_beginning_only(conn):
    """4.2: a size update MUST occur at the beginning of a block."""
    for table_bytes in (100, 0, 4096, 50):
        conn.sync_settings({Setting.HEADER_TABLE_SIZE: table_bytes})
        block = response_block(conn)
        rest = block[len(updates_of(block)):]
        assert all(kind != "size_update" for kind, _ in rest)


@over_both
@pytest.mark.parametrize("table_bytes", [0, 1, 31, 64, 200, 4095])
def test_a_smaller_table_is_announced_in_the_first_block(dial, table_bytes):
    """RFC 9113, 4.3.1: after the ACK of a reduction the next block starts with a size update that
    is at most the new maximum."""
    conn = dial(settings={Setting.HEADER_TABLE_SIZE: table_bytes})
    updates = updates_of(response_block(conn))
    assert updates and updates[0] <= table_bytes
    for _ in range(5):
        assert all(update <= table_bytes for update in updates_of(response_block(conn)))


@over_both
def test_without_a_table_nothing_dynamic_is_referred_to(dial):
    """4.2 and 4.4: with a size of 0 there are no dynamic entries, however often a response comes
    again."""
    conn = dial(settings={Setting.HEADER_TABLE_SIZE: 0})
    for path in (None, "/index.html", None, "/not/there", None):
        assert not uses_the_dynamic_table(response_block(conn, path))


@pytest.mark.parametrize("table_bytes", [4096, 4097, 65536, 2**32 - 1])
def test_a_larger_table_is_used_within_its_limit(dial, table_bytes):
    """4.2: the encoder may choose any size up to the maximum; the audit of every block has it."""
    conn = dial(settings={Setting.HEADER_TABLE_SIZE: table_bytes})
    for path in (None, "/index.html", None, "/not/there", None):
        assert all(update <= table_bytes for update in updates_of(response_block(conn, path)))


@over_both
@pytest.mark.parametrize("low", [0, 40, 100])
def test_a_table_made_small_and_large_again_is_announced_with_its_lowest_size(conn, low):
    """4.2: when the maximum changed more than once between two blocks, the smallest MUST be
    signalled, then the final one."""
    response_block(conn)
    for table_bytes in (low, DEFAULT_TABLE_BYTES):
        conn.sync_settings({Setting.HEADER_TABLE_SIZE: table_bytes})
    updates = updates_of(response_block(conn))
    assert updates and updates[0] <= low
    assert len(updates) <= 2


def test_a_table_made_small_and_large_again_in_one_frame_is_announced_or_unchanged(conn):
    """4.2 and RFC 9113, 6.5: the frame's last value is what holds; a receiver that looks at each
    value announces the smallest."""
    response_block(conn)
    conn.sync_settings([(Setting.HEADER_TABLE_SIZE, 0),
                        (Setting.HEADER_TABLE_SIZE, DEFAULT_TABLE_BYTES)])
    updates = updates_of(response_block(conn))
    assert updates == [] or updates[0] in (0, DEFAULT_TABLE_BYTES)


def test_entries_that_a_smaller_table_has_evicted_are_not_referred_to(conn):
    """4.3: the decoder drops them; the audit's decoder would fail on such an index."""
    for _ in range(3):
        response_block(conn)
    conn.sync_settings({Setting.HEADER_TABLE_SIZE: 0})
    assert not uses_the_dynamic_table(response_block(conn))
    conn.sync_settings({Setting.HEADER_TABLE_SIZE: DEFAULT_TABLE_BYTES})
    block = response_block(conn)
    inserted = sum(kind == INCREMENTAL for kind, _ in block)
    assert all(number < FIRST_DYNAMIC + inserted for kind, number in block
               if kind != "size_update")
    response_block(conn)


@over_both
def test_responses_stay_decodable_through_many_changes_of_the_table(conn):
    """4.2 to 4.4: the audit decodes every block with the table that was allowed."""
    paths = (None, "/index.html", "/not/there", conn.peer.big)
    for number, table_bytes in enumerate((4096, 300, 80, 0, 120, 4096, 65536, 33, 4096)):
        conn.sync_settings({Setting.HEADER_TABLE_SIZE: table_bytes})
        for path in paths[number % 2:]:
            response_block(conn, path)


def test_a_repeated_response_is_sent_shorter(conn):
    """2.3.2: no MUST, but what the dynamic table is for."""
    first = conn.response(conn.request(method="HEAD"))
    second = conn.response(conn.request(method="HEAD"))
    assert len(second.blocks[-1]) <= len(first.blocks[-1])
    assert uses_the_dynamic_table(representations(second.blocks[-1]))
