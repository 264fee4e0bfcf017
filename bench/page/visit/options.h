/* What to visit and how, from the command line. */
#ifndef PAGE_VISIT_OPTIONS_H
#define PAGE_VISIT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_PAGES_MAX 8

struct options_page {
    const char *path;
    unsigned pause_ms; /* before it */
};

struct options {
    const char *address; /* to connect to: a literal IPv4 address */
    uint16_t port;
    const char *authority; /* the name of the site */
    const char *netns;     /* a namespace's file, or NULL */
    const char *root;      /* the site's files, to compare bodies with, or NULL */
    const char *cookie;    /* to begin with, or NULL */
    const char *trace;     /* a file, or NULL */
    bool tls;
    bool push;           /* SETTINGS_ENABLE_PUSH */
    bool navigation;     /* Sec-Fetch-Mode: navigate, so that a 103 may be sent */
    bool cancel;         /* reset every promise */
    bool reconnect;      /* for each page */
    unsigned timeout_ms; /* for each page */
    struct options_page pages[OPTIONS_PAGES_MAX];
    unsigned pages_count;
};

/* Ends the process with 2 when the arguments make no sense, and with 0 for --help. */
void options_read(struct options *options, int argc, char **argv);

#endif
