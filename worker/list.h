/* Doubly linked lists. Members embed a link; the list's head is one that none embeds, so that
 * whoever is in a list leaves it without being told which. */
#ifndef HERALD_LIST_H
#define HERALD_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* {NULL, NULL} when in no list. */
struct link {
    struct link *next, *previous;
};

#define LIST_OWNER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct link *head)
{
    head->next = head->previous = head;
}

static inline bool list_empty(const struct link *head)
{
    return head->next == head;
}

/* Whether it is in a list. */
static inline bool list_has(const struct link *link)
{
    return link->next != NULL;
}

/* Puts `link`, which is in no list, before `at`: at the end of the list whose head is `at`. */
static inline void list_insert(struct link *at, struct link *link)
{
    link->next = at;
    link->previous = at->previous;
    at->previous->next = link;
    at->previous = link;
}

/* Nothing for one that is in no list. */
static inline void list_remove(struct link *link)
{
    if (!link->next)
        return;
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link->next = link->previous = NULL;
}

/* Moves all of `from` to the empty list `to`. */
static inline void list_take_all(struct link *from, struct link *to)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->previous = to;
    to->previous->next = to;
    list_init(from);
}

#endif
