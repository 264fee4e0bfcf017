"""The cases: what is asked, of whom, and which part of the best peer's cost herald is to stay at."""
import dataclasses

import loads


@dataclasses.dataclass
class Case:
    key: str              # as CASES= names it
    title: str
    transport: str
    load: object          # load(server, transport, count, cores) -> (units, client_s, note)
    start: int            # units of the first, calibrating run
    goal: float = None    # herald's cost ÷ the best peer's, or ÷ the base variant's
    base: str = None      # of herald alone: the variant that `variant` is compared with
    variant: str = None
    step: int = 1         # the count is a multiple of this
    names: tuple = ()     # the servers that it is for; (): all


def files(path, connections, streams):
    def load(server, transport, count, cores):
        return loads.h2load(server, transport, path, count, connections, streams, cores)
    return load


def both(key, title, load, start, h2c_goal, tls_goal, step=1):
    return [Case(key + "-h2c", title + ", h2c", "h2c", load, start, h2c_goal, step=step),
            Case(key + "-tls", title + ", TLS", "tls", load, start, tls_goal, step=step)]


def alone(key, title, load, start, goal, base, variant, transport="h2c", step=1):
    return Case(key, title, transport, load, start, goal, base, variant, step)


PROXIES = ("herald", "h2o", "nginx", "nghttpx")
ONE_KIB = files("/1k.bin", 32, 32)

PEER_CASES = (
    both("1k", "1 KiB, 32 connections × 32 streams", ONE_KIB, 4096, 0.95, 0.95, 1024) +
    both("16k", "16 KiB, 32 × 32", files("/16k.bin", 32, 32), 2048, 0.85, 0.90, 1024) +
    both("64k", "64 KiB, 32 × 32", files("/64k.bin", 32, 32), 2048, 0.75, 0.90, 1024) +
    both("1m", "1 MiB, 8 × 4", files("/1m.bin", 8, 4), 128, 0.80, 0.90, 32) +
    both("one", "1 KiB, 128 × 1", files("/1k.bin", 128, 1), 2048, 0.85, 0.90, 128) +
    both("fresh", "a fresh client's page, 12 pushes", loads.fresh_pages, 64, 0.80, 0.85) +
    both("known", "a returning client's page", loads.returning_pages, 800, 1.00, 1.00, 16) +
    [Case("proxy-%s-%s" % (size, transport), "%s from an origin, 32 × 8, %s" % (title, shown), transport,
          files("/proxied/%s.bin" % size, 32, 8), 1024, step=256, names=PROXIES)
     for size, title in (("1k", "1 KiB"), ("64k", "64 KiB"))
     for transport, shown in (("h2c", "h2c"), ("tls", "TLS"))] +
    [Case("full", "full handshake and a request", "tls", loads.handshakes, 200, 1.00),
     Case("resumed", "resumed handshake and a request", "tls", loads.resumptions, 640, 1.00,
          step=40)])

# key, title, transport, goal in KiB
MEMORY_CASES = [("memory-h2c", "private memory per idle connection, h2c", "h2c", 20),
                ("memory-tls", "private memory per idle connection, TLS", "tls", 38)]
MEMORY_CONNECTIONS = 2000

IDLE_CONNECTIONS = 10000
KNOWN_ENTRIES = 10 ** 7
USUAL_ENTRIES = 10 ** 6  # beside the peers: no page of the table's memory is touched for the first time

HERALD_CASES = [
    alone("idle-h2c", "10,000 idle connections ÷ none, 1 KiB h2c", ONE_KIB, 4096, 1.05, "plain",
          "idle-h2c", step=1024),
    alone("idle-tls", "10,000 idle connections ÷ none, 1 KiB TLS", ONE_KIB, 4096, 1.05, "plain",
          "idle-tls", "tls", 1024),
    alone("workers", "2 workers ÷ 1 worker, 1 KiB h2c", ONE_KIB, 4096, 1.05, "one-worker",
          "two-workers", step=1024),
    alone("entries", "a fresh page, 10^7 known entries ÷ none", loads.fresh_pages, 64, 1.05,
          "plain", "full-table"),
    alone("entries-known", "a returning page, 10^7 known entries ÷ none", loads.returning_pages,
          800, 1.05, "plain", "full-table", step=16),
    alone("log", "access log on ÷ off, 1 KiB h2c", ONE_KIB, 4096, 1.15, "plain", "log",
          step=1024),
    alone("log-page", "access log on ÷ off, a returning page", loads.returning_pages, 800, 1.15,
          "plain", "log", step=16),
]

# What the policy and its 12 look-ups add to a page, in µs.
POLICY_CASE = alone("policy", "µs a page: `manifest`, 12 candidates held, ÷ no policy",
                    loads.returning_pages, 800, 5.0, "no-policy", "plain", step=16)
