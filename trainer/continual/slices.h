/* trainer/continual/slices.h - private to trainer/: numbers that a method keeps for every number that is trained, in
 * this rank's range of the flat run, as the optimizer keeps its own. */
#ifndef PAWL_TRAINER_CONTINUAL_SLICES_H
#define PAWL_TRAINER_CONTINUAL_SLICES_H

#include "trainer/continual/methods.h"

enum { PAWL_SLICES_MOST = 5 };
typedef struct pawl_slices {
    const pawl_parts *p;
    pawl_hold *hold; /* NULL: measuring */
    const pawl_extent *extents;
    int extent_count, count; /* count: runs */
    int64_t first, end;
    pawl_arena arena, here;       /* the device's, and the host's where that is another */
    float *run[PAWL_SLICES_MOST]; /* [end - first] each, zero at first; the device's */
    double *blocks, *blocks_here; /* sums over the range's blocks (pawl_norm_blocks), and where the host reads them */
} pawl_slices;

pawl_room pawl_slices_bytes(const pawl_parts *p, int64_t first, int64_t end, int runs);
PAWL_MUST pawl_status pawl_slices_open(const pawl_moment *m, int runs, pawl_slices *out);
void pawl_slices_close(pawl_slices *s);
/* Appends what lies in [first, end) of the flat run, whose numbers begin at data (the device's; NULL: none, for a plan), tensor by tensor as prefix +
 * name; names: the trained tensors', in the order of the flat run. */
PAWL_MUST pawl_status pawl_list_range(const pawl_parts *p, const char *prefix, const float *data, int64_t first, int64_t end,
                                      const pawl_state *names, pawl_state *out);
/* The first run = the weights: a stage's begin, for methods that keep no more. */
PAWL_MUST pawl_status pawl_slices_begin_stage(void *slices, const pawl_moment *m);

/* What of a tensor lies in the range. Begin with .part = -1; 0: there is no more. */
typedef struct pawl_slice {
    int part;
    int64_t at, count; /* from the range's first number */
    double *blocks;    /* its own of the slices' blocks */
} pawl_slice;
int pawl_slice_next(const pawl_slices *s, pawl_slice *x);

/* grads += the gradient of (strength / 2) sum importance (weights - anchor)^2, whose value over the range is added to
 * *penalty; importance NULL: 1; anchor NULL: 0. Local. */
PAWL_MUST pawl_status pawl_slices_anchor(pawl_slices *s, const float *weights, float *grads, const float *anchor,
                                         const float *importance, double strength, double *penalty);
/* to = from over the range. Local. */
PAWL_MUST pawl_status pawl_slices_copy(const pawl_slices *s, float *to, const float *from);
/* x . y over the whole run: the same bits for any ranges. Collective. */
PAWL_MUST pawl_status pawl_slices_dot(pawl_slices *s, const float *x, const float *y, double *out);

/* 1 in the first stage of a run that begins at random weights: there is nothing to be kept. */
int pawl_knows_nothing(const pawl_moment *m);
/* Whether freeze holds a tensor as it is. */
int pawl_is_frozen(const pawl_parts *p, const pawl_extent *e);
/* Sets to 0 what of numbers over the range belongs to frozen tensors. */
PAWL_MUST pawl_status pawl_slices_still(const pawl_slices *s, float *x);

#endif
