#include "worker/facts.h"

#include "worker/stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

/* Room for texts that must outlive the header block's own, `size` bytes. */
static char *text_room(struct stream *stream, size_t size)
{
    if (size <= STREAM_TEXT_MAX)
        return stream->text;
    stream->long_text = malloc(size);
    return stream->long_text;
}

/* The host of an authority without its port; an IPv6 address keeps its brackets. */
static struct span host_of(struct span authority)
{
    size_t end = authority.length;
    if (authority.length && authority.data[0] == '[')
        end = span_find(authority, ']') + 1;
    else
        end = span_find(authority, ':');
    return span_make(authority.data, end < authority.length ? end : authority.length);
}

static struct span lower_copy(struct span text, char *out)
{
    for (size_t i = 0; i < text.length; i++)
        out[i] = (char)tolower((unsigned char)text.data[i]);
    return span_make(out, text.length);
}

/* Bytes that an authority may have (RFC 3986 3.2.2 and 3.2.3): no userinfo, no path, no blanks. */
static bool authority_is_sound(struct span authority)
{
    for (size_t i = 0; i < authority.length; i++) {
        unsigned char c = (unsigned char)authority.data[i];
        if (c <= 0x20 || c >= 0x7f || strchr("@/\\?#<>\"{}|^`%", c))
            return false;
    }
    return authority.length > 0;
}

/* :authority, or Host, which must not differ from it (RFC 9113 8.3.1). */
static int choose_authority(struct stream *stream)
{
    const struct header_list *list = stream->headers;
    stream->authority = list->authority.data ? list->authority : list->host;
    if (!authority_is_sound(stream->authority))
        return 400;
    if (list->authority.data && list->host.data &&
        !span_equal_nocase(list->authority, list->host))
        return 400;
    return 0;
}

static int find_site(struct stream *stream)
{
    const struct conn *conn = stream->conn;
    const struct config *config = conn->worker->config;
    if (conn->tls && !tls_covers(conn->tls, stream->request.host))
        return 421;
    stream->site = config_site(config, stream->request.host);
    return stream->site ? 0 : 421;
}

static int read_target(struct stream *stream, char *out)
{
    struct request *request = &stream->request;
    if (!stream->target.length || respond_path(stream->target, out, &request->path, &request->query) < 0)
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
    if (list->too_large)
        return 431;
    int status = choose_authority(stream);
    if (status)
        return status;
    bool options = span_equal(list->method, SPAN_LITERAL("OPTIONS"));
    if (span_equal(list->method, SPAN_LITERAL("CONNECT")) ||
        (options && span_equal(stream->target, SPAN_LITERAL("*"))))
        return 405;
    struct span host = host_of(stream->authority);
    char *text = text_room(stream, host.length + list->target.length + 1);
    if (!text)
        return 500;
    request->host = lower_copy(host, text);
    status = read_target(stream, text + host.length);
    if (status)
        return status;
    status = find_site(stream);
    if (status)
        return status;
    stream->route = config_route(stream->site, request->path);
    for (unsigned i = 0; i < list->count; i++)
        request_read_field(request, stream->authority, &list->fields[i]);
    if (request->dest == AS_UNKNOWN)
        request->dest = asset_as_of_path(request->path);
    return 0;
}

static struct span append(char **at, struct span text)
{
    char *start = *at;
    if (text.length)
        memcpy(start, text.data, text.length);
    *at += text.length;
    return span_make(start, text.length);
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
    request->scheme =
        conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
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
