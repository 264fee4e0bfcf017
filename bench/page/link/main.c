/* link: two network namespaces joined by an emulated link. The kernel's own TCP meets its delay,
 * rate, queue and losses as it would meet those of a real path. */
#include "bench/page/link/options.h"
#include "bench/page/link/pipe.h"
#include "bench/page/link/trace.h"
#include "bench/page/link/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define READS_MAX 64 /* packets from one device in a row, so that the other has its turn */
#define COMMAND_MAX 128

struct way {
    const char *name;
    int from, to; /* TUN devices */
    struct pipe pipe;
};

struct link {
    struct tunnel_end server, client;
    struct way down, up;
    FILE *trace; /* NULL: none */
    uint64_t began_ns;
    uint64_t waited_ns; /* what schedstat said when the counts began */
    bool first_in_line; /* runs before all ordinary processes */
    char command[COMMAND_MAX];
    size_t command_length;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* How long this process was ready to run and did not. */
static uint64_t waited_for_cpu_ns(void)
{
    uint64_t ran = 0, waited = 0;
    FILE *file = fopen("/proc/self/schedstat", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
        waited = 0;
    fclose(file);
    return waited;
}

/* ---- packets ---- */

static void take_packet(struct link *link, struct way *way, const uint8_t *bytes, size_t length)
{
    uint64_t now = now_ns();
    enum pipe_verdict verdict = pipe_put(&way->pipe, now, bytes, length);
    if (!link->trace)
        return;
    uint64_t due = verdict == PIPE_TAKEN ? pipe_last(&way->pipe)->due_ns : PIPE_NEVER;
    trace_packet(link->trace, way->name, verdict, link->began_ns, now, due, way->pipe.queued_bytes,
                 bytes, length);
}

static void take_packets(struct link *link, struct way *way)
{
    uint8_t bytes[PIPE_PACKET_MAX];
    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n = read(way->from, bytes, sizeof(bytes));
        if (n <= 0)
            return;
        if (bytes[0] >> 4 == 4)
            take_packet(link, way, bytes, (size_t)n);
    }
}

/* A device whose namespace takes nothing now drops the packet, as a network card would. */
static void deliver(struct way *way)
{
    const struct pipe_packet *packet;
    while ((packet = pipe_take(&way->pipe, now_ns())) != NULL)
        if (write(way->to, packet->bytes, packet->length) < 0 && errno != EAGAIN && errno != EIO)
            fprintf(stderr, "link: writing a packet: %s\n", strerror(errno));
}

/* ---- words ---- */

static void print_way(const struct way *way)
{
    const struct pipe_counts *counts = &way->pipe.counts;
    printf("\"%s\":{\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"dropped\":%" PRIu64 ",\"overruns\":%" PRIu64 ",\"queue_max\":%zu"
           ",\"late_packets\":%" PRIu64 ",\"late_max_us\":%" PRIu64 "}",
           way->name, counts->packets, counts->bytes, counts->lost, counts->dropped,
           counts->overruns, counts->queue_max, counts->late_packets, counts->late_max_ns / 1000);
}

static void answer_stats(struct link *link)
{
    uint64_t waited_ns = waited_for_cpu_ns();
    printf("{\"waited_us\":%" PRIu64 ",", (waited_ns - link->waited_ns) / 1000);
    print_way(&link->down);
    printf(",");
    print_way(&link->up);
    printf("}\n");
    fflush(stdout);
    if (link->trace)
        fflush(link->trace);
    link->waited_ns = waited_ns;
    link->down.pipe.counts = link->up.pipe.counts = (struct pipe_counts){0};
}

static void obey(struct link *link, const char *command)
{
    if (strcmp(command, "stats") == 0)
        answer_stats(link);
    else
        fprintf(stderr, "link: \"%s\" is no command; \"stats\" is\n", command);
}

/* Returns false at the end of the input. */
static bool read_commands(struct link *link)
{
    char *end;
    ssize_t n = read(STDIN_FILENO, link->command + link->command_length,
                     COMMAND_MAX - 1 - link->command_length);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    link->command_length += (size_t)n;
    link->command[link->command_length] = '\0';
    while ((end = strchr(link->command, '\n')) != NULL) {
        *end = '\0';
        obey(link, link->command);
        link->command_length -= (size_t)(end + 1 - link->command);
        memmove(link->command, end + 1, link->command_length + 1);
    }
    return link->command_length < COMMAND_MAX - 1;
}

/* ---- life ---- */

static void time_left(const struct link *link, struct timespec *left)
{
    uint64_t next = pipe_next(&link->down.pipe), up = pipe_next(&link->up.pipe);
    uint64_t now = now_ns();
    next = next < up ? next : up;
    uint64_t ns = next <= now ? 0 : next - now;
    if (ns > 1000000000)
        ns = 1000000000;
    *left = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

/* Returns when there is a signal or no more input. */
static void carry(struct link *link, int signals)
{
    struct pollfd fds[] = {{.fd = link->down.from, .events = POLLIN},
                           {.fd = link->up.from, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = signals, .events = POLLIN}};
    for (;;) {
        struct timespec left;
        time_left(link, &left);
        if (ppoll(fds, 4, &left, NULL) < 0)
            return;
        if (fds[0].revents)
            take_packets(link, &link->down);
        if (fds[1].revents)
            take_packets(link, &link->up);
        deliver(&link->down);
        deliver(&link->up);
        if (fds[3].revents || (fds[2].revents && !read_commands(link)))
            return;
    }
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void open_end(struct tunnel_end *end, const char *address, const char *peer,
                     const char *congestion)
{
    struct tunnel_fault fault;
    int rc = tunnel_open(end, address, peer, congestion, &fault);
    if (rc == 0)
        return;
    fprintf(stderr, "link: %s: %s (%s)\n", fault.step, strerror(-rc), fault.advice);
    exit(1);
}

/* What may be had only with privileges, and what the measurement is merely better with. */
static void be_punctual(struct link *link)
{
    struct sched_param first = {.sched_priority = 10};
    link->first_in_line = sched_setscheduler(0, SCHED_FIFO, &first) == 0;
    prctl(PR_SET_TIMERSLACK, 1);
    mlockall(MCL_CURRENT | MCL_FUTURE);
}

static void open_pipe(struct way *way, const char *name, int from, int to,
                      const struct pipe_settings *settings)
{
    *way = (struct way){.name = name, .from = from, .to = to};
    if (pipe_init(&way->pipe, settings) == 0)
        return;
    fputs("link: out of memory\n", stderr);
    exit(1);
}

static FILE *open_trace(const char *path)
{
    FILE *trace = fopen(path, "we");
    if (!trace) {
        fprintf(stderr, "link: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    trace_begin(trace);
    return trace;
}

int main(int argc, char **argv)
{
    struct options options;
    static struct link link;
    options_read(&options, argc, argv);
    int signals = open_signals();
    if (options.trace)
        link.trace = open_trace(options.trace);
    open_end(&link.server, TUNNEL_SERVER, TUNNEL_CLIENT, options.congestion);
    open_end(&link.client, TUNNEL_CLIENT, TUNNEL_SERVER, options.congestion);
    open_pipe(&link.down, "down", link.server.device, link.client.device, &options.down);
    open_pipe(&link.up, "up", link.client.device, link.server.device, &options.up);
    be_punctual(&link);
    link.began_ns = now_ns();
    link.waited_ns = waited_for_cpu_ns();
    printf("{\"server\":\"" TUNNEL_SERVER "\",\"client\":\"" TUNNEL_CLIENT "\","
           "\"server_ns\":\"/proc/%d/fd/%d\",\"client_ns\":\"/proc/%d/fd/%d\","
           "\"first_in_line\":%s}\n",
           getpid(), link.server.ns, getpid(), link.client.ns,
           link.first_in_line ? "true" : "false");
    fflush(stdout);
    carry(&link, signals);
    if (link.trace)
        fclose(link.trace);
    return 0;
}
