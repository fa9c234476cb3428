#include "tests/faulty_fs.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static faulty_plan plan;
static long calls, hits;

enum { PASS, FAIL, SHORTEN };

static int judge(const char *op, const char *path)
{
    pthread_mutex_lock(&mutex);
    const faulty_plan now = plan;
    const int counts = (!now.op || strcmp(now.op, op) == 0) && (!now.path || strstr(path, now.path));
    if (counts) calls++;
    const int hit = counts && now.nth > 0 && (calls == now.nth || (now.forever && calls > now.nth));
    hits += hit;
    pthread_mutex_unlock(&mutex);
    if (now.seen) now.seen(op, path, now.self);
    if (counts && now.delay_us > 0) {
        const struct timespec pause = {now.delay_us / 1000000, now.delay_us % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (!hit) return PASS;
    if (now.error == 0) return SHORTEN;
    errno = now.error;
    return FAIL;
}

static int judge_fd(const char *op, int fd)
{
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return judge(op, path);
}

static int open_faulty(const char *path, int flags, mode_t mode)
{
    return judge("open", path) == FAIL ? -1 : pawl_fs_posix.open(path, flags, mode);
}

static int close_faulty(int fd)
{
    const int verdict = judge_fd("close", fd), cause = errno;
    const int closed = pawl_fs_posix.close(fd); /* a close that fails has closed */
    if (verdict != FAIL) return closed;
    errno = cause;
    return -1;
}

static size_t shortened(int verdict, size_t bytes)
{
    return verdict == SHORTEN && bytes > 1 ? bytes / 2 : bytes;
}

static ssize_t pread_faulty(int fd, void *data, size_t bytes, off_t at)
{
    const int verdict = judge_fd("pread", fd);
    return verdict == FAIL ? -1 : pawl_fs_posix.pread(fd, data, shortened(verdict, bytes), at);
}

static ssize_t pwrite_faulty(int fd, const void *data, size_t bytes, off_t at)
{
    const int verdict = judge_fd("pwrite", fd);
    return verdict == FAIL ? -1 : pawl_fs_posix.pwrite(fd, data, shortened(verdict, bytes), at);
}

static int fsync_faulty(int fd)
{
    if (judge_fd("fsync", fd) == FAIL) return -1;
    return plan.no_sync ? 0 : pawl_fs_posix.fsync(fd);
}

static int fallocate_faulty(int fd, off_t bytes)
{
    return judge_fd("fallocate", fd) == FAIL ? -1 : pawl_fs_posix.fallocate(fd, bytes);
}

static int ftruncate_faulty(int fd, off_t bytes)
{
    return judge_fd("ftruncate", fd) == FAIL ? -1 : pawl_fs_posix.ftruncate(fd, bytes);
}

static int rename_faulty(const char *from, const char *to)
{
    return judge("rename", from) == FAIL ? -1 : pawl_fs_posix.rename(from, to);
}

static int mkdir_faulty(const char *path, mode_t mode)
{
    return judge("mkdir", path) == FAIL ? -1 : pawl_fs_posix.mkdir(path, mode);
}

static int unlink_faulty(const char *path)
{
    return judge("unlink", path) == FAIL ? -1 : pawl_fs_posix.unlink(path);
}

static int rmdir_faulty(const char *path)
{
    return judge("rmdir", path) == FAIL ? -1 : pawl_fs_posix.rmdir(path);
}

static int flock_faulty(int fd, int operation)
{
    return judge_fd("flock", fd) == FAIL ? -1 : pawl_fs_posix.flock(fd, operation);
}

static const pawl_fs faulty = {
    .open = open_faulty,
    .close = close_faulty,
    .pread = pread_faulty,
    .pwrite = pwrite_faulty,
    .fsync = fsync_faulty,
    .fallocate = fallocate_faulty,
    .ftruncate = ftruncate_faulty,
    .rename = rename_faulty,
    .mkdir = mkdir_faulty,
    .unlink = unlink_faulty,
    .rmdir = rmdir_faulty,
    .flock = flock_faulty,
};

void faulty_fs_install(const faulty_plan *wanted)
{
    pthread_mutex_lock(&mutex);
    plan = *wanted;
    calls = hits = 0;
    pawl_fs_in_use = &faulty;
    pthread_mutex_unlock(&mutex);
}

long faulty_fs_remove(void)
{
    pthread_mutex_lock(&mutex);
    memset(&plan, 0, sizeof plan);
    pawl_fs_in_use = &pawl_fs_posix;
    const long n = hits;
    pthread_mutex_unlock(&mutex);
    return n;
}

long faulty_fs_calls(void)
{
    pthread_mutex_lock(&mutex);
    const long n = calls;
    pthread_mutex_unlock(&mutex);
    return n;
}
