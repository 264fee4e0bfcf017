/* The global table `learn`: what clients ask for after a page. */
#include "policy/vm.h"

#include <math.h>

#define MIN_SHARE_DEFAULT 50 /* percent */

struct wish {
    struct learned_wish learned;
    unsigned max;
};

static struct request *need_request(lua_State *L, const struct policy_vm *vm, const char *what)
{
    if (!vm->now.request)
        luaL_error(L, "%s needs a request; it works in hooks other than init", what);
    return vm->now.request;
}

static unsigned check_integer(lua_State *L, int index, const char *name, unsigned least,
                              unsigned most)
{
    lua_Number n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
    if (!(n >= least && n <= most) || n != floor(n))
        luaL_error(L, "%s is an integer from %d to %d", name, (int)least, (int)most);
    return (unsigned)n;
}

/* Takes one wish, its key at stack index 3 and its value at 4. */
static void take_wish(lua_State *L, struct policy_vm *vm, struct wish *wish)
{
    const char *names[API_NAMES_MAX];
    const void *key = lua_topointer(L, 3);
    if (key == vm->words[API_wish_max]) {
        wish->max = check_integer(L, 4, "max", 0, LEARNED_CELLS);
    } else if (key == vm->words[API_wish_min_seen]) {
        wish->learned.min_seen =
            check_integer(L, 4, "min_seen", LEARNED_SEEN_MIN, LEARNED_SEEN_MAX);
    } else if (key == vm->words[API_wish_min_share]) {
        lua_Number share = lua_type(L, 4) == LUA_TNUMBER ? lua_tonumber(L, 4) : NAN;
        if (!(share >= 0 && share <= 1))
            luaL_error(L, "min_share is a number from 0 to 1");
        wish->learned.min_percent = (unsigned)(share * 100);
    } else {
        const char *name = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "?";
        api_names(API_wish, names);
        lua_pushfstring(L, "learn.next has no option '%s'", name);
        raise_unknown(L, lua_tostring(L, -1), name, names);
    }
}

static void take_wishes(lua_State *L, struct policy_vm *vm, struct wish *wish)
{
    if (lua_isnoneornil(L, 2))
        return;
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        take_wish(L, vm, wish);
}

static void push_item(lua_State *L, const void *context, size_t i)
{
    const struct policy_learned *item = (const struct policy_learned *)context + i;
    lua_createtable(L, 0, 3);
    push_word(L, API_learned_path);
    push_span(L, item->path);
    lua_rawset(L, -3);
    push_word(L, API_learned_as);
    push_as(L, item->as);
    lua_rawset(L, -3);
    record_flag(L, API_learned_crossorigin, item->crossorigin);
}

int learn_next(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct request *request = need_request(L, vm, "learn.next");
    struct span page = check_span(L, 1);
    struct wish wish = {{LEARNED_SEEN_MIN, MIN_SHARE_DEFAULT}, LEARNED_CELLS};
    struct policy_learned items[LEARNED_CELLS];
    const char *why = "unknown";
    take_wishes(L, vm, &wish);
    deadline_hold();
    unsigned count = vm->host->learn_next
                         ? vm->host->learn_next(vm->host->context, request, page, &wish.learned,
                                                items, wish.max, &why)
                         : 0;
    deadline_release();
    struct record_list list = {0, count, push_item, items};
    for (unsigned i = 0; i < count; i++) {
        char flags[2] = {(char)items[i].as, items[i].crossorigin};
        list.hash = record_hash(list.hash, items[i].path);
        list.hash = record_hash(list.hash, span_make(flags, sizeof(flags)));
    }
    records_push(L, vm, &list);
    if (count)
        return 1;
    lua_pushstring(L, why);
    return 2;
}

int learn_note(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct request *request = need_request(L, vm, "learn.note");
    struct span page = check_span(L, 1);
    struct span path = check_span(L, 2);
    deadline_hold();
    bool noted = vm->host->learn_note &&
                 vm->host->learn_note(vm->host->context, request, page, path);
    deadline_release();
    lua_pushboolean(L, noted);
    return 1;
}
