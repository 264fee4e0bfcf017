"""The saved push table as if time had passed since: how a test moves the table's clock."""
import ctypes
import os
import struct

CHUNK = 65536
OFFSET = 4096
HEADER = struct.Struct("<QIIQQQ8s")      # magic, layout, sizes, table bytes, boottime, wall, key id
WALL_PLACE = 32


class Hash(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def checksum(parts):
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_createState.restype = ctypes.c_void_p
    library.XXH3_128bits_digest.restype = Hash
    state = ctypes.c_void_p(library.XXH3_createState())
    library.XXH3_128bits_reset(state)
    for part in parts:
        library.XXH3_128bits_update(state, part, ctypes.c_size_t(len(part)))
    digest = library.XXH3_128bits_digest(state)
    library.XXH3_freeState(state)
    return struct.pack(">QQ", digest.high, digest.low)


def parts_of(data):
    yield bytes(data[:HEADER.size])
    for at in range(OFFSET, len(data), CHUNK):
        chunk = bytes(data[at:at + CHUNK])
        if any(chunk):
            yield struct.pack("<Q", at - OFFSET)
            yield chunk


def make_older(path, seconds):
    """Moves the time at which the table at `path` was saved back, as if it had lain there longer."""
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        was = bytes(data[HEADER.size:HEADER.size + 16])
        assert checksum(parts_of(data)) == was, "the file's form has changed: see segment.c"
        wall, = struct.unpack_from("<Q", data, WALL_PLACE)
        struct.pack_into("<Q", data, WALL_PLACE, wall - seconds)
        file.seek(WALL_PLACE)
        file.write(data[WALL_PLACE:WALL_PLACE + 8])
        file.seek(HEADER.size)
        file.write(checksum(parts_of(data)))
    assert os.path.getsize(path) == len(data)
