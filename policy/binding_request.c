/* req, req.client, req.client.can, req.headers, req.cookies; also res.headers. */
#include "policy/identity.h"
#include "policy/vm.h"

#include <assert.h>

#define VARS_BITS 20 /* of request->vars for the reference; the rest is the state's epoch */
#define VARS_EPOCHS 1024

static_assert(VM_VARS_MAX < 1 << VARS_BITS, "a reference fits");

static const char *const IDENTIFIED_BY[] = {
    [IDENTIFY_COOKIE] = "cookie",
    [IDENTIFY_TLS] = "tls",
    [IDENTIFY_CONNECTION] = "connection",
};

static struct request *current(lua_State *L, struct policy_vm *vm, enum object object)
{
    object_check(L, vm, 1, object);
    return vm->now.request;
}

static bool vars_are_ours(const struct policy_vm *vm, int vars)
{
    return vars && (unsigned)vars >> VARS_BITS == vm->epoch % VARS_EPOCHS;
}

static void push_vars(lua_State *L, struct policy_vm *vm, struct request *request)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_VARS);
    if (vars_are_ours(vm, request->vars)) {
        lua_rawgeti(L, -1, request->vars & ((1 << VARS_BITS) - 1));
        return;
    }
    if (vm->vars_count == VM_VARS_MAX)
        luaL_error(L, "req.vars: %d requests under way have theirs already", VM_VARS_MAX);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    int reference = luaL_ref(L, -3);
    vm->vars_count++;
    request->vars = (int)(vm->epoch % VARS_EPOCHS << VARS_BITS) | reference;
}

void vars_release(struct policy_vm *vm, int vars)
{
    if (!vm->L || !vars_are_ours(vm, vars))
        return;
    /* A free reference is linked through entries that exist, so nothing is allocated. */
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, SLOT_VARS);
    luaL_unref(vm->L, -1, vars & ((1 << VARS_BITS) - 1));
    lua_pop(vm->L, 1);
    vm->vars_count--;
}

int req_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct request *request = current(L, vm, OBJECT_REQ);
    switch ((int)object_field(L, vm, OBJECT_REQ)) {
    case API_req_id:
        lua_pushstring(L, request->id);
        break;
    case API_req_method:
        push_span(L, request->method);
        break;
    case API_req_scheme:
        push_span(L, request->scheme);
        break;
    case API_req_host:
        push_span(L, request->host);
        break;
    case API_req_path:
        push_span(L, request->path);
        break;
    case API_req_query:
        push_span(L, request->query);
        break;
    case API_req_dest:
        push_as(L, request->dest);
        break;
    case API_req_mode:
        push_span_or_nil(L, request->mode);
        break;
    case API_req_referer_path:
        push_span_or_nil(L, request->referer_path);
        break;
    case API_req_save_data:
        lua_pushboolean(L, request->save_data);
        break;
    case API_req_revalidate:
        lua_pushboolean(L, request->revalidate);
        break;
    case API_req_headers:
        object_push(L, vm, OBJECT_HEADERS);
        break;
    case API_req_cookies:
        object_push(L, vm, OBJECT_COOKIES);
        break;
    case API_req_client:
        object_push(L, vm, OBJECT_CLIENT);
        break;
    default:
        push_vars(L, vm, request);
    }
    return 1;
}

static void push_positive(lua_State *L, lua_Number number)
{
    if (number > 0)
        lua_pushnumber(L, number);
    else
        lua_pushnil(L);
}

int client_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    const struct request *request = current(L, vm, OBJECT_CLIENT);
    const struct client_facts *client = &request->client;
    int field = (int)object_field(L, vm, OBJECT_CLIENT);
    switch (field) {
    case API_client_id:
        push_span_or_nil(L, span_of(client->id));
        break;
    case API_client_identified_by:
        push_span_or_nil(L, client->id[0] ? span_of(IDENTIFIED_BY[client->identified_by])
                                          : (struct span){NULL, 0});
        break;
    case API_client_can:
        object_push(L, vm, OBJECT_CAN);
        break;
    case API_client_rtt_ms:
        object_measure(vm);
        push_positive(L, client->rtt_us / 1000.0);
        break;
    case API_client_cwnd_bytes:
        object_measure(vm);
        push_positive(L, client->cwnd_bytes);
        break;
    case API_client_bandwidth_bps:
        object_measure(vm);
        push_positive(L, (lua_Number)client->bandwidth_bps);
        break;
    case API_client_ect:
        push_span_or_nil(L,
                         field_find(request->fields, request->fields_count, SPAN_LITERAL("ect")));
        break;
    default:
        lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_METHODS + field);
    }
    return 1;
}

int client_has(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    const struct request *request = current(L, vm, OBJECT_CLIENT);
    struct span path = check_span(L, 2);
    luaL_argcheck(L, path.length && path.data[0] == '/', 2, "an absolute path is wanted");
    deadline_hold();
    enum client_has has = vm->host->client_has(vm->host->context, request, path);
    deadline_release();
    if (has == CLIENT_LACKS)
        lua_pushnil(L);
    else
        lua_pushstring(L, has == CLIENT_HOLDS      ? "held"
                          : has == CLIENT_DECLINED ? "declined"
                                                   : "stale");
    return 1;
}

int can_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    const struct client_facts *client = &current(L, vm, OBJECT_CAN)->client;
    bool is_push = object_field(L, vm, OBJECT_CAN) == API_can_push;
    lua_pushboolean(L, is_push ? client->can_push : client->can_hints);
    return 1;
}

/* Policies may log what they see, so they see no client's id: the first Cookie field in which
 * something else is left, without it. */
static void push_cookies(lua_State *L, const struct request *request)
{
    for (size_t i = 0; i < request->fields_count; i++) {
        struct span value = request->fields[i].value;
        if (!span_equal(request->fields[i].name, SPAN_LITERAL("cookie")) || !value.length)
            continue;
        char *kept = lua_newuserdata(L, 2 * value.length);
        size_t length = identity_cookie_strip(value, kept);
        if (!length) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushlstring(L, kept, length);
        lua_remove(L, -2);
        return;
    }
    lua_pushnil(L);
}

int headers_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    char lower[128];
    struct handle *handle = lua_touserdata(L, 1);
    bool is_response = handle && handle->object == OBJECT_RES_HEADERS;
    struct span name = check_span(L, 2);
    object_check(L, vm, 1, is_response ? OBJECT_RES_HEADERS : OBJECT_HEADERS);
    const struct response_facts *response = vm->now.response;
    const struct request *request = vm->now.request;
    if (name.length > sizeof(lower)) {
        lua_pushnil(L);
        return 1;
    }
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    name.data = lower;
    if (!is_response && span_equal(name, SPAN_LITERAL("cookie"))) {
        push_cookies(L, request);
        return 1;
    }
    struct span value = is_response ? field_find(response->fields, response->fields_count, name)
                                    : field_find(request->fields, request->fields_count, name);
    if (value.data)
        push_span(L, value);
    else
        lua_pushnil(L);
    return 1;
}

/* Looks for `name` in one cookie field (RFC 6265 5.4). */
static bool cookie_find(struct span field, struct span name, struct span *value)
{
    while (field.data) {
        struct span pair = span_next(&field, ';');
        size_t equals = span_find(pair, '=');
        if (equals < pair.length && span_equal((struct span){pair.data, equals}, name)) {
            *value = span_after(pair, equals + 1);
            return true;
        }
    }
    return false;
}

int cookies_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    const struct request *request = current(L, vm, OBJECT_COOKIES);
    struct span name = check_span(L, 2);
    struct span value;
    for (size_t i = 0; i < request->fields_count && !identity_is_cookie(name); i++) {
        const struct field *field = &request->fields[i];
        if (span_equal(field->name, SPAN_LITERAL("cookie")) &&
            cookie_find(field->value, name, &value)) {
            push_span(L, value);
            return 1;
        }
    }
    lua_pushnil(L);
    return 1;
}
