/* The policy API's table (api.def) for C, and what is written from it. */
#ifndef HERALD_API_H
#define HERALD_API_H

#include <stddef.h>
#include <stdio.h>

/* One per object, field, method and function: API_req, API_req_path, API_push_add... */
enum api_word {
#define API_OBJECT(object, prose) API_##object,
#define API_RECORD(object, prose) API_##object,
#define API_GLOBAL(object, prose) API_##object,
#define API_FIELD(object, name, type, prose) API_##object##_##name,
#define API_METHOD(object, name, arguments, returns, prose) API_##object##_##name,
#define API_FUNCTION(object, name, arguments, returns, prose) API_##object##_##name,
#include "policy/api.def"
    API_WORDS
};

enum api_hook {
#define API_HOOK(name, arguments, returns, prose) HOOK_##name,
#include "policy/api.def"
    HOOKS
};

enum api_kind {
    API_IS_OBJECT,
    API_IS_RECORD,
    API_IS_GLOBAL,
    API_IS_FIELD,
    API_IS_METHOD,
    API_IS_FUNCTION
};

struct api_entry {
    enum api_kind kind;
    const char *object;
    const char *name;      /* the object's own for the first three kinds */
    const char *arguments; /* of methods and functions; a field's type */
    const char *returns;
    const char *prose;
};

extern const struct api_entry API[API_WORDS];

struct api_hook_entry {
    const char *name;
    const char *arguments;
    const char *returns;
    const char *prose;
};

extern const struct api_hook_entry API_HOOKS[HOOKS];

/* What is kept of Lua's libraries. */
struct api_lua_entry {
    const char *library; /* "_G", "string"... */
    const char *name;
};

extern const struct api_lua_entry API_LUA_ENTRIES[];
extern const size_t API_LUA_COUNT;

/* The first word after the entries of the object `object`, which begin at object + 1. */
enum api_word api_end(enum api_word object);

/* Fills `words`, NULL-terminated, with the names of `object`'s entries, or of a Lua library's
 * ("_G" with the global tables), for fault_nearest. */
#define API_NAMES_MAX 64
void api_names(enum api_word object, const char *words[API_NAMES_MAX]);
void api_library_names(const char *library, const char *words[API_NAMES_MAX]);

/* Write lua/meta/herald.lua, .luacheckrc, and the reference part of lua/herald-policy.7. */
void api_write_meta(FILE *out);
void api_write_luacheck(FILE *out);
void api_write_manual(FILE *out);

/* Prints what the table says of `word`: a hook, an object, "push:add" or plain "add", a function of
 * Lua's libraries, a verdict; NULL: of everything, a line each. Returns how much was found. */
unsigned api_doc(FILE *out, const char *word);

/* The word that api_doc knows and that is nearest to `word`, or NULL. Valid until the next call. */
const char *api_doc_nearest(const char *word);

#endif
