#include "bench/pushload/options.h"

#include "master/handoff/fault.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, TEXT, SWITCH, FLAG, FLAG_OFF, ASSET, HELP };

struct option_entry {
    const char *name;
    enum kind kind;
    size_t offset;
    unsigned long min, max;
    const char *value; /* how the help names it */
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option_entry ENTRIES[] = {
    {"--clients", NUMBER, AT(clients), 1, 1000000, "N", "different clients (1)"},
    {"--conns-per-client", NUMBER, AT(conns_per_client), 1, 64, "N",
     "connections that a client opens at once in a visit (1)"},
    {"--visits", NUMBER, AT(visits), 1, 1000000, "N", "visits of each client (1)"},
    {"--pages", NUMBER, AT(pages), 1, 1000000, "N",
     "times a connection asks for the page, one after another (1)"},
    {"--parallel", NUMBER, AT(parallel), 1, 100000, "N", "clients that visit at one time (64)"},
    {"--at-once", FLAG, AT(at_once), 0, 0, "",
     "all clients connect, and ask when the last is ready"},
    {"--pause", NUMBER, AT(pause_ms), 0, 3600000, "MS", "wait between two rounds of visits (0)"},
    {"--timeout", NUMBER, AT(timeout_s), 1, 3600, "S", "the longest that a visit may take (10)"},
    {"--duration", NUMBER, AT(duration_s), 1, 86400, "S", "the longest that all may take (60)"},
    {"--first", TEXT, AT(first), 0, 0, "PATH",
     "page that a client without a cookie gets before its visits"},
    {"--asset", ASSET, 0, 0, 0, "PATH",
     "what the page needs; again for each: missed unless pushed or held"},
    {"--fetch-missing", FLAG, AT(fetch_missing), 0, 0, "",
     "ask for the assets that were neither pushed nor held"},
    {"--cancel", NUMBER, AT(cancel_percent), 0, 100, "PCT", "of the promises are cancelled (0)"},
    {"--close-mid-push", NUMBER, AT(close_percent), 0, 100, "PCT",
     "of the connections but the last visit's end by a FIN in mid-push"},
    {"--reset-mid-push", NUMBER, AT(reset_percent), 0, 100, "PCT", "as above, by a TCP RST"},
    {"--black-hole-mid-push", NUMBER, AT(black_hole_percent), 0, 100, "PCT",
     "as above, but nothing more is acknowledged and nothing ends"},
    {"--cookies", SWITCH, AT(cookies), 0, 0, "on|off", "whether clients keep cookies (on)"},
    {"--resume", SWITCH, AT(resume), 0, 0, "on|off", "whether they resume TLS sessions (off)"},
    {"--jar", TEXT, AT(jar), 0, 0, "FILE", "read the clients from there and save them there"},
    {"--authority", TEXT, AT(authority), 0, 0, "HOST", "ask for this authority, not the URL's"},
    {"--seed", NUMBER, AT(seed), 0, 4294967295UL, "N", "of all choices by chance (1)"},
    {"--half-close", FLAG, AT(half_close), 0, 0, "",
     "over TLS, too, send a FIN behind the last byte: some servers wait for it"},
    {"--no-verify", FLAG_OFF, AT(verify), 0, 0, "", "do not compare pushed bodies with a GET's"},
    {"--json", FLAG, AT(json), 0, 0, "", "report as JSON"},
    {"--help", HELP, 0, 0, 0, "", "print this"},
};

#define ENTRIES_COUNT (sizeof(ENTRIES) / sizeof(ENTRIES[0]))

static void help(void)
{
    printf("usage: pushload [OPTION ...] URL\n"
           "Visits a page over HTTP/2 as many clients that take pushes and remember them, and says\n"
           "what was pushed, to whom, and whether it was needed. https, or http by prior knowledge.\n"
           "Certificates are not verified. The status is 1 when a pushed body differs from a GET's,\n"
           "or when no page came.\n");
    for (size_t i = 0; i < ENTRIES_COUNT; i++) {
        char name[48];
        snprintf(name, sizeof(name), "%s %s", ENTRIES[i].name, ENTRIES[i].value);
        printf("  %-26s %s\n", name, ENTRIES[i].help);
    }
}

static int wrong(const char *what, const char *subject)
{
    fprintf(stderr, "pushload: %s: %s\n", subject, what);
    return 3;
}

static int unknown(const char *word)
{
    const char *names[ENTRIES_COUNT + 1] = {0};
    for (size_t i = 0; i < ENTRIES_COUNT; i++)
        names[i] = ENTRIES[i].name;
    const char *nearest = fault_nearest(word, names);
    fprintf(stderr, "pushload: no option is named %s%s%s; see --help\n", word,
            nearest ? "; did you mean " : "", nearest ? nearest : "");
    return 3;
}

static int read_number(const struct option_entry *entry, const char *value, unsigned *number)
{
    char *end, what[96];
    errno = 0;
    unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n < entry->min || n > entry->max) {
        snprintf(what, sizeof(what), "wants a number from %lu to %lu", entry->min, entry->max);
        return wrong(what, entry->name);
    }
    *number = (unsigned)n;
    return 0;
}

static int set(struct options *options, const struct option_entry *entry, const char *value)
{
    void *member = (char *)options + entry->offset;
    switch (entry->kind) {
    case NUMBER:
        return read_number(entry, value, member);
    case SWITCH:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return wrong("wants on or off", entry->name);
        *(bool *)member = strcmp(value, "on") == 0;
        return 0;
    case ASSET:
        if (value[0] != '/' || strlen(value) >= OPTIONS_TEXT_MAX)
            return wrong("wants a path that begins with a slash", entry->name);
        if (options->assets_count == OPTIONS_ASSETS_MAX)
            return wrong("was given too often", entry->name);
        options->assets[options->assets_count++] = value;
        return 0;
    default:
        if (strlen(value) >= OPTIONS_TEXT_MAX || !value[0])
            return wrong("wants a text of 1 to 255 characters", entry->name);
        if (entry->offset == AT(authority))
            strcpy(member, value);
        else
            *(const char **)member = value;
        return 0;
    }
}

static const struct option_entry *find(const char *word, size_t length)
{
    for (size_t i = 0; i < ENTRIES_COUNT; i++)
        if (strlen(ENTRIES[i].name) == length && memcmp(ENTRIES[i].name, word, length) == 0)
            return &ENTRIES[i];
    return NULL;
}

/* Splits scheme://host[:port][/path]; an address of version 6 stands in brackets. */
static int read_url(struct options *options, const char *url)
{
    options->tls = strncmp(url, "https://", 8) == 0;
    if (!options->tls && strncmp(url, "http://", 7) != 0)
        return wrong("is no URL that begins with https:// or http://", url);
    const char *host = url + (options->tls ? 8 : 7);
    size_t length = strcspn(host, "/");
    const char *path = host[length] ? host + length : "/";
    const char *close = host[0] == '[' ? memchr(host, ']', length) : NULL;
    const char *colon = memchr(close ? close : host, ':', length - (size_t)(close ? close - host : 0));
    size_t name = colon ? (size_t)(colon - host) : length;
    size_t port = colon ? length - name - 1 : 0;
    if (name <= 2u * (close != NULL) || length >= OPTIONS_TEXT_MAX ||
        port >= sizeof(options->port) || strlen(path) >= OPTIONS_TEXT_MAX)
        return wrong("is no URL of a host, a port and a path", url);
    if (close)
        snprintf(options->host, sizeof(options->host), "%.*s", (int)(close - host - 1), host + 1);
    else
        snprintf(options->host, sizeof(options->host), "%.*s", (int)name, host);
    if (port)
        snprintf(options->port, sizeof(options->port), "%.*s", (int)port, colon + 1);
    else
        strcpy(options->port, options->tls ? "443" : "80");
    if (!options->authority[0])
        snprintf(options->authority, sizeof(options->authority), "%.*s", (int)length, host);
    strcpy(options->path, path);
    return 0;
}

/* What only all options together tell. */
static int check(struct options *options, const char *url)
{
    if (!url)
        return wrong("which URL?", "usage");
    int rc = read_url(options, url);
    if (rc)
        return rc;
    if (options->close_percent + options->reset_percent + options->black_hole_percent > 100)
        return wrong("are more than 100 together", "--close-, --reset- and --black-hole-mid-push");
    if (options->first && options->first[0] != '/')
        return wrong("wants a path that begins with a slash", "--first");
    if (options->jar && !options->cookies)
        return wrong("keeps cookies, and --cookies is off", "--jar");
    if (options->conns_per_client > 1 && !options->first)
        options->first = options->path;
    if (options->at_once)
        options->parallel = options->clients;
    if (!options->cookies)
        options->first = NULL;
    return 0;
}

int options_read(struct options *options, int argc, char **argv)
{
    const char *url = NULL;
    *options = (struct options){.clients = 1, .conns_per_client = 1, .visits = 1, .pages = 1, .parallel = 64,
                                .timeout_s = 10, .duration_s = 60, .seed = 1, .cookies = true,
                                .verify = true};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-') {
            if (url)
                return wrong("is one URL too many", word);
            url = word;
            continue;
        }
        size_t length = strcspn(word, "=");
        const struct option_entry *entry = find(word, length);
        if (!entry)
            return unknown(word);
        if (entry->kind == HELP) {
            help();
            return 1;
        }
        if (entry->kind == FLAG || entry->kind == FLAG_OFF) {
            if (word[length])
                return wrong("takes no value", entry->name);
            *(bool *)((char *)options + entry->offset) = entry->kind == FLAG;
            continue;
        }
        const char *value = word[length] ? word + length + 1 : argv[++i];
        if (!value)
            return wrong("wants a value", entry->name);
        int rc = set(options, entry, value);
        if (rc)
            return rc;
    }
    return check(options, url);
}
