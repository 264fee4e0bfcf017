#include "worker/session.h"

void session_close(struct session *session)
{
    http2_destroy(session->http2);
    http1_destroy(session->http1);
    *session = (struct session){0};
}

struct span session_protocol(const struct session *session)
{
    return session->http1 ? http1_protocol(session->http1) : SPAN_LITERAL("h2");
}
