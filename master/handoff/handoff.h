/* What the master hands to a worker across fork, and the words they exchange afterwards. */
#ifndef HERALD_HANDOFF_H
#define HERALD_HANDOFF_H

#include "master/handoff/config.h"
#include "master/handoff/segment.h"

#include <stdint.h>

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
    int bundle_fd;          /* the policies, a sealed memfd (policy/bundle.h); -1: none */
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
};

#define HANDOFF_MESSAGE_MAX 1024

#endif
