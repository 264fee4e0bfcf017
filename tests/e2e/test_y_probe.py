"""Whether time tells one client what another holds. Pages whose asset another client holds and pages
whose asset it does not are asked for in a mixed order, by strangers, again and again; the same
instrument tells with ease what the asking client itself holds."""
import random
import time

import pytest

import server
from h2client import Client, Cookies

pytestmark = pytest.mark.alone

PAGES = 60
ROUNDS = 8
SURE = 0.8         # of what may be known
# By chance alone 60 times fall so far from one half less than once in 100,000 runs.
CHANCE = 0.35


def page(number):
    return "/page/%d.html" % number


def asset(number):
    return "/held/%d.css" % number


def told_apart(some, others):
    """The chance that a time of the one kind is above one of the other: one half where nothing is
    told (the statistic of Mann and Whitney)."""
    above = sum((a > b) + (a == b) / 2 for a in some for b in others)
    return above / (len(some) * len(others))


def clients(count):
    return [Cookies() for _ in range(count)]


class Probe:
    """The least time that each page takes, with what is pushed."""

    def __init__(self, site, chance):
        self.site, self.chance = site, chance
        self.times(clients(1))           # whatever is read once is read, in no order
        self.before = self.times(clients(ROUNDS))

    def times(self, clients):
        least = {}
        for cookies in clients:
            client = Client(self.site, tls=False, cookies=cookies)
            order = list(range(PAGES))
            self.chance.shuffle(order)
            client.get("/hello.txt")
            for number in order:
                began = time.perf_counter()
                client.visit(page(number))
                took = time.perf_counter() - began
                least[number] = min(took, least.get(number, took))
            client.close()
        return least

    def separation(self, held, clients):
        """By what each page takes beyond what it took before anybody held anything."""
        more = {n: took - self.before[n] for n, took in self.times(clients).items()}
        return told_apart([more[n] for n in more if n not in held], [more[n] for n in more if n in held])


def visit_all(client, numbers, pushed):
    for number in sorted(numbers):
        assert client.visit(page(number)).paths() == [path(number) for path in pushed]
    client.settle()


@pytest.mark.skipif(server.ASAN, reason="it is the program that is timed")
def test_no_time_tells_what_another_client_holds(herald, connect):
    chance = random.Random(6)
    site = herald(workers=1, pushes={page(n): [asset(n)] for n in range(PAGES)})
    for number in range(PAGES):
        site.root.write(page(number), b"<!doctype html><title>a page</title>")
        site.root.write(asset(number), b"p { color: black }\n" * 500)
    held = set(chance.sample(range(PAGES), PAGES // 2))
    probe = Probe(site, chance)
    other, *mine = clients(1 + ROUNDS)
    for cookies in (other, *mine):
        visit_all(connect(site, tls=False, cookies=cookies), held, [asset])
    visit_all(connect(site, tls=False, cookies=other), held, [])
    assert probe.separation(held, mine) > SURE, "what this client holds itself is told"
    strangers = probe.separation(held, clients(ROUNDS))
    assert abs(strangers - 0.5) < CHANCE, strangers
