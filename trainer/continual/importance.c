#include "trainer/continual/importance.h"

typedef struct rows {
    const pawl_moment *m;
    pawl_importance how;
    int general;
    int64_t count, all; /* all: rows of the general data */
    pawl_labels labels;
} rows;

static pawl_row general_row(const rows *r, int64_t i)
{
    const pawl_data *d = r->m->p->data;
    int dataset, end;
    int64_t at = (int64_t)((double)i * (double)r->all / (double)r->count);
    pawl_data_general(d, &dataset, &end);
    for (; at >= pawl_data_rows_of(d, PAWL_TRAIN, dataset) && dataset < end - 1; dataset++)
        at -= pawl_data_rows_of(d, PAWL_TRAIN, dataset);
    return (pawl_row){.domain = dataset, .index = at};
}

static pawl_status fill(void *self, int64_t slot, pawl_batch *b, pawl_pass *pass)
{
    rows *r = self;
    const pawl_parts *p = r->m->p;
    const pawl_row row = r->general ? general_row(r, slot) : pawl_data_row_at(p->data, r->m->stage->index, slot);
    const int64_t trained = pawl_row_trained(p->data, PAWL_TRAIN, row);
    pawl_slot_fill(p->data, PAWL_TRAIN, &row, 1, b);
    pass->scale = 1;
    pass->extra.tokens = b->tokens;
    if (r->how == PAWL_SENSITIVITY) {
        pass->extra.squares = 1;
        pass->scale = trained ? 1.0f / (float)trained : 0;
    }
    if (r->how == PAWL_FISHER_TRUE) {
        const int64_t stage = r->general ? 0 : r->m->stage_index + 1;
        r->labels = (pawl_labels){.seed = (uint64_t)p->train->seed, .first_row = stage << 32 | slot};
        pass->extra.labels = &r->labels;
    }
    return PAWL_OK;
}

static pawl_status mean(rows *r, float *to)
{
    pawl_side side;
    pawl_watch("how much weights matter", (double)r->m->p->reduce->phase_seconds);
    pawl_status s = pawl_agree(r->m->p->comm, pawl_side_open(r->m, r->count, &side));
    if (s == PAWL_OK)
        s = pawl_side_sum(&side, r->count, r->how == PAWL_SENSITIVITY ? PAWL_SIDE_ABSOLUTE : PAWL_SIDE_SQUARED, fill, r,
                          to);
    pawl_side_close(&side);
    pawl_data_let_go(r->m->p->data);
    if (s != PAWL_OK) return s;
    const pawl_hold *h = &r->m->stepper->hold;
    if (h->end == h->first) return PAWL_OK;
    const pawl_tensor range = {to, PAWL_F32, 1, {h->end - h->first}};
    return pawl_scale(r->m->p->device, range, (float)(1 / (double)r->count));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

pawl_status pawl_importance_of_stage(const pawl_moment *m, pawl_importance how, int64_t count, float *to,
                                     int64_t *found)
{
    rows r = {.m = m,
              .how = how,
              .count = least(count, least(m->consumed, pawl_data_epoch_rows(m->p->data, m->stage->index)))};
    *found = r.count;
    return r.count > 0 ? mean(&r, to) : PAWL_OK;
}

pawl_status pawl_importance_of_general(const pawl_moment *m, pawl_importance how, int64_t count, float *to,
                                       int64_t *found)
{
    rows r = {.m = m, .how = how, .general = 1};
    int first, end;
    pawl_data_general(m->p->data, &first, &end);
    for (; first < end; first++) r.all += pawl_data_rows_of(m->p->data, PAWL_TRAIN, first);
    *found = r.count = least(count, r.all);
    return r.count > 0 ? mean(&r, to) : PAWL_OK;
}

int pawl_has_general(const pawl_moment *m)
{
    int first, end;
    pawl_data_general(m->p->data, &first, &end);
    return end > first;
}
