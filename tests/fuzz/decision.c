/* Names that a policy proposes or refuses, one a line; the first byte of each line tells how. */
#include "tests/fuzz/input.h"

#include "policy/decision.h"

static const struct request PAGE = {.scheme = SPAN_LITERAL("https"), .host = SPAN_LITERAL("a.test"),
                                    .path = SPAN_LITERAL("/shop/\xc3\xa9"),
                                    .query = SPAN_LITERAL("q=1")};

static void check(struct decision *decision)
{
    MUST(decision->count <= DECISION_CANDIDATES_MAX && decision->text_used <= DECISION_TEXT_MAX);
    for (unsigned i = 0; i < decision->count; i++) {
        const struct candidate *candidate = &decision->items[i];
        struct span path = candidate->path;
        MUST(path.length > 0 && path.length <= DECISION_PATH_MAX);
        MUST(path.data >= decision->text &&
             path.data + path.length <= decision->text + decision->text_used);
        for (size_t at = 0; at < path.length; at++)
            MUST(path.data[at] > ' ' && path.data[at] < 0x7f && path.data[at] != '#');
        if (candidate->kind != CANDIDATE_PRECONNECT)
            MUST(path.data[0] == '/' && decision_find(decision, path) == candidate);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decision decision;
    struct input input = input_make(data, size);
    decision_reset(&decision);
    while (input.rest.length && input.parts_count < INPUT_PARTS_MAX) {
        uint8_t how = input_byte(&input) % 5;
        struct span name = input_line(&input);
        struct candidate *taken = NULL;
        unsigned before = decision.count;
        if (how == 3) {
            decision_skip(&decision, &PAGE, name, "skips", SPAN_LITERAL("why"));
        } else if (how == 4) {
            decision_take_back(&decision, before / 2, "test");
        } else {
            enum reason reason = decision_add(&decision, &PAGE, (enum candidate_kind)how, name,
                                              "test", &taken);
            MUST(reason < REASONS && (reason == REASON_PENDING) == (taken != NULL));
        }
    }
    check(&decision);
    input_finish(&input);
    return 0;
}
