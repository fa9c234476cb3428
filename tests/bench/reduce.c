/* The sum of a step's gradients: the fixed tree beside MPI's own all-reduce, in one run.
 *
 *     mpirun -n N reduce [MILLIONS_OF_NUMBERS ...]
 *
 * Prints for each size the median milliseconds of both (every rank has one lane, so all of the tree is between ranks). And
 * what could be hidden behind computing: a message of that many numbers to the next rank and one from the rank before, posted, then
 * as much computing as they take, with a look at them (MPI_Testall) after each of HOOKS slices of it as a backward pass could, then
 * the wait for what is left. Milliseconds of each alone, and of both together (decision 0012).
 * Sums are of the memory of the device of tests/on_device.h; between GPUs they go by NCCL (PAWL_TEST_NCCL: another library of it), or with
 * PAWL_TEST_TRANSPORT=host through the hosts. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/comm.h"
#include "comm/nccl.h"
#include "core/arena.h"
#include "core/log.h"
#include "tests/on_device.h"

enum { ROUNDS = 15, HOOKS = 60, PIECE = 1 << 18, PIECES = 1024 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static pawl_status median(pawl_comm *c, pawl_device *d, int kind, int64_t count, double *ms)
{
    pawl_reduction *r;
    double all[ROUNDS];
    float *room;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&room, (size_t)count * sizeof *room, "a gradient")));
    PAWL_TRY(pawl_agree(c, pawl_reduction_open(c, d, kind, c->size, count, NULL, &r)));
    for (int i = 0; i < ROUNDS; i++) {
        pawl_put put;
        float *sum;
        pawl_reduction_begin(r);
        float *there = pawl_reduction_lane(r, &put), *g = pawl_host_side(d, there, room);
        for (int64_t k = 0; k < count; k++) g[k] = 1e-3f * (float)(k % 97);
        PAWL_TRY(pawl_upload(d, there, g, (size_t)count * sizeof *g));
        PAWL_TRY(pawl_reduction_lane_done(r));
        PAWL_TRY(pawl_barrier(c));
        const double began = pawl_seconds();
        PAWL_TRY(pawl_reduction_end(r, &sum));
        PAWL_TRY(pawl_download(d, room, sum, sizeof *room)); /* a GPU is behind its host */
        PAWL_TRY(pawl_barrier(c));
        all[i] = 1e3 * (pawl_seconds() - began);
    }
    pawl_reduction_close(r);
    pawl_free(room);
    qsort(all, ROUNDS, sizeof *all, compare);
    *ms = all[ROUNDS / 2];
    return PAWL_OK;
}

static int post(pawl_comm *c, float *out, float *in, int64_t count, MPI_Request *requests)
{
    const MPI_Comm all = *(MPI_Comm *)c->handle;
    int n = 0;
    for (int64_t at = 0; at < count && n + 2 <= PIECES; at += PIECE) {
        const int length = (int)(count - at < PIECE ? count - at : PIECE);
        MPI_Irecv(in + at, length, MPI_FLOAT, (c->rank + c->size - 1) % c->size, 2, all, &requests[n++]);
        MPI_Isend(out + at, length, MPI_FLOAT, (c->rank + 1) % c->size, 2, all, &requests[n++]);
    }
    return n;
}

static volatile float sink;

static void compute(double seconds)
{
    const double end = pawl_seconds() + seconds;
    float x = 1;
    while (pawl_seconds() < end)
        for (int i = 0; i < 1000; i++) x = x * 0.999f + 0.001f;
    sink = x;
}

/* One exchange, with so many seconds of computing between posting and waiting. */
static pawl_status exchange(pawl_comm *c, float *out, float *in, int64_t count, double seconds, double *ms)
{
    MPI_Request requests[PIECES];
    int through;
    PAWL_TRY(pawl_barrier(c));
    const double began = pawl_seconds();
    const int n = post(c, out, in, count, requests);
    for (int i = 0; i < HOOKS && seconds > 0; i++) {
        compute(seconds / HOOKS);
        MPI_Testall(n, requests, &through, MPI_STATUSES_IGNORE);
    }
    MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    PAWL_TRY(pawl_barrier(c));
    *ms = 1e3 * (pawl_seconds() - began);
    return PAWL_OK;
}

static pawl_status overlap(pawl_comm *c, double millions)
{
    const int64_t count = (int64_t)(millions * 1e6);
    float *out, *in;
    double alone[ROUNDS], both[ROUNDS], ms;
    PAWL_TRY(pawl_alloc((void **)&out, (size_t)count * sizeof *out, "a message"));
    PAWL_TRY(pawl_alloc((void **)&in, (size_t)count * sizeof *in, "a message"));
    for (int i = 0; i < ROUNDS; i++) PAWL_TRY(exchange(c, out, in, count, 0, &alone[i]));
    qsort(alone, ROUNDS, sizeof *alone, compare);
    ms = alone[ROUNDS / 2];
    PAWL_TRY(pawl_bcast(c, &ms, sizeof ms, 0));
    for (int i = 0; i < ROUNDS; i++) PAWL_TRY(exchange(c, out, in, count, 1e-3 * ms, &both[i]));
    qsort(both, ROUNDS, sizeof *both, compare);
    if (c->rank == 0)
        printf("%d ranks, %g M numbers: exchange %.2f ms, computing %.2f ms, one behind the other %.2f ms, together %.2f ms\n", c->size,
               millions, ms, ms, 2 * ms, both[ROUNDS / 2]);
    pawl_free(out);
    pawl_free(in);
    return PAWL_OK;
}

static pawl_status measure(pawl_comm *c, double millions)
{
    const int64_t count = (int64_t)(millions * 1e6);
    pawl_device *d;
    double tree, fast;
    const char *transport = getenv("PAWL_TEST_TRANSPORT"), *nccl = getenv("PAWL_TEST_NCCL");
    if (nccl) pawl_nccl_library = nccl;
    PAWL_TRY(pawl_agree(c, open_tested_device(1, &d)));
    const pawl_comm_config how = {.transport = transport && strcmp(transport, "host") == 0 ? PAWL_TRANSPORT_HOST : PAWL_TRANSPORT_AUTO};
    PAWL_TRY(pawl_comm_connect(c, d, &how));
    PAWL_TRY(median(c, d, 0, count, &tree));
    PAWL_TRY(median(c, d, 1, count, &fast));
    if (c->rank == 0)
        printf("%d ranks, %g M numbers, %s: fixed tree %.2f ms, all-reduce %.2f ms, ratio %.2f\n", c->size, millions, pawl_comm_transport(c), tree, fast, tree / fast);
    pawl_comm_disconnect(c);
    pawl_device_close(d);
    return c->size > 1 ? overlap(c, millions) : PAWL_OK;
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
