/* The resolved configuration: what the config file said, with every default filled in.
 *
 * The master makes it from the data that an unprivileged child read (master/config/config_load.c), opens
 * what only it may open (keys, roots, logs), and workers use it read-only after fork. */
#ifndef HERALD_CONFIG_H
#define HERALD_CONFIG_H

#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where a client's identity may come from, in the order that `clients.identify` gives. */
enum config_identify { IDENTIFY_COOKIE, IDENTIFY_TLS, IDENTIFY_CONNECTION };
#define CONFIG_IDENTIFY_MAX 3

struct config_listen {
    char *text; /* as written, "[::]:443" */
    struct sockaddr_storage address;
    socklen_t address_length;
    bool tls;
    char *redirect;   /* "https": to the first listener with TLS; else NULL */
    const char *file; /* where the config says so; file is borrowed from config->files or NULL */
    int line;
};

struct config_certificate {
    char *sni;       /* a host name, "*.example.com", or "*": the default certificate */
    char *cert_path; /* PEM, the leaf first; absolute. NULL: self-signed, made at start */
    char *key_path;
    struct span cert_pem; /* read by the master, owned here; empty until then */
    struct span key_pem;
    const char *file; /* of the entry in the config, for faults; borrowed from config->files */
    int line;
};

/* One entry of a policy list: a stock policy's name, or a file below `policy.dir`. */
struct config_policy {
    char *name;       /* "preload", "shop.lua" */
    char *arguments;  /* JSON object, never NULL; equal ones are equal texts */
    const char *file; /* where the config names it; borrowed from config->files, or NULL */
    int line;
};

#define CONFIG_SHARE_ALL 1000000

struct config_push {
    uint32_t max_streams; /* promised and unfinished, per connection */
    uint64_t max_bytes;   /* pushed before the page is done */
    bool hint_held;       /* 103 and Link name what the client holds, too */
    uint32_t holdout;     /* this share of the clients is pushed nothing, of CONFIG_SHARE_ALL */
    uint64_t budget;      /* pushed with a page: bytes, or one of these */
};
#define CONFIG_BUDGET_AUTO UINT64_C(0)         /* what its connection carries while it is idle */
#define CONFIG_BUDGET_OFF (UINT64_C(1) << 30) /* max_bytes alone bounds it */

/* A server that answers for a route. */
enum config_server_kind { SERVER_HTTP, SERVER_HTTPS, SERVER_UNIX };
struct config_server {
    char *text; /* "http://10.0.0.7:8080", "https://app.internal", "unix:/run/app.sock" */
    enum config_server_kind kind;
    char *host;      /* a name, or a literal address without brackets; of SERVER_UNIX the path */
    uint16_t port;   /* 0 for SERVER_UNIX */
    bool named;      /* `host` has to be looked up */
    char *addresses; /* what that brought: literal addresses with commas between; "": nothing */
};

#define CONFIG_SERVERS_MAX 16
#define CONFIG_ADDRESSES_MAX 8           /* of one name */
#define CONFIG_ADDRESSES_TEXT_MAX 512    /* bytes of config_server.addresses with its NUL */

struct config_origin {
    struct config_server *servers;
    size_t servers_count; /* 0: the route is not proxied */
    uint32_t timeout_ms;
    uint32_t connect_timeout_ms;
    uint32_t retries;
    uint32_t rest_ms;
    uint32_t connections; /* under way at one server, of one worker */
    uint32_t lookup_s;
    char *host; /* authority sent upstream; NULL: the client's */
    bool trusted; /* what requests say of their way here */
    bool verify;
    char *ca;           /* PEM file, absolute; NULL: the system's */
    struct span ca_pem; /* read by the master, owned here; empty until then */
    const char *file;   /* where it is set; borrowed from config->files */
    int line;
};

/* What holds for the requests below one prefix. A site's first route is its own ("/"); the others
 * inherit from it what they don't set. */
struct config_route {
    char *prefix; /* "/assets/": what the path starts with; exact when `exact` */
    bool exact;   /* "/feed.xml" without "*": this path alone */
    char *root;   /* absolute directory, or NULL: nothing is served */
    int root_fd;  /* O_PATH, opened by the master before privileges drop; -1 until then */
    bool symlinks;       /* follow symbolic links that stay beneath the root */
    char *cache_control; /* field value, or NULL */
    bool cached;         /* the origin's answers may be kept for others */
    struct config_policy *policies;
    size_t policies_count;
    struct config_push push;
    struct config_origin origin;
    uint32_t list; /* index of the distinct (policies) list, from 0 in each site, shared by equal
                    * routes of the site */
    const char *file; /* where its root is set, else where the route is */
    int line;
};

struct config_site {
    char **names; /* "www.example.com"; "*" is the default site */
    size_t names_count;
    char **aliases; /* these redirect to names[0] */
    size_t aliases_count;
    struct config_route *routes; /* longest prefix first; the site's own "/" last, always there */
    size_t routes_count;
    enum config_identify identify[CONFIG_IDENTIFY_MAX];
    size_t identify_count;
    uint32_t remember_s;       /* upper bound of how long a client is believed to hold; 0: never */
    uint32_t heuristic_s;      /* freshness of a response that says nothing (RFC 9111 4.2.2) */
    uint32_t declined_s;       /* how long a refused promise is not repeated */
    bool debug_header;         /* answer `Server-Timing: push;desc="5 sent, 7 held"` */
    const char *file;
    int line;
};

/* A dictionary that policies share (policy/shared_dict.h). */
#define CONFIG_SHARED_MAX 16
#define CONFIG_SHARED_NAME_MAX 32
#define CONFIG_SHARED_BYTES_MIN (UINT64_C(64) << 10) /* of each; */
#define CONFIG_SHARED_BYTES_MAX (UINT64_C(1) << 30)  /* of all together */
struct config_shared {
    char *name;     /* [a-z][a-z0-9_]* */
    uint64_t bytes; /* whole pages */
};

/* Where the config sets a key that is not part of a list or a site: "policy.dir". */
struct config_place {
    char *key;
    const char *file; /* borrowed from config->files */
    int line;
};

#define LIMIT(key, type, fallback, least, most, prose) uint64_t key;
struct config_limits {
#include "master/handoff/limits.def"
};
#undef LIMIT

struct config {
    char *path;        /* the config file, absolute; NULL when made from the command line */
    char **files;      /* it and what it includes, as faults name them */
    size_t files_count;
    char **warnings;   /* one line each, "herald.lua:3: what", for the log and for `check` */
    size_t warnings_count;
    struct config_place *places;
    size_t places_count;
    char *user;        /* the workers run as this user when the master is root */
    uint32_t workers;  /* slots, from 1 */
    char *state_dir;   /* absolute */
    struct config_listen *listens;
    size_t listens_count;
    struct config_certificate *certificates;
    size_t certificates_count;
    uint64_t table_bytes; /* of the push table: a power of two, 1 MiB to 4 GiB */
    struct {
        enum config_identify identify[CONFIG_IDENTIFY_MAX];
        size_t identify_count;
        uint32_t remember_s;
        uint32_t per_address; /* distinct clients that one address counts for; 0: what suits it */
    } clients; /* what sites have that say nothing else */
    struct {
        char *dir;         /* absolute, or NULL */
        int dir_fd;        /* O_PATH; -1 */
        int stock_fd;      /* the stock policies' directory; -1 until opened */
        uint32_t soft_ms;  /* 4 to 1,000; 0: what suits this kernel (policy/deadline.h) */
        uint32_t hard_ms;  /* 8 to 5,000, more than soft_ms; 0 likewise */
        uint64_t memory_bytes; /* of one policy state's arena */
        uint32_t keep;         /* versions on disk */
        bool watch;            /* load and use the files when they change */
        uint32_t window_s;     /* a version is judged by what it did in this time: */
        uint32_t failures;     /* percent of the pages on which a hook failed; 0: any */
        uint32_t soft_strikes; /* soft deadlines; 0: any number */
        uint32_t hard_strikes; /* hard deadlines, kills and crashes; 0: any number */
    } policy;
    struct {
        char *access; /* absolute path, "stderr", or NULL: off */
        char *error;  /* absolute path or "stderr" */
    } log;
    struct {
        char *socket; /* control socket, absolute */
        char *http;   /* "127.0.0.1:9900", or NULL */
    } admin;
    struct {
        uint64_t memory_bytes; /* of one worker's cache of origins' answers; 0: there is none */
        uint64_t entry_bytes;  /* of one answer's content */
    } cache;
    struct config_limits limits;
    struct config_shared *shared; /* in the order of their names */
    size_t shared_count;
    struct config_site *sites;
    size_t sites_count;
};

/* Encodes `config` as the JSON text that config_decode reads (malloc'd, owned by the caller), or
 * returns NULL when memory runs out. PEM texts and descriptors are not part of it. */
char *config_encode(const struct config *config);

/* Reads config_encode's text. Returns 0 and a config owned by the caller, or -errno and `fault`. */
int config_decode(struct span json, struct config **config, struct fault *fault);

/* An empty config, owned by the caller: zeroes, descriptors -1. NULL when memory runs out. */
struct config *config_create(void);

/* Frees `config` and closes its descriptors. NULL is accepted. */
void config_destroy(struct config *config);

/* Whether a dictionary that policies share may have this name. */
bool config_is_shared_name(const char *name);

/* The site for a host name (without port, any case), or the default site, or NULL. */
const struct config_site *config_site(const struct config *config, struct span host);

/* True when `host` is one of the site's aliases, which redirect to its first name. */
bool config_is_alias(const struct config_site *site, struct span host);

/* The route of `site` for a normalised absolute path: the longest prefix wins. Never NULL. */
const struct config_route *config_route(const struct config_site *site, struct span path);

/* Where `key` ("policy.dir", "log.access") is set, for faults: *file (borrowed; NULL when the config
 * does not set it) and *line. */
void config_place(const struct config *config, const char *key, const char **file, int *line);

/* Parses "8ms", "10s", "5m", "2h", "30d" to milliseconds, or "64KiB", "1MiB", "4GiB", "4096" to
 * bytes: digits and at once a unit, nothing else. Returns 0 or -EINVAL, -ERANGE past 64 bits. */
int config_parse_duration(struct span text, uint64_t *ms);
int config_parse_size(struct span text, uint64_t *bytes);

/* Parses a literal address with its port, 1 to 65535: "127.0.0.1:8080", "[::1]:443"; ":443" is
 * "[::]:443". Names are not resolved. Returns 0 or -EINVAL. */
int config_parse_address(struct span text, struct sockaddr_storage *address, socklen_t *length);

/* Whether anything answers for the route's requests. */
static inline bool config_is_served(const struct config_route *route)
{
    return route->root || route->origin.servers_count > 0;
}

/* Frees the servers: the route is not proxied any more. */
void config_origin_clear(struct config_origin *origin);

/* Frees all that it owns. */
void config_origin_finish(struct config_origin *origin);

/* Parses "http://HOST[:PORT]", "https://HOST[:PORT]" or "unix:/PATH", without path, query or userinfo.
 * Fills all of `server` but `addresses`, which becomes "" where it is to be looked up; text and host
 * are the caller's to free. Returns 0, -EINVAL or -ENOMEM. */
int config_parse_server(const char *text, struct config_server *server);
void config_server_finish(struct config_server *server);

/* Whether `text` is a list of literal addresses as in config_server.addresses; "" is one. */
bool config_are_addresses(const char *text);

/* Whether `text` is a host name, an IPv4 address, or an IPv6 address in brackets. */
bool config_is_host(const char *text);

/* The shortest text that parses to the same value: "8ms", "30d"; "64KiB". Return `text`. */
#define CONFIG_FORMAT_MAX 32
const char *config_format_duration(uint64_t ms, char text[CONFIG_FORMAT_MAX]);
const char *config_format_size(uint64_t bytes, char text[CONFIG_FORMAT_MAX]);

#endif
