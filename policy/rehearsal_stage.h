/* A case while it runs: what its three files share. rehearsal_facts.c reads what the spec says of
 * the request, the client and the response; rehearsal_host.c answers policies as a worker would,
 * from the spec; rehearsal_stage.c has the policies and takes the decision. */
#ifndef HERALD_REHEARSAL_STAGE_H
#define HERALD_REHEARSAL_STAGE_H

#include "policy/assets.h"
#include "policy/policy_vm.h"
#include "policy/rehearsal_parts.h"

#define STAGE_FIELDS_MAX 64
#define STAGE_LINKS_MAX 32
#define STAGE_POLICIES_MAX 32
#define STAGE_SIZE_DEFAULT 1000 /* bytes of whatever has no size of its own */

/* What a case's run needs while it lasts. */
struct stage {
    struct stage_run *run;
    struct config config;
    struct config_site site;
    struct config_route route;
    struct config_policy policies[STAGE_POLICIES_MAX];
    struct policy_host host;
    struct request request;
    struct response_facts response;
    struct response_facts early; /* the origin's 103; without links: it sends none */
    struct field fields[STAGE_FIELDS_MAX], response_fields[STAGE_FIELDS_MAX];
    struct response_link links[STAGE_LINKS_MAX], early_links[STAGE_LINKS_MAX];
    unsigned judged; /* candidates of rounds that are over */
    struct span authority;
    char *names[1];
    char default_policy[BUNDLE_NAME_MAX + 1];
    struct assets *assets;
    char *file; /* what read_file last gave */
    struct fault *fault;
};

/* ---- rehearsal_facts.c ---- */

/* The member `key` of `request`, `client` or `response`: the case's, or else the spec's. Borrowed;
 * NULL when neither has it. */
json_t *stage_part(const struct stage_run *run, const char *table, const char *key);

/* A fault at the case's line: -EINVAL. */
int stage_wrong(const struct stage_run *run, struct fault *fault, const char *what,
                const char *which);

/* A string's text, borrowed; empty for anything else. */
struct span stage_text(const json_t *value);

/* A number of bytes, or a text like "64KiB". Returns 0 or -EINVAL. */
int stage_size(const json_t *value, uint64_t *bytes);

/* Each fills in its part of the stage. They return 0, or -EINVAL with the stage's fault. */
int stage_take_request(struct stage *stage);
int stage_take_client(struct stage *stage);
int stage_take_response(struct stage *stage);

/* ---- rehearsal_host.c ---- */

/* The value for `path` in the table `table`, with or without the slash that it begins with. */
json_t *stage_by_path(const struct stage_run *run, const char *table, struct span path);

/* What the client holds of `path`, as the case says. */
enum client_has stage_has(const struct stage *stage, struct span path);

/* Sets stage->host. */
void stage_make_host(struct stage *stage);

#endif
