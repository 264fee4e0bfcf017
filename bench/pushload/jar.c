/* Clients between two runs, one line for each thing known: "client COOKIES", and behind it
 * "held PATH ETAG", "doubt PATH ETAG" and "declined PATH" of that client. */
#include "bench/pushload/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 1024

static const char *const WORDS[] = {
    [LACKS] = NULL, [HOLDS] = "held", [IN_DOUBT] = "doubt", [DECLINED] = "declined"};

static int having_of(const char *word)
{
    for (int i = HOLDS; i <= DECLINED; i++)
        if (strcmp(word, WORDS[i]) == 0)
            return i;
    return LACKS;
}

static int read_holding(struct load *load, struct client *client, char *line)
{
    char *word = strsep(&line, " "), *path = strsep(&line, " ");
    int having = having_of(word);
    int i = path && path[0] == '/' ? resource_find(load, path, strlen(path)) : -1;
    if (having == LACKS || i < 0 || (having != DECLINED && !line))
        return -EBADMSG;
    client->holdings[i].having = (uint8_t)having;
    if (line)
        client->holdings[i].version = (uint8_t)resource_version(&load->resources[i], line);
    return 0;
}

int jar_read(struct load *load)
{
    char line[LINE_MAX_BYTES];
    unsigned count = 0;
    int rc = 0;
    FILE *file = fopen(load->options->jar, "r");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    while (rc == 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "client ", 7) == 0) {
            if (count == load->options->clients)
                break;
            size_t length = strlen(line + 7);
            if (length >= LOAD_COOKIES_MAX)
                rc = -EBADMSG;
            else
                memcpy(load->clients[count++].cookies, line + 7, length + 1);
        } else {
            rc = count ? read_holding(load, &load->clients[count - 1], line) : -EBADMSG;
        }
    }
    if (ferror(file))
        rc = -EIO;
    fclose(file);
    return rc;
}

static void write_client(const struct load *load, const struct client *client, FILE *file)
{
    fprintf(file, "client %s\n", client->cookies);
    for (unsigned i = 0; i < load->resources_count; i++) {
        const struct holding *holding = &client->holdings[i];
        const struct resource *resource = &load->resources[i];
        if (holding->having == DECLINED)
            fprintf(file, "declined %s\n", resource->path);
        else if (holding->having != LACKS && holding->version != LOAD_NO_VERSION)
            fprintf(file, "%s %s %s\n", WORDS[holding->having], resource->path,
                    resource->versions[holding->version].etag);
    }
}

int jar_write(const struct load *load)
{
    FILE *file = fopen(load->options->jar, "w");
    if (!file)
        return -errno;
    for (unsigned i = 0; i < load->options->clients; i++)
        write_client(load, &load->clients[i], file);
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -EIO : 0;
}
