#include "master/cmd/cmd.h"

#include "worker/http2.h"
#include "worker/origin.h"
#include "worker/tls.h"

#include <stdio.h>

static void print_text(void)
{
    printf("herald %s\nOpenSSL %s (loaded)\nnghttp2 %s (%s)\nlibcurl %s (loaded)\n", HERALD_VERSION,
           tls_library(), http2_library(), HERALD_NGHTTP2_LINKED ? "linked in" : "loaded", origins_library());
}

static void print_json(void)
{
    printf("{\"ok\":true,\"version\":\"%s\",\"openssl\":\"%s\",\"nghttp2\":\"%s\","
           "\"nghttp2_linked_in\":%s,\"libcurl\":\"%s\"}\n",
           HERALD_VERSION, tls_library(), http2_library(), HERALD_NGHTTP2_LINKED ? "true" : "false",
           origins_library());
}

int cmd_version(int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {"version", "Prints herald's version and its libraries'.", options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    if (json)
        print_json();
    else
        print_text();
    return CMD_DONE;
}
