#include "bench/pushload/load.h"

#include <string.h>

void client_begin_visit(struct load *load, struct client *client)
{
    const struct options *options = load->options;
    bool known = (client->cookies[0] && options->cookies) || (client->session && options->resume);
    client->troubled = false;
    for (unsigned i = 0; i < load->resources_count; i++) {
        client->holdings[i].flying = 0;
        if (!known)
            client->holdings[i] = (struct holding){.version = LOAD_NO_VERSION};
    }
}

void client_promised(struct load *load, struct client *client, unsigned resource)
{
    struct holding *holding = &client->holdings[resource];
    load->totals.promises++;
    load->resources[resource].promises++;
    if (holding->flying)
        load->totals.doubled++;
    if (holding->having == DECLINED)
        load->totals.unheeded++;
    if (holding->flying < UINT8_MAX)
        holding->flying++;
}

bool client_holds(const struct client *client, unsigned resource, unsigned version)
{
    const struct holding *holding = &client->holdings[resource];
    return holding->having == HOLDS && holding->version == version;
}

static void landed(struct holding *holding)
{
    if (holding->flying)
        holding->flying--;
}

void client_delivered(struct load *load, struct client *client, unsigned resource,
                      unsigned version, bool redundant, uint64_t bytes)
{
    struct holding *holding = &client->holdings[resource];
    struct totals *totals = &load->totals;
    totals->delivered++;
    totals->pushed_bytes += bytes;
    load->resources[resource].delivered++;
    if (redundant || client_holds(client, resource, version)) {
        totals->redundant++;
        totals->redundant_bytes += bytes;
        load->resources[resource].redundant++;
    }
    if (holding->having == IN_DOUBT && holding->version == version)
        totals->again_in_doubt++;
    landed(holding);
    holding->having = HOLDS;
    holding->version = (uint8_t)version;
}

void client_declined(struct client *client, unsigned resource)
{
    landed(&client->holdings[resource]);
    client->holdings[resource].having = DECLINED;
}

void client_promise_lost(struct client *client, unsigned resource)
{
    landed(&client->holdings[resource]);
}

void client_doubts(struct client *client, unsigned resource)
{
    if (client->holdings[resource].having == HOLDS)
        client->holdings[resource].having = IN_DOUBT;
}

/* Whether the client has the version that is served now. */
static bool satisfied(const struct resource *resource, const struct holding *holding)
{
    if (holding->having == DECLINED)
        return true;
    return holding->having != LACKS &&
           (resource->current == LOAD_NO_VERSION || holding->version == resource->current);
}

void client_end_visit(struct load *load, struct client *client)
{
    if (client->first || client->troubled)
        return;
    for (unsigned i = 0; i < load->resources_count; i++) {
        struct resource *resource = &load->resources[i];
        if (resource->asset && !satisfied(resource, &client->holdings[i])) {
            resource->missed++;
            load->totals.missed++;
        }
    }
}

bool client_needs(const struct client *client, unsigned resource)
{
    const struct holding *holding = &client->holdings[resource];
    return holding->having == LACKS && holding->flying == 0;
}

/* Takes the cookie called as the one of `length` characters at `pair` out of the client's. */
static void drop_cookie(struct client *client, const char *pair, size_t length)
{
    char kept[LOAD_COOKIES_MAX] = "";
    char *rest = client->cookies, *word;
    while ((word = strsep(&rest, ";")) != NULL) {
        word += *word == ' ';
        if (!*word || (strncmp(word, pair, length) == 0 && word[length] == '='))
            continue;
        if (kept[0])
            strcat(kept, "; ");
        strcat(kept, word);
    }
    strcpy(client->cookies, kept);
}

void client_cookie(struct client *client, const char *field, size_t length)
{
    const char *semicolon = memchr(field, ';', length);
    size_t pair = semicolon ? (size_t)(semicolon - field) : length;
    const char *equals = memchr(field, '=', pair);
    if (!equals || equals == field)
        return;
    drop_cookie(client, field, (size_t)(equals - field));
    size_t before = strlen(client->cookies);
    if (before + pair + 3 > LOAD_COOKIES_MAX)
        return;
    if (before) {
        memcpy(client->cookies + before, "; ", 2);
        before += 2;
    }
    memcpy(client->cookies + before, field, pair);
    client->cookies[before + pair] = '\0';
}
