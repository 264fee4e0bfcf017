#include "worker/shadow.h"

#include "worker/page.h"
#include "worker/stream.h"

#include <stdio.h>

#define EXAMPLES_MAX 8 /* of each shadow version, by one worker */
#define TEXT_MAX 480

struct text {
    char bytes[TEXT_MAX];
    size_t used;
    unsigned differences;
};

/* ---- the time it takes ---- */

bool shadow_affordable(struct worker *worker)
{
    struct shadow_purse *purse = &worker->shadow_purse;
    uint64_t more = (timer_clock_us() - purse->at_us) / SHADOW_SHARE;
    purse->at_us += more * SHADOW_SHARE;
    purse->left_us += (int64_t)more;
    if (purse->left_us > SHADOW_SAVED_US) /* as at first, when it was never filled */
        purse->left_us = SHADOW_SAVED_US;
    return purse->left_us > 0;
}

void shadow_hooks_begin(struct worker *worker)
{
    worker->shadow_purse.began_us = timer_clock_us();
}

void shadow_hooks_end(struct worker *worker)
{
    worker->shadow_purse.left_us -= (int64_t)(timer_clock_us() - worker->shadow_purse.began_us);
}

/* ---- what differs ---- */

static const struct candidate *same_candidate(const struct decision *decision,
                                              const struct candidate *candidate)
{
    for (unsigned i = 0; i < decision->count; i++) {
        const struct candidate *other = &decision->items[i];
        if ((other->kind == CANDIDATE_PRECONNECT) == (candidate->kind == CANDIDATE_PRECONNECT) &&
            span_equal(other->path, candidate->path))
            return other;
    }
    return NULL;
}

/* What the client gets of it. */
static const char *effect(const struct candidate *candidate)
{
    if (!candidate)
        return NULL;
    if (candidate->verdict == REASON_PUSHED || candidate->verdict == REASON_HOLDOUT)
        return "pushed";
    return candidate->verdict == REASON_HINTED ? "hinted" : NULL;
}

/* What became of it only when it was done, and no policy had a part in. */
static bool is_chance(const struct candidate *candidate)
{
    return candidate &&
           (candidate->verdict == REASON_ELSEWHERE || candidate->verdict == REASON_PROTOCOL ||
            candidate->verdict == REASON_NO_MEMORY || candidate->verdict == REASON_TABLE_FULL);
}

static void say(struct text *text, const char *mark, const struct candidate *candidate,
                const char *what, const char *why)
{
    size_t room = sizeof(text->bytes) - text->used;
    int length = snprintf(text->bytes + text->used, room, "%s %s %.*s %s%s%s%s",
                          text->differences ? "," : "", mark, SPAN_PRINT(candidate->path), what,
                          why ? " (" : "", why ? why : "", why ? ")" : "");
    text->differences++;
    if (length > 0 && (size_t)length < room)
        text->used += (size_t)length;
    else
        text->bytes[text->used] = '\0';
}

/* What `page` does and its shadow would not, or not so. */
static void compare_one(const struct candidate *candidate, const struct candidate *other,
                        struct text *text)
{
    const char *now = effect(candidate);
    const char *then = effect(other);
    if (!now || is_chance(other))
        return;
    if (!then)
        say(text, "-", candidate, now, other ? reason_name(other->verdict) : NULL);
    else if (now != then)
        say(text, "~", candidate, then, NULL);
    else if (candidate->urgency != other->urgency || candidate->incremental != other->incremental)
        say(text, "~", candidate, now, "with another urgency");
}

static void compare(const struct decision *page, const struct decision *shadow, struct text *text)
{
    for (unsigned i = 0; i < page->count; i++)
        compare_one(&page->items[i], same_candidate(shadow, &page->items[i]), text);
    for (unsigned i = 0; i < shadow->count; i++) {
        const struct candidate *now = same_candidate(page, &shadow->items[i]);
        const char *then = effect(&shadow->items[i]);
        if (then && !effect(now) && !is_chance(now))
            say(text, "+", &shadow->items[i], then, NULL);
    }
}

static void tell(struct page *page, uint32_t number, const struct text *text)
{
    struct worker *worker = page->worker;
    char line[TEXT_MAX + 256];
    if (worker->shadow_told.number != number)
        worker->shadow_told.number = number, worker->shadow_told.count = 0;
    if (worker->shadow_told.count == EXAMPLES_MAX)
        return;
    worker->shadow_told.count++;
    snprintf(line, sizeof(line), "%.200s %.*s:%s", page->request.id,
             (int)(page->request.path.length < 200 ? page->request.path.length : 200),
             page->request.path.data, text->bytes);
    worker_tell_difference(worker, number, line);
}

void shadow_compare(struct page *page)
{
    struct page *shadow = page->shadow;
    struct text text = {.used = 0};
    if (!shadow)
        return;
    struct segment_version *health = shadow->version ? shadow->version->health : NULL;
    if (shadow->carried_out && health) {
        compare(&page->decision, &shadow->decision, &text);
        policy_version_count(&health->compared);
        if (text.differences) {
            policy_version_count(&health->differing);
            tell(page, shadow->version_number, &text);
        }
    }
    page->shadow = NULL;
    page_leave(shadow);
}
