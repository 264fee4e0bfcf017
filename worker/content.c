#include "worker/content_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

struct content *content_create(struct ring *ring, struct timers *timers, struct stats *stats,
                               size_t bytes_max)
{
    struct content *content = calloc(1, sizeof(*content));
    if (!content)
        return NULL;
    content->ring = ring;
    content->timers = timers;
    content->stats = stats;
    content->bytes_max = bytes_max;
    content->scan_timer.fired = content_scan_timer_fired;
    list_init(&content->present);
    list_init(&content->absent);
    list_init(&content->loads_queue);
    list_init(&content->answers);
    list_init(&content->reads_queue);
    list_init(&content->scans_ready);
    list_init(&content->scans_waiting);
    content->buckets = calloc(CONTENT_BUCKETS, sizeof(struct entry *));
    content->mime = mime_create(MIME_PATH);
    if (!content->buckets || !content->mime ||
        getrandom(content->key, sizeof(content->key), 0) != sizeof(content->key)) {
        content_destroy(content);
        return NULL;
    }
    return content;
}

static uint64_t hash_of(const struct content *content, int root_fd, struct span path)
{
    return identity_hash(content->key, path) + (uint64_t)root_fd;
}

static struct entry **bucket_of(struct content *content, uint64_t hash)
{
    return &content->buckets[hash & (CONTENT_BUCKETS - 1)];
}

/* Where the entry of a path is looked for first. Whoever makes paths that share a place gains no
 * more than that theirs are looked for by their hashes. */
static struct entry **recent_slot(struct content *content, int root_fd, struct span path)
{
    uint64_t mark = (span_mark(path) ^ (unsigned)root_fd) * UINT64_C(0xd6e8feb86659fd93);
    return &content->recent[mark >> 32 & (CONTENT_RECENT - 1)];
}

static bool is_of(const struct entry *entry, const struct config_route *route, struct span path)
{
    return entry->root_fd == route->root_fd && entry->symlinks == route->symlinks &&
           span_equal(span_make(entry->path, entry->path_length), path);
}

static struct entry *find_hashed(struct content *content, const struct config_route *route,
                                 struct span path, uint64_t hash)
{
    for (struct entry *entry = *bucket_of(content, hash); entry; entry = entry->next)
        if (entry->hash == hash && is_of(entry, route, path))
            return entry;
    return NULL;
}

/* `path` is not empty. */
static struct entry *find(struct content *content, const struct config_route *route,
                          struct span path)
{
    struct entry **slot = recent_slot(content, route->root_fd, path);
    if (*slot && is_of(*slot, route, path))
        return *slot;
    struct entry *entry =
        find_hashed(content, route, path, hash_of(content, route->root_fd, path));
    if (entry)
        *slot = entry;
    return entry;
}

static struct entry *add(struct content *content, const struct config_route *route,
                         struct span path)
{
    uint64_t hash = hash_of(content, route->root_fd, path);
    struct entry **bucket = bucket_of(content, hash);
    struct entry *entry = calloc(1, sizeof(*entry) + path.length + 1);
    if (!entry)
        return NULL;
    list_init(&entry->waiters);
    entry->hash = hash;
    entry->root_fd = route->root_fd;
    entry->symlinks = route->symlinks;
    entry->path_length = path.length;
    memcpy(entry->path, path.data, path.length);
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

/* Takes the entry out of its list and out of what is counted. */
static void uncount(struct content *content, struct entry *entry)
{
    if (!entry->recent.next)
        return;
    list_remove(&entry->recent);
    if (entry->outcome == CONTENT_FOUND)
        content->present_count--;
    else
        content->absent_count--;
    content->bytes -= entry->bytes;
    content->descriptors -= entry->descriptors;
}

static void count(struct content *content, struct entry *entry)
{
    bool found = entry->outcome == CONTENT_FOUND;
    entry->bytes = sizeof(*entry) + entry->path_length;
    entry->descriptors = 0;
    if (found) {
        entry->bytes += resource_bytes(entry->resource);
        entry->descriptors = resource_descriptors(entry->resource);
        content->present_count++;
    } else {
        content->absent_count++;
    }
    content->bytes += entry->bytes;
    content->descriptors += entry->descriptors;
    entry->turn = ++content->turn;
    list_insert((found ? &content->present : &content->absent)->next, &entry->recent);
}

/* Those used since the last one was put in are at the front already, if not in their order. */
static void touch(struct content *content, struct entry *entry)
{
    struct link *list =
        entry->outcome == CONTENT_FOUND ? &content->present : &content->absent;
    if (entry->turn == content->turn || !entry->recent.next)
        return;
    entry->turn = content->turn;
    list_remove(&entry->recent);
    list_insert(list->next, &entry->recent);
}

static void remove_entry(struct content *content, struct entry *entry)
{
    struct entry **at = bucket_of(content, entry->hash);
    struct entry **slot = recent_slot(content, entry->root_fd,
                                      span_make(entry->path, entry->path_length));
    assert(!entry->load && list_empty(&entry->waiters));
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    if (*slot == entry)
        *slot = NULL;
    uncount(content, entry);
    resource_release(entry->resource);
    free(entry);
}

/* Drops the least recently used entry of a list; false when all of them are being looked at. */
static bool drop_last(struct content *content, struct link *list)
{
    for (struct link *at = list->previous; at != list; at = at->previous) {
        struct entry *entry = LIST_OWNER(at, struct entry, recent);
        if (!entry->load) {
            remove_entry(content, entry);
            return true;
        }
    }
    return false;
}

static void trim(struct content *content)
{
    while (content->absent_count > CONTENT_ABSENT_MAX && drop_last(content, &content->absent))
        ;
    while ((content->bytes > content->bytes_max || content->present_count > CONTENT_ENTRIES_MAX ||
            content->descriptors > CONTENT_DESCRIPTORS_MAX) &&
           drop_last(content, &content->present))
        ;
}

static bool is_fresh(const struct entry *entry, uint64_t now_ms)
{
    return entry->known && now_ms - entry->checked_ms < CONTENT_FRESH_MS;
}

/* What no file can be called: a name that would begin at the system's root, or end at a NUL. */
static bool is_servable(const struct config_route *route, struct span path)
{
    return route->root_fd >= 0 && path.length > 0 && path.data[0] == '/' &&
           path.length <= CONTENT_PATH_MAX && !(path.length > 1 && path.data[1] == '/') &&
           span_find(path, '\0') == path.length;
}

void content_answer(struct content *content, struct content_lookup *lookup,
                    enum content_outcome outcome, struct resource *resource)
{
    assert(!content_waiting(lookup));
    if (resource && lookup->wants_assets && content_scan_wait(content, lookup, resource))
        return;
    lookup->found(lookup, outcome, resource);
}

/* Answers everyone in `waiters`, some of whom may cancel others meanwhile. */
static void answer_all(struct content *content, struct link *waiters,
                       enum content_outcome outcome, struct resource *resource)
{
    while (!list_empty(waiters)) {
        struct content_lookup *lookup = LIST_OWNER(waiters->next, struct content_lookup, link);
        list_remove(&lookup->link);
        content_answer(content, lookup, outcome, resource);
    }
}

static void find_stale(struct content *content, struct entry *entry, struct content_lookup *lookup,
                       uint64_t now_ms)
{
    struct link waiters;
    list_insert(&entry->waiters, &lookup->link);
    if (entry->load)
        return;
    touch(content, entry);
    if (content_load(content, entry, now_ms) == 0)
        return;
    list_take_all(&entry->waiters, &waiters);
    remove_entry(content, entry);
    answer_all(content, &waiters, CONTENT_FAILED, NULL);
}

void content_find(struct content *content, const struct config_site *site,
                  const struct config_route *route, struct span path, struct content_lookup *lookup)
{
    assert(lookup->found && !content_waiting(lookup));
    lookup->site = site;
    if (content->ending) {
        content_answer(content, lookup, CONTENT_FAILED, NULL);
        return;
    }
    uint64_t now_ms = timer_clock_coarse_ms();
    struct entry *entry = path.length ? find(content, route, path) : NULL;
    if (entry && is_fresh(entry, now_ms)) {
        struct resource *resource = entry->resource ? resource_hold(entry->resource) : NULL;
        stats_add(content->stats, COUNTER_cache_hits, 1);
        touch(content, entry);
        content_answer(content, lookup, entry->outcome, resource);
        resource_release(resource);
        return;
    }
    if (!entry && !is_servable(route, path)) { /* never in the table */
        content_answer(content, lookup, CONTENT_MISSING, NULL);
        return;
    }
    stats_add(content->stats, COUNTER_cache_misses, 1);
    if (!entry)
        entry = add(content, route, path);
    if (entry)
        find_stale(content, entry, lookup, now_ms);
    else
        content_answer(content, lookup, CONTENT_FAILED, NULL);
}

struct resource *content_find_fresh(struct content *content, const struct config_route *route,
                                    struct span path)
{
    struct entry *entry = path.length && !content->ending ? find(content, route, path) : NULL;
    if (!entry || !entry->resource || !is_fresh(entry, timer_clock_coarse_ms()))
        return NULL;
    stats_add(content->stats, COUNTER_cache_hits, 1);
    touch(content, entry);
    return entry->resource;
}

/* A version read anew may turn out to be the known one: then that stays, with its scans. */
static void take_version(struct entry *entry, struct load *load)
{
    if (!load->resource)
        return;
    entry->racy = load->racy;
    if (entry->resource && resource_same(entry->resource, load->resource)) {
        resource_release(load->resource);
    } else {
        resource_release(entry->resource);
        entry->resource = load->resource;
    }
    load->resource = NULL;
}

static void answer_next(struct load *load)
{
    struct content_lookup *lookup = LIST_OWNER(load->waiters.next, struct content_lookup, link);
    uint64_t began_ns = timer_clock_ns();
    list_remove(&lookup->link);
    content_answer(load->content, lookup, load->outcome, load->resource);
    load->content->answering_ns += timer_clock_ns() - began_ns;
}

static void load_destroy(struct load *load)
{
    resource_release(load->resource);
    free(load);
}

static bool time_is_left(const struct content *content)
{
    return content->ending || content->answering_ns < CONTENT_ANSWERS_NS;
}

/* A crowd may have waited for one file: the first is answered now, and the others while the wake-up has
 * time for it. */
static void answer_waiters(struct load *load)
{
    struct content *content = load->content;
    bool first = true;
    while (!list_empty(&load->waiters) && (first || time_is_left(content))) {
        first = false;
        answer_next(load);
    }
    if (list_empty(&load->waiters))
        load_destroy(load);
    else
        list_insert(&content->answers, &load->queue);
}

/* One waiter of each load in turn: who asks for another file does not wait for all of a crowd. Returns
 * true when some are left. */
static bool answer_in_turn(struct content *content)
{
    bool first = true;
    while (!list_empty(&content->answers) && (first || time_is_left(content))) {
        struct load *load = LIST_OWNER(content->answers.next, struct load, queue);
        list_remove(&load->queue);
        first = false;
        if (!list_empty(&load->waiters))
            answer_next(load);
        if (list_empty(&load->waiters)) /* some may have left */
            load_destroy(load);
        else
            list_insert(&content->answers, &load->queue);
    }
    return !list_empty(&content->answers);
}

bool content_work(struct content *content)
{
    bool more = answer_in_turn(content);
    content->answering_ns = 0;
    return content_scans_work(content) || more;
}

void content_loaded(struct load *load, enum content_outcome outcome)
{
    struct content *content = load->content;
    struct entry *entry = load->entry;
    list_take_all(&entry->waiters, &load->waiters);
    uncount(content, entry);
    entry->load = NULL;
    if (load->resource || load->siblings)
        entry->siblings_ms = load->began_ms;
    entry->checked_ms = load->began_ms;
    entry->known = true;
    entry->outcome = outcome;
    if (outcome == CONTENT_FOUND) {
        take_version(entry, load);
        load->resource = resource_hold(entry->resource);
    } else {
        resource_release(entry->resource);
        entry->resource = NULL;
        entry->racy = false;
    }
    load->entry = NULL;
    load->outcome = outcome;
    if (outcome == CONTENT_FAILED) {
        remove_entry(content, entry); /* what failed is tried again by the next look-up */
    } else {
        count(content, entry);
        trim(content);
    }
    answer_waiters(load);
}

void content_cancel(struct content_lookup *lookup)
{
    list_remove(&lookup->link);
}

struct resource *content_peek(struct content *content, const struct config_route *route,
                              struct span path)
{
    struct entry *entry = path.length ? find(content, route, path) : NULL;
    return entry && is_fresh(entry, timer_clock_coarse_ms()) ? entry->resource : NULL;
}

struct resource *content_last(struct content *content, const struct config_route *route,
                              struct span path)
{
    struct entry *entry = path.length ? find(content, route, path) : NULL;
    bool late = entry && entry->known && timer_clock_coarse_ms() - entry->checked_ms < CONTENT_LATE_MS;
    return late ? entry->resource : NULL;
}

bool content_quiesce(struct content *content)
{
    if (!content->ending) {
        content->ending = true;
        answer_in_turn(content);
        content_loads_end(content);
        content_reads_end(content);
        content_scans_end(content);
    }
    return content->loads_running == 0 && content->reads_running == 0 && content->scans_count == 0 &&
           list_empty(&content->answers);
}

void content_destroy(struct content *content)
{
    if (!content)
        return;
    assert(content->loads_running == 0 && content->reads_running == 0);
    assert(content->scans_count == 0 && content->loads_queued == 0);
    assert(!content->answers.next || list_empty(&content->answers));
    for (size_t i = 0; content->buckets && i < CONTENT_BUCKETS; i++)
        while (content->buckets[i])
            remove_entry(content, content->buckets[i]);
    free(content->buckets);
    mime_destroy(content->mime);
    free(content);
}
