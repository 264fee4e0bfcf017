/* A config's Lua: scanned for its places, run, resolved, and handed over. */
#include "tests/fuzz/input.h"

#include "master/config/config_lua.h"
#include "master/config/config_resolve.h"
#include "master/config/config_source.h"

#include <sys/mman.h>
#include <unistd.h>

static size_t lines_of(const char *text, size_t length)
{
    size_t lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    return lines;
}

/* The scan is for valid Lua, and has to end well on any. */
static void scan(struct span lua)
{
    struct source source;
    if (source_scan(lua, 0, &source) == 0) {
        MUST(lines_of(source.text, source.length) == lines_of(lua.data, lua.length));
        for (size_t i = 0; i < source.tables_count; i++) {
            MUST(source.tables[i].line > 0 && source_item_line(&source, i, 2) > 0);
            int again;
            source_key_line(&source, i, "root", &again);
        }
        source_set_line(&source, "root", 1, 9);
    }
    source_finish(&source);
}

static void resolve(const struct config_lua_result *said)
{
    static const struct config_facts facts = {.directory = "/srv", .cpus = 2, .state = "/state"};
    struct config *config = NULL, *again = NULL;
    struct fault fault = {0};
    if (config_resolve(said->top, said->sites, said->files, said->files_count, &facts, &config,
                       &fault) == 0) {
        char *text = config_encode(config);
        MUST(text && config_decode(span_of(text), &again, &fault) == 0);
        free(text);
    } else {
        MUST(!config && fault.what[0]);
    }
    config_destroy(config);
    config_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_make(data, size);
    struct config_lua_result said;
    struct fault fault = {0};
    scan(input_take(&input, size));
    int fd = memfd_create("herald.lua", MFD_CLOEXEC);
    struct config_lua_source source = {fd, -1, "", "herald.lua"};
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    if (config_lua_run(&source, &said, &fault) == 0) {
        resolve(&said);
        config_lua_finish(&said);
    } else {
        MUST(fault.what[0]);
    }
    close(fd);
    input_finish(&input);
    return 0;
}
