/* `herald policy VERB`: the verbs about policies. */
#include "master/cmd/policy.h"

static const struct cmd_verb VERBS[] = {
    {"test", cmd_policy_test, "[DIR|FILE]", "run the specs of policies"},
    {"doc", cmd_policy_doc, "[WORD ...]", "print what the policy API says of a word"},
    {0},
};

int cmd_policy(int argc, char **argv)
{
    return cmd_run_verb("policy", VERBS, argc, argv);
}
