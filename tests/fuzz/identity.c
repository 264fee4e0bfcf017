/* What clients and commands say who they are: nothing but what was made here may be taken. */
#include "tests/fuzz/input.h"

#include "policy/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[IDENTITY_COOKIE_KEY_BYTES] = "thirty-two bytes for the cookie.";
    static const struct span site = SPAN_LITERAL("a.test");
    struct input input = input_make(data, size);
    struct span text = input_take(&input, input.rest.length);
    struct client_id id = {0};
    uint64_t client;
    char made[IDENTITY_COOKIE_LENGTH + 1];
    char shown[IDENTITY_TEXT_LENGTH + 1];
    if (identity_cookie_read(key, site, text, &id)) {
        identity_cookie_make(key, site, &id, made);
        MUST(span_equal(text, span_of(made)));
    }
    if (identity_client_parse(key, text, &client)) {
        identity_client_text(key, client, shown);
        MUST(span_equal(text, span_of(shown)));
    }
    if (text.length >= IDENTITY_BYTES) {
        struct client_id back;
        MUST(identity_unpack(span_make(text.data, IDENTITY_BYTES), &id));
        identity_cookie_make(key, site, &id, made);
        MUST(identity_cookie_read(key, site, span_of(made), &back));
        MUST(memcmp(&back, &id, sizeof(id)) == 0);
        made[text.data[0] & 31] ^= 1;
        MUST(!identity_cookie_read(key, site, span_of(made), &back));
    }
    char *kept = malloc(2 * text.length + 1);
    char *again = malloc(4 * text.length + 1);
    size_t length = identity_cookie_strip(text, kept);
    MUST(length <= 2 * text.length);
    MUST(identity_cookie_strip(span_make(kept, length), again) == length);
    MUST(memcmp(kept, again, length) == 0);
    free(kept);
    free(again);
    input_finish(&input);
    return 0;
}
