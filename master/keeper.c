#include "master/keeper.h"

#include "master/report.h"
#include "master/slots.h"
#include "policy/learned.h"
#include "policy/names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAVE_CPU_S 120
#define SAVE_WALL_MS 240000
#define NOT_SAVED "the push table or what was learned is not saved"

static int save(const struct keeper *keeper, struct fault *fault)
{
    int rc = segment_save(keeper->segment, SEGMENT_PART_PUSHES, keeper->path, fault);
    return rc < 0 ? rc
                  : segment_save(keeper->segment, SEGMENT_PART_LEARNED, keeper->learned, fault);
}

static int save_body(int socket, void *context)
{
    const struct keeper *keeper = context;
    struct fault fault = {0};
    if (save(keeper, &fault) < 0)
        return helper_refuse(socket, &fault);
    return helper_answer(socket, (struct span){NULL, 0}, -1);
}

static void saved(struct helper *helper, int rc, struct span answer, int fd,
                  const struct fault *fault)
{
    (void)helper;
    (void)answer;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        report_fault(NOT_SAVED, fault);
}

/* A large table takes a while to write; a child does it from its own view of the memory. */
static void save_begin(struct keeper *keeper)
{
    static const struct spawn_user same = {.name = "herald"};
    struct fault fault;
    keeper->helper.cpu_s = SAVE_CPU_S;
    keeper->helper.wall_ms = SAVE_WALL_MS;
    keeper->helper.done = saved;
    if (helper_start(&keeper->helper, keeper->loop, "saving the push table and what was learned",
                     &same, &keeper->segment->fd, 1, save_body, keeper, &fault) < 0)
        report_fault(NOT_SAVED, &fault);
}

static void table_load(struct keeper *keeper)
{
    struct fault fault;
    uint64_t boottime_s;
    uint64_t age_s;
    int rc = segment_load(keeper->segment, SEGMENT_PART_PUSHES, keeper->path, &boottime_s, &age_s,
                          &fault);
    if (rc < 0) {
        report_fault("the push table starts empty", &fault);
    } else if (rc == 1) {
        uint64_t kept = slots_rebase(keeper->segment, boottime_s, age_s);
        report_info("loaded %llu entries of the push table, saved %llu s ago",
                    (unsigned long long)kept, (unsigned long long)age_s);
    }
}

static void learned_load(struct keeper *keeper)
{
    const struct segment *segment = keeper->segment;
    struct names names;
    struct learned learned;
    struct fault fault;
    uint64_t boottime_s, age_s;
    uint64_t now_s = (uint64_t)loop_now_ms() / 1000;
    int rc = segment_load(keeper->segment, SEGMENT_PART_LEARNED, keeper->learned, &boottime_s,
                          &age_s, &fault);
    if (rc < 0)
        report_fault("learned sets start empty", &fault);
    if (rc != 1 || names_attach(&names, segment->names, segment->header->names_bytes) < 0 ||
        learned_attach(&learned, segment->learned, SEGMENT_LEARNED_BYTES) < 0)
        return;
    names_rebase(&names, boottime_s, age_s, now_s);
    learned_rebase(&learned, boottime_s, age_s, now_s);
    struct learned_load load = learned_walk(&learned);
    report_info("loaded what was learned of %llu pages, saved %llu s ago",
                (unsigned long long)load.pages, (unsigned long long)age_s);
}

int keeper_init(struct keeper *keeper, struct loop *loop, struct segment *segment,
                const char *state_dir, int64_t now_ms, struct fault *fault)
{
    char keys[PATH_MAX];
    char table[PATH_MAX];
    char learned[PATH_MAX];
    if (snprintf(keys, sizeof(keys), "%s/keys", state_dir) >= (int)sizeof(keys) ||
        snprintf(table, sizeof(table), "%s/push-table", state_dir) >= (int)sizeof(table) ||
        snprintf(learned, sizeof(learned), "%s/learned", state_dir) >= (int)sizeof(learned))
        return fault_set(fault, -ENAMETOOLONG, state_dir, 0, "%s", strerror(ENAMETOOLONG));
    int rc = segment_keep_secrets(segment, keys, fault);
    if (rc < 0)
        return rc;
    keeper->loop = loop;
    keeper->segment = segment;
    keeper->save_ms = now_ms + KEEPER_SAVE_MS;
    keeper->path = strdup(table);
    keeper->learned = strdup(learned);
    if (!keeper->path || !keeper->learned)
        return fault_set(fault, -ENOMEM, "state", 0, "out of memory");
    table_load(keeper);
    learned_load(keeper);
    return 0;
}

int64_t keeper_step(struct keeper *keeper, int64_t now_ms)
{
    if (!keeper->path)
        return LOOP_NEVER;
    helper_tick(&keeper->helper, now_ms);
    if (now_ms >= keeper->save_ms) {
        keeper->save_ms = now_ms + KEEPER_SAVE_MS;
        if (!keeper->helper.running)
            save_begin(keeper);
    }
    bool helper_first = keeper->helper.running && keeper->helper.deadline_ms < keeper->save_ms;
    return helper_first ? keeper->helper.deadline_ms : keeper->save_ms;
}

void keeper_finish(struct keeper *keeper)
{
    struct fault fault;
    helper_cancel(&keeper->helper);
    if (keeper->path && save(keeper, &fault) < 0)
        report_fault(NOT_SAVED, &fault);
    keeper_abandon(keeper);
}

void keeper_abandon(struct keeper *keeper)
{
    helper_cancel(&keeper->helper);
    free(keeper->path);
    free(keeper->learned);
    keeper->path = keeper->learned = NULL;
}
