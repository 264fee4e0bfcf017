"""What the fields that a server sends must look like (RFC 9113, 8.2 to 8.4)."""

CONNECTION_FIELDS = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding",
                     b"upgrade"}


class Violation(AssertionError):
    """The server sent something that RFC 9113 or RFC 7541 forbids."""


def check_response_section(section, trailers, end_stream):
    """RFC 9113, 8.2 and 8.3.2, for what a server sends."""
    names = [name for name, _ in section]
    pseudo = [name for name in names if name.startswith(b":")]
    if pseudo != ([] if trailers else [b":status"]) or names[:len(pseudo)] != pseudo:
        raise Violation(f"pseudo-header fields {pseudo} in a response (8.3, 8.3.2)")
    if trailers and not end_stream:
        raise Violation("trailers without END_STREAM (8.1)")
    if not trailers and end_stream and section[0][1].startswith(b"1"):
        raise Violation("an interim response with END_STREAM (8.1)")
    for name, value in section:
        check_field(name, value)


def check_promise(section):
    """RFC 9113, 8.4: a promised request is complete, safe, and has no content."""
    names = [name for name, _ in section]
    needed = {b":method", b":scheme", b":authority", b":path"}
    pseudo = [name for name in names if name.startswith(b":")]
    if set(pseudo) != needed or len(pseudo) != 4 or names[:4] != pseudo:
        raise Violation(f"a promised request with pseudo-header fields {pseudo} (8.4.1)")
    if dict(section)[b":method"] not in (b"GET", b"HEAD") or b"content-length" in names:
        raise Violation("a promised request that is not safe, or has content (8.4)")
    for name, value in section:
        check_field(name, value)


def check_field(name, value):
    """RFC 9113, 8.2.1 and 8.2.2: one field line of the server's."""
    bare = name[1:] if name.startswith(b":") else name
    if not bare or any(c <= 0x20 or 0x41 <= c <= 0x5A or c >= 0x7F or c == 0x3A for c in bare):
        raise Violation(f"a field named {name!r} (8.2.1)")
    if any(c in b"\0\r\n" for c in value) or value != value.strip(b" \t"):
        raise Violation(f"field {name!r} has the value {value!r} (8.2.1)")
    if name in CONNECTION_FIELDS:
        raise Violation(f"the connection-specific field {name!r} (8.2.2)")
