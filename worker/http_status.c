#include "worker/http_status.h"

const char *http_status_reason(int status)
{
    switch (status) {
#define STATUS(code, reason) \
    case code:               \
        return reason;
#include "worker/http_statuses.def"
#undef STATUS
    default:
        return "Unknown";
    }
}
