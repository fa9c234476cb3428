/* tests/faulty_fs.h - a table of file functions (core/file.h) that fails, shortens, delays, counts and tells on demand.
 */
#ifndef PAWL_TESTS_FAULTY_FS_H
#define PAWL_TESTS_FAULTY_FS_H

typedef struct faulty_plan {
    const char *op;   /* the calls that count, by the name of their member in pawl_fs ("pwrite"); NULL: all */
    const char *path; /* and whose path contains this; NULL: all */
    long nth;         /* the one that is hit, from 1; 0: none */
    int error;     /* it fails with this errno; 0: it reads or writes half of what it was asked to, and is counted on */
    int forever;   /* 1: so do all that follow */
    int no_sync;   /* 1: fsync does nothing (a test that does not cut the power has no use for it) */
    long delay_us; /* every call that counts takes that much longer */
    /* Told of every call, before it happens, from the thread that makes it. */
    void (*seen)(const char *op, const char *path, void *self);
    void *self;
} faulty_plan;

/* From now on; the plan is copied, its strings are not. */
void faulty_fs_install(const faulty_plan *plan);
/* Back to POSIX. Returns how many calls were hit since the plan was installed. */
long faulty_fs_remove(void);
/* Calls that counted since the plan was installed. */
long faulty_fs_calls(void);

#endif
