/* checkpoints/saver.h - the background writer of one rank, as the files that make it up see it.
 *
 * A save goes through three phases. In each, every rank's thread (or rank 0's alone) works; the main thread, at step
 * boundaries, hears all ranks' votes and, when all are done, communicates and starts the next phase:
 *
 *     phase    thread of   works                                        then, on the main threads
 *     LAYOUT   rank 0      leftovers, step-N.part, checkpoint.h5        rank 0's offsets go to all; all have their copies whole
 *     WRITE    all ranks   own chunks: hash, pwrite; fsync              the chunks' digests go to all
 *     PUBLISH  rank 0      manifest, rename, LATEST, prune              the digests of the whole go to all
 *
 * A vote of -1 is a failure: when all ranks have voted they agree on it, rank 0 removes the .part, and the saver is
 * idle again. The thread never communicates; the main thread never waits for it, except in pawl_save_finish and close.
 */
#ifndef PAWL_CHECKPOINTS_SAVER_H
#define PAWL_CHECKPOINTS_SAVER_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "checkpoints/checkpoints.h"
#include "checkpoints/share.h"
#include "checkpoints/stored.h"
#include "core/arena.h"

enum { PAWL_SAVE_IDLE, PAWL_SAVE_LAYOUT, PAWL_SAVE_WRITE, PAWL_SAVE_PUBLISH };

/* What rank 0 found out in LAYOUT and tells all; offsets are in the order of the tensors. */
typedef struct pawl_placing {
    int64_t file_bytes;
    pawl_digest layout;
    int64_t offset[];
} pawl_placing;

struct pawl_saver {
    pawl_comm *comm;
    char folder[PATH_MAX]; /* output_dir/checkpoints */
    int64_t keep;

    pawl_stored *tensors; /* sorted by name; `file` says where each one lies, or will */
    int count;
    pawl_digest *chunks; /* of all tensors: those that change, then frozen ones */
    pawl_share changing, frozen;
    pawl_arena snapshot; /* this rank's chunks of what changes, ... */
    pawl_load *loads;    /* ... and what of them it holds, by how it is copied: [from_device, from_offloaded) lies on `device`, ... */
    int64_t load_count, from_device, from_offloaded;
    pawl_device *device; /* NULL: all is in memory that the host reads */
    char *edges;         /* chunks of frozen tensors that this rank writes and holds in part only, put together here */
    size_t edge_bytes;
    pawl_transfer *transfers; /* what of chunks other ranks hold, that this one writes, and the other way round */
    int transfer_count, changing_transfers; /* those of what changes come first */
    struct pawl_sent {    /* [transfers] of what this rank sends: where it is, when the host cannot read that; ... */
        pawl_device *device;
        const char *from;
    } *sent;
    char *outgoing;       /* ... and where it is brought down to */
    size_t outgoing_bytes;
    pawl_placing *placing;
    size_t placing_bytes;
    pawl_save_vote *votes; /* [size], for pawl_save_finish */
    pawl_digest parent;
    int has_parent;

    /* The save under way. The main thread sets these while no phase is at work. */
    int64_t step;
    char step_name[PAWL_STEP_NAME_MAX], part[PATH_MAX];
    json_t *run, *lineage;
    int is_best;
    pawl_sums sums;
    double begun;
    pawl_save_result last;

    /* Between the two threads, under `mutex`. */
    pthread_t thread;
    int has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int phase, done, asked; /* done: 0 at work, 1, or -1 with `error` */
    atomic_int quit;
    pawl_error error;
};

/* ---- Tensors held in ranges (ranges.c) ---- */
/* What every rank holds of each tensor, [ranks][tensors]; pawl_free it. Collective. Errors: EMEM; EBUG when a tensor is not
 * held whole. */
PAWL_MUST pawl_status pawl_held_gather(pawl_saver *s, pawl_held **out);
/* Finds out what has to travel before a snapshot is whole. Local. */
PAWL_MUST pawl_status pawl_transfers_plan(pawl_saver *s, const pawl_held *held);
/* The bytes that this process holds of chunk c; first >= end: none. */
pawl_held pawl_held_of_chunk(const pawl_stored *t, int64_t c);
/* What this rank holds of frozen chunks that it writes and holds in part, to the edges; and what others write of what is on a device,
 * on its way to them. Local. Errors: the device's. */
PAWL_MUST pawl_status pawl_edges_copy(pawl_saver *s);
PAWL_MUST pawl_status pawl_outgoing_copy(pawl_saver *s);
/* Chunk c of a frozen tensor, which this rank writes. *edge: the next of the edges; start it at s->edges and ask for every such
 * chunk in the order of the list. */
const char *pawl_frozen_chunk(const pawl_stored *t, int64_t c, const char **edge);

/* ---- The snapshot (snapshot.c); local ---- */
/* Finds out what is copied, and how. Errors: EMEM; EBUG when there are two devices. */
PAWL_MUST pawl_status pawl_snapshot_plan(pawl_saver *s);
/* Copies what the host reads, and begins to copy the rest beside what the device is asked for next (ops.h); whole: waits for that.
 * Errors: the device's. */
PAWL_MUST pawl_status pawl_snapshot_take(pawl_saver *s);
PAWL_MUST pawl_status pawl_snapshot_whole(pawl_saver *s);

/* The work of the phases: local, on the thread. */
PAWL_MUST pawl_status pawl_save_lay_out(pawl_saver *s);
PAWL_MUST pawl_status pawl_save_write(pawl_saver *s);
PAWL_MUST pawl_status pawl_save_publish(pawl_saver *s);

/* The thread. */
PAWL_MUST pawl_status pawl_save_thread_open(pawl_saver *s);
void pawl_save_thread_close(pawl_saver *s);
void pawl_save_thread_start(pawl_saver *s, int phase); /* of a save: at once done where this rank has nothing to do */
void pawl_save_thread_fail(pawl_saver *s, int phase);  /* with this thread's last error */
void pawl_save_thread_wait(pawl_saver *s);

#endif
