#include "master/policy_task.h"

#include "master/policy_child.h"
#include "master/report.h"
#include "master/resources.h"
#include "master/succession.h"
#include "master/supervisor.h"
#include "worker/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

void policy_tasks_init(struct policy_tasks *tasks, struct supervisor *supervisor)
{
    memset(tasks, 0, sizeof(*tasks));
    tasks->supervisor = supervisor;
    tasks->folder_fd = tasks->file_fd = -1;
    tasks->files.fd = tasks->files_ready.fd = -1;
}

int policy_tasks_add(struct policy_tasks *tasks, const struct policy_task *task)
{
    if (tasks->count == POLICY_TASKS_MAX)
        return -EBUSY;
    struct policy_task *own = &tasks->queue[tasks->count++];
    *own = *task;
    own->began_us = timer_clock_us();
    return 0;
}

/* ---- the files ---- */

static void files_changed(struct watch *watch, uint32_t events)
{
    struct policy_tasks *tasks = OWNER_OF(watch, struct policy_tasks, files_ready);
    (void)events;
    policy_watch_read(&tasks->files, loop_now_ms());
}

static void stop_watching(struct policy_tasks *tasks)
{
    if (tasks->files.fd < 0)
        return;
    loop_remove(&tasks->supervisor->loop, &tasks->files_ready);
    tasks->files_ready.fd = -1;
    policy_watch_close(&tasks->files);
}

void policy_tasks_watch(struct policy_tasks *tasks, const char *dir)
{
    struct fault fault;
    if (tasks->files.fd >= 0 && dir && strcmp(tasks->files.dir, dir) == 0)
        return;
    stop_watching(tasks);
    if (!dir)
        return;
    int rc = policy_watch_open(&tasks->files, dir, &fault);
    if (rc == 0) {
        tasks->files_ready = (struct watch){.fd = tasks->files.fd, .ready = files_changed};
        rc = loop_add(&tasks->supervisor->loop, &tasks->files_ready, EPOLLIN);
        if (rc < 0) {
            fault_set(&fault, rc, dir, 0, "cannot be watched: %s", strerror(-rc));
            policy_watch_close(&tasks->files);
        }
    }
    if (rc < 0)
        report_fault("changes of the policy files go unnoticed", &fault);
}

static void look_at_files(struct policy_tasks *tasks, int64_t now_ms)
{
    static const struct policy_task look = {
        .kind = POLICY_LOOK, .author = "watch", .message = "the files changed"};
    if (policy_watch_due(&tasks->files, now_ms) && tasks->supervisor->serving)
        policy_tasks_add(tasks, &look);
}

/* ---- its end ---- */

static void close_both(struct policy_tasks *tasks)
{
    if (tasks->folder_fd >= 0)
        close(tasks->folder_fd);
    if (tasks->file_fd >= 0)
        close(tasks->file_fd);
    tasks->folder_fd = tasks->file_fd = -1;
}

static void task_over(struct policy_tasks *tasks, json_t *answer)
{
    struct supervisor *s = tasks->supervisor;
    struct policy_task task = tasks->queue[0];
    close_both(tasks);
    tasks->running = false;
    tasks->shipping = 0;
    s->desk.shipping = 0;
    tasks->count--;
    memmove(&tasks->queue[0], &tasks->queue[1], tasks->count * sizeof(tasks->queue[0]));
    if (s->desk.is_open)
        desk_trim(&s->desk);
    if (task.answers)
        control_answer(&s->control, task.client, answer);
    else
        json_decref(answer);
}

/* For a log that has one line for everything. */
static void on_one_line(char *text)
{
    for (; (text = strchr(text, '\n')); text++)
        *text = ' ';
}

static void task_failed(struct policy_tasks *tasks, const struct fault *fault)
{
    const struct policy_task *task = &tasks->queue[0];
    struct policy_desk *desk = &tasks->supervisor->desk;
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    fault_text(fault, text, sizeof(text));
    json_t *answer = control_error("%s", text);
    on_one_line(text);
    if (task->kind == POLICY_LOOK) {
        desk_files_are_bad(desk, text);
        if (tasks->supervisor->serving && tasks->supervisor->serving->config->policy.watch)
            report_error("the policy files are bad, v%u stays active: %s", desk->store.active,
                         text);
    } else {
        report_warn("policies: what %s asked for was refused: %s", task->author, text);
    }
    task_over(tasks, answer);
}

/* The version that was active before the one that is, whatever it is thought of now; 0: none. */
static uint32_t left_version(const struct policy_store *store)
{
    const struct stored_version *last = NULL;
    for (unsigned i = 0; i < store->count; i++) {
        const struct stored_version *version = &store->versions[i];
        if (version->number != store->active && version->used &&
            (!last || version->used > last->used))
            last = version;
    }
    return last ? last->number : 0;
}

static json_t *answer_of(struct policy_tasks *tasks, uint32_t number, unsigned have, unsigned of)
{
    const struct policy_task *task = &tasks->queue[0];
    const struct policy_store *store = &tasks->supervisor->desk.store;
    return json_pack("{s:b, s:i, s:b, s:b, s:i, s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "ok",
                     1, "version", (int)number, "new", tasks->is_new, "active",
                     number == store->active, "workers", (int)have, "of", (int)of, "us",
                     (json_int_t)(timer_clock_us() - task->began_us), "previous",
                     (int)policy_store_previous(store), "left", (int)left_version(store), "canary",
                     (int)store->canary, "permille", (int)store->permille, "shadow",
                     (int)store->shadow, "specs", (int)tasks->specs, "cases", (int)tasks->cases);
}

/* ---- doing it ---- */

static int use(struct policy_desk *desk, const struct policy_task *task, uint32_t number,
               struct fault *fault)
{
    struct policy_store *store = &desk->store;
    char what[STORE_TEXT_MAX];
    uint32_t before = store->active;
    if (number == before)
        return 0;
    struct stored_version *left = policy_store_find(store, before);
    bool back = task->kind == POLICY_ROLLBACK;
    snprintf(what, sizeof(what), back ? "v%u active again, rolled back from v%u" : "v%u active",
             number, before);
    if (back && left) { /* before the state is saved with the rest */
        left->standing = STORED_ROLLED_BACK;
        snprintf(left->why, sizeof(left->why), "by %s", task->author);
    }
    int rc = desk_use(desk, number, task->author, what, fault);
    if (rc < 0 && back && left) {
        left->standing = STORED_GOOD;
        left->why[0] = '\0';
    }
    return rc;
}

/* All workers have the version. */
static void apply(struct policy_tasks *tasks, uint32_t number, unsigned have, unsigned of)
{
    struct policy_desk *desk = &tasks->supervisor->desk;
    const struct policy_task *task = &tasks->queue[0];
    struct fault fault;
    int rc = 0;
    switch (task->kind) {
    case POLICY_LOAD:
    case POLICY_LOOK:
        if (task->use)
            rc = use(desk, task, number, &fault);
        else if (number != desk->store.active)
            desk->loaded = number;
        break;
    case POLICY_USE:
    case POLICY_ROLLBACK:
        rc = use(desk, task, number, &fault);
        break;
    case POLICY_CANARY:
        rc = desk_canary(desk, number, task->permille, task->author, &fault);
        break;
    case POLICY_SHADOW:
        rc = desk_shadow(desk, number, task->author, &fault);
        break;
    }
    if (rc < 0)
        task_failed(tasks, &fault);
    else
        task_over(tasks, answer_of(tasks, number, have, of));
}

static void check_shipping(struct policy_tasks *tasks)
{
    unsigned have, of;
    struct fault fault;
    uint32_t number = tasks->shipping;
    int rc = desk_shipped(&tasks->supervisor->desk, number, &have, &of, &fault);
    if (rc == 0 && tasks->now_ms - tasks->shipped_ms >= POLICY_TASK_MS)
        rc = fault_set(&fault, -ETIMEDOUT, NULL, 0,
                       "v%u: %u of %u workers took it within %d s; nothing was changed", number,
                       have, of, POLICY_TASK_MS / 1000);
    if (rc < 0)
        task_failed(tasks, &fault);
    else if (rc > 0)
        apply(tasks, number, have, of);
}

static void ship(struct policy_tasks *tasks, uint32_t number)
{
    struct fault fault;
    if (desk_ship(&tasks->supervisor->desk, number, &fault) < 0) {
        task_failed(tasks, &fault);
        return;
    }
    tasks->shipping = number;
    tasks->shipped_ms = loop_now_ms();
}

/* ---- loading ---- */

static int load_body(int socket, void *context)
{
    struct policy_tasks *tasks = context;
    struct supervisor *s = tasks->supervisor;
    struct config config = *s->serving->config;
    struct bundle_file one = {.name = tasks->file_name, .fd = tasks->file_fd};
    if (tasks->folder_fd >= 0)
        config.policy.dir_fd = tasks->folder_fd;
    if (tasks->folder_fd >= 0 && tasks->queue[0].path[0])
        config.policy.dir = tasks->queue[0].path;
    struct policy_child child = {.config = &config,
                                 .one = tasks->file_fd >= 0 ? &one : NULL,
                                 .specs = true,
                                 .stored_fd = -1};
    succession_shed(s);
    return policy_child_answer(socket, &child);
}

/* What a file given by its path is called among the policies: its path below policy.dir, or its own
 * name when it lies elsewhere. */
static void name_file(const struct config *config, const char *path, char *name)
{
    const char *dir = config->policy.dir;
    size_t length = dir ? strlen(dir) : 0;
    const char *last = strrchr(path, '/');
    if (length && strncmp(path, dir, length) == 0 && path[length] == '/')
        snprintf(name, PATH_MAX, "%s", path + length + 1);
    else
        snprintf(name, PATH_MAX, "%s", last ? last + 1 : path);
}

static int open_path(struct policy_tasks *tasks, struct fault *fault)
{
    const char *path = tasks->queue[0].path;
    const struct config *config = tasks->supervisor->serving->config;
    struct stat st;
    if (!path[0] && config->policy.dir) { /* it may be another one by now */
        tasks->folder_fd = open(config->policy.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return tasks->folder_fd >= 0 ? 0
                                     : fault_set(fault, -errno, config->policy.dir, 0,
                                                 "cannot be opened: %s", strerror(errno));
    }
    if (!path[0])
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fault_set(fault, -errno, path, 0, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        tasks->folder_fd = fd;
        return 0;
    }
    tasks->file_fd = fd;
    name_file(config, path, tasks->file_name);
    return 0;
}

static void take_bundle(struct policy_tasks *tasks, int fd)
{
    struct policy_desk *desk = &tasks->supervisor->desk;
    const struct policy_task *task = &tasks->queue[0];
    uint32_t next = desk->store.next;
    struct fault fault;
    int64_t number = desk_put(desk, fd, task->author, task->message, &fault);
    tasks->is_new = number == (int64_t)next;
    const struct stored_version *version =
        number > 0 ? policy_store_find(&desk->store, (uint32_t)number) : NULL;
    close(fd);
    if (!version) {
        task_failed(tasks, &fault);
        return;
    }
    if (!task->path[0]) {
        memcpy(desk->files_id, version->id, sizeof(desk->files_id));
        memcpy(desk->store.seen, version->id, sizeof(desk->store.seen));
        desk->files_fault[0] = '\0';
        if (policy_store_save(&desk->store, &fault) < 0)
            report_fault("the policies' state is not kept", &fault);
    }
    ship(tasks, (uint32_t)number);
}

/* Looks whether the files differ from what runs, and takes them up with policy.watch. */
static void take_look(struct policy_tasks *tasks, int fd)
{
    struct supervisor *s = tasks->supervisor;
    struct policy_desk *desk = &s->desk;
    struct policy_task *task = &tasks->queue[0];
    char id[STORE_ID_LENGTH + 1];
    if (policy_store_id(fd, id) < 0)
        id[0] = '\0';
    bool changed = strcmp(id, desk->store.seen) != 0;
    memcpy(desk->files_id, id, sizeof(desk->files_id));
    desk->files_fault[0] = '\0';
    const struct stored_version *same = policy_store_find_id(&desk->store, id);
    bool watched = s->serving->config->policy.watch && changed;
    if (watched && same && same->standing != STORED_GOOD)
        report_warn("the policy files are those of v%u, which was taken out of use; v%u stays "
                    "active (herald policy use v%u)",
                    same->number, desk->store.active, same->number);
    task->use = watched && (!same || same->standing == STORED_GOOD);
    if (task->use) {
        take_bundle(tasks, fd);
        return;
    }
    close(fd);
    task_over(tasks, NULL);
}

static void load_done(struct helper *helper, int rc, struct span answer, int fd,
                      const struct fault *fault)
{
    struct policy_tasks *tasks = OWNER_OF(helper, struct policy_tasks, helper);
    struct fault none;
    char counts[32];
    snprintf(counts, sizeof(counts), "%.*s", SPAN_PRINT(answer));
    if (sscanf(counts, "%u %u", &tasks->specs, &tasks->cases) != 2)
        tasks->specs = tasks->cases = 0;
    if (rc == 0 && fd < 0)
        rc = fault_set(&none, -EPROTO, "policies", 0, "no bundle came");
    if (rc == 0 && !tasks->supervisor->serving)
        rc = fault_set(&none, -ESHUTDOWN, NULL, 0, "herald is stopping");
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        task_failed(tasks, fault->what[0] ? fault : &none);
    } else if (tasks->queue[0].kind == POLICY_LOOK) {
        take_look(tasks, fd);
    } else {
        take_bundle(tasks, fd);
    }
}

static void begin_load(struct policy_tasks *tasks)
{
    struct supervisor *s = tasks->supervisor;
    const struct config *config = s->serving->config;
    struct fault fault;
    int rc = open_path(tasks, &fault);
    if (rc == 0) {
        const int keep[] = {config->policy.dir_fd, config->policy.stock_fd, tasks->folder_fd,
                            tasks->file_fd};
        tasks->helper.done = load_done;
        rc = helper_start(&tasks->helper, &s->loop, "loading the policies", &s->serving->user, keep,
                          4, load_body, tasks, &fault);
    }
    if (rc < 0)
        task_failed(tasks, &fault);
}

/* ---- the queue ---- */

static void begin(struct policy_tasks *tasks)
{
    struct supervisor *s = tasks->supervisor;
    struct policy_task *task = &tasks->queue[0];
    struct fault fault;
    tasks->running = true;
    tasks->is_new = false;
    tasks->specs = tasks->cases = 0;
    if (!s->serving || !s->desk.is_open) {
        fault_set(&fault, -ESHUTDOWN, NULL, 0, "herald is not serving");
        task_failed(tasks, &fault);
        return;
    }
    if (task->kind == POLICY_LOAD || task->kind == POLICY_LOOK) {
        begin_load(tasks);
        return;
    }
    if (task->kind == POLICY_ROLLBACK) {
        task->number = policy_store_previous(&s->desk.store);
        if (!task->number) {
            fault_set(&fault, -ENOENT, NULL, 0, "there is no earlier version that is good");
            task_failed(tasks, &fault);
            return;
        }
    }
    if (task->number)
        ship(tasks, task->number);
    else
        apply(tasks, 0, 0, 0);
}

int64_t policy_tasks_step(struct policy_tasks *tasks, int64_t now_ms)
{
    int64_t files_ms;
    tasks->now_ms = now_ms;
    look_at_files(tasks, now_ms);
    files_ms = tasks->files.fd < 0 ? LOOP_NEVER : policy_watch_next(&tasks->files);
    if (tasks->helper.running)
        helper_tick(&tasks->helper, now_ms);
    if (tasks->count && !tasks->running)
        begin(tasks);
    if (tasks->shipping)
        check_shipping(tasks);
    if (tasks->count && !tasks->running)
        return now_ms; /* the next one */
    int64_t own_ms = tasks->shipping         ? tasks->shipped_ms + POLICY_TASK_MS
                     : tasks->helper.running ? tasks->helper.deadline_ms
                                             : LOOP_NEVER;
    return own_ms < files_ms ? own_ms : files_ms;
}

void policy_tasks_cancel(struct policy_tasks *tasks)
{
    helper_cancel(&tasks->helper);
    stop_watching(tasks);
    while (tasks->count)
        task_over(tasks, control_error("herald is stopping"));
}
