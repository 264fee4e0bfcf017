/* The master's supervisor: one loop over signals, children, the control socket and timers. It
 * allocates and opens what it needs first; once it serves, only a signal or `stop` ends it. */
#ifndef HERALD_SUPERVISOR_H
#define HERALD_SUPERVISOR_H

#include "master/clients.h"
#include "master/control.h"
#include "master/explain.h"
#include "master/generation.h"
#include "master/keeper.h"
#include "master/lookup.h"
#include "master/policy_desk.h"
#include "master/policy_task.h"
#include "master/stage.h"
#include "policy/learned.h"
#include "policy/names.h"

#include <stdbool.h>
#include <time.h>

#define SUPERVISOR_ROTATE_MS (60 * 60 * 1000)
#define SUPERVISOR_LAST_CALL_MS 500 /* for the queues of addresses that are given up */

struct supervisor;

struct supervisor_options {
    struct config_source source;
    int access_fd; /* the access log in place of the config's, or -1; stays the caller's */
    /* Called once, when every worker accepts; may be NULL. */
    void (*ready)(const struct supervisor *supervisor, void *context);
    void *context;
};

enum supervisor_ending { ENDING_NONE, ENDING_DRAIN, ENDING_STOP };

struct supervisor_reload {
    time_t at; /* 0: none yet */
    bool ok;
    char said[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32]; /* the fault; "" when it went well */
};

/* Clients of the control socket that wait for a reload's end. */
struct supervisor_waiting {
    struct control_handle clients[CONTROL_CLIENTS_MAX];
    unsigned count;
};

/* What walks over the segment's regions found, for `status`. */
struct status_walks {
    int64_t at_ms; /* 0: none was made */
    struct names_load names;
    struct learned_load learned;
};

struct supervisor {
    const struct supervisor_options *options;
    struct loop loop;
    struct watch signals;
    struct segment segment;
    struct slots slots;
    struct listen_table listens;
    struct seat_tools tools;
    struct control control;
    struct stage stage;
    struct keeper keeper;
    struct clients clients;
    struct policy_desk desk;
    struct policy_tasks tasks; /* what is asked of the desk, one after the other */
    struct explain explain;
    struct lookup lookup;
    int lock_fd;
    struct generation *serving; /* NULL before the first and after the last */
    struct generation *staged;  /* its workers start */
    struct generation *leaving; /* served until now; drains once given-up addresses have no queue */
    int64_t leaving_ms;         /* when it drains whatever queues there are */
    struct generation *draining; /* a list */
    unsigned numbers;            /* of generations */
    int64_t started_ms;
    int64_t rotate_ms; /* when ticket keys change next */
    enum supervisor_ending ending;
    struct status_walks status;
    bool failed;        /* the first generation could not be made, */
    struct fault fault; /* for this reason */
    struct supervisor_reload last_reload;
    bool reload_again;                      /* asked for while one was under way */
    struct supervisor_waiting waiting;      /* for the reload under way, */
    struct supervisor_waiting waiting_next; /* and for the one after it */
};

/* Runs herald in this process until it is told to end. Returns the exit status: 0, or 1 with
 * `fault` when it could not start. */
int supervisor_run(const struct supervisor_options *options, struct fault *fault);

/* Begins to end herald. ENDING_DRAIN: what is queued is still accepted, then nothing more, and open
 * requests are finished within limits.drain. ENDING_STOP: at once. */
void supervisor_end(struct supervisor *supervisor, enum supervisor_ending ending);

/* The URL of the serving generation's config->listens[index], "https://127.0.0.1:8443/", into
 * `text` (SUPERVISOR_URL_MAX bytes). A wildcard address reads "localhost". */
#define SUPERVISOR_URL_MAX 96
const char *supervisor_url(const struct supervisor *supervisor, size_t index, char *text);

#endif
