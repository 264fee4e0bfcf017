#include "bench/page/visit/report.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

struct pushed {
    uint64_t bytes, delivered, cancelled, redundant, unneeded, lost;
};

static struct pushed pushed_of(const struct wire *wire)
{
    struct pushed pushed = {0};
    for (unsigned i = 0; i < wire->streams_count; i++) {
        const struct wire_stream *stream = &wire->streams[i];
        if (!stream->pushed || !stream->resource)
            continue;
        pushed.bytes += stream->bytes;
        if (stream->cancelled)
            pushed.cancelled += stream->bytes;
        else if (!stream->whole)
            pushed.lost += stream->bytes;
        else
            pushed.delivered += stream->bytes;
        if (stream->whole && stream->redundant)
            pushed.redundant += stream->bytes;
        else if (stream->whole && !stream->resource->found)
            pushed.unneeded += stream->bytes;
    }
    return pushed;
}

static void print_time(const char *name, uint64_t us, uint64_t began_us)
{
    if (us)
        printf("\"%s\":%" PRIu64 ",", name, us - began_us);
    else
        printf("\"%s\":null,", name);
}

static uint64_t bytes_of(const struct wire *wire, const struct resource *resource)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < wire->streams_count; i++)
        if (wire->streams[i].resource == resource)
            bytes += wire->streams[i].bytes;
    return bytes;
}

static void print_assets(const struct wire *wire, uint64_t began_us)
{
    static const char *const vias[] = {"nothing", "request", "push", "cache"};
    const char *comma = "";
    for (unsigned i = 0; i < wire->browser->count; i++) {
        const struct resource *resource = &wire->browser->resources[i];
        if (resource == wire->browser->document ||
            (!resource->found && !resource->promised && !resource->hinted))
            continue;
        printf("%s{\"path\":\"%s\",\"via\":\"%s\",\"hinted\":%s,\"needed\":%s,\"whole\":%s,", comma,
               resource->path, vias[resource->via], resource->hinted ? "true" : "false",
               resource->found ? "true" : "false", resource->whole ? "true" : "false");
        print_time("found_us", resource->found_us, began_us);
        print_time("promised_us", resource->promised_us, began_us);
        print_time("asked_us", resource->asked_us, began_us);
        print_time("first_us", resource->first_us, began_us);
        print_time("last_us", resource->last_us, began_us);
        printf("\"bytes\":%" PRIu64 "}", bytes_of(wire, resource));
        comma = ",";
    }
}

static void print_counts(const struct wire *wire)
{
    const struct wire_counts *counts = &wire->counts;
    struct pushed pushed = pushed_of(wire);
    printf("\"requests\":%u,\"hints\":%u,\"bad_status\":%u,\"mismatched\":%u,\"received\":%" PRIu64
           ",\"sent\":%" PRIu64 ",",
           counts->requests, counts->hints, counts->bad_status, counts->mismatched,
           counts->received, counts->sent);
    printf("\"pushes\":{\"promised\":%u,\"delivered\":%u,\"cancelled\":%u,\"redundant\":%u,"
           "\"lost\":%u},",
           counts->promises, counts->delivered, counts->cancelled, counts->redundant, counts->lost);
    printf("\"pushed_bytes\":{\"all\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"cancelled\":%" PRIu64
           ",\"redundant\":%" PRIu64 ",\"unneeded\":%" PRIu64 ",\"lost\":%" PRIu64 "},",
           pushed.bytes, pushed.delivered, pushed.cancelled, pushed.redundant, pushed.unneeded,
           pushed.lost);
}

void report_page(const struct wire *wire, uint64_t began_us, uint64_t waited_us)
{
    const struct browser *browser = wire->browser;
    struct tcp_info tcp = {0};
    socklen_t length = sizeof(tcp);
    getsockopt(wire->fd, IPPROTO_TCP, TCP_INFO, &tcp, &length);
    printf("{\"page\":\"%s\",\"error\":", browser->document->path);
    printf(wire->why ? "\"%s\"," : "null,", wire->why);
    print_time("connected_us", wire->connected_us > began_us ? wire->connected_us : 0, began_us);
    print_time("ready_us", wire->ready_us > began_us ? wire->ready_us : 0, began_us);
    print_time("asked_us", browser->document->asked_us, began_us);
    print_time("html_first_us", browser->document->first_us, began_us);
    print_time("html_last_us", browser->document->last_us, began_us);
    print_time("painted_us", browser->painted_us, began_us);
    print_time("complete_us", browser->complete_us, began_us);
    printf("\"html_bytes\":%" PRIu64 ",", bytes_of(wire, browser->document));
    print_counts(wire);
    printf("\"cookie\":\"%s\",\"rtt_us\":%u,\"waited_us\":%" PRIu64 ",\"assets\":[", wire->cookies,
           tcp.tcpi_rtt, waited_us);
    print_assets(wire, began_us);
    printf("]}\n");
    fflush(stdout);
}
