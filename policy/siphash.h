/* SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), of
 * four messages at once. One alone waits for itself at every step; four take little longer. */
#ifndef HERALD_SIPHASH_H
#define HERALD_SIPHASH_H

#include <stdint.h>

#define SIPHASH_LANES 4

struct siphash_lanes {
    uint64_t low[SIPHASH_LANES], high[SIPHASH_LANES]; /* as libsodium's siphashx24 writes them */
};

/* Hashes four messages of `length` bytes, 16 to 23, under `key`: the 8 bytes `prefix`, then each one's 8
 * of `middle`, then what is left in the lowest bytes of each one's `tail`, whose others are 0. All are
 * little-endian words. */
void siphash_four(const uint8_t key[16], unsigned length, uint64_t prefix,
                  const uint64_t middle[SIPHASH_LANES], const uint64_t tail[SIPHASH_LANES],
                  struct siphash_lanes *hashes);

#endif
