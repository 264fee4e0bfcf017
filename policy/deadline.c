#include "policy/deadline.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS_MIN 4000000L

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Written by the tick handler and by the code that it interrupts, all in one thread. */
struct watch {
    lua_State *volatile running; /* the state of the call under way; NULL: none */
    volatile unsigned ticks;     /* since that call began */
    volatile unsigned soft_ticks;
    volatile unsigned hard_ticks;
    volatile unsigned held;
    sigjmp_buf escape;
    unsigned users;
    pid_t process; /* that made the timer: timers do not cross fork */
    timer_t timer;
};

static _Thread_local struct watch watch;

static long tick_ns(void)
{
    struct timespec jiffy = {0, 0};
    /* CPU-time timers are looked at when the kernel's own tick comes, whatever is asked for. */
    if (clock_getres(CLOCK_REALTIME_COARSE, &jiffy) < 0 || jiffy.tv_nsec <= 0)
        return TICK_NS_MIN;
    return (TICK_NS_MIN + jiffy.tv_nsec - 1) / jiffy.tv_nsec * jiffy.tv_nsec;
}

int deadline_limits(uint32_t soft_ms, uint32_t hard_ms, struct deadline_limits *limits,
                    struct fault *fault)
{
    unsigned tick_ms = (unsigned)((tick_ns() + 999999) / 1000000);
    unsigned soft_least = DEADLINE_SOFT_TICKS_MIN * tick_ms;
    if (soft_ms == 0)
        soft_ms = DEADLINE_SOFT_MS > soft_least ? DEADLINE_SOFT_MS : soft_least;
    limits->tick_ms = tick_ms;
    limits->soft_ticks = (soft_ms + tick_ms - 1) / tick_ms;
    if (hard_ms == 0)
        hard_ms = limits->soft_ticks * tick_ms + DEADLINE_HARD_MS - DEADLINE_SOFT_MS;
    limits->hard_ticks = (hard_ms + tick_ms - 1) / tick_ms;
    if (soft_ms < soft_least)
        return fault_set(fault, -ERANGE, NULL, 0,
                         "policy.soft is %u ms; CPU time is measured in ticks of %u ms here, so "
                         "the least is %u ms",
                         soft_ms, tick_ms, soft_least);
    if (limits->hard_ticks <= limits->soft_ticks)
        return fault_set(fault, -ERANGE, NULL, 0,
                         "policy.hard is %u ms; with policy.soft of %u ms the least is %u ms",
                         hard_ms, soft_ms, (limits->soft_ticks + 1) * tick_ms);
    return 0;
}

static void on_instruction(lua_State *L, lua_Debug *where)
{
    lua_getinfo(L, "Sl", where);
    luaL_error(L, "%s:%d: soft deadline: it ran for too long", where->short_src,
               where->currentline);
}

static void on_tick(int signal_number)
{
    (void)signal_number;
    if (!watch.running)
        return;
    unsigned ticks = watch.ticks + 1;
    watch.ticks = ticks;
    /* lua_sethook may be called from a signal handler: it changes how the next instruction is
     * dispatched and nothing else. */
    if (ticks == watch.soft_ticks)
        lua_sethook(watch.running, on_instruction, LUA_MASKCOUNT, 1);
    if (ticks >= watch.hard_ticks && !watch.held)
        siglongjmp(watch.escape, 1);
}

static int timer_begin(void)
{
    struct itimerspec every = {{0, tick_ns()}, {0, tick_ns()}};
    struct sigevent event;
    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watch.timer) < 0)
        return -errno;
    if (timer_settime(watch.timer, 0, &every, NULL) == 0)
        return 0;
    int rc = -errno;
    timer_delete(watch.timer);
    return rc;
}

int deadline_start(struct fault *fault)
{
    struct sigaction action;
    sigset_t ticks;
    if (watch.users && watch.process == getpid()) {
        watch.users++;
        return 0;
    }
    memset(&watch, 0, sizeof(watch));
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_tick;
    /* The handler may be left by siglongjmp, which restores no mask: the signal is never masked. */
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigemptyset(&ticks);
    sigaddset(&ticks, SIGVTALRM);
    if (sigaction(SIGVTALRM, &action, NULL) < 0 || pthread_sigmask(SIG_UNBLOCK, &ticks, NULL) != 0)
        return fault_set(fault, -EINVAL, NULL, 0, "SIGVTALRM cannot be handled");
    int rc = timer_begin();
    if (rc < 0)
        return fault_set(fault, rc, NULL, 0, "no timer for policies: %s", strerror(-rc));
    watch.users = 1;
    watch.process = getpid();
    return 0;
}

void deadline_stop(void)
{
    if (watch.users && --watch.users == 0 && watch.process == getpid())
        timer_delete(watch.timer);
}

/* A frame of its own: what siglongjmp comes back to has no variable that changed meanwhile. */
enum deadline_outcome __attribute__((noinline))
deadline_pcall(lua_State *L, int arguments, int results, int handler,
               const struct deadline_limits *limits, int *status)
{
    assert(watch.users && !watch.running);
    watch.ticks = 0;
    watch.held = 0;
    watch.soft_ticks = limits->soft_ticks;
    watch.hard_ticks = limits->hard_ticks;
    if (sigsetjmp(watch.escape, 0)) {
        watch.running = NULL;
        return DEADLINE_HARD;
    }
    watch.running = L;
    *status = lua_pcall(L, arguments, results, handler);
    watch.running = NULL;
    if (watch.ticks < watch.soft_ticks)
        return DEADLINE_NONE;
    lua_sethook(L, NULL, 0, 0);
    return *status ? DEADLINE_SOFT : DEADLINE_NONE;
}

bool deadline_passed(void)
{
    return watch.running && watch.ticks >= watch.soft_ticks;
}

void deadline_hold(void)
{
    watch.held++;
}

void deadline_release(void)
{
    assert(watch.held);
    watch.held--;
    if (watch.running && !watch.held && watch.ticks >= watch.hard_ticks)
        siglongjmp(watch.escape, 1);
}
