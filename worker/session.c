#include "worker/session.h"

void session_close(struct session *session)
{
    http2_destroy(session->http2);
    *session = (struct session){0};
}

struct span session_protocol(const struct session *session)
{
    (void)session;
    return SPAN_LITERAL("h2");
}
