/* trainer/continual/methods.h - where methods of continual learning take part in a run: one row of a table a method.
 *
 * A method is open for a whole run when its configuration says so. Its numbers live in named tensors, in the ranges of
 * the optimizer, and are in checkpoints; every hook may be NULL. Order: that of the table, which is part of the
 * results. */
#ifndef PAWL_TRAINER_CONTINUAL_METHODS_H
#define PAWL_TRAINER_CONTINUAL_METHODS_H

#include "trainer/continual/memory.h"
#include "trainer/continual/stages.h"
#include "trainer/stepper.h"

/* What a method is told wherever it is called. */
typedef struct pawl_moment {
    const pawl_parts *p;
    pawl_stepper *stepper; /* weights, gradients, ranges: stepper->hold; scratch for passes */
    pawl_memory *memory;   /* NULL: none */
    struct pawl_finished *finished; /* NULL: one adapter for all stages, or none */
    const pawl_stream *stream;
    const pawl_stage *stage; /* the present one */
    int stage_index;         /* counted over the finished runs that this one continues, too */
    int64_t step;            /* steps done */
    int64_t consumed;        /* of the stage's new rows */
    const json_t *carried;   /* names of methods whose state is a finished run's that this one continues; NULL: of none */
    int general_known;       /* at the begin: that run has measured general data of its own */
} pawl_moment;

typedef struct pawl_method {
    const char *name;
    size_t present; /* where pawl_continual_config says whether it is on, ... */
    int32_t when;   /* ... by this value; 0: by any but 0 */
    /* What it keeps for every number that is trained: a run for each of these names (ended by NULL), which are in checkpoints, and
     * `more` that are not. Then its self is a pawl_slices, opened and closed for it, and in its states. NULL: its self is its own. */
    const char *const *kept;
    int more;
    /* A run that continues a finished one takes over what is kept where it has the same value for each of these keys of the
     * configuration, which the numbers are of (ended by NULL). NULL: it begins anew. */
    const char *const *carried;
    /* The plan, beside that, on the rank that p->comm says: what it takes for the run, and what for a while at a stage's end. */
    pawl_room (*bytes)(const pawl_parts *p, int64_t first, int64_t end);
    pawl_room (*bytes_for_a_while)(const pawl_parts *p);
    /* Rows that it adds behind the batch of a step, at most. */
    int64_t (*rows)(const pawl_parts *p);
    /* Columns beside the memory's rows; returns how many. */
    int (*columns)(const pawl_parts *p, pawl_memory_column *out);
    pawl_status (*open)(const pawl_moment *m, void **self);
    void (*close)(void *self);
    /* Appends tensors of its own, "method/NAME/KIND/TENSOR", as ranges [first, end) of the flat run; names: the trained tensors', in its
     * order. self NULL: without the numbers, for a plan. */
    pawl_status (*state)(const void *self, const pawl_parts *p, int64_t first, int64_t end, const pawl_state *names, pawl_state *out);
    /* A new run begins, or a continuing one at the weights of the finished run's end; after it begin_stage of the first
     * stage. */
    pawl_status (*begin)(void *self, const pawl_moment *m);
    pawl_status (*begin_stage)(void *self,
                               const pawl_moment *m); /* not where a run is resumed inside a stage: the state has it */
    pawl_status (*resume)(void *self,
                          const pawl_moment *m); /* after the state was read: what follows from it is made again */
    /* Appends rows behind the batch: rows[*count] ..., with the weights of their losses. Pure; local. */
    pawl_status (*add_rows)(void *self, const pawl_moment *m, pawl_step_row *rows, int64_t *count);
    /* Before a slot's pass of rows[0..count): what it wants of the pass beside weights and gradients. Local. */
    pawl_status (*before_slot)(void *self, const pawl_moment *m, const pawl_step_row *rows, int64_t count,
                               const pawl_batch *b, pawl_pass *pass);
    /* On this rank's range of the summed gradient, before the norm; weights and grads begin at the range's first
     * number. *penalty: what the term adds to the loss, summed over this rank's range alone. Local. */
    pawl_status (*gradient)(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty);
    /* The same, but ranks may meet in it. */
    pawl_status (*gradient_together)(void *self, const pawl_moment *m, const float *weights, float *grads);
    pawl_status (*before_update)(void *self, const pawl_moment *m, const float *weights, const float *grads, double lr);
    pawl_status (*updated)(void *self, const pawl_moment *m,
                           float *weights); /* after the optimizer, before ranges are spread */
    /* The stage's last step is done, nothing is measured yet: the last change of weights. Then they are spread. */
    pawl_status (*seal)(void *self, const pawl_moment *m, float *weights);
    pawl_status (*end_stage)(void *self, const pawl_moment *m); /* measured; the memory is as it was. Collective */
    pawl_status (*remember)(void *self, const pawl_moment *m);  /* the memory has taken the stage's rows. Collective */
} pawl_method;

extern const pawl_method pawl_method_der, pawl_method_lwf, pawl_freeze, pawl_agem, pawl_si, pawl_ewc, pawl_mas, pawl_l2sp, pawl_olora, pawl_sfa, pawl_reptile,
    pawl_wise;
extern const pawl_method *const pawl_method_table[]; /* ended by NULL */

enum { PAWL_METHODS_MAX = 24 };
typedef struct pawl_methods {
    int count;
    const pawl_method *method[PAWL_METHODS_MAX];
    void *self[PAWL_METHODS_MAX];
    pawl_moment now;
} pawl_methods;

#define PAWL_METHOD_ON(key) offsetof(pawl_continual_config, key.present)

pawl_room pawl_methods_bytes(const pawl_parts *p, int64_t first, int64_t end);
/* Appends the tensors of all methods as a checkpoint will have them, without the numbers: for a plan. */
PAWL_MUST pawl_status pawl_methods_state_like(const pawl_parts *p, int64_t first, int64_t end, pawl_state *out);
int64_t pawl_methods_rows(const pawl_parts *p);
int pawl_methods_columns(const pawl_parts *p, pawl_memory_column out[PAWL_MEMORY_COLUMNS_MAX]);
/* Opens those that are on; m->now is set before. Local. Close also after an error. */
PAWL_MUST pawl_status pawl_methods_open(pawl_methods *m);
void pawl_methods_close(pawl_methods *m);
PAWL_MUST pawl_status pawl_methods_state(const pawl_methods *m, const pawl_state *names, pawl_state *out);
/* The same of the i-th method alone. */
PAWL_MUST pawl_status pawl_methods_state_of(const pawl_methods *m, int i, const pawl_state *names, pawl_state *out);
/* Whether a method's state was a finished run's (moment.carried). */
int pawl_is_carried(const pawl_moment *m, const char *name);
/* The hooks of all, in order. */
typedef enum pawl_hook {
    PAWL_HOOK_BEGIN,
    PAWL_HOOK_BEGIN_STAGE,
    PAWL_HOOK_RESUME,
    PAWL_HOOK_END_STAGE,
    PAWL_HOOK_REMEMBER
} pawl_hook;
PAWL_MUST pawl_status pawl_methods_call(const pawl_methods *m, pawl_hook hook);
PAWL_MUST pawl_status pawl_methods_add_rows(const pawl_methods *m, pawl_step_row *rows, int64_t *count);
PAWL_MUST pawl_status pawl_methods_before_slot(const pawl_methods *m, const pawl_step_row *rows, int64_t count,
                                               const pawl_batch *b, pawl_pass *pass);
PAWL_MUST pawl_status pawl_methods_gradient(const pawl_methods *m, const float *weights, float *grads, double *penalty);
PAWL_MUST pawl_status pawl_methods_before_update(const pawl_methods *m, const float *weights, const float *grads,
                                                 double lr);
PAWL_MUST pawl_status pawl_methods_updated(const pawl_methods *m, float *weights);
/* *changed: 1 when one of them may have changed weights. */
PAWL_MUST pawl_status pawl_methods_seal(const pawl_methods *m, float *weights, int *changed);

#endif
