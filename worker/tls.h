/* TLS as a transformer of bytes: ciphertext in, plaintext out, and back. OpenSSL is used here only;
 * no socket is touched. One context serves a worker, one struct tls a connection. */
#ifndef HERALD_TLS_H
#define HERALD_TLS_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/segment.h"
#include "master/handoff/span.h"
#include "policy/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context;
struct tls;

enum tls_protocol { TLS_PROTOCOL_NONE, TLS_PROTOCOL_H2, TLS_PROTOCOL_HTTP1 };

/* From here on OpenSSL's memory is blocks (worker/blocks.h): a handshake takes some 1,500 of them. For a
 * process of one thread. Returns false, with nothing changed, when OpenSSL has some of the heap already. */
bool tls_use_blocks(void);

/* The version of OpenSSL that runs. */
const char *tls_library(void);

/* Certificates and keys are loaded from the config's PEM spans, which every entry has by now (the
 * master makes those that no file was named for). Returns 0 or -errno with `fault`: the entry's path
 * or config line, and OpenSSL's reason. */
int tls_context_create(const struct config *config, const struct segment *segment,
                       struct tls_context **context, struct fault *fault);
void tls_context_destroy(struct tls_context *context);

/* Whether somebody else waits for this thread, so long that a handshake which went on at `since_ns` (timer_clock_ns) is
 * to let them pass. */
typedef bool tls_others_wait(void *context, uint64_t since_ns);

/* From here on a handshake whose server part is under way is left where it is when others wait: between
 * two of its steps, of which the longest (a key agreement) takes about half of the whole. tls_receive
 * then returns 0 and tls_pending is true. */
void tls_context_let_pass(struct tls_context *context, tls_others_wait *others_wait, void *argument);

/* Loads every certificate and key and checks that they belong together, and the authorities of
 * origins, for `herald check` and before a generation starts. */
int tls_check(const struct config *config, struct fault *fault);

/* Makes a self-signed ECDSA P-256 certificate for the given host names and addresses, valid for 30
 * days from yesterday. The PEM texts are malloc'd and owned by the caller. Returns 0 or -errno. */
int tls_self_signed(const char *const *names, size_t count, struct span *cert_pem,
                    struct span *key_pem, struct fault *fault);

/* A server-side connection. NULL when memory runs out. */
struct tls *tls_create(struct tls_context *context);
void tls_destroy(struct tls *tls);

/* Where plaintext goes: called with decrypted bytes, borrowed until it returns. A non-zero return
 * stops the decryption and is returned by tls_receive. */
typedef int tls_plaintext(void *context, const void *data, size_t length);

/* Feeds ciphertext from the front of `data`, which then begins behind what was taken: all of it, unless
 * `most` bytes of plaintext came before or others were let pass; the rest is to be fed in another call,
 * which may have no data while tls_pending. Handshake answers and alerts are appended to the output (tls_output). Returns 0;
 * 1 when the peer closed the TLS connection (close_notify); -EPROTO when the connection must end, an
 * alert being in the output then; or what `plaintext` returned. */
int tls_receive(struct tls *tls, struct span *data, size_t most, tls_plaintext *plaintext,
                void *context);

/* True while decrypted bytes, or steps of the handshake, wait for the next tls_receive. */
bool tls_pending(const struct tls *tls);

/* True once the handshake is done; before that nothing may be sent. */
bool tls_ready(const struct tls *tls);

/* Encrypts `length` bytes into records (small ones for the first few, so that the peer can begin to
 * parse early, then 16 KiB), written to `out`, which has room for tls_sealed_max(tls, length) bytes.
 * Returns the number of bytes written, or -EPROTO. */
ptrdiff_t tls_seal(struct tls *tls, const void *data, size_t length, uint8_t *out);
size_t tls_sealed_max(const struct tls *tls, size_t length);

/* The next `length` bytes go into small records, too: a large one can be read only once it has come
 * whole, which on a small congestion window takes another round trip. At most 64 KiB. */
void tls_send_small(struct tls *tls, size_t length);

/* Handshake bytes, tickets and alerts waiting to be sent, as one span, borrowed until the next call
 * on `tls`; tls_output_taken forgets the first `length` bytes of them. Always drain it before bytes
 * sealed later. */
struct span tls_output(const struct tls *tls);
void tls_output_taken(struct tls *tls, size_t length);

/* Appends a close_notify alert to the output. */
void tls_close(struct tls *tls);

enum tls_protocol tls_protocol(const struct tls *tls);

/* The SNI the client sent, or an empty span. */
struct span tls_server_name(const struct tls *tls);

/* True when the connection's certificate is valid for `host` (RFC 6125; wildcards of one label), so
 * that requests for it may be answered and promised here; else 421 (RFC 9110 15.5.20). */
bool tls_covers(const struct tls *tls, struct span host);

bool tls_resumed(const struct tls *tls);

/* The id that travels in this connection's session tickets, minted at the handshake; when the
 * session was resumed with a ticket of ours, the id that ticket carried. */
struct client_id tls_client_id(const struct tls *tls);

#endif
