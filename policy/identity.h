/* Names for clients and resources that may lie in shared memory, logs and cookies: keyed hashes, so
 * that nobody outside can choose a collision and no raw name is kept.
 *
 * A client is 128 random bits, minted here, carried by its cookie or TLS ticket and never shown; the
 * time of minting goes with them, so that it is known how old a belief about the client can be.
 * The stored client, a keyed 64-bit hash of those bits and the site, is all that the server keeps;
 * one browser has unrelated stored clients on two sites. Keys come from the secrets segment. */
#ifndef HERALD_IDENTITY_H
#define HERALD_IDENTITY_H

#include "master/handoff/span.h"
#include "policy/push_word.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define IDENTITY_HASH_KEY_BYTES 16
#define IDENTITY_LOG_KEY_BYTES 16
#define IDENTITY_COOKIE_KEY_BYTES 32
#define IDENTITY_COOKIE_LENGTH 48
#define IDENTITY_TEXT_LENGTH 16

struct client_id {
    uint8_t bytes[16];
    uint32_t minted_s; /* since 1970; not part of the name */
};

static_assert(sizeof(struct client_id) == 20, "no padding: ids are compared and stored whole");

/* SipHash-2-4: for tables in memory whose keys clients choose. */
uint64_t identity_hash(const uint8_t key[IDENTITY_HASH_KEY_BYTES], struct span bytes);

/* A new client: 128 bits from the kernel, minted now. */
void identity_mint(struct client_id *id);

/* The stored client of `id` on the site named `authority`. */
uint64_t identity_client(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES],
                         const struct client_id *id, struct span authority);

/* The keyed id of the resource at `path` (with its query) of `authority`. Does not depend on the
 * client, so it may be computed once and kept with the resource. Both names are taken byte by byte:
 * the caller has normalised them. */
uint64_t identity_resource(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], struct span authority,
                           struct span path);

/* The keyed id of a site, by its first name. */
uint64_t identity_site(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], struct span authority);

/* A number from 0 to n - 1 that stays the same for a client, for experiments; one with another
 * `salt` deals anew. n is at most 2^32. */
uint32_t identity_bucket(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                         struct span salt, uint32_t n);

/* Where the push table keeps what `client` knows of `resource`. */
struct push_key identity_push_key(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                                  uint64_t resource);

/* Whom a request counts for where distinct clients are counted (policy/names.h, policy/learned.h).
 * Ids are had for the asking, so the clients of one address come to `per_address` voters at most; 0:
 * each client is one. `address`: up to 16 bytes of what one subscriber has, in network order. */
uint64_t identity_voter(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                        struct span address, unsigned per_address);

/* 12 bits of the version of a resource, from its entity tag or whatever tells its versions apart;
 * every value occurs, 0 too. The same on every machine and after every restart. One change in 4,096
 * goes unnoticed. */
uint16_t identity_validator(struct span etag);

/* Sixteen hexadecimal digits in lower case, eight at once: a nibble in each byte, and 39 more where it
 * is a letter. No NUL. */
static inline void identity_digits(uint64_t number, char digits[16])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (int half = 0; half < 2; half++, digits += 8, number <<= 32) {
        uint64_t spread = number >> 32;
        spread = (spread | spread << 16) & UINT64_C(0x0000ffff0000ffff);
        spread = (spread | spread << 8) & UINT64_C(0x00ff00ff00ff00ff);
        spread = (spread | spread << 4) & (ones * 15);
        uint64_t letters = ((spread + ones * 6) >> 4) & ones;
        uint64_t text = htobe64(spread + ones * '0' + letters * ('a' - '0' - 10));
        memcpy(digits, &text, sizeof(text));
    }
}

/* The stored client as people see it, in logs and commands: IDENTITY_TEXT_LENGTH hexadecimal digits
 * and a NUL. Only who has `log_key` can turn it back. */
void identity_client_text(const uint8_t log_key[IDENTITY_LOG_KEY_BYTES], uint64_t client,
                          char text[IDENTITY_TEXT_LENGTH + 1]);

/* The inverse, for commands that name a client. Returns false for anything that
 * identity_client_text does not write. Every well-formed text is some client's. */
bool identity_client_parse(const uint8_t log_key[IDENTITY_LOG_KEY_BYTES], struct span text,
                           uint64_t *client);

/* Seconds since `id` was minted; UINT32_MAX when the wall clock stands before that. */
uint32_t identity_age(const struct client_id *id);

/* As tickets carry it: IDENTITY_BYTES of it, the same on every machine. identity_unpack returns
 * false for another length. */
#define IDENTITY_BYTES 20
void identity_pack(const struct client_id *id, uint8_t bytes[IDENTITY_BYTES]);
bool identity_unpack(struct span bytes, struct client_id *id);

/* The cookie's value: `id`, its time and a MAC over both and `site`, as base64url without padding,
 * IDENTITY_COOKIE_LENGTH characters and a NUL. */
void identity_cookie_make(const uint8_t cookie_key[IDENTITY_COOKIE_KEY_BYTES], struct span site,
                          const struct client_id *id, char value[IDENTITY_COOKIE_LENGTH + 1]);

/* What the cookie is called: over TLS, where browsers hold it to its host, and in cleartext. */
#define IDENTITY_COOKIE_TLS "__Host-herald"
#define IDENTITY_COOKIE_PLAIN "herald"

bool identity_is_cookie(struct span name);

/* Copies a Cookie field's value (RFC 6265 4.2.1) without our cookies: what others than the server
 * itself may see of it. `out` has room for 2 * list.length bytes. Returns the bytes written, 0
 * when nothing is left. */
size_t identity_cookie_strip(struct span list, char *out);

/* Reads what identity_cookie_make wrote for the same site and key. Returns false, with `id`
 * untouched, for a value that is forged, truncated, re-encoded or another site's; the comparison
 * takes the same time wherever they differ. */
bool identity_cookie_read(const uint8_t cookie_key[IDENTITY_COOKIE_KEY_BYTES], struct span site,
                          struct span value, struct client_id *id);

#endif
