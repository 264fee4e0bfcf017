#include "policy/api.h"

#include <assert.h>
#include <string.h>

const struct api_entry API[API_WORDS] = {
#define API_OBJECT(object, prose) {API_IS_OBJECT, #object, #object, "", "", prose},
#define API_RECORD(object, prose) {API_IS_RECORD, #object, #object, "", "", prose},
#define API_GLOBAL(object, prose) {API_IS_GLOBAL, #object, #object, "", "", prose},
#define API_FIELD(object, name, type, prose) {API_IS_FIELD, #object, #name, type, "", prose},
#define API_METHOD(object, name, arguments, returns, prose) \
    {API_IS_METHOD, #object, #name, arguments, returns, prose},
#define API_FUNCTION(object, name, arguments, returns, prose) \
    {API_IS_FUNCTION, #object, #name, arguments, returns, prose},
#include "policy/api.def"
};

const struct api_hook_entry API_HOOKS[HOOKS] = {
#define API_HOOK(name, arguments, returns, prose) {#name, arguments, returns, prose},
#include "policy/api.def"
};

const struct api_lua_entry API_LUA_ENTRIES[] = {
#define API_LUA(library, name) {#library, #name},
#include "policy/api.def"
};

const size_t API_LUA_COUNT = sizeof(API_LUA_ENTRIES) / sizeof(API_LUA_ENTRIES[0]);

enum api_word api_end(enum api_word object)
{
    unsigned word = (unsigned)object + 1;
    while (word < API_WORDS && API[word].kind >= API_IS_FIELD)
        word++;
    return (enum api_word)word;
}

void api_names(enum api_word object, const char *words[API_NAMES_MAX])
{
    size_t count = 0;
    for (unsigned word = (unsigned)object + 1; word < (unsigned)api_end(object); word++) {
        assert(count < API_NAMES_MAX - 1);
        words[count++] = API[word].name;
    }
    words[count] = NULL;
}

void api_library_names(const char *library, const char *words[API_NAMES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < API_LUA_COUNT; i++) {
        if (strcmp(API_LUA_ENTRIES[i].library, library) == 0)
            words[count++] = API_LUA_ENTRIES[i].name;
    }
    if (strcmp(library, "_G") == 0) {
        for (unsigned word = 0; word < API_WORDS; word++) {
            if (API[word].kind == API_IS_GLOBAL)
                words[count++] = API[word].name;
        }
        words[count++] = "require";
        words[count++] = "string";
        words[count++] = "table";
        words[count++] = "math";
        words[count++] = "bit";
    }
    assert(count < API_NAMES_MAX);
    words[count] = NULL;
}
