"""HPACK written by hand (RFC 7541), one function per representation, so that a test can put any
octets on the wire: right ones, wrong ones, and right ones in an unusual form.

`representations` reads a field block of the server's and says how each field line was sent."""

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

STATIC_ENTRIES = len(HeaderTable.STATIC_TABLE)           # 61 of them, numbered from 1
FIRST_DYNAMIC = STATIC_ENTRIES + 1
ENTRY_OVERHEAD = 32                                      # RFC 7541, 4.1
DEFAULT_TABLE_BYTES = 4096

INCREMENTAL, WITHOUT, NEVER = "incremental", "without", "never"
_PATTERNS = {INCREMENTAL: (0x40, 6), WITHOUT: (0x00, 4), NEVER: (0x10, 4)}


def octets(text):
    """`text` as octets; a str stands for the octets of the same numbers."""
    return text if isinstance(text, bytes) else text.encode("latin-1")


def integer(value, prefix_bits, first=0):
    """RFC 7541, 5.1: `value` behind the pattern bits of `first`."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def huffman(text):
    """RFC 7541, 5.2: Huffman-coded and padded octets, without their length."""
    return HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(octets(text))


def string(text, coded=False):
    """RFC 7541, 5.2: a string literal, Huffman-coded when `coded`."""
    data = huffman(text) if coded else octets(text)
    return integer(len(data), 7, 0x80 if coded else 0) + data


def indexed(index):
    """RFC 7541, 6.1: a field line that is in a table."""
    return integer(index, 7, 0x80)


def literal(name, value, how=WITHOUT, coded=False):
    """RFC 7541, 6.2: a literal field line; `name` is text, or the index of a name."""
    pattern, prefix_bits = _PATTERNS[how]
    if isinstance(name, int):
        return integer(name, prefix_bits, pattern) + string(value, coded)
    return bytes([pattern]) + string(name, coded) + string(value, coded)


def size_update(table_bytes):
    """RFC 7541, 6.3: a dynamic table size update."""
    return integer(table_bytes, 5, 0x20)


def block(fields, how=WITHOUT, coded=False):
    """A field block of literals, one for each (name, value)."""
    return b"".join(literal(name, value, how, coded) for name, value in fields)


def entry_bytes(name, value):
    """RFC 7541, 4.1: what an entry takes in the dynamic table."""
    return len(octets(name)) + len(octets(value)) + ENTRY_OVERHEAD


def _read_integer(data, position, prefix_bits):
    limit = (1 << prefix_bits) - 1
    value, position, shift = data[position] & limit, position + 1, 0
    if value < limit:
        return value, position
    while True:
        octet, position = data[position], position + 1
        value += (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return value, position


def _skip_string(data, position):
    length, position = _read_integer(data, position, 7)
    assert position + length <= len(data), "a string literal runs past its field block"
    return position + length


def representations(data):
    """Lists a field block's representations as (kind, number): ("indexed", index),
    ("size_update", octets), or (INCREMENTAL | WITHOUT | NEVER, index of the name or 0)."""
    found, position = [], 0
    while position < len(data):
        first = data[position]
        if first & 0x80:
            number, position = _read_integer(data, position, 7)
            found.append(("indexed", number))
            continue
        if first & 0xE0 == 0x20:
            number, position = _read_integer(data, position, 5)
            found.append(("size_update", number))
            continue
        kind = INCREMENTAL if first & 0x40 else NEVER if first & 0x10 else WITHOUT
        number, position = _read_integer(data, position, 6 if kind == INCREMENTAL else 4)
        if number == 0:
            position = _skip_string(data, position)
        position = _skip_string(data, position)
        found.append((kind, number))
    return found
