/* What a config says, before anyone asks whether it makes sense: texts, numbers, booleans and
 * tables, each with the place it came from. Owned as a tree: who owns a table owns what is in it.
 */
#ifndef HERALD_CONFIG_VALUE_H
#define HERALD_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum value_type {
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_BOOL,
    VALUE_TABLE,
    VALUE_OTHER, /* a function, say; `text` tells which */
};

struct value_place {
    unsigned file; /* index of the config file or include */
    int line;      /* from 1; 0: nowhere */
};

struct value {
    enum value_type type;
    struct value_place place;
    char *text; /* NUL-terminated, UTF-8 without NUL */
    double number;
    bool truth;
    struct value **items; /* of a table: what stands without a key, in order */
    size_t items_count;
    struct value_field *fields; /* what has a key; each key once */
    size_t fields_count;
};

struct value_field {
    char *key;
    struct value_place place; /* of the key */
    struct value *value;
};

/* Each returns a value owned by the caller, or NULL when memory runs out. */
struct value *value_text(const char *text, struct value_place place);
struct value *value_number(double number, struct value_place place);
struct value *value_bool(bool truth, struct value_place place);
struct value *value_other(const char *what, struct value_place place);
struct value *value_table(struct value_place place);

/* Puts `item` at the end of the table, or under a key that the table doesn't have yet. Takes the
 * item, also when it fails. NULL is accepted as an item: it stands for memory that ran out. Returns
 * 0 or -ENOMEM. */
int value_add(struct value *table, struct value *item);
int value_set(struct value *table, const char *key, struct value_place place, struct value *item);

/* NULL is accepted. */
void value_destroy(struct value *value);

/* The table's value under `key`, borrowed, or NULL. */
const struct value *value_get(const struct value *table, const char *key);

/* Puts the fields in the order of their places. */
void value_sort(struct value *table);

/* What was found, for faults: `string "abc"`, `number 7`, `a table`. Returns `text`. */
#define VALUE_DESCRIPTION_MAX 96
const char *value_describe(const struct value *value, char text[VALUE_DESCRIPTION_MAX]);

/* Makes one line of printable text of `text`, for faults: control characters become '?'. */
void value_clean(char *text);

/* Writes the value as JSON, keys in the order of their bytes, so that equal values are equal texts.
 * Returns 0, -ENOMEM, or -EINVAL for what JSON can't say (a function, an infinite number, a table
 * of both keys and items); *culprit, unless NULL, is that value then. */
int value_write_json(const struct value *value, FILE *out, const struct value **culprit);

/* Writes `text` as a JSON string, quotes included; bytes above 127 as they are. */
void value_write_json_text(const char *text, FILE *out);

#endif
