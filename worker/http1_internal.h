/* What the files of http1.h share: http1.c reads requests, http1_parse.c their header blocks,
 * http1_write.c writes responses. */
#ifndef HERALD_HTTP1_INTERNAL_H
#define HERALD_HTTP1_INTERNAL_H

#include "worker/http1.h"
#include "worker/http1_lines.h"

#include <llhttp.h>

#define HTTP1_UNCONSUMED_MAX (64 * 1024) /* bytes of content that nobody has consumed yet */
#define HTTP1_READ_OVER_MAX (64 * 1024)  /* content that is read over to keep the connection */

struct http1_context {
    const struct session_events *events;
    const struct config_limits *limits;
    struct header_pool lists;
    llhttp_settings_t settings;
};

enum http1_phase {
    HTTP1_HEAD,    /* of the next request, or nothing */
    HTTP1_LENGTH,  /* content of known length */
    HTTP1_CHUNKED, /* content in chunks, and trailers */
};

/* What a header block says of its message's framing (RFC 9112 6), counted as it is read. */
struct http1_framing {
    unsigned hosts, lengths, codings;
    bool bad_length, chunked, other_coding, bad_coding;
    bool expects_continue, expects_other;
    uint64_t length;
};

struct http1 {
    struct http1_context *context;
    struct guard *guard;
    void *connection;
    bool secure;

    /* The request being read. */
    enum http1_phase phase;
    struct lines lines;
    llhttp_t parser;
    struct header_list *building; /* its header block is under way, or being parsed */
    uint64_t header_blocks;       /* that have begun */
    struct http1_framing framing;
    struct span name, value; /* of the field being parsed */
    bool has_value;
    bool head_complete, message_complete; /* llhttp has said so */
    bool parsed_keep_alive;
    uint64_t left; /* bytes of the content: LENGTH */
    size_t trailer_bytes;
    size_t unconsumed; /* of those that were handed on */
    uint8_t *input;    /* what came ahead: [input_at, input_end), from the heap */
    size_t input_at, input_end, input_room;

    /* The one under way, which may still be read. */
    void *stream; /* NULL: none */
    int32_t next_id;
    bool old;        /* HTTP/1.0 */
    bool head;       /* HEAD */
    bool keep_alive; /* its client would go on */
    bool expects_continue, continue_due;
    bool torn;           /* it was given up, */
    uint32_t torn_error; /* for this */

    /* Its response. */
    bool answered, head_written, complete, stalled;
    bool content, chunked;
    bool last;      /* the connection ends with it, */
    bool until_end; /* and nothing else tells that it does */
    int status;
    const struct field *fields;
    size_t fields_count;

    struct span pending; /* to be written before anything else: of `pending_heap`, or static */
    char *pending_heap;

    bool closing; /* after the request under way */
    bool deaf;    /* what comes is not looked at any more */
    bool at_end;  /* the peer sends nothing more */
    bool ended;   /* no more is read or answered */
    bool failed;  /* for what the peer sent */
    const char *failure;
};

/* ---- http1_parse.c ---- */

/* Sets up what llhttp calls, and a pool whose lists keep a header block as it came. */
void http1_parse_init(struct http1_context *context);

/* Appends to the list's block, which `bytes_max` bounds, before it is parsed. False when memory
 * runs out. */
bool http1_block_add(struct header_list *list, const void *data, size_t length, size_t bytes_max);
size_t http1_block_bytes(struct header_list *list);

/* Parses the block, which is complete: into `list`, whose texts lie in it, and `http1->framing`.
 * Returns 0, or the status that refuses it, with `why` in words. */
int http1_parse(struct http1 *http1, struct header_list *list, const char **why);

/* ---- http1.c ---- */

/* Content of the request under way. */
void http1_content(struct http1 *http1, const void *data, size_t length);

/* Looks at what came ahead, as far as that is its turn. */
void http1_advance(struct http1 *http1);

/* Nothing is read before the response under way is written, or content is consumed. */
static inline bool http1_is_blocked(const struct http1 *http1)
{
    return (http1->stream && http1->phase == HTTP1_HEAD) ||
           http1->unconsumed >= HTTP1_UNCONSUMED_MAX;
}

static inline size_t http1_input_length(const struct http1 *http1)
{
    return http1->input_end - http1->input_at;
}

/* The stream's last event. */
void http1_close_stream(struct http1 *http1, uint32_t error);

/* No more is read or answered: what is pending is written, and that is all. */
void http1_end(struct http1 *http1);

#endif
