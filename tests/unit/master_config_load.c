#include "tests/unit/config_case.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/wait.h>

/* ---- what a config means ---- */

static void a_short_config_gets_every_default(void **state)
{
    struct config *config = case_load(CASE_BASE);
    char directory[256];
    assert_int_equal(config->listens_count, 1);
    assert_false(config->listens[0].tls);
    assert_int_equal(config->certificates_count, 0);
    assert_in_range(config->workers, 1, 64);
    assert_int_equal(config->table_bytes, 256 << 20);
    assert_int_equal(config->policy.soft_ms, 0);
    assert_int_equal(config->policy.memory_bytes, 8 << 20);
    assert_null(config->policy.dir);
    assert_null(config->log.access);
    assert_string_equal(config->log.error, "stderr");
    assert_null(config->admin.http);
    assert_int_equal(config->limits.idle, 60000);
    assert_int_equal(config->limits.header_bytes, 32768);
    assert_int_equal(config->limits.requests, 0);
    assert_int_equal(config->sites_count, 1);
    const struct config_site *site = &config->sites[0];
    assert_int_equal(site->names_count, 1);
    assert_string_equal(site->names[0], "*");
    assert_int_equal(site->aliases_count, 0);
    assert_int_equal(site->remember_s, 30 * 86400);
    assert_int_equal(site->heuristic_s, 3600);
    assert_int_equal(site->declined_s, 86400);
    assert_int_equal(site->identify_count, 3);
    assert_int_equal(site->identify[0], IDENTIFY_COOKIE);
    assert_int_equal(site->identify[2], IDENTIFY_CONNECTION);
    assert_int_equal(site->routes_count, 1);
    assert_string_equal(site->routes[0].prefix, "/");
    assert_string_equal(site->routes[0].root, "/srv");
    assert_int_equal(site->routes[0].root_fd, -1);
    assert_int_equal(site->routes[0].push.max_streams, 32);
    assert_int_equal(site->routes[0].push.max_bytes, 1 << 20);
    assert_int_equal(site->routes[0].policies_count, 0);
    snprintf(directory, sizeof(directory), "%s/herald.lua", (char *)*state);
    assert_string_equal(config->path, directory);
    assert_string_equal(config->files[0], "herald.lua");
    config_destroy(config);
}

static void every_key_of_the_manuals_example_is_understood(void **state)
{
    struct config *config = case_load(
        "user    = 'daemon'\n"
        "workers = 3\n"
        "state   = '/var/lib/herald'\n"
        "listen  = { { '[::]:443', tls = true }, '127.0.0.1:8080' }\n"
        "tls     = { { sni = '*.Example.com', cert = 'example.pem', key = '/keys/example.key' } }\n"
        "clients = { table = '64MiB', identify = { 'tls', 'cookie' }, remember = '7d', "
        "per_address = 9 }\n"
        "policy  = { dir = 'policies', soft = '12ms', hard = '40ms', memory = '16MiB', keep = 20 "
        "}\n"
        "log     = { access = 'access.json', error = '/var/log/herald/error' }\n"
        "admin   = { socket = '/run/herald/admin.sock', http = '127.0.0.1:9900' }\n"
        "limits  = { idle = '90s', header_fields = 50, requests = 1000, stream_buffer = '128KiB' "
        "}\n"
        "site {\n"
        "  names = { 'WWW.example.com' }, aliases = { 'example.com' },\n"
        "  root = './www', symlinks = true, remember = 'never', debug_header = true,\n"
        "  heuristic = '2h', declined = '0s', identify = { 'connection' },\n"
        "  policies = { 'preload', { 'learned', max = 6 }, 'shop.lua', 'budget' },\n"
        "  push = { max_streams = 16 },\n"
        "  routes = {\n"
        "    ['/assets/*'] = { cache_control = 'public, max-age=31536000, immutable' },\n"
        "    ['/assets/img/*'] = { root = 'img', push = { max_bytes = '2MiB' } },\n"
        "    ['/feed.xml'] = { policies = {} },\n"
        "  },\n"
        "}\n");
    char path[256];
    assert_string_equal(config->user, "daemon");
    assert_int_equal(config->workers, 3);
    assert_true(config->listens[0].tls);
    assert_int_equal(config->listens[0].line, 4);
    assert_string_equal(config->certificates[0].sni, "*.example.com");
    snprintf(path, sizeof(path), "%s/example.pem", (char *)*state);
    assert_string_equal(config->certificates[0].cert_path, path);
    assert_string_equal(config->certificates[0].key_path, "/keys/example.key");
    assert_int_equal(config->table_bytes, 64 << 20);
    assert_int_equal(config->clients.per_address, 9);
    assert_int_equal(config->policy.soft_ms, 12);
    assert_int_equal(config->policy.hard_ms, 40);
    snprintf(path, sizeof(path), "%s/access.json", (char *)*state);
    assert_string_equal(config->log.access, path);
    assert_string_equal(config->admin.http, "127.0.0.1:9900");
    assert_int_equal(config->limits.idle, 90000);
    assert_int_equal(config->limits.header_fields, 50);
    assert_int_equal(config->limits.stream_buffer, 131072);
    assert_int_equal(config->limits.handshake, 10000);
    const struct config_site *site = config_site(config, span_of("www.EXAMPLE.com"));
    assert_ptr_equal(site, &config->sites[0]);
    assert_int_equal(site->line, 11);
    assert_int_equal(site->remember_s, 0);
    assert_int_equal(site->heuristic_s, 7200);
    assert_int_equal(site->declined_s, 0);
    assert_true(site->debug_header);
    assert_int_equal(site->identify_count, 1);
    assert_int_equal(config->clients.identify[0], IDENTIFY_TLS);
    config_destroy(config);
}

static const struct config_route *route(const struct config *config, const char *path)
{
    return config_route(&config->sites[0], span_of(path));
}

static void a_route_takes_from_its_site_what_it_does_not_set(void **state)
{
    struct config *config = case_load(
        CASE_LISTEN
        "site { root = '/a', symlinks = true, cache_control = 'no-cache',\n"
        "  policies = { 'scan', 'budget' },\n"
        "  push = { max_streams = 7, max_bytes = '9KiB', holdout = 0.05 },\n"
        "  routes = { ['/x/*'] = { push = { max_bytes = '1KiB' } },\n"
        "             ['/x/y'] = { root = '/b', symlinks = false, policies = { 'preload' } } } }");
    (void)state;
    assert_int_equal(config->sites[0].routes_count, 3);
    const struct config_route *x = route(config, "/x/z");
    assert_string_equal(x->prefix, "/x/");
    assert_false(x->exact);
    assert_string_equal(x->root, "/a");
    assert_true(x->symlinks);
    assert_string_equal(x->cache_control, "no-cache");
    assert_int_equal(x->policies_count, 2);
    assert_int_equal(x->push.max_streams, 7);
    assert_int_equal(x->push.max_bytes, 1024);
    assert_int_equal(x->push.holdout, 50000);
    const struct config_route *y = route(config, "/x/y");
    assert_true(y->exact);
    assert_string_equal(y->root, "/b");
    assert_int_equal(y->line, 6);
    assert_false(y->symlinks);
    assert_int_equal(y->policies_count, 1);
    assert_int_equal(y->push.max_bytes, 9 * 1024);
    assert_string_equal(route(config, "/")->root, "/a");
    config_destroy(config);
}

static void routes_with_the_same_policies_share_a_list(void **state)
{
    struct config *config = case_load(
        CASE_LISTEN "site { names = { 'a' }, root = '/a', policies = { 'scan' }, routes = {\n"
                    "  ['/1/*'] = { policies = { 'scan' } }, ['/2/*'] = { policies = { { 'scan', "
                    "max = 1 } } },\n"
                    "  ['/3/*'] = { policies = { { 'scan', max = 1 } } }, ['/4/*'] = {} } }\n"
                    "site { names = { 'b' }, root = '/a', policies = { 'scan' } }");
    (void)state;
    uint32_t own = route(config, "/")->list;
    assert_int_equal(route(config, "/1/")->list, own);
    assert_int_equal(route(config, "/4/")->list, own);
    assert_int_not_equal(route(config, "/2/")->list, own);
    assert_int_equal(route(config, "/2/")->list, route(config, "/3/")->list);
    assert_int_equal(config->sites[1].routes[0].list, 0);
    for (size_t i = 0; i < config->sites[0].routes_count; i++)
        assert_in_range(config->sites[0].routes[i].list, 0, 1);
    config_destroy(config);
}

static void the_arguments_of_a_policy_become_json(void **state)
{
    struct config *config = case_load(
        CASE_LISTEN
        "site { root = '/a', policies = { 'plain', { 'full', n = 6, x = 1.5, big = 2^53,\n"
        "  t = 'a\\n\"b\\\\', on = true, list = { 1, 'b', { c = 'd' } }, none = {} } } }");
    const struct config_policy *policies = config->sites[0].routes[0].policies;
    (void)state;
    assert_string_equal(policies[0].arguments, "{}");
    assert_string_equal(policies[1].file, "herald.lua");
    assert_int_equal(policies[1].line, 2);
    assert_string_equal(policies[1].arguments,
                        "{\"big\":9007199254740992,\"list\":[1,\"b\",{\"c\":\"d\"}],\"n\":6,"
                        "\"none\":{},\"on\":true,\"t\":\"a\\u000a\\\"b\\\\\",\"x\":1.5}");
    config_destroy(config);
}

static void the_place_of_a_key_is_known(void **state)
{
    struct config *config = case_load(CASE_BASE "policy = {\n  dir = 'p',\n}\nstate = '/s'");
    const char *file;
    int line;
    (void)state;
    config_place(config, "policy.dir", &file, &line);
    assert_string_equal(file, "herald.lua");
    assert_int_equal(line, 4);
    config_place(config, "state", &file, &line);
    assert_int_equal(line, 6);
    config_place(config, "log.access", &file, &line);
    assert_null(file);
    assert_int_equal(line, 0);
    config_destroy(config);
}

static bool has_warning(const struct config *config, const char *text)
{
    for (size_t i = 0; i < config->warnings_count; i++)
        if (strcmp(config->warnings[i], text) == 0)
            return true;
    return false;
}

static void what_is_doubtful_gives_a_warning(void **state)
{
    struct config *config =
        case_load(CASE_BASE "clients = { table = '300MiB' }\nadmin = { http = '127.0.0.1:9900' }\n"
                            "tls = { { sni = 'a', cert = 'c', key = 'k' } }");
    (void)state;
    assert_int_equal(config->table_bytes, 256 << 20);
    assert_true(has_warning(config, "herald.lua:3: clients.table: 300MiB is rounded down to 256MiB,"
                                    " a power of two"));
    assert_true(has_warning(config, "herald.lua:4: admin.http has no effect in this version"));
    assert_true(
        has_warning(config, "herald.lua: there are certificates, but no listen has tls = true"));
    config_destroy(config);
    config = case_load("listen = { { ':443', tls = true } } site { root = '/srv' }");
    assert_int_equal(config->certificates_count, 1);
    assert_string_equal(config->certificates[0].sni, "*");
    assert_null(config->certificates[0].cert_path);
    assert_true(has_warning(
        config, "herald.lua: no certificate for \"*\", a self-signed one is made at start"));
    config_destroy(config);
}

static void a_user_that_does_not_exist_is_replaced_by_nobody(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct config *config = case_load(CASE_BASE "user = 'no-such-user-here'");
    assert_string_equal(config->user, "nobody");
    assert_true(has_warning(config, "herald.lua:3: user \"no-such-user-here\" does not exist, "
                                    "workers run as nobody"));
    config_destroy(config);
    assert_string_equal(case_fault(CASE_BASE "user = 'root'"),
                        "herald.lua:3: user: \"root\" is root, and workers must not be root");
}

/* ---- which file ---- */

static void a_config_that_is_no_file_is_a_fault(void **state)
{
    (void)state;
    unlink("herald.lua");
    assert_string_equal(case_fault_of("nowhere.lua"),
                        "nowhere.lua: the config cannot be opened: No "
                        "such file or directory");
    assert_string_equal(case_fault_of("no/where.lua"), "no/where.lua: the config cannot be opened: "
                                                       "No such file or directory");
    assert_string_equal(case_fault_of("."), ".: the config is not a regular file");
    assert_int_equal(mkfifo("pipe.lua", 0644), 0);
    assert_string_equal(case_fault_of("pipe.lua"), "pipe.lua: the config is not a regular file");
    char *big = malloc((1 << 20) + 2);
    memset(big, '\n', (1 << 20) + 1);
    case_write_bytes("big.lua", big, (1 << 20) + 1);
    free(big);
    assert_string_equal(case_fault_of("big.lua"), "big.lua: it is larger than 1MiB");
}

static void without_a_path_the_file_here_comes_first(void **state)
{
    struct config *config = NULL;
    struct fault fault = {0};
    (void)state;
    unlink("herald.lua");
    if (access("/etc/herald/herald.lua", F_OK) != 0) {
        assert_int_equal(config_load(NULL, &config, &fault), -ENOENT);
        assert_non_null(strstr(fault.what, "neither herald.lua nor /etc/herald/herald.lua exists"));
    }
    case_write("herald.lua", CASE_BASE);
    assert_int_equal(config_load(NULL, &config, &fault), 0);
    assert_string_equal(config->files[0], "herald.lua");
    config_destroy(config);
}

/* ---- includes ---- */

static void includes_are_read_in_order_of_their_names(void **state)
{
    (void)state;
    mkdir("sites.d", 0755);
    case_write("sites.d/b.lua", "site { names = { 'b' }, root = '/b' }");
    case_write("sites.d/a.lua", "site { names = { 'a' }, root = '/a' }\ninclude 'more/*.lua'");
    case_write("sites.d/.hidden.lua", "error('hidden')");
    case_write("sites.d/c.txt", "error('not Lua')");
    mkdir("sites.d/folder.lua", 0755);
    mkdir("sites.d/more", 0755);
    case_write("sites.d/more/z.lua", "site { names = { 'z' }, root = '/z' }\ninclude '../up.txt'");
    case_write("sites.d/up.txt", "workers = 7");
    struct config *config = case_load(CASE_LISTEN "include 'sites.d/*.lua'\ninclude 'none*.lua'\n"
                                                  "include 'no/such/*'");
    assert_int_equal(config->sites_count, 3);
    assert_string_equal(config->sites[0].names[0], "a");
    assert_string_equal(config->sites[1].names[0], "z");
    assert_string_equal(config->sites[2].names[0], "b");
    assert_string_equal(config->sites[1].file, "sites.d/more/z.lua");
    assert_int_equal(config->workers, 7);
    assert_int_equal(config->files_count, 5);
    config_destroy(config);
}

static void a_wildcard_may_stand_for_a_folder(void **state)
{
    (void)state;
    mkdir("w", 0755);
    mkdir("w/1", 0755);
    mkdir("w/2", 0755);
    case_write("w/1/x.lua", "site { names = { '1' }, root = '/a' }");
    case_write("w/2/x.lua", "site { names = { '2' }, root = '/a' }");
    case_write("w/file", "");
    struct config *config = case_load(CASE_LISTEN "include 'w/[0-9]/x.l?a'");
    assert_int_equal(config->sites_count, 2);
    config_destroy(config);
    config = case_load(CASE_LISTEN "include 'w/*/x.lua'");
    assert_int_equal(config->sites_count, 2);
    config_destroy(config);
}

static void a_fault_in_an_included_file_names_that_file(void **state)
{
    (void)state;
    mkdir("sites.d", 0755);
    mkdir("conf", 0755);
    mkdir("conf/d", 0755);
    case_write("conf/d/bad.lua", "\n\nsite { root = '/a',\n rooot = 'x' }");
    case_write("conf/herald.lua", CASE_LISTEN "include 'd/bad.lua'");
    assert_string_equal(case_fault_of("conf/herald.lua"),
                        "conf/d/bad.lua:4: unknown key \"rooot\" in site, nearest \"root\"");
    assert_string_equal(case_fault_of("./conf/../conf/herald.lua"),
                        "./conf/../conf/d/bad.lua:4: unknown key \"rooot\" in site, nearest "
                        "\"root\"");
    case_write("conf/d/bad.lua", "x = = 1");
    assert_string_equal(case_fault_of("conf/herald.lua"),
                        "conf/d/bad.lua:1: unexpected symbol near '='");
    case_write("conf/d/bad.lua", "\nuser = nil .. ''");
    assert_string_equal(case_fault_of("conf/herald.lua"),
                        "conf/d/bad.lua:2: attempt to concatenate a nil value");
}

static void an_include_that_can_not_be_is_a_fault_where_it_stands(void **state)
{
    static const struct case_bad BAD[] = {
        {"include 'nope.lua'", "herald.lua:3: include \"nope.lua\": No such file or directory"},
        {"\ninclude '../x.lua'",
         "herald.lua:4: include \"../x.lua\": it leads out of the config's directory"},
        {"include '/etc/passwd'",
         "herald.lua:3: include \"/etc/passwd\": it leads out of the config's directory"},
        {"include 'out.lua'",
         "herald.lua:3: include \"out.lua\": it leads out of the config's directory"},
        {"include 'out*.lua'",
         "herald.lua:3: include \"out.lua\": it leads out of the config's directory"},
        {"include 'folder'", "herald.lua:3: include \"folder\": Is a directory"},
        {"include 'pipe'", "herald.lua:3: include \"pipe\": it is not a regular file"},
        {"include 'herald.lua'", "herald.lua:3: include \"herald.lua\": the file includes itself"},
        {"include 'one.lua'", "two.lua:1: include \"one.lua\": the file includes itself"},
        {"include(1)", "herald.lua:3: include: expected a path, as in include \"sites.d/*.lua\""},
    };
    (void)state;
    assert_true(symlink("/etc/passwd", "out.lua") == 0 || errno == EEXIST);
    mkdir("folder", 0755);
    mkfifo("pipe", 0644);
    case_write("one.lua", "include 'two.lua'");
    case_write("two.lua", "include 'one.lua'");
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
    case_write("three.lua", "local x = 1");
    config_destroy(case_load(CASE_BASE "include 'three.lua' include 'three.lua'"));
    assert_int_equal(symlink("three.lua", "link.lua"), 0);
    config_destroy(case_load(CASE_BASE "include 'link.lua'"));
}

/* ---- without privileges ---- */

static void a_config_below_a_closed_folder_is_read(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    mkdir("home", 0700);
    mkdir("home/checkout", 0755);
    mkdir("home/checkout/d", 0755);
    case_write("home/checkout/herald.lua", CASE_LISTEN "include 'd/*.lua'");
    chmod("home/checkout/herald.lua", 0600); /* the master opens this one */
    case_write("home/checkout/d/a.lua", "site { root = '/a' }");
    struct config *config = NULL;
    struct fault fault = {0};
    if (config_load("home/checkout/herald.lua", &config, &fault) < 0)
        fail_msg("%s", fault.what);
    config_destroy(config);
    chmod("home/checkout/d/a.lua", 0600);
    assert_string_equal(case_fault_of("home/checkout/herald.lua"),
                        "home/checkout/herald.lua:2: include \"d/a.lua\": Permission denied");
}

static void a_reader_that_dies_leaves_the_caller_a_fault(void **state)
{
    (void)state;
    /* Backtracking within one call of C: no hook sees it, the limit of CPU time does. */
    const char *fault = case_fault("local s = ('a'):rep(30)\nlocal p = ('a-'):rep(25) .. 'b'\n"
                                   "s:find(p)");
    /* On a machine that gives it no CPU the other limit comes first. */
    if (strcmp(fault, "herald.lua: reading the config took more than 10000 ms") != 0)
        assert_string_equal(fault, "herald.lua: reading the config took more than 2 s of CPU time");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void no_descriptor_stays_open(void **state)
{
    size_t before = count_descriptors();
    (void)state;
    config_destroy(case_load(CASE_BASE));
    case_fault(CASE_BASE "lisen = 1");
    case_fault_of("nowhere.lua");
    struct config *config;
    struct fault fault;
    config_for_root("/nowhere", &config, &fault);
    assert_int_equal(count_descriptors(), before);
}

/* ---- configs without a file ---- */

static void a_directory_is_served_without_a_config(void **state)
{
    struct config *config = NULL;
    struct fault fault = {0};
    mkdir("www", 0755);
    assert_int_equal(config_for_root("www", &config, &fault), 0);
    char path[256];
    snprintf(path, sizeof(path), "%s/www", (char *)*state);
    assert_string_equal(config->sites[0].routes[0].root, path);
    assert_string_equal(config->sites[0].names[0], "*");
    assert_int_equal(config->sites[0].routes[0].policies_count, 3);
    assert_string_equal(config->sites[0].routes[0].policies[1].name, "scan");
    assert_int_equal(config->listens_count, 2);
    assert_string_equal(config->listens[0].text, "127.0.0.1:8443");
    assert_true(config->listens[0].tls);
    assert_string_equal(config->listens[1].text, "127.0.0.1:8080");
    assert_int_equal(config->certificates_count, 1);
    assert_null(config->certificates[0].cert_path);
    assert_null(config->path);
    config_destroy(config);
    assert_true(config_for_root("nowhere", &config, &fault) < 0);
    assert_string_equal(fault.where, "nowhere");
    case_write("file", "");
    assert_true(config_for_root("file", &config, &fault) < 0);
    assert_string_equal(fault.what, "the directory to serve is not a directory");
}

static void the_demo_serves_the_demos_site(void **state)
{
    struct config *config = NULL;
    struct fault fault = {0};
    char *site = realpath(HERALD_SITE_DIR, NULL);
    (void)state;
    if (!site)
        skip();
    assert_int_equal(config_for_demo(&config, &fault), 0);
    assert_string_equal(config->sites[0].routes[0].root, site);
    free(site);
    config_destroy(config);
}

static void what_the_demo_keeps_is_not_what_a_herald_that_serves_keeps(void **state)
{
    struct config *demo = NULL, *other = NULL;
    struct fault fault = {0};
    (void)state;
    if (access(HERALD_SITE_DIR, F_OK) != 0)
        skip();
    assert_int_equal(config_for_demo(&demo, &fault), 0);
    assert_int_equal(config_for_root(HERALD_SITE_DIR, &other, &fault), 0);
    assert_string_not_equal(demo->state_dir, other->state_dir);
    assert_string_not_equal(demo->admin.socket, other->admin.socket);
    assert_non_null(strstr(demo->state_dir, "-demo"));
    config_destroy(demo);
    config_destroy(other);
}

/* Reads as an ordinary user, in a child, and reports the state directory and socket. */
static void load_unprivileged(char *text, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct config *config = NULL;
        struct fault fault = {0};
        setenv("XDG_STATE_HOME", "/xdg", 1);
        if (setgid(65534) < 0 || setuid(65534) < 0 ||
            config_load("herald.lua", &config, &fault) < 0)
            dprintf(fds[1], "%s", fault.what);
        else
            dprintf(fds[1], "%s %s %zu", config->state_dir, config->admin.socket,
                    config->warnings_count);
        _exit(0);
    }
    close(fds[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(fds[0], text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    close(fds[0]);
    waitpid(pid, NULL, 0);
}

static void an_ordinary_user_gets_state_and_socket_that_are_writable(void **state)
{
    char text[1024];
    (void)state;
    if (geteuid() != 0)
        skip();
    case_write("herald.lua", CASE_BASE "user = 'no-such-user'");
    load_unprivileged(text, sizeof(text));
    /* The build directory, when it is the user's; here it is root's. */
    assert_string_equal(text, "/xdg/herald /xdg/herald.sock 0");
    case_write("herald.lua", CASE_BASE "state = '/s/t/'");
    load_unprivileged(text, sizeof(text));
    assert_string_equal(text, "/s/t/ /s/t.sock 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_config_gets_every_default),
        cmocka_unit_test(every_key_of_the_manuals_example_is_understood),
        cmocka_unit_test(a_route_takes_from_its_site_what_it_does_not_set),
        cmocka_unit_test(routes_with_the_same_policies_share_a_list),
        cmocka_unit_test(the_arguments_of_a_policy_become_json),
        cmocka_unit_test(the_place_of_a_key_is_known),
        cmocka_unit_test(what_is_doubtful_gives_a_warning),
        cmocka_unit_test(a_user_that_does_not_exist_is_replaced_by_nobody),
        cmocka_unit_test(a_config_that_is_no_file_is_a_fault),
        cmocka_unit_test(without_a_path_the_file_here_comes_first),
        cmocka_unit_test(includes_are_read_in_order_of_their_names),
        cmocka_unit_test(a_wildcard_may_stand_for_a_folder),
        cmocka_unit_test(a_fault_in_an_included_file_names_that_file),
        cmocka_unit_test(an_include_that_can_not_be_is_a_fault_where_it_stands),
        cmocka_unit_test(a_config_below_a_closed_folder_is_read),
        cmocka_unit_test(a_reader_that_dies_leaves_the_caller_a_fault),
        cmocka_unit_test(no_descriptor_stays_open),
        cmocka_unit_test(a_directory_is_served_without_a_config),
        cmocka_unit_test(the_demo_serves_the_demos_site),
        cmocka_unit_test(what_the_demo_keeps_is_not_what_a_herald_that_serves_keeps),
        cmocka_unit_test(an_ordinary_user_gets_state_and_socket_that_are_writable),
    };
    return cmocka_run_group_tests(tests, case_enter, case_leave);
}
