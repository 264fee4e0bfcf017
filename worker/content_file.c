/* A look at one file, step by step, each step an operation of the ring. A version that is known is
 * checked first (statx of its path); a new one is opened, its siblings after it, each with:
 *
 *   openat2 -> statx -> read ... -> statx     and from the start again if that differs
 */
#include "worker/content_parts.h"

#include "worker/http_date.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SUFFIX_MAX 8
#define INDEX "index.html"

/* How long after a write what was read isn't trusted for good. The time of a write is set when it
 * begins and only as fine as a tick, so what is read while or between two of them may be gone, or
 * half of it, without another time to show it. */
#define RACY_S 3

static void check_path(struct load *load);
static void open_path(struct load *load);
static void stat_before(struct load *load);
static void read_more(struct load *load);
static void stat_after(struct load *load);

static struct load *load_of(struct ring_op *op)
{
    return LIST_OWNER(op, struct load, op);
}

static struct representation *current(struct load *load)
{
    return &load->resource->codings[load->coding];
}

static enum content_outcome outcome_of(int error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case EINVAL:
        return CONTENT_MISSING;
    case EACCES:
    case EPERM:
    case ELOOP: /* a symbolic link */
    case EXDEV: /* one that leads out of the root */
    case ENXIO: /* a socket */
    case ENODEV:
        return CONTENT_FORBIDDEN;
    default:
        return CONTENT_FAILED;
    }
}

static void close_file(struct load *load)
{
    if (load->fd >= 0)
        close(load->fd); /* a read-only file: nothing to flush, nothing to wait for */
    load->fd = -1;
}

static void drop_resource(struct load *load)
{
    resource_release(load->resource);
    load->resource = NULL;
}

static void begin(struct load *load)
{
    load->began_ms = timer_clock_coarse_ms();
    load->content->loads_running++;
    if (load->checked)
        check_path(load);
    else
        open_path(load);
}

/* A load that fails at once comes back here from `begin`: the outer loop goes on then. */
static void start_queued(struct content *content)
{
    if (content->loads_starting)
        return;
    content->loads_starting = true;
    while (content->loads_running < CONTENT_LOADS_MAX && !list_empty(&content->loads_queue)) {
        struct load *load = LIST_OWNER(content->loads_queue.next, struct load, queue);
        list_remove(&load->queue);
        content->loads_queued--;
        begin(load);
    }
    content->loads_starting = false;
}

static void finish(struct load *load, enum content_outcome outcome)
{
    struct content *content = load->content;
    close_file(load);
    if (outcome != CONTENT_FOUND)
        drop_resource(load);
    content->loads_running--;
    start_queued(content);
    content_loaded(load, outcome);
}

/* What every completion asks first: true when the worker ends, and the load has ended with it. */
static bool ended(struct load *load)
{
    bool ending = load->content->ending;
    if (ending)
        finish(load, CONTENT_FAILED);
    return ending;
}

/* Everything anew, unless the file changes faster than it can be read. */
static void start_over(struct load *load)
{
    close_file(load);
    drop_resource(load);
    load->checked = NULL;
    load->racy = false;
    load->coding = CODING_IDENTITY;
    if (++load->attempts >= CONTENT_ATTEMPTS_MAX)
        finish(load, CONTENT_FAILED);
    else
        open_path(load);
}

static void complete(struct load *load)
{
    resource_complete(load->resource, load->content->mime,
                      span_make(load->name, load->name_length));
    finish(load, CONTENT_FOUND);
}

/* The file comes first, then each of its siblings; if there were any, the file must still be the
 * one they belong to. */
static void next_representation(struct load *load)
{
    load->coding = load->coding == CODING_IDENTITY ? 0 : load->coding + 1;
    if (load->coding != CODING_IDENTITY) {
        open_path(load);
        return;
    }
    for (unsigned i = 0; i < CODING_IDENTITY; i++)
        if (load->resource->codings[i].exists) {
            load->checked = load->resource;
            load->siblings = false;
            check_path(load);
            return;
        }
    complete(load);
}

/* The representation that is worked on can't be used: without a sibling the rest still can. */
static void give_up(struct load *load, enum content_outcome outcome)
{
    close_file(load);
    if (load->coding == CODING_IDENTITY) {
        finish(load, outcome);
        return;
    }
    struct representation *representation = current(load);
    free(representation->body);
    *representation = (struct representation){.coding = representation->coding, .fd = -1};
    next_representation(load);
}

/* The name of the representation that is worked on. */
static const char *current_name(struct load *load)
{
    strcpy(load->name + load->name_length, coding_suffix(load->coding));
    return load->name;
}

static bool usable_sibling(const struct resource *resource, const struct statx *stat)
{
    struct content_stamp stamp = stamp_of(stat);
    return S_ISREG(stat->stx_mode) &&
           !stamp_older(&stamp, &resource->codings[CODING_IDENTITY].stamp);
}

static bool unchanged(const struct load *load, int result)
{
    const struct representation *known = &load->checked->codings[load->coding];
    struct content_stamp stamp = stamp_of(&load->stat);
    if (load->coding != CODING_IDENTITY &&
        (result != 0 || !usable_sibling(load->checked, &load->stat)))
        return !known->exists;
    return result == 0 && known->exists && stamp_equal(&stamp, &known->stamp);
}

static void path_checked(struct ring_op *op, const struct ring_event *event)
{
    struct load *load = load_of(op);
    if (ended(load))
        return;
    if (!unchanged(load, event->result)) {
        start_over(load);
    } else if (load->siblings && load->coding != CODING_GZIP) {
        load->coding = load->coding == CODING_IDENTITY ? 0 : load->coding + 1;
        check_path(load);
    } else if (load->checked == load->resource) {
        complete(load);
    } else {
        finish(load, CONTENT_FOUND);
    }
}

/* Only tells whether a version still is the file's: what is served was opened beneath the root. */
static void check_path(struct load *load)
{
    static_assert(CODING_GZIP == CODING_IDENTITY - 1, "the last sibling that is looked at");
    load->op.done = path_checked;
    ring_statx(load->content->ring, &load->op, load->entry->root_fd, current_name(load),
               load->entry->symlinks ? 0 : AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &load->stat);
}

static void path_opened(struct ring_op *op, const struct ring_event *event)
{
    struct load *load = load_of(op);
    load->fd = event->result;
    if (ended(load))
        return;
    if (event->result >= 0) {
        stats_add(load->content->stats, COUNTER_files_opened, 1);
        stat_before(load);
    } else if (event->result == -EAGAIN && ++load->attempts < CONTENT_ATTEMPTS_MAX) {
        open_path(load); /* a rename raced with the look-up beneath the root (openat2(2)) */
    } else {
        give_up(load, outcome_of(event->result));
    }
}

/* O_NONBLOCK: a FIFO without a writer would take a kernel thread for ever. */
static void open_path(struct load *load)
{
    if (!load->resource)
        load->resource = resource_create(span_make(load->entry->path, load->entry->path_length));
    if (!load->resource) {
        finish(load, CONTENT_FAILED);
        return;
    }
    load->how = (struct open_how){
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                   (load->entry->symlinks ? 0 : RESOLVE_NO_SYMLINKS),
    };
    load->op.done = path_opened;
    ring_openat2(load->content->ring, &load->op, load->entry->root_fd, current_name(load),
                 &load->how);
}

static bool names_directory(const struct load *load)
{
    return load->entry->path[load->entry->path_length - 1] == '/';
}

/* The descriptor stays with the version. Its O_NONBLOCK has done its work: with it, reads on a file
 * system that can't tell what would block would block the loop. */
static void keep_open(struct load *load)
{
    struct representation *representation = current(load);
    representation->fd = load->fd;
    representation->exists = true;
    load->fd = -1;
    next_representation(load);
}

static void stat_known(struct ring_op *op, const struct ring_event *event)
{
    struct load *load = load_of(op);
    if (ended(load))
        return;
    struct representation *representation = current(load);
    if (event->result < 0) {
        give_up(load, CONTENT_FAILED);
    } else if (S_ISDIR(load->stat.stx_mode) && !names_directory(load)) {
        give_up(load, CONTENT_REDIRECT);
    } else if (!S_ISREG(load->stat.stx_mode)) {
        give_up(load, CONTENT_FORBIDDEN);
    } else if (load->coding != CODING_IDENTITY && !usable_sibling(load->resource, &load->stat)) {
        give_up(load, CONTENT_MISSING);
    } else if (fcntl(load->fd, F_SETFL, 0) < 0) {
        give_up(load, CONTENT_FAILED);
    } else {
        representation->stamp = stamp_of(&load->stat);
        representation->size = load->stat.stx_size;
        if (representation->size > CONTENT_SMALL_MAX)
            keep_open(load);
        else
            read_more(load);
    }
}

static void stat_before(struct load *load)
{
    load->read = 0;
    load->op.done = stat_known;
    ring_statx(load->content->ring, &load->op, load->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS,
               &load->stat);
}

static void bytes_read(struct ring_op *op, const struct ring_event *event)
{
    struct load *load = load_of(op);
    if (ended(load))
        return;
    if (event->result < 0) {
        give_up(load, CONTENT_FAILED);
        return;
    }
    load->read += (size_t)event->result;
    if (event->result == 0 || load->read >= current(load)->size)
        stat_after(load);
    else
        read_more(load);
}

/* One byte more than there should be is asked for: a file that grew shows at once. */
static void read_more(struct load *load)
{
    struct representation *representation = current(load);
    if (!representation->body)
        representation->body = malloc(representation->size + 1);
    if (!representation->body) {
        give_up(load, CONTENT_FAILED);
        return;
    }
    load->op.done = bytes_read;
    ring_read(load->content->ring, &load->op, load->fd, representation->body + load->read,
              representation->size + 1 - load->read, load->read);
}

static bool written_just_now(const struct content_stamp *stamp)
{
    int64_t age_s = http_date_seconds() - stamp->changed_s;
    return age_s < RACY_S && age_s > -RACY_S;
}

static void stat_confirmed(struct ring_op *op, const struct ring_event *event)
{
    struct load *load = load_of(op);
    if (ended(load))
        return;
    struct representation *representation = current(load);
    struct content_stamp stamp = stamp_of(&load->stat);
    if (event->result < 0) {
        give_up(load, CONTENT_FAILED);
    } else if (load->read != representation->size || !stamp_equal(&stamp, &representation->stamp)) {
        start_over(load);
    } else {
        load->racy |= written_just_now(&stamp);
        close_file(load);
        representation->exists = true;
        next_representation(load);
    }
}

static void stat_after(struct load *load)
{
    load->op.done = stat_confirmed;
    ring_statx(load->content->ring, &load->op, load->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS,
               &load->stat);
}

static struct load *load_create(struct content *content, struct entry *entry, uint64_t now_ms)
{
    struct span path = span_make(entry->path + 1, entry->path_length - 1);
    bool index = entry->path[entry->path_length - 1] == '/';
    size_t length = path.length + (index ? sizeof(INDEX) - 1 : 0);
    struct load *load = calloc(1, sizeof(*load) + length + SUFFIX_MAX);
    if (!load)
        return NULL;
    memcpy(load->name, path.data, path.length);
    if (index)
        memcpy(load->name + path.length, INDEX, sizeof(INDEX) - 1);
    load->name_length = length;
    load->content = content;
    load->entry = entry;
    load->coding = CODING_IDENTITY;
    load->fd = -1;
    load->siblings = now_ms - entry->siblings_ms >= CONTENT_SIBLINGS_MS;
    load->checked = entry->racy ? NULL : entry->resource;
    return load;
}

int content_load(struct content *content, struct entry *entry, uint64_t now_ms)
{
    assert(!entry->load && !content->ending);
    if (content->loads_queued >= CONTENT_QUEUE_MAX)
        return -EBUSY;
    struct load *load = load_create(content, entry, now_ms);
    if (!load)
        return -ENOMEM;
    entry->load = load;
    if (content->loads_running < CONTENT_LOADS_MAX) {
        begin(load);
    } else {
        content->loads_queued++;
        list_insert(&content->loads_queue, &load->queue);
    }
    return 0;
}

void content_loads_end(struct content *content)
{
    struct link queue;
    list_take_all(&content->loads_queue, &queue);
    content->loads_queued = 0;
    while (!list_empty(&queue)) {
        struct load *load = LIST_OWNER(queue.next, struct load, queue);
        list_remove(&load->queue);
        content_loaded(load, CONTENT_FAILED);
    }
}
