/* The weights of a base model under an adapter. */
#include "model/adapter.h"

static void lay_out(const pawl_model *m, pawl_arena *a, pawl_frozen *f)
{
    f->flat = pawl_take_bytes(a, (size_t)m->flat * sizeof *f->flat);
}

size_t pawl_frozen_bytes(const pawl_model *m)
{
    pawl_arena a = {.name = "base weights"};
    pawl_frozen f = {.m = m};
    lay_out(m, &a, &f);
    return a.used;
}

pawl_status pawl_frozen_open(const pawl_model *m, pawl_frozen **out)
{
    pawl_frozen *f;
    PAWL_TRY(pawl_alloc((void **)&f, sizeof *f, "base weights"));
    *f = (pawl_frozen){.m = m, .arena = {.name = "base weights"}};
    lay_out(m, &f->arena, f);
    const pawl_status status = pawl_arena_open(&f->arena);
    if (status != PAWL_OK) {
        pawl_free(f);
        return status;
    }
    lay_out(m, &f->arena, f);
    *out = f;
    return PAWL_OK;
}

void pawl_frozen_close(pawl_frozen *f)
{
    if (!f) return;
    pawl_arena_close(&f->arena);
    pawl_free(f);
}

float *pawl_frozen_flat(pawl_frozen *f)
{
    return f->flat;
}

pawl_tensor pawl_frozen_part(const pawl_frozen *f, int64_t layer, pawl_slot s)
{
    return pawl_part(f->m, f->flat, layer, s);
}

pawl_status pawl_frozen_rows(const pawl_frozen *f, pawl_device *d, int64_t layer, pawl_slot group, int64_t first,
                             int64_t rows, pawl_rows_body body, void *self)
{
    (void)d;
    const pawl_tensor w = pawl_frozen_part(f, layer, group);
    return body(self, pawl_view((float *)w.data + first * w.dim[1], rows, w.dim[1]), 0);
}
