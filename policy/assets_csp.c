#include "policy/assets_csp.h"

#include "policy/assets_ascii.h"

#include <stddef.h>

#define CHAIN_MAX 3

/* The directives that rule a kind: the first that the policy has counts. */
static const char *const chains[AS_KINDS][CHAIN_MAX] = {
    [AS_STYLE] = {"style-src-elem", "style-src", "default-src"},
    [AS_SCRIPT] = {"script-src-elem", "script-src", "default-src"},
    [AS_IMAGE] = {"img-src", "default-src", NULL},
    [AS_FONT] = {"font-src", "default-src", NULL},
    [AS_FETCH] = {"connect-src", "default-src", NULL},
};

/* The sources of the first directive called `name`; false when there is none. */
static bool directive_find(struct span policy, const char *name, struct span *sources)
{
    while (policy.length) {
        size_t end = span_find(policy, ';');
        *sources = span_make(policy.data, end);
        if (span_equal_nocase(ascii_word(sources), span_of(name)))
            return true;
        policy = span_after(policy, end < policy.length ? end + 1 : end);
    }
    return false;
}

bool assets_csp_allows(struct span policy, enum asset_as as)
{
    struct span sources = {NULL, 0};
    bool allowed = false;
    size_t i = 0;

    while (i < CHAIN_MAX && chains[as][i] && !directive_find(policy, chains[as][i], &sources))
        i++;
    if (i == CHAIN_MAX || !chains[as][i])
        return true;
    while (sources.length) {
        struct span source = ascii_word(&sources);
        if (span_equal_nocase(source, SPAN_LITERAL("'self'")) ||
            span_equal(source, SPAN_LITERAL("*")))
            allowed = true;
        if (span_equal_nocase(source, SPAN_LITERAL("'strict-dynamic'")))
            return false; /* only a nonce counts then */
    }
    return allowed;
}
