/* `herald policy diff`: two versions, or one and the files, file by file. */
#include "master/cmd/policy.h"

#include "master/cmd/policy_remote.h"
#include "master/cmd/text_diff.h"
#include "master/policy_store.h"
#include "policy/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One side of the comparison. */
struct side {
    char name[24]; /* "v14", "files" */
    struct bundle *bundle;
    bool is_files; /* the policy directory as it is: without the config's lists */
};

static int open_bundle(struct side *side, int fd, struct fault *fault)
{
    int rc = fd < 0 ? fd : bundle_open(fd, &side->bundle, fault);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The store's files belong to the user that herald runs as, and nobody else may read them. */
static void become_owner(int directory_fd)
{
    struct stat st;
    if (geteuid() == 0 && fstat(directory_fd, &st) == 0 && st.st_uid != 0 &&
        seteuid(st.st_uid) < 0)
        return; /* then they are refused, which says why */
}

static int open_version(struct side *side, const char *store_path, uint32_t number,
                        struct fault *fault)
{
    char path[FAULT_WHERE_MAX];
    struct policy_store store = {.path = path};
    snprintf(path, sizeof(path), "%s", store_path);
    snprintf(side->name, sizeof(side->name), "v%u", number);
    store.directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store.directory_fd < 0)
        return fault_set(fault, -errno, path, 0, "cannot be opened: %s", strerror(errno));
    become_owner(store.directory_fd);
    int rc = open_bundle(side, policy_store_bundle(&store, number, fault), fault);
    close(store.directory_fd);
    return rc;
}

static int open_files(struct side *side, const char *dir, struct fault *fault)
{
    struct config config = {.policy = {.dir = (char *)dir, .dir_fd = -1}};
    snprintf(side->name, sizeof(side->name), "files");
    side->is_files = true;
    config.policy.stock_fd = open(HERALD_STOCK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir)
        config.policy.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    if (config.policy.stock_fd < 0 || (dir && config.policy.dir_fd < 0))
        rc = fault_set(fault, -errno, dir, 0, "cannot be opened: %s", strerror(errno));
    if (rc == 0)
        rc = open_bundle(side, bundle_create(&config, fault), fault);
    if (config.policy.stock_fd >= 0)
        close(config.policy.stock_fd);
    if (config.policy.dir_fd >= 0)
        close(config.policy.dir_fd);
    return rc;
}

static size_t diff_file(struct span name, const struct side *a, const struct side *b)
{
    char left[BUNDLE_NAME_MAX + 40], right[BUNDLE_NAME_MAX + 40];
    struct span before = bundle_find(a->bundle, name);
    struct span after = bundle_find(b->bundle, name);
    snprintf(left, sizeof(left), "%s%s%.*s", before.data ? a->name : "/dev/null",
             before.data ? "/" : "", before.data ? (int)name.length : 0, name.data);
    snprintf(right, sizeof(right), "%s%s%.*s", after.data ? b->name : "/dev/null",
             after.data ? "/" : "", after.data ? (int)name.length : 0, name.data);
    return text_diff(stdout, left, before, right, after);
}

static size_t diff_sides(const struct side *a, const struct side *b)
{
    size_t changed = 0;
    if (!a->is_files && !b->is_files)
        changed += text_diff(stdout, "the sites' lists", bundle_lists(a->bundle),
                             "the sites' lists", bundle_lists(b->bundle));
    for (size_t i = 0; i < bundle_count(a->bundle); i++)
        changed += diff_file(bundle_name(a->bundle, i), a, b);
    for (size_t i = 0; i < bundle_count(b->bundle); i++)
        if (!bundle_find(a->bundle, bundle_name(b->bundle, i)).data)
            changed += diff_file(bundle_name(b->bundle, i), a, b);
    return changed;
}

/* Opens both sides: two versions that were named, the active one and the one named, or the active
 * one and the files. */
static int open_sides(const json_t *policy, const struct cmd_words *words, struct side sides[2],
                      struct fault *fault)
{
    const char *store = json_string_value(json_object_get(policy, "store"));
    const char *dir =
        json_string_value(json_object_get(json_object_get(policy, "files"), "dir"));
    uint32_t numbers[2] = {0};
    for (size_t i = 0; i < words->count; i++)
        if (!policy_remote_number(words->texts[i], &numbers[i]))
            return fault_set(fault, -EINVAL, NULL, 0, "'%s' is no version; say v14", words->texts[i]);
    uint32_t active = (uint32_t)json_integer_value(json_object_get(policy, "active"));
    if (words->count == 1) {
        numbers[1] = numbers[0];
        numbers[0] = active;
    } else if (words->count == 0) {
        numbers[0] = active;
    }
    if (!store || !numbers[0])
        return fault_set(fault, -ENOENT, NULL, 0, "no version is active");
    int rc = words->count == 0 ? open_files(&sides[1], dir, fault)
                               : open_version(&sides[1], store, numbers[1], fault);
    return rc < 0 ? rc : open_version(&sides[0], store, numbers[0], fault);
}

int cmd_policy_diff(int argc, char **argv)
{
    struct remote remote = {0};
    struct fault fault = {0};
    const char *texts[2];
    struct side sides[2] = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy diff",
        "Shows what differs between two versions; between the active one and one version; or,\n"
        "without any, between the active one and the files of policy.dir.",
        options};
    struct cmd_words words = {"[vN [vN]]", texts, 0, 2, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *answer = policy_remote_call(&remote, json_pack("{s:s}", "verb", "policy-list"), &status);
    if (!answer)
        return status;
    int rc = open_sides(json_object_get(answer, "policy"), &words, sides, &fault);
    json_decref(answer);
    if (rc < 0) {
        status = cmd_fault(&fault, remote.json);
    } else {
        size_t changed = diff_sides(&sides[0], &sides[1]);
        if (!changed)
            printf("%s and %s are the same\n", sides[0].name, sides[1].name);
        status = CMD_DONE;
    }
    bundle_close(sides[0].bundle);
    bundle_close(sides[1].bundle);
    return status;
}
