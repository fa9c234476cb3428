/* trainer/profile.h - private to trainer/: what `pawl train --profile` records and says. Every function takes NULL, for a run
 * that is not profiled, and does nothing then. */
#ifndef PAWL_TRAINER_PROFILE_H
#define PAWL_TRAINER_PROFILE_H

#include "core/arena.h"
#include "core/memory.h"
#include "core/span.h"
#include "trainer/trainer.h"

enum { PAWL_PROFILE_STEPS = 4096 };

typedef struct pawl_profiler {
    const pawl_parts *p;
    pawl_spans *spans;
    pawl_rates rates;
    pawl_clock clock;     /* to rank 0's, as measured before the first step */
    int64_t first, last;  /* steps that are recorded, from 1, both included */
    int64_t steps, zero;  /* recorded so far; when that began */
    int64_t ended;        /* the newest of them */
    long allocations;     /* of pawl's own, inside steps */
    int reported;
    double seconds[PAWL_PROFILE_STEPS]; /* of the first recorded steps */
} pawl_profiler;

/* Bytes of the recorder. */
size_t pawl_profiler_bytes(const pawl_parts *p);
/* *out NULL when p->profile is. Local. */
PAWL_MUST pawl_status pawl_profiler_open(const pawl_parts *p, pawl_profiler **out);
void pawl_profiler_close(pawl_profiler *r);
/* Measures the machine, all ranks at once, and the clocks. done: steps made before. Collective. */
PAWL_MUST pawl_status pawl_profiler_begin(pawl_profiler *r, int64_t done);
/* Around step number `step` (from 1): its span. */
int pawl_profiler_step(pawl_profiler *r, int64_t step);
void pawl_profiler_step_done(pawl_profiler *r, int span, int64_t step, double seconds);
/* Whether the last step to be recorded is done, and no report was made yet. */
int pawl_profiler_due(const pawl_profiler *r, int64_t done);
/* Ends the recording; tables on rank 0's stdout, profile.json and trace.json into output_dir. No save is under way. Collective. */
PAWL_MUST pawl_status pawl_profiler_report(pawl_profiler *r, const pawl_plan *plan);

/* ---- What ranks tell of themselves (profile_gather.c) ---- */

/* A node of the main track: names from the root on, joined by '/'. */
typedef struct pawl_profile_line {
    char path[136], letters[8];
    int64_t shape[PAWL_SPAN_DIMS];
    int32_t kind, depth;
    int64_t calls, ns, inside_ns;
    double flops, bytes, ideal_seconds;
} pawl_profile_line;

typedef struct pawl_profile_rank {
    int64_t lines, steps, step_ns, wait_ns;
    int64_t events, events_lost, pool_busy_ns, threads;
    long allocations;
    pawl_rates rates;
    pawl_clock clock;
    pawl_memory memory;
    size_t arenas_peak, device_arenas_peak; /* of all together, in the host's memory and in a device's own */
    struct {
        char name[40];
        size_t peak;
    } arenas[PAWL_ARENA_NAMES];
    int arena_count;
} pawl_profile_rank;

typedef struct pawl_profile {
    int ranks, count;
    pawl_profile_rank *rank;  /* [ranks] */
    pawl_profile_line *lines; /* [count], summed over ranks, each after the one that it is in */
    double *ns;               /* [count][ranks] */
    double *work;             /* [ranks]: ns inside steps, less waiting */
} pawl_profile;

/* Collective; on rank 0 everything, on others only rank[]. */
PAWL_MUST pawl_status pawl_profile_gather(const pawl_profiler *r, pawl_profile *out);
void pawl_profile_free(pawl_profile *f);
/* Last name of a path. */
const char *pawl_profile_name(const pawl_profile_line *l);
/* Inside a step, not of an evaluation or a save. */
int pawl_profile_in_step(const pawl_profile_line *l);
/* Which rank is largest (or least) in v[ranks]. */
int pawl_profile_most(const double *v, int ranks);
int pawl_profile_least(const double *v, int ranks);

/* ---- What comes of it: profile_table.c, profile_json.c, trace.c ---- */
/* Sums over shapes and places of one op inside steps. */
typedef struct pawl_profile_op {
    const char *name;
    int64_t calls, ns;
    double flops, bytes, ideal_seconds;
} pawl_profile_op;
/* The most expensive first; returns how many of at most `room`. */
int pawl_profile_ops(const pawl_profile *f, pawl_profile_op *out, int room);
void pawl_profile_show(const pawl_profiler *r, const pawl_profile *f, const pawl_plan *plan);
PAWL_MUST pawl_status pawl_profile_write(const pawl_profiler *r, const pawl_profile *f, const pawl_plan *plan);
/* Collective: ranks append one after the other. */
PAWL_MUST pawl_status pawl_trace_write(const pawl_profiler *r);

#endif
