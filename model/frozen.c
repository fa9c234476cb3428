/* The weights of a base model under an adapter: f32 as the model has them, matrices in bf16, or the linear weights of
 * the blocks in few bits. Those are made numbers again a panel of rows at a time, in one scratch, when a product wants
 * them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/adapter.h"

enum { ALIGN_FLOATS = PAWL_ALIGN / (int)sizeof(float), GROUPS = 4, PANEL_FLOATS = 1 << 20 };

static const pawl_slot groups[GROUPS] = {PAWL_Q, PAWL_O, PAWL_GATE, PAWL_DOWN};

static int group_index(pawl_slot s)
{
    int i = 0;
    while (i < GROUPS && groups[i] != s) i++;
    return i;
}

/* As the model lies, all of it f32. */
static int is_plain(const pawl_frozen *f)
{
    return f->code == PAWL_CODE_NONE && f->type == PAWL_F32;
}

/* Of a group that is not coded. */
static pawl_dtype type_of(const pawl_frozen *f, pawl_slot s)
{
    return f->m->cols[pawl_group_of(f->m, s)] ? f->type : PAWL_F32;
}

static int is_coded(const pawl_frozen *f, pawl_slot s)
{
    return f->code != PAWL_CODE_NONE && group_index(pawl_group_of(f->m, s)) < GROUPS;
}

/* ---- layout ---- */

/* The slots of one layer, or those outside (layer -1), that are kept as f32; groups stay side by side. */
static void place_slots(pawl_frozen *f, const pawl_places *from, pawl_places *to)
{
    for (int s = 0; s < PAWL_SLOTS; s++) {
        const pawl_slot slot = (pawl_slot)s;
        if (to) to->at[s] = -1;
        if (from->at[s] < 0 || is_coded(f, slot)) continue;
        if (pawl_group_of(f->m, slot) == slot) {
            f->floats = (f->floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
            if (to) to->at[s] = f->floats;
            const int64_t numbers = f->m->rows[s] * (f->m->cols[s] ? f->m->cols[s] : 1);
            f->floats += type_of(f, slot) == PAWL_BF16 ? (numbers + 1) / 2 : numbers;
        }
    }
}

static void place_coded(pawl_frozen *f, pawl_arena *a, int64_t layer)
{
    for (int g = 0; g < GROUPS; g++) {
        const int64_t rows = f->m->rows[groups[g]], cols = f->m->cols[groups[g]];
        pawl_coded *q = f->coded ? &f->coded[layer * GROUPS + g] : NULL;
        uint8_t *codes = pawl_take_bytes(a, (size_t)(rows * pawl_code_row_bytes(f->code, cols)));
        float *scales = pawl_take_bytes(a, (size_t)(rows * pawl_code_row_scales(f->code, cols)) * sizeof *scales);
        if (q) *q = (pawl_coded){.code = f->code, .rows = rows, .cols = cols, .codes = codes, .scales = scales};
    }
}

int64_t pawl_frozen_panel_rows(const pawl_model *m, pawl_slot group)
{
    const int64_t rows = m->rows[group], some = PANEL_FLOATS / m->cols[group];
    return some < 1 ? 1 : some < rows ? some : rows;
}

static void lay_out(pawl_frozen *f, pawl_arena *a)
{
    const int64_t L = f->m->config.num_hidden_layers;
    int64_t panel = 0;
    f->floats = 0;
    if (is_plain(f)) {
        f->flat = pawl_take_bytes(a, (size_t)f->m->flat * sizeof *f->flat);
        return;
    }
    place_slots(f, &f->m->outer, &f->outer);
    for (int64_t l = 0; l < L; l++) place_slots(f, &f->m->layers[l], f->layers ? &f->layers[l] : NULL);
    f->flat = pawl_take_bytes(a, (size_t)f->floats * sizeof *f->flat);
    if (f->code == PAWL_CODE_NONE) return;
    for (int64_t l = 0; l < L; l++) place_coded(f, a, l);
    for (int g = 0; g < GROUPS; g++) {
        const int64_t count = pawl_frozen_panel_rows(f->m, groups[g]) * f->m->cols[groups[g]];
        panel = count > panel ? count : panel;
    }
    f->panel = pawl_take_bytes(a, (size_t)panel * pawl_dtype_bytes(f->type));
}

size_t pawl_frozen_bytes(const pawl_model *m, pawl_code code, pawl_dtype type)
{
    pawl_arena a = {.name = "base weights"};
    pawl_frozen f = {.m = m, .code = code, .type = type};
    lay_out(&f, &a);
    return a.used;
}

static pawl_status take(pawl_frozen *f)
{
    const size_t layers = (size_t)f->m->config.num_hidden_layers;
    lay_out(f, &f->arena); /* measures */
    PAWL_TRY(pawl_arena_open_on(f->device, PAWL_ON_DEVICE, &f->arena));
    PAWL_TRY(pawl_alloc((void **)&f->layers, layers * sizeof *f->layers, "the layout of base weights"));
    PAWL_TRY(pawl_alloc((void **)&f->coded, layers * GROUPS * sizeof *f->coded, "the layout of base weights"));
    lay_out(f, &f->arena);
    return PAWL_OK;
}

pawl_status pawl_frozen_open(const pawl_model *m, pawl_device *d, pawl_code code, pawl_dtype type, pawl_frozen **out)
{
    pawl_frozen *f;
    PAWL_TRY(pawl_alloc((void **)&f, sizeof *f, "base weights"));
    *f = (pawl_frozen){.m = m, .device = d, .code = code, .type = type, .arena = {.name = "base weights"}};
    const pawl_status status = take(f);
    if (status != PAWL_OK) {
        pawl_frozen_close(f);
        return status;
    }
    *out = f;
    return PAWL_OK;
}

void pawl_frozen_close(pawl_frozen *f)
{
    if (!f) return;
    pawl_arena_close_on(f->device, PAWL_ON_DEVICE, &f->arena);
    pawl_free(f->layers);
    pawl_free(f->coded);
    pawl_free(f);
}

/* ---- filling ---- */

static int find_slot(const pawl_model *m, int64_t first, int64_t *layer, pawl_slot *slot)
{
    for (int64_t l = -1; l < m->config.num_hidden_layers; l++)
        for (int s = 0; s < PAWL_SLOTS; s++)
            if ((l < 0 ? &m->outer : &m->layers[l])->at[s] == first) {
                *layer = l;
                *slot = (pawl_slot)s;
                return 1;
            }
    return 0;
}

static int all_finite(const float *x, int64_t count)
{
    int good = 1;
    for (int64_t i = 0; i < count; i++) good &= isfinite(x[i]) != 0;
    return good;
}

/* Where a tensor is read to, and where ops find it then. One tensor's room each; NULL where none is needed. */
typedef struct rooms {
    float *here, *there;
    size_t here_bytes, there_bytes;
} rooms;

/* Read straight to where it stays, if the host reaches that. */
static pawl_status fill_plain(const pawl_frozen *f, int i, pawl_weight_read read, void *self, const rooms *r, float *to)
{
    float *here = pawl_host_side(f->device, to, r->here);
    PAWL_TRY(read(self, i, here));
    return pawl_upload(f->device, to, here, (size_t)f->m->extents[i].count * sizeof *here);
}

static pawl_status fill_tensor(pawl_frozen *f, int i, pawl_weight_read read, void *self, const rooms *r)
{
    const pawl_model *m = f->m;
    const pawl_weight *w = &m->weights[i];
    const int64_t count = m->extents[i].count;
    int64_t layer = 0;
    pawl_slot slot = PAWL_EMBED;
    if (is_plain(f)) return fill_plain(f, i, read, self, r, f->flat + w->first);
    PAWL_CHECK(find_slot(m, w->first, &layer, &slot), PAWL_EBUG, "tensor %s has no slot", w->name);
    const pawl_slot group = pawl_group_of(m, slot);
    const pawl_places *in_model = layer < 0 ? &m->outer : &m->layers[layer],
                      *here = layer < 0 ? &f->outer : &f->layers[layer];
    const int64_t offset = w->first - in_model->at[group];
    const pawl_stretch all = {f->flat + (is_coded(f, slot) ? 0 : here->at[group]), 0, type_of(f, slot)};
    void *to = (void *)(uintptr_t)pawl_number_at(all, offset);
    if (!is_coded(f, slot) && all.type == PAWL_F32) return fill_plain(f, i, read, self, r, to);
    PAWL_TRY(read(self, i, r->here));
    PAWL_CHECK(!is_coded(f, slot) || all_finite(r->here, count), PAWL_EDATA,
               "tensor %s of the base model holds numbers that are not finite: it cannot be kept in few bits", w->name);
    PAWL_TRY(pawl_upload(f->device, r->there, r->here, (size_t)count * sizeof *r->here));
    if (!is_coded(f, slot)) return pawl_cast(f->device, pawl_view(r->there, count, 0), pawl_view_as(PAWL_BF16, to, count, 0));
    return pawl_quantise(f->device, pawl_view(r->there, w->dim[0], w->dim[1]), &f->coded[layer * GROUPS + group_index(group)],
                         offset / w->dim[1]);
}

/* What is cast or coded is read aside; where memory is not shared all is, and what is cast or coded lies on the device as f32 first. */
static rooms rooms_of(const pawl_model *m, const pawl_device *d, pawl_code code, pawl_dtype type)
{
    const pawl_frozen f = {.m = m, .code = code, .type = type};
    const int shared = pawl_device_shares_memory(d);
    int64_t aside = 0, most = 0;
    for (int i = 0; i < m->count; i++) {
        int64_t layer = 0;
        pawl_slot slot = PAWL_EMBED;
        const int64_t count = m->extents[i].count;
        most = count > most ? count : most;
        if (is_plain(&f) || !find_slot(m, m->weights[i].first, &layer, &slot)) continue;
        if (!is_coded(&f, slot) && type_of(&f, slot) == PAWL_F32) continue;
        aside = count > aside ? count : aside;
    }
    return (rooms){.here_bytes = (size_t)(shared ? aside : most) * sizeof(float),
                   .there_bytes = (size_t)(shared ? 0 : aside) * sizeof(float)};
}

pawl_room pawl_frozen_fill_bytes(const pawl_model *m, const pawl_device *d, pawl_code code, pawl_dtype type)
{
    const rooms r = rooms_of(m, d, code, type);
    return (pawl_room){.device = r.there_bytes, .host = r.here_bytes};
}

pawl_status pawl_frozen_fill(pawl_frozen *f, pawl_weight_read read, void *self)
{
    rooms r = rooms_of(f->m, f->device, f->code, f->type);
    void *there = NULL;
    pawl_status status = PAWL_OK;
    if (r.here_bytes) PAWL_TRY(pawl_alloc((void **)&r.here, r.here_bytes, "one tensor of the base model"));
    if (r.there_bytes)
        PAWL_TRY_OUT(pawl_device_take(f->device, PAWL_ON_DEVICE, r.there_bytes, "one tensor of the base model", &there));
    r.there = there ? there : r.here;
    for (int i = 0; i < f->m->count; i++) PAWL_TRY_OUT(fill_tensor(f, i, read, self, &r));
out:
    pawl_device_give(f->device, PAWL_ON_DEVICE, there, r.there_bytes);
    pawl_free(r.here);
    return status;
}

/* ---- reading ---- */

pawl_tensor pawl_frozen_part(const pawl_frozen *f, int64_t layer, pawl_slot s)
{
    if (is_plain(f)) return pawl_part(f->m, f->flat, layer, s);
    const int64_t at = f->outer.at[s] >= 0 ? f->outer.at[s] : f->layers[layer].at[s];
    if (at < 0) return (pawl_tensor){.dtype = PAWL_F32};
    return pawl_view_as(type_of(f, s), f->flat + at, f->m->rows[s], f->m->cols[s]);
}

/* A tensor is kept as f32, as bf16, or as rows of codes; to is the device's. */
static pawl_status read_on_device(const pawl_frozen *f, int tensor, float *to)
{
    const pawl_model *m = f->m;
    const pawl_weight *w = &m->weights[tensor];
    const int64_t count = m->extents[tensor].count;
    int64_t layer = 0;
    pawl_slot slot = PAWL_EMBED;
    if (is_plain(f)) return pawl_copy(f->device, to, f->flat + w->first, count);
    PAWL_CHECK(find_slot(m, w->first, &layer, &slot), PAWL_EBUG, "tensor %s has no slot", w->name);
    const pawl_slot group = pawl_group_of(m, slot);
    const int64_t offset = w->first - (layer < 0 ? &m->outer : &m->layers[layer])->at[group];
    if (is_coded(f, slot))
        return pawl_dequantise(f->device, &f->coded[layer * GROUPS + group_index(group)], offset / w->dim[1], pawl_view(to, w->dim[0], w->dim[1]));
    const pawl_stretch all = {f->flat + (layer < 0 ? &f->outer : &f->layers[layer])->at[group], 0, type_of(f, slot)};
    return pawl_cast(f->device, pawl_view_as(all.type, pawl_number_at(all, offset), count, 0), pawl_view(to, count, 0));
}

pawl_status pawl_frozen_read(const pawl_frozen *f, int tensor, float *to)
{
    const size_t bytes = (size_t)f->m->extents[tensor].count * sizeof *to;
    void *there = NULL;
    if (pawl_device_shares_memory(f->device)) return read_on_device(f, tensor, to);
    PAWL_TRY(pawl_device_take(f->device, PAWL_ON_DEVICE, bytes, "one tensor of the base model", &there));
    pawl_status s = read_on_device(f, tensor, there);
    if (s == PAWL_OK) s = pawl_download(f->device, to, there, bytes);
    pawl_device_give(f->device, PAWL_ON_DEVICE, there, bytes);
    return s;
}

pawl_status pawl_frozen_rows(const pawl_frozen *f, pawl_device *d, int64_t layer, pawl_slot group, int64_t first,
                             int64_t rows, pawl_rows_body body, void *self)
{
    const int64_t cols = f->m->cols[group], each = pawl_frozen_panel_rows(f->m, group);
    if (f->code == PAWL_CODE_NONE) {
        const pawl_stretch w = {pawl_frozen_part(f, layer, group).data, 0, f->type};
        return body(self, pawl_view_as(f->type, pawl_number_at(w, first * cols), rows, cols), 0);
    }
    for (int64_t row = 0; row < rows; row += each) {
        const pawl_tensor w = pawl_view_as(f->type, f->panel, rows - row < each ? rows - row : each, cols);
        PAWL_TRY(pawl_dequantise(d, &f->coded[layer * GROUPS + group_index(group)], first + row, w));
        PAWL_TRY(body(self, w, row));
    }
    return PAWL_OK;
}
