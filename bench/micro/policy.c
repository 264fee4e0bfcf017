/* What a policy call costs: nanoseconds for each case, the state's memory, and what it is made of.
 *
 *   build/bench/micro_policy            a line per case
 *   build/bench/micro_policy CASE N     one case, N times, for callgrind
 *
 * Each figure is the least of several runs, for whatever else the machine does only adds to it. To
 * compare two machines take the ratios to the first case, a hook that does nothing. Callgrind knows
 * no openat2, so under it give the bundle's folders by other means (a preloaded shim), or count
 * with `perf stat`. */
#include "policy/bundle.h"
#include "policy/policy_vm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CANDIDATES 12
#define ROUNDS 25
#define CALLS 8000

struct bench {
    struct config config;
    struct config_site site;
    struct config_route route;
    struct config_policy policy;
    char dir[64];
    int bundle;
    struct policy_host host;
    struct policy_vm *vm;
    const struct policy_list *list;
    struct request request;
    struct response_facts response;
    struct response_link links[CANDIDATES];
    struct assets *assets;
    char paths[CANDIDATES][64];
    struct decision decision;
    struct span manifest;
};

static enum client_has host_has(void *context, const struct request *request, struct span path)
{
    (void)context, (void)request, (void)path;
    return CLIENT_LACKS;
}

static const struct assets *host_assets(void *context, const struct request *request,
                                        struct span path)
{
    (void)request, (void)path;
    return ((struct bench *)context)->assets;
}

static int host_read(void *context, const struct request *request, struct span path,
                     struct span *content, uint64_t *version)
{
    (void)request, (void)path;
    *content = ((struct bench *)context)->manifest;
    *version = 1;
    return 0;
}

static void host_log(void *context, const struct request *request, const char *policy,
                     struct span message, struct span json)
{
    (void)context, (void)request, (void)policy, (void)message, (void)json;
}

static void host_failed(void *context, enum policy_event event, const char *policy,
                        const struct fault *fault)
{
    (void)context, (void)event;
    fprintf(stderr, "%s: %s:%d: %s\n", policy, fault->where, fault->line, fault->what);
    exit(1);
}

static void proposals(struct bench *bench)
{
    policy_on_request(bench->vm, bench->list, &bench->request, &bench->decision);
}

static void responses(struct bench *bench)
{
    policy_on_response(bench->vm, bench->list, &bench->request, &bench->response, &bench->decision);
}

/* Proposes and judges: what `budget` adds is this less the same policy without on_push. */
static void judgements(struct bench *bench)
{
    struct decision *decision = &bench->decision;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        struct span path = span_of(bench->paths[i]);
        decision_add(decision, &bench->request, CANDIDATE_PUSH, path, "bench", NULL);
    }
    for (unsigned i = 0; i < decision->count; i++) {
        struct candidate *item = &decision->items[i];
        item->resolved = true;
        item->size = 100;
        policy_on_push(bench->vm, bench->list, &bench->request, decision, item);
        decision->bytes += item->size;
    }
}

#define TWELVE(statement) "return function(req, push) for i = 1, 12 do " statement " end end"

static const struct {
    const char *name;
    const char *text; /* NULL: the stock policy `name` */
    const char *arguments;
    void (*run)(struct bench *bench);
} CASES[] = {
    {"nothing", "return function(req, push) end", "{}", proposals},
    {"fields", "return function(req) return req.path == '/' and req.client.can.push and nil end",
     "{}", proposals},
    {"patterns", TWELVE("if req.path:find('^/shop/%d+') then push:add('/a') end"), "{}", proposals},
    {"add",
     "local paths = {} for i = 1, 12 do paths[i] = '/assets/file-' .. i .. '.css' end "
     "return function(req, push) for i = 1, 12 do push:add(paths[i]) end end",
     "{}", proposals},
    {"add_options",
     "local paths = {} for i = 1, 12 do paths[i] = '/assets/file-' .. i .. '.css' end "
     "return function(req, push) for i = 1, 12 do "
     "push:add(paths[i], { as = 'style', urgency = 4 }) end end",
     "{}", proposals},
    {"assets", "return function(req, push) local all = assets.of(req.path) end", "{}", proposals},
    {"scan", NULL, "{}", proposals},
    {"preload", NULL, "{}", responses},
    {"manifest", NULL, "{\"file\":\"m.json\"}", proposals},
    {"budget", NULL, "{\"max_bytes\":1000000}", judgements},
};
#define CASE_COUNT (sizeof(CASES) / sizeof(CASES[0]))

static void fill(struct bench *bench)
{
    static char manifest[2048];
    size_t used = (size_t)snprintf(manifest, sizeof(manifest), "{\"/\":[");
    bench->assets = calloc(1, sizeof(struct assets) + CANDIDATES * sizeof(struct asset));
    bench->assets->count = CANDIDATES;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        snprintf(bench->paths[i], sizeof(bench->paths[i]), "/assets/file-%u.css", i + 1);
        struct span path = span_of(bench->paths[i]);
        bench->assets->items[i] = (struct asset){.path = path, .as = AS_STYLE, .blocking = i < 4};
        bench->links[i] = (struct response_link){
            .path = path, .rel = SPAN_LITERAL("preload"), .as = AS_STYLE, .same_origin = true};
        used += (size_t)snprintf(manifest + used, sizeof(manifest) - used, "%s\"%s\"", i ? "," : "",
                                 bench->paths[i]);
    }
    snprintf(manifest + used, sizeof(manifest) - used, "]}");
    bench->manifest = span_of(manifest);
    bench->response = (struct response_facts){.status = 200,
                                              .mime = SPAN_LITERAL("text/html"),
                                              .from = "file",
                                              .links = bench->links,
                                              .links_count = CANDIDATES};
    bench->request = (struct request){.id = "0011223344556677",
                                      .method = SPAN_LITERAL("GET"),
                                      .scheme = SPAN_LITERAL("https"),
                                      .host = SPAN_LITERAL("www.example.com"),
                                      .path = SPAN_LITERAL("/"),
                                      .dest = AS_DOCUMENT,
                                      .client = {.id = "c11e17", .can_push = true}};
    bench->host = (struct policy_host){.context = bench,
                                       .client_has = host_has,
                                       .assets_of = host_assets,
                                       .read_file = host_read,
                                       .log = host_log,
                                       .failed = host_failed};
}

static void open_case(struct bench *bench, size_t number)
{
    char path[128];
    struct fault fault;
    snprintf(bench->dir, sizeof(bench->dir), "/tmp/herald-bench-XXXXXX");
    if (!mkdtemp(bench->dir))
        exit(1);
    snprintf(path, sizeof(path), "%s/case.lua", bench->dir);
    FILE *out = fopen(path, "w");
    fputs(CASES[number].text ? CASES[number].text : "", out);
    fclose(out);
    bench->policy.name = (char *)(uintptr_t)(CASES[number].text ? "case" : CASES[number].name);
    bench->policy.arguments = (char *)(uintptr_t)CASES[number].arguments;
    bench->route = (struct config_route){.policies = &bench->policy, .policies_count = 1};
    bench->site = (struct config_site){.routes = &bench->route, .routes_count = 1};
    bench->config = (struct config){.sites = &bench->site, .sites_count = 1};
    bench->config.policy.dir_fd = open(bench->dir, O_PATH | O_DIRECTORY);
    bench->config.policy.stock_fd = open(HERALD_STOCK_DIR, O_PATH | O_DIRECTORY);
    bench->bundle = bundle_create(&bench->config, &fault);
    if (bench->bundle < 0 ||
        policy_vm_create(&bench->config, bench->bundle, &bench->host, &bench->vm, &fault) < 0) {
        fprintf(stderr, "%s:%d: %s\n", fault.where, fault.line, fault.what);
        exit(1);
    }
    bench->list = policy_vm_list(bench->vm, &bench->site, &bench->route);
    unlink(path);
    rmdir(bench->dir);
}

static void close_case(struct bench *bench)
{
    policy_vm_destroy(bench->vm);
    close(bench->bundle);
    close(bench->config.policy.dir_fd);
    close(bench->config.policy.stock_fd);
}

static void run_case(struct bench *bench, size_t number, unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        decision_reset(&bench->decision);
        CASES[number].run(bench);
        policy_request_done(bench->vm, &bench->request);
    }
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double measure(struct bench *bench, size_t number)
{
    double least = 0;
    run_case(bench, number, CALLS / 10);
    for (unsigned i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        run_case(bench, number, CALLS);
        double took = (now_ns() - start) / CALLS;
        least = i == 0 || took < least ? took : least;
    }
    return least;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    double unit = 0;
    fill(&bench);
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (argc > 1 && strcmp(argv[1], CASES[i].name) != 0)
            continue;
        open_case(&bench, i);
        if (argc > 2) {
            run_case(&bench, i, (unsigned)atoi(argv[2]));
        } else {
            double ns = measure(&bench, i);
            unit = unit > 0 ? unit : ns;
            printf("%-12s %7.0f ns  %5.1f x  %u candidates  %zu KiB\n", CASES[i].name, ns,
                   ns / unit, bench.decision.count, policy_vm_memory(bench.vm) / 1024);
        }
        close_case(&bench);
    }
    free(bench.assets);
    return 0;
}
