/* The parts of `herald status` that tell what pushing cost and gained. */
#ifndef HERALD_STATUS_WASTE_H
#define HERALD_STATUS_WASTE_H

#include <jansson.h>

#define STATUS_BYTES_MAX 32

/* "1.5 MiB". Returns `text`. */
const char *status_bytes(double bytes, char text[STATUS_BYTES_MAX]);

/* Tables of what master/waste.h makes, on stdout. */
void status_print_waste(const json_t *waste);
void status_print_experiment(const json_t *experiment);

#endif
