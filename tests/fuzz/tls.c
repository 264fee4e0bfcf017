/* Bytes at a handshake, cut as the first byte tells. */
#include "tests/fuzz/input.h"

#include "worker/tls.h"

#include <errno.h>

static struct tls_context *make_context(void)
{
    static char any[] = "*", named[] = "*.a.test";
    static struct config_certificate certificates[] = {{.sni = any}, {.sni = named}};
    static const struct config config = {.certificates = certificates, .certificates_count = 2};
    static struct segment segment;
    struct tls_context *context = NULL;
    struct fault fault = {0};
    for (size_t i = 0; i < 2; i++) {
        const char *name = i ? named : "localhost";
        MUST(tls_self_signed(&name, 1, &certificates[i].cert_pem, &certificates[i].key_pem,
                             &fault) == 0);
    }
    MUST(segment_create(&segment, 1 << 20, &fault) == 0);
    MUST(tls_context_create(&config, &segment, &context, &fault) == 0);
    return context;
}

static int on_plaintext(void *context, const void *data, size_t length)
{
    (void)context, (void)data, (void)length;
    abort(); /* nobody knows the keys */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_context *context;
    struct input input = input_make(data, size);
    if (!context)
        context = make_context();
    struct tls *tls = tls_create(context);
    size_t piece = 1 + (size_t)input_byte(&input) * 8;
    int rc = 0;
    MUST(tls);
    while (rc == 0 && input.rest.length) {
        struct span bytes = input_take(&input, piece);
        rc = tls_receive(tls, &bytes, SIZE_MAX, on_plaintext, NULL);
        MUST(rc == 0 || rc == 1 || rc == -EPROTO);
        MUST(!tls_ready(tls) && !tls_resumed(tls));
        tls_output_taken(tls, tls_output(tls).length / 2);
        input_finish(&input);
    }
    struct span name = tls_server_name(tls);
    MUST(name.length < 256 && span_find(name, 0) == name.length);
    tls_covers(tls, name);
    tls_close(tls);
    tls_output_taken(tls, tls_output(tls).length);
    tls_destroy(tls);
    return 0;
}
