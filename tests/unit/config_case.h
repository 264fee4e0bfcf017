/* For the tests of the config: a directory with files of the test's own, and what loading says. */
#ifndef HERALD_TESTS_CONFIG_CASE_H
#define HERALD_TESTS_CONFIG_CASE_H

#include "master/config/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What every config needs; two lines, so that what follows begins on line 3. */
#define CASE_LISTEN "listen = { \"127.0.0.1:8080\" }\n"
#define CASE_BASE CASE_LISTEN "site { root = \"/srv\" }\n"

/* Moves into a new directory that everyone may read; *state is its path. */
static inline int case_enter(void **state)
{
    char *directory = strdup("/tmp/herald-config-XXXXXX");
    if (!directory || !mkdtemp(directory) || chmod(directory, 0755) < 0 || chdir(directory) < 0)
        return -1;
    *state = directory;
    return 0;
}

static inline int case_leave(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
    int rc = chdir("/") < 0 || system(command) != 0;
    free(*state);
    return rc;
}

static inline void case_write_bytes(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static inline void case_write(const char *path, const char *text)
{
    case_write_bytes(path, text, strlen(text));
}

/* What is said of a config that must not load: "herald.lua:3: ..."; valid until the next call. */
static inline const char *case_fault_of(const char *path)
{
    static char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    struct config *config = NULL;
    struct fault fault = {0};
    int rc = config_load(path, &config, &fault);
    if (rc == 0) {
        config_destroy(config);
        return "it loaded";
    }
    assert_true(rc < 0);
    assert_null(config);
    assert_string_not_equal(fault.what, "");
    return fault_text(&fault, text, sizeof(text));
}

static inline const char *case_fault(const char *lua)
{
    case_write("herald.lua", lua);
    return case_fault_of("herald.lua");
}

/* A config that must load; owned by the caller. */
static inline struct config *case_load(const char *lua)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    struct config *config = NULL;
    struct fault fault = {0};
    case_write("herald.lua", lua);
    if (config_load("herald.lua", &config, &fault) < 0)
        fail_msg("it did not load: %s", fault_text(&fault, text, sizeof(text)));
    return config;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct case_bad {
    const char *lua;
    const char *fault;
};

/* Each of them, put after `before`, must give exactly its fault. */
static inline void case_check_bad(const char *before, const struct case_bad *bad, size_t count)
{
    char lua[2048];
    for (size_t i = 0; i < count; i++) {
        snprintf(lua, sizeof(lua), "%s%s", before, bad[i].lua);
        const char *fault = case_fault(lua);
        if (strcmp(fault, bad[i].fault) != 0)
            fail_msg("config '%s'\n  says '%s'\n  not  '%s'", bad[i].lua, fault, bad[i].fault);
    }
}

#endif
