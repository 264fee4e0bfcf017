#include "worker/blocks.h"
#include "worker/tls.h"

#include <openssl/crypto.h>

/* OpenSSL tells where it asks from, which is of no use here. */

static void *on_malloc(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return blocks_take(bytes);
}

static void *on_realloc(void *memory, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    if (bytes)
        return blocks_resize(memory, bytes);
    blocks_give(memory);
    return NULL;
}

static void on_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    blocks_give(memory);
}

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

bool tls_use_blocks(void)
{
    return CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) == 1;
}
