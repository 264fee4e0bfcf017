/* Durations for people. */
#ifndef HERALD_DURATION_H
#define HERALD_DURATION_H

#define DURATION_TEXT_MAX 32

/* The two largest units of `seconds`: "3 d 4 h", "12 min 5 s", "0 s". Returns `text`. */
const char *duration_text(long long seconds, char text[DURATION_TEXT_MAX]);

#endif
