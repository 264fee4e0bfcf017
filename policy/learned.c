#include "policy/learned.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define EPOCH_BITS 12
#define EPOCH_MASK 0xfffu
#define TAG_SHIFT 44
#define EPOCH_SHIFT 32
#define FULL_BITS 24 /* of an epoch: it ends */
#define NEWER_BITS 8 /* of an epoch: it decides by itself which share asks for an asset */
#define EXPIRED_S (4 * LEARNED_EPOCH_S)
#define FORGOTTEN_MINUTES (2 * LEARNED_EPOCH_S / 60)
#define TRIES_MAX 8
#define PAGE_STRENGTH 2 /* a page without its cell loses all its assets */

#define TOUCH_MINUTE_SHIFT 20
#define TOUCH_MINUTE_MASK 0xffffffu
#define TOUCH_PLACE_SHIFT 12
#define TOUCH_AS_SHIFT 4
#define TOUCH_IS_PAGE 1u
#define TOUCH_CORS 2u

static_assert(sizeof(struct learned_bucket) == 1536, "a bucket is 24 cache lines");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

/* A page as its bucket knows it. */
struct view {
    struct learned_bucket *bucket;
    uint64_t page;
    struct learned_cell *cell; /* the page's own; NULL: it has none */
    uint32_t tag;              /* of that */
    uint32_t epoch;
    uint32_t now;  /* the bits of the epoch under way */
    uint32_t last; /* and of the one before */
};

int learned_attach(struct learned *learned, void *base, size_t bytes)
{
    uint64_t buckets = bytes / sizeof(struct learned_bucket);
    if (!base || (uintptr_t)base % 64 != 0 || bytes % sizeof(struct learned_bucket) != 0)
        return -EINVAL;
    if (buckets == 0 || (buckets & (buckets - 1)) != 0)
        return -EINVAL;
    *learned = (struct learned){base, buckets - 1, (uintptr_t)learned | 1};
    return 0;
}

static uint64_t mix(uint64_t n)
{
    n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ^ n >> 31;
}

static uint32_t tag_of(uint64_t page, uint64_t key)
{
    uint32_t tag = (uint32_t)(mix(page + mix(key)) >> TAG_SHIFT);
    return tag ? tag : 1;
}

static uint32_t bit_of(uint64_t page, uint64_t voter)
{
    return UINT32_C(1) << (mix(page ^ voter) >> 59);
}

static bool swap(_Atomic uint64_t *at, uint64_t old, uint64_t new)
{
    return atomic_compare_exchange_strong_explicit(at, &old, new, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* ---- words of an epoch ---- */

static uint64_t word_make(uint32_t tag, uint32_t epoch, uint32_t bits)
{
    return (uint64_t)tag << TAG_SHIFT | (uint64_t)(epoch & EPOCH_MASK) << EPOCH_SHIFT | bits;
}

static bool word_is(uint64_t word, uint32_t tag, uint32_t epoch)
{
    return word >> EPOCH_SHIFT == word_make(tag, epoch, 0) >> EPOCH_SHIFT;
}

static uint32_t bits_in(const _Atomic uint64_t words[2], uint32_t tag, uint32_t epoch)
{
    uint64_t word = load(&words[epoch & 1]);
    return word_is(word, tag, epoch) ? (uint32_t)word : 0;
}

/* Whether `a` is a later epoch than `b`. */
static bool is_later(uint32_t a, uint32_t b)
{
    return ((a - b) & EPOCH_MASK) - 1 < EPOCH_MASK / 2;
}

static uint32_t word_epoch(uint64_t word)
{
    return (uint32_t)(word >> EPOCH_SHIFT) & EPOCH_MASK;
}

static void set_bit(_Atomic uint64_t words[2], uint32_t tag, uint32_t epoch, uint32_t bit)
{
    _Atomic uint64_t *at = &words[epoch & 1];
    for (unsigned try = 0; try < TRIES_MAX; try++) {
        uint64_t word = load(at);
        uint64_t new = word | bit;
        if (word >> TAG_SHIFT == tag && is_later(word_epoch(word), epoch))
            return; /* others are ahead */
        if (!word_is(word, tag, epoch))
            new = word_make(tag, epoch, bit);
        if (new == word || swap(at, word, new))
            return;
    }
}

/* ---- cells ---- */

static uint32_t touch_tag(uint64_t touch)
{
    return (uint32_t)(touch >> TAG_SHIFT);
}

static uint64_t touch_make(uint32_t tag, uint64_t now_s, uint8_t place, uint8_t as, unsigned flags)
{
    return (uint64_t)tag << TAG_SHIFT | (now_s / 60 & TOUCH_MINUTE_MASK) << TOUCH_MINUTE_SHIFT |
           (uint64_t)place << TOUCH_PLACE_SHIFT | (uint64_t)as << TOUCH_AS_SHIFT | flags;
}

static uint32_t touch_age(uint64_t touch, uint64_t now_s)
{
    uint32_t age = (uint32_t)(now_s / 60 - (touch >> TOUCH_MINUTE_SHIFT)) & TOUCH_MINUTE_MASK;
    return age > TOUCH_MINUTE_MASK / 2 ? 0 : age; /* another process is ahead */
}

static struct learned_cell *find_cell(struct learned_bucket *bucket, uint64_t key, uint32_t tag)
{
    for (unsigned i = 0; i < LEARNED_CELLS; i++)
        if (load(&bucket->keys[i]) == key && touch_tag(load(&bucket->cells[i].touch)) == tag)
            return &bucket->cells[i];
    return NULL;
}

static unsigned strength_of(const struct learned_cell *cell, uint64_t now_s)
{
    if (touch_age(load(&cell->touch), now_s) >= FORGOTTEN_MINUTES)
        return 0;
    uint32_t bits = (uint32_t)load(&cell->votes[0]) | (uint32_t)load(&cell->votes[1]);
    unsigned strength = (unsigned)__builtin_popcount(bits);
    return load(&cell->touch) & TOUCH_IS_PAGE ? strength + PAGE_STRENGTH : strength;
}

/* A cell for a newcomer: a free one, or the weakest with the odds of 1 to 2^strength, but not the
 * page's own. So what comes often gets in, and what is strong stays. Returns NULL when luck is
 * against it. */
static struct learned_cell *take_cell(struct learned *learned, const struct view *view,
                                      uint64_t key, uint64_t touch, uint64_t now_s)
{
    struct learned_bucket *bucket = view->bucket;
    unsigned weakest = 0, least = UINT32_MAX;
    for (unsigned i = 0; i < LEARNED_CELLS && least > 0; i++) {
        unsigned strength = load(&bucket->keys[i]) ? 1 + strength_of(&bucket->cells[i], now_s) : 0;
        if (strength < least && &bucket->cells[i] != view->cell) {
            weakest = i;
            least = strength;
        }
    }
    uint64_t old = load(&bucket->keys[weakest]);
    learned->random = mix(learned->random + UINT64_C(0x9e3779b97f4a7c15));
    if (least > 1 && learned->random >> (64 - (least - 1)) != 0)
        return NULL;
    if (!swap(&bucket->keys[weakest], old, key))
        return NULL;
    struct learned_cell *cell = &bucket->cells[weakest];
    for (unsigned i = 0; i < 2; i++) {
        atomic_store_explicit(&cell->votes[i], 0, memory_order_relaxed);
        atomic_store_explicit(&cell->held[i], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&cell->touch, touch, memory_order_relaxed);
    return cell;
}

/* Once a minute at most, so that the cell's line is not written by every visit. */
static void touch_cell(struct learned_cell *cell, uint64_t touch, uint64_t now_s)
{
    uint64_t old = load(&cell->touch);
    if (touch_age(old, now_s) == 0)
        return;
    uint8_t place =
        (uint8_t)(((old >> TOUCH_PLACE_SHIFT & 0xff) * 3 + (touch >> TOUCH_PLACE_SHIFT & 0xff)) /
                  4);
    touch = (touch & ~(UINT64_C(0xff) << TOUCH_PLACE_SHIFT)) | (uint64_t)place << TOUCH_PLACE_SHIFT;
    atomic_store_explicit(&cell->touch, touch, memory_order_relaxed);
}

/* ---- pages ---- */

/* A page's cell is found by a key that no resource has. */
static uint64_t page_key(uint64_t page)
{
    uint64_t key = mix(~page);
    return key ? key : 1;
}

static struct view view_page(const struct learned *learned, uint64_t page)
{
    struct view view = {.bucket = &learned->buckets[page & learned->mask], .page = page};
    view.tag = tag_of(page, page_key(page));
    view.cell = find_cell(view.bucket, page_key(page), view.tag);
    if (!view.cell)
        return view;
    uint64_t words[2] = {load(&view.cell->votes[0]), load(&view.cell->votes[1])};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t epoch = word_epoch(words[i]);
        if (words[i] >> TAG_SHIFT != view.tag || (epoch & 1) != i)
            continue;
        if (!view.now || is_later(epoch, view.epoch)) {
            view.epoch = epoch;
            view.now = (uint32_t)words[i];
        }
    }
    view.last = bits_in(view.cell->votes, view.tag, view.epoch - 1);
    return view;
}

/* How long ago the epoch began, in seconds; `known` is false when a process died before it could
 * say so. */
static uint64_t epoch_age(const struct view *view, uint64_t now_s, bool *known)
{
    uint64_t word = load(&view->cell->held[view->epoch & 1]);
    *known = word_is(word, view->tag, view->epoch);
    uint32_t minutes = (uint32_t)(now_s / 60) - (uint32_t)word;
    return *known && minutes < UINT32_MAX / 2 ? (uint64_t)minutes * 60 : 0;
}

static void say_epoch_began(const struct view *view, uint64_t now_s)
{
    atomic_store_explicit(&view->cell->held[view->epoch & 1],
                          word_make(view->tag, view->epoch, (uint32_t)(now_s / 60)),
                          memory_order_relaxed);
}

/* The epoch to note in: another begins when the one under way is full or old. */
static void choose_epoch(struct view *view, uint64_t now_s)
{
    bool known;
    uint64_t age_s = epoch_age(view, now_s, &known);
    if (!known)
        say_epoch_began(view, now_s);
    unsigned bits = (unsigned)__builtin_popcount(view->now);
    if (bits < FULL_BITS && age_s < LEARNED_EPOCH_S)
        return;
    view->epoch = (view->epoch + (age_s < EXPIRED_S ? 1 : 2)) & EPOCH_MASK;
    say_epoch_began(view, now_s);
}

/* The visit counts for the page. Returns false when the page has no cell and got none. */
static bool note_visit(struct learned *learned, struct view *view, uint64_t voter, uint64_t now_s)
{
    uint64_t touch = touch_make(view->tag, now_s, 0, 0, TOUCH_IS_PAGE);
    if (!view->cell) {
        view->cell = take_cell(learned, view, page_key(view->page), touch, now_s);
        if (!view->cell)
            return false;
    }
    if (!view->now) /* nobody has voted yet: any epoch will do, if others choose the same */
        view->epoch = (uint32_t)(now_s / 60) & EPOCH_MASK;
    choose_epoch(view, now_s);
    set_bit(view->cell->votes, view->tag, view->epoch, bit_of(view->page, voter));
    touch_cell(view->cell, touch, now_s);
    return true;
}

bool learned_note(struct learned *learned, uint64_t page, uint64_t voter,
                  const struct learned_asset *asset, uint64_t now_s)
{
    struct view view = view_page(learned, page);
    if (!note_visit(learned, &view, voter, now_s))
        return false;
    uint32_t tag = tag_of(page, asset->resource);
    uint64_t touch =
        touch_make(tag, now_s, asset->place, asset->as, asset->crossorigin ? TOUCH_CORS : 0);
    struct learned_cell *cell = find_cell(view.bucket, asset->resource, tag);
    if (!cell)
        cell = take_cell(learned, &view, asset->resource, touch, now_s);
    if (!cell)
        return false;
    set_bit(cell->votes, tag, view.epoch, bit_of(page, voter));
    touch_cell(cell, touch, now_s);
    return true;
}

void learned_held(struct learned *learned, uint64_t page, uint64_t voter,
                  bool (*holds)(void *context, uint64_t resource), void *context, uint64_t now_s)
{
    struct view view = view_page(learned, page);
    (void)now_s;
    if (!view.cell)
        return;
    for (unsigned i = 0; i < LEARNED_CELLS; i++) {
        struct learned_cell *cell = &view.bucket->cells[i];
        uint64_t key = load(&view.bucket->keys[i]);
        uint32_t tag = tag_of(page, key);
        if (key && cell != view.cell && touch_tag(load(&cell->touch)) == tag && holds(context, key))
            set_bit(cell->held, tag, view.epoch, bit_of(page, voter));
    }
}

/* ---- what follows from it ---- */

/* How many voters it takes to set so many of 32 bits, in the mean, times 8: -32 ln(1 - k / 32). */
static const uint16_t VOTERS[33] = {0,   8,   17,  25,  34,  43,  53,  63,  74,  85,  96,
                                    108, 120, 133, 147, 162, 177, 194, 212, 231, 251, 273,
                                    298, 325, 355, 389, 429, 475, 532, 606, 710, 887, 1064};

static unsigned voters(uint32_t bits)
{
    return VOTERS[__builtin_popcount(bits)];
}

/* Of the voters that came without the asset, the share that asked for it, in percent. */
static unsigned percent_of(uint32_t came, uint32_t asked, uint32_t held)
{
    unsigned without = voters(came & ~(held & ~asked));
    unsigned percent = without ? voters(asked & came) * 100 / without : 0;
    return percent > 100 ? 100 : percent;
}

static void judge(const struct view *view, const struct learned_cell *cell, uint32_t tag,
                  struct learned_asset *asset)
{
    uint32_t now = bits_in(cell->votes, tag, view->epoch);
    uint32_t last = bits_in(cell->votes, tag, view->epoch - 1);
    uint32_t held = bits_in(cell->held, tag, view->epoch);
    asset->seen = (uint8_t)__builtin_popcount(now | last);
    if (__builtin_popcount(view->now & ~(held & ~now)) >= NEWER_BITS) {
        asset->percent = (uint8_t)percent_of(view->now, now, held);
        return;
    }
    held |= bits_in(cell->held, tag, view->epoch - 1);
    asset->percent = (uint8_t)percent_of(view->now | view->last, now | last, held);
}

/* Sorts `asset` in behind those that are asked for no later. The last one falls out when full. */
static unsigned insert(struct learned_asset *assets, unsigned count, unsigned room,
                       const struct learned_asset *asset)
{
    unsigned at = count;
    for (unsigned i = 0; i < count; i++)
        if (assets[i].resource == asset->resource)
            return count; /* two processes took a cell each */
    while (at > 0 && assets[at - 1].place > asset->place)
        at--;
    if (at == room)
        return count;
    unsigned moved = (count < room ? count : room - 1) - at;
    memmove(&assets[at + 1], &assets[at], moved * sizeof(*assets));
    assets[at] = *asset;
    return count < room ? count + 1 : room;
}

unsigned learned_next(const struct learned *learned, uint64_t page, const struct learned_wish *wish,
                      uint64_t now_s, struct learned_asset *assets, unsigned room,
                      struct learned_page *known)
{
    struct view view = view_page(learned, page);
    unsigned count = 0;
    bool began;
    if (known)
        *known = (struct learned_page){view.epoch, voters(view.now | view.last) / 8};
    if (!view.cell)
        return 0;
    if (epoch_age(&view, now_s, &began) >= EXPIRED_S) {
        if (known)
            known->visitors = 0;
        return 0;
    }
    for (unsigned i = 0; i < LEARNED_CELLS; i++) {
        const struct learned_cell *cell = &view.bucket->cells[i];
        struct learned_asset asset = {.resource = load(&view.bucket->keys[i])};
        uint64_t touch = load(&cell->touch);
        uint32_t tag = tag_of(page, asset.resource);
        if (!asset.resource || cell == view.cell || touch_tag(touch) != tag)
            continue;
        judge(&view, cell, tag, &asset);
        if (asset.seen < wish->min_seen || asset.percent < wish->min_percent)
            continue;
        asset.place = (uint8_t)(touch >> TOUCH_PLACE_SHIFT);
        asset.as = (uint8_t)(touch >> TOUCH_AS_SHIFT);
        asset.crossorigin = touch & TOUCH_CORS;
        count = insert(assets, count, room, &asset);
    }
    return count;
}

bool learned_watches(const struct learned_page *known, uint64_t page, uint64_t client)
{
    uint64_t every = known->visitors < 4 ? 4 : known->visitors > 16 ? 16 : known->visitors;
    return mix(client + mix(page + known->epoch)) % every == 0;
}

/* Minutes are kept modulo their bits, and so are differences of them. */
static void rebase_cell(struct learned_cell *cell, uint32_t minutes)
{
    uint64_t touch = load(&cell->touch);
    uint64_t minute = ((touch >> TOUCH_MINUTE_SHIFT) + minutes) & TOUCH_MINUTE_MASK;
    touch &= ~((uint64_t)TOUCH_MINUTE_MASK << TOUCH_MINUTE_SHIFT);
    atomic_store_explicit(&cell->touch, touch | minute << TOUCH_MINUTE_SHIFT, memory_order_relaxed);
    for (unsigned i = 0; touch & TOUCH_IS_PAGE && i < 2; i++) { /* when its epochs began */
        uint64_t word = load(&cell->held[i]);
        if (word)
            atomic_store_explicit(&cell->held[i],
                                  (word & ~(uint64_t)UINT32_MAX) |
                                      (uint32_t)((uint32_t)word + minutes),
                                  memory_order_relaxed);
    }
}

void learned_rebase(struct learned *learned, uint64_t saved_boottime_s, uint64_t saved_age_s,
                    uint64_t now_s)
{
    uint32_t minutes =
        (uint32_t)(now_s / 60) - (uint32_t)(saved_boottime_s / 60) - (uint32_t)(saved_age_s / 60);
    for (uint64_t at = 0; minutes && at <= learned->mask; at++) {
        struct learned_bucket *bucket = &learned->buckets[at];
        for (unsigned i = 0; i < LEARNED_CELLS; i++)
            if (load(&bucket->keys[i]))
                rebase_cell(&bucket->cells[i], minutes);
    }
}

struct learned_load learned_walk(const struct learned *learned)
{
    struct learned_load load_now = {.room = (learned->mask + 1) * LEARNED_CELLS};
    for (uint64_t at = 0; at <= learned->mask; at++) {
        const struct learned_bucket *bucket = &learned->buckets[at];
        for (unsigned i = 0; i < LEARNED_CELLS; i++) {
            if (!load(&bucket->keys[i]))
                continue;
            if (load(&bucket->cells[i].touch) & TOUCH_IS_PAGE)
                load_now.pages++;
            else
                load_now.assets++;
        }
    }
    return load_now;
}
