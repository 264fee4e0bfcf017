#include "master/listen.h"

#include "master/holder.h"
#include "worker/timer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GOING_AGAIN_MS 20 /* how often a port that is being let go of is tried */
#define BACKLOG 4096 /* net.core.somaxconn bounds it */
#define UNSENT_BYTES (128 * 1024) /* that may wait in the kernel beside one send: twice a full one */

static in_port_t *port_of(struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)address)->sin6_port
                                          : &((struct sockaddr_in *)(void *)address)->sin_port;
}

static unsigned port_number(const struct sockaddr_storage *address)
{
    struct sockaddr_storage copy = *address;
    return ntohs(*port_of(&copy));
}

const char *listen_text(const struct sockaddr_storage *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, host,
                  sizeof(host));
        snprintf(text, LISTEN_TEXT_MAX, "[%s]:%u", host, port_number(address));
    } else {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, host,
                  sizeof(host));
        snprintf(text, LISTEN_TEXT_MAX, "%s:%u", host, port_number(address));
    }
    return text;
}

unsigned listen_queued(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || info.tcpi_state != TCP_LISTEN)
        return 0;
    return info.tcpi_unacked; /* of a listener: the length of its accept queue */
}

/* Lets `[::]` leave IPv4 to the addresses that name it. */
static bool v6_only(const struct config *config, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < config->listens_count; i++)
        if (config->listens[i].address.ss_family == AF_INET &&
            port_number(&config->listens[i].address) == port_number(address))
            return true;
    return false;
}

/* A bound socket; `shared`: with SO_REUSEPORT. Returns the descriptor or -errno. */
static int socket_bind(const struct config *config, const struct sockaddr_storage *address,
                       socklen_t length, bool shared)
{
    int one = 1;
    int unsent = UNSENT_BYTES;
    int rc;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        goto fail;
    if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
        goto fail;
    /* Accepted sockets inherit it: a wake-up's frames leave in one send, so Nagle only delays. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        goto fail;
    /* So is this: what a client that reads slowly was not sent yet can still be decided otherwise. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) < 0)
        goto fail;
    if (address->ss_family == AF_INET6) {
        int only = v6_only(config, address);
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0)
            goto fail;
    }
    if (bind(fd, (const struct sockaddr *)address, length) < 0)
        goto fail;
    return fd;
fail:
    rc = -errno;
    close(fd);
    return rc;
}

static int bind_fault(const struct config_listen *wanted, int rc, struct fault *fault)
{
    char holder[HOLDER_TEXT_MAX];
    const char *text = wanted->text ? wanted->text : "?";
    unsigned port = port_number(&wanted->address);
    switch (rc) {
    case -EADDRINUSE:
        if (holder_of_port(port, holder) != HOLDER_NONE)
            return fault_set(fault, rc, wanted->file, wanted->line,
                             "listen \"%s\": port %u is in use by %s", text, port, holder);
        return fault_set(fault, rc, wanted->file, wanted->line, "listen \"%s\": port %u is in use",
                         text, port);
    case -EACCES:
        return fault_set(fault, rc, wanted->file, wanted->line,
                         "listen \"%s\": port %u needs root or CAP_NET_BIND_SERVICE", text, port);
    case -EADDRNOTAVAIL:
        return fault_set(fault, rc, wanted->file, wanted->line,
                         "listen \"%s\": this machine has no such address", text);
    default:
        return fault_set(fault, rc, wanted->file, wanted->line, "listen \"%s\": %s", text,
                         strerror(-rc));
    }
}

/* True when an address of ours has this port: binding it alone would meet ourselves. */
static bool port_is_ours(const struct listen_table *table, const struct sockaddr_storage *address)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->points[i].open && port_number(&table->points[i].actual) == port_number(address))
            return true;
    return false;
}

/* Binds the address alone, without listening, and lets go of it; port 0 becomes the port that the
 * kernel chose. */
static int probe_alone(const struct listen_table *table, const struct config *config,
                       const struct config_listen *wanted, struct listen_point *point,
                       struct fault *fault)
{
    socklen_t length = sizeof(point->actual);
    int rc = 0;
    int fd = socket_bind(config, &point->wanted, point->length, false);
    if (fd == -EADDRINUSE && port_is_ours(table, &point->wanted))
        return 0;
    if (fd < 0)
        return bind_fault(wanted, fd, fault);
    if (getsockname(fd, (struct sockaddr *)&point->actual, &length) < 0)
        rc = bind_fault(wanted, -errno, fault);
    close(fd);
    return rc;
}

/* What is left of a server that was killed goes by itself: the kernel takes its rings apart, and
 * with them lets go of the listeners, some milliseconds after the last of its processes ended. */
static bool is_going(const struct config_listen *wanted)
{
    char holder[HOLDER_TEXT_MAX];
    return holder_of_port(port_number(&wanted->address), holder) != HOLDER_LIVES;
}

int listen_check(const struct config *config, unsigned patience_ms, bool *waited,
                 struct fault *fault)
{
    static const struct listen_table none;
    static const struct timespec PAUSE = {.tv_nsec = GOING_AGAIN_MS * 1000000};
    int64_t end_ms = timer_clock_ms() + patience_ms;
    int rc = 0;
    *waited = false;
    for (size_t i = 0; rc == 0 && i < config->listens_count; i++) {
        const struct config_listen *wanted = &config->listens[i];
        struct listen_point point = {.wanted = wanted->address, .length = wanted->address_length};
        while ((rc = probe_alone(&none, config, wanted, &point, fault)) == -EADDRINUSE &&
               timer_clock_ms() < end_ms && is_going(wanted)) {
            nanosleep(&PAUSE, NULL);
            *waited = true;
        }
    }
    return rc;
}

/* New connections go to the first `shares` sockets of the point, in the order of listen(). */
static int steer(struct listen_point *point, unsigned shares)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, shares),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    assert(shares > 0 && point->open > 0);
    if (setsockopt(point->fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) <
        0)
        return -errno;
    point->steered = true;
    return 0;
}

/* Lets the kernel spread connections over all sockets again, when all of them serve. */
static void steer_least(struct listen_point *point)
{
    int unused = 0;
    if (point->open > point->shares && point->shares > 0)
        steer(point, point->shares);
    else if (point->steered && point->open > 0 &&
             setsockopt(point->fds[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused,
                        sizeof(unused)) == 0)
        point->steered = false;
}

static struct listen_point *point_find(struct listen_table *table,
                                       const struct config_listen *wanted)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct listen_point *point = &table->points[i];
        if (point->length == wanted->address_length &&
            memcmp(&point->wanted, &wanted->address, point->length) == 0)
            return point;
    }
    return NULL;
}

static const struct listen_point *point_of(const struct listen_table *table,
                                           const struct config_listen *wanted)
{
    return point_find((struct listen_table *)table, wanted);
}

/* Closes the point's last socket. The shutdown ends it in workers that inherited it as well. */
static void socket_close_last(struct listen_point *point)
{
    int fd = point->fds[--point->open];
    shutdown(fd, SHUT_RDWR);
    close(fd);
    if (point->settled > point->open)
        point->settled = point->open;
    if (point->shares > point->open)
        point->shares = point->open;
}

static void point_remove(struct listen_table *table, struct listen_point *point)
{
    while (point->open)
        socket_close_last(point);
    *point = table->points[--table->count];
}

static int points_add(struct listen_table *table, const struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->listens_count; i++) {
        const struct config_listen *wanted = &config->listens[i];
        if (point_find(table, wanted))
            continue;
        if (table->count == LISTEN_POINTS_MAX)
            return fault_set(fault, -ENOSPC, wanted->file, wanted->line,
                             "more than %d addresses to listen on", LISTEN_POINTS_MAX);
        struct listen_point *point = &table->points[table->count];
        memset(point, 0, sizeof(*point));
        point->wanted = wanted->address;
        point->actual = wanted->address;
        point->length = wanted->address_length;
        int rc = probe_alone(table, config, wanted, point, fault);
        if (rc < 0)
            return rc;
        table->count++;
    }
    return 0;
}

static int shares_open(struct listen_table *table, const struct config *config,
                       const struct config_listen *wanted, unsigned shares, struct fault *fault)
{
    struct listen_point *point = point_find(table, wanted);
    int rc = 0;
    if (point->open && point->shares && shares > point->open)
        rc = steer(point, point->shares);
    while (rc == 0 && point->open < shares) {
        int fd = socket_bind(config, &point->actual, point->length, true);
        if (fd < 0)
            rc = fd;
        else if (listen(fd, BACKLOG) < 0) {
            rc = -errno;
            close(fd);
        } else
            point->fds[point->open++] = fd;
    }
    return rc == 0 ? 0 : bind_fault(wanted, rc, fault);
}

int listen_stage(struct listen_table *table, const struct config *config, unsigned shares,
                 struct fault *fault)
{
    assert(shares > 0 && shares <= LISTEN_SHARES_MAX);
    int rc = points_add(table, config, fault);
    for (size_t i = 0; rc == 0 && i < config->listens_count; i++)
        rc = shares_open(table, config, &config->listens[i], shares, fault);
    if (rc < 0)
        listen_abandon(table);
    return rc;
}

void listen_abandon(struct listen_table *table)
{
    for (unsigned i = table->count; i-- > 0;) {
        struct listen_point *point = &table->points[i];
        while (point->open > point->settled)
            socket_close_last(point);
        if (point->open == 0)
            point_remove(table, point);
        else
            steer_least(point);
    }
}

static bool is_named(const struct config *config, const struct listen_point *point)
{
    for (size_t i = 0; i < config->listens_count; i++)
        if (config->listens[i].address_length == point->length &&
            memcmp(&config->listens[i].address, &point->wanted, point->length) == 0)
            return true;
    return false;
}

void listen_promote(struct listen_table *table, const struct config *config, unsigned shares,
                    int64_t now_ms)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct listen_point *point = &table->points[i];
        point->settled = point->open;
        point->removed = !is_named(config, point);
        if (point->removed)
            continue;
        if (shares < point->shares)
            point->retired_ms = now_ms;
        point->shares = shares;
        steer_least(point);
    }
}

void listen_fill(const struct listen_table *table, const struct config *config, unsigned shares,
                 int *fds)
{
    for (size_t i = 0; i < config->listens_count; i++) {
        const struct listen_point *point = point_of(table, &config->listens[i]);
        for (unsigned share = 0; share < shares; share++)
            fds[share * config->listens_count + i] =
                point && share < point->open ? point->fds[share] : -1;
    }
}

unsigned listen_open_shares(const struct listen_table *table)
{
    unsigned most = 0;
    for (unsigned i = 0; i < table->count; i++)
        if (!table->points[i].removed && table->points[i].open > most)
            most = table->points[i].open;
    return most;
}

bool listen_share_idle(const struct listen_table *table, unsigned share, int64_t now_ms)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct listen_point *point = &table->points[i];
        if (share >= point->open)
            continue;
        if (now_ms - point->retired_ms < LISTEN_RETIRE_MS || listen_queued(point->fds[share]))
            return false;
    }
    return true;
}

void listen_close_share(struct listen_table *table, unsigned share)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct listen_point *point = &table->points[i];
        assert(point->removed || point->open <= share + 1);
        if (point->removed || point->open != share + 1)
            continue;
        socket_close_last(point);
        steer_least(point);
    }
}

unsigned listen_close_removed(struct listen_table *table, bool force)
{
    unsigned left = 0;
    for (unsigned i = table->count; i-- > 0;) {
        struct listen_point *point = &table->points[i];
        unsigned queued = 0;
        if (!point->removed)
            continue;
        for (unsigned share = 0; share < point->open; share++)
            queued += listen_queued(point->fds[share]);
        if (queued && !force)
            left++;
        else
            point_remove(table, point);
    }
    return left;
}

void listen_remove_all(struct listen_table *table)
{
    for (unsigned i = 0; i < table->count; i++)
        table->points[i].removed = true;
}

void listen_finish(struct listen_table *table)
{
    while (table->count)
        point_remove(table, &table->points[table->count - 1]);
}

const struct sockaddr_storage *listen_address(const struct listen_table *table,
                                              const struct config *config, size_t index)
{
    const struct listen_point *point = point_of(table, &config->listens[index]);
    return point ? &point->actual : NULL;
}
