/* Preloaded into a relay: its writes below $FAULTY_FOLDER do what the file $FAULTY_HOW says: "eio", "stall MILLISECONDS", or nothing odd. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int fails(int fd) {
    char link[40], path[4096], how[64] = "";
    const char *folder = getenv("FAULTY_FOLDER"), *file = getenv("FAULTY_HOW");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0 || folder == NULL || file == NULL || strncmp(path, folder, strlen(folder)))
        return 0;
    int told = open(file, O_RDONLY | O_CLOEXEC);
    if (told < 0)
        return 0;
    size = read(told, how, sizeof how - 1);
    close(told);
    int milliseconds;
    if (sscanf(how, "stall %d", &milliseconds) == 1) {
        struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
        nanosleep(&time, NULL);
        return 0;
    }
    return strncmp(how, "eio", 3) == 0;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL)
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (real == NULL)
        real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd, parts, count);
}
