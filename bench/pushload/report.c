#include "bench/pushload/load.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct shown {
    const char *name;
    size_t offset;
    const char *prose;
};

#define TOTAL(member) offsetof(struct totals, member)

static const struct shown SHOWN[] = {
    {"pages", TOTAL(pages), "pages complete with all that was promised"},
    {"connections", TOTAL(connections), "connections begun"},
    {"resumed", TOTAL(resumed), "of them that resumed a TLS session"},
    {"connect_failures", TOTAL(connect_failures), "connections that could not be made"},
    {"lost", TOTAL(lost), "connections that the server or network ended too early"},
    {"abrupt", TOTAL(abrupt), "connections that were over, but not closed in order by the server"},
    {"timeouts", TOTAL(timeouts), "connections given up after --timeout"},
    {"bad_status", TOTAL(bad_status), "answers other than 200"},
    {"goaways", TOTAL(goaways), "GOAWAYs received"},
    {"promises", TOTAL(promises), "promises"},
    {"delivered", TOTAL(delivered), "delivered whole"},
    {"cancelled", TOTAL(cancelled), "cancelled by the clients"},
    {"reset_by_server", TOTAL(reset_by_server), "reset by the server"},
    {"cuts", TOTAL(cuts), "connections cut in mid-push"},
    {"cut_off", TOTAL(cut_off), "promises that ended with their connection"},
    {"redundant", TOTAL(redundant), "redundant: the client held that version"},
    {"redundant_bytes", TOTAL(redundant_bytes), "bytes of these"},
    {"doubled", TOTAL(doubled), "promised on two connections of a client at once"},
    {"unheeded", TOTAL(unheeded), "promised though declined"},
    {"again_in_doubt", TOTAL(again_in_doubt), "pushed again after a connection that ended badly"},
    {"missed", TOTAL(missed), "assets neither held nor pushed after a visit"},
    {"fetched", TOTAL(fetched), "assets asked for instead"},
    {"pushed_bytes", TOTAL(pushed_bytes), "bytes of pushed bodies"},
    {"data_bytes", TOTAL(data_bytes), "bytes of DATA on promised streams, whole or not"},
    {"cancelled_bytes", TOTAL(cancelled_bytes), "of these, on promises that were cancelled"},
    {"verified", TOTAL(verified), "pushed bodies that equal a GET's"},
    {"mismatched", TOTAL(mismatched), "bodies that differ from a GET's"},
    {"unverified", TOTAL(unverified), "pushed bodies of versions no GET returned"},
};

#define SHOWN_COUNT (sizeof(SHOWN) / sizeof(SHOWN[0]))

static uint64_t value_of(const struct load *load, const struct shown *shown)
{
    return *(const uint64_t *)((const char *)&load->totals + shown->offset);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The nearest-rank percentile of sorted samples, in milliseconds. */
static double percentile(const struct times *times, unsigned percent)
{
    if (times->count == 0)
        return 0;
    size_t rank = (times->count * percent + 99) / 100;
    return times->us[rank ? rank - 1 : 0] / 1000.0;
}

static double seconds(const struct load *load)
{
    return (double)(load->ended_us - load->began_us) / 1e6;
}

static double pages_per_second(const struct load *load)
{
    double span = seconds(load);
    return span > 0 ? (double)load->totals.pages / span : 0;
}

static json_t *json_times(const struct times *times)
{
    return json_pack("{s:f, s:f, s:f}", "p50", percentile(times, 50), "p90", percentile(times, 90),
                     "p99", percentile(times, 99));
}

static json_t *json_resources(const struct load *load)
{
    json_t *all = json_object();
    for (unsigned i = 0; i < load->resources_count; i++) {
        const struct resource *r = &load->resources[i];
        json_object_set_new(all, r->path,
                            json_pack("{s:I, s:I, s:I, s:I}", "promises", (json_int_t)r->promises,
                                      "delivered", (json_int_t)r->delivered, "redundant",
                                      (json_int_t)r->redundant, "missed", (json_int_t)r->missed));
    }
    return all;
}

static void print_json(const struct load *load)
{
    json_t *report = json_object();
    json_object_set_new(report, "seconds", json_real(seconds(load)));
    json_object_set_new(report, "pages_per_second", json_real(pages_per_second(load)));
    json_object_set_new(report, "out_of_time", json_boolean(load->out_of_time));
    json_object_set_new(report, "complete_ms", json_times(&load->complete));
    json_object_set_new(report, "connected_ms", json_times(&load->connected));
    for (size_t i = 0; i < SHOWN_COUNT; i++)
        json_object_set_new(report, SHOWN[i].name,
                            json_integer((json_int_t)value_of(load, &SHOWN[i])));
    json_object_set_new(report, "resources", json_resources(load));
    json_dumpf(report, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(report);
}

static void print_text(const struct load *load)
{
    printf("%.2f s, %.1f pages/s%s\n", seconds(load), pages_per_second(load),
           load->out_of_time ? "; stopped by --duration" : "");
    printf("page complete after (ms)  p50 %.2f  p90 %.2f  p99 %.2f\n",
           percentile(&load->complete, 50), percentile(&load->complete, 90),
           percentile(&load->complete, 99));
    printf("connected after (ms)      p50 %.2f  p90 %.2f  p99 %.2f\n",
           percentile(&load->connected, 50), percentile(&load->connected, 90),
           percentile(&load->connected, 99));
    for (size_t i = 0; i < SHOWN_COUNT; i++)
        printf("%12llu  %-17s %s\n", (unsigned long long)value_of(load, &SHOWN[i]), SHOWN[i].name,
               SHOWN[i].prose);
    printf("\n%9s %10s %10s %7s  path\n", "promises", "delivered", "redundant", "missed");
    for (unsigned i = 0; i < load->resources_count; i++) {
        const struct resource *r = &load->resources[i];
        printf("%9llu %10llu %10llu %7llu  %s\n", (unsigned long long)r->promises,
               (unsigned long long)r->delivered, (unsigned long long)r->redundant,
               (unsigned long long)r->missed, r->path);
    }
}

void report_print(const struct load *load)
{
    if (load->complete.count)
        qsort(load->complete.us, load->complete.count, sizeof(uint32_t), by_size);
    if (load->connected.count)
        qsort(load->connected.us, load->connected.count, sizeof(uint32_t), by_size);
    if (load->options->json)
        print_json(load);
    else
        print_text(load);
}
