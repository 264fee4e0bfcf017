/* What may be known of a request to everyone: names in memory that all clients' answers come from.
 *
 * A name is kept only when no query is part of it, the request carried no credentials, and the
 * answer is one that a shared cache may hand to anybody (RFC 9111 3, 3.5); and its text only once
 * NAMES_SEEN_MIN voters asked for it (policy/names.h). */
#ifndef HERALD_PUBLIC_H
#define HERALD_PUBLIC_H

#include <stdbool.h>
#include <stdint.h>

struct stream;

/* Whether the name of what `stream` asked for may count towards becoming public. Its response must
 * be built; a pushed stream's never counts: nobody asked. */
bool public_answer(const struct stream *stream);

/* Whom the stream's client counts for (identity_voter): itself, or one of the few voters that its
 * address has. Needs stream->client to be known. Asks the kernel for the address, once a
 * connection. */
uint64_t public_voter(const struct stream *stream);

/* Counts the stream's client for the name of what it asked for, when public_answer says so.
 * Identifies the client. Returns the name's id when it is public, else 0. */
uint32_t public_note(struct stream *stream);

#endif
