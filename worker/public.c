#include "worker/public.h"

#include "policy/names.h"
#include "worker/stream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define PER_ADDRESS_DEFAULT (NAMES_SEEN_MIN - 1) /* so that one address alone is never enough */
#define IPV6_SITE_BYTES 6                        /* a subscriber has at most a /48 */

/* A promised request has no fields to judge by, and nobody sent it. */
bool public_answer(const struct stream *stream)
{
    const struct request *request = &stream->request;
    if (stream->pushed || span_find(stream->target, '?') < stream->target.length)
        return false;
    if (stream->response.status != 200 && stream->response.status != 304)
        return false;
    if (field_find(request->fields, request->fields_count, SPAN_LITERAL("authorization")).data)
        return false;
    bool cookies = client_other_cookies(stream->conn, request->fields, request->fields_count);
    return respond_is_public(&stream->response, cookies);
}

static void read_address(struct conn *conn)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    conn->address_bytes = 1; /* all whose address cannot be told are one */
    if (getpeername(conn->fd, (struct sockaddr *)&peer, &length) < 0)
        return;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;
    const uint8_t *bytes = (const uint8_t *)&v4->sin_addr;
    conn->address_bytes = 4;
    if (peer.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        bytes = &v6->sin6_addr.s6_addr[12];
    } else if (peer.ss_family == AF_INET6) {
        bytes = v6->sin6_addr.s6_addr;
        conn->address_bytes = IPV6_SITE_BYTES;
        conn->address_local = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    if (conn->address_bytes == 4)
        conn->address_local = bytes[0] == 127;
    memcpy(conn->address, bytes, conn->address_bytes);
}

/* What connects from the loopback is a proxy or a test: its address tells nothing of its clients. */
uint64_t public_voter(const struct stream *stream)
{
    struct conn *conn = stream->conn;
    const uint8_t *key = conn->worker->handoff->segment->secrets->hash_key;
    unsigned per_address = conn->worker->config->clients.per_address;
    if (conn->address_bytes == 0)
        read_address(conn);
    if (per_address == 0)
        per_address = conn->address_local ? 0 : PER_ADDRESS_DEFAULT;
    return identity_voter(key, stream->client.stored,
                          span_make(conn->address, conn->address_bytes), per_address);
}

uint32_t public_note(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    const uint8_t *key = worker->handoff->segment->secrets->hash_key;
    struct span site = span_of(stream->site->names[0]);
    if (!public_answer(stream))
        return 0;
    stream_identify(stream);
    return names_note(&worker->names, identity_resource(key, site, stream->target),
                      public_voter(stream), site, stream->target, worker->timers.now_ms / 1000);
}
