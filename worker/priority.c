#include "worker/priority.h"

#include <string.h>

/* One member, "u=0" or "i" (RFC 9218 4, RFC 8941 3.2), its spaces and parameters cut. */
static void read_member(struct priority *priority, struct span member)
{
    member.length = span_find(member, ';');
    while (member.length && strchr(" \t", member.data[member.length - 1]))
        member.length--;
    if (member.length == 3 && span_starts(member, SPAN_LITERAL("u=")) && member.data[2] >= '0' &&
        member.data[2] <= '0' + PRIORITY_URGENCY_LAST)
        priority->urgency = (uint8_t)(member.data[2] - '0');
    else if (span_equal(member, SPAN_LITERAL("i")) || span_equal(member, SPAN_LITERAL("i=?1")))
        priority->incremental = true;
    else if (span_equal(member, SPAN_LITERAL("i=?0")))
        priority->incremental = false;
}

struct priority priority_read(struct span value)
{
    struct priority priority = {.urgency = PRIORITY_URGENCY_DEFAULT, .said = true};
    while (value.length) {
        size_t end = span_find(value, ',');
        struct span member = span_make(value.data, end);
        value = span_after(value, end < value.length ? end + 1 : end);
        while (member.length && strchr(" \t", member.data[0]))
            member = span_after(member, 1);
        read_member(&priority, member);
    }
    return priority;
}
