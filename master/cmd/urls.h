/* The URLs of a herald that has become ready, for people and for programs that wait for it. */
#ifndef HERALD_URLS_H
#define HERALD_URLS_H

#include "master/supervisor.h"

/* Prints "ready  https://127.0.0.1:8443/  http://127.0.0.1:8080/" on stdout, at once; with `json`
 * {"ok":true,"ready":["https://127.0.0.1:8443/","http://127.0.0.1:8080/"]}. */
void urls_print_ready(const struct supervisor *supervisor, bool json);

/* The first URL with TLS, or without; "" when there is none. Returns `text`. */
const char *urls_first(const struct supervisor *supervisor, bool tls, char *text);

#endif
