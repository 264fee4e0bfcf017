/* A connection's bytes as they are, cut as the first byte tells; the second byte tells when
 * requests are answered and how. Each request is told of once, after the one before has closed;
 * what is written is read back as a client would: whole responses, the last of them perhaps broken
 * off. */
#include "tests/default_limits.h"
#include "tests/fuzz/http1_answers.h"

static char wire[WIRE_MAX + 1]; /* a NUL behind it */
static size_t written;

/* Writes all that can be written now. */
static void drain(size_t room)
{
    ptrdiff_t n;
    unsigned rounds = 0;
    do {
        uint8_t *out = malloc(room);
        n = http1_produce(http1, out, room);
        MUST(n >= 0 && (size_t)n <= room && ++rounds < 20000);
        MUST(written + (size_t)n <= WIRE_MAX);
        memcpy(wire + written, out, (size_t)n);
        written += (size_t)n;
        free(out);
        if (n == 0 && exchange_go_on())
            n = 1;
    } while (n > 0);
}

/* Feeds the bytes in pieces that are blocks of their own. */
static void feed(struct span bytes, size_t piece, size_t room)
{
    while (bytes.length && !http1_done(http1)) {
        size_t n = piece < bytes.length ? piece : bytes.length;
        char *copy = malloc(n);
        memcpy(copy, bytes.data, n);
        MUST(http1_receive(http1, copy, n) == 0);
        free(copy);
        bytes = span_after(bytes, n);
        drain(room);
        MUST(http1_open_streams(http1) == exchange.open);
    }
}

/* Takes a line off the text. Returns false when it does not end. */
static bool read_line(struct span *text, struct span *line)
{
    size_t end = span_find(*text, '\n');
    if (end >= text->length)
        return false;
    MUST(end > 0 && text->data[end - 1] == '\r');
    *line = span_make(text->data, end - 1);
    *text = span_after(*text, end + 1);
    return true;
}

static bool read_octets(struct span *text, size_t length)
{
    if (text->length < length)
        return false;
    *text = span_after(*text, length);
    return true;
}

static bool read_chunks(struct span *text)
{
    struct span line;
    size_t size = 1;
    while (size) {
        if (!read_line(text, &line))
            return false;
        size = strtoul(line.data, NULL, 16);
        if (!read_octets(text, size) || !read_line(text, &line))
            return false;
        MUST(line.length == 0);
    }
    return true;
}

/* Takes one response off the text, to a HEAD or not. Returns its status; 0 where it breaks off. */
static int read_response(struct span *text, bool head)
{
    struct span line;
    bool chunked = false, sized = false;
    size_t length = 0;
    MUST(read_line(text, &line) && span_starts(line, SPAN_LITERAL("HTTP/1.1 ")));
    int status = atoi(line.data + 9);
    MUST(status >= 100 && status <= 599);
    do {
        MUST(read_line(text, &line)); /* heads come whole */
        MUST(!span_starts(line, SPAN_LITERAL("z:")));
        chunked |= span_equal(line, SPAN_LITERAL("transfer-encoding: chunked"));
        if (span_starts(line, SPAN_LITERAL("content-length: "))) {
            MUST(!sized);
            sized = true;
            length = (size_t)atol(line.data + 16);
        }
    } while (line.length);
    MUST(!chunked || !sized);
    if (head || status < 200 || status == 204 || status == 304)
        return status;
    if (chunked)
        return read_chunks(text) ? status : 0;
    return read_octets(text, sized ? length : text->length) ? status : 0;
}

/* Every response that was ended is there whole, and nothing else. */
static void read_back(void)
{
    struct span text = span_make(wire, written);
    unsigned whole = 0;
    wire[written] = '\0';
    while (text.length) {
        MUST(whole < exchange.told);
        int status = read_response(&text, exchange.heads[whole]);
        whole += status >= 200;
        if (!status)
            break;
    }
    MUST(whole >= exchange.ended);
    MUST(text.length == 0 || exchange.broken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t now_ms = 1000;
    struct input input = input_make(data, size);
    struct guard guard;
    uint8_t how = input_byte(&input);
    size_t piece = (size_t)(how & 31) * (how & 31) + 1, room = how & 32 ? HTTP2_ROOM_MIN : 70000;
    exchange_reset(input_byte(&input));
    written = 0;
    if (!answers_context)
        MUST((answers_context = http1_context_create(&EVENTS, &DEFAULT_LIMITS)) != NULL);
    guard_init(&guard, &DEFAULT_LIMITS, &now_ms);
    http1 = http1_create(answers_context, &guard, how & 64, &answers_context);
    feed(input.rest, piece, room);
    if (how & 128)
        http1_shutdown_notice(http1);
    http1_receive_end(http1);
    drain(room);
    read_back();
    http1_goaway(http1);
    http1_destroy(http1);
    exchange_finish();
    return 0;
}
