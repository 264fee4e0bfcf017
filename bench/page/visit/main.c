/* visit: loads pages over HTTP/2 as a browser does, and says what came when. */
#include "bench/page/visit/report.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOODBYE_US 2000000

struct visit {
    struct options options;
    struct browser browser;
    SSL_CTX *tls;
    FILE *trace;
    char cookies[WIRE_COOKIES_MAX];
    struct wire wire;
    uint64_t waited_us;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "visit: %s: %s\n", what, why);
    exit(1);
}

/* How long this process was ready to run and did not. */
static uint64_t waited_for_cpu_us(void)
{
    uint64_t ran = 0, waited = 0;
    FILE *file = fopen("/proc/self/schedstat", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
        waited = 0;
    fclose(file);
    return waited / 1000;
}

static void enter(const char *netns)
{
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        die(netns, strerror(errno));
    close(fd);
}

/* Other work on the machine is not to show in the times; without the privilege it may. */
static void be_first_in_line(void)
{
    struct sched_param first = {.sched_priority = 5};
    sched_setscheduler(0, SCHED_FIFO, &first);
}

static SSL_CTX *make_tls(void)
{
    static const unsigned char h2[] = "\x02h2";
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_set_alpn_protos(tls, h2, sizeof(h2) - 1) != 0)
        die("TLS", "out of memory");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

/* ---- what bodies must be: read before any time counts ---- */

static struct visit *reading;

static char *file_bytes(const char *path, size_t length)
{
    FILE *file = fopen(path, "re");
    char *bytes = file ? malloc(length + 1) : NULL;
    if (bytes && fread(bytes, 1, length, file) != length) {
        free(bytes);
        bytes = NULL;
    }
    if (file)
        fclose(file);
    return bytes;
}

static int read_file(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    char name[4096];
    (void)walk;
    if (type != FTW_F)
        return 0;
    snprintf(name, sizeof(name), "%s", path + strlen(reading->options.root));
    char *index = strstr(name, "/index.html");
    if (index)
        index[1] = '\0';
    struct resource *resource = browser_resource(&reading->browser, name);
    if (!resource)
        return 1;
    resource->file = file_bytes(path, (size_t)status->st_size);
    resource->file_length = (size_t)status->st_size;
    return resource->file == NULL;
}

static void read_files(struct visit *visit)
{
    reading = visit;
    if (nftw(visit->options.root, read_file, 16, FTW_PHYS) != 0)
        die(visit->options.root, "its files cannot be read, or are too many");
}

/* ---- pages ---- */

static void connect_anew(struct visit *visit)
{
    visit->wire = (struct wire){.options = &visit->options,
                                .browser = &visit->browser,
                                .tls = visit->tls,
                                .cookies = visit->cookies,
                                .trace = visit->trace,
                                .fd = -1};
    wire_open(&visit->wire);
}

static bool over(const struct visit *visit)
{
    return visit->browser.complete_us && visit->wire.streams_open == 0;
}

static void load(struct visit *visit, const char *path, bool anew)
{
    struct wire *wire = &visit->wire;
    uint64_t waited_us = waited_for_cpu_us();
    browser_begin(&visit->browser, path);
    uint64_t until_us = visit->browser.began_us + visit->options.timeout_ms * 1000ULL;
    if (anew) {
        connect_anew(visit);
    } else {
        wire_begin(wire);
        browser_ask_page(&visit->browser);
        wire_send(wire);
    }
    bool pinged = false;
    while (!wire->failed && !(pinged && wire->settled && over(visit)) && wire_now_us() < until_us) {
        wire_step(wire, until_us);
        if (over(visit) && !pinged) {
            wire_ping(wire);
            pinged = true;
        }
    }
    if (!wire->failed && !over(visit)) {
        wire->failed = true;
        wire->why = "it took longer than --timeout";
    }
    visit->waited_us = waited_for_cpu_us() - waited_us;
    report_page(wire, visit->browser.began_us, visit->waited_us);
}

static void pause_for(struct visit *visit, unsigned pause_ms, bool unconnected)
{
    uint64_t until_us = wire_now_us() + pause_ms * 1000ULL;
    if (unconnected)
        usleep(pause_ms * 1000);
    while (wire_now_us() < until_us && !visit->wire.failed)
        wire_step(&visit->wire, until_us);
}

static void load_all(struct visit *visit)
{
    const struct options *options = &visit->options;
    for (unsigned i = 0; i < options->pages_count && !visit->wire.failed; i++) {
        bool anew = i == 0 || options->reconnect;
        if (i && options->reconnect) {
            wire_goodbye(&visit->wire, wire_now_us() + GOODBYE_US);
            wire_close(&visit->wire);
        }
        pause_for(visit, options->pages[i].pause_ms, anew);
        load(visit, options->pages[i].path, anew);
    }
    wire_goodbye(&visit->wire, wire_now_us() + GOODBYE_US);
    wire_close(&visit->wire);
}

int main(int argc, char **argv)
{
    static struct visit visit;
    options_read(&visit.options, argc, argv);
    if (visit.options.netns)
        enter(visit.options.netns);
    if (visit.options.tls)
        visit.tls = make_tls();
    if (visit.options.trace && !(visit.trace = fopen(visit.options.trace, "we")))
        die(visit.options.trace, strerror(errno));
    if (visit.options.cookie)
        snprintf(visit.cookies, sizeof(visit.cookies), "%s", visit.options.cookie);
    if (browser_init(&visit.browser, wire_now_us, wire_ask, &visit.wire) < 0)
        die("the browser", "out of memory");
    if (visit.options.root)
        read_files(&visit);
    be_first_in_line();
    load_all(&visit);
    bool failed = visit.wire.failed;
    browser_finish(&visit.browser);
    SSL_CTX_free(visit.tls);
    if (visit.trace)
        fclose(visit.trace);
    return failed;
}
