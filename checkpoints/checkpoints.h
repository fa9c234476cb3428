/* checkpoints/checkpoints.h - write, find, verify, read and prune checkpoints; their lineage.
 *
 * Knows named tensors, not models. A checkpoint is whole or absent (decision 7); what it was made of is inside it and
 * chained (decision 8). HDF5 lays the file out and makes it readable by everyone's tools; it is never in the data path. */
#ifndef PAWL_CHECKPOINTS_CHECKPOINTS_H
#define PAWL_CHECKPOINTS_CHECKPOINTS_H

#include "comm/comm.h"
#include "core/fields.h"
#include "core/hash.h"
#include "core/state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define PAWL_CHECKPOINT_FIELDS(F, C, T)                                                                                        \
    F(i64, save_steps,       "0",    0, 1e12, "steps",   FREE, "save every so many steps; 0: only at the end")                 \
    F(f64, save_minutes,     "0",    0, 1e6,  "minutes", FREE, "save every so many minutes; 0: off")                           \
    F(i64, save_total_limit, "0",    0, 1e6,  "",        FREE, "checkpoints kept; 0: all")                                     \
    T(resume_from_checkpoint, "auto", 1024,              FREE, "auto (the newest), none (start anew), or a path")              \
    F(flag, resume_fallback, "false", 0, 1,   "",        FREE, "if the newest is damaged, go back to the newest whole one")    \
    T(parent_checkpoint,     "",     1024,               FIXED, "a finished run's checkpoint to continue from, with new data")
/* clang-format on */
typedef struct pawl_checkpoint_config { PAWL_CHECKPOINT_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_checkpoint_config;
extern const pawl_field pawl_checkpoint_rows[];

/* ---- The lock of an output directory ---- */
/* Local (rank 0 calls it). Held until the process ends or pawl_lock_close. Errors: EUSAGE naming the job that has it. */
PAWL_MUST pawl_status pawl_lock_open(const char *output_dir, int *lock);
void pawl_lock_close(int lock);

/* ---- Writing ---- */
typedef struct pawl_saver pawl_saver; /* the background writer of one rank */
typedef struct pawl_checkpoint pawl_checkpoint; /* a checked manifest */

/* tensors: what every checkpoint holds, under their paths in the file without the leading slash ("model/...",
 * "optimizer/adamw/m/...", "memory/...", "method/..."), the same list on all ranks; data stay the caller's and are copied
 * at pawl_save_begin. Items with `frozen` set are in the host's memory and written once, straight from it; it must stay as it
 * is while the saver is open; later checkpoints refer to the file they lie in.
 * Of a sharded tensor a rank holds item.first and item.count, and writes what it holds.
 * Memory for the snapshot (this rank's chunks of what is not frozen) is taken here. Rank 0's process holds the lock of
 * output_dir. Collective. Errors: EMEM, EIO, EBUG (lists differ, or a name is not a path of names). */
PAWL_MUST pawl_status pawl_saver_open(pawl_comm *c, const char *output_dir, const pawl_state *tensors, int64_t keep,
                                      pawl_saver **out);
/* Says which checkpoint the run goes on from: the next one names it as its parent. When it lies in the same output_dir, the
 * frozen tensors that it holds or refers to, and that still have its digests, are not written again. Collective. */
PAWL_MUST pawl_status pawl_saver_resume(pawl_saver *s, const pawl_checkpoint *from);
/* Ends the thread; a save under way is finished first if it can be, else left as a .part. Local. */
void pawl_saver_close(pawl_saver *s);
size_t pawl_saver_bytes(const pawl_comm *c, const pawl_state *tensors); /* the plan */

/* What a checkpoint says of itself beside its tensors. run: attributes of /run (step, stage, consumed counters, ...);
 * lineage: the record of decision 8, without digests of tensors, which the saver fills in. */
typedef struct pawl_save { int64_t step; const json_t *run, *lineage; int is_best; } pawl_save;

/* Starts a save: copies this rank's chunks and returns; the rest happens behind the step. No save may be under way. Chunks on a GPU are
 * copied beside what it is asked for next: what changes them has to come after pawl_snapshot_await (ops.h), until the save is through its
 * first phase.
 * Collective in the sense that every rank calls it at the same step; it does not communicate. */
PAWL_MUST pawl_status pawl_save_begin(pawl_saver *s, const pawl_save *what);
/* Collective, right after pawl_save_begin and before anything changes: of chunks of sharded tensors that several ranks hold, the
 * one that writes gets the others' parts. Nothing to do otherwise. */
PAWL_MUST pawl_status pawl_save_share(pawl_saver *s);
int pawl_save_busy(const pawl_saver *s); /* the same on all ranks */

/* A save moves on when all ranks have finished its present phase. At every step boundary each rank puts its
 * pawl_save_vote into the step's own agreement, and hands all ranks' votes to pawl_save_poll, which may then communicate
 * (all ranks alike). *published is 1 on the call that completes a save. A failed save returns its error, the same on all
 * ranks, leaves older checkpoints as they were, and the saver is free for the next one. */
typedef struct pawl_save_vote { int32_t phase, done; } pawl_save_vote;
pawl_save_vote pawl_save_vote_now(pawl_saver *s);
PAWL_MUST pawl_status pawl_save_poll(pawl_saver *s, const pawl_save_vote *all, int *published);
/* Collective. Polls until the save under way has ended; the watchdog allows each of its phases phase_seconds. */
PAWL_MUST pawl_status pawl_save_finish(pawl_saver *s, double phase_seconds, int *published);
/* Digests of the last published save. */
typedef struct pawl_save_result { int64_t step; double seconds; uint64_t bytes_written; pawl_digest weights, state, root; } pawl_save_result;
pawl_save_result pawl_save_last(const pawl_saver *s);

/* Local. Digests over tensors in memory, as a manifest states them: SHA-256 over "name NUL dtype NUL digest" in byte order of the
 * names, the digest as its 32 bytes. weights_sha256 is over items under "model/", state_sha256 over all. */
PAWL_MUST pawl_status pawl_state_digests(const pawl_state *tensors, pawl_digest *weights, pawl_digest *state);
/* Collective, while no save is under way. The same of what a saver saves, when no rank holds all of it. */
PAWL_MUST pawl_status pawl_saver_digests(pawl_saver *s, pawl_digest *weights, pawl_digest *state);

/* ---- Reading ---- */
/* path: a checkpoint, or a run's output directory (its newest). Checks the manifest against itself: canonical form,
 * root digest, offsets inside files. Local. Errors: EDATA naming file and field; EIO. */
PAWL_MUST pawl_status pawl_checkpoint_open(const char *path, pawl_checkpoint **out);
void pawl_checkpoint_close(pawl_checkpoint *k);
const char *pawl_checkpoint_path(const pawl_checkpoint *k);
const json_t *pawl_checkpoint_manifest(const pawl_checkpoint *k); /* "run", "lineage", "tensors", digests */
int64_t pawl_checkpoint_step(const pawl_checkpoint *k);
/* Type and shape of a tensor, data NULL; 0 when there is none of that name. */
int pawl_checkpoint_tensor(const pawl_checkpoint *k, const char *name, pawl_tensor *out);
/* Tensor i of all, in byte order of the names: the same, and its name; NULL behind the last. */
const char *pawl_checkpoint_item(const pawl_checkpoint *k, int i, pawl_tensor *out);
/* Reads what every item of `into` (found by name) says it holds, and checks the digests of the chunks that it lies in; dtype and
 * shape must agree. Local.
 * Errors: EDATA naming file, tensor, chunk, expected and found. */
PAWL_MUST pawl_status pawl_checkpoint_read(const pawl_checkpoint *k, const pawl_state *into);

/* The newest checkpoint of output_dir by LATEST and by name, "" when there is none. With fallback: the newest whole one;
 * *lost_steps says how far back. Local. Errors: EDATA naming what is damaged (without fallback). */
PAWL_MUST pawl_status pawl_checkpoint_find(const char *output_dir, int fallback, char *path, size_t room, int64_t *lost_steps);

/* Makes LATEST point at the checkpoint that was saved last with is_best; path is that one, "" when there is none. Later ones stay
 * until they are replaced or pruned. Local (rank 0, which holds the lock, with no save under way). Errors: EDATA when it is missing. */
PAWL_MUST pawl_status pawl_checkpoint_go_back(const char *output_dir, char *path, size_t room);

/* Verifies a checkpoint or all of a run's: manifest, every chunk, the HDF5 file against the manifest. Each finding is a
 * line of `findings` (file, tensor, chunk); *count of them. Local. */
PAWL_MUST pawl_status pawl_verify(const char *path, pawl_text *findings, int *count);
/* `pawl show --json` of contracts.md. */
PAWL_MUST pawl_status pawl_show(const char *path, json_t **out);
/* The run's checkpoints, newest first, as an array of what `pawl log --json` prints. */
PAWL_MUST pawl_status pawl_log_of(const char *output_dir, json_t **out);

#ifdef __cplusplus
}
#endif
#endif
