#include "master/command.h"

#include "master/command_policy.h"
#include "master/explain.h"
#include "master/report.h"
#include "master/status.h"
#include "master/succession.h"
#include "master/supervisor.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void reload(struct supervisor *s, struct control_handle client)
{
    struct supervisor_waiting *waiting = &s->waiting_next;
    if (!s->serving || waiting->count == CONTROL_CLIENTS_MAX) {
        control_answer(&s->control, client, control_error("herald is not serving"));
        return;
    }
    waiting->clients[waiting->count++] = client;
    succession_reload(s);
}

static void stop(struct supervisor *s, struct control_handle client, const json_t *request)
{
    bool now = json_is_true(json_object_get(request, "now"));
    control_answer(&s->control, client, json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid()));
    supervisor_end(s, now ? ENDING_STOP : ENDING_DRAIN);
}

static void look_client_up(struct supervisor *s, struct control_handle asker, const char *author,
                           const json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    if (!s->serving) {
        control_answer(&s->control, asker, control_error("herald is not serving"));
        return;
    }
    if (what && strcmp(what, "forget") == 0)
        report_info("a client is to be forgotten, asked for by %s", author);
    clients_run(&s->clients, &s->loop, &s->control, asker, request, s->serving->config, &s->segment,
                &s->serving->user);
}

static void refuse(struct supervisor *s, struct control_handle client, const char *verb)
{
    static const char *const verbs[] = {"status", "reload", "stop", "client", "explain", NULL};
    const char *nearest = fault_nearest(verb, verbs);
    if (!nearest)
        nearest = fault_nearest(verb, COMMAND_POLICY_VERBS);
    control_answer(
        &s->control, client,
        nearest ? control_error("unknown verb \"%.40s\"; did you mean \"%s\"?", verb, nearest)
                : control_error("unknown verb \"%.40s\"", verb));
}

/* Whether the herald of another config is meant. One file may have several names. */
static bool is_for_another(const struct supervisor *s, const char *meant)
{
    struct stat ours, theirs;
    const char *own = s->serving ? s->serving->config->path : NULL;
    if (!meant || !s->serving || (own && strcmp(own, meant) == 0))
        return false;
    return !own || stat(own, &ours) < 0 || stat(meant, &theirs) < 0 ||
           ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino;
}

static json_t *another(const struct supervisor *s, const char *meant)
{
    const char *own = s->serving->config->path;
    if (!own)
        return control_error("the herald that answers runs without a config, not with %.400s; say "
                             "--root DIR or --demo if it is meant",
                             meant);
    return control_error("the herald that answers runs with %.400s, not with %.400s; two of them "
                         "need an admin.socket each",
                         own, meant);
}

void command_run(void *supervisor, struct control_handle client, const char *author,
                 const char *verb, json_t *request)
{
    struct supervisor *s = supervisor;
    const char *meant = json_string_value(json_object_get(request, CONTROL_CONFIG));
    if (is_for_another(s, meant)) {
        control_answer(&s->control, client, another(s, meant));
    } else if (strcmp(verb, "status") == 0) {
        bool experiment = json_is_true(json_object_get(request, "experiment"));
        control_answer(&s->control, client, status_make(s, experiment));
    } else if (strcmp(verb, "reload") == 0) {
        report_info("reload asked for by %s", author);
        reload(s, client);
    } else if (strcmp(verb, "stop") == 0) {
        report_info("stop asked for by %s", author);
        stop(s, client, request);
    } else if (strcmp(verb, "client") == 0) {
        look_client_up(s, client, author, request);
    } else if (strcmp(verb, "explain") == 0) {
        explain_run(s, client, request);
    } else if (!command_policy(s, client, author, verb, request)) {
        refuse(s, client, verb);
    }
}
