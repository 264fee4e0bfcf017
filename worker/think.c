#include "worker/think.h"

#define QUICKER 4
#define SLOWER 16
#define MOST_US 10000000 /* longer ones count as this */

static unsigned slot_of(const void *route)
{
    uint64_t hash = (uint64_t)(uintptr_t)route * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(hash >> 32) % THINK_ROUTES;
}

void think_note(struct thinking *thinking, const void *route, uint64_t us)
{
    unsigned slot = slot_of(route);
    uint32_t now = us < MOST_US ? (uint32_t)us : MOST_US;
    uint32_t known = thinking->routes[slot].us;
    if (thinking->routes[slot].route != route)
        known = now;
    else if (now < known)
        known -= (known - now) / QUICKER;
    else
        known += (now - known) / SLOWER;
    thinking->routes[slot].route = route;
    thinking->routes[slot].us = known;
}

uint32_t think_expect(const struct thinking *thinking, const void *route)
{
    unsigned slot = slot_of(route);
    return thinking->routes[slot].route == route ? thinking->routes[slot].us : 0;
}
