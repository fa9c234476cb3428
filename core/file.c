#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/arena.h"

static int open_posix(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int fallocate_posix(int fd, off_t bytes)
{
    int cause = bytes > 0 ? posix_fallocate(fd, 0, bytes) : 0;
    errno = cause;
    return cause ? -1 : 0;
}

const pawl_fs pawl_fs_posix = {
    .open = open_posix,
    .close = close,
    .pread = pread,
    .pwrite = pwrite,
    .fsync = fsync,
    .fallocate = fallocate_posix,
    .ftruncate = ftruncate,
    .rename = rename,
    .mkdir = mkdir,
    .unlink = unlink,
    .rmdir = rmdir,
    .flock = flock,
};

const pawl_fs *pawl_fs_in_use = &pawl_fs_posix;

static pawl_status io_error(const char *verb, const char *path)
{
    return PAWL_FAIL(PAWL_EIO, "cannot %s %s: %s", verb, path, strerror(errno));
}

/* A pipe under a name where a file is expected would be waited for without end. Those that the user's shell hands over,
 * /dev/stdin and /dev/fd/N, are read. */
static pawl_status refuse_pipe(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) return PAWL_OK;
    if (strncmp(path, "/dev/", 5) == 0) {
        const int flags = fcntl(fd, F_GETFL);
        return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? io_error("read", path) : PAWL_OK;
    }
    return PAWL_FAIL(PAWL_EDATA, "expected a file, found a pipe: %s", path);
}

pawl_status pawl_file_open(const char *path, int flags, int *fd)
{
    const int reads = (flags & O_ACCMODE) == O_RDONLY;
    int got;
    do got = pawl_fs_in_use->open(path, flags | (reads ? O_NONBLOCK : 0), 0666); /* which pipes need to be opened at all */
    while (got < 0 && errno == EINTR);
    if (got < 0) return io_error(reads ? "open" : "write", path);
    pawl_status s = reads ? refuse_pipe(got, path) : PAWL_OK;
    if (s == PAWL_OK) *fd = got;
    else pawl_fs_in_use->close(got);
    return s;
}

void pawl_file_close(int fd)
{
    if (fd >= 0) (void)pawl_fs_in_use->close(fd);
}

pawl_status pawl_file_close_written(int fd, const char *path)
{
    return pawl_fs_in_use->close(fd) < 0 && errno != EINTR ? io_error("close", path) : PAWL_OK;
}

pawl_status pawl_file_pread(int fd, const char *path, void *data, size_t bytes, int64_t at)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pawl_fs_in_use->pread(fd, (char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error("read", path);
        PAWL_CHECK(n > 0, PAWL_EDATA, "%s ends at byte %lld, expected at least %lld", path, (long long)at + (long long)done,
                   (long long)at + (long long)bytes);
        done += (size_t)n;
    }
    return PAWL_OK;
}

pawl_status pawl_file_pwrite(int fd, const char *path, const void *data, size_t bytes, int64_t at)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pawl_fs_in_use->pwrite(fd, (const char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return io_error("write", path);
        done += (size_t)n;
    }
    return PAWL_OK;
}

pawl_status pawl_file_reserve(int fd, const char *path, int64_t bytes)
{
    int failed;
    do failed = pawl_fs_in_use->fallocate(fd, (off_t)bytes) < 0;
    while (failed && errno == EINTR);
    PAWL_CHECK(!failed, PAWL_EIO, "cannot reserve %lld bytes for %s: %s", (long long)bytes, path, strerror(errno));
    return PAWL_OK;
}

pawl_status pawl_file_sync(int fd, const char *path)
{
    /* Never retried: after a failed fsync the kernel may have dropped the very pages that failed. */
    return pawl_fs_in_use->fsync(fd) < 0 ? io_error("fsync", path) : PAWL_OK;
}

pawl_status pawl_dir_sync(const char *path)
{
    int fd;
    PAWL_TRY(pawl_file_open(path, O_RDONLY | O_DIRECTORY, &fd));
    pawl_status s = pawl_file_sync(fd, path);
    pawl_file_close(fd);
    return s;
}

pawl_status pawl_file_rename(const char *from, const char *to)
{
    if (pawl_fs_in_use->rename(from, to) == 0) return PAWL_OK;
    return PAWL_FAIL(PAWL_EIO, "cannot rename %s to %s: %s", from, to, strerror(errno));
}

pawl_status pawl_file_remove(const char *path)
{
    return pawl_fs_in_use->unlink(path) < 0 && errno != ENOENT ? io_error("remove", path) : PAWL_OK;
}

pawl_status pawl_dir_make(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    PAWL_CHECK(n > 0 && n < sizeof part, PAWL_EUSAGE, "expected a path of 1 to %zu bytes, found %zu", sizeof part - 1, n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && part[i] != '/') continue;
        part[i] = 0;
        if (pawl_fs_in_use->mkdir(part, 0777) < 0 && errno != EEXIST) return io_error("make folder", part);
        if (i < n) part[i] = '/';
    }
    if (pawl_path_is_dir(path)) return PAWL_OK;
    errno = ENOTDIR;
    return io_error("make folder", path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names lie behind the pointers to them, in the same block. */
static pawl_status list_open_dir(DIR *dir, const char *path, char ***names, int *count)
{
    size_t bytes = 0, room = 0;
    char *text = NULL;
    int n = 0;
    struct dirent *e;
    while ((errno = 0, e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        size_t len = strlen(e->d_name) + 1;
        if (bytes + len > room) {
            room = 2 * (bytes + len) + 1024;
            pawl_status s = pawl_realloc((void **)&text, room, "a list of files");
            if (s != PAWL_OK) {
                pawl_free(text);
                return s;
            }
        }
        memcpy(text + bytes, e->d_name, len);
        bytes += len;
        n++;
    }
    pawl_status s = errno ? io_error("list", path) : PAWL_OK;
    char **list = NULL;
    if (s == PAWL_OK) s = pawl_alloc((void **)&list, (size_t)(n + 1) * sizeof *list + bytes, "a list of files");
    if (s == PAWL_OK) {
        char *at = (char *)(list + n + 1);
        if (bytes) memcpy(at, text, bytes);
        for (int i = 0; i < n; i++, at += strlen(at) + 1) list[i] = at;
        qsort(list, (size_t)n, sizeof *list, compare_names);
        *names = list;
        *count = n;
    }
    pawl_free(text);
    return s;
}

pawl_status pawl_dir_list(const char *path, char ***names, int *count)
{
    DIR *dir = opendir(path);
    if (!dir) return io_error("list", path);
    pawl_status s = list_open_dir(dir, path, names, count);
    closedir(dir);
    return s;
}

pawl_status pawl_dir_remove(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0) return errno == ENOENT ? PAWL_OK : io_error("remove", path);
    if (!S_ISDIR(st.st_mode)) return pawl_file_remove(path);
    char **names;
    int count;
    PAWL_TRY(pawl_dir_list(path, &names, &count));
    pawl_status s = PAWL_OK;
    for (int i = 0; i < count && s == PAWL_OK; i++) {
        char child[PATH_MAX];
        s = pawl_path_join(child, sizeof child, path, names[i]);
        if (s == PAWL_OK) s = pawl_dir_remove(child);
    }
    pawl_free(names);
    if (s == PAWL_OK && pawl_fs_in_use->rmdir(path) < 0 && errno != ENOENT) s = io_error("remove", path);
    return s;
}

int pawl_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

int pawl_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

pawl_status pawl_file_size(const char *path, int64_t *bytes)
{
    struct stat st;
    if (stat(path, &st) < 0) return io_error("read", path);
    *bytes = (int64_t)st.st_size;
    return PAWL_OK;
}

pawl_status pawl_file_read(const char *path, size_t max_bytes, char **text, size_t *bytes)
{
    int fd;
    PAWL_TRY(pawl_file_open(path, O_RDONLY, &fd));
    pawl_status status = PAWL_OK;
    char *block = NULL;
    size_t used = 0, room = 0;
    for (;;) { /* to the end, not to a size asked for before: pipes and /proc have none */
        if (room - used < 65536) {
            room = 2 * room + 131072;
            PAWL_TRY_OUT(pawl_realloc((void **)&block, room + 1, path));
        }
        ssize_t n = pawl_fs_in_use->pread(fd, block + used, room - used, (off_t)used);
        if (n < 0 && errno == ESPIPE) n = read(fd, block + used, room - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) PAWL_TRY_OUT(io_error("read", path));
        if (n == 0) break;
        used += (size_t)n;
        if (used > max_bytes)
            PAWL_TRY_OUT(PAWL_FAIL(PAWL_EDATA, "%s is larger than %zu bytes, the most that is read here", path, max_bytes));
    }
    block[used] = 0;
    *text = block;
    *bytes = used;
    block = NULL;
out:
    pawl_free(block);
    pawl_file_close(fd);
    return status;
}

static pawl_status write_new(const char *path, const void *data, size_t bytes)
{
    int fd;
    PAWL_TRY(pawl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, &fd));
    pawl_status s = pawl_file_pwrite(fd, path, data, bytes, 0);
    if (s == PAWL_OK) s = pawl_file_sync(fd, path);
    pawl_status closed = pawl_file_close_written(fd, path);
    return s == PAWL_OK ? closed : s;
}

pawl_status pawl_file_replace(const char *path, const void *data, size_t bytes)
{
    char part[PATH_MAX], dir[PATH_MAX];
    int n = snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid());
    PAWL_CHECK(n > 0 && n < (int)sizeof part, PAWL_EUSAGE, "path too long: %s", path);
    memcpy(dir, path, strlen(path) + 1);
    char *slash = strrchr(dir, '/');
    if (slash) *(slash == dir ? slash + 1 : slash) = 0;
    pawl_status s = write_new(part, data, bytes);
    if (s == PAWL_OK) s = pawl_file_rename(part, path);
    if (s != PAWL_OK) {
        (void)pawl_fs_in_use->unlink(part); /* best effort: the error that counts is s */
        return s;
    }
    return pawl_dir_sync(slash ? dir : ".");
}

pawl_status pawl_path_join(char *out, size_t room, const char *dir, const char *name)
{
    int n = snprintf(out, room, "%s%s%s", dir, dir[0] && dir[strlen(dir) - 1] == '/' ? "" : "/", name);
    PAWL_CHECK(n >= 0 && (size_t)n < room, PAWL_EUSAGE, "path too long: %s/%s", dir, name);
    return PAWL_OK;
}

pawl_status pawl_file_map(const char *path, const void **data, size_t *bytes)
{
    int fd;
    PAWL_TRY(pawl_file_open(path, O_RDONLY, &fd));
    struct stat st;
    pawl_status s = PAWL_OK;
    void *p = NULL;
    if (fstat(fd, &st) < 0)
        s = io_error("read", path);
    else if (S_ISDIR(st.st_mode))
        s = PAWL_FAIL(PAWL_EDATA, "expected a file, found a folder: %s", path);
    else if (st.st_size > 0 && (p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        s = io_error("map", path);
    pawl_file_close(fd);
    if (s != PAWL_OK) return s;
    *data = p;
    *bytes = (size_t)st.st_size;
    return PAWL_OK;
}

void pawl_file_unmap(const void *data, size_t bytes)
{
    if (data) munmap((void *)(uintptr_t)data, bytes);
}

void pawl_file_let_go(const void *data, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)data / page * page;
    if (data && bytes) (void)madvise((void *)first, (uintptr_t)data + bytes - first, MADV_DONTNEED);
}
