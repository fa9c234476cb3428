/* model/pass.h - private to model/: what the forward and the backward half of a pass over one slot share. */
#ifndef PAWL_MODEL_PASS_H
#define PAWL_MODEL_PASS_H

#include "core/span.h"
#include "model/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The part that is in use below, in, or above the blocks, and where its numbers lie meanwhile. */
typedef struct held {
    int64_t part, first;
    pawl_part_place place;
} held;
enum { BELOW, BLOCK, ABOVE, HELD };

typedef struct pass {
    const pawl_model *m;
    pawl_device *d;
    pawl_activations *x;
    const pawl_batch *b; /* the host's; where ops read and write it and what belongs to it, since pass_take_up: */
    pawl_batch at;
    pawl_trained trained;
    float *losses;
    pawl_noise noise;
    pawl_head_extra extra;
    pawl_soft soft; /* what of extra is not the caller's own */
    pawl_top top;
    pawl_labels labels;
    const pawl_pass *how;
    int learns; /* goes backward, too */
    int64_t N;
    pawl_tensor ids, positions, turns; /* turns: each position's row of the rotary tables */
    const int32_t *bounds; /* of documents, where memory is apart, else NULL; their number and the longest's length */
    int64_t documents, longest;
    pawl_attend attend;                /* but for window and scale, which are a layer's own */
    held held[HELD];
    pawl_adapting adapting; /* over NULL: all weights are trained */
} pass;

/* What the host hands in, to where ops read it; and back what ops have made of it (transit.c). */
PAWL_MUST pawl_status pass_take_up(pass *p);
PAWL_MUST pawl_status pass_bring_back(const pass *p);
/* Sets bad[row] where the gradient of a row's embeddings is not finite, when the host cannot read it. */
PAWL_MUST pawl_status pass_finite_gradients(const pass *p, int32_t *bad);
/* Each position's row of the rotary tables, with two sets of them. */
void pass_choose_turns(const pass *p, int32_t *turns);

/* Around every use of a part's weights and gradients (parts.c). */
PAWL_MUST pawl_status pass_need(pass *p, int64_t part);
PAWL_MUST pawl_status pass_done(pass *p, int64_t part);
PAWL_MUST pawl_status pass_want(pass *p, int64_t part);
PAWL_MUST pawl_status pass_ready(pass *p, int64_t part);
/* Which part is needed next; above: after `part`, on the way up. */
PAWL_MUST pawl_status pass_soon(pass *p, int64_t part);
PAWL_MUST pawl_status pass_soon_above(pass *p, int64_t part);
/* The part of a block, of a slot outside the blocks, and of the output head. */
int64_t pass_block(int64_t layer);
int64_t pass_above(const pass *p);
int64_t pass_head(const pass *p);

pawl_tensor pass_weight(const pass *p, int64_t layer, pawl_slot s);
pawl_tensor pass_grad(const pass *p, int64_t layer, pawl_slot s);
pawl_put pass_put(const pass *p, pawl_slot s); /* for the gradient of a slot */

/* A weight of a matrix product, as products of this pass read it. */
pawl_tensor pass_matrix(const pass *p, int64_t layer, pawl_slot s);

/* Whether activations are computed with the products beside them: backward, ... Those of an adapter come between. */
static inline int pass_fused(const pass *p)
{
    return p->x->fused && !p->adapting.over;
}

/* ... and forward, where products of 8-bit floats end with none. */
static inline int pass_fused_forward(const pass *p)
{
    return pass_fused(p) && !p->x->fp8;
}

/* Numbers of the pass's type: what products read and write. */
static inline pawl_tensor pass_low(const pass *p, const void *data, int64_t cols)
{
    return pawl_view_as(p->x->type, data, p->N, cols);
}

static inline pawl_tensor pass_view(const pass *p, const float *data, int64_t cols)
{
    return pawl_view(data, p->N, cols);
}

/* What goes into the product that begins at a slot of a layer, computed again where it is not kept and this pass wants
 * it. */
PAWL_MUST pawl_status pass_input(const pass *p, int64_t layer, pawl_slot s, pawl_tensor *x);
/* The rotated queries and keys, made again likewise. */
PAWL_MUST pawl_status pass_qkv_again(const pass *p, int64_t layer);
/* All of a layer from its input, but for what it adds to the stream at last. */
PAWL_MUST pawl_status pass_block_again(const pass *p, int64_t layer);

/* Window and scale of a layer, and the rest. */
pawl_attend pass_attend(const pass *p, int64_t layer);
/* Turns queries and keys; direction -1: back. */
PAWL_MUST pawl_status pass_rotate(const pass *p, void *qkv, int direction);

/* Around a layer's work (away.c): forward, its place is free; what it has left may go. Backward, it is in its place, and the one below comes,
 * unless that is below `lowest`. */
PAWL_MUST pawl_status pass_make_room(pass *p, int64_t layer);
PAWL_MUST pawl_status pass_carry_away(pass *p, int64_t layer);
PAWL_MUST pawl_status pass_bring_near(pass *p, int64_t layer, int64_t lowest);

/* Leaves the normed hidden states in final.in, and part L + 1 in use. */
PAWL_MUST pawl_status pass_forward(pass *p);
/* dnorm holds the gradient of final.in; part L + 1 is in use. */
PAWL_MUST pawl_status pass_backward(pass *p);

#ifdef __cplusplus
}
#endif
#endif
