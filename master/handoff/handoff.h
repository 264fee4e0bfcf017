/* What the master hands to a worker across fork, and the words they exchange afterwards. */
#ifndef HERALD_HANDOFF_H
#define HERALD_HANDOFF_H

#include "master/handoff/config.h"
#include "master/handoff/segment.h"

#include <stdint.h>

/* A version of the policies: its number, and its bundle (policy/bundle.h). */
struct handoff_version {
    uint32_t number;
    int fd;
};

/* A worker owns everything here after fork; it is made before and freed by the exit. */
struct handoff {
    const struct config *config;
    struct segment *segment;
    unsigned slot;          /* index into segment->slots */
    unsigned generation;
    const int *listeners;   /* [share * config->listens_count + listen]; -1: there is none */
    unsigned shares;        /* listener sets: one per worker of the generation, then retired ones */
    unsigned share;         /* the set this worker accepts from */
    int control_fd;         /* SOCK_SEQPACKET to the master; end of file: the master is gone */
    struct handoff_version versions[SEGMENT_VERSIONS_MAX]; /* the first one must load */
    unsigned versions_count; /* 0: there are no policies */
    int access_fd;          /* access log, O_APPEND; -1: off */
    int error_fd;           /* error log */
};

/* A message is one byte of enum handoff_word, then what the word carries. */
enum handoff_word {
    HANDOFF_READY = 'r',   /* worker -> master: every listener of mine is armed */
    HANDOFF_FAULT = 'f',   /* worker -> master: cannot start; a text follows */
    HANDOFF_DRAIN = 'd',   /* master -> worker: GOAWAY in two steps, finish, exit 0 */
    HANDOFF_STOP = 's',    /* master -> worker: close everything now, exit 0 */
    HANDOFF_ADOPT = 'a',   /* master -> worker: accept from this share too (uint32_t follows) */
    HANDOFF_RELEASE = 'l', /* master -> worker: stop accepting from that share (uint32_t) */
    HANDOFF_LOGS = 'g',    /* master -> worker: new log descriptors (access, error) by SCM_RIGHTS;
                            * a byte of flags follows: bit 0 access, bit 1 error is there */
    HANDOFF_POLICY = 'p',  /* master -> worker: a version of the policies: its number (uint32_t),
                            * its bundle by SCM_RIGHTS; answered by LOADED */
    HANDOFF_FORGET = 'x',  /* master -> worker: that version (uint32_t) is not used any more */
    HANDOFF_LOADED = 'o',  /* worker -> master: a version (uint32_t) can run here; or, when a text
                            * follows, it can't, for this reason */
    HANDOFF_DIFFERS = 'h', /* worker -> master: the shadow version (uint32_t) would decide a page
                            * otherwise: a text */
    HANDOFF_ADDRESSES = 'n', /* master -> worker: a host name of an origin, a space, and its
                              * addresses with commas between (config_server.addresses) */
};

#define HANDOFF_MESSAGE_MAX 1024

#endif
