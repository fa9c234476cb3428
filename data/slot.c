/* The arrays of a slot: what is read, what is to be predicted, and where documents begin. */
#include "data/mixture.h"

#include <string.h>

#include "core/batch.h"

enum { ROUND_TO = 32 };

static int64_t rounded(const pawl_data *d, int64_t longest)
{
    longest = ((longest > 1 ? longest : 1) + ROUND_TO - 1) / ROUND_TO * ROUND_TO;
    return longest < d->sequence_len ? longest : d->sequence_len;
}

int64_t pawl_slot_tokens_for(const pawl_data *d, int64_t longest)
{
    return d->packed ? d->sequence_len : rounded(d, longest);
}

int64_t pawl_slot_tokens(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count)
{
    int64_t longest = 1;
    if (d->packed && part != PAWL_CHOICE_ROWS) return d->sequence_len;
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = pawl_row_length(d, part, rows[i]);
        longest = n > longest ? n : longest;
    }
    return rounded(d, longest);
}

int64_t pawl_data_longest(const pawl_data *d)
{
    int64_t longest = 1;
    if (d->packed) return d->sequence_len;
    for (int part = PAWL_TRAIN; part <= PAWL_CHOICE_ROWS; part++)
        for (int i = 0; i < pawl_data_domains(d, (pawl_part)part); i++)
            for (int64_t r = 0; r < pawl_data_rows_of(d, (pawl_part)part, i); r++) {
                const pawl_row row = {i, r};
                const int64_t n = pawl_slot_tokens(d, (pawl_part)part, &row, 1);
                longest = n > longest ? n : longest;
            }
    return longest;
}

static int32_t token_at(const void *tokens, int wide, int64_t at)
{
    return wide ? (int32_t)((const uint32_t *)tokens)[at] : (int32_t)((const uint16_t *)tokens)[at];
}

static int bit_at(const uint8_t *bits, int64_t at)
{
    return bits[at / 8] >> at % 8 & 1;
}

/* Tokens [from, from + count) of an array, and their bits, to places at ... of the batch. */
static void fill_segment(const void *tokens, const uint8_t *trained, int wide, int64_t from, int64_t count, int64_t at, pawl_batch *b)
{
    for (int64_t i = 0; i < count; i++) {
        b->ids[at + i] = token_at(tokens, wide, from + i);
        b->positions[at + i] = (int32_t)i;
        b->starts[at + i] = (int32_t)at;
        if (i > 0) b->targets[at + i - 1] = bit_at(trained, from + i) ? b->ids[at + i] : PAWL_NOT_TRAINED;
    }
    b->targets[at + count - 1] = PAWL_NOT_TRAINED; /* what follows is another document, or the next segment's task */
}

static void fill_padding(int64_t at, int64_t end, pawl_batch *b)
{
    for (; at < end; at++) {
        b->ids[at] = 0;
        b->targets[at] = PAWL_NOT_TRAINED;
        b->positions[at] = 0;
        b->starts[at] = (int32_t)at;
    }
}

void pawl_row_fill(const pawl_data *d, pawl_part part, pawl_row r, pawl_batch *b, int64_t row)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    const pawl_prepared *p = &v.dataset->prepared;
    int64_t at = row * b->tokens;
    for (int64_t k = 0; k < v.count; at += v.segments[k++].tokens)
        fill_segment(p->map[PAWL_FILE_TOKENS], p->map[PAWL_FILE_TRAINED], p->wide, v.segments[k].tokens_at, v.segments[k].tokens, at, b);
    fill_padding(at, (row + 1) * b->tokens, b);
}

void pawl_slot_fill(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count, pawl_batch *b)
{
    b->rows = count;
    b->tokens = pawl_slot_tokens(d, part, rows, count);
    for (int64_t i = 0; i < count; i++) pawl_row_fill(d, part, rows[i], b, i);
}

void pawl_row_put(const pawl_row_tokens *r, pawl_batch *b, int64_t row)
{
    int64_t from = 0, at = row * b->tokens;
    for (int64_t k = 0; k < r->segment_count; k++) {
        int64_t count;
        memcpy(&count, (const char *)r->segments + k * r->segment_step, sizeof count);
        fill_segment(r->tokens, r->trained, r->wide, from, count, at, b);
        from += count;
        at += count;
    }
    fill_padding(at, (row + 1) * b->tokens, b);
}

int64_t pawl_row_trained(const pawl_data *d, pawl_part part, pawl_row r)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    int64_t n = 0;
    for (int64_t k = 0; k < v.count; k++) n += v.segments[k].trained;
    return n;
}

int64_t pawl_row_length(const pawl_data *d, pawl_part part, pawl_row r)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    int64_t n = 0;
    for (int64_t k = 0; k < v.count; k++) n += v.segments[k].tokens;
    return n;
}

int64_t pawl_row_bytes(const pawl_data *d, pawl_part part, pawl_row r)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    int64_t n = 0;
    for (int64_t k = 0; k < v.count; k++) n += v.segments[k].bytes;
    return n;
}
