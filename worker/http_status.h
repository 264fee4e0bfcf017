/* Status codes in words. */
#ifndef HERALD_HTTP_STATUS_H
#define HERALD_HTTP_STATUS_H

/* The reason phrase, or "Unknown". */
const char *http_status_reason(int status);

#endif
