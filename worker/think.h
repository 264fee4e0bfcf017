/* How long the origins of routes think before their answers begin, as the last pages showed: what
 * may be pushed meanwhile depends on it. */
#ifndef HERALD_THINK_H
#define HERALD_THINK_H

#include <stdint.h>

#define THINK_ROUTES 64 /* a power of two; routes beyond that take turns */

struct thinking {
    struct {
        const void *route; /* NULL: nothing is known */
        uint32_t us;
    } routes[THINK_ROUTES];
};

/* A page of `route` was answered `us` after it was asked for. */
void think_note(struct thinking *thinking, const void *route, uint64_t us);

/* What most pages of `route` take at least, in microseconds; 0: not known. It follows quicker
 * answers at once by a quarter, slower ones by a sixteenth, so that a few slow pages promise no
 * time. */
uint32_t think_expect(const struct thinking *thinking, const void *route);

#endif
