/* Makes fdatasync as slow as a file says: preloaded into PostgreSQL to stand in for a slower disk.
 *
 * STIMA_SLOW_FILE names a file of one 32-bit number, microseconds. It is mapped once and inherited
 * by every backend, so that one cluster can be measured with and without, in turns. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile uint32_t *microseconds;
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("STIMA_SLOW_FILE");
    int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (descriptor >= 0) {
        void *found = mmap(NULL, sizeof(uint32_t), PROT_READ, MAP_SHARED, descriptor, 0);
        if (found != MAP_FAILED)
            microseconds = found;
        close(descriptor);
    }
}

int fdatasync(int descriptor)
{
    uint32_t wait = microseconds ? *microseconds : 0;

    if (wait) {
        struct timespec pause = {wait / 1000000, (long)(wait % 1000000) * 1000};
        nanosleep(&pause, NULL);
    }
    return real_fdatasync(descriptor);
}
