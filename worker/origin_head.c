#include "worker/origin_head.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 4096 /* at first */

struct origin_head *origin_head_take(struct origin_heads *heads)
{
    struct origin_head *head = heads->free;
    if (head) {
        heads->free = head->next_free;
    } else {
        head = calloc(1, sizeof(*head));
        if (!head || !(head->text = malloc(TEXT_BYTES))) {
            free(head);
            return NULL;
        }
        head->room = TEXT_BYTES;
    }
    head->status = 0;
    head->complete = head->coded = false;
    head->length = -1;
    head->fields_count = head->used = 0;
    return head;
}

static void head_free(struct origin_head *head)
{
    free(head->text);
    free(head);
}

void origin_head_give(struct origin_heads *heads, struct origin_head *head)
{
    if (head->room > TEXT_BYTES) {
        head_free(head);
        return;
    }
    head->next_free = heads->free;
    heads->free = head;
}

void origin_heads_finish(struct origin_heads *heads)
{
    while (heads->free) {
        struct origin_head *head = heads->free;
        heads->free = head->next_free;
        head_free(head);
    }
}

/* The bytes of a token (RFC 9110 5.6.2) in lower case; 0 for all others. */
static const char TOKEN_BYTES[256] =
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0!\0#$%&'\0\0*+\0-.\0"
    "0123456789\0\0\0\0\0\0"
    "\0abcdefghijklmnopqrstuvwxyz\0\0\0^_"
    "`abcdefghijklmnopqrstuvwxyz\0|\0~";

/* "HTTP/1.1 200 OK"; libcurl writes "HTTP/2 200 " for a head that has no such line. */
static const char *take_status(struct origin_head *head, struct span line)
{
    size_t space = span_find(line, ' ');
    struct span code = span_after(line, space + (space < line.length));
    if (!span_starts(line, SPAN_LITERAL("HTTP/")) || code.length < 3 || code.data[0] < '1' ||
        code.data[0] > '5' || !isdigit((unsigned char)code.data[1]) ||
        !isdigit((unsigned char)code.data[2]) || (code.length > 3 && code.data[3] != ' '))
        return "the status line is none";
    head->status = (code.data[0] - '0') * 100 + (code.data[1] - '0') * 10 + code.data[2] - '0';
    if (head->status == 101)
        return "it switched protocols, which nobody asked for";
    return NULL;
}

/* Makes room for `bytes` more; spans follow the text when it moves. */
static bool reserve(struct origin_head *head, size_t bytes)
{
    size_t room = head->room;
    while (room - head->used < bytes)
        room *= 2;
    if (room == head->room)
        return true;
    char *text = malloc(room);
    if (!text)
        return false;
    memcpy(text, head->text, head->used);
    for (size_t i = 0; i < head->fields_count; i++) {
        head->fields[i].name.data = text + (head->fields[i].name.data - head->text);
        head->fields[i].value.data = text + (head->fields[i].value.data - head->text);
    }
    free(head->text);
    head->text = text;
    head->room = room;
    return true;
}

/* RFC 9112 6.3: one length, or none beside a transfer coding. */
static const char *take_length(struct origin_head *head, struct span value)
{
    int64_t length = 0;
    if (value.length == 0 || value.length > 18)
        return "the Content-Length is none";
    for (size_t i = 0; i < value.length; i++) {
        if (!isdigit((unsigned char)value.data[i]))
            return "the Content-Length is none";
        length = length * 10 + value.data[i] - '0';
    }
    if (head->length >= 0 && head->length != length)
        return "there are two Content-Lengths";
    head->length = length;
    return NULL;
}

static const char *check(struct origin_head *head, const struct field *field)
{
    const char *fault = NULL;
    if (span_equal(field->name, SPAN_LITERAL("content-length")))
        fault = take_length(head, field->value);
    else if (span_equal(field->name, SPAN_LITERAL("transfer-encoding")))
        head->coded = true;
    if (!fault && head->coded && head->length >= 0)
        fault = "there are both Content-Length and Transfer-Encoding";
    return fault;
}

static const char *take_field(struct origin_head *head, struct span line)
{
    size_t colon = span_find(line, ':');
    struct span name = span_make(line.data, colon);
    struct span value = span_trim(span_after(line, colon + (colon < line.length)));
    if (colon == 0 || colon == line.length)
        return "a line of its head is no field";
    for (size_t i = 0; i < value.length; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return "a field's value has a control character";
    }
    if (head->fields_count == ORIGIN_HEAD_FIELDS_MAX ||
        head->used + name.length + value.length > ORIGIN_HEAD_BYTES_MAX)
        return "its head has more than 100 fields or 64 KiB";
    if (!reserve(head, name.length + value.length))
        return "out of memory";
    char *at = head->text + head->used;
    for (size_t i = 0; i < name.length; i++) {
        at[i] = TOKEN_BYTES[(unsigned char)name.data[i]];
        if (!at[i])
            return "a field's name has a character that no name has";
    }
    if (value.length)
        memcpy(at + name.length, value.data, value.length);
    struct field *field = &head->fields[head->fields_count++];
    *field = (struct field){span_make(at, name.length), span_make(at + name.length, value.length)};
    head->used += name.length + value.length;
    return check(head, field);
}

const char *origin_head_line(struct origin_head *head, struct span line)
{
    if (line.length && line.data[line.length - 1] == '\n')
        line.length--;
    if (line.length && line.data[line.length - 1] == '\r')
        line.length--;
    if (!head->status)
        return take_status(head, line);
    if (line.length == 0) {
        head->complete = true;
        return NULL;
    }
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return "a field is folded over two lines";
    return take_field(head, line);
}
