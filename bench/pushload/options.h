/* What the command line asks of the load client. */
#ifndef PUSHLOAD_OPTIONS_H
#define PUSHLOAD_OPTIONS_H

#include <stdbool.h>

#define OPTIONS_ASSETS_MAX 96
#define OPTIONS_TEXT_MAX 256

struct options {
    bool tls;
    char host[OPTIONS_TEXT_MAX];
    char port[8];
    char authority[OPTIONS_TEXT_MAX];
    char path[OPTIONS_TEXT_MAX];
    const char *first; /* the page of a client's first visit, or NULL */
    const char *assets[OPTIONS_ASSETS_MAX];
    unsigned assets_count;
    unsigned clients;
    unsigned conns_per_client;
    unsigned visits;
    unsigned pages; /* requests of the page on each connection of a visit */
    unsigned parallel; /* clients that visit at the same time */
    unsigned pause_ms; /* between two rounds of visits */
    unsigned timeout_s;
    unsigned duration_s;
    unsigned cancel_percent;
    unsigned close_percent; /* of the visits: cut in mid-push by a close, a reset, a black hole */
    unsigned reset_percent;
    unsigned black_hole_percent;
    unsigned seed;
    bool cookies;
    bool resume;
    bool at_once;
    bool fetch_missing;
    bool verify;
    bool half_close; /* over TLS; in cleartext it is all there is to say */
    bool json;
    const char *jar; /* where clients are kept between runs, or NULL */
};

/* Reads the command line; borrows from `argv`. Returns 0, or the status to exit with plus one after
 * having said why (or what --help asks for). */
int options_read(struct options *options, int argc, char **argv);

#endif
