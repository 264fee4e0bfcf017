/* Preloaded into herald: allocations of one process fail when a test says so. The file that $SCARCE
 * names, mapped by both, tells whose, how many pass first, and how many fail then. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct scarcity {
    int pid, pass, fail, failed;
};

static struct scarcity *scarcity;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *data, size_t size);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SCARCE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    long at = syscall(SYS_mmap, NULL, sizeof(*scarcity), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != -1)
        scarcity = (struct scarcity *)at;
}

static int fails(void)
{
    if (!scarcity || !scarcity->fail || scarcity->pid != getpid())
        return 0;
    if (scarcity->pass > 0) {
        scarcity->pass--;
        return 0;
    }
    scarcity->fail--;
    scarcity->failed++;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *data, size_t size)
{
    return size && fails() ? NULL : __libc_realloc(data, size);
}

void *mmap(void *at, size_t size, int rights, int flags, int fd, off_t offset)
{
    if (fails())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, rights, flags, fd, offset);
}
