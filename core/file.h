/* core/file.h - all file I/O of pawl goes through one small table of functions, so that faults can be injected.
 *
 * The functions below it add what POSIX leaves to the caller: short reads and writes, EINTR, and an error that names the
 * path and the cause. */
#ifndef PAWL_CORE_FILE_H
#define PAWL_CORE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* POSIX calls with POSIX meaning: -1 and errno on failure. A test installs its own that fail, delay or count. */
typedef struct pawl_fs {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *data, size_t bytes, off_t at);
    ssize_t (*pwrite)(int fd, const void *data, size_t bytes, off_t at);
    int (*fsync)(int fd);
    int (*fallocate)(int fd, off_t bytes); /* reserves [0, bytes) and makes the file that long */
    int (*ftruncate)(int fd, off_t bytes);
    int (*rename)(const char *from, const char *to);
    int (*mkdir)(const char *path, mode_t mode);
    int (*unlink)(const char *path);
    int (*rmdir)(const char *path);
    int (*flock)(int fd, int operation);
} pawl_fs;

extern const pawl_fs pawl_fs_posix;
/* The table in use; starts as pawl_fs_posix. */
extern const pawl_fs *pawl_fs_in_use;

/* Each names the path and the cause. Errors: EIO; EDATA where said. */
PAWL_MUST pawl_status pawl_file_open(const char *path, int flags, int *fd);
void pawl_file_close(int fd); /* for files that were read; writers check pawl_file_close_written */
PAWL_MUST pawl_status pawl_file_close_written(int fd, const char *path);
/* Exactly bytes, or an error: EDATA when the file ends before. */
PAWL_MUST pawl_status pawl_file_pread(int fd, const char *path, void *data, size_t bytes, int64_t at);
PAWL_MUST pawl_status pawl_file_pwrite(int fd, const char *path, const void *data, size_t bytes, int64_t at);
/* Takes room for [0, bytes) now, so that a later write does not find the disk full; the file becomes that long. */
PAWL_MUST pawl_status pawl_file_reserve(int fd, const char *path, int64_t bytes);
PAWL_MUST pawl_status pawl_file_sync(int fd, const char *path);
PAWL_MUST pawl_status pawl_dir_sync(const char *path);
PAWL_MUST pawl_status pawl_file_rename(const char *from, const char *to);
PAWL_MUST pawl_status pawl_file_remove(const char *path); /* it is no error if there is none */
PAWL_MUST pawl_status pawl_dir_make(const char *path);    /* with its parents; it is no error if it is there */
PAWL_MUST pawl_status pawl_dir_remove(const char *path);  /* with all that is in it; no error if there is none */

int pawl_path_exists(const char *path);
int pawl_path_is_dir(const char *path);
PAWL_MUST pawl_status pawl_file_size(const char *path, int64_t *bytes);

/* The whole file as bytes with a NUL behind them; pawl_free it. Errors: EIO; EDATA when it is longer than max_bytes. */
PAWL_MUST pawl_status pawl_file_read(const char *path, size_t max_bytes, char **text, size_t *bytes);
/* Makes path hold exactly these bytes, or what it held before: temporary file, fsync, rename, fsync of the folder. */
PAWL_MUST pawl_status pawl_file_replace(const char *path, const void *data, size_t bytes);

/* Names in a folder, sorted by bytes, without . and .. ; one block, pawl_free it. */
PAWL_MUST pawl_status pawl_dir_list(const char *path, char ***names, int *count);

/* dir/name into out. Errors: EUSAGE when it is longer than room. */
PAWL_MUST pawl_status pawl_path_join(char *out, size_t room, const char *dir, const char *name);

/* A whole file mapped for reading; bytes 0 gives data NULL. The mapping outlives the descriptor. */
PAWL_MUST pawl_status pawl_file_map(const char *path, const void **data, size_t *bytes);
void pawl_file_unmap(const void *data, size_t bytes);
/* Takes a part of a mapped file out of this process' memory; it is read again when it is looked at again. */
void pawl_file_let_go(const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
