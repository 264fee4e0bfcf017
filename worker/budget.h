/* How much may be pushed with a page. Pure arithmetic.
 *
 * Pushes fill time in which the connection would be idle: the page goes out, and until the first
 * request that it causes can be here, a round trip later, the window has room for more. What is
 * pushed beyond that gains nothing, and stands in the way of what the client asks for.
 *
 *   carried = min(congestion window, bandwidth × round trip, the peer's TCP window)
 *             + two segments in slow start: they are free once the first one is acknowledged, which
 * the first request that the page causes does budget  = min(carried − 2 % where TLS takes its part
 * − what waits − the page, the HTTP/2 window − what waits of content − the page)
 *
 * Where the page takes its time, or a round trip is shorter than 5 ms, the same is carried once
 * more for every round trip that passes in that time, twice as much each while the window still
 * doubles. */
#ifndef HERALD_BUDGET_H
#define HERALD_BUDGET_H

#include "worker/path.h"

/* What a response's frames and fields take besides its content, of a page and of a push (its
 * promise included): what the demo's take, rounded up. */
#define BUDGET_PAGE_FIELDS 400
#define BUDGET_PUSH_FIELDS 240

/* What is to be carried besides pushes, in bytes. */
struct budget_load {
    uint64_t page_bytes; /* the page's content */
    uint64_t
        unacked_bytes; /* handed to the kernel and not acknowledged, sent or not; or still ours */
    uint64_t content_bytes; /* what the connection's other responses have left to send */
    uint64_t credit_bytes;  /* the connection's HTTP/2 window (RFC 9113 6.9.1) */
    uint32_t wait_us;       /* until the page's first byte is there: 0 for a file */
    bool tls;
};

/* In bytes of content, each push counted BUDGET_PUSH_FIELDS larger. */
struct budget {
    uint64_t behind; /* what may go behind the page */
    uint64_t ahead;  /* what may go in all, when a policy sends it ahead of the page's rest: the
                      * page is not counted */
};

/* Exact up to `most`, the site's own bound; above it only known to be more. */
struct budget budget_of(const struct path *path, const struct budget_load *load, uint64_t most);

/* The same budget as one that `count` pushes of `bytes` altogether, which are on the path already,
 * are counted against. */
struct budget budget_beside(struct budget budget, uint64_t bytes, unsigned count);

/* Whether a push of `size` fits when `count` pushes of `bytes` altogether were taken already. */
bool budget_fits(uint64_t budget, uint64_t bytes, unsigned count, uint64_t size);

#endif
