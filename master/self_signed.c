#include "master/self_signed.h"

#include "worker/tls.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64
#define PEM_BYTES_MAX (64 * 1024)

static bool is_self_signed(const struct config_certificate *certificate)
{
    return !certificate->cert_path;
}

/* What this machine is called from itself, and the sites' names. */
static size_t gather_names(const struct config *config, const char **names)
{
    size_t count = 0;
    names[count++] = "localhost";
    names[count++] = "127.0.0.1";
    names[count++] = "::1";
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].names_count && count < NAMES_MAX; j++)
            if (strcmp(config->sites[i].names[j], "*") != 0)
                names[count++] = config->sites[i].names[j];
    return count;
}

static int append(char **text, size_t *length, const void *data, size_t size)
{
    char *grown = realloc(*text, *length + size + 1);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + *length, data, size);
    *text = grown;
    *length += size;
    return 0;
}

static int append_pem(char **text, size_t *length, struct span pem)
{
    uint32_t size = (uint32_t)pem.length;
    int rc = append(text, length, &size, sizeof(size));
    return rc == 0 ? append(text, length, pem.data, pem.length) : rc;
}

int self_signed_make(struct config *config, char **text, size_t *length, struct fault *fault)
{
    const char *names[NAMES_MAX];
    size_t count = gather_names(config, names);
    int rc = 0;
    *text = NULL;
    *length = 0;
    for (size_t i = 0; rc == 0 && i < config->certificates_count; i++) {
        struct config_certificate *one = &config->certificates[i];
        if (!is_self_signed(one))
            continue;
        rc = tls_self_signed(names, count, &one->cert_pem, &one->key_pem, fault);
        if (rc < 0)
            return rc;
        rc = append_pem(text, length, one->cert_pem);
        if (rc == 0)
            rc = append_pem(text, length, one->key_pem);
        if (rc < 0)
            fault_set(fault, rc, one->file, one->line, "out of memory");
    }
    return rc;
}

/* Cuts one text off `*rest` and copies it. */
static int take_pem(struct span *rest, struct span *pem)
{
    uint32_t size;
    if (rest->length < sizeof(size))
        return -EPROTO;
    memcpy(&size, rest->data, sizeof(size));
    *rest = span_after(*rest, sizeof(size));
    if (size == 0 || size > PEM_BYTES_MAX || size > rest->length)
        return -EPROTO;
    char *copy = malloc(size + 1u);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, rest->data, size);
    copy[size] = '\0';
    *pem = span_make(copy, size);
    *rest = span_after(*rest, size);
    return 0;
}

int self_signed_take(struct config *config, struct span text, struct fault *fault)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < config->certificates_count; i++) {
        struct config_certificate *one = &config->certificates[i];
        if (!is_self_signed(one))
            continue;
        rc = take_pem(&text, &one->cert_pem);
        if (rc == 0)
            rc = take_pem(&text, &one->key_pem);
    }
    if (rc == 0 && text.length)
        rc = -EPROTO;
    return rc == 0 ? 0
                   : fault_set(fault, rc, "tls", 0, "self-signed certificates: %s", strerror(-rc));
}
