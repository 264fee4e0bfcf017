/* The authorities that origins' certificates are checked by, as libcurl will read them. */
#include "worker/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* The certificates in a PEM text, or -1 when a part of it is broken. */
static int count_certificates(struct span pem)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.length);
    STACK_OF(X509_INFO) *parts = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    int count = parts ? 0 : -1;
    for (int i = 0; parts && i < sk_X509_INFO_num(parts); i++)
        count += sk_X509_INFO_value(parts, i)->x509 != NULL;
    sk_X509_INFO_pop_free(parts, X509_INFO_free);
    BIO_free(bio);
    return count;
}

static int check_origin(const struct config_origin *origin, struct fault *fault)
{
    if (!origin->servers_count || !origin->ca)
        return 0;
    ERR_clear_error();
    int count = count_certificates(origin->ca_pem);
    if (count > 0)
        return 0;
    if (count == 0)
        return fault_set(fault, -EINVAL, origin->file, origin->line,
                         "origin.ca \"%s\" has no PEM certificate in it", origin->ca);
    return fault_set(fault, -EINVAL, origin->file, origin->line,
                     "origin.ca \"%s\" cannot be read: %s", origin->ca, tls_reason());
}

int tls_check_authorities(const struct config *config, struct fault *fault)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < config->sites_count; i++)
        for (size_t j = 0; rc == 0 && j < config->sites[i].routes_count; j++)
            rc = check_origin(&config->sites[i].routes[j].origin, fault);
    return rc;
}
