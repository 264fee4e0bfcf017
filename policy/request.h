/* The facts a policy may see of one request, gathered by the worker. Spans are borrowed for as long
 * as the request's page lives (until its last push is settled). */
#ifndef HERALD_REQUEST_H
#define HERALD_REQUEST_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a resource is for: the Fetch standard's destinations, as in `as=` of a preload link. */
enum asset_as {
    AS_UNKNOWN,
    AS_DOCUMENT,
    AS_STYLE,
    AS_SCRIPT,
    AS_FONT,
    AS_IMAGE,
    AS_FETCH,
    AS_AUDIO,
    AS_VIDEO,
    AS_TRACK,
    AS_WORKER,
    AS_MANIFEST,
    AS_KINDS
};

/* "style" for AS_STYLE; "" for AS_UNKNOWN. */
const char *asset_as_name(enum asset_as as);

/* The destination named by `name` (case ignored), or AS_UNKNOWN. */
enum asset_as asset_as_of(struct span name);

/* What a path's file type is for: "/", "*.html" and no extension are documents, ".css" a style...
 */
enum asset_as asset_as_of_path(struct span path);

/* A header field; names in lower case, as HTTP/2 carries them (RFC 9113 8.2). */
struct field {
    struct span name;
    struct span value;
};

/* The value of the first field called `name`, or an empty span with NULL data. */
struct span field_find(const struct field *fields, size_t count, struct span name);

/* What a client is known to hold of one resource. */
enum client_has { CLIENT_LACKS, CLIENT_HOLDS, CLIENT_DECLINED, CLIENT_STALE };

struct client_facts {
    char id[20]; /* the hash that people see, hex; "" without identity */
    enum config_identify identified_by;
    bool can_push;          /* takes PUSH_PROMISE now */
    bool can_hints;         /* a navigation by a client that takes no push */
    uint32_t rtt_us;        /* 0: not known */
    uint32_t cwnd_bytes;    /* 0: not known */
    uint64_t bandwidth_bps; /* delivery rate; 0: not known */
};

struct request {
    char id[20]; /* request id, hex, as in the log */
    struct span method;
    struct span scheme;
    struct span host;  /* :authority without port, lower case */
    struct span path;  /* normalised, decoded once, without query */
    struct span query; /* without "?"; empty when there is none */
    enum asset_as dest;
    struct span mode;         /* Sec-Fetch-Mode, or empty */
    struct span referer_path; /* path of a same-authority Referer, or empty */
    bool save_data;
    bool revalidate; /* Cache-Control: no-cache or max-age=0: the user reloads */
    const struct field *fields;
    size_t fields_count;
    struct client_facts client;
    int vars;      /* the policy VM's reference to `req.vars`; 0: none yet */
    void *context; /* the worker's, handed back to its struct policy_host */
};

/* Takes what one field tells policies: Referer (of the same scheme and `authority`), Save-Data,
 * Cache-Control, Sec-Fetch-Dest and Sec-Fetch-Mode. Called for each field of a request whose scheme
 * is set. */
void request_read_field(struct request *request, struct span authority, const struct field *field);

/* A link of the response's Link fields (RFC 8288), every rel. Spans borrow from the response. */
struct response_link {
    struct span path; /* resolved against the page when same_origin, else the target as written */
    struct span rel;
    enum asset_as as;
    struct span fetchpriority;
    bool nopush;
    bool crossorigin;
    bool same_origin;
};

/* What is known of the page's response before its body is sent. */
struct response_facts {
    int status;
    struct span mime; /* without parameters */
    uint64_t size;
    struct span etag;
    bool cacheable;
    uint32_t ttl_s;
    const char *from; /* "file", "cache", "origin" */
    const struct field *fields;
    size_t fields_count;
    const struct response_link *links;
    size_t links_count;
};

#endif
