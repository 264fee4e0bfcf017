#include "master/config/config_value.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 48                        /* bytes of a text that a fault shows */
#define WHOLE_NUMBER_MAX 9007199254740992.0 /* 2^53: up to here a double counts exactly */

static struct value *make(enum value_type type, struct value_place place)
{
    struct value *value = calloc(1, sizeof(*value));
    if (value) {
        value->type = type;
        value->place = place;
    }
    return value;
}

static struct value *make_text(enum value_type type, const char *text, struct value_place place)
{
    struct value *value = make(type, place);
    if (value)
        value->text = strdup(text);
    if (!value || value->text)
        return value;
    free(value);
    return NULL;
}

struct value *value_text(const char *text, struct value_place place)
{
    return make_text(VALUE_TEXT, text, place);
}

struct value *value_other(const char *what, struct value_place place)
{
    return make_text(VALUE_OTHER, what, place);
}

struct value *value_number(double number, struct value_place place)
{
    struct value *value = make(VALUE_NUMBER, place);
    if (value)
        value->number = number;
    return value;
}

struct value *value_bool(bool truth, struct value_place place)
{
    struct value *value = make(VALUE_BOOL, place);
    if (value)
        value->truth = truth;
    return value;
}

struct value *value_table(struct value_place place)
{
    return make(VALUE_TABLE, place);
}

/* Makes room for one more element; arrays grow at powers of two. */
static void *grow(void *array, size_t count, size_t size)
{
    if (count & (count - 1))
        return array;
    return reallocarray(array, count ? count * 2 : 1, size);
}

int value_add(struct value *table, struct value *item)
{
    struct value **items = NULL;
    assert(table->type == VALUE_TABLE);
    if (item)
        items = grow(table->items, table->items_count, sizeof(*items));
    if (!items) {
        value_destroy(item);
        return -ENOMEM;
    }
    table->items = items;
    table->items[table->items_count++] = item;
    return 0;
}

int value_set(struct value *table, const char *key, struct value_place place, struct value *item)
{
    struct value_field *fields = NULL;
    char *copy = strdup(key);
    assert(table->type == VALUE_TABLE);
    if (item && copy)
        fields = grow(table->fields, table->fields_count, sizeof(*fields));
    if (!fields) {
        value_destroy(item);
        free(copy);
        return -ENOMEM;
    }
    table->fields = fields;
    struct value_field *field = &table->fields[table->fields_count++];
    field->key = copy;
    field->place = place;
    field->value = item;
    return 0;
}

void value_destroy(struct value *value)
{
    if (!value)
        return;
    for (size_t i = 0; i < value->items_count; i++)
        value_destroy(value->items[i]);
    for (size_t i = 0; i < value->fields_count; i++) {
        free(value->fields[i].key);
        value_destroy(value->fields[i].value);
    }
    free(value->items);
    free(value->fields);
    free(value->text);
    free(value);
}

const struct value *value_get(const struct value *table, const char *key)
{
    for (size_t i = 0; i < table->fields_count; i++)
        if (strcmp(table->fields[i].key, key) == 0)
            return table->fields[i].value;
    return NULL;
}

static int by_place(const void *left, const void *right)
{
    const struct value_field *a = left;
    const struct value_field *b = right;
    if (a->place.file != b->place.file)
        return a->place.file < b->place.file ? -1 : 1;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    return strcmp(a->key, b->key);
}

void value_sort(struct value *table)
{
    if (table->fields_count > 1)
        qsort(table->fields, table->fields_count, sizeof(*table->fields), by_place);
}

void value_clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void shorten(const char *text, char shown[SHOWN_MAX + 4])
{
    size_t length = strlen(text);
    bool cut = length > SHOWN_MAX;
    if (cut)
        length = SHOWN_MAX;
    while (cut && length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    memcpy(shown, text, length);
    memcpy(shown + length, cut ? "..." : "", cut ? 4 : 1);
    value_clean(shown);
}

const char *value_describe(const struct value *value, char text[VALUE_DESCRIPTION_MAX])
{
    char shown[SHOWN_MAX + 4];
    switch (value->type) {
    case VALUE_TEXT:
        shorten(value->text, shown);
        snprintf(text, VALUE_DESCRIPTION_MAX, "string \"%s\"", shown);
        break;
    case VALUE_NUMBER:
        snprintf(text, VALUE_DESCRIPTION_MAX, "number %.14g",
                 isnan(value->number) ? (double)NAN : value->number);
        break;
    case VALUE_BOOL:
        snprintf(text, VALUE_DESCRIPTION_MAX, "boolean %s", value->truth ? "true" : "false");
        break;
    case VALUE_TABLE:
        snprintf(text, VALUE_DESCRIPTION_MAX, "%s",
                 value->items_count + value->fields_count ? "a table" : "an empty table");
        break;
    case VALUE_OTHER:
        snprintf(text, VALUE_DESCRIPTION_MAX, "a %s", value->text);
        break;
    }
    return text;
}

void value_write_json_text(const char *text, FILE *out)
{
    putc('"', out);
    for (const char *at = text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if ((unsigned char)*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            putc(*at, out);
    }
    putc('"', out);
}

static int by_key(const void *left, const void *right)
{
    const struct value_field *const *a = left;
    const struct value_field *const *b = right;
    return strcmp((*a)->key, (*b)->key);
}

static int write_fields(const struct value *table, FILE *out, const struct value **culprit)
{
    const struct value_field **fields = calloc(table->fields_count + 1, sizeof(*fields));
    int rc = fields ? 0 : -ENOMEM;
    for (size_t i = 0; fields && i < table->fields_count; i++)
        fields[i] = &table->fields[i];
    if (fields)
        qsort(fields, table->fields_count, sizeof(*fields), by_key);
    for (size_t i = 0; rc == 0 && i < table->fields_count; i++) {
        if (i > 0)
            putc(',', out);
        value_write_json_text(fields[i]->key, out);
        putc(':', out);
        rc = value_write_json(fields[i]->value, out, culprit);
    }
    free(fields);
    return rc;
}

static int write_table(const struct value *table, FILE *out, const struct value **culprit)
{
    int rc = 0;
    bool list = table->items_count > 0;
    if (list && table->fields_count > 0) {
        if (culprit)
            *culprit = table;
        return -EINVAL;
    }
    putc(list ? '[' : '{', out);
    for (size_t i = 0; rc == 0 && i < table->items_count; i++) {
        if (i > 0)
            putc(',', out);
        rc = value_write_json(table->items[i], out, culprit);
    }
    if (rc == 0)
        rc = write_fields(table, out, culprit);
    putc(list ? ']' : '}', out);
    return rc;
}

int value_write_json(const struct value *value, FILE *out, const struct value **culprit)
{
    double number = value->number;
    switch (value->type) {
    case VALUE_TEXT:
        value_write_json_text(value->text, out);
        return 0;
    case VALUE_BOOL:
        fputs(value->truth ? "true" : "false", out);
        return 0;
    case VALUE_TABLE:
        return write_table(value, out, culprit);
    case VALUE_NUMBER:
        if (floor(number) == number && fabs(number) <= WHOLE_NUMBER_MAX)
            fprintf(out, "%" PRId64, (int64_t)number);
        else if (isfinite(number))
            fprintf(out, "%.17g", number);
        else
            break;
        return 0;
    case VALUE_OTHER:
        break;
    }
    if (culprit)
        *culprit = value;
    return -EINVAL;
}
