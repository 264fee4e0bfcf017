#include "bench/page/visit/options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: visit [options] ADDRESS:PORT PATH...\n"
    "Loads pages as a browser does, one after the other, and writes a line of JSON for each: what "
    "came,\n"
    "when, and by which way. The cache and the cookies last from page to page. A path may begin "
    "with a\n"
    "pause in milliseconds, as in 1500@/next.html.\n"
    "  --authority NAME     the site's name (the address)\n"
    "  --tls                TLS, whose certificate is not verified; without: HTTP/2 over "
    "cleartext\n"
    "  --no-push            SETTINGS_ENABLE_PUSH=0\n"
    "  --no-navigation      leave Sec-Fetch-Mode out, so that no 103 is sent\n"
    "  --cancel             reset every promise with CANCEL\n"
    "  --reconnect          a new connection for each page\n"
    "  --timeout MS         for each page (30000)\n"
    "  --cookie TEXT        a Cookie field to begin with\n"
    "  --root DIR           compare every body with the file of that path\n"
    "  --netns FILE         connect from this network namespace\n"
    "  --trace FILE         write a line for each frame\n";

enum which {
    AUTHORITY = 256,
    TLS,
    NO_PUSH,
    NO_NAVIGATION,
    CANCEL,
    RECONNECT,
    TIMEOUT,
    COOKIE,
    ROOT,
    NETNS,
    TRACE,
    HELP
};

static const struct option options_known[] = {{"authority", required_argument, NULL, AUTHORITY},
                                              {"tls", no_argument, NULL, TLS},
                                              {"no-push", no_argument, NULL, NO_PUSH},
                                              {"no-navigation", no_argument, NULL, NO_NAVIGATION},
                                              {"cancel", no_argument, NULL, CANCEL},
                                              {"reconnect", no_argument, NULL, RECONNECT},
                                              {"timeout", required_argument, NULL, TIMEOUT},
                                              {"cookie", required_argument, NULL, COOKIE},
                                              {"root", required_argument, NULL, ROOT},
                                              {"netns", required_argument, NULL, NETNS},
                                              {"trace", required_argument, NULL, TRACE},
                                              {"help", no_argument, NULL, HELP},
                                              {NULL, 0, NULL, 0}};

static unsigned number(const char *what, const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end != text && *end == '\0' && value <= most)
        return (unsigned)value;
    fprintf(stderr, "visit: %s: \"%s\" is not a number from 0 to %lu\n", what, text, most);
    exit(2);
}

static void take(struct options *options, int option, const char *text)
{
    switch (option) {
    case AUTHORITY:
        options->authority = text;
        break;
    case TLS:
        options->tls = true;
        break;
    case NO_PUSH:
        options->push = false;
        break;
    case NO_NAVIGATION:
        options->navigation = false;
        break;
    case CANCEL:
        options->cancel = true;
        break;
    case RECONNECT:
        options->reconnect = true;
        break;
    case TIMEOUT:
        options->timeout_ms = number("--timeout", text, 600000);
        break;
    case COOKIE:
        options->cookie = text;
        break;
    case ROOT:
        options->root = text;
        break;
    case NETNS:
        options->netns = text;
        break;
    case TRACE:
        options->trace = text;
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

/* Cuts the text at its colon. */
static void take_address(struct options *options, char *text)
{
    struct in_addr address;
    char *colon = text;
    while (*colon && *colon != ':')
        colon++;
    if (*colon)
        *colon++ = '\0';
    if (inet_pton(AF_INET, text, &address) != 1 || !*colon) {
        fprintf(stderr, "visit: an IPv4 address and a port are needed, as in 10.77.0.1:8443\n");
        exit(2);
    }
    options->address = text;
    options->port = (uint16_t)number("the port", colon, 65535);
}

/* Cuts the text at its "@". */
static void take_page(struct options *options, char *text)
{
    struct options_page *page = &options->pages[options->pages_count++];
    char *at = text;
    while (*at >= '0' && *at <= '9')
        at++;
    if (at > text && *at == '@') {
        *at++ = '\0';
        page->pause_ms = number("a pause", text, 600000);
        text = at;
    }
    page->path = text;
    if (*text == '/')
        return;
    fprintf(stderr, "visit: \"%s\" is no path: it does not begin with a slash\n", text);
    exit(2);
}

void options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){.push = true, .navigation = true, .timeout_ms = 30000};
    int option;
    while ((option = getopt_long(argc, argv, "", options_known, NULL)) != -1)
        take(options, option, optarg);
    if (argc - optind < 2 || argc - optind > OPTIONS_PAGES_MAX + 1) {
        fprintf(stderr, "visit: an address and 1 to %d paths are needed\n%s", OPTIONS_PAGES_MAX,
                usage);
        exit(2);
    }
    take_address(options, argv[optind++]);
    if (!options->authority)
        options->authority = options->address;
    while (optind < argc)
        take_page(options, argv[optind++]);
}
