/* What policy code can name: a part of Lua's base, string, table, math and bit libraries, the API's
 * global tables, and nothing else. All of it is read-only; naming or writing any other global is an
 * error with file and line.
 *
 * Everything here runs inside a protected call. */
#ifndef HERALD_SANDBOX_H
#define HERALD_SANDBOX_H

#include "policy/vm.h"

/* Opens the libraries in a fresh state, keeps what api.def lists, and turns the compiler of traces
 * off for good: the library that could turn it on again is never opened. */
void sandbox_open(lua_State *L);

/* Pushes a new environment for `policy`: the globals, `require`, and the tables of
 * binding_libraries. */
void sandbox_environment(lua_State *L, struct policy_vm *vm, const struct policy *policy);

/* Pushes the compiled text of the bundle's `file`, to run in the environment at `environment`.
 * Raises "file:line: what" when there is none or it is no Lua text. */
void sandbox_compile(lua_State *L, struct policy_vm *vm, const char *file, int environment);

/* Makes the table at the top a read-only one. `what` names it in errors ("policy.args"); `missing`
 * is called as __index for what is not in it, with `what` as its upvalue. */
void sandbox_protect(lua_State *L, const char *what, lua_CFunction missing);

#endif
