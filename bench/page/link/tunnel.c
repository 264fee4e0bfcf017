#include "bench/page/link/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define AS_ROOT "run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"

static int failed(struct tunnel_fault *fault, const char *step, const char *advice)
{
    int rc = -errno;
    *fault = (struct tunnel_fault){step, advice};
    return rc;
}

/* ---- settings of the namespace that this process is in ---- */

static bool write_setting(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, value, strlen(value));
    close(fd);
    return n == (ssize_t)strlen(value);
}

/* One visit must not know what the one before learned of the path, and IPv6 would add packets of
 * its own. */
static int set_namespace(struct tunnel_fault *fault)
{
    if (!write_setting("/proc/sys/net/ipv4/tcp_no_metrics_save", "1"))
        return failed(fault, "writing net.ipv4.tcp_no_metrics_save", "/proc/sys must be writable");
    write_setting("/proc/sys/net/ipv6/conf/" TUNNEL_DEVICE "/disable_ipv6", "1");
    return 0;
}

/* ---- the device ---- */

static int open_device(struct tunnel_fault *fault)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return failed(fault, "opening /dev/net/tun", "the kernel needs TUN: modprobe tun");
    strcpy(request.ifr_name, TUNNEL_DEVICE);
    if (ioctl(fd, TUNSETIFF, &request) == 0)
        return fd;
    int rc = failed(fault, "making a TUN device", AS_ROOT);
    close(fd);
    return rc;
}

static bool set_address(int fd, unsigned long what, const char *address)
{
    struct ifreq request = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, address, &in.sin_addr);
    strcpy(request.ifr_name, TUNNEL_DEVICE);
    memcpy(&request.ifr_addr, &in, sizeof(in));
    return ioctl(fd, what, &request) == 0;
}

static bool bring_up(int fd, const char *device)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, device);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return false;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP | IFF_RUNNING);
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static int configure_device(const char *address, const char *peer, struct tunnel_fault *fault)
{
    int rc = 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(fault, "opening a socket", "");
    if (!set_address(fd, SIOCSIFADDR, address) || !set_address(fd, SIOCSIFDSTADDR, peer) ||
        !set_address(fd, SIOCSIFNETMASK, "255.255.255.255") || !bring_up(fd, TUNNEL_DEVICE) ||
        !bring_up(fd, "lo"))
        rc = failed(fault, "giving the device its addresses", AS_ROOT);
    close(fd);
    return rc;
}

/* ---- the route ---- */

struct route_message {
    struct nlmsghdr header;
    struct rtmsg route;
    uint8_t attributes[256];
};

/* Returns the attribute, so that a nested one's length can be set. */
static struct rtattr *add(struct route_message *message, unsigned short type, const void *value,
                          size_t length)
{
    size_t at = NLMSG_ALIGN(message->header.nlmsg_len);
    struct rtattr *attribute = (struct rtattr *)((uint8_t *)message + at);
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(length);
    if (length)
        memcpy(RTA_DATA(attribute), value, length);
    message->header.nlmsg_len = (uint32_t)(at + RTA_ALIGN(attribute->rta_len));
    return attribute;
}

static int exchange(int fd, struct route_message *message)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        uint8_t rest[512];
    } answer;
    if (send(fd, message, message->header.nlmsg_len, 0) < 0)
        return -errno;
    if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
        return -EPROTO;
    return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

/* A namespace may only choose among the congestion controls that its host allows as a default; a
 * route may name any that the kernel has. So the route to the peer is replaced by one that does. */
static int set_route(const char *peer, const char *congestion, struct tunnel_fault *fault)
{
    struct route_message message = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                   .nlmsg_type = RTM_NEWROUTE,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .route = {.rtm_family = AF_INET,
                  .rtm_dst_len = 32,
                  .rtm_table = RT_TABLE_MAIN,
                  .rtm_protocol = RTPROT_BOOT,
                  .rtm_scope = RT_SCOPE_LINK,
                  .rtm_type = RTN_UNICAST}};
    struct in_addr to;
    unsigned index = if_nametoindex(TUNNEL_DEVICE);
    inet_pton(AF_INET, peer, &to);
    add(&message, RTA_DST, &to, sizeof(to));
    add(&message, RTA_OIF, &index, sizeof(index));
    struct rtattr *metrics = add(&message, RTA_METRICS, NULL, 0);
    add(&message, RTAX_CC_ALGO, congestion, strlen(congestion) + 1);
    metrics->rta_len =
        (unsigned short)((uint8_t *)&message + message.header.nlmsg_len - (uint8_t *)metrics);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return failed(fault, "opening a netlink socket", AS_ROOT);
    int rc = exchange(fd, &message);
    close(fd);
    errno = -rc;
    return rc < 0 ? failed(fault, "setting the route and its congestion control",
                           "see net.ipv4.tcp_available_congestion_control for --congestion")
                  : 0;
}

/* ---- both ---- */

int tunnel_open(struct tunnel_end *end, const char *address, const char *peer,
                const char *congestion, struct tunnel_fault *fault)
{
    int rc;
    *end = (struct tunnel_end){-1, -1};
    if (unshare(CLONE_NEWNET) < 0)
        return failed(fault, "making a network namespace", AS_ROOT);
    end->ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (end->ns < 0)
        return failed(fault, "opening /proc/self/ns/net", "/proc must be mounted");
    rc = open_device(fault);
    if (rc < 0)
        goto fail;
    end->device = rc;
    rc = set_namespace(fault);
    if (rc == 0)
        rc = configure_device(address, peer, fault);
    if (rc == 0)
        rc = set_route(peer, congestion, fault);
    if (rc == 0)
        return 0;
fail:
    tunnel_close(end);
    return rc;
}

void tunnel_close(struct tunnel_end *end)
{
    if (end->device >= 0)
        close(end->device);
    if (end->ns >= 0)
        close(end->ns);
    *end = (struct tunnel_end){-1, -1};
}
