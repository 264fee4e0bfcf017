/* The content cache on a real ring and real files: look-ups, versions, limits, reads. Its scans are
 * in worker_content_scan.c. */
#include "worker/content.h"

#include "tests/unit/content_bench.h"
#include "worker/content_parts.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static void a_small_file_is_found_with_its_content(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.css", "body{}");
    find(&answer, "/a.css");
    assert_int_equal(answer.outcome, CONTENT_FOUND);
    const struct representation *identity = &answer.resource->codings[CODING_IDENTITY];
    assert_int_equal(identity->size, 6);
    assert_memory_equal(identity->body, "body{}", 6);
    assert_int_equal(identity->fd, -1);
    assert_string_equal(answer.resource->mime, "text/css; charset=utf-8");
    assert_int_equal(answer.resource->as, AS_STYLE);
    assert_true(span_equal(answer.resource->path, SPAN_LITERAL("/a.css")));
    assert_true(span_equal(identity->length_text, SPAN_LITERAL("6")));
    assert_false(answer.resource->any_coded);
    forget(&answer);
}

static void an_empty_file_is_a_file(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("empty.txt", "");
    find(&answer, "/empty.txt");
    assert_int_equal(answer.outcome, CONTENT_FOUND);
    assert_int_equal(answer.resource->codings[CODING_IDENTITY].size, 0);
    assert_non_null(answer.resource->codings[CODING_IDENTITY].body);
    forget(&answer);
}

static void a_known_file_is_answered_at_once(void **state)
{
    struct answer first = {0}, second = {0};
    (void)state;
    put_file("a.css", "body{}");
    find(&first, "/a.css");
    uint64_t hits = counter(COUNTER_cache_hits);
    begin_find(&second, &site.routes[0], "/a.css");
    assert_int_equal(second.answered, 1); /* the loop did not run */
    assert_ptr_equal(second.resource, first.resource);
    assert_int_equal(counter(COUNTER_cache_hits), hits + 1);
    assert_ptr_equal(content_peek(content, &site.routes[0], SPAN_LITERAL("/a.css")),
                     first.resource);
    assert_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/b.css")));
    forget(&first);
    forget(&second);
}

static void many_who_wait_for_one_file_share_one_open(void **state)
{
    static struct answer answers[500];
    (void)state;
    memset(answers, 0, sizeof(answers));
    put_file("a.css", "body{}");
    for (unsigned i = 0; i < 500; i++)
        begin_find(&answers[i], &site.routes[0], "/a.css");
    for (unsigned i = 0; i < 500; i++) {
        await(&answers[i]);
        assert_int_equal(answers[i].outcome, CONTENT_FOUND);
        assert_ptr_equal(answers[i].resource, answers[0].resource);
    }
    assert_int_equal(counter(COUNTER_files_opened), 1);
    for (unsigned i = 0; i < 500; i++)
        forget(&answers[i]);
}

#define CROWD 1000
static struct answer crowd[CROWD];

static void take_a_while(struct answer *answer)
{
    uint64_t began_ns = timer_clock_ns();
    (void)answer;
    while (timer_clock_ns() - began_ns < CONTENT_ANSWERS_NS / 2)
        ;
}

static void begin_crowd(void)
{
    memset(crowd, 0, sizeof(crowd));
    put_file("a.css", "body{}");
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i].then = take_a_while;
        begin_find(&crowd[i], &site.routes[0], "/a.css");
    }
}

static unsigned crowd_answered(void)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < CROWD; i++)
        answered += crowd[i].answered;
    return answered;
}

static void who_waits_for_another_file_does_not_wait_for_a_crowd(void **state)
{
    struct answer other = {0};
    (void)state;
    put_file("b.css", "p{}");
    begin_crowd();
    find(&other, "/b.css");
    assert_int_equal(other.outcome, CONTENT_FOUND);
    assert_in_range(crowd_answered(), 1, CROWD / 2); /* 25 ms, for a slow disk */
    for (unsigned i = 0; i < CROWD; i++) {
        await(&crowd[i]);
        assert_int_equal(crowd[i].outcome, CONTENT_FOUND);
        forget(&crowd[i]);
    }
    forget(&other);
}

static void a_crowd_is_answered_at_the_end_but_for_who_has_left(void **state)
{
    (void)state;
    begin_crowd();
    await(&crowd[0]);
    assert_int_equal(crowd[CROWD - 1].answered, 0);
    content_cancel(&crowd[CROWD - 1].lookup);
    content_quiesce(content);
    assert_int_equal(crowd_answered(), CROWD - 1);
    for (unsigned i = 0; i < CROWD; i++)
        forget(&crowd[i]);
}

static void a_directory_means_its_index_and_needs_its_slash(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("index.html", "<p>top");
    make_dir("d");
    put_file("d/index.html", "<p>d");
    make_dir("none");
    make_dir("odd");
    make_dir("odd/index.html");
    find(&answer, "/");
    assert_int_equal(answer.outcome, CONTENT_FOUND);
    assert_string_equal(answer.resource->mime, "text/html; charset=utf-8");
    assert_int_equal(answer.resource->as, AS_DOCUMENT);
    find(&answer, "/d/");
    assert_memory_equal(answer.resource->codings[CODING_IDENTITY].body, "<p>d", 4);
    assert_true(span_equal(answer.resource->path, SPAN_LITERAL("/d/")));
    assert_int_equal(find(&answer, "/d"), CONTENT_REDIRECT);
    assert_int_equal(find(&answer, "/d"), CONTENT_REDIRECT);
    assert_int_equal(find(&answer, "/none/"), CONTENT_MISSING);
    assert_int_equal(find(&answer, "/odd/"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/d/index.html/"), CONTENT_MISSING);
    forget(&answer);
}

static void what_is_no_file_beneath_the_root_is_not_served(void **state)
{
    struct answer answer = {0};
    char name[CONTENT_PATH_MAX + 2];
    (void)state;
    put_file("a.txt", "x");
    assert_int_equal(find(&answer, "/missing"), CONTENT_MISSING);
    assert_int_equal(find(&answer, "/a.txt/b"), CONTENT_MISSING);
    assert_int_equal(find(&answer, "//etc/passwd"), CONTENT_MISSING);
    assert_int_equal(find(&answer, "/../etc/passwd"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/../../../../../../etc/passwd"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, ""), CONTENT_MISSING);
    assert_int_equal(find(&answer, "a.txt"), CONTENT_MISSING);
    assert_int_equal(find_span(&answer, span_make("/a.txt\0.css", 11)), CONTENT_MISSING);
    memset(name, 'a', sizeof(name));
    name[0] = '/';
    assert_int_equal(find_span(&answer, span_make(name, 257)), CONTENT_MISSING);
    assert_int_equal(find_span(&answer, span_make(name, sizeof(name))), CONTENT_MISSING);
    assert_int_equal(find(&answer, "/a.txt"), CONTENT_FOUND);
    forget(&answer);
}

static void a_fifo_a_socket_and_a_closed_file_are_refused_without_waiting(void **state)
{
    struct answer answer = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    put_file("closed.txt", "x");
    assert_int_equal(chmod(in_root("closed.txt"), 0), 0);
    assert_int_equal(find(&answer, "/fifo"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/socket"), CONTENT_FORBIDDEN);
    if (geteuid() != 0) /* to root nothing is closed */
        assert_int_equal(find(&answer, "/closed.txt"), CONTENT_FORBIDDEN);
    close(fd);
    forget(&answer);
}

static void symbolic_links_are_followed_only_where_allowed_and_never_out_of_the_root(void **state)
{
    struct answer answer = {0};
    (void)state;
    make_dir("real");
    put_file("real/a.txt", "real");
    assert_int_equal(symlink("real/a.txt", in_root("link.txt")), 0);
    assert_int_equal(symlink("real", in_root("linked")), 0);
    assert_int_equal(symlink("/etc/passwd", in_root("absolute.txt")), 0);
    assert_int_equal(symlink("../../../../../../etc/passwd", in_root("out.txt")), 0);
    assert_int_equal(symlink("loop", in_root("loop")), 0);
    assert_int_equal(find(&answer, "/link.txt"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/linked/a.txt"), CONTENT_FORBIDDEN);
    site.routes[0].symlinks = true;
    assert_int_equal(find(&answer, "/link.txt"), CONTENT_FOUND);
    assert_int_equal(find(&answer, "/linked/a.txt"), CONTENT_FOUND);
    assert_int_equal(find(&answer, "/absolute.txt"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/out.txt"), CONTENT_FORBIDDEN);
    assert_int_equal(find(&answer, "/loop"), CONTENT_FORBIDDEN);
    site.routes[0].symlinks = false; /* the answer for the one isn't one for the other */
    assert_int_equal(find(&answer, "/link.txt"), CONTENT_FORBIDDEN);
    forget(&answer);
}

static void a_file_that_becomes_a_link_is_refused_at_the_next_look(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.txt", "x");
    assert_int_equal(find(&answer, "/a.txt"), CONTENT_FOUND);
    assert_int_equal(rename(in_root("a.txt"), in_root("b.txt")), 0);
    assert_int_equal(symlink("b.txt", in_root("a.txt")), 0);
    age(CONTENT_FRESH_MS);
    assert_int_equal(find(&answer, "/a.txt"), CONTENT_FORBIDDEN);
    forget(&answer);
}

static void a_route_without_a_root_serves_nothing(void **state)
{
    struct answer answer = {0};
    struct config_route nowhere = {.root_fd = -1};
    (void)state;
    begin_find(&answer, &nowhere, "/a.txt");
    assert_int_equal(answer.answered, 1);
    assert_int_equal(answer.outcome, CONTENT_MISSING);
}

static void precompressed_siblings_are_found_with_their_file(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.js", "let a;");
    put_file("a.js.br", "br");
    put_file("a.js.zst", "zst");
    put_file("a.js.gz", "gzip");
    find(&answer, "/a.js");
    assert_true(answer.resource->any_coded);
    assert_memory_equal(answer.resource->codings[CODING_BROTLI].body, "br", 2);
    assert_memory_equal(answer.resource->codings[CODING_ZSTD].body, "zst", 3);
    assert_memory_equal(answer.resource->codings[CODING_GZIP].body, "gzip", 4);
    uint64_t validator = answer.resource->validator;
    find(&answer, "/a.js.gz"); /* asked for by its own name it is a file like any other */
    assert_string_equal(answer.resource->mime, "application/gzip");
    assert_memory_equal(answer.resource->codings[CODING_IDENTITY].body, "gzip", 4);
    assert_true(answer.resource->validator != validator);
    forget(&answer);
}

static void a_sibling_older_than_its_file_is_stale_and_ignored(void **state)
{
    struct answer answer = {0};
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    (void)state;
    put_file("a.js.br", "br");
    put_file("a.js.gz", "gz");
    make_dir("a.js.zst");
    put_file("a.js", "let a;");
    put_file("a.js.gz", "gz");
    assert_int_equal(utimensat(AT_FDCWD, in_root("a.js.br"), old, 0), 0);
    find(&answer, "/a.js");
    assert_false(answer.resource->codings[CODING_BROTLI].exists);
    assert_false(answer.resource->codings[CODING_ZSTD].exists);
    assert_true(answer.resource->codings[CODING_GZIP].exists);
    forget(&answer);
}

static void siblings_that_come_change_and_go_are_noticed_in_time(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.js", "let a;");
    find(&answer, "/a.js");
    assert_false(answer.resource->any_coded);
    uint64_t validator = answer.resource->validator;
    put_file("a.js.gz", "gz");
    trust();
    age(CONTENT_SIBLINGS_MS);
    find(&answer, "/a.js");
    assert_true(answer.resource->codings[CODING_GZIP].exists);
    assert_true(answer.resource->validator == validator); /* it is the same content */
    put_file("a.js.gz", "gz again");
    age(CONTENT_SIBLINGS_MS);
    find(&answer, "/a.js");
    assert_int_equal(answer.resource->codings[CODING_GZIP].size, 8);
    assert_int_equal(unlink(in_root("a.js.gz")), 0);
    age(CONTENT_SIBLINGS_MS);
    find(&answer, "/a.js");
    assert_false(answer.resource->any_coded);
    forget(&answer);
}

static void an_unchanged_file_is_looked_at_and_not_opened_again(void **state)
{
    struct answer answer = {0}, again = {0};
    (void)state;
    put_file("a.js", "let a;");
    put_file("a.js.gz", "gz");
    find(&answer, "/a.js");
    trust();
    uint64_t opened = counter(COUNTER_files_opened);
    for (unsigned i = 0; i < 3; i++) {
        age(i == 1 ? CONTENT_SIBLINGS_MS : CONTENT_FRESH_MS);
        assert_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/a.js")));
        begin_find(&again, &site.routes[0], "/a.js");
        assert_int_equal(again.answered, 0); /* it waits for the look at the file */
        await(&again);
        assert_ptr_equal(again.resource, answer.resource);
    }
    assert_int_equal(counter(COUNTER_files_opened), opened);
    forget(&answer);
    forget(&again);
}

static void what_was_known_stands_in_for_a_look_that_is_under_way(void **state)
{
    struct answer answer = {0}, again = {0};
    const struct config_route *route = &site.routes[0];
    struct span path = SPAN_LITERAL("/a.js");
    (void)state;
    put_file("a.js", "let a;");
    assert_null(content_last(content, route, path));
    begin_find(&answer, route, "/a.js");
    assert_null(content_last(content, route, path)); /* it is not known yet */
    await(&answer);
    age(CONTENT_FRESH_MS);
    begin_find(&again, route, "/a.js");
    assert_int_equal(again.answered, 0);
    assert_ptr_equal(content_last(content, route, path), answer.resource);
    await(&again);
    age(CONTENT_LATE_MS);
    assert_null(content_last(content, route, path));
    find(&again, "/b.js");
    assert_int_equal(again.outcome, CONTENT_MISSING);
    assert_null(content_last(content, route, SPAN_LITERAL("/b.js")));
    forget(&answer);
    forget(&again);
}

static void a_changed_file_is_a_new_version_beside_the_old_one(void **state)
{
    struct answer old = {0}, new = {0};
    (void)state;
    put_file("a.css", "old");
    find(&old, "/a.css");
    put_file("a.css.new", "new!");
    assert_int_equal(rename(in_root("a.css.new"), in_root("a.css")), 0);
    age(CONTENT_FRESH_MS);
    find(&new, "/a.css");
    assert_ptr_not_equal(old.resource, new.resource);
    assert_true(old.resource->validator != new.resource->validator);
    assert_memory_equal(old.resource->codings[CODING_IDENTITY].body, "old", 3);
    assert_memory_equal(new.resource->codings[CODING_IDENTITY].body, "new!", 4);
    put_file("a.css", "NEW!"); /* in place, with the same size */
    age(CONTENT_FRESH_MS);
    forget(&new);
    find(&new, "/a.css");
    assert_memory_equal(new.resource->codings[CODING_IDENTITY].body, "NEW!", 4);
    assert_int_equal(unlink(in_root("a.css")), 0);
    age(CONTENT_FRESH_MS);
    assert_int_equal(find(&new, "/a.css"), CONTENT_MISSING);
    forget(&old);
    forget(&new);
}

static void a_file_written_again_with_the_same_content_keeps_its_etag(void **state)
{
    struct answer old = {0}, new = {0};
    (void)state;
    put_file("a.css", "same");
    find(&old, "/a.css");
    put_file("a.css.new", "same");
    assert_int_equal(rename(in_root("a.css.new"), in_root("a.css")), 0);
    age(CONTENT_FRESH_MS);
    find(&new, "/a.css");
    assert_ptr_not_equal(old.resource, new.resource);
    assert_true(old.resource->validator == new.resource->validator);
    assert_true(span_equal(old.resource->codings[CODING_IDENTITY].etag,
                           new.resource->codings[CODING_IDENTITY].etag));
    forget(&old);
    forget(&new);
}

static bool says_ranges(const struct representation *representation)
{
    return field_find(representation->fields, representation->fields_count,
                      SPAN_LITERAL("accept-ranges")).length > 0;
}

static void ranges_are_offered_of_what_exceeds_a_first_window(void **state)
{
    struct answer little = {0}, much = {0};
    static char text[14601 + 1];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    put_file("much.bin", text);
    find(&much, "/much.bin");
    text[14600] = 0;
    put_file("little.bin", text);
    find(&little, "/little.bin");
    assert_true(says_ranges(&much.resource->codings[CODING_IDENTITY]));
    assert_false(says_ranges(&little.resource->codings[CODING_IDENTITY]));
    forget(&little);
    forget(&much);
}

/* The time of a write is set when it begins, and only as fine as the clock's tick. */
static void a_file_read_just_after_a_write_is_read_again_until_it_is_older(void **state)
{
    struct answer answer = {0}, again = {0};
    (void)state;
    put_file("a.css", "x");
    find(&answer, "/a.css");
    uint64_t opened = counter(COUNTER_files_opened);
    age(CONTENT_FRESH_MS);
    find(&again, "/a.css");
    assert_int_equal(counter(COUNTER_files_opened), opened + 1);
    assert_ptr_equal(again.resource, answer.resource); /* nothing had changed after all */
    for (uint64_t turn = 0; counter(COUNTER_files_opened) == opened + 1 + turn; turn++) {
        assert_true(turn < 100);
        run_loop(100);
        age(CONTENT_FRESH_MS);
        find(&again, "/a.css");
    }
    forget(&answer);
    forget(&again);
}

static void a_version_is_served_for_a_second_and_not_much_longer(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.css", "old");
    find(&answer, "/a.css");
    uint64_t start_ms = timer_clock_coarse_ms(), elapsed_ms = 0;
    put_file("a.css", "newer");
    while (answer.resource->codings[CODING_IDENTITY].size == 3 && elapsed_ms < 5000) {
        run_loop(10);
        find(&answer, "/a.css");
        elapsed_ms = timer_clock_coarse_ms() - start_ms;
    }
    /* The file was looked at some time before the clock was read here. */
    assert_in_range(elapsed_ms, CONTENT_FRESH_MS / 2, CONTENT_FRESH_MS * 3);
    forget(&answer);
}

static void what_is_missing_is_missing_for_a_second_at_most(void **state)
{
    struct answer answer = {0};
    (void)state;
    assert_int_equal(find(&answer, "/a.css"), CONTENT_MISSING);
    put_file("a.css", "x");
    begin_find(&answer, &site.routes[0], "/a.css");
    assert_int_equal(answer.answered, 1);
    assert_int_equal(answer.outcome, CONTENT_MISSING);
    age(CONTENT_FRESH_MS);
    assert_int_equal(find(&answer, "/a.css"), CONTENT_FOUND);
    forget(&answer);
}

/* Waits for some completions, one by one, and writes to the file before each of them: `growth` more
 * bytes each time. */
static void change_before_each_step(struct answer *answer, unsigned steps, unsigned growth)
{
    char text[256];
    for (unsigned i = 0; i < steps && !answer->answered; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof(text));
        await_tick();
        put_bytes("a.txt", text, 6 + i * growth);
        assert_true(ring_wait(ring, 1000000000) >= 0);
    }
}

static void a_file_that_changes_while_it_is_read_is_read_again(void **state)
{
    (void)state;
    for (unsigned growth = 0; growth < 2; growth++) {
        struct answer answer = {0};
        uint64_t opened = counter(COUNTER_files_opened);
        put_file("a.txt", "before");
        age(CONTENT_SIBLINGS_MS);
        begin_find(&answer, &site.routes[0], "/a.txt");
        change_before_each_step(&answer, growth ? 4 : 3, growth); /* ... opened, looked at, read */
        assert_int_equal(answer.answered, 0);
        await_tick();
        put_file("a.txt", "after!");
        await(&answer);
        assert_int_equal(answer.outcome, CONTENT_FOUND);
        assert_int_equal(counter(COUNTER_files_opened), opened + 2);
        assert_int_equal(answer.resource->codings[CODING_IDENTITY].size, 6);
        assert_memory_equal(answer.resource->codings[CODING_IDENTITY].body, "after!", 6);
        forget(&answer);
    }
}

static void a_file_that_never_stops_changing_is_given_up(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("a.txt", "before");
    begin_find(&answer, &site.routes[0], "/a.txt");
    change_before_each_step(&answer, 60, 1);
    assert_int_equal(answer.answered, 1);
    assert_int_equal(answer.outcome, CONTENT_FAILED);
    assert_int_equal(counter(COUNTER_files_opened), CONTENT_ATTEMPTS_MAX);
    assert_int_equal(find(&answer, "/a.txt"), CONTENT_FOUND); /* a failure isn't remembered */
    forget(&answer);
}

/* Rewrites one file in place, each time with one letter, for a while. */
static void rewrite_for(unsigned ms)
{
    static char text[100000];
    uint64_t end_ms = timer_clock_coarse_ms() + ms;
    for (unsigned i = 0; timer_clock_coarse_ms() < end_ms; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof(text));
        put_bytes("a.txt", text, sizeof(text) - i % 1000);
    }
    memset(text, 'Z', sizeof(text));
    put_bytes("a.txt", text, 50000);
    _exit(0);
}

static void a_file_under_a_busy_writer_ends_up_as_it_was_written_last(void **state)
{
    struct answer answer = {0};
    unsigned found = 0;
    int status;
    (void)state;
    put_file("a.txt", "x");
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0)
        rewrite_for(300);
    while (waitpid(writer, &status, WNOHANG) == 0) {
        age(CONTENT_FRESH_MS);
        if (find(&answer, "/a.txt") == CONTENT_FOUND)
            found++;
        else
            assert_int_equal(answer.outcome, CONTENT_FAILED);
    }
    assert_int_equal(status, 0);
    for (unsigned i = 0; i < 2; i++) {
        age(CONTENT_FRESH_MS);
        assert_int_equal(find(&answer, "/a.txt"), CONTENT_FOUND);
    }
    const struct representation *identity = &answer.resource->codings[CODING_IDENTITY];
    assert_int_equal(identity->size, 50000);
    for (size_t i = 0; i < identity->size; i++)
        assert_int_equal(identity->body[i], 'Z');
    assert_true(found > 0);
    forget(&answer);
}

static void a_cancelled_look_up_is_not_called_back(void **state)
{
    struct answer cancelled = {0}, other = {0};
    (void)state;
    put_file("a.css", "x");
    content_cancel(&cancelled.lookup); /* waits for nothing yet */
    begin_find(&cancelled, &site.routes[0], "/a.css");
    begin_find(&other, &site.routes[0], "/a.css");
    assert_true(content_waiting(&cancelled.lookup));
    content_cancel(&cancelled.lookup);
    assert_false(content_waiting(&cancelled.lookup));
    await(&other);
    assert_int_equal(cancelled.answered, 0);
    forget(&other);
}

static struct answer *cancel_next[3];

static void cancel_the_others(struct answer *answer)
{
    for (unsigned i = 0; i < 3; i++)
        if (cancel_next[i] != answer)
            content_cancel(&cancel_next[i]->lookup);
}

static void a_callback_may_cancel_those_who_wait_with_it(void **state)
{
    static struct answer answers[3];
    (void)state;
    memset(answers, 0, sizeof(answers));
    put_file("a.css", "x");
    for (unsigned i = 0; i < 3; i++) {
        cancel_next[i] = &answers[i];
        answers[i].then = cancel_the_others;
        begin_find(&answers[i], &site.routes[0], "/a.css");
    }
    await(&answers[0]);
    run_loop(20);
    assert_int_equal(answers[1].answered + answers[2].answered, 0);
    forget(&answers[0]);
}

static struct answer followers[2];

static void ask_for_more(struct answer *answer)
{
    (void)answer;
    begin_find(&followers[0], &site.routes[0], "/a.css");
    begin_find(&followers[1], &site.routes[0], "/b.css");
}

static void a_callback_may_look_for_more(void **state)
{
    struct answer answer = {.then = ask_for_more};
    (void)state;
    memset(followers, 0, sizeof(followers));
    put_file("a.css", "x");
    put_file("b.css", "y");
    find(&answer, "/a.css");
    assert_int_equal(followers[0].answered, 1);
    await(&followers[1]);
    assert_int_equal(followers[1].outcome, CONTENT_FOUND);
    forget(&answer);
    forget(&followers[0]);
    forget(&followers[1]);
}

static void loads_under_way_are_few_and_the_rest_wait_their_turn(void **state)
{
    static struct answer answers[300];
    char name[32];
    (void)state;
    memset(answers, 0, sizeof(answers));
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "f%u.txt", i);
        put_file(name, name);
        snprintf(name, sizeof(name), "/f%u.txt", i);
        begin_find(&answers[i], &site.routes[0], name);
        assert_true(content->loads_running <= CONTENT_LOADS_MAX);
    }
    assert_int_equal(content->loads_queued, 300 - CONTENT_LOADS_MAX);
    for (unsigned i = 0; i < 300; i++) {
        await(&answers[i]);
        snprintf(name, sizeof(name), "f%u.txt", i);
        assert_int_equal(answers[i].outcome, CONTENT_FOUND);
        assert_memory_equal(answers[i].resource->codings[CODING_IDENTITY].body, name, strlen(name));
        assert_true(content->loads_running <= CONTENT_LOADS_MAX);
        forget(&answers[i]);
    }
    assert_int_equal(content->loads_running + content->loads_queued, 0);
}

static void too_many_waiting_loads_fail_at_once_rather_than_pile_up(void **state)
{
    enum { MANY = CONTENT_LOADS_MAX + CONTENT_QUEUE_MAX + 10 };
    struct answer *answers = calloc(MANY, sizeof(*answers));
    unsigned failed = 0;
    char name[32];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/none-%u", i);
        begin_find(&answers[i], &site.routes[0], name);
        failed += answers[i].answered && answers[i].outcome == CONTENT_FAILED;
    }
    assert_int_equal(failed, 10);
    for (unsigned i = 0; i < MANY; i++)
        await(&answers[i]);
    assert_true(content->absent_count <= CONTENT_ABSENT_MAX);
    free(answers);
}

static void the_least_recently_used_go_when_the_bytes_are_used_up(void **state)
{
    struct answer answer = {0}, kept = {0};
    char name[32];
    static char text[20000];
    (void)state;
    restart(100000);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "f%u.txt", i);
        memset(text, 'a' + (int)i, sizeof(text));
        put_bytes(name, text, sizeof(text));
    }
    find(&kept, "/f0.txt");
    for (unsigned i = 1; i < 10; i++) {
        snprintf(name, sizeof(name), "/f%u.txt", i);
        find(&answer, name);
        find(&answer, name); /* it is known now, and still forgotten when it goes */
        find(&answer, "/f0.txt"); /* asked for again and again */
        assert_true(content->bytes <= 100000);
    }
    assert_non_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/f0.txt")));
    assert_non_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/f9.txt")));
    assert_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/f1.txt")));
    assert_int_equal(counter(COUNTER_files_opened), 10);
    forget(&answer);
    forget(&kept);
    restart(10); /* what doesn't fit at all is served all the same */
    find(&answer, "/f3.txt");
    assert_int_equal(answer.outcome, CONTENT_FOUND);
    assert_int_equal(answer.resource->codings[CODING_IDENTITY].body[0], 'd');
    assert_int_equal(content->present_count, 0);
    assert_int_equal(content->bytes, 0);
    forget(&answer);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 2000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void descriptors_of_large_files_are_bounded_and_closed(void **state)
{
    struct answer answer = {0}, held = {0};
    char name[32];
    unsigned before = open_descriptors();
    (void)state;
    for (unsigned i = 0; i < CONTENT_DESCRIPTORS_MAX + 40; i++) {
        snprintf(name, sizeof(name), "/f%u.bin", i);
        put_file(name + 1, "");
        assert_int_equal(truncate(in_root(name + 1), CONTENT_SMALL_MAX + 1), 0);
        find(i == 0 ? &held : &answer, name);
        assert_true(content->descriptors <= CONTENT_DESCRIPTORS_MAX);
    }
    assert_true(held.resource->codings[CODING_IDENTITY].fd >= 0); /* evicted, but still held */
    assert_null(content_peek(content, &site.routes[0], SPAN_LITERAL("/f0.bin")));
    assert_int_equal(open_descriptors(), before + CONTENT_DESCRIPTORS_MAX + 1);
    forget(&answer);
    forget(&held);
    restart(CONTENT_BYTES_DEFAULT);
    assert_int_equal(open_descriptors(), before);
}

static void running_out_of_descriptors_fails_for_the_time_being(void **state)
{
    struct answer answer = {0};
    struct rlimit old, none;
    (void)state;
    put_file("a.css", "x");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum content_outcome outcome = find(&answer, "/a.css");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(outcome, CONTENT_FAILED);
    assert_int_equal(find(&answer, "/a.css"), CONTENT_FOUND);
    forget(&answer);
}

#define LARGE (CONTENT_SMALL_MAX + 700003)

static void put_large(const char *name, unsigned seed)
{
    uint8_t *bytes = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251 + seed);
    put_bytes(name, bytes, LARGE);
    free(bytes);
}

struct piece {
    struct content_reader reader;
    int result;
    bool done;
    uint8_t bytes[16384];
};

static unsigned most_running;

static void piece_done(struct content_reader *reader, int result)
{
    struct piece *piece = (struct piece *)reader;
    if (content->reads_running > most_running)
        most_running = content->reads_running;
    piece->result = result;
    piece->done = true;
}

static int read_piece(struct piece *piece, const struct resource *resource, uint64_t offset,
                      size_t length, bool last)
{
    *piece = (struct piece){.reader.done = piece_done};
    content_read_at(content, &piece->reader, &resource->codings[CODING_IDENTITY], offset,
                    piece->bytes, length, last);
    run_until(&piece->done);
    return piece->result;
}

static void a_large_file_is_read_in_pieces(void **state)
{
    static struct piece piece;
    struct answer answer = {0};
    (void)state;
    put_large("large.bin", 7);
    find(&answer, "/large.bin");
    assert_null(answer.resource->codings[CODING_IDENTITY].body);
    for (size_t at = 0; at < LARGE; at += sizeof(piece.bytes)) {
        size_t length = LARGE - at < sizeof(piece.bytes) ? LARGE - at : sizeof(piece.bytes);
        assert_int_equal(read_piece(&piece, answer.resource, at, length, at + length == LARGE),
                         length);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(piece.bytes[i], (uint8_t)((at + i) * 31 + (at + i) / 251 + 7));
    }
    forget(&answer);
}

static void reads_under_way_are_few_and_the_rest_wait_their_turn(void **state)
{
    enum { MANY = 200 };
    struct piece *pieces = calloc(MANY, sizeof(*pieces));
    struct answer answer = {0};
    (void)state;
    put_large("large.bin", 0);
    find(&answer, "/large.bin");
    most_running = 0;
    for (unsigned i = 0; i < MANY; i++) {
        pieces[i].reader.done = piece_done;
        content_read_at(content, &pieces[i].reader, &answer.resource->codings[CODING_IDENTITY],
                        i * 5000, pieces[i].bytes, 5000, false);
        assert_true(content->reads_running <= CONTENT_READS_MAX);
    }
    for (unsigned i = 0; i < MANY; i++) {
        run_until(&pieces[i].done);
        assert_int_equal(pieces[i].result, 5000);
        assert_int_equal(pieces[i].bytes[0], (uint8_t)(i * 5000 * 31 + i * 5000 / 251));
    }
    assert_in_range(most_running, 1, CONTENT_READS_MAX);
    assert_int_equal(content->reads_running, 0);
    free(pieces);
    forget(&answer);
}

static void a_file_truncated_while_it_is_sent_fails_the_read(void **state)
{
    static struct piece piece;
    struct answer answer = {0};
    (void)state;
    put_large("large.bin", 0);
    find(&answer, "/large.bin");
    assert_int_equal(read_piece(&piece, answer.resource, 0, 16384, false), 16384);
    assert_int_equal(truncate(in_root("large.bin"), 20000), 0);
    assert_int_equal(read_piece(&piece, answer.resource, 16384, 16384, false), -EIO);
    assert_int_equal(read_piece(&piece, answer.resource, 0, 16384, true), -ESTALE);
    forget(&answer);
}

static void a_file_written_to_while_it_is_sent_fails_the_last_read(void **state)
{
    static struct piece piece;
    struct answer answer = {0};
    (void)state;
    put_large("large.bin", 0);
    find(&answer, "/large.bin");
    assert_int_equal(read_piece(&piece, answer.resource, LARGE - 100, 100, true), 100);
    await_tick();
    int fd = open(in_root("large.bin"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "xyz", 3, 500), 3);
    close(fd);
    assert_int_equal(read_piece(&piece, answer.resource, LARGE - 100, 100, false), 100);
    assert_int_equal(read_piece(&piece, answer.resource, LARGE - 100, 100, true), -ESTALE);
    forget(&answer);
}

static void a_file_replaced_while_it_is_sent_is_sent_to_its_end(void **state)
{
    static struct piece piece;
    struct answer answer = {0}, new = {0};
    (void)state;
    put_large("large.bin", 1);
    find(&answer, "/large.bin");
    put_large("large.new", 2);
    assert_int_equal(rename(in_root("large.new"), in_root("large.bin")), 0);
    age(CONTENT_FRESH_MS);
    find(&new, "/large.bin");
    assert_ptr_not_equal(answer.resource, new.resource);
    assert_false(span_equal(answer.resource->codings[CODING_IDENTITY].etag,
                            new.resource->codings[CODING_IDENTITY].etag));
    assert_int_equal(read_piece(&piece, answer.resource, 0, 100, true), 100);
    assert_int_equal(piece.bytes[0], 1);
    assert_int_equal(read_piece(&piece, new.resource, 0, 100, true), 100);
    assert_int_equal(piece.bytes[0], 2);
    forget(&answer);
    forget(&new);
}

static void the_end_calls_back_whoever_waits(void **state)
{
    enum { MANY = 100 };
    static struct answer answers[MANY];
    struct piece *pieces = calloc(MANY, sizeof(*pieces));
    struct answer large = {0}, late = {0};
    char name[32];
    (void)state;
    memset(answers, 0, sizeof(answers));
    put_large("large.bin", 1);
    find(&large, "/large.bin");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/f%u.txt", i);
        put_file(name + 1, "x");
        begin_find(&answers[i], &site.routes[0], name);
        pieces[i].reader.done = piece_done;
        content_read_at(content, &pieces[i].reader, &large.resource->codings[CODING_IDENTITY], 0,
                        pieces[i].bytes, 5000, false);
    }
    assert_false(content_quiesce(content));
    for (unsigned i = 0; i < 1000 && !content_quiesce(content); i++)
        run_loop(5);
    assert_true(content_quiesce(content));
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].answered, 1);
        assert_int_equal(answers[i].outcome, CONTENT_FAILED);
        assert_true(pieces[i].done);
    }
    begin_find(&late, &site.routes[0], "/f0.txt");
    assert_int_equal(late.outcome, CONTENT_FAILED);
    assert_int_equal(read_piece(&pieces[0], large.resource, 0, 10, false), -ECANCELED);
    free(pieces);
    forget(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_small_file_is_found_with_its_content),
        BENCH_TEST(an_empty_file_is_a_file),
        BENCH_TEST(a_known_file_is_answered_at_once),
        BENCH_TEST(many_who_wait_for_one_file_share_one_open),
        BENCH_TEST(who_waits_for_another_file_does_not_wait_for_a_crowd),
        BENCH_TEST(a_crowd_is_answered_at_the_end_but_for_who_has_left),
        BENCH_TEST(a_directory_means_its_index_and_needs_its_slash),
        BENCH_TEST(what_is_no_file_beneath_the_root_is_not_served),
        BENCH_TEST(a_fifo_a_socket_and_a_closed_file_are_refused_without_waiting),
        BENCH_TEST(symbolic_links_are_followed_only_where_allowed_and_never_out_of_the_root),
        BENCH_TEST(a_file_that_becomes_a_link_is_refused_at_the_next_look),
        BENCH_TEST(a_route_without_a_root_serves_nothing),
        BENCH_TEST(precompressed_siblings_are_found_with_their_file),
        BENCH_TEST(a_sibling_older_than_its_file_is_stale_and_ignored),
        BENCH_TEST(siblings_that_come_change_and_go_are_noticed_in_time),
        BENCH_TEST(an_unchanged_file_is_looked_at_and_not_opened_again),
        BENCH_TEST(what_was_known_stands_in_for_a_look_that_is_under_way),
        BENCH_TEST(a_changed_file_is_a_new_version_beside_the_old_one),
        BENCH_TEST(a_file_written_again_with_the_same_content_keeps_its_etag),
        BENCH_TEST(ranges_are_offered_of_what_exceeds_a_first_window),
        BENCH_TEST(a_file_read_just_after_a_write_is_read_again_until_it_is_older),
        BENCH_TEST(a_version_is_served_for_a_second_and_not_much_longer),
        BENCH_TEST(what_is_missing_is_missing_for_a_second_at_most),
        BENCH_TEST(a_file_that_changes_while_it_is_read_is_read_again),
        BENCH_TEST(a_file_that_never_stops_changing_is_given_up),
        BENCH_TEST(a_file_under_a_busy_writer_ends_up_as_it_was_written_last),
        BENCH_TEST(a_cancelled_look_up_is_not_called_back),
        BENCH_TEST(a_callback_may_cancel_those_who_wait_with_it),
        BENCH_TEST(a_callback_may_look_for_more),
        BENCH_TEST(loads_under_way_are_few_and_the_rest_wait_their_turn),
        BENCH_TEST(too_many_waiting_loads_fail_at_once_rather_than_pile_up),
        BENCH_TEST(the_least_recently_used_go_when_the_bytes_are_used_up),
        BENCH_TEST(descriptors_of_large_files_are_bounded_and_closed),
        BENCH_TEST(running_out_of_descriptors_fails_for_the_time_being),
        BENCH_TEST(a_large_file_is_read_in_pieces),
        BENCH_TEST(reads_under_way_are_few_and_the_rest_wait_their_turn),
        BENCH_TEST(a_file_truncated_while_it_is_sent_fails_the_read),
        BENCH_TEST(a_file_written_to_while_it_is_sent_fails_the_last_read),
        BENCH_TEST(a_file_replaced_while_it_is_sent_is_sent_to_its_end),
        BENCH_TEST(the_end_calls_back_whoever_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
