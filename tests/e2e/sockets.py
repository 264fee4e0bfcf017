"""The kernel's TCP sockets over IPv4, asked for by port (sock_diag(7)). /proc/net/tcp tells the same, but
of each connection that a crowd of clients left in TIME_WAIT too: a tenth of a second at each look."""
import collections
import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLMSG_DONE = 20, 2, 3
DUMP = 0x301                             # NLM_F_REQUEST | NLM_F_DUMP
HEADER = struct.Struct("=IHHII")         # struct nlmsghdr
REQUEST = struct.Struct("=BBBxI")        # struct inet_diag_req_v2, before its socket's id
ANSWER = struct.Struct("=BBBB48xIIIII")  # struct inet_diag_msg, less the id; its ports follow the 4 octets
PORTS = struct.Struct(">HH")
LISTEN, LIVE = 1 << 10, 0xfff & ~(1 << 6 | 1 << 10)    # LIVE: all but TIME_WAIT and the listeners


class TcpRow(collections.namedtuple("TcpRow", "local remote inode sending receiving")):
    """A socket: its ports, and the bytes in its two queues."""


def tcp_rows(local=0, remote=0, states=LIVE):
    """The sockets of these ports; 0 is any."""
    request = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, states) + \
        PORTS.pack(local, remote) + bytes(44)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asked:
        asked.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0) + request)
        rows = []
        while True:
            data = asked.recv(1 << 16)
            while data:
                length, kind, *_ = HEADER.unpack_from(data)
                if kind == NLMSG_DONE:
                    return rows
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, HEADER.size)[0]
                    raise OSError(code, "the kernel tells nothing of its sockets (CONFIG_INET_TCP_DIAG)")
                rows.append(_row(data))
                data = data[(length + 3) & ~3:]


def _row(data):
    *_, receiving, sending, _, inode = ANSWER.unpack_from(data, HEADER.size)
    return TcpRow(*PORTS.unpack_from(data, HEADER.size + 4), inode, sending, receiving)


def listeners(port):
    """How many sockets listen on the port."""
    return len(tcp_rows(local=port, states=LISTEN))
