/* The global table `stats`: what became of pushes of a path lately. */
#include "policy/vm.h"

/* Reads the figures of the path that is the only argument. Returns false when nothing is known. */
static bool read_figures(lua_State *L, const char *what, struct tally_figures *figures)
{
    struct policy_vm *vm = vm_of(L);
    struct span path = check_span(L, 1);
    if (!vm->now.request)
        luaL_error(L, "%s needs a request; it works in hooks other than init", what);
    if (!vm->host->path_figures)
        return false;
    deadline_hold();
    bool known = vm->host->path_figures(vm->host->context, vm->now.request, path, figures);
    deadline_release();
    return known;
}

static int push_share(lua_State *L, double share)
{
    if (share < 0)
        lua_pushnil(L);
    else
        lua_pushnumber(L, share);
    return 1;
}

static int stats_accept_ratio(lua_State *L)
{
    struct tally_figures figures;
    bool known = read_figures(L, "stats.accept_ratio", &figures);
    return push_share(L, known ? tally_accept_ratio(&figures) : -1);
}

static int stats_cancel_ratio(lua_State *L)
{
    struct tally_figures figures;
    bool known = read_figures(L, "stats.cancel_ratio", &figures);
    return push_share(L, known ? tally_cancel_ratio(&figures) : -1);
}

static int stats_rerequest_ratio(lua_State *L)
{
    struct tally_figures figures;
    bool known = read_figures(L, "stats.rerequest_ratio", &figures);
    return push_share(L, known ? tally_rerequest_ratio(&figures) : -1);
}

static int stats_waste_bytes(lua_State *L)
{
    struct tally_figures figures;
    bool known = read_figures(L, "stats.waste_bytes", &figures);
    if (known && tally_accept_ratio(&figures) >= 0)
        lua_pushnumber(L, (lua_Number)tally_waste_bytes(figures.bytes));
    else
        lua_pushnil(L);
    return 1;
}

void binding_stats(lua_State *L)
{
    static const luaL_Reg FUNCTIONS[] = {{"accept_ratio", stats_accept_ratio},
                                         {"cancel_ratio", stats_cancel_ratio},
                                         {"rerequest_ratio", stats_rerequest_ratio},
                                         {"waste_bytes", stats_waste_bytes}};
    for (size_t i = 0; i < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); i++) {
        lua_pushcfunction(L, FUNCTIONS[i].func);
        lua_setfield(L, -2, FUNCTIONS[i].name);
    }
}
