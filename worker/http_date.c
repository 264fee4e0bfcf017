#include "worker/http_date.h"

#include <stdio.h>

#define DAY_S 86400

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};

static void put_two(char *at, int value)
{
    at[0] = (char)('0' + value / 10 % 10);
    at[1] = (char)('0' + value % 10);
}

void http_date_format(time_t time, char text[HTTP_DATE_LENGTH + 1])
{
    struct tm tm = {0};
    memcpy(text, "Thu, 01 Jan 1970 00:00:00 GMT", HTTP_DATE_LENGTH + 1);
    if (!gmtime_r(&time, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
        return;
    memcpy(text, days[tm.tm_wday], 3);
    put_two(text + 5, tm.tm_mday);
    memcpy(text + 8, months[tm.tm_mon], 3);
    put_two(text + 12, (tm.tm_year + 1900) / 100);
    put_two(text + 14, (tm.tm_year + 1900) % 100);
    put_two(text + 17, tm.tm_hour);
    put_two(text + 20, tm.tm_min);
    put_two(text + 23, tm.tm_sec);
}

/* The parser's rest of the text; `ok` turns false at the first thing that isn't as expected. */
struct cursor {
    struct span rest;
    bool ok;
};

static void literal(struct cursor *cursor, const char *text)
{
    struct span expected = span_of(text);
    cursor->ok = cursor->ok && span_starts(cursor->rest, expected);
    if (cursor->ok)
        cursor->rest = span_after(cursor->rest, expected.length);
}

/* Exactly `digits` digits; the first may be a space when `padded` (asctime's day). */
static int number(struct cursor *cursor, size_t digits, bool padded)
{
    int value = 0;
    cursor->ok = cursor->ok && cursor->rest.length >= digits;
    for (size_t i = 0; cursor->ok && i < digits; i++) {
        char c = cursor->rest.data[i];
        if (padded && i == 0 && c == ' ')
            continue;
        cursor->ok = c >= '0' && c <= '9';
        value = value * 10 + (c - '0');
    }
    if (cursor->ok)
        cursor->rest = span_after(cursor->rest, digits);
    return value;
}

static int month(struct cursor *cursor)
{
    for (int i = 0; cursor->ok && i < 12; i++)
        if (span_starts(cursor->rest, span_make(months[i], 3))) {
            cursor->rest = span_after(cursor->rest, 3);
            return i;
        }
    cursor->ok = false;
    return 0;
}

/* The day's name says nothing that the date doesn't, but it must be one. Returns its length. */
static size_t day_name(struct span text)
{
    for (int i = 0; i < 7; i++) {
        if (span_starts(text, span_of(days[i])))
            return strlen(days[i]);
        if (span_starts(text, span_make(days[i], 3)))
            return 3;
    }
    return 0;
}

static void clock_time(struct cursor *cursor, struct tm *tm)
{
    tm->tm_hour = number(cursor, 2, false);
    literal(cursor, ":");
    tm->tm_min = number(cursor, 2, false);
    literal(cursor, ":");
    tm->tm_sec = number(cursor, 2, false);
}

/* "06 Nov 1994 08:49:37 GMT" */
static void fixdate(struct cursor *cursor, struct tm *tm)
{
    tm->tm_mday = number(cursor, 2, false);
    literal(cursor, " ");
    tm->tm_mon = month(cursor);
    literal(cursor, " ");
    tm->tm_year = number(cursor, 4, false) - 1900;
    literal(cursor, " ");
    clock_time(cursor, tm);
    literal(cursor, " GMT");
}

/* "06-Nov-94 08:49:37 GMT": two digits that seem more than 50 years in the future are in the past.
 */
static void rfc850(struct cursor *cursor, struct tm *tm)
{
    struct tm today = {0};
    time_t now = http_date_seconds();
    gmtime_r(&now, &today);
    tm->tm_mday = number(cursor, 2, false);
    literal(cursor, "-");
    tm->tm_mon = month(cursor);
    literal(cursor, "-");
    tm->tm_year = today.tm_year - today.tm_year % 100 + number(cursor, 2, false);
    if (tm->tm_year > today.tm_year + 50)
        tm->tm_year -= 100;
    literal(cursor, " ");
    clock_time(cursor, tm);
    literal(cursor, " GMT");
}

/* "Nov  6 08:49:37 1994" */
static void asctime_date(struct cursor *cursor, struct tm *tm)
{
    tm->tm_mon = month(cursor);
    literal(cursor, " ");
    tm->tm_mday = number(cursor, 2, true);
    literal(cursor, " ");
    clock_time(cursor, tm);
    literal(cursor, " ");
    tm->tm_year = number(cursor, 4, false) - 1900;
}

bool http_date_parse(struct span text, time_t *time)
{
    struct tm tm = {0};
    size_t name = day_name(text);
    struct cursor cursor = {span_after(text, name), name > 0};
    if (cursor.ok && span_starts(cursor.rest, SPAN_LITERAL(", "))) {
        cursor.rest = span_after(cursor.rest, 2);
        if (name == 3)
            fixdate(&cursor, &tm);
        else
            rfc850(&cursor, &tm);
    } else if (name == 3) {
        literal(&cursor, " ");
        asctime_date(&cursor, &tm);
    } else {
        return false;
    }
    if (!cursor.ok || cursor.rest.length || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    int day = tm.tm_mday;
    if (tm.tm_sec == 60) /* a leap second, which time_t has no number for */
        tm.tm_sec = 59;
    *time = timegm(&tm);
    return tm.tm_mday == day; /* else there is no such day in that month */
}

time_t http_date_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

struct span http_date_now(void)
{
    static char text[HTTP_DATE_LENGTH + 1];
    static time_t formatted = -1;
    time_t now = http_date_seconds();
    if (now != formatted) {
        http_date_format(now, text);
        formatted = now;
    }
    return span_make(text, HTTP_DATE_LENGTH);
}
