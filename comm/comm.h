/* comm/comm.h - ranks: agreement, the reductions of a step, deadlines. MPI behind one header.
 *
 * A collective function is agree(local(...)) and then communication; local work never communicates (decision 9). Only
 * the main thread speaks MPI (MPI_THREAD_FUNNELED). After ECOMM no further collective is allowed: the job ends. */
#ifndef PAWL_COMM_COMM_H
#define PAWL_COMM_COMM_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fields.h"
#include "core/status.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
extern const char *const pawl_reduction_names[]; /* "invariant", "fast", NULL */
extern const char *const pawl_transport_names[]; /* in the order of pawl_transport, NULL */
#define PAWL_COMM_FIELDS(F, C, T)                                                                                              \
    C(reduction,            "invariant", pawl_reduction_names, FIXED, "invariant: the same bits at any number of ranks; fast: NCCL's or MPI's own sums") \
    F(i64, reduction_lanes, "0",   0, 1024, "lanes",   FIXED, "lanes that the slots of a step are cut into; 0: min(8, slots)")  \
    F(i64, zero_stage,      "0",   0, 3,    "",         FREE,  "shared out over ranks: 1: optimizer state; 2: gradients, too; 3: weights, too") \
    C(transport,            "auto", pawl_transport_names, FREE, "between ranks' GPUs; nccl, host: through the hosts and MPI, auto: nccl where it can be used; on CPUs it is MPI, and nccl says that it does nothing") \
    F(f64, ddp_bucket_cap_mb, "64", 0, 1048576, "MiB", FREE,  "between GPUs by NCCL gradients are exchanged behind the backward pass, so much of them at a time (zero_stage 2, 3: a block); 0: nothing is behind a pass") \
    F(flag, register_buffers, "true", 0, 1, "", FREE, "what goes between GPUs lies in NCCL's own memory, registered with it") \
    F(i64, watchdog_seconds, "0",  0, 1e6,  "seconds", FREE,  "longest wait inside a step; 0: max(30, 5 x the median step), and phase_seconds on one rank")    \
    F(i64, phase_seconds,   "600", 1, 1e6,  "seconds", FREE,  "longest wait in import, preparation and saving")
/* clang-format on */
typedef struct pawl_comm_config { PAWL_COMM_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_comm_config;
extern const pawl_field pawl_comm_rows[];

typedef enum pawl_transport { PAWL_TRANSPORT_AUTO, PAWL_TRANSPORT_NCCL, PAWL_TRANSPORT_HOST } pawl_transport;

typedef struct pawl_comm {
    int rank, size;             /* in this communicator */
    int local_rank, local_size; /* on this machine */
    int machine;                /* the lowest rank on this machine: tells machines apart */
    void *handle;               /* MPI_Comm; only comm/ looks inside */
    struct pawl_nccl *gpus;     /* between the ranks' GPUs; NULL: numbers of a device go through its host */
    int registers;              /* memory for what goes between them is NCCL's, and registered with it */
    struct pawl_shared *shared; /* the newest such block */
    int64_t bucket;             /* numbers that are exchanged together behind the backward pass; 0: all after it */
    uint64_t bytes_sent;        /* payload this rank has handed to other ranks */
} pawl_comm;

/* Collective over MPI_COMM_WORLD, which must be initialised: a duplicate of its own with MPI_ERRORS_RETURN. */
PAWL_MUST pawl_status pawl_comm_open(pawl_comm **out);
/* A communicator of one rank, without MPI (for commands that run alone). */
PAWL_MUST pawl_status pawl_comm_open_alone(pawl_comm **out);
void pawl_comm_close(pawl_comm *c);
/* Collective. From now on numbers in the memory of d, which every rank has one of, go from GPU to GPU by NCCL where how->transport says
 * so and it can be, and all pairs of ranks are connected; auto says in a line where it cannot. Nothing on one rank, or where d is no GPU:
 * there rank 0 says so, where nccl was asked for. Errors: EUSAGE, where nccl is asked for and refused; ECOMM, where GPUs cannot be connected. */
PAWL_MUST pawl_status pawl_comm_connect(pawl_comm *c, pawl_device *d, const pawl_comm_config *how);
/* Before d is closed; what is under way is given up. Local. */
void pawl_comm_disconnect(pawl_comm *c);
/* The numbers that how->ddp_bucket_cap_mb are. */
int64_t pawl_comm_bucket(const pawl_comm_config *how);
/* Whether what ranks exchange may be put aside (ops.h): their GPUs exchange by NCCL, and the bucket is not 0. Elsewhere all is exchanged in
 * the order of the calls, and marks are of nothing. */
int pawl_comm_overlaps(const pawl_comm *c, const pawl_device *d);
/* Marks of what is aside: a reduction's sums; gradients out of a caller's places; weights that come, in bundles. */
enum { PAWL_MARK_SUMS, PAWL_MARK_GRADS, PAWL_MARK_WEIGHTS = 8, PAWL_WEIGHT_MARKS = PAWL_MARKS - PAWL_MARK_WEIGHTS };
/* How numbers of d go: "nccl 2.28.9", "mpi", ... */
const char *pawl_comm_transport(const pawl_comm *c);

/* Collective. The worst of every rank's status, the same on all ranks; on failure every rank then holds the failing
 * rank's record. All well: one 24-byte all-reduce, which also checks that all ranks came from the same line. */
#define pawl_agree(c, mine) pawl_agree_((c), (mine), __FILE__, __LINE__)
PAWL_MUST pawl_status pawl_agree_(pawl_comm *c, pawl_status mine, const char *file, int line);
/* Collective. The agreement of ranks that meet again and again in the middle of local work (the parts of a pass). All of its calls
 * count as one line, so that a rank that fails on the way, and gives its status at the end, meets the others wherever they are.
 * An error that was agreed on already is returned as it is. */
#define pawl_meet(c, mine) pawl_meet_((c), (mine), __FILE__, __LINE__)
PAWL_MUST pawl_status pawl_meet_(pawl_comm *c, pawl_status mine, const char *file, int line);
/* Collective. EBUG, naming what, when bytes differ between ranks. */
PAWL_MUST pawl_status pawl_same(pawl_comm *c, const void *data, size_t bytes, const char *what);
PAWL_MUST pawl_status pawl_bcast(pawl_comm *c, void *data, size_t bytes, int root);
/* Collective. Each rank's `bytes` bytes, in rank order, to all. */
PAWL_MUST pawl_status pawl_allgather(pawl_comm *c, const void *mine, size_t bytes, void *all);
/* Collective. Blocks of different lengths: rank r's lies at offsets[r], lengths[r] long, in all. */
PAWL_MUST pawl_status pawl_allgather_blocks(pawl_comm *c, const void *mine, const size_t *lengths, const size_t *offsets,
                                            void *all);
/* Bytes at data on their way from one rank to another. */
typedef struct pawl_transfer { void *data; size_t bytes; int from, to; } pawl_transfer;
/* Every rank lists the transfers that it takes part in, in an order that is the same for all: those of one list of all. Collective in
 * that sense. */
PAWL_MUST pawl_status pawl_transfers(pawl_comm *c, const pawl_transfer *list, int count);
PAWL_MUST pawl_status pawl_barrier(pawl_comm *c);

/* ---- Memory for what goes between GPUs ----
 * As pawl_arena_open_on of the device's side, local. Where c's GPUs exchange by NCCL it is NCCL's own memory, and registered with it by the
 * next pawl_shared_register; given back it is not any more. */
PAWL_MUST pawl_status pawl_shared_open(pawl_comm *c, pawl_device *d, pawl_arena *a);
void pawl_shared_close(pawl_comm *c, pawl_device *d, pawl_arena *a);
/* The plan: what such a block of so many bytes takes of the device's memory beside them. */
size_t pawl_shared_rest(const pawl_comm *c, pawl_device *d, size_t bytes);
/* Collective: those that were opened since the last time, on all ranks in the same order, are registered on all alike: as windows where
 * NCCL has them and a block is of one size everywhere, else each by itself. */
PAWL_MUST pawl_status pawl_shared_register(pawl_comm *c);

/* ---- Ranges: which rank keeps which numbers of the flat run ---- */
typedef struct pawl_owners pawl_owners;
/* Rank r keeps [cuts[r], cuts[r + 1]); cuts [size + 1] rise from 0 to the length of the run. Local. */
PAWL_MUST pawl_status pawl_owners_open(pawl_comm *c, const int64_t *cuts, pawl_owners **out);
void pawl_owners_close(pawl_owners *o);
/* From now on what is gathered is in d's memory (before: the host's). Takes staging where that is not shared, of so many bytes. Local. */
PAWL_MUST pawl_status pawl_owners_stage(pawl_owners *o, pawl_device *d);
size_t pawl_owners_staging_bytes(const pawl_owners *o, pawl_device *d); /* the plan */
void pawl_owner_range(const pawl_owners *o, int rank, int64_t *first, int64_t *end);
/* Collective. Numbers [first, first + count) of the flat run to all ranks, from those that keep them: mine begins at this rank's
 * own first number, to at number `first`; both in the memory of the device of pawl_owners_stage. mine may lie in `to`. No
 * memory is taken. */
PAWL_MUST pawl_status pawl_owners_gather(pawl_owners *o, int64_t first, int64_t count, const float *mine, float *to);
/* The same, aside where it may be: `to` is whole, and mine may be changed, for what comes after an await of the mark. */
PAWL_MUST pawl_status pawl_owners_gather_aside(pawl_owners *o, int64_t first, int64_t count, const float *mine, float *to, int mark);

/* ---- The sum of a step's gradients ----
 * Gradients and sums are in the device's memory. Where the host does not share it, messages go through staging buffers of its own.
 * Lanes [0, lanes) are dealt to ranks in contiguous runs; the tree over them joins neighbours level by level, an odd
 * one out passes up. A rank adds the whole subtrees that it owns; what is left is exchanged piece by piece, the owner
 * of a piece finishes the tree, and the pieces are gathered. Any number of ranks up to `lanes` gives the same bits. */
void pawl_lanes_of(int lanes, int rank, int size, int *first, int *end);
/* Slots of a lane, of those of the whole step: [*first, *end). */
void pawl_slots_of_lane(int64_t slots, int lanes, int lane, int64_t *first, int64_t *end);

typedef struct pawl_reduction pawl_reduction;
/* count f32 numbers in each gradient. owners: each rank is to have the sum of its own range alone (zero_stage 1); NULL: all of it.
 * Errors: EMEM, EUSAGE when size > lanes, or for fast with owners. kind: index into pawl_reduction_names. */
PAWL_MUST pawl_status pawl_reduction_open(pawl_comm *c, pawl_device *d, int kind, int lanes, int64_t count,
                                          const pawl_owners *owners, pawl_reduction **out);
void pawl_reduction_close(pawl_reduction *r);
/* The plan: bytes of gradient buffers and exchange buffers for this rank. Exchange takes at most 32 MiB up to 1024 senders, and as
 * much again for staging where d's memory is not shared. */
pawl_room pawl_reduction_bytes(const pawl_comm *c, pawl_device *d, int kind, int lanes, int64_t count, const pawl_owners *owners);
/* Starts a step: no lane is summed yet. */
void pawl_reduction_begin(pawl_reduction *r);
/* The buffer for the gradients of this rank's next lane, not cleared: the first slot of a lane sets, later ones add.
 * With kind fast every slot after the rank's very first adds to the same buffer (*put says which it is). */
float *pawl_reduction_lane(pawl_reduction *r, pawl_put *put);
/* The lane is complete. */
PAWL_MUST pawl_status pawl_reduction_lane_done(pawl_reduction *r);
/* Whether pawl_reduction_ready does anything: exchange begins before the last lane is done. */
int pawl_reduction_overlaps(const pawl_reduction *r);
/* Numbers [first, first + count) of this rank's last lane are what they will be when it is done: parts from the end of the run on, one behind the
 * other. When a bucket of them is together its exchange begins, beside what the device is asked for next. Ranks call it with the same
 * parts. One that fails before, or between, meets the others at their next agreement, since none waits here; then what is under way is
 * given up (pawl_comm_disconnect). */
PAWL_MUST pawl_status pawl_reduction_ready(pawl_reduction *r, int64_t first, int64_t count);
/* Collective. Joins the lanes of all ranks; *sum [count] is the same on every rank, valid until the next begin. With owners only
 * this rank's range of it is the sum. */
PAWL_MUST pawl_status pawl_reduction_end(pawl_reduction *r, float **sum);

/* ---- The same in rounds, where no rank is to hold a whole gradient (zero_stage 2 and 3) ----
 * Round r of a step is the r-th slot of each lane that has so many. The lanes of a round take turns, as many at a time as there
 * are ranks: rank k computes the k-th of a turn. Each part of the flat run is summed as soon as it is complete: the owner of a
 * range receives everyone's slices of it, adds them in the order of the tree over lanes, and rounds one after another. The same
 * bits at any number of ranks up to `lanes`; those of pawl_reduction where each lane is one slot. */
int64_t pawl_rounds_of(int64_t slots, int lanes);
int64_t pawl_turns_of(int64_t slots, int lanes, int size, int64_t round);
/* The lane that a rank computes in a turn of a round; -1: none. */
int pawl_turn_lane(int64_t slots, int lanes, int size, int64_t round, int64_t turn, int rank);

typedef struct pawl_rounds pawl_rounds;
/* slots: of a step at most; fewest: of one at least. A step has `slots` of them unless pawl_rounds_slots says otherwise. */
PAWL_MUST pawl_status pawl_rounds_open(pawl_comm *c, pawl_device *d, int64_t fewest, int64_t slots, int lanes, const pawl_owners *owners,
                                       pawl_rounds **out);
void pawl_rounds_slots(pawl_rounds *r, int64_t slots);
void pawl_rounds_close(pawl_rounds *r);
/* The plan: this rank's range of the sum, of the nodes of the tree that wait for others, and exchange (at most 32 MiB). */
pawl_room pawl_rounds_bytes(const pawl_comm *c, pawl_device *d, int64_t fewest, int64_t slots, int lanes, const pawl_owners *owners);
/* A turn begins; rounds and turns of a step come in order, from 0. Local. */
void pawl_rounds_turn(pawl_rounds *r, int64_t round, int64_t turn);
/* Collective, on every rank in every turn, for the same parts in the same order. This rank's gradients of numbers
 * [first, first + count) are at grads (NULL: it computes none in this turn), whence they go to their owners; they are written
 * over. Aside where it may be: then what is at grads is in use until the mark. Every rank must be known to come (pawl_meet); one that
 * fails later meets the others at their next agreement, and what is under way is given up (pawl_comm_disconnect). */
PAWL_MUST pawl_status pawl_rounds_add(pawl_rounds *r, int64_t first, int64_t count, float *grads, int mark);
/* After all turns: the sum over this rank's range. */
PAWL_MUST pawl_status pawl_rounds_sum(pawl_rounds *r, float **sum);

/* What to add to this rank's clock (core/span.h) for rank 0's, and by how much that may be wrong. Collective. */
typedef struct pawl_clock {
    int64_t offset_ns, error_ns;
} pawl_clock;
PAWL_MUST pawl_status pawl_clock_measure(pawl_comm *c, pawl_clock *out);

/* ---- Waiting: a thread that ends this rank when it has waited too long ---- */
/* Starts the watchdog. ended: called from its thread with a sentence (what was waited for), must not return; launch/
 * hands in one that prints and _exits 75. */
PAWL_MUST pawl_status pawl_watch_open(void (*ended)(const char *sentence));
void pawl_watch_close(void);
/* From now on this rank does `what` (a string that lives on), for at most `seconds`; again for the next phase. */
void pawl_watch(const char *what, double seconds);

/* The present phase has got on: its time begins again. */
void pawl_watch_renew(void);
/* Seconds until the watchdog ends this rank, and what it has allowed in all; very many where nothing is watched. What is waited for. */
double pawl_watch_left(double *limit, const char **what);
/* Ends this rank as the watchdog does, with that sentence. Returns only where there is none. */
void pawl_watch_end(const char *sentence);

/* ---- Work that takes long ---- */
/* Collective. Every rank runs work(self), which never communicates, and waits until all are through. Meanwhile ranks hear
 * of each other whenever they call pawl_keep_going: that they are alive (a rank that hears nothing for as long as pawl_watch
 * allows gives the others up), that one is asked to stop (then all are), how far all are, where one has failed. Returns
 * the agreed status of the work. */
PAWL_MUST pawl_status pawl_together(pawl_comm *c, pawl_status (*work)(void *self), void *self);
/* Collective. The same, but only rank 0 works. */
PAWL_MUST pawl_status pawl_alone(pawl_comm *c, pawl_status (*work)(void *self), void *self);
/* For every turn of a long local loop of the main thread: 0 when this rank is asked to stop, else 1. Shows that it is alive,
 * to the watchdog and to ranks that work with it. Cheap. */
int pawl_keep_going(void);
/* In such work: adds to what this rank has done; what all have, as far as this rank has heard (rank 0 hears soonest). */
void pawl_progress_add(int64_t done);
int64_t pawl_progress(void);
/* From now on, in such work, show(self) is called on every rank about twice a second, from pawl_keep_going or while it waits; NULL
 * ends that. */
void pawl_progress_show(void (*show)(void *self), void *self);
/* 1 while only rank 0 works. */
int pawl_works_alone(void);
/* In such work, when its pieces are numbered: piece `place` has failed here; the lowest that has failed anywhere, as far as
 * this rank has heard (INT64_MAX: none). What comes after it need not be done. */
void pawl_failed_at(int64_t place);
int64_t pawl_first_failure(void);

/* ---- Stopping on purpose ---- */
/* Set by signal handlers in launch/; read by every loop. */
extern volatile sig_atomic_t pawl_stop_asked;

double pawl_seconds(void); /* monotonic clock */

#ifdef __cplusplus
}
#endif
#endif
