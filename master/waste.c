#include "master/waste.h"

#include "master/welch.h"
#include "policy/identity.h"
#include "policy/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_SHOWN 20 /* the most wasteful */
#define SAME_BITS 8    /* of a resource's hash the tally keeps those above */

static void put(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

static void put_number(json_t *object, const char *key, uint64_t value)
{
    put(object, key, json_integer((json_int_t)value));
}

/* To three places: what is behind them is noise. */
static void put_real(json_t *object, const char *key, double value)
{
    put(object, key, json_real(round(value * 1000) / 1000));
}

static void put_hex(json_t *object, const char *key, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    put(object, key, json_string(text));
}

/* ---- names ---- */

/* The first name of the site whose id it is; the tally knows less of its bits (`shift`). */
static json_t *site_name(const struct segment *segment, const struct config *config, uint64_t site,
                         unsigned shift)
{
    for (size_t i = 0; config && i < config->sites_count; i++) {
        struct span name = span_of(config->sites[i].names[0]);
        if (identity_site(segment->secrets->hash_key, name) >> shift == site >> shift)
            return json_string(config->sites[i].names[0]);
    }
    return json_null();
}

/* ---- by path ---- */

struct wasteful {
    struct tally_figures figures;
    uint64_t waste;
    json_t *json; /* NULL until it is made; owned by the list */
};

struct wastefuls {
    struct wasteful items[PATHS_SHOWN];
    size_t count;
};

/* Keeps the list sorted, the most wasteful first. */
static void consider(struct wastefuls *list, const struct tally_figures *figures)
{
    uint64_t waste = tally_waste_bytes(figures->bytes);
    size_t at = list->count;
    if (waste == 0 || (at == PATHS_SHOWN && list->items[at - 1].waste >= waste))
        return;
    if (at == PATHS_SHOWN)
        at--;
    else
        list->count++;
    for (; at > 0 && list->items[at - 1].waste < waste; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = (struct wasteful){.figures = *figures, .waste = waste};
}

static void put_share(json_t *object, const char *key, double share)
{
    if (share < 0)
        put(object, key, json_null());
    else
        put_real(object, key, share);
}

static json_t *path_json(const struct segment *segment, const struct config *config,
                         const struct wasteful *one)
{
    const struct tally_figures *figures = &one->figures;
    json_t *object = json_object();
    put(object, "site", site_name(segment, config, figures->site, SAME_BITS));
    put(object, "path", json_null());
    put_hex(object, "resource", figures->resource);
    put_number(object, "wasted_bytes", one->waste);
    put_share(object, "accept_ratio", tally_accept_ratio(figures));
    put_share(object, "cancel_ratio", tally_cancel_ratio(figures));
    put_share(object, "rerequest_ratio", tally_rerequest_ratio(figures));
    for (unsigned kind = 0; kind < TALLY_KINDS; kind++) {
        json_t *pair = json_object();
        put_real(pair, "count", figures->counts[kind]);
        put_number(pair, "bytes", figures->bytes[kind]);
        put(object, tally_kind_name((enum tally_kind)kind), pair);
    }
    return object;
}

static void on_name(void *context, uint32_t id, const struct names_entry *entry)
{
    struct wastefuls *list = context;
    (void)id;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].figures.resource >> SAME_BITS == entry->resource >> SAME_BITS)
            put(list->items[i].json, "path",
                json_stringn(entry->path.data, entry->path.length));
}

static json_t *paths_json(const struct segment *segment, const struct config *config)
{
    struct wastefuls list = {.count = 0};
    struct tally_figures figures;
    struct tally tally;
    struct names names;
    json_t *paths = json_array();
    if (tally_attach(&tally, segment->tally, SEGMENT_TALLY_BYTES) < 0)
        return paths;
    for (size_t i = 0; i < tally_rows(&tally); i++)
        if (tally_row(&tally, i, &figures))
            consider(&list, &figures);
    for (size_t i = 0; i < list.count; i++) {
        list.items[i].json = path_json(segment, config, &list.items[i]);
        json_array_append_new(paths, list.items[i].json);
    }
    if (list.count && names_attach(&names, segment->names, SEGMENT_NAMES_BYTES) == 0)
        names_walk(&names, on_name, &list);
    return paths;
}

/* ---- by site and version ---- */

static uint64_t seconds_since(const struct figures *figures, const struct figures_row *row)
{
    uint64_t now = figures->clock_ms(figures->clock_context) / 1000;
    uint64_t since = atomic_load_explicit(&row->since_s, memory_order_relaxed);
    return now > since ? now - since : 0;
}

/* What names a row: its site, its version, its age. */
static json_t *row_json(const struct segment *segment, const struct config *config,
                        const struct figures *figures, const struct figures_row *row)
{
    json_t *object = json_object();
    put(object, "site",
        site_name(segment, config, atomic_load_explicit(&row->site, memory_order_relaxed), 0));
    put_number(object, "version", atomic_load_explicit(&row->version, memory_order_relaxed));
    put_number(object, "counted_s", seconds_since(figures, row));
    return object;
}

static json_t *site_json(const struct segment *segment, const struct config *config,
                         const struct figures *figures, const struct figures_row *row)
{
    uint64_t bytes[TALLY_KINDS];
    json_t *object = row_json(segment, config, figures, row);
    for (unsigned kind = 0; kind < TALLY_KINDS; kind++) {
        json_t *pair = json_object();
        bytes[kind] = atomic_load_explicit(&row->kinds[kind].bytes, memory_order_relaxed);
        put_number(pair, "count",
                   atomic_load_explicit(&row->kinds[kind].count, memory_order_relaxed));
        put_number(pair, "bytes", bytes[kind]);
        put(object, tally_kind_name((enum tally_kind)kind), pair);
    }
    put_number(object, "pushed_bytes",
               bytes[TALLY_DELIVERED] + bytes[TALLY_CANCELLED] + bytes[TALLY_REFUSED] +
                   bytes[TALLY_LOST]);
    put_number(object, "wasted_bytes", tally_waste_bytes(bytes));
    return object;
}

json_t *waste_json(const struct segment *segment, const struct config *config)
{
    struct figures figures;
    json_t *waste = json_object();
    json_t *sites = json_array();
    if (figures_attach(&figures, segment->figures, SEGMENT_FIGURES_BYTES) == 0)
        for (unsigned i = 0; i < FIGURES_ROWS; i++) {
            const struct figures_row *row = figures_at(&figures, i);
            if (row)
                json_array_append_new(sites, site_json(segment, config, &figures, row));
        }
    put(waste, "sites", sites);
    put(waste, "paths", paths_json(segment, config));
    return waste;
}

/* ---- the experiment ---- */

static json_t *arm_json(const struct figures_trial *trial)
{
    json_t *object = json_object();
    struct figures_sample time = figures_sample(&trial->time_ms);
    struct figures_sample log_time = figures_sample(&trial->log_time);
    put_number(object, "pages", atomic_load_explicit(&trial->pages, memory_order_relaxed));
    put_number(object, "timed_pages", time.n);
    put_real(object, "mean_ms", time.mean);
    put_real(object, "geometric_mean_ms", time.n ? exp(log_time.mean) : 0);
    put_real(object, "median_ms", figures_median_ms(trial));
    put_real(object, "mean_bytes", figures_sample(&trial->bytes).mean);
    put_real(object, "mean_wasted_bytes", figures_sample(&trial->waste).mean);
    return object;
}

static double same(double value)
{
    return value;
}

/* {"is", "low", "high"}, each by way of `shown`; null bounds when nothing can be said. */
static json_t *difference_json(const struct figures_moments *served,
                               const struct figures_moments *held_out, double shown(double))
{
    struct figures_sample a = figures_sample(served);
    struct figures_sample b = figures_sample(held_out);
    struct welch welch = welch_difference(&a, &b);
    json_t *object = json_object();
    if (!a.n || !b.n) {
        put(object, "is", json_null());
    } else {
        put_real(object, "is", shown(welch.difference));
    }
    if (welch.known) {
        put_real(object, "low", shown(welch.low));
        put_real(object, "high", shown(welch.high));
    } else {
        put(object, "low", json_null());
        put(object, "high", json_null());
    }
    return object;
}

static json_t *trial_json(json_t *object, const struct figures_trial arms[FIGURES_ARMS],
                          enum figures_means means)
{
    const struct figures_trial *served = &arms[FIGURES_SERVED];
    const struct figures_trial *held_out = &arms[FIGURES_HELD_OUT];
    json_t *difference = json_object();
    put(object, "means", json_string(means == FIGURES_PUSH ? "push" : "hints"));
    put(object, "served", arm_json(served));
    put(object, "held_out", arm_json(held_out));
    put(difference, "ms", difference_json(&served->time_ms, &held_out->time_ms, same));
    put(difference, "time_ratio", difference_json(&served->log_time, &held_out->log_time, exp));
    put(difference, "bytes", difference_json(&served->bytes, &held_out->bytes, same));
    put(difference, "wasted_bytes", difference_json(&served->waste, &held_out->waste, same));
    put(object, "difference", difference);
    return object;
}

static bool any_pages(const struct figures_trial arms[FIGURES_ARMS])
{
    return atomic_load_explicit(&arms[0].pages, memory_order_relaxed) ||
           atomic_load_explicit(&arms[1].pages, memory_order_relaxed);
}

json_t *experiment_json(const struct segment *segment, const struct config *config)
{
    struct figures figures;
    json_t *list = json_array();
    if (figures_attach(&figures, segment->figures, SEGMENT_FIGURES_BYTES) < 0)
        return list;
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        const struct figures_row *row = figures_at(&figures, i);
        for (unsigned means = 0; row && means < FIGURES_MEANS; means++)
            if (any_pages(row->trials[means]))
                json_array_append_new(list,
                                      trial_json(row_json(segment, config, &figures, row),
                                                 row->trials[means], (enum figures_means)means));
    }
    return list;
}
