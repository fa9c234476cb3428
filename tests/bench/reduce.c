/* The sum of a step's gradients: the fixed tree beside MPI's own all-reduce, in one run.
 *
 *     mpirun -n N reduce [MILLIONS_OF_NUMBERS ...]
 *
 * Prints for each size the median milliseconds of both (every rank has one lane, so all of the tree is between ranks). */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/comm.h"
#include "core/log.h"

enum { ROUNDS = 15 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static pawl_status median(pawl_comm *c, pawl_device *d, int kind, int64_t count, double *ms)
{
    pawl_reduction *r;
    double all[ROUNDS];
    PAWL_TRY(pawl_agree(c, pawl_reduction_open(c, d, kind, c->size, count, NULL, &r)));
    for (int i = 0; i < ROUNDS; i++) {
        pawl_put put;
        float *sum;
        pawl_reduction_begin(r);
        float *g = pawl_reduction_lane(r, &put);
        for (int64_t k = 0; k < count; k++) g[k] = 1e-3f * (float)(k % 97);
        PAWL_TRY(pawl_reduction_lane_done(r));
        PAWL_TRY(pawl_barrier(c));
        const double began = pawl_seconds();
        PAWL_TRY(pawl_reduction_end(r, &sum));
        PAWL_TRY(pawl_barrier(c));
        all[i] = 1e3 * (pawl_seconds() - began);
    }
    pawl_reduction_close(r);
    qsort(all, ROUNDS, sizeof *all, compare);
    *ms = all[ROUNDS / 2];
    return PAWL_OK;
}

static pawl_status measure(pawl_comm *c, double millions)
{
    const int64_t count = (int64_t)(millions * 1e6);
    pawl_device *d;
    double tree, fast;
    PAWL_TRY(pawl_device_open_cpu(1, "auto", &d));
    PAWL_TRY(median(c, d, 0, count, &tree));
    PAWL_TRY(median(c, d, 1, count, &fast));
    if (c->rank == 0)
        printf("%d ranks, %g M numbers: fixed tree %.2f ms, MPI_Allreduce %.2f ms, ratio %.2f\n", c->size, millions, tree, fast, tree / fast);
    pawl_device_close(d);
    return PAWL_OK;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"0.9", "2.8", "15", "50"};
    pawl_comm *c;
    int level;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    pawl_status s = pawl_comm_open(&c);
    const int given = argc - 1, count = given > 0 ? given : 4;
    for (int i = 0; i < count && s == PAWL_OK; i++) {
        double millions = 0;
        s = pawl_parse_f64(given > 0 ? argv[i + 1] : usual[i], &millions) ? measure(c, millions) : PAWL_FAIL(PAWL_EUSAGE, "expected numbers");
    }
    if (s != PAWL_OK) {
        pawl_show_error(pawl_last_error());
        MPI_Abort(MPI_COMM_WORLD, s);
    }
    pawl_comm_close(c);
    MPI_Finalize();
    return 0;
}
