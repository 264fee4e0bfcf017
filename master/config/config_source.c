#include "master/config/config_source.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define NESTING_MAX 512
#define MARK "__at"

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_KEYWORD, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SIGN };

struct token {
    enum token_kind kind;
    size_t start; /* offsets into the text */
    size_t end;
    int line;        /* of its start */
    int lines;       /* line ends within it */
    struct span key; /* a TOKEN_TEXT's content, when it has no escapes; else NULL data */
};

enum enclosure { IN_TABLE, IN_PARENTHESES, IN_BRACKETS, IN_BLOCK };

struct nesting {
    enum enclosure kind;
    size_t table; /* of IN_TABLE */
    bool call;    /* `f{...}`: a parenthesis was put in, to be closed */
    bool fresh;   /* an item of the table begins with the next token */
};

struct scanner {
    struct span lua;
    size_t base;
    struct source *source;
    size_t copied; /* the text up to here is in the output */
    size_t room;
    struct nesting stack[NESTING_MAX];
    size_t depth;
};

static char byte_at(struct span lua, size_t at)
{
    return at < lua.length ? lua.data[at] : 0;
}

static bool is_word(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || (unsigned char)byte >= 0x80;
}

/* The end of the line that begins at `at`; "\r\n" and "\n\r" count as one. */
static size_t after_newline(struct span lua, size_t at)
{
    char first = byte_at(lua, at);
    char second = byte_at(lua, at + 1);
    bool pair = (second == '\n' || second == '\r') && second != first;
    return at + (pair ? 2 : 1);
}

static bool is_newline(char byte)
{
    return byte == '\n' || byte == '\r';
}

/* The level of a long bracket that opens at `at`, or -1 if none does. */
static int bracket_level(struct span lua, size_t at)
{
    int level = 0;
    if (byte_at(lua, at) != '[')
        return -1;
    while (byte_at(lua, ++at) == '=')
        level++;
    return byte_at(lua, at) == '[' ? level : -1;
}

/* The end of the long bracket that opens at `at`; adds the line ends in it to *lines. */
static size_t bracket_end(struct span lua, size_t at, int level, int *lines)
{
    at += (size_t)level + 2;
    while (at < lua.length) {
        if (is_newline(lua.data[at])) {
            at = after_newline(lua, at);
            ++*lines;
            continue;
        }
        if (lua.data[at++] != ']')
            continue;
        size_t end = at;
        while (byte_at(lua, end) == '=')
            end++;
        if (byte_at(lua, end) == ']' && end - at == (size_t)level)
            return end + 1;
    }
    return lua.length;
}

/* Skips spaces and comments from `at`; adds line ends to *line. */
static size_t skip_blank(struct span lua, size_t at, int *line)
{
    while (at < lua.length) {
        if (is_newline(lua.data[at])) {
            at = after_newline(lua, at);
            ++*line;
        } else if (isspace((unsigned char)lua.data[at])) {
            at++;
        } else if (lua.data[at] == '-' && byte_at(lua, at + 1) == '-') {
            int level = bracket_level(lua, at + 2);
            if (level >= 0)
                at = bracket_end(lua, at + 2, level, line);
            else
                while (at < lua.length && !is_newline(lua.data[at]))
                    at++;
        } else {
            break;
        }
    }
    return at;
}

bool source_is_keyword(struct span word)
{
    static const char *const KEYWORDS[] = {
        "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
        "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
        "repeat",   "return", "then", "true", "until",  "while", NULL};
    for (size_t i = 0; KEYWORDS[i]; i++)
        if (span_equal(word, span_of(KEYWORDS[i])))
            return true;
    return false;
}

static void lex_string(struct span lua, struct token *token)
{
    char quote = lua.data[token->start];
    bool plain = true;
    size_t at = token->start + 1;
    while (at < lua.length && lua.data[at] != quote) {
        if (lua.data[at] == '\\') {
            plain = false;
            at++;
        }
        if (at < lua.length && is_newline(lua.data[at])) {
            at = after_newline(lua, at);
            token->lines++;
        } else {
            at++;
        }
    }
    token->kind = TOKEN_TEXT;
    if (plain && at <= lua.length)
        token->key = span_make(lua.data + token->start + 1, at - token->start - 1);
    token->end = at < lua.length ? at + 1 : lua.length;
}

static void lex_number(struct span lua, struct token *token)
{
    size_t at = token->start;
    bool hex = lua.data[at] == '0' && tolower((unsigned char)byte_at(lua, at + 1)) == 'x';
    char exponent = hex ? 'p' : 'e';
    while (at < lua.length && (is_word(lua.data[at]) || lua.data[at] == '.' ||
                               ((lua.data[at] == '+' || lua.data[at] == '-') &&
                                tolower((unsigned char)lua.data[at - 1]) == exponent)))
        at++;
    token->kind = TOKEN_NUMBER;
    token->end = at;
}

/* The token at or after `at`, where `line` is `at`'s. */
static struct token lex(struct span lua, size_t at, int line)
{
    struct token token = {.kind = TOKEN_END};
    at = skip_blank(lua, at, &line);
    token.start = token.end = at;
    token.line = line;
    if (at >= lua.length)
        return token;
    char byte = lua.data[at];
    int level = bracket_level(lua, at);
    if (byte == '"' || byte == '\'') {
        lex_string(lua, &token);
    } else if (level >= 0) {
        token.kind = TOKEN_TEXT;
        token.end = bracket_end(lua, at, level, &token.lines);
    } else if (isdigit((unsigned char)byte) ||
               (byte == '.' && isdigit((unsigned char)byte_at(lua, at + 1)))) {
        lex_number(lua, &token);
    } else if (is_word(byte)) {
        while (is_word(byte_at(lua, token.end)))
            token.end++;
        token.kind = source_is_keyword(span_make(lua.data + at, token.end - at)) ? TOKEN_KEYWORD
                                                                                 : TOKEN_NAME;
    } else {
        char second = byte_at(lua, at + 1);
        bool two = second == '=' && (byte == '=' || byte == '~' || byte == '<' || byte == '>');
        token.kind = TOKEN_SIGN;
        token.end = at + (two ? 2 : 1);
    }
    return token;
}

static struct token lex_after(struct span lua, const struct token *token)
{
    return lex(lua, token->end, token->line + token->lines);
}

static struct span word_of(struct span lua, const struct token *token)
{
    return span_make(lua.data + token->start, token->end - token->start);
}

static bool is_sign(struct span lua, const struct token *token, const char *sign)
{
    return token->kind == TOKEN_SIGN && span_equal(word_of(lua, token), span_of(sign));
}

static int put(struct scanner *scanner, const char *text, size_t length)
{
    struct source *source = scanner->source;
    if (source->length + length + 1 > scanner->room) {
        size_t room = (source->length + length + 1) * 2;
        char *bigger = realloc(source->text, room);
        if (!bigger)
            return -ENOMEM;
        source->text = bigger;
        scanner->room = room;
    }
    memcpy(source->text + source->length, text, length);
    source->length += length;
    source->text[source->length] = 0;
    return 0;
}

static int copy_to(struct scanner *scanner, size_t end)
{
    size_t from = scanner->copied;
    scanner->copied = end;
    return end == from ? 0 : put(scanner, scanner->lua.data + from, end - from);
}

static void *grow(void *array, size_t count, size_t size)
{
    if (count & (count - 1))
        return array;
    return reallocarray(array, count ? count * 2 : 1, size);
}

static int add_set(struct scanner *scanner, struct span name, int line)
{
    struct source *source = scanner->source;
    struct source_set *sets = grow(source->sets, source->sets_count, sizeof(*sets));
    if (!sets)
        return -ENOMEM;
    source->sets = sets;
    sets[source->sets_count++] = (struct source_set){name, line};
    return 0;
}

static int add_item(struct source_table *table, struct source_item item)
{
    struct source_item *items = grow(table->items, table->items_count, sizeof(*items));
    if (!items)
        return -ENOMEM;
    table->items = items;
    items[table->items_count++] = item;
    return 0;
}

static int push(struct scanner *scanner, struct nesting nesting)
{
    if (scanner->depth == NESTING_MAX)
        return -EINVAL;
    scanner->stack[scanner->depth++] = nesting;
    return 0;
}

static int pop(struct scanner *scanner, enum enclosure kind, struct nesting *nesting)
{
    if (scanner->depth == 0 || scanner->stack[scanner->depth - 1].kind != kind)
        return -EINVAL;
    *nesting = scanner->stack[--scanner->depth];
    return 0;
}

/* Notes the item that begins with `token`. */
static int begin_item(struct scanner *scanner, size_t table, const struct token *token)
{
    struct span lua = scanner->lua;
    struct source_item item = {.kind = SOURCE_LISTED, .line = token->line};
    struct token second = lex_after(lua, token);
    if (token->kind == TOKEN_NAME && is_sign(lua, &second, "=")) {
        item.kind = SOURCE_NAMED;
        item.key = word_of(lua, token);
    } else if (is_sign(lua, token, "[")) {
        struct token third = lex_after(lua, &second);
        bool text = second.kind == TOKEN_TEXT && second.key.data && is_sign(lua, &third, "]");
        item.kind = text ? SOURCE_NAMED : SOURCE_COMPUTED;
        item.key = text ? second.key : (struct span){NULL, 0};
    }
    return add_item(&scanner->source->tables[table], item);
}

/* What a "{" after `before` calls if it stands there: `f{`, `f(){`, `t[1]{`, `f""{`, `f{}{`. */
static bool is_callable(struct span lua, const struct token *before)
{
    return before->kind == TOKEN_NAME || before->kind == TOKEN_TEXT || is_sign(lua, before, ")") ||
           is_sign(lua, before, "]") || is_sign(lua, before, "}");
}

static int open_table(struct scanner *scanner, const struct token *before,
                      const struct token *token)
{
    struct source *source = scanner->source;
    struct nesting nesting = {.kind = IN_TABLE, .table = source->tables_count, .fresh = true};
    char mark[40];
    struct source_table *tables =
        grow(source->tables, source->tables_count, sizeof(*source->tables));
    if (!tables || source->tables_count == SOURCE_TABLES_MAX)
        return tables ? -EINVAL : -ENOMEM;
    source->tables = tables;
    tables[source->tables_count++] = (struct source_table){.line = token->line};
    nesting.call = is_callable(scanner->lua, before);
    int length = snprintf(mark, sizeof(mark), MARK "(%zu,", scanner->base + nesting.table);
    /* Lua wants a call's parenthesis on the line of the function. */
    int rc = nesting.call ? put(scanner, "(", 1) : 0;
    if (rc == 0)
        rc = copy_to(scanner, token->start);
    if (rc == 0)
        rc = put(scanner, mark, (size_t)length);
    return rc < 0 ? rc : push(scanner, nesting);
}

static int close_table(struct scanner *scanner, const struct token *token)
{
    struct nesting nesting;
    int rc = pop(scanner, IN_TABLE, &nesting);
    if (rc == 0)
        rc = copy_to(scanner, token->end);
    return rc < 0 ? rc : put(scanner, "))", nesting.call ? 2 : 1);
}

static int scan_keyword(struct scanner *scanner, struct span word)
{
    struct nesting ignored;
    if (span_equal(word, SPAN_LITERAL("function")) || span_equal(word, SPAN_LITERAL("if")) ||
        span_equal(word, SPAN_LITERAL("do")) || span_equal(word, SPAN_LITERAL("repeat")))
        return push(scanner, (struct nesting){.kind = IN_BLOCK});
    if (span_equal(word, SPAN_LITERAL("end")) || span_equal(word, SPAN_LITERAL("until")))
        return pop(scanner, IN_BLOCK, &ignored);
    return 0;
}

static int scan_sign(struct scanner *scanner, const struct token *before, const struct token *token)
{
    struct nesting ignored;
    switch (scanner->lua.data[token->start]) {
    case '{':
        return open_table(scanner, before, token);
    case '}':
        return close_table(scanner, token);
    case '(':
        return push(scanner, (struct nesting){.kind = IN_PARENTHESES});
    case ')':
        return pop(scanner, IN_PARENTHESES, &ignored);
    case '[':
        return push(scanner, (struct nesting){.kind = IN_BRACKETS});
    case ']':
        return pop(scanner, IN_BRACKETS, &ignored);
    case ',':
    case ';':
        if (scanner->depth > 0)
            scanner->stack[scanner->depth - 1].fresh = true;
        return 0;
    default:
        return 0;
    }
}

static int scan_set(struct scanner *scanner, const struct token *token)
{
    struct token second = lex_after(scanner->lua, token);
    if (token->kind == TOKEN_NAME && is_sign(scanner->lua, &second, "="))
        return add_set(scanner, word_of(scanner->lua, token), token->line);
    if (token->kind == TOKEN_TEXT && token->key.data && is_sign(scanner->lua, &second, "]")) {
        struct token third = lex_after(scanner->lua, &second);
        if (is_sign(scanner->lua, &third, "="))
            return add_set(scanner, token->key, token->line);
    }
    return 0;
}

static int scan_token(struct scanner *scanner, const struct token *before,
                      const struct token *token)
{
    struct nesting *top = scanner->depth ? &scanner->stack[scanner->depth - 1] : NULL;
    bool item = top && top->kind == IN_TABLE && top->fresh && !is_sign(scanner->lua, token, "}");
    int rc = 0;
    if (item) {
        top->fresh = false;
        rc = begin_item(scanner, top->table, token);
    } else if (!top || top->kind != IN_TABLE) {
        rc = scan_set(scanner, token);
    }
    if (rc < 0)
        return rc;
    if (token->kind == TOKEN_KEYWORD)
        rc = scan_keyword(scanner, word_of(scanner->lua, token));
    else if (token->kind == TOKEN_SIGN)
        rc = scan_sign(scanner, before, token);
    else if (span_equal(word_of(scanner->lua, token), SPAN_LITERAL(MARK)))
        rc = -EINVAL;
    return rc < 0 ? rc : copy_to(scanner, token->end);
}

int source_scan(struct span lua, size_t base, struct source *source)
{
    struct scanner scanner = {.lua = lua, .base = base, .source = source};
    struct token before = {.kind = TOKEN_END};
    int rc;
    *source = (struct source){0};
    if (span_starts(lua, SPAN_LITERAL("\xef\xbb\xbf")))
        scanner.copied = 3;
    if (byte_at(lua, scanner.copied) == '#')
        while (scanner.copied < lua.length && !is_newline(lua.data[scanner.copied]))
            scanner.copied++;
    rc = put(&scanner, "local " MARK "=...;", sizeof("local " MARK "=...;") - 1);
    struct token token = lex(lua, scanner.copied, 1);
    while (rc == 0 && token.kind != TOKEN_END) {
        rc = scan_token(&scanner, &before, &token);
        before = token;
        token = lex_after(lua, &before);
    }
    if (rc == 0)
        rc = copy_to(&scanner, lua.length);
    return rc == 0 && scanner.depth > 0 ? -EINVAL : rc;
}

void source_finish(struct source *source)
{
    for (size_t i = 0; i < source->tables_count; i++)
        free(source->tables[i].items);
    free(source->tables);
    free(source->sets);
    free(source->text);
    *source = (struct source){0};
}

int source_key_line(const struct source *source, size_t table, const char *key, int *again)
{
    const struct source_table *made = &source->tables[table];
    int found = 0;
    int computed = 0;
    int set;
    *again = 0;
    for (size_t i = 0; i < made->items_count; i++) {
        const struct source_item *item = &made->items[i];
        if (item->kind == SOURCE_COMPUTED && !computed)
            computed = item->line;
        if (item->kind != SOURCE_NAMED || !span_equal(item->key, span_of(key)))
            continue;
        if (found)
            *again = item->line;
        else
            found = item->line;
    }
    if (found)
        return found;
    set = source_set_line(source, key, made->line, INT_MAX);
    return set ? set : computed ? computed : made->line;
}

int source_item_line(const struct source *source, size_t table, size_t index)
{
    const struct source_table *made = &source->tables[table];
    int line = made->line;
    size_t listed = 0;
    for (size_t i = 0; i < made->items_count && listed <= index; i++) {
        if (made->items[i].kind == SOURCE_LISTED) {
            line = made->items[i].line;
            listed++;
        }
    }
    return line;
}

int source_set_line(const struct source *source, const char *name, int least, int most)
{
    int line = 0;
    for (size_t i = 0; i < source->sets_count; i++) {
        const struct source_set *set = &source->sets[i];
        if (set->line >= least && set->line <= most && span_equal(set->name, span_of(name)))
            line = set->line;
    }
    return line;
}
