/* What `include` does. */
#include "master/config/config_lua_state.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *config_lua_explain(int rc)
{
    switch (rc) {
    case -EXDEV:
    case -ELOOP:
        return "it leads out of the config's directory";
    case -EFBIG:
        return "it is larger than 1MiB";
    case -EINVAL:
        return "it is not a regular file";
    case -E2BIG:
        return "it matches too many files";
    default:
        return strerror(-rc);
    }
}

static int raise_include(lua_State *lua, struct evaluation *evaluation, struct value_place place,
                         const char *name, int rc)
{
    char text[FAULT_WHAT_MAX];
    snprintf(text, sizeof(text), "include \"%.256s\": %s", name, config_lua_explain(rc));
    return config_lua_raise(lua, evaluation, place, text);
}

static void include_one(lua_State *lua, struct evaluation *evaluation, struct value_place here,
                        const char *path)
{
    char text[FAULT_WHAT_MAX];
    struct file *file = &evaluation->files[evaluation->files_count];
    size_t running = 0;
    if (evaluation->files_count == CONFIG_LUA_FILES_MAX)
        config_lua_raise(lua, evaluation, here, "include: more than 256 files");
    int rc = include_read(evaluation->where->directory_fd, path, &file->text, &file->length,
                          &file->identity);
    if (rc < 0)
        raise_include(lua, evaluation, here, path, rc);
    evaluation->files_count++;
    file->path = strdup(path);
    if (!file->path || asprintf(&file->name, "%s%s", evaluation->where->prefix, path) < 0) {
        file->name = NULL;
        config_lua_raise(lua, evaluation, here, "out of memory");
    }
    for (size_t i = 0; i + 1 < evaluation->files_count; i++) {
        struct file *other = &evaluation->files[i];
        running += other->running;
        if (!other->running || memcmp(&other->identity, &file->identity, sizeof(file->identity)))
            continue;
        snprintf(text, sizeof(text), "include \"%.256s\": the file includes itself", path);
        config_lua_raise(lua, evaluation, here, text);
    }
    if (running >= CONFIG_LUA_NESTED_MAX)
        config_lua_raise(lua, evaluation, here, "include: nested too deeply");
    config_lua_run_file(lua, evaluation, file);
}

int config_lua_include(lua_State *lua)
{
    struct evaluation *evaluation = config_lua_evaluation(lua);
    struct value_place here = config_lua_here(lua, evaluation);
    char joined[INCLUDE_PATH_MAX];
    char **paths = NULL;
    size_t count = 0;
    if (lua_gettop(lua) != 1 || lua_type(lua, 1) != LUA_TSTRING)
        return config_lua_raise(lua, evaluation, here,
                                "include: expected a path, as in include \"sites.d/*.lua\"");
    const char *pattern = config_lua_text(evaluation, 1, here);
    if (!pattern)
        return config_lua_raise(lua, evaluation, here, "");
    int rc = include_join(evaluation->files[here.file].path, pattern, joined);
    if (rc == 0)
        rc = include_find(evaluation->where->directory_fd, joined, &paths, &count);
    if (rc < 0)
        return raise_include(lua, evaluation, here, pattern, rc);
    /* The paths go to Lua's memory, which an error releases. */
    lua_createtable(lua, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(lua, paths[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    include_free(paths, count);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, 2, (int)i + 1);
        include_one(lua, evaluation, here, lua_tostring(lua, -1));
        lua_pop(lua, 1);
    }
    return 0;
}
