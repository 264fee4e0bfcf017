/* `herald policy VERB`: the verbs about policies. */
#include "master/cmd/policy.h"

static const struct cmd_verb VERBS[] = {
    {"load", cmd_policy_load, "[FILE|DIR]", "make a version of the files, on every worker"},
    {"use", cmd_policy_use, "vN", "make a version the active one"},
    {"rollback", cmd_policy_rollback, "", "make the one before active again"},
    {"watch", cmd_policy_watch, "", "load and use the files whenever they change"},
    {"list", cmd_policy_list, "", "list the versions"},
    {"show", cmd_policy_show, "[vN]", "tell what is known of a version"},
    {"diff", cmd_policy_diff, "[vN [vN]]", "show what differs between versions, or from the files"},
    {"canary", cmd_policy_canary, "vN PERCENT|off", "let a share of the clients have a version"},
    {"shadow", cmd_policy_shadow, "vN|off", "ask a version beside the active one"},
    {"discard", cmd_policy_discard, "vN", "remove a version from the disk"},
    {"new", cmd_policy_new, "NAME", "write a policy to start from, and its spec"},
    {"check", cmd_policy_check, "", "compile the policies, say what looks wrong"},
    {"test", cmd_policy_test, "[DIR|FILE|NAME]", "run the specs of policies"},
    {"doc", cmd_policy_doc, "[WORD ...]", "print what the policy API says of a word"},
    {0},
};

int cmd_policy(int argc, char **argv)
{
    return cmd_run_verb("policy", VERBS, argc, argv);
}
