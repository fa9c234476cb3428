#include "trainer/continual/shown.h"

#include "core/arena.h"

static int64_t rows_before(const pawl_data *d, int dataset)
{
    int64_t n = 0;
    for (int i = 0; i < dataset; i++) n += pawl_data_rows_of(d, PAWL_TRAIN, i);
    return n;
}

int64_t pawl_row_number(const pawl_data *d, pawl_row r)
{
    return rows_before(d, r.domain) + r.index;
}

int64_t pawl_row_numbers(const pawl_data *d)
{
    return rows_before(d, pawl_data_domains(d, PAWL_TRAIN));
}

static int was_seen(void *self, int dataset, int64_t row, double *loss)
{
    const pawl_shown *s = self;
    const int64_t number = pawl_row_number(s->seen.data, (pawl_row){dataset, row});
    *loss = s->losses && s->losses[number] > 0 ? (double)s->losses[number] : 1;
    return !s->bits || (s->bits[(number - s->base) / 8] >> (number - s->base) % 8 & 1);
}

pawl_status pawl_shown_open(const pawl_data *d, int first, int end, pawl_row_of *row_at, int stage, int64_t consumed, const float *losses,
                            pawl_shown *out)
{
    *out = (pawl_shown){.seen = {.data = d, .was_seen = was_seen, .first = first, .end = end}, .base = rows_before(d, first), .losses = losses};
    out->seen.self = out;
    if (!row_at) return PAWL_OK;
    const int64_t rows = rows_before(d, end) - out->base;
    PAWL_TRY(pawl_alloc((void **)&out->bits, (size_t)(rows + 7) / 8, "the rows that a stage has shown"));
    for (int64_t at = 0; at < consumed; at++) {
        const int64_t n = pawl_row_number(d, row_at(d, stage, at)) - out->base;
        if (at % 65536 == 0) (void)pawl_keep_going();
        out->bits[n / 8] |= (uint8_t)(1 << n % 8);
    }
    return PAWL_OK;
}

void pawl_shown_close(pawl_shown *s)
{
    pawl_free(s->bits);
    s->bits = NULL;
}
