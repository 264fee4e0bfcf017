/* A policy VM with real files around it: a policy folder, a site's root, and the host that a worker
 * would be, which answers from what the test put there and keeps what it was told. */
#ifndef HERALD_TESTS_POLICY_FIXTURE_H
#define HERALD_TESTS_POLICY_FIXTURE_H

#include "policy/bundle.h"
#include "policy/policy_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define POLICIES_MAX 16
#define FIELDS_MAX 16
#define LINKS_MAX 32
#define ASSETS_IN_TEST 16

struct fixture {
    char dir[64];  /* policy folder */
    char root[64]; /* site's root */
    struct config config;
    struct config_site site;
    struct config_route route;
    struct config_policy policies[POLICIES_MAX];
    int bundle;
    struct policy_host host;
    struct policy_vm *vm;
    const struct policy_list *list;
    struct fault fault; /* of opening */
    struct request request;
    struct field fields[FIELDS_MAX];
    struct response_facts response;
    struct response_link links[LINKS_MAX];
    struct decision decision;
    struct assets *assets;
    struct tally_figures figures; /* of /app.css; nothing is known of others */

    /* What the host answers and was told. */
    enum client_has has;
    uint64_t file_version;
    char *file;
    unsigned reads;
    unsigned failures[POLICY_HARD_DEADLINE + 1];
    struct fault last; /* failure */
    char failed_policy[64];
    unsigned logged;
    char message[256];
    char json[2048];
    bool log_had_request;
    unsigned log_takes_ms; /* of CPU time */
};

static inline void burn(unsigned ms)
{
    struct timespec now, start;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static inline enum client_has host_client_has(void *context, const struct request *request,
                                              struct span path)
{
    struct fixture *f = context;
    assert_ptr_equal(request, &f->request);
    return span_equal(path, SPAN_LITERAL("/none.css")) ? CLIENT_LACKS : f->has;
}

static inline const struct assets *host_assets_of(void *context, const struct request *request,
                                                  struct span path)
{
    struct fixture *f = context;
    return span_equal(path, request->path) ? f->assets : NULL;
}

static inline int host_read_file(void *context, const struct request *request, struct span path,
                                 struct span *content, uint64_t *version)
{
    struct fixture *f = context;
    char name[512];
    struct stat status;
    (void)request;
    snprintf(name, sizeof(name), "%s/%.*s", f->root, SPAN_PRINT(path));
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    assert_int_equal(fstat(fd, &status), 0);
    free(f->file);
    f->file = malloc((size_t)status.st_size + 1);
    assert_int_equal(read(fd, f->file, (size_t)status.st_size), status.st_size);
    close(fd);
    f->reads++;
    *content = span_make(f->file, (size_t)status.st_size);
    *version = f->file_version;
    return 0;
}

static inline bool host_path_figures(void *context, const struct request *request,
                                     struct span path, struct tally_figures *figures)
{
    struct fixture *f = context;
    assert_ptr_equal(request, &f->request);
    *figures = f->figures;
    return span_equal(path, SPAN_LITERAL("/app.css"));
}

static inline void host_log(void *context, const struct request *request, const char *policy,
                            struct span message, struct span json)
{
    struct fixture *f = context;
    (void)policy;
    f->logged++;
    if (f->log_takes_ms)
        burn(f->log_takes_ms);
    f->log_had_request = request != NULL;
    snprintf(f->message, sizeof(f->message), "%.*s", SPAN_PRINT(message));
    snprintf(f->json, sizeof(f->json), "%.*s", SPAN_PRINT(json));
}

static inline void host_failed(void *context, enum policy_event event, const char *policy,
                               const struct fault *fault)
{
    struct fixture *f = context;
    f->failures[event]++;
    f->last = *fault;
    snprintf(f->failed_policy, sizeof(f->failed_policy), "%s", policy);
}

static inline void write_file(const char *folder, const char *name, const char *text, size_t length)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

/* A file of the policy folder. */
static inline void policy_file(struct fixture *f, const char *name, const char *text)
{
    write_file(f->dir, name, text, strlen(text));
}

/* An entry of the site's policy list; the argument text stays the caller's. */
static inline void use_policy(struct fixture *f, const char *name, const char *arguments)
{
    assert_true(f->route.policies_count < POLICIES_MAX);
    f->policies[f->route.policies_count++] =
        (struct config_policy){.name = (char *)(uintptr_t)name,
                               .arguments = (char *)(uintptr_t)arguments,
                               .file = "site.lua",
                               .line = 7};
}

/* What most tests want: one policy, in use. */
static inline void only_policy(struct fixture *f, const char *text)
{
    policy_file(f, "p.lua", text);
    use_policy(f, "p.lua", "{}");
}

static inline int open_folder(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void remove_below(const char *path)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static char *names[] = {(char *)(uintptr_t) "www.example.com"};
    snprintf(f->dir, sizeof(f->dir), "/tmp/herald-policies-XXXXXX");
    snprintf(f->root, sizeof(f->root), "/tmp/herald-root-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_non_null(mkdtemp(f->root));
    f->bundle = -1;
    f->route = (struct config_route){
        .prefix = (char *)(uintptr_t) "/", .root_fd = -1, .policies = f->policies};
    f->site = (struct config_site){
        .names = names, .names_count = 1, .routes = &f->route, .routes_count = 1, .line = 7};
    f->config.path = (char *)(uintptr_t) "herald.lua";
    f->config.sites = &f->site;
    f->config.sites_count = 1;
    f->config.policy.dir = f->dir;
    f->config.policy.dir_fd = open_folder(f->dir);
    f->config.policy.stock_fd = open_folder(HERALD_STOCK_DIR);
    f->host = (struct policy_host){.context = f,
                                   .client_has = host_client_has,
                                   .assets_of = host_assets_of,
                                   .read_file = host_read_file,
                                   .path_figures = host_path_figures,
                                   .log = host_log,
                                   .failed = host_failed};
    f->request = (struct request){.id = "00112233aabbccdd",
                                  .method = SPAN_LITERAL("GET"),
                                  .scheme = SPAN_LITERAL("https"),
                                  .host = SPAN_LITERAL("www.example.com"),
                                  .path = SPAN_LITERAL("/shop/"),
                                  .query = SPAN_LITERAL("q=1"),
                                  .dest = AS_DOCUMENT,
                                  .mode = SPAN_LITERAL("navigate"),
                                  .fields = f->fields,
                                  .client = {.id = "c11e17", .can_push = true}};
    f->response = (struct response_facts){.status = 200,
                                          .mime = SPAN_LITERAL("text/html"),
                                          .size = 1234,
                                          .etag = SPAN_LITERAL("\"e\""),
                                          .cacheable = true,
                                          .ttl_s = 60,
                                          .from = "file",
                                          .links = f->links};
    f->decision.budget_bytes = 0;
    *state = f;
    return 0;
}

static inline void close_vm(struct fixture *f)
{
    policy_vm_destroy(f->vm);
    f->vm = NULL;
    if (f->bundle >= 0)
        close(f->bundle);
    f->bundle = -1;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    close_vm(f);
    close(f->config.policy.dir_fd);
    close(f->config.policy.stock_fd);
    remove_below(f->dir);
    remove_below(f->root);
    free(f->file);
    free(f->assets);
    free(f);
    return 0;
}

/* Makes the bundle and the VM. */
static inline int try_open(struct fixture *f)
{
    memset(&f->fault, 0, sizeof(f->fault));
    f->bundle = bundle_create(&f->config, &f->fault);
    if (f->bundle < 0)
        return f->bundle;
    int rc = policy_vm_create(&f->config, f->bundle, &f->host, &f->vm, &f->fault);
    if (rc == 0)
        f->list = policy_vm_list(f->vm, &f->site, &f->route);
    return rc;
}

static inline void must_open(struct fixture *f)
{
    int rc = try_open(f);
    if (rc != 0)
        print_error("%s:%d: %s\n", f->fault.where, f->fault.line, f->fault.what);
    assert_int_equal(rc, 0);
}

/* Opening fails with this fault. */
static inline void refuses(struct fixture *f, const char *where, int line, const char *what)
{
    assert_true(try_open(f) < 0);
    if (!strstr(f->fault.what, what) || f->fault.line != line)
        print_error("got %s:%d: %s\n", f->fault.where, f->fault.line, f->fault.what);
    assert_string_equal(f->fault.where, where);
    assert_int_equal(f->fault.line, line);
    assert_non_null(strstr(f->fault.what, what));
    assert_null(f->vm);
    close_vm(f);
}

static inline void page(struct fixture *f)
{
    uint64_t budget = f->decision.budget_bytes;
    decision_reset(&f->decision);
    f->decision.budget_bytes = budget;
    policy_on_request(f->vm, f->list, &f->request, &f->decision);
}

static inline void respond(struct fixture *f)
{
    policy_on_response(f->vm, f->list, &f->request, &f->response, &f->decision);
}

/* Resolves every candidate with this size, as the worker would, and judges them in order. */
static inline void judge(struct fixture *f, uint64_t size)
{
    for (unsigned i = 0; i < f->decision.count; i++) {
        struct candidate *item = &f->decision.items[i];
        item->resolved = true;
        item->size = size;
        item->cacheable = true;
        item->mime = SPAN_LITERAL("text/css");
        item->etag = SPAN_LITERAL("\"v1\"");
        if (item->verdict == REASON_PENDING)
            policy_on_push(f->vm, f->list, &f->request, &f->decision, item);
        if (item->verdict == REASON_PENDING && item->kind == CANDIDATE_PUSH) {
            f->decision.accepted++;
            f->decision.bytes += size;
        }
    }
}

static inline unsigned failures(const struct fixture *f)
{
    unsigned all = 0;
    for (unsigned i = 0; i <= POLICY_HARD_DEADLINE; i++)
        all += f->failures[i];
    return all;
}

static inline void no_failure(const struct fixture *f)
{
    if (failures(f))
        print_error("%s:%d: %s\n", f->last.where, f->last.line, f->last.what);
    assert_int_equal(failures(f), 0);
}

/* Exactly one failure so far: this one. */
static inline void failed_with(const struct fixture *f, enum policy_event event, const char *where,
                               int line, const char *what)
{
    if (failures(f) != 1 || !strstr(f->last.what, what) || f->last.line != line)
        print_error("%u failures, %s:%d: %s\n", failures(f), f->last.where, f->last.line,
                    f->last.what);
    assert_int_equal(failures(f), 1);
    assert_int_equal(f->failures[event], 1);
    assert_string_equal(f->last.where, where);
    assert_int_equal(f->last.line, line);
    assert_non_null(strstr(f->last.what, what));
}

static inline void proposes(const struct fixture *f, unsigned i, const char *path)
{
    assert_true(i < f->decision.count);
    assert_int_equal(f->decision.items[i].path.length, strlen(path));
    assert_memory_equal(f->decision.items[i].path.data, path, strlen(path));
}

#endif
