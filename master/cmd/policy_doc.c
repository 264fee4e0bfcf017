/* `herald policy doc`: the policy API, from the table that makes it. */
#include "master/cmd/policy.h"

#include "policy/api.h"

#include <stdio.h>

#define WORDS_MAX 16

int cmd_policy_doc(int argc, char **argv)
{
    const char *texts[WORDS_MAX];
    const struct cmd_option options[] = {{0}};
    const struct cmd_syntax syntax = {
        "policy doc", "Prints what the policy API says of each word; of everything without one.",
        options};
    struct cmd_words words = {"[WORD ...]", texts, 0, WORDS_MAX, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    status = CMD_DONE;
    if (words.count == 0)
        api_doc(stdout, NULL);
    for (size_t i = 0; i < words.count; i++) {
        if (i)
            putchar('\n');
        if (api_doc(stdout, texts[i]))
            continue;
        const char *nearest = api_doc_nearest(texts[i]);
        fprintf(stderr, "herald policy doc: the API has no '%s'%s%s%s\n", texts[i],
                nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        status = CMD_FAILED;
    }
    return status;
}
