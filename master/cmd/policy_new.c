/* `herald policy new`: a policy to start from, and a spec that passes, in policy.dir. */
#include "master/cmd/policy.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 40

static const char POLICY[] =
    "-- What goes with the pages of this site. Every hook is optional; remove those you don't "
    "need.\n"
    "-- herald policy doc WORD explains each word; herald policy test runs %s_spec.lua.\n"
    "return {\n"
    "  api = 1,\n"
    "  args = { max_images = \"integer?\" }, -- set in the config: { \"%s.lua\", max_images = 2 }\n"
    "  applies = { dest = \"document\", path = \"/*\" }, -- other requests never come here\n"
    "\n"
    "  -- Before the response is known: what surely goes with this page.\n"
    "  on_request = function(req, push)\n"
    "    if req.save_data then\n"
    "      return false, \"save_data\" -- nothing is proposed, and the log says why\n"
    "    end\n"
    "    push:add(\"/site.css\")\n"
    "    if req.path == \"/\" then\n"
    "      push:add(\"/hero.webp\", { urgency = 5, why = \"above the fold\" })\n"
    "    end\n"
    "  end,\n"
    "\n"
    "  -- Judges each candidate, whoever proposed it: nothing returned accepts it.\n"
    "  on_push = function(req, r)\n"
    "    if r.as == \"image\" and (req.client.rtt_ms or 0) > 300 then\n"
    "      return \"hint\", \"slow connection\"\n"
    "    end\n"
    "  end,\n"
    "}\n";

static const char SPEC[] =
    "-- What %s.lua is to do. Run it: herald policy test %s\n"
    "return {\n"
    "  files = { [\"/site.css\"] = \"4KiB\", [\"/hero.webp\"] = \"30KiB\" }, -- what the site has\n"
    "\n"
    "  { \"the front page gets its picture, too\",\n"
    "    request = \"/\",\n"
    "    push = { \"/site.css\", \"/hero.webp\" },\n"
    "  },\n"
    "  { \"what the client holds is not sent again\",\n"
    "    request = \"/about\",\n"
    "    client = { holds = { \"/site.css\" } },\n"
    "    push = {},\n"
    "    verdicts = { [\"/site.css\"] = \"held\" },\n"
    "  },\n"
    "  { \"a slow client is told of the picture, and decides itself\",\n"
    "    client = { rtt_ms = 500 },\n"
    "    push = { \"/site.css\" },\n"
    "    hint = { \"/hero.webp\" },\n"
    "  },\n"
    "  { \"nobody who saves data is pushed anything\",\n"
    "    request = { headers = { [\"save-data\"] = \"on\" } },\n"
    "    push = {},\n"
    "    nothing = \"save_data\",\n"
    "  },\n"
    "}\n";

/* The name without ".lua", or NULL with what is wrong. */
static const char *check_name(const char *given, char name[NAME_MAX_BYTES + 1], struct fault *fault)
{
    size_t length = strlen(given);
    if (length > 4 && strcmp(given + length - 4, ".lua") == 0)
        length -= 4;
    bool good = length > 0 && length <= NAME_MAX_BYTES;
    for (size_t i = 0; i < length && good; i++)
        good = isalnum((unsigned char)given[i]) || given[i] == '_' || (given[i] == '-' && i > 0);
    if (good && length >= 5 && strncmp(given + length - 5, "_spec", 5) == 0)
        good = false;
    if (!good) {
        fault_set(fault, -EINVAL, NULL, 0,
                  "'%.80s' cannot be a policy's name: up to %d letters, digits, '-' and '_', not "
                  "ending in _spec",
                  given, NAME_MAX_BYTES);
        return NULL;
    }
    memcpy(name, given, length);
    name[length] = '\0';
    return name;
}

static int exists(int folder, const char *folder_name, const char *file, struct fault *fault)
{
    char path[FAULT_WHERE_MAX];
    if (faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    snprintf(path, sizeof(path), "%s/%s", folder_name, file);
    return fault_set(fault, -EEXIST, path, 0, "is there already; nothing was written");
}

static int write_file(int folder, const char *folder_name, const char *file, const char *text,
                      const char *name, struct fault *fault)
{
    char path[FAULT_WHERE_MAX];
    snprintf(path, sizeof(path), "%s/%s", folder_name, file);
    int fd = openat(folder, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        int rc = fault_set(fault, -errno, path, 0, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (const char *at = text; *at; at++) {
        if (at[0] == '%' && at[1] == 's') {
            fputs(name, out);
            at++;
        } else {
            fputc(*at, out);
        }
    }
    return fclose(out) == 0 ? 0 : fault_set(fault, -errno, path, 0, "%s", strerror(errno));
}

/* Opens the folder; one that is missing is made, where its own folder is there. */
static int open_folder(const char *name)
{
    int fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && mkdir(name, 0755) == 0)
        fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int write_both(const char *folder_name, const char *name, struct fault *fault)
{
    char policy[NAME_MAX_BYTES + 8], spec[NAME_MAX_BYTES + 16];
    snprintf(policy, sizeof(policy), "%s.lua", name);
    snprintf(spec, sizeof(spec), "%s_spec.lua", name);
    int folder = open_folder(folder_name);
    if (folder < 0)
        return fault_set(fault, folder, folder_name, 0, "%s", strerror(-folder));
    int rc = exists(folder, folder_name, policy, fault);
    if (rc == 0)
        rc = exists(folder, folder_name, spec, fault);
    if (rc == 0)
        rc = write_file(folder, folder_name, policy, POLICY, name, fault);
    if (rc == 0)
        rc = write_file(folder, folder_name, spec, SPEC, name, fault);
    close(folder);
    return rc;
}

/* policy.dir of the config, or the folder that was named. */
static int find_folder(const char *dir, const char *path, char **folder, struct fault *fault)
{
    struct config_source source;
    struct config *config = NULL;
    int rc = 0;
    *folder = dir ? strdup(dir) : NULL;
    if (dir)
        return *folder ? 0 : -ENOMEM;
    rc = cmd_source(path, NULL, &source, fault);
    if (rc == 0)
        rc = stage_load(&source, &config, fault);
    if (rc == 0 && !config->policy.dir)
        rc = fault_set(fault, -EINVAL, config->path, 0,
                       "names no policy folder; add: policy = { dir = \"policies\" }");
    if (rc == 0)
        *folder = strdup(config->policy.dir);
    config_destroy(config);
    return rc;
}

int cmd_policy_new(int argc, char **argv)
{
    const char *texts[1] = {NULL}, *path = NULL, *dir = NULL;
    char name[NAME_MAX_BYTES + 1];
    char *folder = NULL;
    bool json = false;
    struct fault fault = {0};
    const struct cmd_option options[] = {
        {"--config", 'c', "FILE", "the config whose policy.dir is meant", &path, NULL},
        {"--dir", 0, "DIR", "write there instead", &dir, NULL},
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {"policy new",
                                      "Writes a policy to start from, and its spec, into "
                                      "policy.dir, which is made if it is missing;\n"
                                      "overwrites nothing.",
                                      options};
    struct cmd_words words = {"NAME", texts, 1, 1, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    int rc = check_name(texts[0], name, &fault) ? 0 : -EINVAL;
    if (rc == 0)
        rc = find_folder(dir, path, &folder, &fault);
    if (rc == 0)
        rc = write_both(folder, name, &fault);
    if (rc < 0)
        status = cmd_fault(&fault, json);
    else
        status = CMD_DONE;
    if (rc == 0 && json)
        printf("{\"ok\":true,\"policy\":\"%s.lua\",\"spec\":\"%s_spec.lua\"}\n", name, name);
    else if (rc == 0)
        printf("%s/%s.lua and %s_spec.lua; edit them, then: herald policy test %s/%s.lua\n"
               "To use it, name it in a site's list: policies = { \"%s.lua\" }\n",
               folder, name, name, folder, name, name);
    free(folder);
    return status;
}
