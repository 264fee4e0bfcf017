#include "worker/budget.h"

#define SHORT_US 5000      /* nobody sees less: shorter round trips are counted together */
#define ROUNDS_MAX 64      /* a longer wait allows no more */
#define CLOCKED_SEGMENTS 2 /* what the first acknowledgement releases in slow start */
#define TLS_PART 50        /* one of so many bytes is TLS's: 22 of a record of 1,322 */
#define FRAME_BYTES 9      /* RFC 9113 4.1 */
#define FRAME_CONTENT 16384
#define ALL_FIELDS (256 * BUDGET_PUSH_FIELDS) /* of more pushes than a page may have */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Whole round trips that pass before the page's own. */
static uint64_t rounds_before(const struct path *path, uint32_t wait_us)
{
    uint64_t time_us = wait_us > SHORT_US ? wait_us : SHORT_US;
    return path->rtt_us ? smaller(time_us / path->rtt_us, ROUNDS_MAX) : 0;
}

/* `total` and so many rounds, all of which carry the same; at most as many as come to `enough`. */
static uint64_t add_rounds(uint64_t total, uint64_t carry, uint64_t rounds, uint64_t enough)
{
    return carry ? total + carry * smaller(rounds, (enough - total - 1) / carry + 1) : total;
}

/* What the path takes in the page's round trip and those before it; `enough` stops the sum. */
static uint64_t carried(const struct path *path, uint32_t wait_us, uint64_t enough)
{
    uint64_t window = path->cwnd_bytes;
    uint64_t limit = smaller(path->bdp_bytes, path->receiver_bytes);
    uint64_t total = 0;
    if (window == 0)
        return 0;
    if (path->slow_start)
        window += (uint64_t)CLOCKED_SEGMENTS * path->mss;
    for (uint64_t rounds = rounds_before(path, wait_us) + 1; rounds && total < enough; rounds--) {
        if (!path->slow_start || window >= limit)
            return add_rounds(total, smaller(window, limit), rounds, enough);
        total += window;
        window = smaller(window, enough) * 2;
    }
    return total;
}

static uint64_t on_the_wire(uint64_t content, uint64_t fields)
{
    return content + fields + (content / FRAME_CONTENT + 1) * FRAME_BYTES;
}

struct budget budget_of(const struct path *path, const struct budget_load *load, uint64_t most)
{
    uint64_t page = on_the_wire(load->page_bytes, BUDGET_PAGE_FIELDS);
    uint64_t waiting = load->unacked_bytes + load->content_bytes;
    uint64_t wire = carried(path, load->wait_us, 2 * (most + page + waiting) + ALL_FIELDS);
    if (load->tls)
        wire -= wire / TLS_PART;
    uint64_t ahead = less(wire, waiting);
    uint64_t credit = less(load->credit_bytes, load->content_bytes);
    return (struct budget){
        .behind = smaller(less(ahead, page), less(credit, load->page_bytes)),
        .ahead = smaller(ahead, credit),
    };
}

bool budget_fits(uint64_t budget, uint64_t bytes, unsigned count, uint64_t size)
{
    uint64_t fields = ((uint64_t)count + 1) * BUDGET_PUSH_FIELDS;
    return size <= budget && bytes <= budget - size && fields <= budget - size - bytes;
}

struct budget budget_beside(struct budget budget, uint64_t bytes, unsigned count)
{
    uint64_t taken = bytes + (uint64_t)count * BUDGET_PUSH_FIELDS;
    return (struct budget){.behind = budget.behind + taken, .ahead = budget.ahead + taken};
}
