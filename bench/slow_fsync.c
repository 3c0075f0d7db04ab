/* LD_PRELOAD: lets every fsync and fdatasync take longer, as on an ordinary cloud disk, and counts them.
 *
 * SLOW_FSYNC names a file of two 8-byte numbers, which all processes share: how many microseconds to sleep before the
 * real call, and how many calls there were.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shared;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("SLOW_FSYNC");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *found = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED) shared = found;
    close(fd);
}

static void tarry(void) {
    if (!shared) return;
    __atomic_add_fetch(&shared[1], 1, __ATOMIC_RELAXED);
    int64_t left = shared[0];
    struct timespec nap = {left / 1000000, left % 1000000 * 1000};
    if (left > 0)
        while (nanosleep(&nap, &nap)) {
        }
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    tarry();
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    tarry();
    return real(fd);
}
