#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoints/checkpoints.h"
#include "core/file.h"

/* Who has the lock, as it wrote of itself. */
static void read_holder(int fd, char *out, size_t room)
{
    const ssize_t n = pawl_fs_in_use->pread(fd, out, room - 1, 0);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ') *p = '?';
}

static pawl_status write_holder(int fd, const char *path)
{
    char host[256] = "", line[320];
    if (gethostname(host, sizeof host - 1) < 0) host[0] = 0;
    const int n = snprintf(line, sizeof line, "process %ld on %s\n", (long)getpid(), host);
    int failed;
    do failed = pawl_fs_in_use->ftruncate(fd, 0) < 0;
    while (failed && errno == EINTR);
    PAWL_CHECK(!failed, PAWL_EIO, "cannot write %s: %s", path, strerror(errno));
    return pawl_file_pwrite(fd, path, line, (size_t)n, 0);
}

static pawl_status take(int fd, const char *path, const char *output_dir)
{
    char holder[320];
    int failed;
    do failed = pawl_fs_in_use->flock(fd, LOCK_EX | LOCK_NB) < 0;
    while (failed && errno == EINTR);
    if (!failed) return write_holder(fd, path);
    PAWL_CHECK(errno == EWOULDBLOCK, PAWL_EIO, "cannot lock %s: %s", path, strerror(errno));
    read_holder(fd, holder, sizeof holder);
    return PAWL_FAIL(PAWL_EUSAGE, "output_dir %s is in use by %s; wait for it, stop it, or choose another output_dir",
                     output_dir, holder[0] ? holder : "another job");
}

pawl_status pawl_lock_open(const char *output_dir, int *lock)
{
    char path[PATH_MAX];
    int fd;
    PAWL_TRY(pawl_dir_make(output_dir));
    PAWL_TRY(pawl_path_join(path, sizeof path, output_dir, ".lock"));
    PAWL_TRY(pawl_file_open(path, O_RDWR | O_CREAT, &fd));
    pawl_status s = take(fd, path, output_dir);
    if (s == PAWL_OK)
        *lock = fd;
    else
        pawl_file_close(fd);
    return s;
}

void pawl_lock_close(int lock)
{
    pawl_file_close(lock);
}
