/* The policies of one version, in one LuaJIT state that never compiles a trace.
 *
 * Used by one thread. No call here fails a request: a hook that errs, or is stopped by a deadline
 * or the memory limit, proposes nothing (a failing on_push vetoes), is counted and told to the
 * host. */
#ifndef HERALD_POLICY_VM_H
#define HERALD_POLICY_VM_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "policy/assets.h"
#include "policy/decision.h"
#include "policy/learned.h"
#include "policy/names.h"
#include "policy/request.h"
#include "policy/shared_dict.h"
#include "policy/tally.h"

#include <stdbool.h>

struct policy_vm;
struct policy_list;

enum policy_event {
    POLICY_ERROR,
    POLICY_SOFT_DEADLINE,
    POLICY_MEMORY,
    POLICY_HARD_DEADLINE, /* the whole state was dropped and made anew */
};

enum push_result {
    PUSH_RESULT_DELIVERED,
    PUSH_RESULT_CANCELLED,
    PUSH_RESULT_REFUSED,
    PUSH_RESULT_LOST
};

/* A resource that clients ask for after a page. */
struct policy_learned {
    struct span path; /* in `text` */
    enum asset_as as;
    bool crossorigin;
    char text[NAMES_TEXT_MAX];
};

/* What the worker does for policies. Every pointer must be set but path_figures, those of
 * `learn`, without which nothing is learned, and dictionary; `context` is handed to each. */
struct policy_host {
    void *context;

    /* A hook wants to know of the path to the client of `request`: of the request itself client.rtt_us,
     * cwnd_bytes and bandwidth_bps, of its decision budget_bytes. NULL: they are set. */
    void (*measure)(void *context, struct request *request);

    /* What the client of `request` holds of `path` (of the same authority). */
    enum client_has (*client_has)(void *context, const struct request *request, struct span path);

    /* The finished scan of the page at `path` of the request's site, or NULL: not known (yet).
     * Borrowed until the hook returns. */
    const struct assets *(*assets_of)(void *context, const struct request *request,
                                      struct span path);

    /* The content of a file below the request's site's root, read again when it changed (looked
     * at once a second at most). `*version` changes with the content. Returns 0 and a span
     * borrowed until the next call, or -errno. */
    int (*read_file)(void *context, const struct request *request, struct span path,
                     struct span *content, uint64_t *version);

    /* What became of pushes of `path` of the request's site, of all clients. Returns false when
     * nothing is known. NULL: nothing ever is. */
    bool (*path_figures)(void *context, const struct request *request, struct span path,
                         struct tally_figures *figures);

    /* What follows `page` on the request's site: writes at most `room` items, and returns how many.
     * When there are none, `*why` (static text) says why. What the client asks for next is watched,
     * unless it was given items. */
    unsigned (*learn_next)(void *context, const struct request *request, struct span page,
                           const struct learned_wish *wish, struct policy_learned *items,
                           unsigned room, const char **why);

    /* The client of `request` asked for `path` after `page`, says a policy. Returns whether that
     * counts. */
    bool (*learn_note)(void *context, const struct request *request, struct span page,
                       struct span path);

    /* The config's dictionary `index`, and the time of its clock; `dry` is set in it when this
     * request's policies are to change nothing. Borrowed until the next call. NULL: each state has
     * private dictionaries, empty at first, and in them no time passes. */
    struct shared_dict *(*dictionary)(void *context, const struct request *request, unsigned index,
                                      uint32_t *now_s);

    /* log.info(message, fields): `json` is the fields' object, valid JSON, or empty. `request` is
     * NULL in `init`, and while a file is loaded. */
    void (*log)(void *context, const struct request *request, const char *policy,
                struct span message, struct span json);

    /* A hook failed: `fault` has file and line. The host counts and logs, with its own rate limit.
     */
    void (*failed)(void *context, enum policy_event event, const char *policy,
                   const struct fault *fault);
};

/* What the config's limits come to on this kernel. */
struct policy_limits {
    uint32_t tick_ms;      /* CPU time is measured in these */
    uint32_t soft_ms;      /* a hook is stopped by this, less a tick at the earliest */
    uint32_t hard_ms;      /* and its state is dropped by this */
    uint64_t memory_bytes; /* of one version's state */
};

/* Fills `limits`; what the config leaves 0 has its default. Returns 0, or -ERANGE with `fault` when
 * one is too small or too large. */
int policy_limits(const struct config *config, struct policy_limits *limits, struct fault *fault);

/* Makes a state with every list of `config` from the bundle (policy/bundle.h; -1 when no list has a
 * policy), and runs the `init` hooks. `host` and `config` are borrowed until destroy; the bundle's
 * descriptor stays the caller's. Each policy of a list, with its arguments, is an instance of its
 * own: module-level variables are not shared between instances. Uses SIGVTALRM and a timer of this
 * thread's CPU time. Returns 0 or -errno with `fault` naming file and line. */
int policy_vm_create(const struct config *config, int bundle_fd, const struct policy_host *host,
                     struct policy_vm **vm, struct fault *fault);
void policy_vm_destroy(struct policy_vm *vm);

/* The policies of a route; NULL when it has none. Lives as long as the VM. */
const struct policy_list *policy_vm_list(const struct policy_vm *vm, const struct config_site *site,
                                         const struct config_route *route);

/* From now on candidates tell the line that proposed them, and the very line whose return judged
 * them. Calls take several times as long: for specs and explanations. */
void policy_vm_trace(struct policy_vm *vm);

/* Hooks called since the VM was made. */
uint64_t policy_vm_calls(const struct policy_vm *vm);

/* The version's name, 64 bits; policy.version shows it in hexadecimal. */
uint64_t policy_vm_version(const struct policy_vm *vm);

/* Bytes of its memory that are in use. */
size_t policy_vm_memory(const struct policy_vm *vm);

/* True when a policy of the list that can propose something wants this request (its `applies`),
 * tested without Lua: by method, dest and path. Requests for which it is false cost nothing
 * further. */
bool policy_applies(const struct policy_list *list, const struct request *request);

void policy_on_request(struct policy_vm *vm, const struct policy_list *list,
                       struct request *request, struct decision *decision);
void policy_on_response(struct policy_vm *vm, const struct policy_list *list,
                        struct request *request, const struct response_facts *response,
                        struct decision *decision);

/* Asks the list about one resolved candidate whose verdict is REASON_PENDING; sets the verdict (or
 * turns it into a hint) when a policy objects. Counting what is accepted is the caller's. */
void policy_on_push(struct policy_vm *vm, const struct policy_list *list, struct request *request,
                    struct decision *decision, struct candidate *candidate);

/* True when any policy of the list has on_push_result; otherwise nothing need be kept for it. */
bool policy_wants_results(const struct policy_list *list);
void policy_on_push_result(struct policy_vm *vm, const struct policy_list *list,
                           struct request *request, const struct candidate *candidate,
                           enum push_result result);

/* Lets go of the request's `vars`. */
void policy_request_done(struct policy_vm *vm, struct request *request);

#endif
