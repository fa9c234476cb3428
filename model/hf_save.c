/* A model written as a Hugging Face directory, out of any source of weights. */
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "model/hf.h"
#include "model/hf_config.h"

#define SHARD_BYTES ((int64_t)5 << 30)

typedef struct writer {
    const pawl_model *m;
    pawl_weight_read read;
    void *self;
    pawl_arena arena;
    float *weight, *turned; /* turned: as files hold it, where that is the other way round */
    int tensor;             /* whose numbers are there; -1: none's */
    pawl_state state;
} writer;

static void lay_out(writer *w)
{
    int64_t most = 0, turned = 0;
    for (int i = 0; i < w->m->count; i++) {
        const int64_t count = w->m->extents[i].count;
        if (count > most) most = count;
        if (w->m->weights[i].transposed && count > turned) turned = count;
    }
    w->weight = pawl_take_bytes(&w->arena, (size_t)most * sizeof *w->weight);
    w->turned = pawl_take_bytes(&w->arena, (size_t)turned * sizeof *w->turned);
}

static pawl_status make(writer *w, int tensor)
{
    const pawl_weight *t = &w->m->weights[tensor];
    PAWL_TRY(w->read(w->self, tensor, w->weight));
    if (t->transposed) pawl_hf_transpose(w->weight, t->dim[0], t->dim[1], w->turned);
    w->tensor = tensor;
    return PAWL_OK;
}

static pawl_status make_floats(void *self, const pawl_named *n, int64_t first, int64_t count, float *out)
{
    writer *w = self;
    const int tensor = (int)(n - w->state.items);
    if (tensor != w->tensor) PAWL_TRY(make(w, tensor));
    memcpy(out, (w->m->weights[tensor].transposed ? w->turned : w->weight) + first, (size_t)count * sizeof *out);
    return PAWL_OK;
}

static pawl_status open_writer(writer *w)
{
    lay_out(w);
    PAWL_TRY(pawl_arena_open(&w->arena));
    lay_out(w);
    for (int i = 0; i < w->m->count; i++)
        PAWL_TRY(pawl_state_add(&w->state, "", w->m->weights[i].name, pawl_hf_shape_in_file(&w->m->weights[i])));
    return PAWL_OK;
}

pawl_status pawl_hf_save_from(const pawl_model *m, pawl_weight_read read, void *self, pawl_dtype dtype, const char *dir)
{
    writer w = {.m = m, .read = read, .self = self, .tensor = -1, .arena = {.name = "a tensor to be written"}};
    const pawl_tensor_source from = {&w, make_floats};
    json_t *config;
    pawl_status status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "models are written as f32, bf16 or f16, not as %s", pawl_dtype_name(dtype));
    PAWL_TRY(pawl_hf_config_json(m, dtype, &config));
    PAWL_TRY_OUT(pawl_dir_make(dir));
    PAWL_TRY_OUT(open_writer(&w));
    PAWL_TRY_OUT(pawl_safetensors_write_from(dir, &w.state, &from, dtype, SHARD_BYTES));
    PAWL_TRY_OUT(pawl_hf_write_json(dir, "generation_config.json", pawl_hf_generation_json(m)));
    PAWL_TRY_OUT(pawl_hf_write_json(dir, "config.json", json_incref(config))); /* last: with it the folder is a model */
out:
    json_decref(config);
    pawl_state_close(&w.state);
    pawl_arena_close(&w.arena);
    return status;
}

typedef struct flat_run {
    const pawl_model *m;
    const float *flat;
} flat_run;

static pawl_status read_flat(void *self, int tensor, float *to)
{
    const flat_run *r = self;
    memcpy(to, r->flat + r->m->weights[tensor].first, (size_t)r->m->extents[tensor].count * sizeof *to);
    return PAWL_OK;
}

pawl_status pawl_hf_save(const pawl_model *m, const float *flat, pawl_dtype dtype, const char *dir)
{
    flat_run run = {m, flat};
    return pawl_hf_save_from(m, read_flat, &run, dtype, dir);
}
