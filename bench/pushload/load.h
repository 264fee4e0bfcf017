/* One run of the load client: its clients, what each of them holds, and what was counted.
 *
 * A client is believed to hold what it received whole on a connection that ended well. What came
 * whole on a connection that was cut or lost is in doubt: the server may not have seen it
 * acknowledged, and is right to push it again. */
#ifndef PUSHLOAD_LOAD_H
#define PUSHLOAD_LOAD_H

#include "bench/pushload/options.h"

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_RESOURCES_MAX 128 /* paths, the page among them */
#define LOAD_VERSIONS_MAX 16   /* of one path, by etag */
#define LOAD_ETAG_MAX 80
#define LOAD_COOKIES_MAX 384
#define LOAD_NO_VERSION 255

struct version {
    char etag[LOAD_ETAG_MAX];
    uint64_t hash;
    uint64_t size;
    bool hashed;   /* a body of it was seen */
    bool asked;    /* by a plain GET, so that `hash` is what it must be */
    uint64_t seen; /* pushed bodies of it */
};

struct resource {
    char path[OPTIONS_TEXT_MAX];
    struct version versions[LOAD_VERSIONS_MAX];
    unsigned versions_count;
    unsigned current; /* the version that the first GET returned, or LOAD_NO_VERSION */
    bool asset;       /* the page needs it */
    uint64_t promises, delivered, redundant, missed;
};

enum having { LACKS, HOLDS, IN_DOUBT, DECLINED };

struct holding {
    uint8_t having;  /* enum having */
    uint8_t version; /* of the resource; LOAD_NO_VERSION when not known */
    uint8_t flying;  /* promises under way on all connections */
};

struct client {
    char cookies[LOAD_COOKIES_MAX]; /* a Cookie field's value, or "" */
    SSL_SESSION *session;           /* owned, or NULL */
    struct holding holdings[LOAD_RESOURCES_MAX];
    struct conn *conns; /* of this visit, not over */
    unsigned open;     /* how many these are */
    unsigned waiting;  /* of them, not ready to ask yet */
    bool first;        /* this visit is the first page, not one of --visits */
    bool troubled;     /* a connection of this visit was cut, lost or refused */
};

struct totals {
    uint64_t connections, resumed, connect_failures, lost, abrupt, timeouts, bad_status, goaways;
    uint64_t pages; /* complete, with all that was promised */
    uint64_t promises, delivered, cancelled, reset_by_server;
    uint64_t redundant, redundant_bytes;
    uint64_t doubled;         /* promised while another connection was being promised it */
    uint64_t unheeded;        /* promised though declined before */
    uint64_t again_in_doubt;  /* pushed again after it came on a connection that ended badly */
    uint64_t missed, fetched, pushed_bytes;
    uint64_t data_bytes, cancelled_bytes; /* of all pushed streams' DATA; of those cancelled */
    uint64_t cuts, cut_off;   /* connections cut in mid-push; promises that this left incomplete */
    uint64_t verified, mismatched, unverified;
};

struct times {
    uint32_t *us;
    size_t count, room;
};

struct load {
    const struct options *options;
    SSL_CTX *tls; /* NULL without TLS */
    struct client *clients;
    struct resource resources[LOAD_RESOURCES_MAX];
    unsigned resources_count;
    struct totals totals;
    struct times complete;  /* from the page's request until it and its pushes are complete */
    struct times connected; /* from connect until the connection can ask */
    uint64_t random;
    uint64_t began_us, ended_us;
    bool last_round;
    bool out_of_time;
};

uint64_t load_now_us(void);

/* A number below `bound`, which is not 0; the same sequence for the same seed. */
uint64_t load_random(struct load *load, uint64_t bound);

/* Adds a sample; one that finds no memory is dropped. */
void times_add(struct times *times, uint64_t us);

/* ---- resources (resources.c) ---- */

/* The index of `path`, added when new; -1 when there are too many. */
int resource_find(struct load *load, const char *path, size_t length);

/* The index of the version with this etag, added when new; LOAD_NO_VERSION when there are too
 * many. */
unsigned resource_version(struct resource *resource, const char *etag);

/* Compares a whole body with what is known of its version. */
void resource_body(struct load *load, struct resource *resource, unsigned version, uint64_t hash,
                   uint64_t size, bool pushed);

/* ---- what a client holds (client.c) ---- */

/* Forgets what a client that nobody can know again held. */
void client_begin_visit(struct load *load, struct client *client);

/* A promise for the resource arrived. */
void client_promised(struct load *load, struct client *client, unsigned resource);

/* Whether the client already holds this very version. */
bool client_holds(const struct client *client, unsigned resource, unsigned version);

/* A promise ended: whole, declined by the client, or neither. `redundant` as client_holds said
 * when its HEADERS came. */
void client_delivered(struct load *load, struct client *client, unsigned resource,
                      unsigned version, bool redundant, uint64_t bytes);
void client_declined(struct client *client, unsigned resource);
void client_promise_lost(struct client *client, unsigned resource);

/* The connection that it came on ended badly. */
void client_doubts(struct client *client, unsigned resource);

/* All connections of the visit are over: what was needed and did not come. */
void client_end_visit(struct load *load, struct client *client);

/* Whether to ask for the asset, as a browser would: neither held, declined nor under way. */
bool client_needs(const struct client *client, unsigned resource);

/* Keeps the cookie of a Set-Cookie field. */
void client_cookie(struct client *client, const char *field, size_t length);

/* Reads the clients of an earlier run, if the file is there. Returns 0 or -errno. */
int jar_read(struct load *load);

/* Writes the clients. Returns 0 or -errno. */
int jar_write(const struct load *load);

/* ---- report.c ---- */
void report_print(const struct load *load);

#endif
