/* What went wrong, for a person to read: where, at which line, what. */
#ifndef HERALD_FAULT_H
#define HERALD_FAULT_H

#include <stddef.h>

#define FAULT_WHERE_MAX 256
#define FAULT_WHAT_MAX 768

struct fault {
    char where[FAULT_WHERE_MAX]; /* a file, address or subject; "" when there is none */
    int line;                    /* from 1; 0 when there is none */
    char what[FAULT_WHAT_MAX];   /* one sentence without a full stop; "" means no fault */
};

/* Fills `fault` (which may be NULL) and returns `rc`, so that a caller can
 * `return fault_set(fault, -EINVAL, path, line, "...")`. `where` may be NULL. */
int fault_set(struct fault *fault, int rc, const char *where, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Makes `text` UTF-8, as JSON must be: each byte that is part of no character becomes '?'. Texts that
 * quote a file or were cut to fit need not be. */
void fault_make_utf8(char *text);

/* Writes "where:line: what" into `text`, in UTF-8, leaving out what isn't there. Returns `text`. */
const char *fault_text(const struct fault *fault, char *text, size_t size);

/* The word of the NULL-terminated list `words` that is nearest to `word` by edit distance, or NULL
 * when none is near enough to be what was meant. Borrows from `words`. */
const char *fault_nearest(const char *word, const char *const *words);

#endif
