/* What the parts of config_resolve share. All functions return 0, or -errno with the fault set. */
#ifndef HERALD_CONFIG_RESOLVER_H
#define HERALD_CONFIG_RESOLVER_H

#include "master/config/config_resolve.h"
#include "master/handoff/config_key.h"

/* A site's name or alias, and where it is given. */
struct site_name {
    const char *name; /* the site's */
    struct value_place place;
    size_t order; /* among all names */
};

struct resolver {
    const struct config_facts *facts;
    struct config *config; /* as far as it is made */
    struct fault *fault;
    struct site_name *names; /* of all sites */
    size_t names_count;
};

/* A scope whose keys a table may have, and the struct that they go to. */
struct target {
    enum config_scope scope;
    void *object;
};

/* A fault at `place`; returns -EINVAL. */
int resolve_refuse(struct resolver *resolver, struct value_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "name: expected WHAT, found VALUE". */
int resolve_refuse_type(struct resolver *resolver, const char *name, const char *expected,
                        const struct value *found);

/* For memory that ran out. */
int resolve_no_memory(struct resolver *resolver);

/* Adds a line to the config's warnings; `place` with line 0 is nowhere. */
int resolve_warn(struct resolver *resolver, struct value_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The file's name, borrowed from the config. */
const char *resolve_file(const struct resolver *resolver, struct value_place place);

/* Reads the fields of `table` whose keys are in the scopes of `targets`; all others are refused. A
 * key of type CONFIG_ROUTES is left for resolve_site. `what` names the table in faults. */
int resolve_fields(struct resolver *resolver, const char *what, const struct value *table,
                   const struct target *targets, size_t targets_count);

/* Puts the defaults of the scope into `object`. */
int resolve_defaults(struct resolver *resolver, enum config_scope scope, void *object);

/* One key's scalar value into the member of `object`. */
int resolve_scalar(struct resolver *resolver, const struct config_key *key,
                   const struct value_field *field, void *object);

/* Notes where the key is set, for config_place. */
int resolve_note_place(struct resolver *resolver, const struct config_key *key,
                       struct value_place place);

/* Puts a copy of `text` in place of what `*member` owns. */
int resolve_set_text(struct resolver *resolver, char **member, const char *text);

/* The lists and tables of the keys "listen", "tls", "policies", and of each site. */
int resolve_listens(struct resolver *resolver, const struct value *list);
int resolve_certificates(struct resolver *resolver, const struct value *list);
int resolve_policies(struct resolver *resolver, const struct value *list,
                     struct config_route *route);
int resolve_names(struct resolver *resolver, const struct config_key *key, const struct value *list,
                  struct config_site *site);
int resolve_identify(struct resolver *resolver, const struct config_key *key,
                     const struct value *list, void *object);
int resolve_shared(struct resolver *resolver, const struct config_key *key,
                   const struct value_field *field);
int resolve_site(struct resolver *resolver, const struct value *table, struct config_site *site);

/* The route's origin: a text, or a table of texts and keys; keys that are not set stay as they are. */
int resolve_origin(struct resolver *resolver, const struct value_field *field,
                   struct config_route *route);

/* Puts a copy of `from`, whose servers are not looked up, in place of what `to` has. */
int resolve_copy_origin(struct resolver *resolver, const struct config_origin *from,
                        struct config_origin *to);

/* Puts the absolute form of `text` in place of what `*member` owns. */
int resolve_set_path(struct resolver *resolver, char **member, const char *text);

/* Notes that a site has this name, for resolve_check_sites. */
int resolve_note_name(struct resolver *resolver, const char *name, struct value_place place);

/* Checks what holds between sites and between listens, and numbers the policy lists. */
int resolve_check_sites(struct resolver *resolver);
int resolve_check_listens(struct resolver *resolver);

#endif
