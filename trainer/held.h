/* trainer/held.h - private to trainer/: what of weights, gradients and optimizer state a rank holds, as zero_stage says.
 *
 *   stage  weights  gradients                             state     what a pass uses
 *   0      all      all, for each node of the tree        all       what is there
 *   1      all      all, for each node of the tree        a range   what is there
 *   2      all      a range; buffers for one part         a range   gradients part by part, summed when one is ready
 *   3      a range  a range; buffers for one part         a range   weights gathered part by part, too
 *
 * Between GPUs blocks have two buffers, so that one is exchanged while the other is used (decision 0053). Ranges are those of
 * pawl_optim_cuts; parts those of pawl_trained_part. Without master_weights the weights are bf16 (`low`), and what is said of them here
 * holds for those (decision 0051). */
#ifndef PAWL_TRAINER_HELD_H
#define PAWL_TRAINER_HELD_H

#include "trainer/trainer.h"

/* Weights and gradients are in the device's memory; blocks of the norm, lengths and offsets in the host's. */
enum { PAWL_HELD_BELOW, PAWL_HELD_BLOCK, PAWL_HELD_OTHER_BLOCK, PAWL_HELD_ABOVE, PAWL_HELD_PLACES }; /* of parts that are in use */

typedef struct pawl_hold {
    const pawl_parts *p;
    pawl_cut cut;
    int stage;
    int behind; /* ranks exchange beside what passes compute (held_parts.c) */
    int64_t count, first, end; /* of the flat run; this rank's range, in stage 0 all of it */
    pawl_owners *owners;       /* NULL in stage 0 */
    pawl_owners *pairs;        /* without masters: the same ranges, counted in pairs of bf16 */
    pawl_arena weights_arena, low_arena, gathered_arena, grads_arena, norm_arena;
    int masters;                                                /* 1: weights are f32 */
    float *weights;                                             /* [count], in stage 3 [end - first]; NULL without masters */
    float *gathered[PAWL_HELD_PLACES], *grads[PAWL_HELD_PLACES]; /* of the parts in use */
    uint16_t *low;                                              /* bf16: the weights as products read them (without masters: the weights), ... */
    uint16_t *gathered_low[PAWL_HELD_PLACES];                   /* ... in stage 3 those of the parts in use */
    float *vectors;                                             /* without masters: norms and biases, widened */
    int64_t fresh;                                              /* stages 0 to 2: so many parts are there since weights changed, and low or vectors made of them */
    int64_t coming[PAWL_HELD_PLACES];                           /* stage 3: which part, and 1, is on its way to a place; 0: none */
    double *blocks;                                             /* sums for the norm, of all ranges */
    size_t *lengths, *offsets;                                  /* [ranks] of blocks, in bytes */
    pawl_reduction *reduction;                                  /* stages 0 and 1 */
    pawl_rounds *rounds;                                        /* 2 and 3 */
    int idle;                                                   /* this rank computes no slot in the present turn */
    pawl_pass_hooks learning, reading, ending;
} pawl_hold;

typedef struct pawl_hold_sizes {
    size_t weights, low, gathered; /* the device's */
    size_t rest;                   /* the device's beside these and gradients, where ranks exchange (pawl_shared_rest) */
    pawl_room gradients, optimizer;
    size_t snapshot; /* the host's */
    int64_t first, end; /* the rank's range */
} pawl_hold_sizes;
/* For the rank that p->comm says: the plan. Errors: EMEM. */
PAWL_MUST pawl_status pawl_hold_measure(const pawl_parts *p, pawl_hold_sizes *out);

PAWL_MUST pawl_status pawl_hold_open(const pawl_parts *p, pawl_hold *out);
void pawl_hold_close(pawl_hold *h);
/* Fills the weights that this rank holds, tensor by tensor; what that takes meanwhile. Local. */
size_t pawl_hold_fill_bytes(const pawl_parts *p);
PAWL_MUST pawl_status pawl_hold_fill(pawl_hold *h, pawl_weight_read read, void *self);
/* Every tensor of a checkpoint, as this rank holds it: weights, and what o holds (NULL: what it would, for the plan). */
PAWL_MUST pawl_status pawl_hold_state(const pawl_hold *h, const pawl_optim *o, pawl_state *out);

/* Places of parts, of which blocks have two where ranks exchange beside passes; ABOVE and BELOW may be one. */
void pawl_hold_lay_out_parts(const pawl_hold *h, pawl_arena *a, float *to[PAWL_HELD_PLACES]);
void pawl_hold_lay_out_low(const pawl_hold *h, pawl_arena *a, uint16_t *to[PAWL_HELD_PLACES]);
int pawl_hold_place(const pawl_hold *h, int64_t part);
/* What pawl_rounds_add has for gradients in a part's place, stages 2 and 3. */
int pawl_hold_mark(const pawl_hold *h, int64_t part);

void pawl_hold_hooks(pawl_hold *h);
/* Weights and hooks of a pass: that learns (stages 2 and 3 also say where its gradients go), or only reads. */
void pawl_hold_pass(pawl_hold *h, int learns, pawl_pass *pass);
/* Of the pass over a rank's last slot of a step, in stages 0 and 1: its hooks, where exchange begins behind it (GPUs). */
void pawl_hold_last(pawl_hold *h, pawl_pass *pass);
/* Where weights have changed: all of them are there, for what the device is asked next, and their bf16 copy, or the vectors, is made anew. Local;
 * before anything but the passes of a step reads them. */
PAWL_MUST pawl_status pawl_hold_refresh(pawl_hold *h);
/* The same before the passes of a step; but those that are on their way a pass waits for where it reads them. */
PAWL_MUST pawl_status pawl_hold_begin(pawl_hold *h);
/* Collective, after the last slot. The sum of all gradients, from this rank's first number on. */
PAWL_MUST pawl_status pawl_hold_sum(pawl_hold *h, float **grads);
/* Collective. The norm of the gradient of which this rank's range is at grads. */
PAWL_MUST pawl_status pawl_hold_norm(pawl_hold *h, pawl_optim *o, const float *grads, double *norm);
/* The weights of this rank's range, to be changed: f32, NULL without masters; and of either type. Collective: what makes the change
 * everybody's; what is under way then is for pawl_hold_refresh. */
float *pawl_hold_mine(pawl_hold *h);
void *pawl_hold_numbers(pawl_hold *h);
PAWL_MUST pawl_status pawl_hold_spread(pawl_hold *h);

#endif
