/* The globals that a chunk names are read from its bytecode, of which LuaJIT tells the layout in its
 * lj_bcdump.h: a header, then prototypes, each with its instructions, constants and lines. The
 * numbers of the two instructions are found by compiling a chunk that is known. */
#include "policy/policy_lint.h"

#include "policy/bundle.h"
#include "policy/rehearsal.h"
#include "policy/vm.h"

#include <fcntl.h>
#include <luajit.h>
#include <stdlib.h>
#include <unistd.h>

#define DUMP_MAX (4 * 1024 * 1024)
#define FLAG_STRIPPED 2
#define REPORTED_MAX 64

struct dump {
    uint8_t *data;
    size_t length, room;
};

struct reader {
    const uint8_t *at, *end;
};

/* A prototype's parts. */
struct proto {
    const uint8_t *code; /* 4 bytes each */
    unsigned instructions;
    struct span *strings; /* of its collectable constants, in the dump's order; data NULL: others */
    unsigned constants;
    const uint8_t *lines; /* `width` bytes for each instruction */
    unsigned width, first_line;
};

struct lint {
    void (*told)(void *context, const struct fault *fault);
    void *context;
    const char *file;
    unsigned get, set; /* opcodes of a global's use and of its assignment, */
    unsigned field;    /* and of a look-up by a constant name */
    const struct config *config; /* whose dictionaries are looked for; */
    char *unknown;               /* the first one that it lacks, */
    int unknown_line;            /* and where; 0: none was found */
    unsigned reported;
    struct span seen[REPORTED_MAX]; /* globals told of in this file */
    unsigned seen_count;
};

static int write_dump(lua_State *L, const void *data, size_t size, void *context)
{
    struct dump *dump = context;
    (void)L;
    if (size > DUMP_MAX - dump->length)
        return 1;
    if (dump->length + size > dump->room) {
        dump->room = (dump->length + size) * 2;
        uint8_t *grown = realloc(dump->data, dump->room);
        if (!grown)
            return 1;
        dump->data = grown;
    }
    memcpy(dump->data + dump->length, data, size);
    dump->length += size;
    return 0;
}

/* ---- reading a dump ---- */

static unsigned read_byte(struct reader *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint32_t read_number(struct reader *in)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        unsigned byte = read_byte(in);
        value |= (uint32_t)(byte & 127) << (shift & 31);
        if (!(byte & 128))
            break;
    }
    return value;
}

static const uint8_t *skip(struct reader *in, size_t bytes)
{
    const uint8_t *at = in->at;
    if (bytes > (size_t)(in->end - in->at))
        bytes = (size_t)(in->end - in->at);
    in->at += bytes;
    return at;
}

static void skip_table_value(struct reader *in)
{
    uint32_t kind = read_number(in);
    if (kind >= 5)
        skip(in, kind - 5);
    else if (kind == 3)
        read_number(in);
    else if (kind == 4) {
        read_number(in);
        read_number(in);
    }
}

/* One collectable constant: a child, a table, a number of the FFI's, or a string. */
static struct span read_constant(struct reader *in)
{
    uint32_t kind = read_number(in);
    if (kind >= 5) {
        const uint8_t *text = skip(in, kind - 5);
        return span_make(text, kind - 5);
    }
    if (kind == 1) {
        uint32_t items = read_number(in), fields = read_number(in);
        for (uint32_t i = 0; i < items && in->at < in->end; i++)
            skip_table_value(in);
        for (uint32_t i = 0; i < fields && in->at < in->end; i++) {
            skip_table_value(in);
            skip_table_value(in);
        }
    } else if (kind == 2 || kind == 3 || kind == 4) {
        for (uint32_t i = 0; i < (kind == 4 ? 4u : 2u); i++)
            read_number(in);
    }
    return (struct span){NULL, 0};
}

/* Reads the prototype in `in`, which ends with it. `strings` is allocated. Returns false when memory
 * runs out. */
static bool read_proto(struct reader *in, bool stripped, struct proto *proto)
{
    *proto = (struct proto){0};
    skip(in, 3);
    unsigned upvalues = read_byte(in);
    uint32_t debug = 0, lines = 0;
    proto->constants = read_number(in);
    read_number(in);
    proto->instructions = read_number(in);
    if (!stripped && (debug = read_number(in)) > 0) {
        proto->first_line = read_number(in);
        lines = read_number(in);
    }
    proto->code = skip(in, (size_t)proto->instructions * 4);
    skip(in, (size_t)upvalues * 2);
    if (proto->constants > (size_t)(in->end - in->at))
        proto->constants = 0;
    proto->strings = calloc(proto->constants + 1, sizeof(*proto->strings));
    for (unsigned i = 0; proto->strings && i < proto->constants; i++)
        proto->strings[i] = read_constant(in);
    proto->width = lines < 256 ? 1 : lines < 65536 ? 2 : 4;
    if (debug && debug <= (size_t)(in->end - in->at))
        proto->lines = in->end - debug;
    return proto->strings != NULL;
}

static int line_of(const struct proto *proto, unsigned instruction)
{
    uint32_t offset = 0;
    if (!proto->lines)
        return (int)proto->first_line;
    memcpy(&offset, proto->lines + (size_t)instruction * proto->width, proto->width);
    return (int)(proto->first_line + offset);
}

/* ---- what is told ---- */

static bool is_global(struct span name)
{
    const char *names[API_NAMES_MAX];
    api_library_names("_G", names);
    for (size_t i = 0; names[i]; i++) {
        if (span_equal(span_of(names[i]), name))
            return true;
    }
    return false;
}

static bool was_seen(struct lint *lint, struct span name)
{
    for (unsigned i = 0; i < lint->seen_count; i++) {
        if (span_equal(lint->seen[i], name))
            return true;
    }
    if (lint->seen_count < REPORTED_MAX)
        lint->seen[lint->seen_count++] = name;
    return false;
}

static void tell_global(struct lint *lint, struct span name, int line, bool assigned)
{
    char text[80];
    const char *names[API_NAMES_MAX];
    struct fault fault = {0};
    if ((!assigned && is_global(name)) || was_seen(lint, name))
        return;
    snprintf(text, sizeof(text), "%.*s", SPAN_PRINT(name));
    api_library_names("_G", names);
    const char *nearest = assigned ? NULL : fault_nearest(text, names);
    if (assigned)
        fault_set(&fault, 0, lint->file, line, "'%s' is assigned as a global; write 'local %s'",
                  text, text);
    else
        fault_set(&fault, 0, lint->file, line, "there is no global '%s'%s%s%s", text,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    lint->told(lint->context, &fault);
}

static void lint_proto(struct lint *lint, const struct proto *proto)
{
    for (unsigned i = 0; i < proto->instructions; i++) {
        const uint8_t *code = proto->code + (size_t)i * 4;
        unsigned operand = code[2] | (unsigned)code[3] << 8;
        bool set = code[0] == lint->set;
        if ((code[0] != lint->get && !set) || operand >= proto->constants)
            continue;
        struct span name = proto->strings[proto->constants - 1 - operand];
        if (name.data)
            tell_global(lint, name, line_of(proto, i), set);
    }
}

/* Compiles `text` and gives each prototype to `each`. Returns false when it does not compile. */
static bool each_proto(struct span text, void (*each)(struct lint *, const struct proto *),
                       struct lint *lint)
{
    struct dump dump = {0};
    lua_State *L = luaL_newstate();
    if (L)
        luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    bool good = L && luaL_loadbufferx(L, text.data, text.length, "@lint", "t") == 0 &&
                lua_dump(L, write_dump, &dump) == 0 && dump.length > 5;
    if (L)
        lua_close(L);
    struct reader in = {dump.data, dump.data + dump.length};
    if (good) {
        skip(&in, 4);
        bool stripped = read_number(&in) & FLAG_STRIPPED;
        if (!stripped)
            skip(&in, read_number(&in));
        for (uint32_t size; in.at < in.end && (size = read_number(&in)) > 0;) {
            struct reader one = {in.at, in.at};
            skip(&in, size);
            one.end = in.at;
            struct proto proto;
            if (read_proto(&one, stripped, &proto))
                each(lint, &proto);
            free(proto.strings);
        }
    }
    free(dump.data);
    return good;
}

/* `a = b` is a use and an assignment, in this order: GGET, GSET, RET0. */
static void learn_opcodes(struct lint *lint, const struct proto *proto)
{
    if (proto->instructions < 2)
        return;
    lint->get = proto->code[0];
    lint->set = proto->code[4];
}

/* `local _ = a.b` is a use and a look-up: GGET, TGETS. */
static void learn_field(struct lint *lint, const struct proto *proto)
{
    if (proto->instructions < 2)
        return;
    lint->get = proto->code[0];
    lint->field = proto->code[4];
}

/* ---- dictionaries ---- */

static struct span constant(const struct proto *proto, unsigned operand)
{
    return operand < proto->constants ? proto->strings[proto->constants - 1 - operand]
                                      : (struct span){NULL, 0};
}

static bool is_declared(const struct config *config, struct span name)
{
    for (size_t i = 0; i < config->shared_count; i++) {
        if (span_equal(span_of(config->shared[i].name), name))
            return true;
    }
    return false;
}

/* `shared` goes to a register, from which the next instruction takes the dictionary. */
static void find_shared(struct lint *lint, const struct proto *proto)
{
    for (unsigned i = 0; i + 1 < proto->instructions && !lint->unknown_line; i++) {
        const uint8_t *get = proto->code + (size_t)i * 4;
        const uint8_t *field = get + 4;
        if (get[0] != lint->get || field[0] != lint->field || field[3] != get[1])
            continue;
        struct span global = constant(proto, get[2] | (unsigned)get[3] << 8);
        struct span name = constant(proto, field[2]);
        if (!global.data || !name.data || !span_equal(global, SPAN_LITERAL("shared")) ||
            is_declared(lint->config, name))
            continue;
        snprintf(lint->unknown, 65, "%.*s", SPAN_PRINT(name));
        lint->unknown_line = line_of(proto, i + 1);
    }
}

int policy_lint_shared(const struct config *config, struct span text, char name[65])
{
    struct lint lint = {.config = config, .unknown = name};
    if (!text.length || !memmem(text.data, text.length, "shared", strlen("shared")))
        return 0;
    each_proto(SPAN_LITERAL("local _ = known.unknown"), learn_field, &lint);
    each_proto(text, find_shared, &lint);
    return lint.unknown_line;
}

/* ---- files ---- */

static bool is_listed(const struct config *config, struct span file)
{
    struct span bare = span_make(file.data, file.length - 4);
    for (size_t s = 0; s < config->sites_count; s++) {
        for (size_t r = 0; r < config->sites[s].routes_count; r++) {
            const struct config_route *route = &config->sites[s].routes[r];
            for (size_t p = 0; p < route->policies_count; p++) {
                struct span name = span_of(route->policies[p].name);
                if (span_equal(name, file) || span_equal(name, bare))
                    return true;
            }
        }
    }
    return false;
}

/* Files that lie in the directory are the operator's. */
static bool is_own(const struct config *config, const char *name)
{
    return config->policy.dir_fd >= 0 &&
           faccessat(config->policy.dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_spec(const struct bundle *bundle, struct span file)
{
    char name[BUNDLE_NAME_MAX + 16];
    snprintf(name, sizeof(name), "%.*s%s", (int)file.length - 4, file.data, REHEARSAL_ENDING);
    if (bundle_find(bundle, span_of(name)).data)
        return true;
    for (size_t i = 0; i < bundle_count(bundle); i++) { /* or one of another name speaks of it */
        struct span other = bundle_name(bundle, i);
        struct span text = bundle_find(bundle, other);
        if (rehearsal_is_spec(other) && memmem(text.data, text.length, file.data, file.length - 4))
            return true;
    }
    return false;
}

static void lint_file(struct lint *lint, const struct bundle *bundle, const struct config *config,
                      struct span file)
{
    char name[BUNDLE_NAME_MAX + 1];
    struct fault fault = {0};
    snprintf(name, sizeof(name), "%.*s", SPAN_PRINT(file));
    lint->file = name;
    lint->seen_count = 0;
    each_proto(bundle_find(bundle, file), lint_proto, lint);
    if (rehearsal_is_spec(file) || !is_listed(config, file))
        return;
    if (is_own(config, name) && !has_spec(bundle, file)) {
        fault_set(&fault, 0, name, 0, "has no spec (%.*s%s)", (int)file.length - 4, file.data,
                  REHEARSAL_ENDING);
        lint->told(lint->context, &fault);
    }
}

void policy_lint(const struct config *config, int bundle_fd,
                 void (*told)(void *context, const struct fault *fault), void *context)
{
    struct lint lint = {.told = told, .context = context};
    struct bundle *bundle;
    struct fault fault;
    if (bundle_open(bundle_fd, &bundle, &fault) < 0)
        return;
    each_proto(SPAN_LITERAL("known = unknown"), learn_opcodes, &lint);
    for (size_t i = 0; lint.get && i < bundle_count(bundle); i++) {
        struct span file = bundle_name(bundle, i);
        if (span_ends(file, SPAN_LITERAL(".lua")))
            lint_file(&lint, bundle, config, file);
    }
    bundle_close(bundle);
}
