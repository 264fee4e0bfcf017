#include "master/generation.h"
#include "master/report.h"
#include "worker/worker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What a worker process of these tests does, since a real one can't be made to misbehave. */
enum habit {
    GOOD,     /* ready, obeys */
    REFUSES,  /* tells a fault and exits */
    CRASHES,  /* dies before it is ready */
    SILENT,   /* never ready */
    SPINS,    /* ready, then uses CPU without a heartbeat */
    STUBBORN, /* ready, ignores every word */
};

#define WORDS_MAX 64
#define PROCESSES_MAX 64

/* What each process was told, in shared memory: its share, then words as they came. */
struct diary {
    _Atomic int started;
    enum habit habits[PROCESSES_MAX];
    struct {
        pid_t pid;
        unsigned share;
        unsigned shares;
        _Atomic int count;
        char words[WORDS_MAX];
        uint32_t adopted[WORDS_MAX];
    } processes[PROCESSES_MAX];
};

static struct diary *diary;
static struct segment segment;
static struct loop loop;
static struct slots slots;
static struct listen_table listens;
static struct seat_tools tools = {&loop, &slots, &listens, NULL};
static unsigned numbers;

static void say(const struct handoff *handoff, const char *text)
{
    (void)!send(handoff->control_fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Obeys words until it is told to end or its master is gone. */
static int obey(const struct handoff *handoff, int me)
{
    for (;;) {
        char message[HANDOFF_MESSAGE_MAX];
        ssize_t n = recv(handoff->control_fd, message, sizeof(message), 0);
        if (n <= 0)
            return 0;
        int at = diary->processes[me].count;
        if (n == 5)
            memcpy(&diary->processes[me].adopted[at], message + 1, 4);
        diary->processes[me].words[at] = message[0];
        diary->processes[me].count = at + 1;
        if (diary->habits[me] != STUBBORN &&
            (message[0] == HANDOFF_DRAIN || message[0] == HANDOFF_STOP))
            return 0;
    }
}

int worker_run(const struct handoff *handoff)
{
    int me = atomic_fetch_add(&diary->started, 1);
    diary->processes[me].pid = getpid();
    diary->processes[me].share = handoff->share;
    diary->processes[me].shares = handoff->shares;
    switch (diary->habits[me]) {
    case REFUSES:
        say(handoff, "fherald.lua:3: no good");
        return 1;
    case CRASHES:
        abort();
    case SILENT:
        return obey(handoff, me);
    case SPINS:
        say(handoff, "r");
        for (;;)
            ;
    case GOOD:
    case STUBBORN:
        break;
    }
    say(handoff, "r");
    return obey(handoff, me);
}

static int setup(void **state)
{
    struct fault fault;
    (void)state;
    memset(diary, 0, sizeof(*diary));
    memset(&listens, 0, sizeof(listens));
    if (segment_create(&segment, UINT64_C(1) << 20, &fault) < 0 || loop_init(&loop) < 0)
        return -1;
    return slots_init(&slots, &segment, loop_now_ms());
}

static int teardown(void **state)
{
    (void)state;
    listen_finish(&listens);
    loop_finish(&loop);
    segment_finish(&segment);
    return 0;
}

static struct config *config_of(unsigned workers)
{
    struct config *config = config_create();
    config->workers = workers;
    config->limits.drain = 100;
    config->listens = calloc(1, sizeof(*config->listens));
    config->listens_count = 1;
    *(struct sockaddr_in *)(void *)&config->listens[0].address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    config->listens[0].address_length = sizeof(struct sockaddr_in);
    return config;
}

static struct generation *stage(unsigned workers)
{
    struct fault fault = {0};
    struct generation_parts parts = {
        .config = config_of(workers), .access_fd = -1, .error_fd = -1};
    assert_true(spawn_user_find("nobody", &parts.user, &fault) >= 0);
    assert_int_equal(listen_stage(&listens, parts.config, workers, &fault), 0);
    struct generation *generation = generation_create(++numbers, &tools, &segment, &parts, &fault);
    assert_non_null(generation);
    generation_start(generation, loop_now_ms());
    return generation;
}

/* Turns the loop until `done`, forty seconds at most: a busy machine gives little CPU to spin with.
 */
#define TURN_UNTIL(generation, done)                                       \
    do {                                                                   \
        int64_t end_ms_ = loop_now_ms() + 40000;                           \
        while (!(done)) {                                                  \
            int64_t now_ms_ = loop_now_ms();                               \
            if (now_ms_ > end_ms_)                                         \
                fail_msg("%s", "waited in vain: " #done);                  \
            int64_t next_ = generation_step(generation, false, now_ms_);   \
            int64_t sweep_ = slots_step(&slots, now_ms_);                  \
            next_ = sweep_ < next_ ? sweep_ : next_;                       \
            loop_wait(&loop, next_ < now_ms_ + 20 ? next_ : now_ms_ + 20); \
        }                                                                  \
    } while (0)

static void promote(struct generation *generation)
{
    TURN_UNTIL(generation, generation_ready(generation));
    listen_promote(&listens, generation->config, generation->seats_count, loop_now_ms());
    generation_promote(generation, loop_now_ms());
}

static void end(struct generation *generation)
{
    generation_stop(generation, loop_now_ms());
    TURN_UNTIL(generation, generation_empty(generation));
    generation_destroy(generation);
}

/* Whether process `me` was told `word` (for `share`, unless that is negative). */
static bool told(int me, char word, int share)
{
    for (int i = 0; i < diary->processes[me].count; i++)
        if (diary->processes[me].words[i] == word &&
            (share < 0 || diary->processes[me].adopted[i] == (uint32_t)share))
            return true;
    return false;
}

static bool anybody_told(char word, int share)
{
    for (int i = 0; i < diary->started; i++)
        if (told(i, word, share))
            return true;
    return false;
}

static int process_of_share(unsigned share)
{
    for (int i = 0; i < diary->started; i++)
        if (diary->processes[i].share == share)
            return i;
    return -1;
}

static void a_generation_is_ready_when_every_worker_is(void **state)
{
    (void)state;
    diary->habits[1] = SILENT;
    struct generation *generation = stage(2);
    TURN_UNTIL(generation, diary->started == 2);
    for (int i = 0; i < 20; i++)
        loop_wait(&loop, loop_now_ms() + 5);
    assert_false(generation_ready(generation));
    assert_false(generation->failed);
    end(generation);
}

static void a_worker_that_refuses_fails_the_generation_with_its_words(void **state)
{
    char text[256];
    (void)state;
    diary->habits[0] = REFUSES;
    struct generation *generation = stage(1);
    TURN_UNTIL(generation, generation->failed);
    assert_string_equal(fault_text(&generation->fault, text, sizeof(text)),
                        "herald.lua:3: no good");
    end(generation);
}

static void a_worker_that_crashes_before_it_is_ready_fails_the_generation(void **state)
{
    (void)state;
    diary->habits[0] = CRASHES;
    struct generation *generation = stage(2);
    TURN_UNTIL(generation, generation->failed);
    assert_non_null(strstr(generation->fault.what, "signal 6"));
    assert_non_null(strstr(generation->fault.what, "before it was ready"));
    end(generation);
}

static void a_worker_that_never_becomes_ready_is_killed_in_time(void **state)
{
    (void)state;
    diary->habits[0] = SILENT;
    struct generation *generation = stage(1);
    TURN_UNTIL(generation, diary->started == 1);
    assert_true(generation_step(generation, true, loop_now_ms()) <= loop_now_ms() + SEAT_READY_MS);
    generation_step(generation, true, loop_now_ms() + SEAT_READY_MS);
    TURN_UNTIL(generation, generation->failed);
    end(generation);
}

static void workers_are_in_slots_of_their_own(void **state)
{
    (void)state;
    struct generation *first = stage(2);
    promote(first);
    struct generation *second = stage(3);
    TURN_UNTIL(second, generation_ready(second));
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 2; j++)
            assert_int_not_equal(second->seats[i].slot, first->seats[j].slot);
    for (unsigned i = 0; i < 3; i++) {
        struct segment_slot *slot = &segment.slots[second->seats[i].slot];
        assert_int_equal(atomic_load(&slot->state), SLOT_READY);
        assert_int_equal(atomic_load(&slot->pid), second->seats[i].process.pid);
        assert_int_equal(atomic_load(&slot->generation), second->number);
    }
    end(second);
    end(first);
}

static void a_killed_worker_is_replaced_after_its_back_off(void **state)
{
    (void)state;
    struct generation *generation = stage(1);
    promote(generation);
    pid_t first = generation->seats[0].process.pid;
    int64_t killed_ms = loop_now_ms();
    kill(first, SIGKILL);
    TURN_UNTIL(generation, generation->seats[0].state == SEAT_EMPTY);
    TURN_UNTIL(generation, generation->seats[0].state == SEAT_READY);
    assert_int_not_equal(generation->seats[0].process.pid, first);
    assert_true(loop_now_ms() - killed_ms >= BACKOFF_LEAST_MS);
    assert_int_equal(generation->seats[0].restarts, 1);
    end(generation);
}

static void a_neighbour_accepts_for_a_share_that_is_down_and_lets_go_again(void **state)
{
    (void)state;
    struct generation *generation = stage(3);
    promote(generation);
    int other[2] = {process_of_share(2), process_of_share(0)};
    diary->habits[3] = SILENT; /* the successor takes its time */
    kill(generation->seats[1].process.pid, SIGKILL);
    TURN_UNTIL(generation, told(other[0], HANDOFF_ADOPT, 1));
    assert_false(told(other[1], HANDOFF_ADOPT, -1));
    assert_int_equal(generation->adopters[1], 2);
    TURN_UNTIL(generation, diary->started == 4);
    kill(generation->seats[1].process.pid, SIGKILL);
    TURN_UNTIL(generation, generation->seats[1].state == SEAT_READY);
    TURN_UNTIL(generation, told(other[0], HANDOFF_RELEASE, 1));
    assert_int_equal(generation->adopters[1], -1);
    end(generation);
}

static void a_share_whose_adopter_dies_is_adopted_by_another(void **state)
{
    (void)state;
    struct generation *generation = stage(3);
    promote(generation);
    int last = process_of_share(0);
    diary->habits[3] = SILENT;
    diary->habits[4] = SILENT;
    kill(generation->seats[1].process.pid, SIGKILL);
    TURN_UNTIL(generation, anybody_told(HANDOFF_ADOPT, 1));
    kill(generation->seats[2].process.pid, SIGKILL);
    TURN_UNTIL(generation, told(last, HANDOFF_ADOPT, 1) && told(last, HANDOFF_ADOPT, 2));
    end(generation);
}

static void a_lone_worker_has_no_neighbour_to_adopt_for_it(void **state)
{
    (void)state;
    struct generation *generation = stage(1);
    promote(generation);
    diary->habits[1] = SILENT;
    kill(generation->seats[0].process.pid, SIGKILL);
    TURN_UNTIL(generation, diary->started == 2);
    for (int i = 0; i < 40; i++) {
        generation_step(generation, false, loop_now_ms());
        loop_wait(&loop, loop_now_ms() + 5);
    }
    assert_false(anybody_told(HANDOFF_ADOPT, -1));
    end(generation);
}

static void retired_shares_are_adopted_then_closed_from_the_last(void **state)
{
    (void)state;
    struct generation *first = stage(3);
    promote(first);
    struct generation *second = stage(1);
    assert_int_equal(second->shares, 3);
    promote(second);
    generation_drain(first, loop_now_ms());
    TURN_UNTIL(first, generation_empty(first));
    int adopter = diary->started - 1;
    TURN_UNTIL(second, told(adopter, HANDOFF_ADOPT, 1) && told(adopter, HANDOFF_ADOPT, 2));
    assert_int_equal(listen_open_shares(&listens), 3);
    int64_t now_ms = loop_now_ms() + LISTEN_RETIRE_MS + 1;
    for (int i = 0; i < 20 && listen_open_shares(&listens) > 1; i++) {
        unsigned before = listen_open_shares(&listens);
        generation_step(second, true, now_ms);
        assert_int_equal(listen_open_shares(&listens), before); /* not while one is staged */
        generation_step(second, false, now_ms);
        now_ms += GENERATION_RELEASE_MS;
    }
    assert_int_equal(listen_open_shares(&listens), 1);
    TURN_UNTIL(second, told(adopter, HANDOFF_RELEASE, 1) && told(adopter, HANDOFF_RELEASE, 2));
    end(second);
    generation_destroy(first);
}

static void a_drained_worker_is_not_replaced(void **state)
{
    (void)state;
    struct generation *generation = stage(2);
    promote(generation);
    generation_drain(generation, loop_now_ms());
    TURN_UNTIL(generation, generation_empty(generation));
    assert_true(told(0, HANDOFF_DRAIN, -1) && told(1, HANDOFF_DRAIN, -1));
    generation_step(generation, false, loop_now_ms() + 60000);
    assert_int_equal(diary->started, 2);
    generation_destroy(generation);
}

static void a_worker_that_does_not_drain_in_time_is_killed(void **state)
{
    (void)state;
    diary->habits[0] = STUBBORN;
    struct generation *generation = stage(1);
    promote(generation);
    int64_t now_ms = loop_now_ms();
    generation_drain(generation, now_ms);
    TURN_UNTIL(generation, told(0, HANDOFF_DRAIN, -1));
    assert_false(generation_empty(generation));
    int64_t deadline_ms = now_ms + 100 + GENERATION_DRAIN_GRACE_MS;
    generation_step(generation, false, deadline_ms - 1);
    assert_int_equal(kill(generation->seats[0].process.pid, 0), 0);
    generation_step(generation, false, deadline_ms);
    TURN_UNTIL(generation, generation_empty(generation));
    generation_destroy(generation);
}

static void a_stuck_worker_is_killed_and_replaced(void **state)
{
    (void)state;
    diary->habits[0] = SPINS;
    struct generation *generation = stage(1);
    promote(generation);
    pid_t first = generation->seats[0].process.pid;
    TURN_UNTIL(generation, generation->seats[0].state == SEAT_READY &&
                               generation->seats[0].process.pid != first);
    end(generation);
}

static void new_logs_reach_the_workers(void **state)
{
    (void)state;
    struct generation *generation = stage(2);
    promote(generation);
    generation_logs(generation, open("/dev/null", O_WRONLY), open("/dev/null", O_WRONLY));
    TURN_UNTIL(generation, told(0, HANDOFF_LOGS, -1) && told(1, HANDOFF_LOGS, -1));
    assert_true(generation->access_fd >= 0 && generation->error_fd >= 0);
    end(generation);
}

static void two_hundred_generations_leave_no_descriptor_and_no_slot_behind(void **state)
{
    (void)state;
    struct generation *old = stage(1);
    promote(old);
    int first_fd = open("/dev/null", O_RDONLY);
    close(first_fd);
    for (int i = 0; i < 20; i++) { /* ten at a time stay within the diary */
        diary->started = 1;
        for (int j = 0; j < 10; j++) {
            struct generation *next = stage(1);
            promote(next);
            generation_drain(old, loop_now_ms());
            TURN_UNTIL(old, generation_empty(old));
            generation_destroy(old);
            old = next;
        }
    }
    int last_fd = open("/dev/null", O_RDONLY);
    close(last_fd);
    assert_true(last_fd <= first_fd + 2);
    TURN_UNTIL(old, slots.free == SEGMENT_SLOTS_MAX - 1);
    end(old);
}

int main(void)
{
#define WITH_TOOLS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_TOOLS(a_generation_is_ready_when_every_worker_is),
        WITH_TOOLS(a_worker_that_refuses_fails_the_generation_with_its_words),
        WITH_TOOLS(a_worker_that_crashes_before_it_is_ready_fails_the_generation),
        WITH_TOOLS(a_worker_that_never_becomes_ready_is_killed_in_time),
        WITH_TOOLS(workers_are_in_slots_of_their_own),
        WITH_TOOLS(a_killed_worker_is_replaced_after_its_back_off),
        WITH_TOOLS(a_neighbour_accepts_for_a_share_that_is_down_and_lets_go_again),
        WITH_TOOLS(a_share_whose_adopter_dies_is_adopted_by_another),
        WITH_TOOLS(a_lone_worker_has_no_neighbour_to_adopt_for_it),
        WITH_TOOLS(retired_shares_are_adopted_then_closed_from_the_last),
        WITH_TOOLS(a_drained_worker_is_not_replaced),
        WITH_TOOLS(a_worker_that_does_not_drain_in_time_is_killed),
        WITH_TOOLS(a_stuck_worker_is_killed_and_replaced),
        WITH_TOOLS(new_logs_reach_the_workers),
        WITH_TOOLS(two_hundred_generations_leave_no_descriptor_and_no_slot_behind),
    };
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    report_to(null); /* these workers give much to report */
    diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
