#include "worker/facts.h"

#include "worker/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LOCAL_MAX (INET6_ADDRSTRLEN + 9) /* brackets, a colon and a port */

/* Room for texts that must outlive the header block's own, `size` bytes. */
static char *text_room(struct stream *stream, size_t size)
{
    if (size <= STREAM_TEXT_MAX)
        return stream->text;
    stream->long_text = malloc(size);
    return stream->long_text;
}

static struct span append(char **at, struct span text)
{
    char *start = *at;
    if (text.length)
        memcpy(start, text.data, text.length);
    *at += text.length;
    return span_make(start, text.length);
}

/* :authority, or Host, which must not differ from it (RFC 9113 8.3.1). */
static int choose_authority(struct stream *stream)
{
    const struct header_list *list = stream->headers;
    stream->authority = list->authority.data ? list->authority : list->host;
    if (list->authority.data && list->host.data && !span_equal_nocase(list->authority, list->host))
        return 400;
    return 0;
}

/* Writes the address and port that the connection came to, as an authority; the scheme's own port
 * is left out. Returns its length, 0 when it cannot be told. */
static size_t write_local(const struct conn *conn, char out[LOCAL_MAX])
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage local;
    socklen_t length = sizeof(local);
    if (getsockname(conn->fd, (struct sockaddr *)&local, &length) < 0)
        return 0;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&local;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&local;
    bool six = local.ss_family == AF_INET6;
    bool mapped = six && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    unsigned port = ntohs(six ? v6->sin6_port : v4->sin_port);
    if (mapped)
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
    else if (six)
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    else if (local.ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    else
        return 0;
    int n = snprintf(out, LOCAL_MAX, six && !mapped ? "[%s]" : "%s", text);
    if (port != (conn_is_secure(conn) ? 443 : 80))
        n += snprintf(out + n, LOCAL_MAX - (size_t)n, ":%u", port);
    return (size_t)n;
}

/* Fills host and site in; the host lies in `text`, which has room for the authority. Returns 0 or a
 * status. */
static int find_site(struct stream *stream, char *text)
{
    const struct conn *conn = stream->conn;
    struct worker *worker = conn->worker;
    struct span *host = &stream->request.host;
    const struct authority *known =
        authority_find(&worker->authorities, worker->config, stream->authority);
    if (known) {
        memcpy(text, known->host, known->host_length);
        *host = span_make(text, known->host_length);
        stream->site = known->site;
    } else {
        if (!authority_is_sound(stream->authority))
            return 400;
        *host = authority_host(stream->authority, text);
        stream->site = config_site(worker->config, *host);
    }
    if (conn->tls && !stream->headers->hostless && !tls_covers(conn->tls, *host))
        return 421; /* a request without a name is for whichever name its client connected to */
    return stream->site ? 0 : 421;
}

static int read_target(struct stream *stream, char *out)
{
    struct request *request = &stream->request;
    if (!stream->target.length ||
        respond_path(stream->target, out, &request->path, &request->query) < 0)
        return 400;
    return 0;
}

int facts_read(struct stream *stream)
{
    const struct header_list *list = stream->headers;
    struct request *request = &stream->request;
    request->context = stream;
    stream->target = list->target;
    request->method = list->method;
    request->scheme = list->scheme;
    request->fields = list->fields;
    request->fields_count = list->count;
    stream->head = span_equal(list->method, SPAN_LITERAL("HEAD"));
    if (list->refusal)
        return list->refusal;
    if (list->too_large)
        return 431;
    int status = choose_authority(stream);
    if (status)
        return status;
    char local[LOCAL_MAX];
    if (list->hostless)
        stream->authority = span_make(local, write_local(stream->conn, local));
    char *text = text_room(stream, stream->authority.length * 2 + list->target.length + 1);
    if (!text)
        return 500;
    if (list->hostless)
        stream->authority = append(&text, stream->authority);
    int site_status = find_site(stream, text);
    if (site_status == 400)
        return 400;
    bool options = span_equal(list->method, SPAN_LITERAL("OPTIONS"));
    if (span_equal(list->method, SPAN_LITERAL("CONNECT")) ||
        span_equal(list->method, SPAN_LITERAL("TRACE")) ||
        (options && span_equal(stream->target, SPAN_LITERAL("*"))))
        return 405;
    status = read_target(stream, text + stream->authority.length);
    if (status || site_status)
        return status ? status : site_status;
    stream->route = config_route(stream->site, request->path);
    for (unsigned i = 0; i < list->count; i++)
        request_read_field(request, stream->authority, &list->fields[i]);
    return 0;
}

int facts_promise(struct stream *stream, const struct stream *parent,
                  const struct candidate *candidate)
{
    struct request *request = &stream->request;
    const struct request *page = &parent->request;
    struct span coding =
        field_find(page->fields, page->fields_count, SPAN_LITERAL("accept-encoding"));
    char *text = text_room(stream, parent->authority.length + page->host.length +
                                       candidate->path.length * 2 + coding.length + 8);
    if (!text)
        return -ENOMEM;
    stream->site = parent->site;
    request->context = stream;
    request->method = SPAN_LITERAL("GET");
    request->scheme = conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
    stream->authority = append(&text, parent->authority);
    request->host = append(&text, page->host);
    stream->target = append(&text, candidate->path);
    if (respond_path(stream->target, text, &request->path, &request->query) < 0)
        return -EINVAL;
    text += stream->target.length;
    if (coding.data) {
        stream->promised_field.name = SPAN_LITERAL("accept-encoding");
        stream->promised_field.value = append(&text, coding);
        request->fields = &stream->promised_field;
        request->fields_count = 1;
    }
    request->dest = candidate->as;
    return 0;
}
