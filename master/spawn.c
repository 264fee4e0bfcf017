#include "master/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#define HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#else
#define HAS_ADDRESS_SANITIZER 0
#endif

#if HAS_ADDRESS_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif

static int pidfd_of(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

int spawn_user_find(const char *name, struct spawn_user *user, struct fault *fault)
{
    memset(user, 0, sizeof(*user));
    snprintf(user->name, sizeof(user->name), "%s", name);
    if (geteuid() != 0)
        return 0;
    struct passwd *entry = getpwnam(name);
    bool stands_in = !entry;
    if (stands_in)
        entry = getpwnam("nobody");
    if (!entry)
        return fault_set(fault, -ENOENT, "user", 0, "neither \"%s\" nor \"nobody\" exists", name);
    if (entry->pw_uid == 0)
        return fault_set(fault, -EPERM, "user", 0, "\"%s\" is root; workers run without privileges",
                         name);
    user->drop = true;
    user->uid = entry->pw_uid;
    user->gid = entry->pw_gid;
    snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
    user->groups_count = SPAWN_GROUPS_MAX;
    if (getgrouplist(user->name, user->gid, user->groups, &user->groups_count) < 0)
        user->groups_count = SPAWN_GROUPS_MAX; /* the first ones will do */
    return stands_in ? 1 : 0;
}

static int compare_descriptors(const void *a, const void *b)
{
    const int *left = a;
    const int *right = b;
    return (*left > *right) - (*left < *right);
}

static int close_between(int first, int last)
{
    return first > last || close_range((unsigned)first, (unsigned)last, 0) == 0 ? 0 : -errno;
}

/* Closes everything from 3 on but the plan's descriptors and `socket`. */
static int close_strangers(const struct spawn_plan *plan, int socket)
{
    int next = STDERR_FILENO + 1;
    int rc = 0;
    int *keep = malloc((plan->keep_count + 1) * sizeof(*keep));
    if (!keep)
        return -ENOMEM;
    if (plan->keep_count)
        memcpy(keep, plan->keep, plan->keep_count * sizeof(*keep));
    keep[plan->keep_count] = socket;
    qsort(keep, plan->keep_count + 1, sizeof(*keep), compare_descriptors);
    for (size_t i = 0; rc == 0 && i <= plan->keep_count; i++) {
        if (keep[i] < next)
            continue;
        rc = close_between(next, keep[i] - 1);
        next = keep[i] + 1;
    }
    free(keep);
    if (rc == 0 && close_range((unsigned)next, ~0u, 0) < 0)
        rc = -errno;
    return rc;
}

/* A terminal sends its signals to the whole group, and operators may; the master alone answers. */
static void reset_signals(void)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The parent may have died before the first call took effect. */
static void die_with(pid_t master)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(1);
}

static int drop_privileges(const struct spawn_user *user)
{
    if (user->drop && (setgroups((size_t)user->groups_count, user->groups) < 0 ||
                       setresgid(user->gid, user->gid, user->gid) < 0 ||
                       setresuid(user->uid, user->uid, user->uid) < 0))
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int become_child(const struct spawn_plan *plan, int socket, pid_t master)
{
    int rc;
    die_with(master);
    reset_signals();
    prctl(PR_SET_NAME, plan->name);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return -errno;
    rc = close_strangers(plan, socket);
    if (rc == 0)
        rc = drop_privileges(plan->user);
    die_with(master); /* a change of user clears it */
    if (rc == 0 && plan->cpu_limit_s) {
        struct rlimit limit = {plan->cpu_limit_s, plan->cpu_limit_s + 1};
        if (setrlimit(RLIMIT_CPU, &limit) < 0)
            rc = -errno;
    }
    return rc;
}

#if HAS_ADDRESS_SANITIZER
#define STATUS_LEAKED 23 /* as the sanitizer's own */

/* Leaks are looked for when a program ends by exit(), which would run here what the master wants
 * done at its own end. The search traces this process, which a change of user forbids. */
static int look_for_leaks(int status)
{
    prctl(PR_SET_DUMPABLE, 1);
    return __lsan_do_recoverable_leak_check() && status == 0 ? STATUS_LEAKED : status;
}
#else
static int look_for_leaks(int status)
{
    return status;
}
#endif

static _Noreturn void child(const struct spawn_plan *plan, int socket, pid_t master)
{
    char text[256];
    int rc = become_child(plan, socket, master);
    if (rc == 0) {
        rc = plan->body(socket, plan->context);
        _exit(plan->tidy ? look_for_leaks(rc) : rc);
    }
    int n = snprintf(text, sizeof(text), "fa child process cannot become user %s: %s",
                     plan->user->name, strerror(-rc));
    (void)!write(socket, text, (size_t)n);
    _exit(1);
}

int spawn(const struct spawn_plan *plan, struct spawned *spawned, struct fault *fault)
{
    int pair[2];
    pid_t master = getpid();
    if (socketpair(AF_UNIX, plan->socket_type | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_set(fault, -errno, plan->name, 0, "no socket pair: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(plan, pair[1], master);
    int rc = pid < 0 ? -errno : 0;
    close(pair[1]);
    int pidfd = rc == 0 ? pidfd_of(pid) : -1;
    if (rc == 0 && pidfd < 0) {
        char unused[SPAWN_TEXT_MAX];
        rc = pidfd;
        kill(pid, SIGKILL);
        spawn_reap(pid, true, unused);
    }
    if (rc < 0) {
        close(pair[0]);
        return fault_set(fault, rc, plan->name, 0, "cannot be started: %s", strerror(-rc));
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *spawned = (struct spawned){.pid = pid, .pidfd = pidfd, .socket = pair[0]};
    return 0;
}

bool spawn_reap(pid_t pid, bool block, char *text)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(pid, &status, block ? 0 : WNOHANG);
    while (ended < 0 && errno == EINTR);
    if (ended == 0)
        return false;
    if (ended < 0)
        snprintf(text, SPAWN_TEXT_MAX, "is gone");
    else if (WIFSIGNALED(status))
        snprintf(text, SPAWN_TEXT_MAX, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, SPAWN_TEXT_MAX, "exited with status %d", WEXITSTATUS(status));
    return true;
}
