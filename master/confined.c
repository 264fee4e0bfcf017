#include "master/confined.h"

#include "worker/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 64 /* that the child may have open */
#define END_MS 2000        /* how long a child that has written all may take to end */
#define NOBODY 65534       /* where the user database has neither name */

/* The last byte of what the child writes: the result is whole, or an errno (an int) is before it.
 */
enum ending { ENDING_WHOLE = 'w', ENDING_CONFINED = 'c' };
#define ENDING_BYTES (sizeof(int) + 1)

struct identity {
    bool change; /* we are root */
    uid_t user;
    gid_t group;
};

/* ---- in the child ---- */

static int set_limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    return setrlimit((__rlimit_resource_t)resource, &limit) < 0 ? -errno : 0;
}

/* Closes what is not kept. kept[] is in ascending order. */
static void close_others(const int *kept, size_t count)
{
    unsigned from = 3;
    for (size_t i = 0; i < count; i++) {
        if (kept[i] < 3)
            continue;
        if ((unsigned)kept[i] > from)
            close_range(from, (unsigned)kept[i] - 1, 0);
        from = (unsigned)kept[i] + 1;
    }
    close_range(from, UINT32_MAX, 0);
}

static int ascending(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static void keep_descriptors(const struct confined *confined, int out)
{
    int kept[CONFINED_KEEP_MAX + 1];
    size_t count = 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
    }
    kept[count++] = out;
    for (size_t i = 0; i < confined->keep_count; i++)
        kept[count++] = confined->keep[i];
    qsort(kept, count, sizeof(*kept), ascending);
    close_others(kept, count);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int drop_privileges(const struct identity *identity)
{
    if (!identity->change)
        return 0;
    if (setgroups(0, NULL) < 0 ||
        setresgid(identity->group, identity->group, identity->group) < 0 ||
        setresuid(identity->user, identity->user, identity->user) < 0)
        return -errno;
    return 0;
}

static int confine(const struct confined *confined, const struct identity *identity, pid_t parent)
{
    int rc = set_limit(RLIMIT_CPU, confined->cpu_s, confined->cpu_s + 1);
    if (rc == 0)
        rc = set_limit(RLIMIT_CORE, 0, 0);
    if (rc == 0)
        rc = set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, DESCRIPTORS_MAX);
    if (rc == 0)
        rc = drop_privileges(identity);
    if (rc == 0)
        rc = set_limit(RLIMIT_NPROC, 0, 0);
    if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        rc = -errno;
    /* A change of user clears the death signal, so it comes last. */
    if (rc == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        rc = -errno;
    if (getppid() != parent)
        _exit(1);
    return rc;
}

int confined_write(int out, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t written = write(out, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

static void child(const struct confined *confined, const struct identity *identity, int out,
                  pid_t parent)
{
    char ending = ENDING_WHOLE;
    reset_signals();
    keep_descriptors(confined, out);
    int rc = confine(confined, identity, parent);
    if (rc == 0)
        confined->run(confined->argument, out);
    else
        ending = ENDING_CONFINED;
    if (rc < 0)
        confined_write(out, &rc, sizeof(rc));
    _exit(confined_write(out, &ending, 1) == 0 ? 0 : 1);
}

/* ---- in the caller ---- */

static struct identity choose_identity(const char *wanted)
{
    const char *const names[] = {wanted ? wanted : "herald", "herald", "nobody"};
    struct identity identity = {.change = geteuid() == 0, .user = NOBODY, .group = NOBODY};
    for (size_t i = 0; identity.change && i < sizeof(names) / sizeof(names[0]); i++) {
        const struct passwd *user = getpwnam(names[i]);
        if (!user || user->pw_uid == 0)
            continue;
        identity.user = user->pw_uid;
        identity.group = user->pw_gid;
        break;
    }
    return identity;
}

/* Waits until `fd` is readable; false past the deadline. */
static bool wait_readable(int fd, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - timer_clock_ms();
        if (left <= 0)
            return false;
        int rc = poll(&poll_fd, 1, (int)left);
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return true;
    }
}

/* Reads until the end of file. Returns 0, -ETIME, -EFBIG past `most` bytes, or -errno. */
static int collect(int fd, size_t most, int64_t deadline_ms, char **output, size_t *length)
{
    size_t room = 0;
    *length = 0;
    for (;;) {
        if (room - *length < 2) {
            room = room ? room * 2 : 64 * 1024;
            char *bigger = realloc(*output, room);
            if (!bigger)
                return -ENOMEM;
            *output = bigger;
        }
        if (!wait_readable(fd, deadline_ms))
            return -ETIME;
        ssize_t got = read(fd, *output + *length, room - *length - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        *length += (size_t)got;
        if (*length > most)
            return -EFBIG;
    }
}

/* Reaps the child and returns its status; kills it when it does not end by itself. */
static int reap(pid_t pid, bool at_once)
{
    int status = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (at_once || fd < 0 || !wait_readable(fd, timer_clock_ms() + END_MS))
        kill(pid, SIGKILL);
    if (fd >= 0)
        close(fd);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    return status;
}

static int died(const struct confined *confined, int status, struct fault *fault)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (number == SIGXCPU)
        return fault_set(fault, -ETIME, confined->where, 0, "%s took more than %u s of CPU time",
                         confined->what, confined->cpu_s);
    if (number)
        return fault_set(fault, -EIO, confined->where, 0, "%s died of signal %d (%s)",
                         confined->what, number, strsignal(number));
    return fault_set(fault, -EIO, confined->where, 0, "%s ended early with status %d",
                     confined->what, WEXITSTATUS(status));
}

static int too_much(const struct confined *confined, struct fault *fault)
{
    return fault_set(fault, -EIO, confined->where, 0, "%s wrote more than %zu bytes",
                     confined->what, confined->output_max);
}

/* Judges what came of it; `rc` is collect's. */
static int judge(const struct confined *confined, int rc, int status, char *output, size_t *length,
                 struct fault *fault)
{
    int reason = 0;
    if (rc == -ETIME)
        return fault_set(fault, rc, confined->where, 0, "%s took more than %u ms", confined->what,
                         confined->wall_ms);
    if (rc == -EFBIG)
        return too_much(confined, fault);
    if (rc < 0)
        return fault_set(fault, rc, confined->where, 0, "%s cannot be heard: %s", confined->what,
                         strerror(-rc));
    if (*length == 0)
        return died(confined, status, fault);
    if (output[*length - 1] == ENDING_WHOLE && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        output[--*length] = 0;
        return *length <= confined->output_max ? 0 : too_much(confined, fault);
    }
    if (output[*length - 1] == ENDING_CONFINED && *length == sizeof(reason) + 1) {
        memcpy(&reason, output, sizeof(reason));
        return fault_set(fault, -EPERM, confined->where, 0,
                         "%s could not give up its privileges: %s", confined->what,
                         strerror(-reason));
    }
    return died(confined, status, fault);
}

int confined_run(const struct confined *confined, char **output, size_t *length,
                 struct fault *fault)
{
    struct identity identity = choose_identity(confined->user);
    int64_t deadline_ms = timer_clock_ms() + confined->wall_ms;
    pid_t parent = getpid();
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return fault_set(fault, -errno, confined->where, 0, "no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        child(confined, &identity, pipe_fds[1], parent);
    int rc = pid < 0 ? -errno : 0;
    close(pipe_fds[1]);
    if (rc < 0) {
        close(pipe_fds[0]);
        return fault_set(fault, rc, confined->where, 0, "%s cannot be started: %s", confined->what,
                         strerror(-rc));
    }
    *output = NULL;
    rc = collect(pipe_fds[0], confined->output_max + ENDING_BYTES, deadline_ms, output, length);
    close(pipe_fds[0]);
    int status = reap(pid, rc < 0);
    rc = judge(confined, rc, status, *output, length, fault);
    if (rc < 0) {
        free(*output);
        *output = NULL;
    }
    return rc;
}
