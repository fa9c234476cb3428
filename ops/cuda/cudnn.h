/* ops/cuda/cudnn.h - private to ops/cuda: cuDNN's graphs in plain C, and those of attention.
 *
 * A graph is built of operations on tensors that are described, not there; cuDNN knows patterns of operations, and computes one by a
 * single kernel. Which kernel is asked of its heuristics, for the GPU of a handle, or for one that is only described: so tests
 * ask for GPUs that are not there. What cuDNN does not know is no error: the answer is that there is no plan. */
#ifndef PAWL_OPS_CUDA_CUDNN_H
#define PAWL_OPS_CUDA_CUDNN_H

#include "core/status.h"
#include "ops/cuda/cudnn_abi.h"
#include "ops/cuda/cudnn_cut.h"

typedef struct pawl_cudnn {
#define PAWL_CUDNN_MEMBER(name, type, parameters) type(*name) parameters;
    PAWL_CUDNN_CALLS(PAWL_CUDNN_MEMBER)
#undef PAWL_CUDNN_MEMBER
    void *handle;                    /* of the current GPU, ... */
    pawl_cudnn_descriptor described; /* ... or a GPU in words */
} pawl_cudnn;

/* Loads the library and opens it for the current GPU and that stream. Errors: EUSAGE where it cannot be loaded or is too old; EBUG. */
PAWL_MUST pawl_status pawl_cudnn_open(const char *library, void *stream, pawl_cudnn *out);
/* The same for a GPU that is described in JSON (cuDNN's device properties): plans can be asked for there, not run. */
PAWL_MUST pawl_status pawl_cudnn_open_described(const char *library, const char *json, pawl_cudnn *out);
void pawl_cudnn_close(pawl_cudnn *c);
/* "cudnn 9.19.0" */
void pawl_cudnn_describe(const pawl_cudnn *c, char *out, size_t room);

/* ---- graphs (cudnn.c) ---- */

enum { PAWL_CUDNN_OPS = 48, PAWL_CUDNN_HELD = 192 };

/* Under construction. Calls that build go on after a failure and do nothing: `status` is looked at once, at the end. */
typedef struct pawl_graph {
    const pawl_cudnn *lib;
    pawl_status status;
    int unsupported; /* cuDNN has said that it does not know this */
    int64_t virtuals;
    pawl_cudnn_descriptor held[PAWL_CUDNN_HELD], ops[PAWL_CUDNN_OPS], whole;
    int held_count, op_count;
} pawl_graph;

/* Four dimensions: of batch, head, row, column. */
typedef struct pawl_extent {
    int64_t dim[4], stride[4];
} pawl_extent;

/* In memory at execution, under an id; ragged: the tensor of offsets (numbers) of each batch, NULL for none. */
pawl_cudnn_descriptor pawl_graph_real(pawl_graph *g, int64_t id, int type, const pawl_extent *e, pawl_cudnn_descriptor ragged);
/* One number in the host's memory at execution. */
pawl_cudnn_descriptor pawl_graph_scalar(pawl_graph *g, int64_t id, int type);
/* Never in memory; ragged as that of the real tensor that it is made of. */
pawl_cudnn_descriptor pawl_graph_virtual(pawl_graph *g, int type, const pawl_extent *e, pawl_cudnn_descriptor ragged);
/* to = mode(x, b), b and select NULL where the mode has none: the result of BINARY_SELECT is x where select holds, else b. precision: the
 * type it is computed in. */
void pawl_graph_pointwise(pawl_graph *g, int mode, int precision, pawl_cudnn_descriptor x, pawl_cudnn_descriptor b,
                          pawl_cudnn_descriptor select, pawl_cudnn_descriptor to);
/* to = the index along that dimension, over x's extent. */
void pawl_graph_index(pawl_graph *g, int64_t axis, int precision, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to);
/* to = a b in f32, in the last two dimensions; b's heads are shared by so many of a's as there are more. m, n, k: how many rows,
 * columns and products count in each batch; NULL: all. */
void pawl_graph_product(pawl_graph *g, pawl_cudnn_descriptor a, pawl_cudnn_descriptor b, pawl_cudnn_descriptor m,
                        pawl_cudnn_descriptor n, pawl_cudnn_descriptor k, pawl_cudnn_descriptor to);
/* to = x reduced over every dimension that is shorter there. */
void pawl_graph_reduce(pawl_graph *g, int op, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to);
/* to = x with its last two dimensions exchanged. */
void pawl_graph_turn(pawl_graph *g, pawl_cudnn_descriptor x, pawl_cudnn_descriptor to);
void pawl_graph_close(pawl_graph *g);

/* What computes a graph. */
typedef struct pawl_graph_plan {
    pawl_cudnn_descriptor plan; /* NULL: there is none */
    int64_t workspace_bytes;    /* beside the arrays of real tensors */
} pawl_graph_plan;

/* How many ways of computing the graph cuDNN proposes that add in a fixed order; 0: none. bytes: the most workspace that one of them
 * says it needs. Errors: EBUG. */
PAWL_MUST pawl_status pawl_graph_ways(pawl_graph *g, int *count, int64_t *bytes);
/* The first of them that can be made into a plan; takes a second or so. Errors: as pawl_graph_ways. */
PAWL_MUST pawl_status pawl_graph_make(pawl_graph *g, pawl_graph_plan *out);
void pawl_plan_close(const pawl_cudnn *c, pawl_graph_plan *p);
/* On the handle's stream. ids, at: real tensors and scalars. */
PAWL_MUST pawl_status pawl_plan_run(const pawl_cudnn *c, const pawl_graph_plan *p, int count, const int64_t *ids, void *const *at, void *workspace);

/* ---- attention (cudnn_graph.c) ---- */

/* Tensors of attention: their ids. */
enum {
    PAWL_SDPA_Q = 1,
    PAWL_SDPA_K,
    PAWL_SDPA_V,
    PAWL_SDPA_OUT,
    PAWL_SDPA_STATS, /* f32, log of the sum of exponentials; rows: [sequence, head, token]; packed: [N, all_heads] */
    PAWL_SDPA_DOUT,
    PAWL_SDPA_DQ,
    PAWL_SDPA_DK,
    PAWL_SDPA_DV,
    PAWL_SDPA_SUMS,   /* backward, scratch: f32 [sequences, heads, tokens] */
    PAWL_SDPA_SCALE,  /* scalars: f32; */
    PAWL_SDPA_LOWEST, /* minus infinity; */
    PAWL_SDPA_ONE,
    PAWL_SDPA_WINDOW,
    PAWL_SDPA_LENGTHS, /* packed: i32 [sequences]; ... */
    PAWL_SDPA_QKV_AT,  /* ... and where each begins, in numbers, i32 [sequences + 1]: in qkv, ... */
    PAWL_SDPA_OUT_AT,  /* ... in out, ... */
    PAWL_SDPA_STATS_AT, /* ... in stats */
    PAWL_SDPA_IDS
};

/* The graph of a call: softmax(scale q k^T) v under the mask, or its gradients. g is closed by the caller, also after an error. */
void pawl_sdpa_build(const pawl_cudnn *c, const pawl_sdpa *s, pawl_graph *g);

#endif
