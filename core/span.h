/* core/span.h - what a rank did, and when: nested spans of time, for `pawl train --profile`.
 *
 * Off, a span costs one branch. On, each thread that takes part writes to a track of its own: a tree of nodes (this
 * name under that one, in this shape) that add up calls, time and work, and events, in the order in which they began,
 * for a trace. All of it is of fixed size and taken before the first step. Events that do not fit are counted as lost;
 * sums lose nothing. Nothing here computes, so a recorded run has the same bits. Local; the clock is CLOCK_MONOTONIC,
 * in ns. */
#ifndef PAWL_CORE_SPAN_H
#define PAWL_CORE_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_SPAN_DIMS = 5, PAWL_SPAN_DEPTH = 24 };

/* A part of a step; one call of an op; waiting for other ranks. */
typedef enum pawl_span_kind { PAWL_SPAN_PHASE, PAWL_SPAN_OP, PAWL_SPAN_WAIT } pawl_span_kind;

/* What one call of an op has to do, from its shapes. */
typedef struct pawl_span_work {
    double flops, bytes;           /* bytes: each operand read or written once */
    double ideal_seconds;          /* by the roofline of this machine */
    const char *letters;           /* of the shape, one a dimension: "NOI" */
    int64_t shape[PAWL_SPAN_DIMS]; /* unused ones 0 */
} pawl_span_work;

typedef struct pawl_span_node {
    const char *name, *letters; /* letters NULL: no shape */
    int64_t shape[PAWL_SPAN_DIMS];
    int32_t parent; /* index; -1: none */
    int32_t kind;
    int64_t calls, ns, inside_ns; /* inside: of spans directly under this one */
    double flops, bytes, ideal_seconds;
} pawl_span_node;

typedef struct pawl_span_event {
    int64_t begin, end; /* end 0: not ended */
    int32_t node;       /* of a pool thread's event: the main track's */
    float flops;
} pawl_span_event;

typedef struct pawl_span_open_one {
    int64_t begin, event; /* event -1: not kept */
    int32_t node;
} pawl_span_open_one;

typedef struct pawl_span_track {
    const char *name;
    pawl_span_node *nodes;
    int32_t *index; /* of nodes, by hash; -1: free */
    pawl_span_event *events;
    int64_t node_room, node_count, event_room, event_count, events_lost;
    int64_t busy_ns; /* of a pool thread */
    int64_t marked, longest; /* events at the last mark; the most between two */
    int keep;                /* whether events are kept */
    int depth;
    pawl_span_open_one open[PAWL_SPAN_DEPTH];
} pawl_span_track;

/* ---- Where something happens: name is a string that lives on; every begin has its end, in the same function. ---- */
extern __thread pawl_span_track *pawl_span_here; /* NULL: this thread is not recorded now */
int pawl_span_enter_(const char *name, pawl_span_kind kind, const pawl_span_work *work);
void pawl_span_leave_(int span);

static inline int pawl_span_begin(const char *name)
{
    return pawl_span_here ? pawl_span_enter_(name, PAWL_SPAN_PHASE, NULL) : -1;
}

/* Waiting for other ranks, and nothing else. */
static inline int pawl_span_begin_wait(const char *name)
{
    return pawl_span_here ? pawl_span_enter_(name, PAWL_SPAN_WAIT, NULL) : -1;
}

/* Also ends what was begun since and not ended, as an error leaves it. */
static inline void pawl_span_end(int span)
{
    if (span >= 0) pawl_span_leave_(span);
}

/* Runs a call that returns a status inside a span. */
#define PAWL_SPAN_TRY(name, call)                                                                                      \
    do {                                                                                                               \
        const int span_ = pawl_span_begin(name);                                                                       \
        const pawl_status status_ = (call);                                                                            \
        pawl_span_end(span_);                                                                                          \
        PAWL_TRY(status_);                                                                                             \
    } while (0)

/* ---- The recorder ---- */
enum {
    PAWL_SPAN_MAIN,
    PAWL_SPAN_WRITER,
    PAWL_SPAN_POOL
}; /* tracks: the main thread, the checkpoint writer, pool threads 1, 2, ... */
typedef struct pawl_spans pawl_spans;

/* For a rank whose pool has that many threads, the main one among them. */
size_t pawl_spans_bytes(int threads);
PAWL_MUST pawl_status pawl_spans_open(int threads, pawl_spans **out);
void pawl_spans_close(pawl_spans *s);
/* From now on the calling thread, the main one, is recorded (and threads that ask to be); NULL ends that. */
void pawl_spans_record(pawl_spans *s);
int pawl_spans_tracks(const pawl_spans *s);
pawl_span_track *pawl_spans_track(pawl_spans *s, int track);
/* A step begins: a track keeps its events only if there is room for as many as the longest step had. Sums are kept always. */
void pawl_spans_mark(pawl_spans *s);
int64_t pawl_span_now(void);

/* A thread other than the main one takes part, while there is a recorder, from join to part. */
void pawl_span_join(int track);
void pawl_span_part(void);
/* A thread of the pool works on what the main thread is at. thread counts from 0, the main one, which is not asked. */
int64_t pawl_span_pool_begin(int thread);
void pawl_span_pool_end(int thread, int64_t begun);

#ifdef __cplusplus
}
#endif
#endif
