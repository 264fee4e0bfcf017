/* Where things stand in a config's Lua text.
 *
 * Lua keeps no line for a table's keys, and a fault should name the line of the key that is wrong,
 * also in a table that a loop makes. So the text is rewritten before it runs: each table
 * constructor
 * `{ ... }` becomes `__at(N, { ... })`, on the same lines, and the function __at notes that the
 * table it is given was made by constructor N. The scan tells which lines that constructor's keys
 * are on. The text must be valid Lua (compile it first); what the scan can't follow it leaves
 * alone. */
#ifndef HERALD_CONFIG_SOURCE_H
#define HERALD_CONFIG_SOURCE_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>

#define SOURCE_TABLES_MAX (1 << 20) /* constructors of one file */

enum source_item_kind {
    SOURCE_NAMED,    /* key = value, ["key"] = value */
    SOURCE_COMPUTED, /* [expression] = value */
    SOURCE_LISTED,   /* value */
};

struct source_item {
    enum source_item_kind kind;
    struct span key; /* of SOURCE_NAMED; lies in the text that was scanned */
    int line;
};

struct source_table {
    int line; /* of its "{" */
    struct source_item *items;
    size_t items_count;
};

/* An assignment `name = value`, `t.name = value` or `t["name"] = value`. */
struct source_set {
    struct span name;
    int line;
};

struct source {
    char *text; /* the rewritten one; its first argument is __at */
    size_t length;
    struct source_table *tables;
    size_t tables_count;
    struct source_set *sets; /* in the order of their lines */
    size_t sets_count;
};

/* Scans `lua`, which must outlive `source`. `base` is added to each N. Returns 0, -ENOMEM, or
 * -EINVAL when the text can't be followed. `source` is to be finished in any case. */
int source_scan(struct span lua, size_t base, struct source *source);
void source_finish(struct source *source);

/* Whether the word is one of Lua's own, `end`, and can't be a name. */
bool source_is_keyword(struct span word);

/* The line of a key in the constructor; *again, when it is there twice, else 0. Where it isn't
 * there: the line of an assignment to that name from the constructor's line on, or of a computed
 * key, or the constructor's own. */
int source_key_line(const struct source *source, size_t table, const char *key, int *again);

/* The line of the constructor's `index`th listed item, from 0; past the last one (`{ f() }` may
 * make many): that of the last. */
int source_item_line(const struct source *source, size_t table, size_t index);

/* The line of the last assignment to `name` on a line from `least` to `most`, or 0. */
int source_set_line(const struct source *source, const char *name, int least, int most);

#endif
