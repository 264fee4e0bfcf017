#include "master/pulse.h"

void pulse_begin(struct pulse *pulse, pid_t pid)
{
    *pulse = (struct pulse){.usable = false};
    if (clock_getcpuclockid(pid, &pulse->clock) != 0)
        pulse->clock = CLOCK_MONOTONIC;
}

const char *pulse_state_text(enum pulse_state state)
{
    static const char *const TEXTS[] = {
        [PULSE_BEATS] = "it is well",
        [PULSE_WEDGED] = "it used 1 s of CPU inside one policy hook",
        [PULSE_STUCK] = "it used 1 s of CPU without coming back to its loop",
        [PULSE_AWAY] = "it has been inside one policy hook for 30 s"};
    return TEXTS[state];
}

enum pulse_state pulse_judge(struct pulse *pulse, uint64_t heartbeat, bool in_policy,
                             int64_t cpu_ns, int64_t now_ms)
{
    if (!pulse->usable || heartbeat != pulse->heartbeat) {
        pulse->usable = true;
        pulse->heartbeat = heartbeat;
        pulse->cpu_ns = cpu_ns;
        pulse->wall_ms = now_ms;
        return PULSE_BEATS;
    }
    if (cpu_ns - pulse->cpu_ns >= PULSE_CPU_NS)
        return in_policy ? PULSE_WEDGED : PULSE_STUCK;
    return in_policy && now_ms - pulse->wall_ms >= PULSE_WALL_MS ? PULSE_AWAY : PULSE_BEATS;
}

enum pulse_state pulse_check(struct pulse *pulse, const struct segment_slot *slot, int64_t now_ms)
{
    struct timespec cpu;
    if (pulse->clock == CLOCK_MONOTONIC || clock_gettime(pulse->clock, &cpu) < 0)
        return PULSE_BEATS;
    return pulse_judge(pulse, atomic_load(&slot->heartbeat), atomic_load(&slot->in_policy) != 0,
                       (int64_t)cpu.tv_sec * 1000000000 + cpu.tv_nsec, now_ms);
}
