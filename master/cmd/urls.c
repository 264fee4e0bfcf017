#include "master/cmd/urls.h"

#include <stdio.h>

void urls_print_ready(const struct supervisor *supervisor, bool json)
{
    char url[SUPERVISOR_URL_MAX]; /* of digits, letters and punctuation that JSON leaves alone */
    printf(json ? "{\"ok\":true,\"ready\":[" : "ready");
    for (size_t i = 0; i < supervisor->serving->config->listens_count; i++) {
        supervisor_url(supervisor, i, url);
        if (json)
            printf("%s\"%s\"", i ? "," : "", url);
        else
            printf("  %s", url);
    }
    printf(json ? "]}\n" : "\n");
    fflush(stdout);
}

const char *urls_first(const struct supervisor *supervisor, bool tls, char *text)
{
    const struct config *config = supervisor->serving->config;
    text[0] = '\0';
    for (size_t i = 0; i < config->listens_count && !text[0]; i++)
        if (config->listens[i].tls == tls)
            supervisor_url(supervisor, i, text);
    return text;
}
