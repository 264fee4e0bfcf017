"""The attacks' register: each has a name, what the server is expected to do, and the counter that
must move."""
from dataclasses import dataclass, field

CALM = "GOAWAY ENHANCE_YOUR_CALM"
PROTOCOL = "GOAWAY PROTOCOL_ERROR"
FLOW = "GOAWAY FLOW_CONTROL_ERROR"
STREAM_CLOSED = "GOAWAY STREAM_CLOSED"
CLOSED = "closed"
KEPT = "kept"                            # absorbed: nothing happens, and it costs next to nothing
RESET = "RST_STREAM"
LIMITS_OF_TIME = ("limit_send", "limit_handshake", "limit_header", "limit_idle")


@dataclass
class Attack:
    """`run(link)` attacks over one connection and returns, or is ended by the server. What it returns,
    if anything, is the outcome."""
    name: str
    group: str
    run: object
    expect: tuple                        # outcomes that are right, by their beginning
    counter: str = ""                    # in `herald status --json`; "" when nothing is cut off
    short: bool = False                  # against a server whose limits of time are short
    link: dict = field(default_factory=dict)   # how to connect; attacker.Attacker
    cve: str = ""
    master: bool = False                 # what is attacked, and measured, is the master

    @property
    def slug(self):
        return "".join(c if c.isalnum() else "_" for c in self.name.lower()).strip("_")


ATTACKS = []


def attack(name, group, expect, counter="", cve="", short=False, master=False, **link):
    """Registers the function that follows."""
    def register(run):
        expected = (expect,) if isinstance(expect, str) else tuple(expect)
        ATTACKS.append(Attack(name, group, run, expected, counter,
                              short or counter in LIMITS_OF_TIME, link, cve, master))
        return run
    return register


def load():
    """Every attack, in the order of its group's file."""
    import floods, holds, memory, requests_bad, stalls, pushes, handshakes, masters  # noqa: F401
    return ATTACKS
