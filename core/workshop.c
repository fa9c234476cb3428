#include "core/workshop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"

static int lock_now(int fd)
{
    return pawl_fs_in_use->flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Differs between processes, machines and moments. */
static void unique_name(char out[17])
{
    struct {
        char host[64];
        long pid;
        struct timespec now;
    } who;
    memset(&who, 0, sizeof who);
    (void)gethostname(who.host, sizeof who.host - 1);
    who.pid = (long)getpid();
    clock_gettime(CLOCK_REALTIME, &who.now);
    memcpy(out, pawl_digest_hex(pawl_sha256(&who, sizeof who)).text, 16);
    out[16] = 0;
}

/* Somebody who sweeps may take the folder for a dead one before it is locked: then try again. */
pawl_status pawl_workshop_open(const char *entry, pawl_workshop *w)
{
    for (int attempt = 0; attempt < 8; attempt++) {
        char unique[17];
        unique_name(unique);
        const int n = snprintf(w->path, sizeof w->path, "%s.%s.part", entry, unique);
        PAWL_CHECK(n > 0 && n < (int)sizeof w->path, PAWL_EUSAGE, "path too long: %s", entry);
        if (pawl_fs_in_use->mkdir(w->path, 0777) < 0)
            return PAWL_FAIL(PAWL_EIO, "cannot make folder %s: %s", w->path, strerror(errno));
        if (pawl_file_open(w->path, O_RDONLY | O_DIRECTORY, &w->fd) != PAWL_OK) continue;
        const int locked = lock_now(w->fd) || errno != EWOULDBLOCK; /* where there are no locks, nobody sweeps either */
        if (locked && pawl_path_is_dir(w->path)) return PAWL_OK;
        pawl_file_close(w->fd);
    }
    return PAWL_FAIL(PAWL_EIO, "cannot make a folder of its own beside %s: something removes it again and again",
                     entry);
}

pawl_status pawl_workshop_publish(const pawl_workshop *w, const char *entry)
{
    char folder[PATH_MAX];
    PAWL_TRY(pawl_dir_sync(w->path));
    PAWL_TRY(pawl_file_rename(w->path, entry));
    snprintf(folder, sizeof folder, "%s", entry);
    char *slash = strrchr(folder, '/');
    if (slash) *(slash == folder ? slash + 1 : slash) = 0;
    return pawl_dir_sync(slash ? folder : ".");
}

void pawl_workshop_close(pawl_workshop *w)
{
    if (pawl_dir_remove(w->path) != PAWL_OK) pawl_log(PAWL_LOG_WARN, "%s", pawl_last_error()->what);
    pawl_file_close(w->fd);
}

static void sweep_one(const char *path)
{
    int fd;
    if (pawl_file_open(path, O_RDONLY | O_DIRECTORY, &fd) != PAWL_OK) return;
    if (lock_now(fd) && pawl_dir_remove(path) == PAWL_OK)
        pawl_log(PAWL_LOG_INFO, "removed %s, left by a job that died", path);
    pawl_file_close(fd);
}

void pawl_workshop_sweep(const char *folder, const char *key)
{
    char **names, path[PATH_MAX];
    int count;
    if (pawl_dir_list(folder, &names, &count) != PAWL_OK) return;
    for (int i = 0; i < count; i++) {
        const size_t n = strlen(names[i]), k = strlen(key);
        const int ours = strncmp(names[i], key, k) == 0 && names[i][k] == '.' && n > 5;
        if (!ours || strcmp(names[i] + n - 5, ".part") != 0) continue;
        if (pawl_path_join(path, sizeof path, folder, names[i]) == PAWL_OK) sweep_one(path);
    }
    pawl_free(names);
}
