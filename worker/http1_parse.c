#include "worker/http1_internal.h"

#include <stdlib.h>

#define TEXT_INLINE 2048     /* bytes of a header block kept without an allocation */
#define METHOD_MAX 32        /* a longer one is no method */
#define LENGTH_DIGITS_MAX 18 /* of Content-Length */

/* A header block as it came, behind its list: the list's texts lie in it. */
struct texts {
    size_t used, room;
    char *heap; /* NULL while `bytes` is enough */
    char bytes[TEXT_INLINE];
};

static char *bytes_of(struct texts *texts)
{
    return texts->heap ? texts->heap : texts->bytes;
}

static void let_go(struct header_list *list)
{
    struct texts *texts = header_list_texts(list);
    free(texts->heap);
    texts->heap = NULL;
    texts->used = texts->room = 0;
}

bool http1_block_add(struct header_list *list, const void *data, size_t length, size_t bytes_max)
{
    struct texts *texts = header_list_texts(list);
    size_t room = texts->heap ? texts->room : TEXT_INLINE;
    if (texts->used + length > room) {
        size_t more = room * 2 > texts->used + length ? room * 2 : texts->used + length;
        if (more > bytes_max && texts->used + length <= bytes_max)
            more = bytes_max;
        char *heap = realloc(texts->heap, more);
        if (!heap)
            return false;
        if (!texts->heap)
            memcpy(heap, texts->bytes, texts->used);
        texts->heap = heap;
        texts->room = more;
    }
    memcpy(bytes_of(texts) + texts->used, data, length);
    texts->used += length;
    return true;
}

size_t http1_block_bytes(struct header_list *list)
{
    return ((struct texts *)header_list_texts(list))->used;
}

/* ---- one field ---- */

/* RFC 9110 5.6.2, in lower case; 0 for what is in no token. */
static const char TOKEN[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b',   ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',   ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',   ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',   ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',   ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',   ['z'] = 'z',
};

static void read_length(struct http1_framing *framing, struct span value)
{
    framing->lengths++;
    framing->length = 0;
    framing->bad_length |= value.length == 0 || value.length > LENGTH_DIGITS_MAX;
    for (size_t i = 0; i < value.length && !framing->bad_length; i++) {
        framing->bad_length = value.data[i] < '0' || value.data[i] > '9';
        framing->length = framing->length * 10 + (unsigned)(value.data[i] - '0');
    }
}

/* Only chunked is understood (RFC 9112 6.1); others before it are another thing than what is no
 * list of tokens. */
static void read_coding(struct http1_framing *framing, struct span value)
{
    framing->codings++;
    if (span_equal_nocase(value, SPAN_LITERAL("chunked"))) {
        framing->chunked = true;
        return;
    }
    struct span item = {0};
    while (value.length) {
        item = span_next(&value, ',');
        framing->bad_coding |= item.length == 0;
        for (size_t i = 0; i < item.length; i++)
            framing->bad_coding |= !TOKEN[(unsigned char)item.data[i]];
    }
    framing->other_coding = true;
    framing->bad_coding |= !span_equal_nocase(item, SPAN_LITERAL("chunked"));
}

static void read_framing(struct http1_framing *framing, struct span name, struct span value)
{
    switch (name.length) {
    case 4:
        framing->hosts += span_equal(name, SPAN_LITERAL("host"));
        break;
    case 6:
        if (!span_equal(name, SPAN_LITERAL("expect")))
            break;
        if (span_equal_nocase(value, SPAN_LITERAL("100-continue")))
            framing->expects_continue = true;
        else
            framing->expects_other = true;
        break;
    case 14:
        if (span_equal(name, SPAN_LITERAL("content-length")))
            read_length(framing, value);
        break;
    case 17:
        if (span_equal(name, SPAN_LITERAL("transfer-encoding")))
            read_coding(framing, value);
        break;
    default:
        break;
    }
}

/* ---- what llhttp tells ---- */

static struct http1 *http1_of(llhttp_t *parser)
{
    return parser->data;
}

static int on_method(llhttp_t *parser, const char *at, size_t length)
{
    struct header_list *list = http1_of(parser)->building;
    if (list->method.data)
        return -1;
    list->method = span_make(at, length);
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct header_list *list = http1_of(parser)->building;
    if (list->target.data)
        return -1;
    list->target = span_make(at, length);
    return 0;
}

/* A header block is parsed in one go, so its names and values come whole; trailers in pieces, of
 * which only the number of bytes matters. */
static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    struct http1 *http1 = http1_of(parser);
    char *name = http1->building ? (char *)(uintptr_t)at : NULL; /* the block is this side's own */
    for (size_t i = 0; i < length; i++) {
        char lower = TOKEN[(unsigned char)at[i]];
        if (!lower)
            return -1;
        if (name)
            name[i] = lower;
    }
    if (http1->has_value) { /* of the one before */
        http1->has_value = false;
        http1->name = http1->value = (struct span){0};
    }
    http1->name = span_make(at, http1->building ? length : http1->name.length + length);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    struct http1 *http1 = http1_of(parser);
    if (http1->building && http1->value.data && http1->value.length)
        return -1; /* what goes on on another line */
    http1->value = span_make(at, http1->building ? length : http1->value.length + length);
    return 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct http1 *http1 = http1_of(parser);
    struct header_list *list = http1->building;
    const struct config_limits *limits = http1->context->limits;
    struct span name = http1->name;
    struct span value = list ? span_trim(http1->value) : http1->value;
    http1->has_value = true;
    http1->value = (struct span){0};
    if (!name.length)
        return -1;
    if (!guard_count_field(http1->guard, name.length + value.length + 32))
        return -1;
    if (!list)
        return 0; /* trailers are read over */
    read_framing(&http1->framing, name, value);
    if (!header_list_count(list, limits, name.length + value.length))
        return 0;
    if (list->count == list->room && !header_list_grow(list, limits->header_fields))
        list->too_large = true;
    else
        header_list_store(list, name, value);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http1 *http1 = http1_of(parser);
    http1->head_complete = true;
    http1->parsed_keep_alive = llhttp_should_keep_alive(parser);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    http1_of(parser)->message_complete = true;
    return 0;
}

/* A chunk of a few bytes is more frame than content, as a DATA frame is. */
static int on_chunk_header(llhttp_t *parser)
{
    struct http1 *http1 = http1_of(parser);
    bool small = parser->content_length && parser->content_length <= 32;
    if (http1->lines.data != parser->content_length)
        return -1;
    return guard_count(http1->guard, small ? GUARD_SMALL_DATA : GUARD_DATA) ? 0 : -1;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    http1_content(http1_of(parser), at, length);
    return 0;
}

/* ---- a header block ---- */

/* What the request line says that llhttp does not understand: a method or a version of some other
 * protocol is no error of syntax (RFC 9110 15.6.2, 15.6.6). */
static int status_of_error(llhttp_errno_t error, struct span block)
{
    struct span line = span_make(block.data, span_find(block, '\r'));
    size_t method = span_find(line, ' ');
    if (error == HPE_INVALID_VERSION) {
        while (span_find(line, ' ') < line.length)
            line = span_after(line, span_find(line, ' ') + 1);
        return line.length == 8 && span_starts(line, SPAN_LITERAL("HTTP/")) && line.data[5] > '0' &&
                       line.data[5] <= '9' && line.data[6] == '.' &&
                       !span_equal(line, SPAN_LITERAL("HTTP/1.1"))
                   ? 505
                   : 400;
    }
    if (error != HPE_INVALID_METHOD || method == 0 || method > METHOD_MAX || method == line.length)
        return 400;
    for (size_t i = 0; i < method; i++)
        if (!TOKEN[(unsigned char)line.data[i]])
            return 400;
    return 501;
}

/* Whether the message's framing can be relied upon; else why not, and what it gets. */
static int judge_framing(const struct http1 *http1, const char **why)
{
    const struct http1_framing *framing = &http1->framing;
    *why = "a transfer coding that is not chunked";
    if (framing->codings > 1 || framing->bad_coding)
        return 400;
    if (framing->other_coding)
        return 501;
    *why = "both a content length and a transfer coding";
    if (framing->codings && framing->lengths)
        return 400;
    *why = "a transfer coding in HTTP/1.0";
    if (framing->codings && http1->old)
        return 400;
    *why = "a content length that is none, or several";
    if (framing->lengths > 1 || framing->bad_length)
        return 400;
    *why = "the length of its content is not clear";
    bool content = framing->chunked || framing->length;
    if (http1->message_complete == content)
        return 400;
    *why = "not one Host field";
    if (framing->hosts > 1 || (!framing->hosts && !http1->old))
        return 400;
    *why = "an expectation that is not 100-continue";
    return framing->expects_other ? 417 : 0;
}

/* "http://host/path" (RFC 9112 3.2.2): its host counts, the Host field does not. Returns false when
 * it is of another scheme. */
static bool read_absolute(struct header_list *list)
{
    struct span scheme = list->scheme, text = list->target;
    if (text.length < scheme.length + 3 ||
        !span_equal_nocase(span_make(text.data, scheme.length), scheme) ||
        !span_starts(span_after(text, scheme.length), SPAN_LITERAL("://")))
        return false;
    text = span_after(text, scheme.length + 3);
    size_t end = 0;
    while (end < text.length && text.data[end] != '/' && text.data[end] != '?')
        end++;
    list->authority = span_make(text.data, end);
    list->host = (struct span){0};
    list->target = span_after(text, end);
    if (!list->target.length) {
        list->target = SPAN_LITERAL("/");
    } else if (list->target.data[0] == '?') { /* the authority makes way for a slash */
        char *authority = (char *)(uintptr_t)text.data - 1;
        memmove(authority, text.data, end);
        authority[end] = '/';
        list->authority.data = authority;
        list->target = span_make(authority + end, list->target.length + 1);
    }
    return true;
}

static int read_target(struct http1 *http1, struct header_list *list)
{
    if (span_equal(list->method, SPAN_LITERAL("CONNECT"))) {
        list->authority = list->target;
        http1->parsed_keep_alive = false; /* what follows may be for the tunnel */
        return 0;
    }
    bool origin_form = list->target.length && list->target.data[0] == '/';
    if (origin_form || span_equal(list->target, SPAN_LITERAL("*"))) {
        list->hostless = !http1->framing.hosts; /* of HTTP/1.0, or it was refused before */
        return 0;
    }
    return read_absolute(list) ? 0 : 400;
}

/* One space on either side of the target, and nothing before the method or behind the version (RFC
 * 9112 3). */
static bool is_request_line(const struct header_list *list, struct span block)
{
    const char *target = list->target.data, *version = target + list->target.length + 1;
    const char *begin = block.data[0] == '\r' ? block.data + 2 : block.data;
    return list->method.data == begin && target == begin + list->method.length + 1 &&
           (size_t)(version - block.data) + 10 <= block.length &&
           memcmp(version, "HTTP/", 5) == 0 && memcmp(version + 8, "\r\n", 2) == 0;
}

int http1_parse(struct http1 *http1, struct header_list *list, const char **why)
{
    struct texts *texts = header_list_texts(list);
    struct span block = span_make(bytes_of(texts), texts->used);
    http1->head_complete = http1->message_complete = http1->has_value = false;
    http1->name = http1->value = (struct span){0};
    http1->framing = (struct http1_framing){0};
    guard_begin_fields(http1->guard);
    llhttp_init(&http1->parser, HTTP_REQUEST, &http1->context->settings);
    http1->parser.data = http1;
    llhttp_errno_t error = llhttp_execute(&http1->parser, block.data, block.length);
    if (error != HPE_OK &&
        error != HPE_PAUSED_UPGRADE) { /* an upgrade is not made (RFC 9110 7.8) */
        *why = llhttp_get_error_reason(&http1->parser);
        return status_of_error(error, block);
    }
    http1->old = http1->parser.http_minor == 0;
    *why = "the version of its protocol";
    if (http1->parser.http_major != 1)
        return http1->parser.http_major > 1 ? 505 : 400;
    *why = "its header block does not end";
    if (!http1->head_complete)
        return 400;
    *why = "its request line";
    if (!is_request_line(list, block))
        return 400;
    header_list_count(list, http1->context->limits, list->target.length);
    int status = judge_framing(http1, why);
    if (status)
        return status;
    *why = "its target";
    return read_target(http1, list);
}

/* ---- life ---- */

void http1_parse_init(struct http1_context *context)
{
    context->lists = (struct header_pool){.texts_size = sizeof(struct texts), .let_go = let_go};
    llhttp_settings_init(&context->settings);
    context->settings.on_method = on_method;
    context->settings.on_url = on_url;
    context->settings.on_header_field = on_field;
    context->settings.on_header_value = on_value;
    context->settings.on_header_value_complete = on_value_complete;
    context->settings.on_headers_complete = on_headers_complete;
    context->settings.on_message_complete = on_message_complete;
    context->settings.on_chunk_header = on_chunk_header;
    context->settings.on_body = on_body;
}
