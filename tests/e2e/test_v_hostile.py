"""Every script of tests/policy/hostile on a running herald: those that pass the checks become the
active version. How each ends in one hook, and after how much CPU time, is tests/unit/policy_sandbox.c;
what honest clients feel is measured by bench/hostile-policies."""
import re

import pytest

from hostile_policies import NO_QUARANTINE, Hostile, expected
from versions import CSS, PAGE

EXPECTED = expected()
VISITS = 2                               # the second finds the state as the first left it


@pytest.fixture(scope="module")
def hostile(shared_herald):
    return Hostile(shared_herald, policy=NO_QUARANTINE)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_script_costs_nobody_an_answer(hostile, connect, name):
    how, honest = EXPECTED[name], connect(hostile.site)
    workers = hostile.site.workers()
    assert honest.visit(PAGE).paths() == [CSS]
    number, told = hostile.try_load(name)
    if how == "load":
        assert number == 0 and re.search(r"own\.lua:\d+: ", told), told
        assert hostile.state()["active"] == 1
    else:
        assert number, told
        hostile.ask("use", "v%d" % number)
        before = hostile.events()
        for _ in range(VISITS):
            visitor = connect(hostile.site)
            assert visitor.visit(PAGE).pushed == {}
        after = hostile.events()
        check_events(how, {event: after[event] - before[event] for event in after})
    hostile.ask("use", "v1")
    answer = honest.get("/hello.txt")    # on a connection that was there before all this
    assert (answer.status, bytes(answer.body)) == (200, b"hello\n")
    assert hostile.site.workers() == workers, "a worker went down"


def check_events(how, seen):
    """What the server counted is what EXPECTED says: one failure of a hook for each visit."""
    allowed = set(seen) if how == "any" else {word for word in seen if word in how.split()}
    assert set(event for event in seen if seen[event]) <= allowed, seen
    assert sum(seen.values()) == (VISITS if allowed and how != "any" else sum(seen.values())), seen


@pytest.mark.parametrize("name, least, why", [
    ("pattern", 3, r"\d+ hard deadlines"), ("loop", 10, r"it failed on \d+ of \d+ pages|soft deadlines")])
def test_by_the_default_limits_it_is_not_active_for_long(herald, connect, name, least, why):
    own = Hostile(herald)
    number, told = own.try_load(name)
    assert number, told
    own.ask("use", "v%d" % number)
    visits = 0
    while own.state()["active"] != 1:
        assert visits < 100, own.run("show", "v%d" % number).stdout
        assert connect(own.site).visit(PAGE).page.status == 200
        visits += 1
    assert visits >= least
    assert own.version(number)["state"] == "quarantined"
    assert re.search(why, own.version(number)["why"])
    assert connect(own.site).visit(PAGE).paths() == [CSS]
