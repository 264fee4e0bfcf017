"""What pushes cost and what they gain: the server's figures against the client's own count, and
clients that are held out for comparison."""
import math

import pytest

import server
from h2client import Cookies
from server import HOLDOUT
from webroot import ASSETS

PAGES = {"/": list(ASSETS[:3])}


def sent_nothing(page):
    return not page.promises and not page.informational and "link" not in dict(page.fields)


def visit(client, path="/", fields=()):
    page = client.request(path, fields=fields)
    client.wait_done(page)
    client.wait_done(*page.promises)
    return page


@pytest.mark.quick
def test_a_client_held_out_gets_no_push_and_the_log_says_why(herald, connect):
    site = herald(pushes=PAGES, push={"holdout": 1})
    client = connect(site)
    assert sent_nothing(visit(client))
    entry = site.page_entry("/")
    assert entry.pushes == [(path, HOLDOUT) for path in PAGES["/"]]
    client.close()
    assert site.settled(entry)["arm"] == "holdout"


@pytest.mark.quick
def test_a_client_held_out_gets_no_hints(herald, connect):
    site = herald(pushes=PAGES, push={"holdout": 1})
    client = connect(site, settings={2: 0})
    assert sent_nothing(visit(client, fields=[("sec-fetch-mode", "navigate")]))
    assert {verdict for _, verdict in site.page_entry("/").pushes} == {HOLDOUT}


def test_the_share_held_out_is_the_configured_one_and_stays_with_its_clients(herald, connect):
    """2,000 clients; each is held out on every connection, or on none, also after the workers
    were started anew."""
    share, clients = 0.2, 2000
    site = herald(pushes=PAGES, push={"holdout": share})
    jars = [Cookies() for _ in range(clients)]
    held_out = set()
    for number, jar in enumerate(jars):
        client = connect(site, cookies=jar, tls=False)
        if sent_nothing(visit(client)):
            held_out.add(number)
        client.close()
    deviation = math.sqrt(clients * share * (1 - share))
    assert abs(len(held_out) - clients * share) < 4 * deviation, len(held_out)
    site.reload()
    for number in list(held_out)[:30]:
        client = connect(site, cookies=jars[number], tls=False)
        assert sent_nothing(visit(client)), "client %d was held out before" % number
        client.close()
