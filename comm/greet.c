/* The first message between two GPUs makes their connection: seconds, and room on both. So all of them exchange one number at the
 * start, where there is time for it, and what connections take is there before a run looks at its memory. */
#include "comm/nccl.h"
#include "core/arena.h"

typedef struct greeting {
    pawl_comm *c;
    pawl_device *d;
    float *mine, *theirs; /* of the device: [1], [ranks] */
    float *told;          /* [ranks + 1]: what came, and the sum */
} greeting;

static size_t bytes_of(const greeting *g)
{
    return (size_t)(g->c->size + 1) * sizeof(float);
}

static float word_of(int rank)
{
    return (float)(rank % 4096 + 1); /* sums of it are exact */
}

static pawl_status take(greeting *g)
{
    const float mine = word_of(g->c->rank);
    PAWL_TRY(pawl_alloc((void **)&g->told, bytes_of(g), "the first messages"));
    PAWL_TRY(pawl_device_take(g->d, PAWL_ON_DEVICE, bytes_of(g), "the first messages", (void **)&g->mine));
    g->theirs = g->mine + 1;
    return pawl_upload(g->d, g->mine, &mine, sizeof mine);
}

static void give(greeting *g)
{
    if (g->mine) pawl_device_give(g->d, PAWL_ON_DEVICE, g->mine, bytes_of(g));
    pawl_free(g->told);
}

/* Between all pairs, as the tree and its shares go; sums have connections of their own. */
static pawl_status exchange(greeting *g, int sums)
{
    pawl_nccl *n = g->c->gpus;
    PAWL_TRY(pawl_nccl_begin(n));
    for (int peer = 0; peer < g->c->size; peer++) {
        if (peer == g->c->rank) continue;
        PAWL_TRY(pawl_nccl_receive(n, g->theirs + peer, 1, peer));
        PAWL_TRY(pawl_nccl_send(n, g->mine, 1, peer));
    }
    PAWL_TRY(pawl_nccl_end(n));
    if (sums) PAWL_TRY(pawl_nccl_sum(n, g->mine, 1));
    PAWL_TRY(pawl_download(g->d, g->told, g->mine, bytes_of(g)));
    return pawl_nccl_healthy(n);
}

/* Where memory is read past what the machine lets GPUs read of each other, other numbers come, and no error. */
static pawl_status look(const greeting *g, int sums)
{
    float sum = 0;
    for (int rank = 0; rank < g->c->size; rank++) {
        const float told = g->told[1 + rank];
        sum += word_of(rank);
        if (rank == g->c->rank || told == word_of(rank)) continue;
        return PAWL_FAIL(PAWL_EUSAGE,
                         "the GPU of rank %d sent %g and rank %d's got %g: GPUs here do not reach each other's memory (an IOMMU or PCIe access "
                         "control may be in the way; NCCL_P2P_DISABLE=1 goes around it)", rank, (double)word_of(rank), g->c->rank, (double)told);
    }
    PAWL_CHECK(!sums || g->told[0] == sum, PAWL_EUSAGE, "NCCL's sum over all ranks is %g on rank %d, expected %g", (double)g->told[0], g->c->rank, (double)sum);
    return PAWL_OK;
}

static pawl_status greet(greeting *g, int sums)
{
    PAWL_TRY(pawl_agree(g->c, take(g)));
    const pawl_status s = exchange(g, sums);
    if (s == PAWL_ECOMM) return PAWL_FAIL(s, "the ranks' GPUs could not be connected: %s; `transport: host` goes without", pawl_last_error()->what);
    return pawl_agree(g->c, s == PAWL_OK ? look(g, sums) : s);
}

pawl_status pawl_nccl_greet(pawl_comm *c, pawl_device *d, const pawl_comm_config *how)
{
    enum { FAST = 1 };
    greeting g = {.c = c, .d = d};
    const char *what;
    double limit;
    (void)pawl_watch_left(&limit, &what);
    pawl_watch("connecting the ranks' GPUs", (double)how->phase_seconds);
    const pawl_status s = greet(&g, how->reduction == FAST);
    give(&g);
    pawl_watch(what, limit);
    return s;
}
