#include "master/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (1024 * 1024)
#define ANSWER_WAIT_S 150 /* a reload's answer comes when its workers are ready, or can't be */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {ANSWER_WAIT_S, 0};
    int rc;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int send_line(int fd, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0;
    int rc = text ? 0 : -ENOMEM;
    if (text)
        text[length++] = '\n'; /* in place of the NUL */
    for (size_t sent = 0; rc == 0 && sent < length;) {
        ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            rc = -errno;
        else if (n > 0)
            sent += (size_t)n;
    }
    free(text);
    return rc;
}

/* Reads up to a line feed. Returns the length without it, or -errno: -EPIPE for no line at all. */
static ssize_t read_line(int fd, char *line)
{
    size_t length = 0;
    while (length < ANSWER_MAX) {
        ssize_t n = recv(fd, line + length, ANSWER_MAX - length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ECONNRESET)
            return -errno;
        if (n <= 0)
            return -EPIPE;
        length += (size_t)n;
        if (line[length - 1] == '\n')
            return (ssize_t)(length - 1);
    }
    return -EMSGSIZE;
}

static const char *call_failure(int rc)
{
    switch (rc) {
    case -ENOENT:
    case -ECONNREFUSED:
        return "no herald answers on this control socket; is it running?";
    case -EACCES:
        return "permission denied: only the user that runs herald and root may use it";
    case -EPIPE:
        return "herald ended before it answered";
    case -EAGAIN:
        return "herald does not answer";
    default:
        return strerror(-rc);
    }
}

json_t *control_call(const char *path, json_t *request, int *fd, struct fault *fault)
{
    json_t *answer = NULL;
    int connection = connect_to(path);
    int rc = connection < 0 ? connection : send_line(connection, request);
    if (rc == -EPIPE)
        rc = 0; /* a master that refuses every command has said so and closed */
    char *line = rc == 0 ? malloc(ANSWER_MAX) : NULL;
    if (rc == 0 && !line)
        rc = -ENOMEM;
    if (rc == 0) {
        ssize_t length = read_line(connection, line);
        rc = length < 0 ? (int)length : 0;
        answer = rc == 0 ? json_loadb(line, (size_t)length, 0, NULL) : NULL;
        if (rc == 0 && !answer)
            rc = -EPROTO;
    }
    free(line);
    if (fd && rc == 0)
        *fd = connection;
    else if (connection >= 0)
        close(connection);
    if (rc < 0)
        fault_set(fault, rc, path, 0, "%s", call_failure(rc));
    return answer;
}
