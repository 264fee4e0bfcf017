#include "policy/siphash.h"

#include <assert.h>
#include <string.h>

/* Arithmetic on it is done for each lane; the compiler makes of it what the machine has. */
typedef uint64_t lanes __attribute__((vector_size(8 * SIPHASH_LANES)));

struct state {
    lanes v0, v1, v2, v3;
};

#define ROTATED(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline __attribute__((always_inline)) void rounds(struct state *state, unsigned count)
{
    lanes v0 = state->v0, v1 = state->v1, v2 = state->v2, v3 = state->v3;
    for (unsigned i = 0; i < count; i++) {
        v0 += v1;
        v2 += v3;
        v1 = ROTATED(v1, 13) ^ v0;
        v3 = ROTATED(v3, 16) ^ v2;
        v0 = ROTATED(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = ROTATED(v1, 17) ^ v2;
        v3 = ROTATED(v3, 21) ^ v0;
        v2 = ROTATED(v2, 32);
    }
    *state = (struct state){v0, v1, v2, v3};
}

static inline __attribute__((always_inline)) void take(struct state *state, const lanes *word)
{
    state->v3 ^= *word;
    rounds(state, 2);
    state->v0 ^= *word;
}

static inline __attribute__((always_inline)) void begin(struct state *state, const uint8_t key[16])
{
    const lanes zero = {0};
    uint64_t k[2];
    memcpy(k, key, sizeof(k));
    state->v0 = zero + (k[0] ^ UINT64_C(0x736f6d6570736575));
    state->v1 = zero + (k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee);
    state->v2 = zero + (k[0] ^ UINT64_C(0x6c7967656e657261));
    state->v3 = zero + (k[1] ^ UINT64_C(0x7465646279746573));
}

static inline __attribute__((always_inline)) void finish(struct state *state, lanes *low,
                                                         lanes *high)
{
    state->v2 ^= 0xee;
    rounds(state, 4);
    *low = state->v0 ^ state->v1 ^ state->v2 ^ state->v3;
    state->v1 ^= 0xdd;
    rounds(state, 4);
    *high = state->v0 ^ state->v1 ^ state->v2 ^ state->v3;
}

static inline __attribute__((always_inline)) void
hash_four(const uint8_t key[16], unsigned length, uint64_t prefix,
          const uint64_t middle[SIPHASH_LANES], const uint64_t tail[SIPHASH_LANES],
          struct siphash_lanes *hashes)
{
    struct state state;
    lanes first = {0}, second, last, low, high;
    first += prefix;
    memcpy(&second, middle, sizeof(second));
    memcpy(&last, tail, sizeof(last));
    last |= (uint64_t)length << 56;
    begin(&state, key);
    take(&state, &first);
    take(&state, &second);
    take(&state, &last);
    finish(&state, &low, &high);
    memcpy(hashes->low, &low, sizeof(low));
    memcpy(hashes->high, &high, sizeof(high));
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) /* which tries the other */
__attribute__((target("avx2"))) static void
hash_four_avx2(const uint8_t key[16], unsigned length, uint64_t prefix,
               const uint64_t middle[SIPHASH_LANES], const uint64_t tail[SIPHASH_LANES],
               struct siphash_lanes *hashes)
{
    hash_four(key, length, prefix, middle, tail, hashes);
}
#endif

void siphash_four(const uint8_t key[16], unsigned length, uint64_t prefix,
                  const uint64_t middle[SIPHASH_LANES], const uint64_t tail[SIPHASH_LANES],
                  struct siphash_lanes *hashes)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words as they lie in memory");
    assert(length >= 16 && length < 24);
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) /* which tries the other */
    if (__builtin_cpu_supports("avx2")) {
        hash_four_avx2(key, length, prefix, middle, tail, hashes);
        return;
    }
#endif
    hash_four(key, length, prefix, middle, tail, hashes);
}
