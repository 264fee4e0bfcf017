/* res and its links. */
#include "policy/vm.h"

static void set_span(lua_State *L, enum api_word word, struct span text)
{
    if (!text.length)
        return;
    push_word(L, word);
    push_span(L, text);
    lua_rawset(L, -3);
}

static void push_link(lua_State *L, const void *context, size_t i)
{
    const struct response_link *link = &((const struct response_facts *)context)->links[i];
    lua_createtable(L, 0, 4);
    set_span(L, API_link_path, link->path);
    set_span(L, API_link_rel, link->rel);
    if (link->as != AS_UNKNOWN) {
        push_word(L, API_link_as);
        push_as(L, link->as);
        lua_rawset(L, -3);
    }
    record_flag(L, API_link_same_origin, link->same_origin);
    record_flag(L, API_link_nopush, link->nopush);
    record_flag(L, API_link_crossorigin, link->crossorigin);
    set_span(L, API_link_fetchpriority, link->fetchpriority);
}

static uint64_t hash_links(const struct response_facts *response)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < response->links_count; i++) {
        const struct response_link *link = &response->links[i];
        char flags[4] = {(char)link->as, link->nopush, link->crossorigin, link->same_origin};
        hash = record_hash(hash, link->path);
        hash = record_hash(hash, link->rel);
        hash = record_hash(hash, link->fetchpriority);
        hash = record_hash(hash, span_make(flags, sizeof(flags)));
    }
    return hash;
}

/* The list is made when it is first asked for in a hook call. */
static void push_links(lua_State *L, struct policy_vm *vm, const struct response_facts *response)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_LINKS);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    struct record_list list = {hash_links(response), response->links_count, push_link, response};
    records_push(L, vm, &list);
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_LINKS);
}

int res_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    object_check(L, vm, 1, OBJECT_RES);
    const struct response_facts *response = vm->now.response;
    switch ((int)object_field(L, vm, OBJECT_RES)) {
    case API_res_status:
        lua_pushinteger(L, response->status);
        break;
    case API_res_mime:
        push_span(L, response->mime);
        break;
    case API_res_size:
        lua_pushnumber(L, (lua_Number)response->size);
        break;
    case API_res_headers:
        object_push(L, vm, OBJECT_RES_HEADERS);
        break;
    case API_res_etag:
        push_span_or_nil(L, response->etag);
        break;
    case API_res_cacheable:
        lua_pushboolean(L, response->cacheable);
        break;
    case API_res_ttl_s:
        lua_pushnumber(L, response->ttl_s);
        break;
    case API_res_from:
        lua_pushstring(L, response->from);
        break;
    default:
        push_links(L, vm, response);
    }
    return 1;
}
