#include "master/clients.h"

#include "master/known.h"
#include "policy/identity.h"
#include "policy/push_table.h"
#include "worker/respond.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LISTED_BYTES_MAX (512 * 1024) /* of paths; the answer is one line of at most 1 MiB */

#define LOOK_CPU_S 25 /* two walks, KNOWN_WALK_MS each */

/* What is asked, and the child's work on it. */
struct look {
    const struct config *config;
    const struct segment *segment;
    const struct config_site *wanted; /* NULL: any */
    bool forget;
    char id[IDENTITY_TEXT_LENGTH + 1];
    uint64_t stored;
    struct push_table table;
};

/* One site's share of it. */
struct site_look {
    const struct look *look;
    const struct config_site *site;
    json_t *entries;
    uint64_t known, found, removed, sending;
    size_t bytes;
};

/* ---- one entry ---- */

static const char *state_of(const struct known_file *file, const struct push_entry *entry)
{
    uint16_t validator;
    if (entry->answer == PUSH_ELSEWHERE)
        return "sending";
    bool current = known_validator(file, &validator) == 0 && validator == entry->validator;
    if (entry->answer == PUSH_DECLINED)
        return current ? "declined" : "stale-declined";
    return current ? "held" : "stale";
}

/* An entry tells when it ends; when it began follows from how long the config lets it last. One with
 * less to go than probation lasts, of a longer life, is taken for one on probation. */
static void add_age(json_t *object, const struct known_file *file, const struct push_entry *entry)
{
    const uint32_t tick_s = (uint32_t)(PUSH_COARSE_TICK_MS / 1000);
    const struct config_site *site = file->site;
    struct resource resource = {.path = file->path};
    uint32_t ttl_s = respond_ttl(&resource, site);
    uint32_t life_s = ttl_s < site->remember_s ? ttl_s : site->remember_s;
    if (entry->answer == PUSH_DECLINED)
        life_s = site->declined_s;
    bool probation = life_s > PUSH_PROBATION_S && entry->left_s <= PUSH_PROBATION_S + tick_s;
    if (probation)
        life_s = PUSH_PROBATION_S;
    uint32_t age_s = life_s > entry->left_s ? life_s - entry->left_s : 0;
    json_object_set_new(object, "age_s", json_integer(age_s));
    json_object_set_new(object, "probation", json_boolean(probation));
}

static void list(struct site_look *at, const struct known_file *file, struct span path,
                 const struct push_entry *entry)
{
    char when[32];
    struct tm tm;
    time_t end = time(NULL) + entry->left_s;
    json_t *object = json_object();
    json_t *text = json_stringn(path.data, path.length);
    if (json_array_size(at->entries) >= CLIENTS_LISTED_MAX || at->bytes > LISTED_BYTES_MAX ||
        !text) {
        json_decref(object);
        json_decref(text);
        return;
    }
    at->bytes += path.length;
    gmtime_r(&end, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(object, "path", text);
    json_object_set_new(object, "state", json_string(state_of(file, entry)));
    if (entry->answer != PUSH_ELSEWHERE)
        add_age(object, file, entry);
    json_object_set_new(object, "left_s", json_integer(entry->left_s));
    json_object_set_new(object, "expires", json_string(when));
    json_array_append_new(at->entries, object);
}

/* ---- the walk ---- */

static struct push_key key_of(const struct site_look *at, struct span path)
{
    const uint8_t *key = at->look->segment->secrets->hash_key;
    return identity_push_key(key, at->look->stored,
                             identity_resource(key, span_of(at->site->names[0]), path));
}

static void look_up(struct site_look *at, const struct known_file *file, struct span path)
{
    struct push_entry entry;
    push_table_inspect(&at->look->table, key_of(at, path), &entry);
    if (entry.answer == PUSH_ABSENT)
        return;
    at->found++;
    if (entry.answer == PUSH_ELSEWHERE)
        at->sending++;
    if (!at->look->forget)
        list(at, file, path, &entry);
}

/* Entries are kept by the path as it was written: with what is no path character encoded, as
 * browsers write it, or plain, as policies may. */
static void on_known(void *context, const struct known_file *file)
{
    char encoded[3 * PATH_MAX];
    struct site_look *at = context;
    size_t length = respond_path_encode(file->path, encoded, sizeof(encoded));
    at->known++;
    if (length)
        look_up(at, file, span_make(encoded, length));
    if (!span_equal(file->path, span_make(encoded, length)))
        look_up(at, file, file->path);
}

/* Once it is known whose entries they are: claims in flight stay, and settle later. */
static void on_forgotten(void *context, const struct known_file *file)
{
    char encoded[3 * PATH_MAX];
    struct site_look *at = context;
    struct push_table table = at->look->table;
    size_t length = respond_path_encode(file->path, encoded, sizeof(encoded));
    if (length)
        at->removed += push_table_forget(&table, key_of(at, span_make(encoded, length)));
    if (!span_equal(file->path, span_make(encoded, length)))
        at->removed += push_table_forget(&table, key_of(at, file->path));
}

/* ---- the child ---- */

static int answer_show(int socket, const struct site_look *at, bool complete)
{
    json_t *answer = json_pack(
        "{s:b, s:s, s:s, s:I, s:b, s:I, s:O}", "ok", 1, "id", at->look->id, "site",
        at->site->names[0], "known", (json_int_t)at->known, "complete", (int)complete, "unlisted",
        (json_int_t)(at->found - json_array_size(at->entries)), "entries", at->entries);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    int status = text ? helper_answer(socket, span_of(text), -1) : 1;
    free(text);
    return status;
}

static int answer_forget(int socket, const struct site_look *at, bool complete)
{
    char text[512];
    json_t *answer = json_pack("{s:b, s:s, s:s, s:I, s:b, s:I, s:I}", "ok", 1, "id", at->look->id,
                               "site", at->site->names[0], "known", (json_int_t)at->known,
                               "complete", (int)complete, "removed", (json_int_t)at->removed,
                               "sending", (json_int_t)at->sending);
    size_t length = answer ? json_dumpb(answer, text, sizeof(text), JSON_COMPACT) : 0;
    json_decref(answer);
    if (length == 0 || length > sizeof(text))
        return 1;
    return helper_answer(socket, span_make(text, length), -1);
}

static int refuse(int socket, const struct look *look, const struct site_look *best, uint64_t known)
{
    struct fault fault;
    if (best && best->found)
        fault_set(&fault, -ENOENT, NULL, 0, "client %s is of the site %s, not of %s", look->id,
                  best->site->names[0], look->wanted->names[0]);
    else
        fault_set(&fault, -ENOENT, NULL, 0,
                  "nothing is known of client %s: none of the %llu resources of %s", look->id,
                  (unsigned long long)known, look->wanted ? look->wanted->names[0] : "all sites");
    return helper_refuse(socket, &fault);
}

/* A stored client is of one site: where its entries are. */
static int look_body(int socket, void *context)
{
    struct look *look = context;
    struct site_look *best = NULL;
    struct known known = {.complete = true};
    uint64_t count = 0;
    struct site_look *sites = calloc(look->config->sites_count, sizeof(*sites));
    if (!sites)
        return 1;
    for (size_t i = 0; i < look->config->sites_count; i++) {
        struct site_look *at = &sites[i];
        *at = (struct site_look){look, &look->config->sites[i], json_array(), 0, 0, 0, 0, 0};
        known.found = on_known;
        known.context = at;
        known_walk(&known, at->site);
        if (!look->wanted || at->site == look->wanted)
            count += at->known;
        if (at->found && (!best || at->found > best->found))
            best = at;
    }
    if (!best || (look->wanted && best->site != look->wanted))
        return refuse(socket, look, best, count);
    if (!look->forget)
        return answer_show(socket, best, known.complete);
    known = (struct known){.complete = known.complete};
    known.found = on_forgotten;
    known.context = best;
    known_walk(&known, best->site);
    return answer_forget(socket, best, known.complete);
}

/* ---- the master ---- */

static void answered(struct helper *helper, int rc, struct span answer, int fd,
                     const struct fault *fault)
{
    struct clients *clients = OWNER_OF(helper, struct clients, helper);
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    if (fd >= 0)
        close(fd);
    json_t *said = rc == 0 ? json_loadb(answer.data, answer.length, 0, NULL) : NULL;
    if (!said)
        said = control_error("%s", rc < 0 ? fault_text(fault, text, sizeof(text))
                                          : "the answer makes no sense");
    control_answer(clients->control, clients->asker, said);
}

static const struct config_site *site_named(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->sites_count; i++) {
        const struct config_site *site = &config->sites[i];
        for (size_t j = 0; j < site->names_count; j++)
            if (strcasecmp(site->names[j], name) == 0)
                return site;
        for (size_t j = 0; j < site->aliases_count; j++)
            if (strcasecmp(site->aliases[j], name) == 0)
                return site;
    }
    return NULL;
}

static json_t *no_site(const struct config *config, const char *name)
{
    const char *nearest = NULL;
    const char **names = calloc(config->sites_count + 1, sizeof(*names));
    for (size_t i = 0; names && i < config->sites_count; i++)
        names[i] = config->sites[i].names[0];
    if (names)
        nearest = fault_nearest(name, names);
    json_t *error =
        nearest ? control_error("there is no site \"%.200s\"; did you mean \"%s\"?", name, nearest)
                : control_error("there is no site \"%.200s\"", name);
    free(names);
    return error;
}

/* Reads the request. Returns NULL, or the answer that refuses it. */
static json_t *read_request(const json_t *request, const struct config *config,
                            const struct segment *segment, struct look *look)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    const char *id = json_string_value(json_object_get(request, "id"));
    const char *site = json_string_value(json_object_get(request, "site"));
    *look = (struct look){.config = config, .segment = segment};
    if (!what || (strcmp(what, "show") != 0 && strcmp(what, "forget") != 0))
        return control_error("\"do\" is \"show\" or \"forget\"");
    look->forget = *what == 'f';
    if (!id || !identity_client_parse(segment->secrets->log_key, span_of(id), &look->stored))
        return control_error("\"%.40s\" is no client id: these are the %d hexadecimal digits that "
                             "the access log has as \"client\"",
                             id ? id : "", IDENTITY_TEXT_LENGTH);
    memcpy(look->id, id, sizeof(look->id));
    if (site && !(look->wanted = site_named(config, site)))
        return no_site(config, site);
    if (push_table_attach(&look->table, segment->pushes, segment->header->pushes_bytes,
                          PUSH_TABLE_NO_OWNER) < 0)
        return control_error("the push table is out of range");
    return NULL;
}

static json_t *begin(struct clients *clients, struct loop *loop, struct look *look,
                     const struct spawn_user *user)
{
    const struct config *config = look->config;
    struct fault fault;
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    size_t count = 0, most = 0;
    for (size_t i = 0; i < config->sites_count; i++)
        most += config->sites[i].routes_count;
    int *keep = calloc(most + 1, sizeof(*keep));
    if (!keep)
        return control_error("out of memory");
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++)
            keep[count++] = config->sites[i].routes[j].root_fd;
    clients->helper.done = answered;
    clients->helper.cpu_s = LOOK_CPU_S;
    int rc = helper_start(&clients->helper, loop, "looking a client up", user, keep, count,
                          look_body, look, &fault);
    free(keep);
    return rc < 0 ? control_error("%s", fault_text(&fault, text, sizeof(text))) : NULL;
}

void clients_run(struct clients *clients, struct loop *loop, struct control *control,
                 struct control_handle client, const json_t *request, const struct config *config,
                 const struct segment *segment, const struct spawn_user *user)
{
    struct look look; /* the child has a copy of it, as of all else */
    json_t *refusal = read_request(request, config, segment, &look);
    if (!refusal && clients->helper.running)
        refusal = control_error("another client is being looked up; try again");
    if (!refusal) {
        clients->control = control;
        clients->asker = client;
        refusal = begin(clients, loop, &look, user);
    }
    if (refusal)
        control_answer(control, client, refusal);
}

int64_t clients_step(struct clients *clients, int64_t now_ms)
{
    helper_tick(&clients->helper, now_ms);
    return clients->helper.running ? clients->helper.deadline_ms : LOOP_NEVER;
}

void clients_cancel(struct clients *clients)
{
    helper_cancel(&clients->helper);
}
