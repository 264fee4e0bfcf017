#include "master/cmd/status_waste.h"

#include "master/cmd/duration.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATHS_PRINTED 5

const char *status_bytes(double bytes, char text[STATUS_BYTES_MAX])
{
    static const char *const UNITS[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while ((bytes >= 1024 || bytes <= -1024) && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, STATUS_BYTES_MAX, unit ? "%.1f %s" : "%.0f %s", bytes, UNITS[unit]);
    return text;
}

static double member(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static double of_pair(const json_t *object, const char *key, const char *which)
{
    return member(json_object_get(object, key), which);
}

static const char *name(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : otherwise;
}

/* ---- waste ---- */

static void print_bytes_cell(double bytes)
{
    char text[STATUS_BYTES_MAX];
    printf("%11s", status_bytes(bytes, text));
}

static void print_site(const json_t *site)
{
    static const char *const KINDS[] = {"delivered", "cancelled", "refused",
                                        "lost",      "redundant", "rerequested"};
    double pushed = member(site, "pushed_bytes");
    double wasted = member(site, "wasted_bytes");
    print_bytes_cell(pushed);
    print_bytes_cell(wasted);
    printf(" %5.1f %%", pushed > 0 ? 100 * wasted / pushed : 0);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++)
        printf(" %9.0f", of_pair(site, KINDS[i], "count"));
    printf("  %8.0f  %s\n", member(site, "version"), name(site, "site", "(gone)"));
}

static void print_path(const json_t *path)
{
    char of_resource[32];
    print_bytes_cell(member(path, "wasted_bytes"));
    printf(" %9.0f %9.0f %9.0f %9.0f  ", of_pair(path, "promised", "count"),
           of_pair(path, "cancelled", "count") + of_pair(path, "refused", "count"),
           of_pair(path, "lost", "count"),
           of_pair(path, "redundant", "count") + of_pair(path, "rerequested", "count"));
    snprintf(of_resource, sizeof(of_resource), "(%s)", name(path, "resource", "?"));
    printf("%s%s\n", name(path, "site", ""), name(path, "path", of_resource));
}

void status_print_waste(const json_t *waste)
{
    const json_t *sites = json_object_get(waste, "sites");
    const json_t *paths = json_object_get(waste, "paths");
    if (json_array_size(sites) == 0)
        return;
    printf("\n%11s%11s %7s %9s %9s %9s %9s %9s %9s  %8s  %s\n", "pushed", "in vain", "", "delivered",
           "cancelled", "refused", "lost", "redundant", "again", "policies", "site");
    for (size_t i = 0; i < json_array_size(sites); i++)
        print_site(json_array_get(sites, i));
    if (json_array_size(paths) == 0)
        return;
    printf("\n%11s %9s %9s %9s %9s  %s\n", "in vain", "promised", "cancelled", "lost", "asked for",
           "paths that wasted most, lately");
    bool unnamed = false;
    for (size_t i = 0; i < json_array_size(paths) && i < PATHS_PRINTED; i++) {
        print_path(json_array_get(paths, i));
        unnamed |= !json_is_string(json_object_get(json_array_get(paths, i), "path"));
    }
    if (unnamed)
        printf("%53s(a number: a path that fewer than five clients have asked for)\n", "");
}

/* ---- the experiment ---- */

static void print_times(const json_t *trial, const char *key, const char *title,
                        const char *difference)
{
    const json_t *is = json_object_get(json_object_get(trial, "difference"), difference);
    printf("  %-24s %11.1f %11.1f", title, of_pair(trial, "served", key),
           of_pair(trial, "held_out", key));
    if (json_is_number(json_object_get(is, "low")) && strcmp(difference, "ms") == 0)
        printf("   %.1f ms (%.1f to %.1f)", member(is, "is"), member(is, "low"),
               member(is, "high"));
    else if (json_is_number(json_object_get(is, "low")))
        printf("   x %.3f (%.3f to %.3f)", member(is, "is"), member(is, "low"),
               member(is, "high"));
    putchar('\n');
}

static void print_sizes(const json_t *trial, const char *key, const char *title,
                        const char *difference)
{
    char is[STATUS_BYTES_MAX], low[STATUS_BYTES_MAX], high[STATUS_BYTES_MAX];
    const json_t *interval = json_object_get(json_object_get(trial, "difference"), difference);
    printf("  %-24s ", title);
    print_bytes_cell(of_pair(trial, "served", key));
    printf(" ");
    print_bytes_cell(of_pair(trial, "held_out", key));
    if (json_is_number(json_object_get(interval, "low")))
        printf("   %s (%s to %s)", status_bytes(member(interval, "is"), is),
               status_bytes(member(interval, "low"), low),
               status_bytes(member(interval, "high"), high));
    putchar('\n');
}

/* What it comes to, in words. */
static void print_verdict(const json_t *trial)
{
    const json_t *ratio = json_object_get(json_object_get(trial, "difference"), "time_ratio");
    const char *means = name(trial, "means", "push");
    double low = member(ratio, "low"), high = member(ratio, "high"), is = member(ratio, "is");
    if (!json_is_number(json_object_get(ratio, "low")))
        printf("  Too few pages to compare.\n");
    else if (high < 1)
        printf("  With %s pages had their assets %.1f %% sooner (%.1f to %.1f %%).\n", means,
               100 * (1 - is), 100 * (1 - high), 100 * (1 - low));
    else if (low > 1)
        printf("  With %s pages had their assets %.1f %% later (%.1f to %.1f %%).\n", means,
               100 * (is - 1), 100 * (low - 1), 100 * (high - 1));
    else
        printf("  No difference can be told: it lies between %.1f %% sooner and %.1f %% later.\n",
               100 * (1 - low), 100 * (high - 1));
}

static void print_trial(const json_t *trial)
{
    char duration[DURATION_TEXT_MAX];
    printf("\n%s, version %.0f of the policies, %s, counted for ",
           name(trial, "site", "(a site that is gone)"), member(trial, "version"),
           name(trial, "means", "push"));
    printf("%s\n  %-24s %11s %11s   %s\n",
           duration_text((json_int_t)member(trial, "counted_s"), duration), "", "served", "held out",
           "difference (with 95 % confidence)");
    printf("  %-24s %11.0f %11.0f\n", "pages", of_pair(trial, "served", "pages"),
           of_pair(trial, "held_out", "pages"));
    printf("  %-24s %11.0f %11.0f\n", "of them timed", of_pair(trial, "served", "timed_pages"),
           of_pair(trial, "held_out", "timed_pages"));
    print_times(trial, "mean_ms", "last asset, mean ms", "ms");
    print_times(trial, "geometric_mean_ms", "geometric mean ms", "time_ratio");
    print_times(trial, "median_ms", "median ms", "");
    print_sizes(trial, "mean_bytes", "bytes a page", "bytes");
    print_sizes(trial, "mean_wasted_bytes", "in vain", "wasted_bytes");
    print_verdict(trial);
}

void status_print_experiment(const json_t *experiment)
{
    if (json_array_size(experiment) == 0)
        printf("nothing yet: no page of a site with push.holdout was answered\n");
    for (size_t i = 0; i < json_array_size(experiment); i++)
        print_trial(json_array_get(experiment, i));
}
