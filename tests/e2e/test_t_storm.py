"""Many clients that ask, leave and come back, before an origin that does anything: what arrives whole
is right, nothing partial passes for whole, and the server outlives it."""
import random

import pytest

from cache_origin import Answer, CacheOrigin

pytestmark = [pytest.mark.asan]
FRESH = "public, max-age=600"
ROUNDS = 60


def content(target):
    """What belongs to a target: of its own length, and never the same as another's."""
    number = int(target[1:])
    return b"%d-" % number * ((number * 7919 % 9000) + 1)


def answer_by(rng):
    def answer(target, fields):
        body = content(target)
        kind = rng.randrange(10)
        chunked = rng.random() < 0.5
        if kind == 0:
            return Answer(body[:len(body) // 2], cut=len(body) - len(body) // 2, chunked=chunked,
                          cache_control=FRESH)
        if kind == 1:
            return Answer("broken", status=503)
        if kind == 2:
            return Answer(body, cache_control="private")
        control = rng.choice([FRESH, "no-cache", "max-age=1, stale-while-revalidate=5", "max-age=1"])
        return Answer(body, chunked=chunked, cache_control=control,
                      etag=rng.choice([None, '"%s"' % target]),
                      vary=rng.choice([None, "accept-encoding"]))
    return answer


@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_requests_and_resets_leaves_everything_right(herald, connect, seed):
    rng = random.Random(seed)
    answer = answer_by(random.Random(seed + 1000))
    targets = ["/%d" % i for i in range(12)]
    source = """return { api = 1, applies = { path = "/page.html" },
      on_request = function(req, push)
        for i = 0, 11 do push:add("/" .. i, { fetch = true }) end
      end }"""
    origin = CacheOrigin({t: (lambda fields, t=t: answer(t, fields)) for t in targets})
    origin.answers["/page.html"] = Answer("<p>page</p>", content_type="text/html")
    try:
        site = herald(site={"root": None, "origin": origin.url}, fill=False, workers=1,
                      policies=["all.lua"], policy_files={"all.lua": source},
                      top={"cache": {"memory": "256KiB", "entry": "48KiB"}})
        whole = 0
        for _ in range(ROUNDS):
            client = connect(site)
            streams = []
            for _ in range(rng.randrange(1, 12)):
                target = rng.choice(targets + ["/page.html"])
                streams.append((target, client.request(
                    target, method=rng.choice(["GET", "GET", "GET", "HEAD"]),
                    fields=[("accept-encoding", rng.choice(["gzip", "br"]))])))
            if rng.random() < 0.3:       # all at once, in the middle of everything
                client.close()
                continue
            for target, stream in streams:
                # python-h2 takes a promise's HEADERS for a request once the promise's page was reset.
                if rng.random() < 0.2 and not stream.done and target != "/page.html":
                    client.reset(stream)
            everything = [(t, s) for t, s in streams]
            for target, stream in streams:
                client.wait_done(stream)
                everything += [(s.path, s) for s in stream.promises]
            for target, stream in everything:
                client.wait_done(stream)
                if stream.status == 200 and stream.ended and stream.body and target != "/page.html":
                    assert bytes(stream.body) == content(target), target
                    whole += 1
        assert whole > 100
        assert connect(site).get("/page.html").status == 200
    finally:
        origin.close()
