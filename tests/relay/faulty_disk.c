/* Preloaded into a relay: its calls below $FAULTY_FOLDER do what the file $FAULTY_HOW says:
   "eio": writes fail; "stall MILLISECONDS": each write takes that long; "block CALL": that call (write, open, close, unlink, fdatasync) does not return
   before the file says something else. A call that is blocked adds a byte to $FAULTY_HOW.blocked when it begins. Anything else: nothing odd. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void wait_for(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

/* What is to be done; by system calls, because the library's are ours. */
static void told(char how[64]) {
    const char *file = getenv("FAULTY_HOW");
    int fd = file == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, how, 63);
    how[size < 0 ? 0 : size] = 0;
    if (fd >= 0)
        syscall(SYS_close, fd);
}

static void note_that_it_blocks(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s.blocked", getenv("FAULTY_HOW"));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    syscall(SYS_write, fd, "b", 1);
    syscall(SYS_close, fd);
}

/* Whether a call of this name, on this path, is to fail; it may take its time first. */
static int fails(const char *call, const char *path) {
    char how[64], blocked[64];
    const char *folder = getenv("FAULTY_FOLDER");
    if (folder == NULL || path == NULL || strncmp(path, folder, strlen(folder)))
        return 0;
    told(how);
    int milliseconds;
    if (sscanf(how, "stall %d", &milliseconds) == 1 && strcmp(call, "write") == 0)
        wait_for(milliseconds);
    snprintf(blocked, sizeof blocked, "block %s", call);
    if (strcmp(how, blocked) == 0) {
        note_that_it_blocks();
        do {
            wait_for(2);
            told(how);
        } while (strcmp(how, blocked) == 0);
    }
    return strcmp(how, "eio") == 0 && strcmp(call, "write") == 0;
}

static int fails_on(const char *call, int fd) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    return fails(call, path);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (fails_on("write", fd)) {
        errno = EIO;
        return -1;
    }
    return REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (fails_on("write", fd)) {
        errno = EIO;
        return -1;
    }
    return REAL(writev)(fd, parts, count);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    fails("open", path);
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    fails("open", path);
    return REAL(open)(path, flags, mode);
}

int close(int fd) {
    fails_on("close", fd);
    return REAL(close)(fd);
}

int unlink(const char *path) {
    fails("unlink", path);
    return REAL(unlink)(path);
}

int fdatasync(int fd) {
    fails_on("fdatasync", fd);
    return REAL(fdatasync)(fd);
}
