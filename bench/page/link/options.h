/* What the link is to be like, from the command line. */
#ifndef PAGE_LINK_OPTIONS_H
#define PAGE_LINK_OPTIONS_H

#include "bench/page/link/pipe.h"

struct options {
    struct pipe_settings down, up; /* down: from the server to the client */
    const char *congestion;
    const char *trace; /* a file, or NULL */
};

/* Ends the process with 2 when the arguments make no sense, and with 0 for --help. */
void options_read(struct options *options, int argc, char **argv);

#endif
