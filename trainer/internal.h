/* trainer/internal.h - private to trainer/: what the loop, the step, metrics and lineage share. */
#ifndef PAWL_TRAINER_INTERNAL_H
#define PAWL_TRAINER_INTERNAL_H

#include "trainer/trainer.h"

int64_t pawl_total_steps(const pawl_parts *p);
/* Rows of a step at most: the batch, replayed rows on top of it, and those of methods. */
int64_t pawl_most_rows(const pawl_parts *p);
/* Tokens of a row at most, in passes. */
int64_t pawl_run_longest(const pawl_parts *p);
/* What the passes of a run need room for, with rows of up to so many tokens. */
/* What products are computed in. */
pawl_dtype pawl_run_type(const pawl_parts *p);
pawl_shapes pawl_run_shapes(const pawl_parts *p, int64_t rows, int64_t tokens);
pawl_capacity pawl_run_capacity(const pawl_parts *p, int64_t tokens, int train);

enum { PAWL_RANKS_MOST = 1024 }; /* lanes are no more */

/* ---- The step (step.c) ---- */
typedef struct pawl_row_result { /* of one row of a step, known to all ranks at its end */
    double loss;    /* sum over its trained tokens, nats */
    int64_t trained;
    int64_t length; /* tokens, without padding */
    double soft;         /* the same of its loss to soft targets, ... */
    int64_t soft_trained; /* ... and over how many tokens */
    int32_t bad;    /* loss or gradient not finite */
} pawl_row_result;

/* What each rank says at a step boundary; every rank sees all of them, so all decide alike. */
typedef struct pawl_ballot {
    pawl_save_vote save;
    int32_t stop, save_now;   /* asked to stop; rank 0's clock says save */
    int64_t tokens;           /* this rank's, of this step */
    uint64_t bytes_sent;      /* this rank's, of this step */
    double grad_norm;         /* as this rank summed it: ranks that differ have diverged */
} pawl_ballot;

typedef struct pawl_step_report {
    double loss, grad_norm, lr; /* loss: of the batch */
    double penalty, distill;    /* what methods add to the loss: on weights, and per token to soft targets */
    int64_t tokens, trained;    /* of all ranks; trained: of the batch */
    int64_t replayed;           /* rows */
    int64_t my_tokens;
    int skipped; /* not finite: the weights are as before */
} pawl_step_report;

/* ---- Evaluation, seen from inside (evaluate.c) ---- */
/* Of `rows` rows of a domain that are measured, in their order: those that a rank computes, [*first, *end). */
void pawl_evaluation_share(const pawl_parts *p, int64_t rows, int rank, int64_t *first, int64_t *end);
/* Row i of them: they are evenly spread over all that there are. */
pawl_row pawl_evaluation_row(const pawl_data *d, pawl_part part, int domain, int64_t rows, int64_t i);
/* What else is asked of a slot's pass, whose first row is number `first` of those that are measured; and what becomes
 * of it: `soft` and `soft_trained` of its results may be filled. */
typedef struct pawl_slot_watch {
    pawl_status (*before)(void *self, int domain, int64_t first, const pawl_batch *b, pawl_pass *pass);
    void (*after)(void *self, int domain, int64_t first, const pawl_batch *b, pawl_row_result *results);
    void *self;
} pawl_slot_watch;
/* `most` rows of the texts of every domain. Sets kl and kl_tokens of scores (NULL: of none) from the results' soft.
 * stopped NULL: a stop does not end it. Collective. */
PAWL_MUST pawl_status pawl_evaluate_watched(pawl_evaluator *e, const pawl_pass *of, int64_t most,
                                            const pawl_slot_watch *watch, pawl_score *scores, int *stopped);

/* The results of a slot's rows, from the losses of its positions. */
void pawl_row_results_of(const pawl_data *d, pawl_part part, const pawl_row *rows, const pawl_batch *b, const float *losses,
                         const int32_t *bad, pawl_row_result *out);

/* A row of a step. Rows [0, batch) are the batch: new ones, then replayed ones; behind it stand those that methods add. */
typedef struct pawl_step_row {
    pawl_row row;   /* of the training data, when it is new */
    int64_t item;   /* its place in the memory; -1: a new row */
    float ce, soft; /* what its cross-entropy and its loss to soft targets are multiplied with, a token */
} pawl_step_row;

/* What a step is made of: rows are put where pawl_step_rows says. */
typedef struct pawl_step_order {
    int64_t rows, batch, replayed; /* all; the batch; of the batch, from the memory */
    int64_t at;                    /* the running number of the first row: dropout and noise are counted by it */
    int64_t step;                  /* from 0 */
    double lr;
} pawl_step_order;

typedef struct pawl_stepper pawl_stepper;
PAWL_MUST pawl_status pawl_stepper_open(const pawl_parts *p, pawl_stepper **out);
void pawl_stepper_close(pawl_stepper *s);
/* The plan: the arrays of slots of at most that many tokens a row. */
size_t pawl_stepper_bytes(const pawl_parts *p, int64_t tokens);
float *pawl_stepper_weights(pawl_stepper *s); /* NULL in zero_stage 3 */
PAWL_MUST pawl_status pawl_stepper_fill(pawl_stepper *s, pawl_weight_read read, void *self);
pawl_frozen *pawl_stepper_base(pawl_stepper *s);
/* Local: a new run begins at the weights that are there. */
PAWL_MUST pawl_status pawl_stepper_begin(pawl_stepper *s);
/* What of a pass says where the weights are, for an evaluation. */
PAWL_MUST pawl_status pawl_stepper_pass(pawl_stepper *s, pawl_pass *out);
/* Local. All of the weights are there for what the device is asked next: after a step, before anything but another step or a
 * pass as above reads them. */
PAWL_MUST pawl_status pawl_stepper_settle(pawl_stepper *s);
/* Every tensor a checkpoint holds: model and optimizer. */
const pawl_state *pawl_stepper_state(const pawl_stepper *s);
struct pawl_memory;
struct pawl_methods;
/* Rows from a memory, and methods; before the first step. Local. Errors: EMEM. */
PAWL_MUST pawl_status pawl_stepper_join(pawl_stepper *s, struct pawl_memory *memory, struct pawl_methods *methods);
/* Trained targets and length of a row of a step, wherever it is. */
int64_t pawl_step_row_trained(const pawl_stepper *s, const pawl_step_row *r);
int64_t pawl_step_row_length(const pawl_stepper *s, const pawl_step_row *r);
/* Takes the rows that were put up; those from the memory travel to who computes them. Collective where there are such, else local. */
PAWL_MUST pawl_status pawl_step_begin(pawl_stepper *s, const pawl_step_order *o);
/* This rank's slots of the step. Local in zero_stage 0 and 1; else ranks meet in it, and every rank comes here. */
PAWL_MUST pawl_status pawl_step_compute(pawl_stepper *s);
/* Collective: sums, norm, update. Every rank comes here, failed (`mine`) or not: the status of the step is agreed on here. step counts from 0. */
PAWL_MUST pawl_status pawl_step_update(pawl_stepper *s, pawl_status mine, pawl_step_report *out);
/* Collective: methods' last change of the weights of a stage. */
PAWL_MUST pawl_status pawl_stepper_seal(pawl_stepper *s);
pawl_optim *pawl_stepper_optim(pawl_stepper *s);
/* The trained tensors' names, for methods' state; pawl_state_close it. */
PAWL_MUST pawl_status pawl_stepper_names(const pawl_stepper *s, pawl_state *out);
/* The rows of the step and their results, [pawl_most_rows]. */
pawl_step_row *pawl_step_rows(pawl_stepper *s);
int64_t pawl_step_count(const pawl_stepper *s);
const pawl_row_result *pawl_step_results(const pawl_stepper *s);

/* 1 on all ranks when one of them was asked to stop. Collective. */
PAWL_MUST pawl_status pawl_any_stop(pawl_comm *c, int *stopped);
/* The plan of an evaluator, for rows of at most that many tokens; 0 when nothing is held out. */
pawl_room pawl_evaluator_bytes(const pawl_parts *p, int64_t tokens);

/* ---- metrics.jsonl (metrics.c); rank 0 writes, others do nothing ---- */
typedef struct pawl_metrics pawl_metrics;
/* Opens DIR/metrics.jsonl and cuts it back to lines of at most `step` (-1: a new run, to nothing), and before an evaluation
 * that is later than the last one the checkpoint knows of (`evaluated`): it will be made again; likewise before a
 * probe later than `probed`. Local. */
PAWL_MUST pawl_status pawl_metrics_open(const pawl_comm *c, const char *dir, int64_t step, int64_t evaluated, int64_t probed, pawl_metrics **out);
void pawl_metrics_close(pawl_metrics *m);
/* Appends an object as a line; takes the reference. */
PAWL_MUST pawl_status pawl_metrics_add(pawl_metrics *m, json_t *line);
PAWL_MUST pawl_status pawl_metrics_sync(pawl_metrics *m);

/* ---- How fast it goes (pace.c) ---- */
enum { PAWL_RECENT_STEPS = 31 };
typedef struct pawl_pace {
    double recent[PAWL_RECENT_STEPS]; /* seconds of the last steps */
    int64_t steps;                    /* made by this process */
    double ended, between;            /* when the last one ended; seconds between steps so far: evaluations, saves */
    double seconds;                   /* of steps, and their tokens, since they were last told */
    int64_t tokens;
} pawl_pace;
void pawl_pace_step(pawl_pace *p, double began, double ended, int64_t tokens);
/* Of the last steps; 0 before the first. */
double pawl_pace_median(const pawl_pace *p);
/* Seconds that a step may take before this rank gives the others up: watchdog_seconds, or by default a multiple of the median. */
double pawl_pace_limit(const pawl_pace *p, const pawl_comm_config *r, int ranks);
/* Seconds that so many steps will take, with what comes between them. */
double pawl_pace_left(const pawl_pace *p, int64_t steps);
/* Tokens a second of the steps since this was last asked. */
double pawl_pace_rate(pawl_pace *p);

/* ---- What people see (screen.c); rank 0 speaks ---- */
struct pawl_stream;
void pawl_screen_start(const pawl_parts *p, const pawl_plan *plan, const struct pawl_stream *stream, int64_t first_step);
void pawl_screen_step(const pawl_parts *p, const pawl_step_report *r, int64_t step, int64_t steps, pawl_pace *pace);
void pawl_screen_writing(const pawl_parts *p, int64_t done, int64_t rows);
void pawl_screen_evaluating(const pawl_parts *p);
void pawl_screen_scores(const pawl_parts *p, int64_t step, const pawl_score *scores);
void pawl_screen_line(const pawl_parts *p, const char *format, ...) PAWL_PRINTF(2, 3);

/* ---- The loop's state (run.c) ---- */

struct pawl_trainer {
    const pawl_parts *p;
    pawl_plan plan;
    pawl_stepper *stepper;
    struct pawl_course *course; /* stages, memory, methods */
    pawl_evaluator *evaluator;
    pawl_saver *saver;
    struct pawl_profiler *profiler; /* NULL: not asked for */
    pawl_metrics *metrics;
    json_t *lineage;
    pawl_score *scores;    /* [held-out domains] */
    pawl_ballot *ballots;  /* [ranks] */
    pawl_save_vote *votes; /* [ranks] */
    int64_t *tokens;       /* [training domains], at the first dataset of each domain's name */
    int64_t step, tokens_total; /* done */
    int64_t evaluated, saved;   /* at which step last; -1: not yet */
    int64_t resumed;            /* from which step; -1: not */
    char from[1200];            /* and from which checkpoint */
    char last[1200];            /* the last whole checkpoint, or the one that this run goes on from; "": none */
    int skips, failed_saves;    /* in a row */
    pawl_pace pace;
    double started, last_save;
    uint64_t bytes_sent_before;
};

/* ---- Saving (saving.c); all collective ---- */
/* Starts a save of the present step, unless it is saved already; waits for one under way first. */
PAWL_MUST pawl_status pawl_saving_begin(pawl_trainer *t);
/* Waits for a save under way; nothing where there is none. */
PAWL_MUST pawl_status pawl_saving_finish(pawl_trainer *t);
/* Moves a save under way on, by the votes in t->ballots. */
PAWL_MUST pawl_status pawl_saving_poll(pawl_trainer *t);
/* Saves the present step and waits for it; tries again when it fails, until the failures are too many. */
PAWL_MUST pawl_status pawl_saving_surely(pawl_trainer *t);

/* ---- Records (record.c); local ---- */
PAWL_MUST pawl_status pawl_record_step(pawl_trainer *t, const pawl_step_report *r, double seconds);
/* rest: what the event says beside its name, or NULL; taken over. */
PAWL_MUST pawl_status pawl_record_event(pawl_trainer *t, const char *event, json_t *rest);
/* Into metrics and lineage; at: "start", "step", "stage_end", "probe". */
PAWL_MUST pawl_status pawl_record_scores(pawl_trainer *t, const char *at);
/* What every rank's memory was at most, beside the plan: an event, and a line for people. Collective. */
PAWL_MUST pawl_status pawl_record_memory(pawl_trainer *t);
/* Names the rows of a step that was not finite. */
PAWL_MUST pawl_status pawl_record_skip(pawl_trainer *t, const pawl_step_report *r);

/* ---- Lineage (lineage.c) ---- */
/* The record of decision 8 at the start of a run. */
PAWL_MUST pawl_status pawl_lineage_new(const pawl_parts *p, json_t **out);
/* The record found in a checkpoint, taken over by this process: topology of now, one more entry in `resumes`. Errors:
 * EUSAGE listing what differs in configuration, data, tokenizer or base. */
PAWL_MUST pawl_status pawl_lineage_resume(const pawl_parts *p, const pawl_checkpoint *k, json_t **out);
/* Takes entry over, {step, stage, stage_index, at, scores}. */
PAWL_MUST pawl_status pawl_lineage_evaluation(json_t *lineage, json_t *entry);
PAWL_MUST pawl_status pawl_lineage_tokens(const pawl_parts *p, json_t *lineage, const int64_t *tokens);

#endif
