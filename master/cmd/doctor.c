#include "master/cmd/cmd.h"
#include "master/config/config_load.h"
#include "master/spawn.h"
#include "worker/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define DESCRIPTORS_WANTED 4096
#define FINDINGS_MAX 16

/* GOOD: as it should be; POOR: herald runs, with less; BAD: herald can't run. */
enum verdict { GOOD, POOR, BAD };

struct finding {
    const char *subject;
    enum verdict verdict;
    char said[FAULT_WHAT_MAX + 2];
};

struct report {
    struct finding findings[FINDINGS_MAX];
    unsigned count;
};

static void found(struct report *report, const char *subject, enum verdict verdict,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

static void found(struct report *report, const char *subject, enum verdict verdict,
                  const char *format, ...)
{
    va_list arguments;
    if (report->count == FINDINGS_MAX)
        return;
    struct finding *finding = &report->findings[report->count++];
    finding->subject = subject;
    finding->verdict = verdict;
    va_start(arguments, format);
    vsnprintf(finding->said, sizeof(finding->said), format, arguments);
    va_end(arguments);
}

static void examine_kernel(struct report *report)
{
    struct utsname name;
    int major = 0;
    int minor = 0;
    uname(&name);
    if (sscanf(name.release, "%d.%d", &major, &minor) != 2)
        found(report, "kernel", POOR, "%s: its version can't be told; 6.1 or later is needed",
              name.release);
    else if (major > 6 || (major == 6 && minor >= 1))
        found(report, "kernel", GOOD, "%s", name.release);
    else
        found(report, "kernel", BAD, "%s is too old; 6.1 or later is needed", name.release);
}

/* In the child: what a worker may do is what counts, and it has no privileges. */
static int ring_body(int socket, void *context)
{
    struct fault fault = {0};
    char text[FAULT_WHAT_MAX + 2];
    (void)context;
    if (ring_probe(&fault) == 0)
        snprintf(text, sizeof(text), "o");
    else
        snprintf(text, sizeof(text), "f%s", fault.what);
    return write(socket, text, strlen(text)) < 0;
}

static ssize_t read_answer(int socket, char *text, size_t size)
{
    ssize_t n;
    fcntl(socket, F_SETFL, 0); /* to wait for it */
    do
        n = recv(socket, text, size - 1, 0);
    while (n < 0 && errno == EINTR);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

static void examine_ring(struct report *report)
{
    struct spawn_user user;
    struct spawned child;
    struct fault fault = {0};
    char text[FAULT_WHAT_MAX + 2];
    char how[SPAWN_TEXT_MAX];
    struct spawn_plan plan = {.name = "herald-doctor",
                              .user = &user,
                              .socket_type = SOCK_SEQPACKET,
                              .cpu_limit_s = 5,
                              .body = ring_body};
    if (spawn_user_find("herald", &user, &fault) < 0 || spawn(&plan, &child, &fault) < 0) {
        found(report, "io_uring", BAD, "cannot be tried: %s", fault.what);
        return;
    }
    ssize_t n = read_answer(child.socket, text, sizeof(text));
    spawn_reap(child.pid, true, how);
    close(child.socket);
    close(child.pidfd);
    if (n > 0 && text[0] == 'o')
        found(report, "io_uring", GOOD, "works, with SINGLE_ISSUER and DEFER_TASKRUN");
    else if (n > 1)
        found(report, "io_uring", BAD, "%s", text + 1);
    else
        found(report, "io_uring", BAD, "the process that tried it %s", how);
}

static void examine_memfd(struct report *report)
{
    int fd = memfd_create("herald-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        found(report, "memfd", BAD, "memfd_create: %s; a seccomp filter may forbid it",
              strerror(errno));
    else if (ftruncate(fd, 4096) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        found(report, "memfd", BAD, "can't be sealed: %s", strerror(errno));
    else
        found(report, "memfd", GOOD, "works, with seals");
    if (fd >= 0)
        close(fd);
}

static void examine_openat2(struct report *report)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));
    if (fd < 0)
        found(report, "openat2", BAD, "%s; a seccomp filter may forbid it", strerror(errno));
    else
        found(report, "openat2", GOOD, "works, beneath a root");
    if (fd >= 0)
        close((int)fd);
}

static void examine_descriptors(struct report *report)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= DESCRIPTORS_WANTED || geteuid() == 0)
        found(report, "descriptors", GOOD, "up to %llu per process",
              (unsigned long long)limit.rlim_max);
    else
        found(report, "descriptors", POOR,
              "only %llu per process, one for each connection; raise it: ulimit -Hn 65536, or "
              "LimitNOFILE= in the unit, or --ulimit nofile=65536 for a container",
              (unsigned long long)limit.rlim_max);
}

static void examine_types(struct report *report)
{
    if (access("/etc/mime.types", R_OK) == 0)
        found(report, "mime.types", GOOD, "/etc/mime.types");
    else
        found(report, "mime.types", BAD, "/etc/mime.types: %s (Debian package: media-types)",
              strerror(errno));
}

static void examine_user(struct report *report)
{
    if (geteuid() != 0)
        found(report, "user", GOOD, "workers run as uid %u, like herald itself", geteuid());
    else if (getpwnam("herald"))
        found(report, "user", GOOD, "workers run as herald");
    else if (getpwnam("nobody"))
        found(report, "user", POOR,
              "there is no user herald, so workers run as nobody; make one: "
              "useradd --system --shell /usr/sbin/nologin herald");
    else
        found(report, "user", BAD, "there is neither a user herald nor nobody");
}

static void examine_stock(struct report *report)
{
    if (access(HERALD_STOCK_DIR, R_OK | X_OK) == 0)
        found(report, "policies", GOOD, "%s", HERALD_STOCK_DIR);
    else
        found(report, "policies", BAD, "%s: %s; was herald installed?", HERALD_STOCK_DIR,
              strerror(errno));
}

static int print_json(const struct report *report, enum verdict worst)
{
    static const char *const names[] = {"good", "poor", "bad"};
    json_t *list = json_array();
    for (unsigned i = 0; i < report->count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "subject", report->findings[i].subject, "verdict",
                            names[report->findings[i].verdict], "said", report->findings[i].said));
    json_t *object = json_pack("{s:b, s:o}", "ok", worst != BAD, "findings", list);
    if (object && json_dumpf(object, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    json_decref(object);
    return worst == BAD ? CMD_FAILED : CMD_DONE;
}

static int print_text(const struct report *report, enum verdict worst)
{
    static const char *const marks[] = {"ok", "poor", "BAD"};
    for (unsigned i = 0; i < report->count; i++) {
        const struct finding *finding = &report->findings[i];
        printf("%-4s  %-12s %s\n", marks[finding->verdict], finding->subject, finding->said);
    }
    printf(worst == BAD ? "herald cannot run here.\n" : "herald can run here.\n");
    return worst == BAD ? CMD_FAILED : CMD_DONE;
}

int cmd_doctor(int argc, char **argv)
{
    bool json = false;
    struct report report = {0};
    enum verdict worst = GOOD;
    const struct cmd_option options[] = {{"--json", 0, NULL, "as JSON", NULL, &json}, {0}};
    const struct cmd_syntax syntax = {
        "doctor",
        "Says whether this machine has what herald needs, and if not, how to get it. Exits with 1\n"
        "when herald can't run here.",
        options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    examine_kernel(&report);
    examine_ring(&report);
    examine_memfd(&report);
    examine_openat2(&report);
    examine_descriptors(&report);
    examine_types(&report);
    examine_user(&report);
    examine_stock(&report);
    for (unsigned i = 0; i < report.count; i++)
        if (report.findings[i].verdict > worst)
            worst = report.findings[i].verdict;
    return json ? print_json(&report, worst) : print_text(&report, worst);
}
