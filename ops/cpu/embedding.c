#include <string.h>

#include "ops/cpu/cpu.h"

typedef struct lookup {
    const pawl_kernels *kernels;
    float *table, *rows; /* [V,D], [N,D] */
    const uint16_t *low; /* the table, where it is of bf16 */
    const int32_t *ids;
    int64_t positions, width;
} lookup;

static lookup lookup_of(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor rows)
{
    return (lookup){.kernels = pawl_cpu_of(d)->kernels,
                    .table = table.data,
                    .low = pawl_low(table) ? table.data : NULL,
                    .rows = rows.data,
                    .ids = ids.data,
                    .positions = pawl_tensor_count(ids),
                    .width = table.dim[1]};
}

static void copy_rows(void *self, int64_t i, int thread)
{
    (void)thread;
    const lookup *l = self;
    const int64_t first = i * PAWL_ROW_BLOCK, count = pawl_block_size(l->positions, PAWL_ROW_BLOCK, i);
    for (int64_t n = first; n < first + count; n++)
        if (l->low)
            l->kernels->widen(l->low + l->ids[n] * l->width, l->rows + n * l->width, l->width);
        else
            memcpy(l->rows + n * l->width, l->table + l->ids[n] * l->width, (size_t)l->width * sizeof(float));
}

pawl_status embedding_cpu(pawl_device *d, pawl_tensor table, pawl_tensor ids, pawl_tensor out)
{
    lookup l = lookup_of(d, table, ids, out);
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(l.positions, PAWL_ROW_BLOCK), copy_rows, &l);
    return PAWL_OK;
}

/* A task takes a panel of columns through all positions, so that each sum runs in the order of the positions. */
enum { COLUMNS = 64 };

static void add_columns(void *self, int64_t i, int thread)
{
    (void)thread;
    const lookup *l = self;
    const int64_t at = i * COLUMNS, width = pawl_block_size(l->width, COLUMNS, i);
    for (int64_t n = 0; n < l->positions; n++)
        l->kernels->add(l->table + l->ids[n] * l->width + at, l->rows + n * l->width + at, width);
}

pawl_status embedding_dw_cpu(pawl_device *d, pawl_tensor dout, pawl_tensor ids, pawl_tensor dtable)
{
    lookup l = lookup_of(d, dtable, ids, dout);
    pawl_pool_run(pawl_cpu_of(d)->pool, pawl_blocks(l.width, COLUMNS), add_columns, &l);
    return PAWL_OK;
}
