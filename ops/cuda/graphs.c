/* Graphs that were captured, by what they were captured from. */
#include "ops/cuda/graphs.h"

#include <string.h>

#include "core/arena.h"
#include "core/log.h"

enum {
    RECORD_BYTES = 64 << 10, /* ops that are written down at a time */
    KEYS_BYTES = 32 << 20,   /* and all that graphs were captured from; pages that are not used are not there */
    SLOTS = 1 << 12,
    MOST = SLOTS * 3 / 4,
    SEEN = 1 << 13,
    FEWEST = 3 /* ops: fewer are launched as fast by themselves */
};

typedef struct captured {
    uint64_t hash;
    const char *key;
    size_t bytes; /* 0: the slot is free */
    cudaGraphExec_t graph;
} captured;

struct pawl_graphs {
    char *record, *keys;
    size_t used, keys_used;
    int ops, count, full, off;
    pawl_status late;     /* of what was issued where no status could be returned */
    pawl_drop told;       /* the rows of dropouts; tokens 0: none yet */
    uint64_t seen[SEEN];  /* hashes of what was issued once */
    captured slot[SLOTS]; /* found by their hash */
};

/* ---- what is written down ---- */

pawl_status pawl_graphs_record(pawl_cuda *c, size_t bytes, pawl_status (*issue)(pawl_device *d, const pawl_recorded *r),
                               void **out)
{
    pawl_graphs *g = c->graphs;
    const size_t size = (bytes + 7) / 8 * 8;
    PAWL_ASSERT(size <= RECORD_BYTES);
    if (g->used + size > RECORD_BYTES) PAWL_TRY(pawl_graphs_issue(c));
    pawl_recorded *r = (pawl_recorded *)(void *)(g->record + g->used);
    memset(r, 0, size);
    r->issue = issue;
    r->bytes = size;
    g->used += size;
    g->ops++;
    *out = r;
    return PAWL_OK;
}

int pawl_graphs_drops_rows(pawl_cuda *c, const pawl_drop *how)
{
    const pawl_drop before = c->graphs->told;
    c->graphs->told = *how;
    return before.tokens > 0 && before.seed == how->seed && before.first_row == how->first_row;
}

static pawl_status issue_each(pawl_cuda *c, size_t used)
{
    for (size_t at = 0; at < used;) {
        const pawl_recorded *r = (const pawl_recorded *)(const void *)(c->graphs->record + at);
        PAWL_TRY(r->issue(&c->device, r));
        at += r->bytes;
    }
    return PAWL_OK;
}

/* ---- what was captured ---- */

/* 8 bytes at a time, each mixed as in MurmurHash3's end. */
static uint64_t hash_of(const char *bytes, size_t count)
{
    uint64_t h = count;
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        h ^= word;
        h *= 0xff51afd7ed558ccdu;
        h ^= h >> 33;
    }
    return h;
}

static captured *slot_of(pawl_graphs *g, uint64_t hash, size_t bytes)
{
    size_t i = hash % SLOTS;
    while (g->slot[i].bytes) {
        const captured *s = &g->slot[i];
        if (s->hash == hash && s->bytes == bytes && memcmp(s->key, g->record, bytes) == 0) break;
        i = (i + 1) % SLOTS;
    }
    return &g->slot[i];
}

/* What comes once (a row of a length of its own) is not worth a graph. And the first time there are
 * plans of products to be made, and kernels to be loaded, which is not possible during a capture. */
static int comes_again(pawl_graphs *g, uint64_t hash)
{
    uint64_t *before = &g->seen[hash % SEEN];
    const int again = *before == hash;
    *before = hash;
    return again;
}

static int has_room(pawl_graphs *g, size_t bytes)
{
    const int room = g->count < MOST && g->keys_used + bytes <= KEYS_BYTES;
    if (!room && !g->full)
        pawl_log(PAWL_LOG_INFO, "CUDA graphs: %d are kept, what is new is launched op by op", g->count);
    g->full |= !room;
    return room;
}

static pawl_status capture(pawl_cuda *c, size_t used, cudaGraphExec_t *out)
{
    cudaGraph_t graph = NULL;
    PAWL_TRY(pawl_cuda_status(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal),
                              "cudaStreamBeginCapture"));
    pawl_status s = issue_each(c, used);
    const cudaError_t ended = cudaStreamEndCapture(c->stream, &graph);
    if (s == PAWL_OK) s = pawl_cuda_status(ended, "cudaStreamEndCapture");
    if (s == PAWL_OK) s = pawl_cuda_status(cudaGraphInstantiate(out, graph, 0), "cudaGraphInstantiate");
    if (graph) (void)cudaGraphDestroy(graph);
    return s;
}

static pawl_status launch(pawl_cuda *c, cudaGraphExec_t graph)
{
    return pawl_cuda_status(cudaGraphLaunch(graph, c->stream), "cudaGraphLaunch");
}

/* Nothing has been done when a capture fails: a run goes on without graphs. */
static pawl_status issue_new(pawl_cuda *c, captured *to, uint64_t hash, size_t used)
{
    pawl_graphs *g = c->graphs;
    cudaGraphExec_t graph;
    if (capture(c, used, &graph) != PAWL_OK) {
        (void)cudaGetLastError();
        g->off = 1;
        pawl_log(PAWL_LOG_WARN, "CUDA graphs are left out from here on: %s", pawl_last_error()->what);
        return issue_each(c, used);
    }
    char *key = g->keys + g->keys_used;
    memcpy(key, g->record, used);
    g->keys_used += used;
    g->count++;
    *to = (captured){hash, key, used, graph};
    return launch(c, graph);
}

static pawl_status issue(pawl_cuda *c, size_t used, int ops)
{
    pawl_graphs *g = c->graphs;
    if (ops < FEWEST || g->off) return issue_each(c, used);
    const uint64_t hash = hash_of(g->record, used);
    captured *s = slot_of(g, hash, used);
    if (s->bytes) return launch(c, s->graph);
    if (!comes_again(g, hash) || !has_room(g, used)) return issue_each(c, used);
    return issue_new(c, s, hash, used);
}

pawl_status pawl_graphs_issue(pawl_cuda *c)
{
    pawl_graphs *g = c->graphs;
    const size_t used = g->used;
    const int ops = g->ops;
    pawl_status s = g->late;
    g->used = 0;
    g->ops = 0;
    g->late = PAWL_OK;
    return s == PAWL_OK && used ? issue(c, used, ops) : s;
}

void pawl_graphs_issue_quietly(pawl_cuda *c)
{
    c->graphs->late = pawl_graphs_issue(c);
}

/* ---- on and off ---- */

/* What is still under way is waited for. */
void pawl_graphs_forget(pawl_cuda *c)
{
    pawl_graphs *g = c->graphs;
    if (!g) return;
    pawl_cuda_settle(c);
    for (int i = 0; i < SLOTS; i++)
        if (g->slot[i].bytes) (void)cudaGraphExecDestroy(g->slot[i].graph);
    memset(g->slot, 0, sizeof g->slot);
    memset(g->seen, 0, sizeof g->seen); /* plans that are gone are not made again during a capture */
    g->keys_used = 0;
    g->count = 0;
    g->full = 0;
}

void pawl_graphs_close(pawl_cuda *c)
{
    pawl_graphs *g = c->graphs;
    if (!g) return;
    pawl_graphs_forget(c);
    if (g->record) pawl_pages_give(g->record, RECORD_BYTES);
    if (g->keys) pawl_pages_give(g->keys, KEYS_BYTES);
    pawl_free(g);
    c->graphs = NULL;
}

pawl_status graphs_cuda(pawl_device *d, int on)
{
    pawl_cuda *c = pawl_cuda_of(d);
    pawl_status status;
    if (!on) pawl_graphs_close(c);
    if (!on || c->graphs) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&c->graphs, sizeof *c->graphs, "CUDA graphs"));
    PAWL_TRY_OUT(pawl_pages_take(RECORD_BYTES, "CUDA graphs", (void **)&c->graphs->record));
    PAWL_TRY_OUT(pawl_pages_take(KEYS_BYTES, "CUDA graphs", (void **)&c->graphs->keys));
    return PAWL_OK;
out:
    pawl_graphs_close(c);
    return status;
}

/* Not where another table stands in front (timed.c): its ops are timed one by one. */
pawl_status block_begin_cuda(pawl_device *d)
{
    const pawl_graphs *g = pawl_cuda_of(d)->graphs;
    if (g && !g->off && d->ops == &pawl_cuda_ops) d->ops = &pawl_recording_ops;
    return PAWL_OK;
}

pawl_status block_end_cuda(pawl_device *d)
{
    (void)d;
    return PAWL_OK;
}
