/* Origin servers as the config names them. */
#include "master/handoff/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define HOST_MAX 253 /* RFC 1035 2.3.4, without the root's dot */
#define LABEL_MAX 63

bool config_is_host(const char *text)
{
    struct sockaddr_storage address;
    socklen_t length;
    size_t label = 0;
    if (text[0] == '[') {
        char with_port[64];
        return snprintf(with_port, sizeof(with_port), "%s:1", text) < (int)sizeof(with_port) &&
               config_parse_address(span_of(with_port), &address, &length) == 0;
    }
    if (strlen(text) > HOST_MAX)
        return false;
    for (; *text; text++) {
        if (*text == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!(isalnum((unsigned char)*text) || *text == '_' || (*text == '-' && label)) ||
                   (unsigned char)*text >= 0x80 || ++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0;
}

static bool is_literal(const char *host)
{
    uint8_t address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* "HOST" or "HOST:PORT" into host (without brackets) and port. */
static int parse_authority(const char *text, uint16_t standard, struct config_server *server)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    char host[HOST_MAX + 4];
    size_t length = strlen(text);
    server->port = standard;
    if (colon && (!bracket || colon > bracket)) {
        size_t digits = strspn(colon + 1, "0123456789");
        long port = digits > 0 && digits <= 5 && !colon[1 + digits] ? atol(colon + 1) : 0;
        if (port < 1 || port > 65535)
            return -EINVAL;
        server->port = (uint16_t)port;
        length = (size_t)(colon - text);
    }
    if (length == 0 || length >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", (int)length, text);
    if (!config_is_host(host))
        return -EINVAL;
    server->host = host[0] == '[' ? strndup(host + 1, length - 2) : strdup(host);
    if (!server->host)
        return -ENOMEM;
    for (char *at = server->host; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    server->named = !is_literal(server->host);
    return 0;
}

static int parse(const char *text, struct config_server *server)
{
    if (strncmp(text, "unix:", 5) == 0) {
        server->kind = SERVER_UNIX;
        if (text[5] != '/' || strlen(text + 5) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return -EINVAL;
        server->host = strdup(text + 5);
        return server->host ? 0 : -ENOMEM;
    }
    server->kind = strncmp(text, "https://", 8) == 0 ? SERVER_HTTPS : SERVER_HTTP;
    if (server->kind == SERVER_HTTPS)
        return parse_authority(text + 8, 443, server);
    return strncmp(text, "http://", 7) == 0 ? parse_authority(text + 7, 80, server) : -EINVAL;
}

int config_parse_server(const char *text, struct config_server *server)
{
    *server = (struct config_server){0};
    int rc = parse(text, server);
    if (rc < 0)
        return rc;
    server->text = strdup(text);
    server->addresses = strdup("");
    return server->text && server->addresses ? 0 : -ENOMEM;
}

bool config_are_addresses(const char *text)
{
    char one[INET6_ADDRSTRLEN];
    if (strlen(text) >= CONFIG_ADDRESSES_TEXT_MAX)
        return false;
    for (unsigned count = 0; *text; count++) {
        size_t length = strcspn(text, ",");
        if (count == CONFIG_ADDRESSES_MAX || length >= sizeof(one))
            return false;
        memcpy(one, text, length);
        one[length] = 0;
        if (!is_literal(one) || (text[length] && !text[length + 1]))
            return false;
        text += length + (text[length] == ',');
    }
    return true;
}

void config_server_finish(struct config_server *server)
{
    free(server->text);
    free(server->host);
    free(server->addresses);
    *server = (struct config_server){0};
}

void config_origin_clear(struct config_origin *origin)
{
    for (size_t i = 0; i < origin->servers_count; i++)
        config_server_finish(&origin->servers[i]);
    free(origin->servers);
    origin->servers = NULL;
    origin->servers_count = 0;
}

void config_origin_finish(struct config_origin *origin)
{
    config_origin_clear(origin);
    free(origin->host);
    free(origin->ca);
    free((void *)(uintptr_t)origin->ca_pem.data);
}
