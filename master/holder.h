/* Who listens on a port, as far as /proc tells. */
#ifndef HERALD_HOLDER_H
#define HERALD_HOLDER_H

#define HOLDER_TEXT_MAX 64

enum holder {
    HOLDER_NONE,  /* nobody that /proc tells of listens there */
    HOLDER_LIVES, /* a server does, or it cannot be told */
    HOLDER_GOES,  /* what is left of one: no process has the socket any more, only a ring that the
                   * kernel has not taken apart yet, or workers of ours whose master is gone */
};

/* Who listens on `port`. Unless nobody does, writes "nginx (pid 12)" into `text` (HOLDER_TEXT_MAX
 * bytes), or the user when the process can't be seen. Takes some milliseconds; for a fault, not for
 * a loop. */
enum holder holder_of_port(unsigned port, char *text);

#endif
