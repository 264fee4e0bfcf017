/* What the parts of the policy VM share: policy_*.c, sandbox.c, binding_*.c and rehearsal_spec.c.
 * Nobody else includes this, tests of the VM's insides apart.
 *
 * Objects given to hooks (req, push...) are userdata made once, in VM_SETS sets. Each run of a hook
 * takes the next set and stamps it with the run's number; what a policy keeps beyond its hook bears
 * an old number and says so when it is used. (A set comes round again after VM_SETS runs; what was
 * kept so long then speaks of the request under way, never of an earlier one.) They hold no
 * pointers: everything is looked up through vm->now. */
#ifndef HERALD_VM_H
#define HERALD_VM_H

#include "policy/api.h"
#include "policy/arena.h"
#include "policy/bundle.h"
#include "policy/deadline.h"
#include "policy/policy_vm.h"

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>

#define VM_SETS 32
#define VM_DEPTH_MAX 32          /* of gsub within gsub */
#define VM_REP_MAX (256 * 1024)  /* bytes that string.rep may make */
#define VM_GLOB_STEPS_MAX 200000 /* of util.glob in one hook call; of one `applies` test */
#define VM_LOG_LINES_MAX 16      /* in one hook call */
#define VM_LOG_TEXT_MAX 2048     /* bytes of one line's fields */
#define VM_LOG_FIELDS_MAX 16
#define VM_MANIFEST_MAX (1024 * 1024) /* bytes of a JSON file below the root */
#define VM_JSON_DEPTH_MAX 64
#define VM_LIST_PROPOSED_MAX 1024 /* of push:add_all: no deadline ends it, as it does a loop */
#define VM_VARS_MAX 8192       /* requests that hold `vars` at once */
#define VM_LIST_MAX 32         /* policies of one list */
#define VM_ARGUMENTS_MAX 32    /* that one policy declares */
#define VM_PATTERNS_MAX 16     /* in one `applies.path` */
#define VM_RECORD_LISTS_MAX 32 /* lists of records kept for one policy */
#define VM_RECORDS_MAX 1024    /* records in them */
#define VM_LOAD_TICKS 25       /* soft deadline of loading one file, its init included */
#define VM_PATIENCE_MIN 1000   /* calls that go unanswered when the state cannot be made */
#define VM_PATIENCE_MAX 1000000

/* Kinds of objects; each has a metatable, and a place in every set. */
enum object {
    OBJECT_REQ,
    OBJECT_CLIENT,
    OBJECT_CAN,
    OBJECT_HEADERS,
    OBJECT_COOKIES,
    OBJECT_RES,
    OBJECT_RES_HEADERS,
    OBJECT_R,
    OBJECT_PUSH,
    OBJECTS
};

/* The registry's integer keys. Those that are reached on every call are here, so that nothing need
 * be interned or allocated to find them. */
enum slot {
    SLOT_ON_ERROR = 1,
    SLOT_COLLECT,
    SLOT_LOAD,
    SLOT_VARS,    /* the requests' `vars`, by reference */
    SLOT_LINKS,   /* res.links of the hook under way, once it was asked for; or false */
    SLOT_RECORD,  /* the records' metatable */
    SLOT_GLOBALS, /* sandbox.c's */
    SLOT_STRING,  /* the string library's table */
    SLOT_SHARED,  /* the table `shared`, once a policy was loaded */
    SLOT_METATABLES,
    SLOT_OBJECTS = SLOT_METATABLES + OBJECTS,
    SLOT_WORDS = SLOT_OBJECTS + VM_SETS * OBJECTS,
    SLOT_METHODS = SLOT_WORDS + API_WORDS,
    SLOT_RESULTS = SLOT_METHODS + API_WORDS,
    SLOT_AS = SLOT_RESULTS + PUSH_RESULT_LOST + 1,
    SLOT_POLICIES = SLOT_AS + AS_KINDS /* VM_POLICY_SLOTS for each policy */
};

#define VM_POLICY_SLOTS (HOOKS + 1) /* its hooks, then its lists of records */

/* What an object's userdata holds. */
struct handle {
    uint64_t run;    /* whose it is */
    uint32_t object; /* enum object */
    uint32_t index;  /* OBJECT_R: of the decision's candidates, or HANDLE_CURRENT */
};
#define HANDLE_CURRENT UINT32_MAX

struct applies {
    uint32_t dests;   /* bit `enum asset_as` */
    uint32_t methods; /* bit of binding table METHODS */
    struct span patterns[VM_PATTERNS_MAX];
    unsigned patterns_count;
    char text[1024]; /* theirs */
};

/* A policy of a list, with its own arguments and its own state. */
struct policy {
    const char *name;      /* the config's */
    const char *arguments; /* JSON, the config's */
    char file[BUNDLE_NAME_MAX + 1];
    const char *config_file; /* where the config names it */
    int config_line;
    int slot;         /* of its first hook */
    unsigned hooks;   /* bit `enum api_hook` */
    int lines[HOOKS]; /* where each hook is in the file */
    struct applies applies;
    uint64_t lists[VM_RECORD_LISTS_MAX]; /* hashes of the lists of records that are kept */
    unsigned lists_count;
    size_t records_count; /* in all of them */
};

struct policy_list {
    struct policy *policies;
    size_t count;
    unsigned hooks; /* of any of them */
};

/* The hook call under way. */
struct policy_now {
    uint64_t run; /* 0: none */
    unsigned set;
    const struct policy *policy; /* also while it is loaded; NULL: none */
    enum api_hook hook;
    struct request *request; /* NULL while loading and in init */
    const struct response_facts *response;
    struct decision *decision;
    const struct candidate *candidate;
    uint32_t glob_steps;
    unsigned log_lines;
    unsigned depth;
    unsigned refused; /* candidates beyond what a page may have */
};

struct policy_vm {
    struct arena arena; /* the state's allocator finds the VM by it */
    lua_State *L;       /* NULL: it could not be made again */
    const struct config *config;
    const struct policy_host *host;
    struct bundle *bundle; /* NULL: no policies */
    char version[17];
    struct deadline_limits limits;
    struct policy_list *lists;
    size_t lists_count;
    size_t *site_lists; /* where each site's lists begin in `lists` */
    struct policy *policies;
    size_t policies_count;
    unsigned epoch; /* of `vars`: grows whenever the state is made anew, from 1 */
    unsigned vars_count;
    size_t collect_above; /* bytes in use that call for garbage collection between calls */
    uint64_t runs;
    uint64_t calls;
    struct policy_now now;
    struct policy *loading; /* NULL: none */
    bool traces;            /* lines of proposals and returns are noted */
    int return_line;        /* of the last return, when it traces */
    struct fault fault;     /* of the call under way */
    struct {
        char file[BUNDLE_NAME_MAX + 8];
        int line;
    } exhausted;                  /* where the call under way was refused memory */
    struct fault broken;          /* why L is NULL */
    unsigned silent;              /* calls since then */
    unsigned patience;            /* how many of them until the state is tried again */
    void *scratch;                /* private dictionaries; NULL: not made (yet) */
    struct shared_dict scratch_dicts[CONFIG_SHARED_MAX];
    json_t *json;                 /* being turned into Lua values */
    const void *words[API_WORDS]; /* interned strings: compared by lua_topointer's address */
    enum api_word ends[OBJECTS];  /* behind each object's last field */
    const void *as_words[AS_KINDS];
};

static inline struct policy_vm *vm_of(lua_State *L)
{
    void *vm = NULL;
    lua_getallocf(L, &vm);
    return vm;
}

static inline void push_span(lua_State *L, struct span text)
{
    lua_pushlstring(L, text.length ? text.data : "", text.length);
}

static inline void push_span_or_nil(lua_State *L, struct span text)
{
    if (text.length)
        lua_pushlstring(L, text.data, text.length);
    else
        lua_pushnil(L);
}

/* The string or number at `index` of the running C function, as luaL_checklstring. */
static inline struct span check_span(lua_State *L, int index)
{
    size_t length;
    const char *data = luaL_checklstring(L, index, &length);
    return span_make(data, length);
}

/* binding_object.c: the objects' common part. */

/* Makes the metatables, the sets and the interned words. */
void binding_objects(lua_State *L);

/* Pushes the set's object of that kind, stamped for the run under way. */
void object_push(lua_State *L, const struct policy_vm *vm, enum object object);

/* A further OBJECT_R, for candidate `index`. Allocates. */
void object_push_candidate(lua_State *L, const struct policy_vm *vm, uint32_t index);

/* The handle at `index`: an error unless it is of this kind and of the run under way. */
struct handle *object_check(lua_State *L, struct policy_vm *vm, int index, enum object object);

/* Which entry of that object the key at stack index 2 names: an error that names the nearest when
 * there is none. */
enum api_word object_field(lua_State *L, struct policy_vm *vm, enum object object);

/* Raises `sentence`, followed by "; did you mean 'nearest'?" when one of `words` is near `word`,
 * with the position of the Lua code that called. */
int raise_unknown(lua_State *L, const char *sentence, const char *word, const char *const *words);

/* Pushes the name of `word`; with a value on top of it, lua_rawset(L, -3) is next. */
static inline void push_word(lua_State *L, enum api_word word)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_WORDS + (int)word);
}

/* An enum asset_as from the Lua value at `index`: an error that names the nearest. */
enum asset_as check_as(lua_State *L, struct policy_vm *vm, int index);

/* Has the host fill in what it knows of the path to the client. */
void object_measure(struct policy_vm *vm);

/* Pushes the name, or nil for AS_UNKNOWN. */
void push_as(lua_State *L, enum asset_as as);

/* The objects' fields: each pushes one value for the key at stack index 2. */
int req_index(lua_State *L);
int client_index(lua_State *L);
int can_index(lua_State *L);
int headers_index(lua_State *L);
int cookies_index(lua_State *L);
int res_index(lua_State *L);
int r_index(lua_State *L);
int push_index(lua_State *L);

/* Their methods. */
int client_has(lua_State *L);
int push_add(lua_State *L);
int push_add_all(lua_State *L);
int push_hint(lua_State *L);
int push_preconnect(lua_State *L);
int push_skip(lua_State *L);
int push_each(lua_State *L);

/* Lets go of vars reference `vars`; needs no protection. */
void vars_release(struct policy_vm *vm, int vars);

/* binding_record.c: */
/* Sets a field of the record on the top of the stack to true, or leaves it out. */
void record_flag(lua_State *L, enum api_word word, bool flag);
void binding_records(lua_State *L);

/* A list of records, each a small table that is read-only. */
struct record_list {
    uint64_t hash; /* of all that its records say */
    size_t count;
    void (*push)(lua_State *L, const void *context, size_t i); /* pushes a table */
    const void *context;
};

/* Adds `text` to a hash that began as 0. */
uint64_t record_hash(uint64_t hash, struct span text);

/* Pushes a list of these records. The list is new; the records may be those of an earlier one. */
void records_push(lua_State *L, struct policy_vm *vm, const struct record_list *list);

/* binding_stats.c: puts the functions of `stats` into the table at the top. */
void binding_stats(lua_State *L);

/* binding_library.c: puts `policy`, `assets`, `stats`, `learn`, `shared`, `util` and `log` for this policy into
 * the table at the top. */
void binding_libraries(lua_State *L, struct policy_vm *vm, const struct policy *policy);

/* binding_learn.c: the functions of `learn`. */
int learn_next(lua_State *L);
int learn_note(lua_State *L);

/* binding_shared.c: pushes the table `shared`. */
void binding_shared(lua_State *L, const struct policy_vm *vm);
void shared_drop(struct policy_vm *vm);

/* Writes that the config has no dictionary `name`, and which one is nearest. */
void shared_unknown(const struct config *config, const char *name, char *text, size_t size);

/* Makes the table of arguments at the top `policy.args` in the environment at `environment`, and
 * pops it; `names` are those declared. */
void binding_set_args(lua_State *L, int environment, const char *const *names);

/* binding_json.c: pushes the value of a JSON text. `name` is the file's, for the error. */
void json_push(lua_State *L, struct policy_vm *vm, struct span text, const char *name);
void json_drop(struct policy_vm *vm);

/* policy_load.c: */

/* Runs `policy`'s file in an environment of its own, and takes its hooks; then its `init`. Called
 * outside Lua. Returns 0 or -errno with vm->fault. */
int policy_load(struct policy_vm *vm, struct policy *policy);

/* What policy_load runs in its protected call, for SLOT_LOAD. */
int policy_load_protected(lua_State *L);

/* Whether `applies` lets this request through. */
bool policy_wants(const struct policy *policy, const struct request *request);

/* policy_call.c: */

/* The message handler of every protected call: fills vm->fault with file, line and what. */
int policy_on_error(lua_State *L);

/* Notes where Lua is now, when the allocator has nothing left. */
void policy_exhausted(struct policy_vm *vm);

/* The error that ends a hook as if it had returned. */
void policy_end_hook(lua_State *L) __attribute__((noreturn));

/* Readies vm->now for one protected call. */
void policy_begin(struct policy_vm *vm, const struct policy *policy, enum api_hook hook);

/* Completes vm->fault after a protected call that failed, and says of which kind it was. */
enum policy_event policy_fault(struct policy_vm *vm, const struct policy *policy,
                               enum api_hook hook, enum deadline_outcome outcome, int status,
                               const struct deadline_limits *limits);

/* policy_vm.c: */

/* Makes the state anew from the bundle: the old one is dropped. Returns 0, or -errno with the fault
 * in vm->broken and vm->L NULL. */
int policy_vm_renew(struct policy_vm *vm);

/* Whether there is a state; now and then tries to make one when there is none. */
bool policy_vm_revive(struct policy_vm *vm);

#endif
