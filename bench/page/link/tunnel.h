/* Two network namespaces, each with one TUN device whose only peer is the other's.
 *
 * The namespaces have no name: they exist as long as this process (which holds them open) or a
 * process inside of them does, so that nothing is left however this process ends. */
#ifndef PAGE_LINK_TUNNEL_H
#define PAGE_LINK_TUNNEL_H

#include <stddef.h>

#define TUNNEL_DEVICE "link0"
#define TUNNEL_SERVER "10.77.0.1"
#define TUNNEL_CLIENT "10.77.0.2"

struct tunnel_end {
    int ns;     /* the namespace */
    int device; /* the TUN device: a read is a packet that was sent there, a write one that arrives
                 */
};

/* A failed step: what was being done, and how it may be allowed. */
struct tunnel_fault {
    const char *step, *advice;
};

/* Makes a namespace and moves this process into it. address, peer: of this end and of the other.
 * congestion: the name of a TCP congestion control, used whatever the machine's default is. Returns
 * 0, or -errno with *fault filled; then nothing is left open. */
int tunnel_open(struct tunnel_end *end, const char *address, const char *peer,
                const char *congestion, struct tunnel_fault *fault);

void tunnel_close(struct tunnel_end *end);

#endif
