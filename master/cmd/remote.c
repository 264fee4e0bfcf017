#include "master/cmd/remote.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The demo is what runs when there is no config at all. A request to the herald of a config names
 * it: another one may use the same socket. */
static int find_socket(const struct remote *remote, json_t *request, char *path,
                       struct fault *fault)
{
    struct config_source source;
    struct config *config = NULL;
    int rc = cmd_source(remote->config, remote->root, &source, fault);
    if (rc < 0)
        return rc;
    bool usual = source.origin == CONFIG_FILE && !source.path &&
                 access(CONFIG_LOAD_FILE, F_OK) < 0 && access(CONFIG_LOAD_SYSTEM_FILE, F_OK) < 0;
    if (remote->demo || usual)
        source = (struct config_source){CONFIG_DEMO, NULL};
    rc = stage_load(&source, &config, fault);
    if (rc < 0)
        return rc;
    if (!config->admin.socket || strlen(config->admin.socket) >= PATH_MAX)
        rc = fault_set(fault, -EINVAL, config->path, 0, "names no control socket");
    else
        strcpy(path, config->admin.socket);
    if (rc == 0 && source.origin == CONFIG_FILE && config->path &&
        strlen(config->path) <= CONTROL_COMMAND_MAX / 4)
        json_object_set_new(request, CONTROL_CONFIG, json_string(config->path));
    config_destroy(config);
    return rc;
}

json_t *remote_call(const struct remote *remote, json_t *request, int *fd, struct fault *fault)
{
    char path[PATH_MAX];
    if (remote->socket)
        return control_call(remote->socket, request, fd, fault);
    if (find_socket(remote, request, path, fault) < 0)
        return NULL;
    return control_call(path, request, fd, fault);
}

int remote_print_json(json_t *answer)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (json_dumpf(answer, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    json_decref(answer);
    return ok ? CMD_DONE : CMD_FAILED;
}

int remote_refused(json_t *answer)
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (json_is_true(json_object_get(answer, "ok")))
        return 0;
    fprintf(stderr, "herald: %s\n", error ? error : "the answer makes no sense");
    return 1;
}

void remote_wait_end(int fd)
{
    char byte;
    ssize_t n;
    do
        n = recv(fd, &byte, 1, 0);
    while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
    close(fd);
}
