/* trainer/continual/stages.h - the stream of a run: which stages it has, how long each is, and at which rate it learns.
 */
#ifndef PAWL_TRAINER_CONTINUAL_STAGES_H
#define PAWL_TRAINER_CONTINUAL_STAGES_H

#include "trainer/trainer.h"

typedef struct pawl_stage {
    char name[64];
    int index;                    /* in this run, from 0; the number of its mixture */
    int64_t first_step, end_step; /* of the run, [first, end) */
    int64_t since;                /* the step at which the optimizer's moments began */
    int forget;                   /* 1: they begin with this stage */
    pawl_optim_config optim;      /* the run's, with what the stage says in its place */
    double replay_ratio;          /* PAWL_RATIO_AUTO; 0: none */
} pawl_stage;

typedef struct pawl_stream pawl_stream;
struct pawl_stream {
    int count;
    int64_t steps; /* of all; PAWL_STEPS_UNKNOWN */
    pawl_stage stages[PAWL_STAGES_MAX];
};

/* A run without stages is one stage, "main", of its datasets. Without data, lengths in epochs and tokens are not known:
 * then the ends of such stages and of those behind them are PAWL_STEPS_UNKNOWN. Pure; local. */
void pawl_stream_of(const pawl_parts *p, pawl_stream *out);
/* The rate of step `step` (of the run, from 0): that of the stage's schedule over its own steps, or of an endless one
 * over all. */
double pawl_stream_rate(const pawl_stream *s, int stage, int64_t step);
/* Whether a controller chooses its share of replayed rows, and the share that it begins with. */
int pawl_stream_chooses(const pawl_stage *s);
double pawl_stream_first_ratio(const pawl_stage *s);
/* The stage of that name; -1. */
int pawl_stream_find(const pawl_stream *s, const char *name);

/* ---- How many rows of a step come from the memory ----
 * An account of the rows that are due, in parts of a row: each step adds ratio x G and takes the whole rows out. It
 * begins a hair above 0, so that a ratio that is no binary fraction is not short of a row where its multiple is whole.
 */
enum { PAWL_CREDIT_BITS = 40, PAWL_CREDIT_START = 1 << 20 };
/* Rows due in a step of G rows; at most G - 1 (replace: no step is without new rows) or G (add). What was due above
 * that is dropped. */
int64_t pawl_replay_due(int64_t *credit, double ratio, int64_t G, int add);

#endif
