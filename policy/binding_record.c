/* Lists of records that are the same from one request to the next: a page's assets, a response's
 * links. Their tables are made once and known again by a hash of what they say. */
#include "policy/vm.h"

#include <xxhash.h>

uint64_t record_hash(uint64_t hash, struct span text)
{
    return XXH3_64bits_withSeed(text.data, text.length, hash);
}

void record_flag(lua_State *L, enum api_word word, bool flag)
{
    if (!flag)
        return;
    push_word(L, word);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
}

static int refuse_write(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "'%s' is added to a record that is read-only", name);
}

void binding_records(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "__readonly");
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_RECORD);
}

/* Pushes the records, made anew, and keeps them as list `at` of the policy's. */
static void make(lua_State *L, struct policy *policy, unsigned at, const struct record_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_RECORD);
    for (size_t i = 0; i < list->count; i++) {
        list->push(L, list->context, i);
        lua_pushvalue(L, -2);
        lua_setmetatable(L, -2);
        lua_rawseti(L, -3, (int)i + 1);
    }
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, policy->slot + HOOKS);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, (int)at + 1);
    lua_pop(L, 1);
    policy->lists[at] = list->hash;
    policy->lists_count = at + 1;
    policy->records_count += list->count;
}

/* Pushes the kept records of that hash, if there are any. */
static bool push_kept(lua_State *L, const struct policy *policy, uint64_t hash)
{
    for (unsigned i = 0; i < policy->lists_count; i++) {
        if (policy->lists[i] != hash)
            continue;
        lua_rawgeti(L, LUA_REGISTRYINDEX, policy->slot + HOOKS);
        lua_rawgeti(L, -1, (int)i + 1);
        lua_remove(L, -2);
        return true;
    }
    return false;
}

void records_push(lua_State *L, struct policy_vm *vm, const struct record_list *list)
{
    struct policy *policy = &vm->policies[vm->now.policy - vm->policies];
    if (!push_kept(L, policy, list->hash)) {
        /* Past its size the whole cache goes: what is in use comes back with the next requests. */
        bool full = policy->lists_count == VM_RECORD_LISTS_MAX ||
                    policy->records_count + list->count > VM_RECORDS_MAX;
        if (full || !policy->lists_count) {
            policy->lists_count = 0;
            policy->records_count = 0;
            lua_newtable(L);
            lua_rawseti(L, LUA_REGISTRYINDEX, policy->slot + HOOKS);
        }
        make(L, policy, policy->lists_count, list);
    }
    /* The list itself is the caller's own, to sort or to shorten. */
    lua_createtable(L, (int)list->count, 0);
    for (size_t i = 1; i <= list->count; i++) {
        lua_rawgeti(L, -2, (int)i);
        lua_rawseti(L, -2, (int)i);
    }
    lua_remove(L, -2);
}
