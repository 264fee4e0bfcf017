#include "master/config/config_load.h"

#include "master/config/config_lua.h"
#include "master/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHILD_CPU_S 2 /* a safety net: Lua itself is stopped after 1 s (config_lua.h) */
#define CHILD_WALL_MS 10000
#define CHILD_OUTPUT_MAX (32 * 1024 * 1024)

static int no_memory(struct fault *fault)
{
    return fault_set(fault, -ENOMEM, NULL, 0, "out of memory");
}

/* ---- opening ---- */

static unsigned count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

/* Root's state, or an ordinary user's: below the build directory, for who works in a checkout, else
 * where the XDG Base Directory Specification puts it; "" when the environment doesn't tell. */
static char *usual_state(void)
{
    const char *state_home = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int rc;
    if (geteuid() == 0)
        return strdup("/var/lib/herald");
    if (access(HERALD_BUILD_DIR, W_OK | X_OK) == 0)
        return strdup(HERALD_BUILD_DIR "/state");
    if (state_home && state_home[0] == '/')
        rc = asprintf(&path, "%s/herald", state_home);
    else if (home && home[0] == '/')
        rc = asprintf(&path, "%s/.local/state/herald", home);
    else
        return strdup("");
    return rc < 0 ? NULL : path;
}

/* The demo's lies beside it. */
static char *default_state(bool demo)
{
    char *usual = usual_state(), *path = NULL;
    if (!demo || !usual || !usual[0])
        return usual;
    int rc = asprintf(&path, "%s-demo", usual);
    free(usual);
    return rc < 0 ? NULL : path;
}

static int note_facts(struct config_load *load, bool demo, struct fault *fault)
{
    load->state = default_state(demo);
    if (!load->state || !load->directory)
        return no_memory(fault);
    load->facts = (struct config_facts){
        .directory = load->directory,
        .privileged = geteuid() == 0,
        .apart = demo,
        .cpus = count_cpus(),
        .state = load->state,
    };
    return 0;
}

/* Divides `path` into what comes before the last slash and the name after it. */
static int divide(struct config_load *load, const char *path, struct fault *fault)
{
    const char *slash = strrchr(path, '/');
    load->prefix = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
    load->name = strdup(slash ? slash + 1 : path);
    if (!load->prefix || !load->name)
        return no_memory(fault);
    load->directory = realpath(*load->prefix ? load->prefix : ".", NULL);
    if (!load->directory)
        return fault_set(fault, -errno, path, 0, "the config cannot be opened: %s",
                         strerror(errno));
    if (asprintf(&load->path, "%s%s%s", load->directory, load->directory[1] ? "/" : "",
                 load->name) < 0) {
        load->path = NULL;
        return no_memory(fault);
    }
    return 0;
}

static int open_both(struct config_load *load, const char *path, struct fault *fault)
{
    struct stat status;
    load->directory_fd = open(load->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (load->directory_fd >= 0)
        load->file_fd =
            openat(load->directory_fd, load->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (load->file_fd < 0)
        return fault_set(fault, -errno, path, 0, "the config cannot be opened: %s",
                         strerror(errno));
    if (fstat(load->file_fd, &status) == 0 && !S_ISREG(status.st_mode))
        return fault_set(fault, -EINVAL, path, 0, "the config is not a regular file");
    return 0;
}

static int choose_file(const char **path, struct fault *fault)
{
    if (*path)
        return 0;
    *path = CONFIG_LOAD_FILE;
    if (faccessat(AT_FDCWD, *path, F_OK, AT_EACCESS) == 0)
        return 0;
    *path = CONFIG_LOAD_SYSTEM_FILE;
    if (faccessat(AT_FDCWD, *path, F_OK, AT_EACCESS) == 0)
        return 0;
    return fault_set(fault, -ENOENT, NULL, 0,
                     "there is no config: neither " CONFIG_LOAD_FILE " nor " CONFIG_LOAD_SYSTEM_FILE
                     " exists; name one with -c, or serve a directory with `run --root DIR`");
}

int config_load_open(struct config_load *load, const char *path, struct fault *fault)
{
    *load = (struct config_load){.file_fd = -1, .directory_fd = -1};
    int rc = choose_file(&path, fault);
    if (rc == 0)
        rc = divide(load, path, fault);
    if (rc == 0)
        rc = open_both(load, path, fault);
    if (rc == 0)
        rc = note_facts(load, false, fault);
    if (rc < 0)
        config_load_close(load);
    return rc;
}

int config_load_open_root(struct config_load *load, const char *root, struct fault *fault)
{
    struct stat status;
    const char *path = root ? root : HERALD_SITE_DIR;
    *load = (struct config_load){.file_fd = -1, .directory_fd = -1};
    load->root = realpath(path, NULL);
    if (!load->root || stat(load->root, &status) < 0)
        fault_set(fault, -errno, path, 0, "the directory to serve cannot be opened: %s",
                  strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        fault_set(fault, -ENOTDIR, path, 0, "the directory to serve is not a directory");
    else if ((load->directory = strdup(load->root)) && note_facts(load, !root, fault) == 0)
        return 0;
    else
        no_memory(fault);
    config_load_close(load);
    return -EINVAL;
}

void config_load_close(struct config_load *load)
{
    if (load->file_fd >= 0)
        close(load->file_fd);
    if (load->directory_fd >= 0)
        close(load->directory_fd);
    free(load->path);
    free(load->prefix);
    free(load->name);
    free(load->root);
    free(load->directory);
    free(load->state);
    *load = (struct config_load){.file_fd = -1, .directory_fd = -1};
}

/* ---- reading ---- */

static const struct value_place NOWHERE = {0, 0};

static struct value *list_of(const char *const *texts)
{
    struct value *list = value_table(NOWHERE);
    for (; list && *texts; texts++) {
        if (value_add(list, value_text(*texts, NOWHERE)) < 0) {
            value_destroy(list);
            return NULL;
        }
    }
    return list;
}

/* { "127.0.0.1:8443", tls = true }, "127.0.0.1:8080" */
static struct value *default_listens(void)
{
    static const char *const SECURE[] = {"127.0.0.1:8443", NULL};
    struct value *secure = list_of(SECURE);
    struct value *listens = value_table(NOWHERE);
    int rc = secure && listens ? 0 : -ENOMEM;
    if (rc == 0)
        rc = value_set(secure, "tls", NOWHERE, value_bool(true, NOWHERE));
    if (rc == 0) {
        rc = value_add(listens, secure);
        secure = NULL;
    }
    if (rc == 0)
        rc = value_add(listens, value_text("127.0.0.1:8080", NOWHERE));
    if (rc == 0)
        return listens;
    value_destroy(secure);
    value_destroy(listens);
    return NULL;
}

static struct value *default_log(const char *state)
{
    struct value *log = value_table(NOWHERE);
    char *access_path = NULL;
    int rc = log && asprintf(&access_path, "%s/access.json", state) > 0 ? 0 : -ENOMEM;
    if (rc == 0)
        rc = value_set(log, "access", NOWHERE, value_text(access_path, NOWHERE));
    free(access_path);
    if (rc == 0)
        return log;
    value_destroy(log);
    return NULL;
}

static struct value *default_site(const char *root)
{
    static const char *const POLICIES[] = {"preload", "scan", "budget", NULL};
    struct value *site = value_table(NOWHERE);
    int rc = site ? value_set(site, "root", NOWHERE, value_text(root, NOWHERE)) : -ENOMEM;
    if (rc == 0)
        rc = value_set(site, "policies", NOWHERE, list_of(POLICIES));
    if (rc == 0)
        return site;
    value_destroy(site);
    return NULL;
}

/* What a config file would say that serves `load->root`. */
static int read_root(const struct config_load *load, struct config **config, struct fault *fault)
{
    char file[] = "the command line";
    char *files[] = {file};
    struct value *top = value_table(NOWHERE);
    struct value *sites = value_table(NOWHERE);
    int rc = top && sites ? value_add(sites, default_site(load->root)) : -ENOMEM;
    if (rc == 0)
        rc = value_set(top, "listen", NOWHERE, default_listens());
    if (rc == 0)
        rc = value_set(top, "log", NOWHERE, default_log(load->state));
    if (rc < 0)
        no_memory(fault);
    else
        rc = config_resolve(top, sites, files, 1, &load->facts, config, fault);
    value_destroy(top);
    value_destroy(sites);
    return rc;
}

int config_load_read(const struct config_load *load, struct config **config, struct fault *fault)
{
    struct config_lua_source source = {load->file_fd, load->directory_fd, load->prefix, load->name};
    struct config_lua_result said;
    if (load->file_fd < 0)
        return read_root(load, config, fault);
    int rc = config_lua_run(&source, &said, fault);
    if (rc < 0)
        return rc;
    rc = config_resolve(said.top, said.sites, said.files, said.files_count, &load->facts, config,
                        fault);
    config_lua_finish(&said);
    if (rc == 0 && !((*config)->path = strdup(load->path))) {
        config_destroy(*config);
        rc = no_memory(fault);
    }
    return rc;
}

/* ---- both, with a child ---- */

/* The first byte of what the child writes: a struct fault follows, or the encoded config. */
enum answer { ANSWER_FAULT = 'f', ANSWER_CONFIG = 'c' };

static void run_child(void *argument, int out)
{
    const struct config_load *load = argument;
    struct config *config = NULL;
    struct fault fault = {0};
    char *text = NULL;
    char answer = ANSWER_CONFIG;
    if (config_load_read(load, &config, &fault) == 0 && !(text = config_encode(config)))
        fault_set(&fault, -EINVAL, load->name, 0,
                  "the config cannot be handed over: out of memory, or a path is not UTF-8");
    if (!text)
        answer = ANSWER_FAULT;
    confined_write(out, &answer, 1);
    if (text)
        confined_write(out, text, strlen(text));
    else
        confined_write(out, &fault, sizeof(fault));
}

/* The child's fault is checked as everything that comes from there: it must be text of one line. */
static int take_fault(const char *bytes, size_t length, struct fault *fault)
{
    if (length != sizeof(*fault))
        return fault_set(fault, -EIO, NULL, 0, "the config's reader failed without saying why");
    memcpy(fault, bytes, sizeof(*fault));
    fault->where[sizeof(fault->where) - 1] = 0;
    fault->what[sizeof(fault->what) - 1] = 0;
    value_clean(fault->where);
    value_clean(fault->what);
    return -EINVAL;
}

static int read_confined(struct config_load *load, struct config **config, struct fault *fault)
{
    char *shown = NULL;
    char *output = NULL;
    size_t length = 0;
    if (asprintf(&shown, "%s%s", load->prefix, load->name) < 0)
        return no_memory(fault);
    struct confined confined = {
        .run = run_child,
        .argument = load,
        .keep = {load->file_fd, load->directory_fd},
        .keep_count = 2,
        .cpu_s = CHILD_CPU_S,
        .wall_ms = CHILD_WALL_MS,
        .output_max = CHILD_OUTPUT_MAX,
        .what = "reading the config",
        .where = shown,
    };
    int rc = confined_run(&confined, &output, &length, fault);
    if (rc == 0 && length > 0 && output[0] == ANSWER_CONFIG)
        rc = config_decode(span_make(output + 1, length - 1), config, fault);
    else if (rc == 0)
        rc = take_fault(length ? output + 1 : output, length ? length - 1 : 0, fault);
    free(output);
    free(shown);
    return rc;
}

int config_load(const char *path, struct config **config, struct fault *fault)
{
    struct config_load load;
    int rc = config_load_open(&load, path, fault);
    if (rc < 0)
        return rc;
    rc = read_confined(&load, config, fault);
    config_load_close(&load);
    return rc;
}

int config_for_root(const char *root, struct config **config, struct fault *fault)
{
    struct config_load load;
    int rc = config_load_open_root(&load, root, fault);
    if (rc < 0)
        return rc;
    rc = config_load_read(&load, config, fault);
    config_load_close(&load);
    return rc;
}

int config_for_demo(struct config **config, struct fault *fault)
{
    return config_for_root(NULL, config, fault);
}
