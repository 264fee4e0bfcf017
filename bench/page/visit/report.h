/* What one page's load was, as a line of JSON. */
#ifndef PAGE_VISIT_REPORT_H
#define PAGE_VISIT_REPORT_H

#include "bench/page/visit/wire.h"

/* began_us: what times are counted from. waited_us: how long this process was ready to run
 * meanwhile and did not. */
void report_page(const struct wire *wire, uint64_t began_us, uint64_t waited_us);

#endif
