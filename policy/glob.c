#include "policy/glob.h"

bool glob_match(struct span pattern, struct span text, uint32_t *steps)
{
    size_t p = 0, t = 0;
    size_t star = SIZE_MAX; /* the last `*` seen, and the text that it began to stand for */
    size_t mark = 0;
    while (t < text.length || p < pattern.length) {
        if (*steps == 0)
            return false;
        --*steps;
        if (p < pattern.length && pattern.data[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.length && t < text.length &&
                   (pattern.data[p] == '?' || pattern.data[p] == text.data[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX && mark < text.length) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    return true;
}
