/* Runs: ranks 1 2 3 */
/* NCCL behind comm/: messages and sums of the devices' memory, on the stand-ins; what is broken is said. */
#include <stdlib.h>

#include "comm/nccl.h"
#include "tests/check.h"

static const pawl_cuda_place standin = {.library = PAWL_STANDIN};

enum { COUNT = 3001 };

static float value(int rank, int i)
{
    return (float)(rank * 10000 + i);
}

typedef struct ends {
    pawl_device *d;
    pawl_nccl *n;
    float *here, *there; /* of the device: [COUNT], [ranks][COUNT] */
    size_t bytes;
} ends;

static ends open_ends(pawl_comm *c)
{
    ends e = {.bytes = COUNT * sizeof(float) * (size_t)c->size};
    float mine[COUNT];
    void *block;
    pawl_nccl_library = PAWL_STANDIN;
    for (int i = 0; i < COUNT; i++) mine[i] = value(c->rank, i);
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &e.d));
    CHECK_OK(pawl_nccl_open(c, e.d, &e.n));
    CHECK_OK(pawl_device_take(e.d, PAWL_ON_DEVICE, sizeof mine, "a test", &block));
    e.here = block;
    CHECK_OK(pawl_device_take(e.d, PAWL_ON_DEVICE, e.bytes, "a test", &block));
    e.there = block;
    CHECK_OK(pawl_upload(e.d, e.here, mine, sizeof mine));
    return e;
}

static void close_ends(ends *e)
{
    pawl_nccl_close(e->n);
    pawl_device_give(e->d, PAWL_ON_DEVICE, e->here, COUNT * sizeof(float));
    pawl_device_give(e->d, PAWL_ON_DEVICE, e->there, e->bytes);
    pawl_device_close(e->d);
}

static pawl_status swap(pawl_comm *c, const ends *e)
{
    PAWL_TRY(pawl_nccl_begin(e->n));
    for (int peer = 0; peer < c->size; peer++) {
        if (peer == c->rank) continue;
        PAWL_TRY(pawl_nccl_receive(e->n, e->there + (int64_t)peer * COUNT, COUNT, peer));
        PAWL_TRY(pawl_nccl_send(e->n, e->here, COUNT, peer));
    }
    return pawl_nccl_end(e->n);
}

/* What is sent is what ops made before, and ops after read what has come. */
static void messages_are_in_order_with_ops(pawl_comm *c)
{
    ends e = open_ends(c);
    float *got = malloc(e.bytes);
    int wrong = 0;
    CHECK_OK(pawl_scale(e.d, (pawl_tensor){.data = e.here, .ndim = 1, .dim = {COUNT}}, 2));
    CHECK_OK(swap(c, &e));
    CHECK_OK(pawl_scale(e.d, (pawl_tensor){.data = e.there, .ndim = 1, .dim = {COUNT * c->size}}, 0.5f));
    CHECK_OK(pawl_zero(e.d, e.here, COUNT)); /* sent already */
    CHECK_OK(pawl_download(e.d, got, e.there, e.bytes));
    for (int peer = 0; peer < c->size; peer++)
        for (int i = 0; i < COUNT && peer != c->rank; i++) wrong += got[peer * COUNT + i] != value(peer, i);
    CHECK(wrong == 0);
    free(got);
    close_ends(&e);
}

static void sums_are_of_all_ranks(pawl_comm *c)
{
    ends e = open_ends(c);
    float got[COUNT];
    int wrong = 0;
    CHECK_OK(pawl_nccl_sum(e.n, e.here, COUNT));
    CHECK_OK(pawl_download(e.d, got, e.here, sizeof got));
    for (int i = 0; i < COUNT; i++) wrong += got[i] != (float)(10000 * c->size * (c->size - 1) / 2 + i * c->size);
    CHECK(wrong == 0);
    close_ends(&e);
}

/* A link of rank 1 breaks after one group: that rank says so at its next, before it waits for any. */
static void a_broken_link_is_said(pawl_comm *c)
{
    if (c->size < 2) return;
    setenv("PAWL_STANDIN_NCCL_FAIL", "0", 1);
    ends e = open_ends(c);
    unsetenv("PAWL_STANDIN_NCCL_FAIL");
    CHECK_OK(pawl_agree(c, swap(c, &e)));
    if (c->rank == 1) CHECK(swap(c, &e) == PAWL_ECOMM && strstr(pawl_last_error()->what, "network error"));
    close_ends(&e);
}

/* All pairs exchange a number when they are connected. Where others come, ranks go by way of their hosts, or say so. */
static void connections_are_tried_at_the_start(pawl_comm *c)
{
    pawl_device *d;
    pawl_nccl_library = PAWL_STANDIN;
    if (c->size < 2) return;
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &d));
    for (int reduction = 0; reduction < 2; reduction++) {
        pawl_comm_config how = {.transport = PAWL_TRANSPORT_NCCL, .reduction = reduction, .phase_seconds = 60};
        CHECK_OK(pawl_comm_connect(c, d, &how));
        CHECK(c->gpus != NULL);
        pawl_comm_disconnect(c);
        setenv("PAWL_STANDIN_NCCL_WRONG", "1", 1);
        CHECK(pawl_comm_connect(c, d, &how) == PAWL_EUSAGE && strstr(pawl_last_error()->what, "the GPU of rank 1 sent 2 and rank 0's got 0"));
        CHECK(!c->gpus);
        how.transport = PAWL_TRANSPORT_AUTO;
        CHECK_OK(pawl_comm_connect(c, d, &how));
        CHECK(!c->gpus);
        unsetenv("PAWL_STANDIN_NCCL_WRONG");
    }
    pawl_device_close(d);
}

static void a_library_that_lacks_is_refused(pawl_comm *c)
{
    pawl_device *d;
    pawl_nccl *n;
    CHECK_OK(pawl_device_open_cuda(&standin, 0, &d));
    pawl_nccl_library = "libno-such-nccl.so.2";
    CHECK(pawl_nccl_open(c, d, &n) == PAWL_EUSAGE && strstr(pawl_last_error()->what, "libno-such-nccl.so.2"));
    pawl_nccl_library = "libm.so.6";
    CHECK(pawl_nccl_open(c, d, &n) == PAWL_EUSAGE && strstr(pawl_last_error()->what, "ncclGetVersion"));
    pawl_device_close(d);
}

int main(int argc, char **argv)
{
    return check_main(argc, argv, (const check[]){
        {"nccl/messages_are_in_order_with_ops", messages_are_in_order_with_ops},
        {"nccl/sums_are_of_all_ranks", sums_are_of_all_ranks},
        {"nccl/a_broken_link_is_said", a_broken_link_is_said},
        {"nccl/connections_are_tried_at_the_start", connections_are_tried_at_the_start},
        {"nccl/a_library_that_lacks_is_refused", a_library_that_lacks_is_refused},
        {0}});
}
