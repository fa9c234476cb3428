/* pawl, with an I/O table that takes its time over checkpoints and notes what it is doing, for tests that kill it.
 *
 * PAWL_NOTES is a folder: each process keeps a file there, named by its process id, with "operation path" while it is
 * inside an operation on a checkpoint and nothing otherwise. PAWL_SLOW_MS is how long such an operation waits first.
 * PAWL_FULL is a number of saves, for whose manifest there is no room on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/file.h"
#include "launch/launch.h"

enum { NOTE_BYTES = 512, FILES = 1024 };

static char *note;
static useconds_t wait_us;
static long full;
static char path_of[FILES][256]; /* by descriptor: which are checkpoint files */

static int is_save(const char *path)
{
    return path && strstr(path, "/checkpoints/") != NULL;
}

static void begin(const char *operation, const char *path)
{
    if (!is_save(path)) return;
    snprintf(note, NOTE_BYTES, "%s %s", operation, strstr(path, "checkpoints/"));
    usleep(wait_us);
}

static void end(void)
{
    note[0] = 0;
}

static const char *known(int fd)
{
    return fd >= 0 && fd < FILES ? path_of[fd] : NULL;
}

static int open_slow(const char *path, int flags, mode_t mode)
{
    const int fd = pawl_fs_posix.open(path, flags, mode);
    if (fd >= 0 && fd < FILES) snprintf(path_of[fd], sizeof path_of[fd], "%s", (flags & O_ACCMODE) == O_RDONLY ? "" : path);
    return fd;
}

static int close_slow(int fd)
{
    if (fd >= 0 && fd < FILES) path_of[fd][0] = 0;
    return pawl_fs_posix.close(fd);
}

static ssize_t pwrite_slow(int fd, const void *data, size_t bytes, off_t at)
{
    begin("pwrite", known(fd));
    if (full > 0 && known(fd) && strstr(known(fd), "manifest.json")) {
        full--;
        end();
        errno = ENOSPC;
        return -1;
    }
    const ssize_t n = pawl_fs_posix.pwrite(fd, data, bytes, at);
    end();
    return n;
}

static int fsync_slow(int fd)
{
    begin("fsync", known(fd));
    const int r = pawl_fs_posix.fsync(fd);
    end();
    return r;
}

static int rename_slow(const char *from, const char *to)
{
    begin("rename", from);
    const int r = pawl_fs_posix.rename(from, to);
    end();
    return r;
}

static int mkdir_slow(const char *path, mode_t mode)
{
    begin("mkdir", path);
    const int r = pawl_fs_posix.mkdir(path, mode);
    end();
    return r;
}

static int fallocate_slow(int fd, off_t bytes)
{
    begin("fallocate", known(fd));
    const int r = pawl_fs_posix.fallocate(fd, bytes);
    end();
    return r;
}

static void open_note(void)
{
    char path[600];
    const char *notes = getenv("PAWL_NOTES");
    snprintf(path, sizeof path, "%s/%ld", notes ? notes : "/tmp", (long)getpid());
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || ftruncate(fd, NOTE_BYTES) != 0) exit(1);
    note = mmap(NULL, NOTE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* outlives a kill -9 */
    if (note == MAP_FAILED) exit(1);
    close(fd);
    if (!notes) unlink(path);
}

int main(int argc, char **argv)
{
    static pawl_fs slow;
    const char *ms = getenv("PAWL_SLOW_MS"), *saves = getenv("PAWL_FULL");
    open_note();
    wait_us = (useconds_t)(ms ? strtol(ms, NULL, 10) * 1000 : 0);
    full = saves ? strtol(saves, NULL, 10) : 0;
    slow = pawl_fs_posix;
    slow.open = open_slow;
    slow.close = close_slow;
    slow.pwrite = pwrite_slow;
    slow.fsync = fsync_slow;
    slow.fallocate = fallocate_slow;
    slow.rename = rename_slow;
    slow.mkdir = mkdir_slow;
    pawl_fs_in_use = &slow;
    return pawl_main(argc, argv);
}
