#include "master/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address_of(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(address->sun_path))
        return -ENAMETOOLONG;
    strcpy(address->sun_path, path);
    return 0;
}

json_t *control_error(const char *format, ...)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fault_make_utf8(text);
    return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static void client_close(struct control_client *client)
{
    loop_remove(client->control->loop, &client->watch);
    close(client->watch.fd);
    client->watch.fd = -1;
    free(client->out);
    client->out = NULL;
    client->serial = 0;
}

/* Sends what the socket takes. Returns false when the client was closed. */
static bool client_send(struct control_client *client)
{
    while (client->out_sent < client->out_length) {
        ssize_t n = send(client->watch.fd, client->out + client->out_sent,
                         client->out_length - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN &&
            loop_change(client->control->loop, &client->watch, EPOLLOUT) == 0)
            return true;
        if (n < 0) {
            client_close(client);
            return false;
        }
        client->out_sent += (size_t)n;
    }
    free(client->out);
    client->out = NULL;
    if (client->close_after) {
        client_close(client);
        return false;
    }
    client->deadline_ms = loop_now_ms() + CONTROL_LINE_MS;
    loop_change(client->control->loop, &client->watch, EPOLLIN);
    return true;
}

/* jansson leaves out of an object what it has no memory for, and goes on. */
static bool memory_lacked;

static void *json_memory(size_t size)
{
    void *memory = malloc(size);
    memory_lacked = memory_lacked || !memory;
    return memory;
}

/* Says so without memory, and ends the client. */
static void client_answer_scarce(struct control_client *client)
{
    static const char scarce[] = "{\"ok\":false,\"error\":\"out of memory\"}\n";
    (void)!send(client->watch.fd, scarce, sizeof(scarce) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    client_close(client);
}

/* Takes `answer`. */
static void client_answer(struct control_client *client, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    size_t length = text ? strlen(text) : 0;
    char *line = text ? realloc(text, length + 2) : NULL;
    if (!line || (client->control->in_command && memory_lacked)) {
        free(line ? line : text);
        client_answer_scarce(client);
        return;
    }
    line[length] = '\n';
    client->waiting = false;
    client->out = line;
    client->out_length = length + 1;
    client->out_sent = 0;
    client->deadline_ms = loop_now_ms() + CONTROL_ANSWER_MS;
    client_send(client);
}

static void client_refuse(struct control_client *client, const char *why)
{
    client->close_after = true;
    client_answer(client, control_error("%s", why));
}

static void command_run(struct control_client *client, const char *line, size_t length)
{
    struct control *control = client->control;
    json_error_t error;
    control->in_command = true;
    memory_lacked = false;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    const char *verb = json_string_value(json_object_get(request, "verb"));
    client->waiting = true;
    client->deadline_ms = LOOP_NEVER;
    if (!request) {
        client_answer(client, control_error("not JSON at column %d: %s", error.column, error.text));
    } else if (!verb) {
        client_answer(client, control_error("a command is an object with a \"verb\""));
    } else {
        struct control_handle handle = {(unsigned)(client - control->clients), client->serial};
        loop_change(control->loop, &client->watch, 0); /* only its leaving is of interest */
        control->command(control->context, handle, client->author, verb, request);
    }
    control->in_command = false;
    json_decref(request);
}

/* Runs the commands that came, one after the other's answer. */
static void client_serve(struct control_client *client)
{
    uint64_t serial = client->serial;
    while (client->serial == serial && !client->waiting && !client->out) {
        char line[CONTROL_COMMAND_MAX];
        char *end = memchr(client->in, '\n', client->in_used);
        if (!end) {
            if (client->in_used == sizeof(client->in))
                client_refuse(client, "the command is too long");
            return;
        }
        size_t length = (size_t)(end - client->in);
        memcpy(line, client->in, length);
        client->in_used -= length + 1;
        memmove(client->in, end + 1, client->in_used);
        command_run(client, line, length);
    }
}

static void client_receive(struct control_client *client)
{
    ssize_t n = recv(client->watch.fd, client->in + client->in_used,
                     sizeof(client->in) - client->in_used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 0 && client->in_used) {
        client_refuse(client, "the command has no end: a line feed is missing");
        return;
    }
    if (n <= 0) {
        client_close(client);
        return;
    }
    client->in_used += (size_t)n;
    client_serve(client);
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct control_client *client = OWNER_OF(watch, struct control_client, watch);
    if (client->out) {
        if (client_send(client))
            client_serve(client);
    } else if (client->waiting) {
        client_close(client); /* nothing but an error or a hang-up is reported now */
    } else if (events) {
        client_receive(client);
    }
}

static void author_of(int fd, char *author)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
        snprintf(author, CONTROL_AUTHOR_MAX, "somebody");
        return;
    }
    const struct passwd *user = getpwuid(peer.uid);
    if (user)
        snprintf(author, CONTROL_AUTHOR_MAX, "%.24s (pid %d)", user->pw_name, (int)peer.pid);
    else
        snprintf(author, CONTROL_AUTHOR_MAX, "uid %u (pid %d)", peer.uid, (int)peer.pid);
}

static struct control_client *client_place(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (!control->clients[i].serial)
            return &control->clients[i];
    return NULL;
}

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Takes `fd`. */
static void refuse(int fd, const char *line)
{
    (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

/* A connection that is not accepted would wake the loop for ever. */
static void refuse_by_spare(struct control *control)
{
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    int fd = accept4(control->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        refuse(fd, "{\"ok\":false,\"error\":\"no descriptors are left\"}\n");
    control->spare_fd = spare_open();
}

static void control_ready(struct watch *watch, uint32_t events)
{
    struct control *control = OWNER_OF(watch, struct control, watch);
    struct control_client *client = client_place(control);
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            refuse_by_spare(control);
        return;
    }
    if (!client) {
        refuse(fd, "{\"ok\":false,\"error\":\"too many commands at once\"}\n");
        return;
    }
    *client = (struct control_client){
        .watch = {.fd = fd, .ready = client_ready},
        .control = control,
        .serial = ++control->serials,
        .deadline_ms = loop_now_ms() + CONTROL_LINE_MS,
    };
    author_of(fd, client->author);
    if (loop_add(control->loop, &client->watch, EPOLLIN) < 0)
        client_close(client);
}

/* Removes a socket that a dead master left. */
static int clear_path(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
    close(fd);
    if (rc != -ECONNREFUSED)
        return rc == 0 || rc == -EAGAIN ? -EADDRINUSE : rc;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int socket_make(const char *path, struct stat *st)
{
    struct sockaddr_un address;
    int rc = address_of(path, &address);
    if (rc == 0)
        rc = clear_path(&address);
    if (rc < 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    mode_t old = umask(0177); /* the socket is private from its first moment */
    rc = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(old);
    if (rc == 0 && (listen(fd, CONTROL_CLIENTS_MAX) < 0 || lstat(path, st) < 0))
        rc = -errno;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static int parent_make(const char *path)
{
    char parent[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path || (size_t)(slash - path) >= sizeof(parent))
        return 0;
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    return mkdir(parent, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int control_open(struct control *control, struct loop *loop, const char *path,
                 control_command *command, void *context, struct fault *fault)
{
    struct stat st;
    *control = (struct control){.loop = loop, .spare_fd = -1, .command = command, .context = context};
    json_set_alloc_funcs(json_memory, free);
    int rc = parent_make(path);
    int fd = rc < 0 ? rc : socket_make(path, &st);
    if (fd == -EADDRINUSE)
        return fault_set(fault, fd, path, 0, "another herald answers on this control socket");
    if (fd == -EEXIST)
        return fault_set(fault, fd, path, 0, "is in the way of the control socket");
    if (fd < 0)
        return fault_set(fault, fd, path, 0, "the control socket cannot be made: %s",
                         strerror(-fd));
    control->watch = (struct watch){.fd = fd, .ready = control_ready};
    control->spare_fd = spare_open();
    control->path = strdup(path);
    control->device = st.st_dev;
    control->inode = st.st_ino;
    rc = control->path ? loop_add(loop, &control->watch, EPOLLIN) : -ENOMEM;
    if (rc < 0) {
        control_close(control);
        return fault_set(fault, rc, path, 0, "the control socket cannot be watched: %s",
                         strerror(-rc));
    }
    return 0;
}

void control_close(struct control *control)
{
    struct stat st;
    if (!control->path)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].serial)
            client_close(&control->clients[i]);
    loop_remove(control->loop, &control->watch);
    close(control->watch.fd);
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    if (lstat(control->path, &st) == 0 && st.st_dev == control->device &&
        st.st_ino == control->inode)
        unlink(control->path);
    free(control->path);
    control->path = NULL;
}

void control_answer(struct control *control, struct control_handle handle, json_t *answer)
{
    struct control_client *client = &control->clients[handle.index];
    if (!control->path || client->serial != handle.serial || !client->waiting) {
        json_decref(answer);
        return;
    }
    client_answer(client, answer);
}

int64_t control_step(struct control *control, int64_t now_ms)
{
    int64_t next = LOOP_NEVER;
    for (unsigned i = 0; control->path && i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->serial && now_ms >= client->deadline_ms) {
            if (client->out || client->in_used == 0)
                client_close(client);
            else
                client_refuse(client, "the command took too long to come");
        }
        if (client->serial && client->deadline_ms < next)
            next = client->deadline_ms;
    }
    return next;
}
