/* tests/check.h - a harness for tests in which ranks take part (cmocka's longjmp must not take one rank out of a
 * collective). A check that fails is counted and the test goes on; the ranks' counts are summed at the end. */
#ifndef PAWL_TESTS_CHECK_H
#define PAWL_TESTS_CHECK_H

#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "comm/comm.h"

typedef struct check {
    const char *name;
    void (*run)(pawl_comm *c);
} check;

static int check_failures_;

#define CHECK(cond)                                                                                       \
    do {                                                                                                  \
        if (!(cond)) {                                                                                    \
            check_failures_++;                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold (last error: %s)\n", __FILE__, __LINE__, #cond,      \
                    pawl_last_error()->what);                                                             \
        }                                                                                                 \
    } while (0)
#define CHECK_OK(call) CHECK((call) == PAWL_OK)
#define CHECK_NEAR(x, y, tolerance)                                                                       \
    do {                                                                                                  \
        const double x_ = (x), y_ = (y);                                                                  \
        if (!(x_ - y_ <= (tolerance) && y_ - x_ <= (tolerance))) {                                        \
            check_failures_++;                                                                            \
            fprintf(stderr, "%s:%d: %s = %.9g, expected %.9g\n", __FILE__, __LINE__, #x, x_, y_);         \
        }                                                                                                 \
    } while (0)

/* Runs the checks whose name contains argv[1] (all without one); prints `N passed, N failed` on rank 0. */
static inline int check_main(int argc, char **argv, const check *list)
{
    int passed = 0, failed = 0, level;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    pawl_comm *c;
    if (pawl_comm_open(&c) != PAWL_OK) MPI_Abort(MPI_COMM_WORLD, 1);
    for (; list->name; list++) {
        if (argc > 1 && !strstr(list->name, argv[1])) continue;
        int mine, all = 0;
        check_failures_ = 0;
        list->run(c);
        mine = check_failures_;
        MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
        if (all) failed++;
        else passed++;
        if (c->rank == 0) printf("%s %s\n", all ? "FAILED" : "ok    ", list->name);
    }
    if (c->rank == 0) printf("%d passed, %d failed\n", passed, failed);
    pawl_comm_close(c);
    MPI_Finalize();
    return failed ? 1 : 0;
}

#endif
