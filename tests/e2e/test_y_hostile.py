"""Every attack of tests/hostile, once: what the server does, which counter moves, and that others
are served meanwhile and afterwards. What it costs is measured by `make check-hostile`."""
import os
import sys

import pytest

import server

sys.path.insert(0, os.path.join(server.TOP, "tests", "hostile"))
import attacker                          # noqa: E402
import corpus                            # noqa: E402
import measure                           # noqa: E402
import rawhpack                          # noqa: E402
import site_under_attack                 # noqa: E402
from rawh2_wire import Type              # noqa: E402

pytestmark = pytest.mark.alone

ATTACKS = corpus.load()


@pytest.fixture(scope="module")
def sites():
    with site_under_attack.Sites() as made:
        yield made
        assert made.close() == 0, "a server under attack ended badly"


SANITIZED = pytest.mark.asan if server.SOAK else lambda test: test    # a minute and a half


@SANITIZED
@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.slug for attack in ATTACKS])
def test_an_attack_is_stopped_and_nobody_else_feels_it(sites, attack):
    site = sites.of(attack)
    worker, before = site.worker(), site.counter(attack.counter)
    honest = measure.Honest(site)
    honest.get()
    outcome, _, _ = measure.attack_once(site, attack)
    assert outcome.startswith(attack.expect), "%s, not %s" % (outcome, " or ".join(attack.expect))
    if not attack.short:                 # an honest connection that is idle is closed there
        honest.get()
    measure.Honest(site).get()
    assert site.worker() == worker, "the worker went down"
    if attack.counter:
        assert site.counter(attack.counter) > before, attack.counter + " did not move"


def test_one_line_of_the_log_for_each_connection_that_is_cut_off(sites):
    ping = next(a for a in ATTACKS if a.counter == "limit_ping")
    site = sites.of(ping)
    lines = len(site.herald.err)
    for _ in range(3):
        measure.attack_once(site, ping)
    site.herald.wait_error("PING flood", since=lines)
    server.wait_until(lambda: sum("PING flood" in line for line in site.herald.err[lines:]) >= 3, 5,
                      "a line for each")
    assert sum("PING flood" in line for line in site.herald.err[lines:]) == 3


@pytest.mark.quick
def test_a_hundred_honest_requests_in_one_segment_are_no_attack(sites):
    """Their header blocks are decoded in one go; each is counted for itself."""
    site = sites.of(ATTACKS[0])
    link = attacker.Attacker(site)
    fields = rawhpack.block([("x-field-%d" % i, "value") for i in range(20)])
    link.send(b"".join(link.request(stream, b"/hello.txt", extra=fields)
                       for stream in range(1, 200, 2)))
    link.read_for(5, lambda: link.received[Type.HEADERS] >= 100)
    assert (link.received[Type.HEADERS], link.outcome()) == (100, "kept")
    link.close()
