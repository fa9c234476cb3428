/* trainer/continual/replaying.h - the memory of a run: opened from its parts, told what was learnt, saved and read with it. */
#ifndef PAWL_TRAINER_CONTINUAL_REPLAYING_H
#define PAWL_TRAINER_CONTINUAL_REPLAYING_H

#include "trainer/continual/shown.h"
#include "trainer/trainer.h"

typedef struct pawl_replaying {
    pawl_memory *memory;
    const pawl_data *data;
    float *losses; /* [pawl_row_numbers] a token's, when a row was last trained on; NULL but for policy loss */
    int64_t loss_count;
} pawl_replaying;

/* What a memory is opened with; for the plan, too (p->data may be NULL). columns must outlive the call that it is for. */
pawl_memory_inputs pawl_replaying_inputs(const pawl_parts *p, const pawl_replay_config *r, const pawl_memory_column *columns, int count);
/* in is kept, so what it points at (but the columns) must live on. Collective. Errors: EMEM, EIO. */
PAWL_MUST pawl_status pawl_replaying_open(const pawl_parts *p, const pawl_memory_inputs *in, pawl_replaying *out);
void pawl_replaying_close(pawl_replaying *r); /* also after an error */
/* A new row was trained on in this step: its loss, summed over so many trained tokens. The same on all ranks. Local. */
void pawl_replaying_note(pawl_replaying *r, pawl_row row, double loss, int64_t trained);
/* All rows of datasets [first, end), before the first stage (general data). Collective. */
PAWL_MUST pawl_status pawl_replaying_know(pawl_replaying *r, int first, int end);
/* A stage of datasets [first, end) ends, of whose new rows `consumed` were shown. Losses are forgotten. Collective. */
PAWL_MUST pawl_status pawl_replaying_end_stage(pawl_replaying *r, int first, int end, pawl_row_of *row_at, int stage, int64_t consumed);
/* Appends what a checkpoint holds of it: the memory, and "replay/losses", which changes with every step. */
PAWL_MUST pawl_status pawl_replaying_state(const pawl_replaying *r, pawl_state *out);
/* Takes a checkpoint over: the same run's with its losses, a finished run's (resumed 0) without. Collective. */
PAWL_MUST pawl_status pawl_replaying_read(pawl_replaying *r, const pawl_checkpoint *k, int resumed);

#endif
