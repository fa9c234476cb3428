/* trainer/continual/memory.h - the replay memory: rows of finished stages, sampled by keys, shared out over ranks.
 *
 * What is kept is a pure function of what was seen (sketch.h), and what is drawn one of (seed, step, number): no rank tells another.
 * The memory changes at a stage's end and at a run's begin only, by pawl_memory_take; in between it is frozen. Rows lie in the order (domain, key); rank
 * r keeps the numbers of rows [n r / P, n (r + 1) / P), in memory or in a mapped file, and every rank knows the list of all of them
 * (pawl_kept). Rows travel from their owner to who uses them in a list that all ranks know. */
#ifndef PAWL_TRAINER_CONTINUAL_MEMORY_H
#define PAWL_TRAINER_CONTINUAL_MEMORY_H

#include "checkpoints/checkpoints.h"
#include "comm/comm.h"
#include "data/data.h"
#include "trainer/continual/replay.h"
#include "trainer/continual/sketch.h"

/* Numbers that a method keeps beside the tokens: `width` of them for every token. In checkpoints under memory/NAME. */
typedef struct pawl_memory_column {
    const char *name; /* "der/ids" */
    pawl_dtype dtype;
    int64_t width;
} pawl_memory_column;
enum { PAWL_MEMORY_COLUMNS_MAX = 8 };

typedef struct pawl_memory_inputs {
    pawl_comm *comm;
    const pawl_replay_config *replay;
    uint64_t seed;
    const char *output_dir;  /* where a file of `storage: disk` lies */
    int64_t longest;         /* tokens of a row at most */
    int wide;                /* 1: token ids need 32 bits */
    const pawl_memory_column *columns;
    int column_count;
} pawl_memory_inputs;

typedef struct pawl_memory pawl_memory;
/* An empty memory. in and what it points at (but the list of columns) must outlive it. Collective. Errors: EMEM, EIO. */
PAWL_MUST pawl_status pawl_memory_open(const pawl_memory_inputs *in, pawl_memory **out);
void pawl_memory_close(pawl_memory *m);
/* The plan: what this rank keeps of a full memory with one document a row (`storage: disk`: nothing), and the list that every rank has.
 * While a stage ends there is twice as much. Local. */
size_t pawl_memory_bytes(const pawl_memory_inputs *in);
size_t pawl_memory_list_bytes(const pawl_memory_inputs *in);

/* ---- What every rank knows; local ---- */
pawl_comm *pawl_memory_comm(const pawl_memory *m);
int64_t pawl_memory_count(const pawl_memory *m);
const pawl_kept *pawl_memory_kept(const pawl_memory *m, int64_t item);
int pawl_memory_domains(const pawl_memory *m); /* in the order of first learning */
const char *pawl_memory_domain(const pawl_memory *m, int domain);
/* Rows of a domain that are held, and that were seen (each once in a stage). */
int64_t pawl_memory_rows_of(const pawl_memory *m, int domain);
int64_t pawl_memory_seen(const pawl_memory *m, int domain);
int pawl_memory_owner(const pawl_memory *m, int64_t item);
/* Draw number g of a step, for one of independent uses; -1 while the memory is empty. */
typedef enum pawl_draw_use { PAWL_DRAW_REPLAY, PAWL_DRAW_SOFT, PAWL_DRAW_HARD, PAWL_DRAW_REFERENCE, PAWL_DRAW_PROBE } pawl_draw_use;
int64_t pawl_memory_draw(const pawl_memory *m, int64_t step, int64_t g, pawl_draw_use use);

/* ---- Rows on their way ---- */
/* A row that rank `to` needs. */
typedef struct pawl_wanted {
    int64_t item;
    int to;
} pawl_wanted;
/* Collective. The list is the same on all ranks. Afterwards this rank has the rows that it wanted, until the next fetch. Takes no
 * memory: pawl_memory_reserve did. */
PAWL_MUST pawl_status pawl_memory_fetch(pawl_memory *m, const pawl_wanted *list, int64_t count);
/* Takes room for fetches of at most `all` rows, `here` of them to this rank. Local. Errors: EMEM. */
PAWL_MUST pawl_status pawl_memory_reserve(pawl_memory *m, int64_t here, int64_t all);
/* Row `place` of the fetched list (one that went to this rank): its tokens. Local. */
pawl_row_tokens pawl_memory_row(const pawl_memory *m, int64_t place);
/* Its numbers in a column, [tokens][width]. */
const void *pawl_memory_payload(const pawl_memory *m, int64_t place, int column);

/* ---- Taking rows in ---- */
/* Rows that may enter, in groups [first, end) of one domain, licence and list of files each; a row is (group, its place). Every function is
 * pure, local, and the same on all ranks. */
typedef struct pawl_rows_kind {
    const char *(*domain)(const void *of, int group);
    const char *(*license)(const void *of, int group);
    const json_t *(*source)(const void *of, int group, int32_t file); /* {name, bytes, sha256 and what else is said of it}; NULL: there are no more */
    int64_t (*rows)(const void *of, int group);
    int (*offered)(const void *of, pawl_row r, double *loss); /* 1 when it may; *loss: a token, for policy loss; below 0: not known, as if 1 */
    void (*facts)(const void *of, pawl_row r, pawl_kept *out); /* tokens, trained, bytes, segments */
    pawl_provenance (*segment)(const void *of, pawl_row r, int64_t k);
    void (*copy)(const void *of, pawl_row r, void *tokens, uint8_t *trained); /* as pawl_row_copy, in the memory's width */
} pawl_rows_kind;
typedef struct pawl_offer {
    const pawl_rows_kind *kind;
    const void *of;
    int first, end;
} pawl_offer;
/* Takes them in. Then the ranks' ranges are new ones: pointers and exported state are void. Collective. */
PAWL_MUST pawl_status pawl_memory_take(pawl_memory *m, const pawl_offer *offer);

/* Which rows of the datasets [first, end) a stage has shown. */
typedef struct pawl_seen {
    const pawl_data *data;
    /* 1 when row `row` of that dataset was seen; *loss: what its loss a token was then (policy loss); below 0: not known, as if 1. */
    int (*was_seen)(void *self, int dataset, int64_t row, double *loss);
    void *self;
    int first, end;
} pawl_seen;
/* pawl_memory_take of the stage's rows (seen.c). */
PAWL_MUST pawl_status pawl_memory_absorb(pawl_memory *m, const pawl_seen *seen);
/* Whether a row came in with the last absorb: columns of such rows are zero until their owner puts them. Local. */
int pawl_memory_fresh(const pawl_memory *m, int64_t item);
/* Local, on the owner: a row's numbers in a column. Errors: EIO. */
PAWL_MUST pawl_status pawl_memory_put(pawl_memory *m, int64_t item, int column, const void *numbers);
/* Local, on the owner: a row's tokens where they lie. */
pawl_row_tokens pawl_memory_own_row(const pawl_memory *m, int64_t item);
/* The mapped file leaves this process' memory until it is looked at again. */
void pawl_memory_let_go(const pawl_memory *m);

/* ---- Checkpoints ---- */
/* Appends the memory's tensors ("memory/..."), frozen; valid until the next absorb. */
PAWL_MUST pawl_status pawl_memory_state(const pawl_memory *m, pawl_state *out);
/* Takes over what a checkpoint holds: the same run's at any number of ranks, or a finished run's. Without a memory in it: stays empty.
 * Collective. Errors: EDATA; EUSAGE when columns are not those of m. */
PAWL_MUST pawl_status pawl_memory_read(pawl_memory *m, const pawl_checkpoint *k);

#endif
