#include "master/stage.h"

#include "master/config/config_load.h"
#include "master/config/config_names.h"
#include "master/handoff/log.h"
#include "master/policy_child.h"
#include "master/report.h"
#include "master/resources.h"
#include "master/self_signed.h"
#include "worker/ring.h"
#include "worker/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READER "herald" /* reads a config that nothing is known of yet; else nobody does */

int stage_load(const struct config_source *source, struct config **config, struct fault *fault)
{
    switch (source->origin) {
    case CONFIG_FILE:
        return config_load(source->path, config, fault);
    case CONFIG_ROOT:
        return config_for_root(source->path, config, fault);
    case CONFIG_DEMO:
        return config_for_demo(config, fault);
    }
    return -EINVAL;
}

static void parts_finish(struct generation_parts *parts)
{
    config_destroy(parts->config);
    if (parts->access_fd >= 0)
        close(parts->access_fd);
    if (parts->error_fd >= 0)
        close(parts->error_fd);
    *parts = (struct generation_parts){.access_fd = -1, .error_fd = -1};
}

static void stage_fail(struct stage *stage, int rc, const struct fault *fault)
{
    parts_finish(&stage->parts);
    stage->step = STAGE_IDLE;
    stage->done(stage->context, rc, NULL, -1, fault);
}

bool stage_running(const struct stage *stage)
{
    return stage->step != STAGE_IDLE;
}

static int open_source(struct stage *stage, struct fault *fault)
{
    const struct config_source *source = stage->source;
    if (source->origin == CONFIG_FILE)
        return config_load_open(&stage->load, source->path, fault);
    return config_load_open_root(&stage->load, source->path, fault);
}

/* In the child: reads the config. */
static int read_body(int socket, void *context)
{
    const struct stage *stage = context;
    struct config *config = NULL;
    struct fault fault = {0};
    stage->shed(stage->context);
    if (config_load_read(&stage->load, &config, &fault) < 0)
        return helper_refuse(socket, &fault);
    config_names_look_up(config);
    config_names_warn(config);
    char *text = config_encode(config);
    if (!text) {
        fault_set(&fault, -ENOMEM, "config", 0, "out of memory");
        return helper_refuse(socket, &fault);
    }
    return helper_answer(socket, span_of(text), -1);
}

/* In the child: whether a worker could make its ring and its TLS context. */
static int certificates_body(int socket, void *context)
{
    struct stage *stage = context;
    struct config *config = stage->parts.config;
    struct fault fault = {0};
    char *made = NULL;
    size_t length = 0;
    int rc = ring_probe(&fault);
    if (rc == 0)
        rc = self_signed_make(config, &made, &length, &fault);
    if (rc == 0)
        rc = tls_check(config, &fault);
    return rc < 0 ? helper_refuse(socket, &fault)
                  : helper_answer(socket, span_make(made, length), -1);
}

/* In the child: the policies as every worker will see them. */
static int policies_body(int socket, void *context)
{
    struct stage *stage = context;
    struct policy_child child = {.config = stage->parts.config, .specs = stage->specs,
                                 .stored_fd = stage->stored_fd};
    stage->shed(stage->context);
    resources_forget_keys(stage->parts.config);
    return policy_child_answer(socket, &child);
}

static int stage_child(struct stage *stage, enum stage_step step, const char *task,
                       int (*body)(int socket, void *context), const int keep[3],
                       struct fault *fault)
{
    stage->step = step;
    return helper_start(&stage->helper, stage->loop, task, &stage->parts.user, keep, 3, body, stage,
                        fault);
}

static void policies_checked(struct stage *stage, struct span answer, int fd)
{
    struct generation_parts parts = stage->parts;
    struct fault files = {0};
    if (fd < 0)
        fault_set(&files, 0, NULL, 0, "%.*s", SPAN_PRINT(answer));
    stage->parts = (struct generation_parts){.access_fd = -1, .error_fd = -1};
    stage->step = STAGE_IDLE;
    stage->done(stage->context, 0, &parts, fd, &files);
}

static int certificates_checked(struct stage *stage, struct span answer, struct fault *fault)
{
    struct config *config = stage->parts.config;
    int rc = self_signed_take(config, answer, fault);
    stage->stored_fd = stage->stored(stage->context);
    const int keep[] = {config->policy.dir_fd, config->policy.stock_fd, stage->stored_fd};
    return rc < 0 ? rc
                  : stage_child(stage, STAGE_POLICIES, "checking the policies", policies_body, keep,
                                fault);
}

static int open_all(struct stage *stage, struct fault *fault)
{
    struct config *config = stage->parts.config;
    int rc = spawn_user_find(config->user, &stage->parts.user, fault);
    if (rc == 1)
        report_warn("user \"%s\" does not exist; workers run as \"%s\"", config->user,
                    stage->parts.user.name);
    if (rc >= 0)
        rc = resources_open(config, fault);
    if (rc == 0)
        rc = stage->admit(stage->context, config, fault);
    if (rc == 0)
        rc = resources_open_log(config, "log.access", config->log.access, &stage->parts.access_fd,
                                fault);
    if (rc == 0)
        rc = resources_open_log(config, "log.error", config->log.error, &stage->parts.error_fd,
                                fault);
    return rc;
}

static int config_was_read(struct stage *stage, struct span answer, struct fault *fault)
{
    static const int keep[] = {-1, -1, -1};
    int rc = config_decode(answer, &stage->parts.config, fault);
    if (rc == 0)
        rc = open_all(stage, fault);
    if (rc < 0)
        return rc;
    const struct config *config = stage->parts.config;
    for (size_t i = 0; i < config->warnings_count; i++)
        report_warn("%s", config->warnings[i]);
    return stage_child(stage, STAGE_CERTIFICATES, "checking the certificates", certificates_body,
                       keep, fault);
}

static void child_done(struct helper *helper, int rc, struct span answer, int fd,
                       const struct fault *fault)
{
    struct stage *stage = OWNER_OF(helper, struct stage, helper);
    struct fault own = *fault;
    if (stage->step == STAGE_READ)
        config_load_close(&stage->load);
    if (rc == 0 && stage->step == STAGE_POLICIES) {
        policies_checked(stage, answer, fd);
        return;
    }
    if (fd >= 0)
        close(fd); /* nothing asked for one */
    if (rc == 0)
        rc = stage->step == STAGE_READ ? config_was_read(stage, answer, &own)
                                       : certificates_checked(stage, answer, &own);
    if (rc < 0)
        stage_fail(stage, rc, &own);
}

void stage_begin(struct stage *stage, struct loop *loop, const struct config_source *source)
{
    struct fault fault = {0};
    assert(!stage_running(stage));
    stage->loop = loop;
    stage->source = source;
    stage->parts = (struct generation_parts){.access_fd = -1, .error_fd = -1};
    stage->stored_fd = -1;
    stage->helper.done = child_done;
    int rc = spawn_user_find(READER, &stage->parts.user, &fault);
    if (rc >= 0)
        rc = open_source(stage, &fault);
    if (rc == 0) {
        const int keep[] = {stage->load.file_fd, stage->load.directory_fd, -1};
        rc = stage_child(stage, STAGE_READ, "reading the config", read_body, keep, &fault);
        if (rc < 0)
            config_load_close(&stage->load);
    }
    if (rc < 0)
        stage_fail(stage, rc, &fault);
}

int64_t stage_step(struct stage *stage, int64_t now_ms)
{
    if (stage->helper.running)
        helper_tick(&stage->helper, now_ms);
    return stage->helper.running ? stage->helper.deadline_ms : LOOP_NEVER;
}

void stage_cancel(struct stage *stage)
{
    if (!stage_running(stage))
        return;
    if (stage->step == STAGE_READ)
        config_load_close(&stage->load);
    helper_cancel(&stage->helper);
    parts_finish(&stage->parts);
    stage->step = STAGE_IDLE;
}
