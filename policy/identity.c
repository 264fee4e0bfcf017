#include "policy/identity.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAC_BYTES 16
#define TEXT_ROUNDS 4

static_assert(crypto_shorthash_KEYBYTES == IDENTITY_HASH_KEY_BYTES, "SipHash's key");
static_assert(crypto_shorthash_siphashx24_KEYBYTES == IDENTITY_HASH_KEY_BYTES, "SipHash's key");
static_assert((IDENTITY_BYTES + MAC_BYTES) * 4 / 3 == IDENTITY_COOKIE_LENGTH, "base64url");
static_assert(MAC_BYTES >= crypto_generichash_BYTES_MIN, "BLAKE2b's shortest hash");

/* Composed messages start with NUL, which no authority or path does, and then tell their kind. */
struct message {
    uint8_t bytes[2 + 32];
    size_t length;
};

static struct message message_begin(char kind)
{
    return (struct message){.bytes = {0, (uint8_t)kind}, .length = 2};
}

static void message_add(struct message *message, const void *data, size_t length)
{
    assert(message->length + length <= sizeof message->bytes);
    memcpy(message->bytes + message->length, data, length);
    message->length += length;
}

/* A name of any length is hashed where it lies; its 128 bits stand for it in a message. */
static void message_add_name(struct message *message, const uint8_t key[16], struct span name)
{
    uint8_t hash[crypto_shorthash_siphashx24_BYTES];
    const char *data = name.length ? name.data : "";
    crypto_shorthash_siphashx24(hash, (const unsigned char *)data, name.length, key);
    message_add(message, hash, sizeof hash);
}

static uint64_t hash64(const uint8_t key[16], const void *data, size_t length)
{
    uint64_t hash;
    static_assert(sizeof hash == crypto_shorthash_BYTES, "64 bits");
    crypto_shorthash((unsigned char *)&hash, data, length, key);
    return hash;
}

uint64_t identity_hash(const uint8_t key[IDENTITY_HASH_KEY_BYTES], struct span bytes)
{
    return hash64(key, bytes.data, bytes.length);
}

void identity_mint(struct client_id *id)
{
    int rc = sodium_init();
    assert(rc >= 0);
    (void)rc;
    randombytes_buf(id->bytes, sizeof id->bytes);
    id->minted_s = (uint32_t)time(NULL);
}

uint32_t identity_age(const struct client_id *id)
{
    uint64_t now_s = (uint64_t)time(NULL);
    return now_s < id->minted_s ? UINT32_MAX : (uint32_t)(now_s - id->minted_s);
}

void identity_pack(const struct client_id *id, uint8_t bytes[IDENTITY_BYTES])
{
    memcpy(bytes, id->bytes, sizeof id->bytes);
    for (unsigned i = 0; i < 4; i++)
        bytes[sizeof id->bytes + i] = (uint8_t)(id->minted_s >> (8 * i));
}

bool identity_unpack(struct span bytes, struct client_id *id)
{
    if (bytes.length != IDENTITY_BYTES)
        return false;
    memcpy(id->bytes, bytes.data, sizeof id->bytes);
    id->minted_s = 0;
    for (unsigned i = 0; i < 4; i++)
        id->minted_s |= (uint32_t)(uint8_t)bytes.data[sizeof id->bytes + i] << (8 * i);
    return true;
}

uint64_t identity_client(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES],
                         const struct client_id *id, struct span authority)
{
    struct message message = message_begin('c');
    message_add(&message, id->bytes, sizeof id->bytes);
    message_add_name(&message, hash_key, authority);
    return hash64(hash_key, message.bytes, message.length);
}

uint64_t identity_resource(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], struct span authority,
                           struct span path)
{
    struct message message = message_begin('r');
    message_add_name(&message, hash_key, authority);
    message_add_name(&message, hash_key, path);
    return hash64(hash_key, message.bytes, message.length);
}

uint64_t identity_site(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], struct span authority)
{
    struct message message = message_begin('s');
    message_add_name(&message, hash_key, authority);
    return hash64(hash_key, message.bytes, message.length);
}

uint32_t identity_bucket(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                         struct span salt, uint32_t n)
{
    struct message message = message_begin('b');
    message_add(&message, &client, sizeof client);
    message_add_name(&message, hash_key, salt);
    uint64_t hash = hash64(hash_key, message.bytes, message.length);
    return (uint32_t)((hash >> 32) * n >> 32);
}

struct push_key identity_push_key(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                                  uint64_t resource)
{
    struct message message = message_begin('p');
    uint64_t halves[2];
    uint64_t tag;
    static_assert(sizeof halves == crypto_shorthash_siphashx24_BYTES, "128 bits");
    message_add(&message, &client, sizeof client);
    message_add(&message, &resource, sizeof resource);
    crypto_shorthash_siphashx24((unsigned char *)halves, message.bytes, message.length, hash_key);
    tag = halves[1] >> (64 - PUSH_TAG_BITS);
    return (struct push_key){halves[0], tag ? tag : 1};
}

uint64_t identity_voter(const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES], uint64_t client,
                        struct span address, unsigned per_address)
{
    struct message message = message_begin('v');
    if (per_address == 0) {
        message_add(&message, &client, sizeof client);
        return hash64(hash_key, message.bytes, message.length);
    }
    uint64_t seat = client % per_address; /* the stored client is a keyed hash itself */
    message_add(&message, &seat, sizeof seat);
    message_add(&message, address.data, address.length);
    return hash64(hash_key, message.bytes, message.length);
}

/* The key need not be secret: whoever chooses entity tags is trusted with the resource itself. */
uint16_t identity_validator(struct span etag)
{
    static const uint8_t key[16] = "herald validator";
    uint64_t hash = hash64(key, etag.length ? etag.data : "", etag.length);
    return (uint16_t)(hash >> (64 - PUSH_VALIDATOR_BITS));
}

static uint32_t text_round(const uint8_t key[16], unsigned round, uint32_t half)
{
    uint32_t message[2] = {round, half};
    return (uint32_t)hash64(key, message, sizeof message);
}

/* A Feistel network of four rounds makes a permutation of the keyed hash (Luby and Rackoff), so
 * that a text names one client and can be turned back. */
void identity_client_text(const uint8_t log_key[IDENTITY_LOG_KEY_BYTES], uint64_t client,
                          char text[IDENTITY_TEXT_LENGTH + 1])
{
    uint32_t left = (uint32_t)(client >> 32), right = (uint32_t)client;
    for (unsigned round = 0; round < TEXT_ROUNDS; round++) {
        uint32_t mixed = left ^ text_round(log_key, round, right);
        left = right;
        right = mixed;
    }
    static_assert(IDENTITY_TEXT_LENGTH == 16, "two words");
    identity_digits((uint64_t)left << 32 | right, text);
    text[IDENTITY_TEXT_LENGTH] = '\0';
}

static bool parse_hex(struct span text, uint64_t *value)
{
    static const char HEX[] = "0123456789abcdef";
    *value = 0;
    if (text.length != IDENTITY_TEXT_LENGTH)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        const char *digit = text.data[i] ? strchr(HEX, text.data[i]) : NULL;
        if (!digit)
            return false;
        *value = *value << 4 | (uint64_t)(digit - HEX);
    }
    return true;
}

bool identity_client_parse(const uint8_t log_key[IDENTITY_LOG_KEY_BYTES], struct span text,
                           uint64_t *client)
{
    uint64_t value;
    uint32_t left, right;
    if (!parse_hex(text, &value))
        return false;
    left = (uint32_t)(value >> 32);
    right = (uint32_t)value;
    for (unsigned round = TEXT_ROUNDS; round-- > 0;) {
        uint32_t mixed = right ^ text_round(log_key, round, left);
        right = left;
        left = mixed;
    }
    *client = (uint64_t)left << 32 | right;
    return true;
}

static void cookie_mac(const uint8_t key[IDENTITY_COOKIE_KEY_BYTES], struct span site,
                       const uint8_t id[IDENTITY_BYTES], uint8_t mac[MAC_BYTES])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, IDENTITY_COOKIE_KEY_BYTES, MAC_BYTES);
    crypto_generichash_update(&state, id, IDENTITY_BYTES);
    crypto_generichash_update(&state, (const unsigned char *)site.data, site.length);
    crypto_generichash_final(&state, mac, MAC_BYTES);
}

void identity_cookie_make(const uint8_t cookie_key[IDENTITY_COOKIE_KEY_BYTES], struct span site,
                          const struct client_id *id, char value[IDENTITY_COOKIE_LENGTH + 1])
{
    uint8_t whole[IDENTITY_BYTES + MAC_BYTES];
    identity_pack(id, whole);
    cookie_mac(cookie_key, site, whole, whole + IDENTITY_BYTES);
    sodium_bin2base64(value, IDENTITY_COOKIE_LENGTH + 1, whole, sizeof whole,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Encoding what was decoded and comparing the texts refuses every other spelling as well. */
bool identity_cookie_read(const uint8_t cookie_key[IDENTITY_COOKIE_KEY_BYTES], struct span site,
                          struct span value, struct client_id *id)
{
    uint8_t whole[IDENTITY_BYTES + MAC_BYTES];
    char genuine[IDENTITY_COOKIE_LENGTH + 1];
    struct client_id claimed;
    size_t length;
    if (value.length != IDENTITY_COOKIE_LENGTH)
        return false;
    if (sodium_base642bin(whole, sizeof whole, value.data, value.length, NULL, &length, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        length != sizeof whole)
        return false;
    identity_unpack(span_make(whole, IDENTITY_BYTES), &claimed);
    identity_cookie_make(cookie_key, site, &claimed, genuine);
    if (sodium_memcmp(genuine, value.data, IDENTITY_COOKIE_LENGTH) != 0)
        return false;
    *id = claimed;
    return true;
}

bool identity_is_cookie(struct span name)
{
    return span_equal(name, SPAN_LITERAL(IDENTITY_COOKIE_TLS)) ||
           span_equal(name, SPAN_LITERAL(IDENTITY_COOKIE_PLAIN));
}

size_t identity_cookie_strip(struct span list, char *out)
{
    size_t length = 0;
    while (list.length) {
        struct span pair = span_next(&list, ';');
        struct span name = span_trim(span_make(pair.data, span_find(pair, '=')));
        if (pair.length == 0 || identity_is_cookie(name))
            continue;
        if (length) {
            memcpy(out + length, "; ", 2);
            length += 2;
        }
        memcpy(out + length, pair.data, pair.length);
        length += pair.length;
    }
    return length;
}
