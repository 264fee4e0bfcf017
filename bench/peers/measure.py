"""One measurement: a load against a server, the CPU time of both, and what else the machine did."""
import dataclasses
import os
import time

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
OTHER_MAX = 0.05      # of the machine's time: above this a round counts as disturbed
STEAL_MAX = 0.02
SATURATED_AT = 0.95   # of its core: from here on it is the client that sets the pace


@dataclasses.dataclass
class Sample:
    """What one round of one load cost."""
    units: int            # requests, pages or connections
    server_s: float       # CPU time
    client_s: float
    wall_s: float
    other: float          # part of the machine's time spent by neither
    steal: float
    note: str = ""        # what the load says about itself

    @property
    def us(self):
        return self.server_s / self.units * 1e6

    @property
    def disturbed(self):
        return self.other > OTHER_MAX or self.steal > STEAL_MAX

    @property
    def client_saturated(self):
        return self.client_s / self.wall_s > SATURATED_AT


def machine_ticks():
    """Ticks of all CPUs: busy, stolen."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, soft, steal = map(int, stat.readline().split()[1:9])
    return user + nice + system + irq + soft, steal


def measure(server, load, origin=None):
    """Runs load(), which returns (units, the client's CPU seconds, note), against `server`. What
    `origin` spends meanwhile, if there is one, is no disturbance."""
    busy, steal = machine_ticks()
    began, server_began = time.monotonic(), server.cpu_s()
    origin_began = origin.cpu_s() if origin else 0
    units, client_s, note = load()
    server_s, wall_s = server.cpu_s() - server_began, time.monotonic() - began
    origin_s = origin.cpu_s() - origin_began if origin else 0
    busy_after, steal_after = machine_ticks()
    whole = wall_s * os.cpu_count()
    return Sample(units=units, server_s=server_s, client_s=client_s, wall_s=wall_s,
                  other=max(0.0, (busy_after - busy) * TICK_S - server_s - client_s - origin_s) /
                  whole,
                  steal=(steal_after - steal) * TICK_S / whole, note=note)
