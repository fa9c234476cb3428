#include "trainer/continual/replaying.h"

#include <string.h>

#include "core/arena.h"

pawl_memory_inputs pawl_replaying_inputs(const pawl_parts *p, const pawl_replay_config *r, const pawl_memory_column *columns, int count)
{
    return (pawl_memory_inputs){.comm = p->comm,
                                .replay = r,
                                .seed = (uint64_t)p->train->seed,
                                .output_dir = p->train->output_dir,
                                .longest = p->sequence_len,
                                .wide = p->tokenizer && pawl_tokenizer_size(p->tokenizer) > 65536,
                                .columns = columns,
                                .column_count = count};
}

pawl_status pawl_replaying_open(const pawl_parts *p, const pawl_memory_inputs *in, pawl_replaying *out)
{
    *out = (pawl_replaying){.data = p->data};
    PAWL_TRY(pawl_memory_open(in, &out->memory));
    if (in->replay->policy != PAWL_POLICY_LOSS) return PAWL_OK;
    out->loss_count = pawl_row_numbers(p->data);
    return pawl_agree(p->comm, pawl_alloc((void **)&out->losses, (size_t)out->loss_count * sizeof *out->losses, "the last losses of rows"));
}

void pawl_replaying_close(pawl_replaying *r)
{
    pawl_memory_close(r->memory);
    pawl_free(r->losses);
    *r = (pawl_replaying){0};
}

void pawl_replaying_note(pawl_replaying *r, pawl_row row, double loss, int64_t trained)
{
    if (r->losses && trained > 0) r->losses[pawl_row_number(r->data, row)] = (float)(loss / (double)trained);
}

static pawl_status absorb(pawl_replaying *r, pawl_comm *c, pawl_status mine, pawl_shown *shown)
{
    pawl_status s = pawl_agree(c, mine);
    if (s == PAWL_OK) s = pawl_memory_absorb(r->memory, &shown->seen);
    pawl_shown_close(shown);
    return s;
}

pawl_status pawl_replaying_know(pawl_replaying *r, int first, int end)
{
    pawl_shown shown = {0};
    if (first == end) return PAWL_OK;
    const pawl_status mine = pawl_shown_open(r->data, first, end, NULL, 0, 0, NULL, &shown);
    return absorb(r, pawl_memory_comm(r->memory), mine, &shown);
}

pawl_status pawl_replaying_end_stage(pawl_replaying *r, int first, int end, pawl_row_of *row_at, int stage, int64_t consumed)
{
    pawl_shown shown = {0};
    const pawl_status mine = pawl_shown_open(r->data, first, end, row_at, stage, consumed, r->losses, &shown);
    PAWL_TRY(absorb(r, pawl_memory_comm(r->memory), mine, &shown));
    if (r->losses) memset(r->losses, 0, (size_t)r->loss_count * sizeof *r->losses);
    return PAWL_OK;
}

static pawl_status add_losses(const pawl_replaying *r, pawl_state *out)
{
    if (!r->losses) return PAWL_OK;
    return pawl_state_add(out, "", "replay/losses", (pawl_tensor){.data = r->losses, .dtype = PAWL_F32, .ndim = 1, .dim = {r->loss_count}});
}

pawl_status pawl_replaying_state(const pawl_replaying *r, pawl_state *out)
{
    PAWL_TRY(pawl_memory_state(r->memory, out));
    return add_losses(r, out);
}

static pawl_status read_losses(const pawl_replaying *r, const pawl_checkpoint *k)
{
    pawl_state one = {0};
    pawl_status s = add_losses(r, &one);
    if (s == PAWL_OK && one.count) s = pawl_checkpoint_read(k, &one);
    pawl_state_close(&one);
    return s;
}

pawl_status pawl_replaying_read(pawl_replaying *r, const pawl_checkpoint *k, int resumed)
{
    PAWL_TRY(pawl_memory_read(r->memory, k));
    return resumed ? pawl_agree(pawl_memory_comm(r->memory), read_losses(r, k)) : PAWL_OK;
}
