#include "master/cmd/text_diff.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define CONTEXT 3
#define CELLS_MAX (4u * 1024 * 1024) /* of the table; larger changes are shown as a whole */

struct lines {
    struct span *items;
    size_t count;
};

/* What becomes of each line, in order. */
struct step {
    char mark; /* ' ', '-' or '+' */
    struct span line;
    size_t a, b; /* line numbers, from 0 */
};

static bool split(struct span text, struct lines *lines)
{
    size_t count = 1;
    for (size_t i = 0; i < text.length; i++)
        count += text.data[i] == '\n';
    lines->count = 0;
    lines->items = calloc(count, sizeof(*lines->items));
    if (!lines->items)
        return false;
    while (text.length) {
        size_t end = span_find(text, '\n');
        lines->items[lines->count++] = span_make(text.data, end);
        text = span_after(text, end < text.length ? end + 1 : end);
    }
    return true;
}

/* Adds the lines between the common ends, by their longest common subsequence. */
static size_t add_middle(struct step *steps, const struct lines *a, const struct lines *b,
                         size_t start, size_t a_end, size_t b_end)
{
    size_t rows = a_end - start, columns = b_end - start, used = 0;
    size_t i = 0, j = 0;
    uint32_t *lengths = (rows + 1) * (columns + 1) <= CELLS_MAX
                            ? calloc((rows + 1) * (columns + 1), sizeof(*lengths))
                            : NULL;
#define AT(i, j) lengths[(i) * (columns + 1) + (j)]
    for (size_t r = rows; lengths && r-- > 0;)
        for (size_t c = columns; c-- > 0;)
            AT(r, c) = span_equal(a->items[start + r], b->items[start + c])
                           ? AT(r + 1, c + 1) + 1
                           : (AT(r + 1, c) > AT(r, c + 1) ? AT(r + 1, c) : AT(r, c + 1));
    while (i < rows || j < columns) {
        bool both = i < rows && j < columns;
        if (both && lengths && span_equal(a->items[start + i], b->items[start + j])) {
            steps[used++] = (struct step){' ', a->items[start + i], start + i, start + j};
            i++, j++;
        } else if (i < rows && (!both || !lengths || AT(i + 1, j) >= AT(i, j + 1))) {
            steps[used++] = (struct step){'-', a->items[start + i], start + i, start + j};
            i++;
        } else {
            steps[used++] = (struct step){'+', b->items[start + j], start + i, start + j};
            j++;
        }
    }
#undef AT
    free(lengths);
    return used;
}

static size_t add_all(struct step *steps, const struct lines *a, const struct lines *b)
{
    size_t start = 0, a_end = a->count, b_end = b->count, used = 0;
    for (; start < a_end && start < b_end && span_equal(a->items[start], b->items[start]); start++)
        steps[used++] = (struct step){' ', a->items[start], start, start};
    while (a_end > start && b_end > start &&
           span_equal(a->items[a_end - 1], b->items[b_end - 1])) {
        a_end--;
        b_end--;
    }
    used += add_middle(steps + used, a, b, start, a_end, b_end);
    for (size_t i = 0; a_end + i < a->count; i++)
        steps[used++] = (struct step){' ', a->items[a_end + i], a_end + i, b_end + i};
    return used;
}

static void print_hunk(FILE *out, const struct step *steps, size_t first, size_t end)
{
    size_t a = 0, b = 0;
    for (size_t i = first; i < end; i++) {
        a += steps[i].mark != '+';
        b += steps[i].mark != '-';
    }
    fprintf(out, "@@ -%zu,%zu +%zu,%zu @@\n", steps[first].a + (a > 0), a,
            steps[first].b + (b > 0), b);
    for (size_t i = first; i < end; i++)
        fprintf(out, "%c%.*s\n", steps[i].mark, SPAN_PRINT(steps[i].line));
}

static size_t print_steps(FILE *out, const struct step *steps, size_t count)
{
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].mark == ' ')
            continue;
        size_t first = i > CONTEXT ? i - CONTEXT : 0;
        size_t last = i; /* the last change of the hunk */
        for (size_t next = i; next < count && next <= last + 2 * CONTEXT; next++)
            if (steps[next].mark != ' ') {
                last = next;
                changed++;
            }
        size_t end = last + CONTEXT + 1 < count ? last + CONTEXT + 1 : count;
        print_hunk(out, steps, first, end);
        i = end - 1;
    }
    return changed;
}

size_t text_diff(FILE *out, const char *before, struct span a, const char *after, struct span b)
{
    struct lines left = {0}, right = {0};
    struct step *steps = NULL;
    size_t changed = 0;
    if (span_equal(a, b))
        return 0;
    fprintf(out, "--- %s\n+++ %s\n", before, after);
    if (split(a, &left) && split(b, &right))
        steps = calloc(left.count + right.count + 1, sizeof(*steps));
    if (steps)
        changed = print_steps(out, steps, add_all(steps, &left, &right));
    free(steps);
    free(left.items);
    free(right.items);
    return changed ? changed : 1; /* a missing line feed at the end, too */
}
