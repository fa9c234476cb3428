/* optim/rules.h - private to optim/: what an update rule is, and the pieces of tensors that an optimizer holds. */
#ifndef PAWL_OPTIM_RULES_H
#define PAWL_OPTIM_RULES_H

#include "core/arena.h"
#include "optim/optim.h"

enum { PAWL_RULE_RUNS = 4, PAWL_OPTIM_WINDOWS = 2 };

/* One kind of state that a rule keeps for a tensor: its name in checkpoints, and its type and shape, whole; of no
 * numbers where a tensor has none of it. Of a tensor that may be cut it has one number for each `per` of the tensor's.
 */
typedef struct pawl_rule_run {
    const char *name;
    pawl_tensor (*shape)(const pawl_optim_config *c, const pawl_extent *e);
    int64_t per;
} pawl_rule_run;

/* What one step is for one piece. */
typedef struct pawl_rule_step {
    double lr, decay, grad_scale;
    int64_t t; /* from 1 */
    pawl_kept_as kept;
} pawl_rule_step;

typedef struct pawl_piece pawl_piece;

/* A row of the table of rules. */
typedef struct pawl_rule {
    const char *name;
    pawl_rule_run runs[PAWL_RULE_RUNS]; /* ended by a name of NULL, or full */
    int64_t cut;                        /* a tensor may be cut at multiples of this from its start; 0: never */
    size_t (*scratch_bytes)(const pawl_optim_config *c, const pawl_extent *e);
    pawl_status (*step)(pawl_optim *o, const pawl_piece *p, void *w, const float *g, const pawl_rule_step *k);
} pawl_rule;

/* The part of one tensor that an optimizer holds: numbers [first, first + count) of it. */
struct pawl_piece {
    const pawl_extent *of;
    const pawl_rule *rule;
    int64_t first, count;
    void *state[PAWL_RULE_RUNS]; /* NULL where there are no numbers */
    int frozen;                  /* 1: never changed */
    float *ema;                  /* the average of the weights; NULL: none is kept */
};

struct pawl_optim {
    pawl_optim_config config;
    pawl_device *device;
    const pawl_extent *parts;
    int part_count;
    int64_t first, end; /* of the flat run */
    int64_t since;      /* the step at which the moments began */
    uint64_t seed;
    pawl_arena arena, here; /* the device's, and the host's */
    pawl_piece *pieces;     /* [part_count], of count 0 where nothing is held; the host's */
    double *blocks;         /* partial sums of squares, of this range and then of all, ... */
    double *blocks_here;    /* ... and where the host reads them */
    int offload;            /* the state of pieces is the host's, and comes to these (stream.c): */
    size_t window_bytes;
    char *window[PAWL_OPTIM_WINDOWS];
    size_t scratch_bytes;
    void *scratch; /* what the hungriest rule needs for one tensor */
};

/* The rule that a run's optimizer has for a tensor. */
const pawl_rule *pawl_rule_of(const pawl_optim_config *c, const pawl_extent *e);
/* Whether that is Muon's own. */
int pawl_is_muons(const pawl_optim_config *c, const pawl_extent *e);
/* What a run's optimizer keeps its moments as. */
pawl_dtype pawl_moments_type(const pawl_optim_config *c);
/* f32, in the shape of the tensor. */
pawl_tensor pawl_shape_alike(const pawl_extent *e);
/* What of a state's numbers a piece holds. */
void pawl_run_part(const pawl_rule_run *run, pawl_tensor whole, const pawl_piece *p, int64_t *first, int64_t *count);
/* What a chunk of a piece takes on the device, at most. */
size_t pawl_optim_window_bytes(const pawl_optim *o, const pawl_piece *p);
/* Calls update(o, p, self) for every piece that is not frozen, in parts whose state is on the device meanwhile; then all of it is
 * the host's again. */
PAWL_MUST pawl_status pawl_optim_stream(pawl_optim *o, pawl_status (*update)(pawl_optim *o, const pawl_piece *p, void *self), void *self);
/* A tensor's own rate, of the schedule's. */
double pawl_rate_of(const pawl_optim_config *c, const pawl_extent *e, double lr);

#endif
