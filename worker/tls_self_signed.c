#include "worker/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S (24L * 60 * 60)
#define VALID_DAYS 30
#define NAMES_TEXT_MAX 4096

static bool is_address(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool added = extension && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_names(X509 *x509, const char *const *names, size_t count)
{
    char text[NAMES_TEXT_MAX];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(text + used, sizeof(text) - used, "%s%s:%s", i ? "," : "",
                         is_address(names[i]) ? "IP" : "DNS", names[i]);
        if (n < 0 || (size_t)n >= sizeof(text) - used)
            return false;
        used += (size_t)n;
    }
    return add_extension(x509, NID_subject_alt_name, text);
}

static bool fill_in(X509 *x509, EVP_PKEY *key, const char *const *names, size_t count)
{
    X509_NAME *subject = X509_get_subject_name(x509);
    uint64_t serial;
    if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
        return false;
    return X509_set_version(x509, 2) && /* version 3 */
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial >> 1) &&
           X509_gmtime_adj(X509_getm_notBefore(x509), -DAY_S) &&
           X509_gmtime_adj(X509_getm_notAfter(x509), VALID_DAYS * DAY_S) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"herald self-signed", -1, -1, 0) &&
           X509_set_issuer_name(x509, subject) && X509_set_pubkey(x509, key) &&
           add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
           add_names(x509, names, count) && X509_sign(x509, key, EVP_sha256());
}

/* The BIO's text as a malloc'd span. */
static bool take_text(BIO *bio, struct span *out)
{
    char *data;
    long length = BIO_get_mem_data(bio, &data);
    char *copy = length > 0 ? malloc((size_t)length) : NULL;
    if (!copy)
        return false;
    memcpy(copy, data, (size_t)length);
    *out = span_make(copy, (size_t)length);
    return true;
}

static bool write_texts(X509 *x509, EVP_PKEY *key, struct span *cert_pem, struct span *key_pem)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool done = bio && PEM_write_bio_X509(bio, x509) && take_text(bio, cert_pem);
    BIO_free(bio);
    bio = done ? BIO_new(BIO_s_mem()) : NULL;
    done = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) &&
           take_text(bio, key_pem);
    BIO_free(bio);
    return done;
}

int tls_self_signed(const char *const *names, size_t count, struct span *cert_pem,
                    struct span *key_pem, struct fault *fault)
{
    int rc = 0;
    *cert_pem = *key_pem = (struct span){0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    if (!key || !x509 || !fill_in(x509, key, names, count) ||
        !write_texts(x509, key, cert_pem, key_pem)) {
        rc = fault_set(fault, -EINVAL, "the self-signed certificate", 0, "cannot be made: %s",
                       tls_reason());
        free((char *)(uintptr_t)cert_pem->data);
        *cert_pem = (struct span){0};
    }
    X509_free(x509);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}
