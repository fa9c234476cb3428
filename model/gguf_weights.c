/* The tensors of a GGUF file as those of a Hugging Face directory, written piece by piece. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "model/decoder.h"
#include "model/gguf.h"

#define SHARD_BYTES ((int64_t)5 << 30)

typedef struct item {
    const pawl_gguf_tensor *tensor;
    pawl_gguf_order order;
} item;

typedef struct weights {
    const pawl_gguf_model *m;
    pawl_state state; /* Hugging Face's names and shapes */
    item *items;      /* where each of them is */
    float *row;       /* one row of any tensor */
    float *turned;    /* a transposed tensor, whole */
    const pawl_gguf_tensor *turned_of;
    void (*alive)(void);
} weights;

/* --- names -------------------------------------------------------------------------------------------------- */

static const pawl_gguf_name *look_up(const pawl_gguf_name *names, const char *theirs)
{
    for (; names->theirs; names++)
        if (strcmp(names->theirs, theirs) == 0) return names;
    return NULL;
}

/* The row of a tensor's name, and its name in Hugging Face's words; NULL when the family has no such tensor. */
static const pawl_gguf_name *translate(const pawl_gguf_model *m, const char *theirs, char out[PAWL_NAME_MAX])
{
    int layer = -1, end = 0;
    if (sscanf(theirs, "blk.%5d.%n", &layer, &end) != 1 || end == 0) {
        const pawl_gguf_name *row = look_up(m->family->outer, theirs);
        if (row) snprintf(out, PAWL_NAME_MAX, "%s", row->ours);
        return row;
    }
    const pawl_gguf_name *row = look_up(m->family->layer, theirs + end);
    char canonical[PAWL_NAME_MAX];
    snprintf(canonical, sizeof canonical, "blk.%d.%s", layer, theirs + end);
    if (!row || layer < 0 || layer >= m->layers || strcmp(canonical, theirs) != 0) return NULL;
    snprintf(out, PAWL_NAME_MAX, "%s%d.%s", m->family->layer_prefix, layer, row->ours);
    return row;
}

/* Heads of two halves, or of pairs: the rows must be whole heads. */
static pawl_status check_rows(const pawl_gguf_model *m, const pawl_gguf_tensor *t, pawl_gguf_order order)
{
    const int64_t heads = order == PAWL_QUERY_ROWS ? m->heads : m->kv_heads;
    if (order != PAWL_QUERY_ROWS && order != PAWL_KEY_ROWS) return PAWL_OK;
    PAWL_CHECK(t->ndim >= 1 && t->dim[0] == heads * m->head_dim, PAWL_EDATA,
               "%s: tensor %s has %lld rows, expected %lld heads of %lld", pawl_gguf_path(m->file), t->name,
               (long long)(t->ndim ? t->dim[0] : 1), (long long)heads, (long long)m->head_dim);
    return PAWL_OK;
}

static pawl_status add(weights *w, const pawl_gguf_tensor *t)
{
    char name[PAWL_NAME_MAX];
    const pawl_gguf_model *m = w->m;
    if (strcmp(t->name, "rope_freqs.weight") == 0 && m->family->rotary) return PAWL_OK; /* read into config.json */
    const pawl_gguf_name *row = translate(m, t->name, name);
    PAWL_CHECK(row, PAWL_EDATA, "%s: tensor %s does not belong to a model of architecture %s with %lld layers",
               pawl_gguf_path(m->file), t->name, m->family->name, (long long)m->layers);
    if (strcmp(t->name, "output.weight") == 0 && m->tied) return PAWL_OK;
    PAWL_TRY(check_rows(m, t, row->order));
    PAWL_CHECK(row->order != PAWL_TRANSPOSED || t->ndim == 2, PAWL_EDATA, "%s: tensor %s has %d dimensions, expected 2",
               pawl_gguf_path(m->file), t->name, t->ndim);
    pawl_tensor shape = {.dtype = PAWL_F32, .ndim = t->ndim};
    for (int i = 0; i < t->ndim; i++) shape.dim[i] = t->dim[row->order == PAWL_TRANSPOSED ? 1 - i : i];
    w->items[w->state.count] = (item){t, row->order};
    return pawl_state_add(&w->state, "", name, shape);
}

/* --- numbers ------------------------------------------------------------------------------------------------ */

/* Where GGUF keeps row r: a head's rows are pairs there, two halves here. */
static int64_t their_row(const weights *w, const item *it, int64_t r)
{
    if (it->order != PAWL_QUERY_ROWS && it->order != PAWL_KEY_ROWS) return r;
    const int64_t size = w->m->head_dim, head = r / size, at = r % size;
    return head * size + at % (size / 2) * 2 + at / (size / 2);
}

static pawl_status turn(weights *w, const pawl_gguf_tensor *t)
{
    if (w->turned_of == t) return PAWL_OK;
    PAWL_TRY(pawl_realloc((void **)&w->turned, (size_t)t->count * sizeof *w->turned, "a transposed tensor"));
    for (int64_t r = 0; r < t->dim[0]; r++) {
        pawl_gguf_floats(t, r * t->dim[1], t->dim[1], w->row);
        for (int64_t c = 0; c < t->dim[1]; c++) w->turned[c * t->dim[0] + r] = w->row[c];
    }
    w->turned_of = t;
    return PAWL_OK;
}

static int64_t row_length(const pawl_gguf_tensor *t, pawl_gguf_order order)
{
    if (order == PAWL_QUERY_ROWS || order == PAWL_KEY_ROWS)
        return t->ndim == 1 ? 1 : t->dim[t->ndim - 1]; /* a bias: by number */
    return t->ndim ? t->dim[t->ndim - 1] : 1;
}

/* Rows of one number have blocks of one number: biases are never quantised (check_blocks). */
static pawl_status make_floats(void *self, const pawl_named *n, int64_t first, int64_t count, float *out)
{
    weights *w = self;
    const item *it = &w->items[n - w->state.items];
    const pawl_gguf_tensor *t = it->tensor;
    if (w->alive) w->alive();
    if (it->order == PAWL_TRANSPOSED) {
        PAWL_TRY(turn(w, t));
        memcpy(out, w->turned + first, (size_t)count * sizeof *out);
        return PAWL_OK;
    }
    const int64_t length = row_length(t, it->order);
    while (count > 0) {
        const int64_t r = first / length, at = first % length, some = count < length - at ? count : length - at;
        const int64_t from = their_row(w, it, r) * length;
        if (some == length) {
            pawl_gguf_floats(t, from, length, out);
        } else {
            pawl_gguf_floats(t, from, length, w->row);
            memcpy(out, w->row + at, (size_t)some * sizeof *out);
        }
        first += some;
        out += some;
        count -= some;
    }
    return PAWL_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static pawl_status collect(weights *w)
{
    int64_t longest = 1;
    const pawl_gguf *g = w->m->file;
    PAWL_TRY(pawl_alloc((void **)&w->items, ((size_t)pawl_gguf_count(g) + 1) * sizeof *w->items, "a list of tensors"));
    for (int i = 0; i < pawl_gguf_count(g); i++) {
        const pawl_gguf_tensor *t = pawl_gguf_at(g, i);
        PAWL_TRY(add(w, t));
        if (t->ndim && t->dim[t->ndim - 1] > longest) longest = t->dim[t->ndim - 1];
        PAWL_CHECK(t->ndim != 1 || t->type->block == 1, PAWL_EDATA, "%s: tensor %s of one dimension is quantised as %s",
                   pawl_gguf_path(g), t->name, t->type->name);
    }
    return pawl_alloc((void **)&w->row, (size_t)longest * sizeof *w->row, "a row of a tensor");
}

pawl_status pawl_gguf_write_weights(const pawl_gguf_model *m, pawl_dtype dtype, const char *dir, void (*alive)(void))
{
    weights w = {.m = m, .alive = alive};
    const pawl_tensor_source from = {&w, make_floats};
    pawl_status status;
    PAWL_TRY_OUT(collect(&w));
    PAWL_TRY_OUT(pawl_safetensors_write_from(dir, &w.state, &from, dtype, SHARD_BYTES));
out:
    pawl_state_close(&w.state);
    pawl_free(w.items);
    pawl_free(w.row);
    pawl_free(w.turned);
    return status;
}

/* What was written is a model that this program computes: every tensor there, in its shape, and no other. */
static pawl_status check_written(const char *dir, const pawl_model_config *config)
{
    pawl_model *model;
    PAWL_TRY(pawl_model_open(config, &model));
    const pawl_status s = pawl_hf_check(model, dir);
    pawl_model_close(model);
    return s;
}

/* Errors there name files of a folder that will be gone: the file that was given is named before them. */
static pawl_status name_file(const pawl_gguf_model *m, pawl_status s)
{
    if (s == PAWL_OK) return s;
    const pawl_error why = *pawl_last_error();
    return PAWL_FAIL(s, "%.300s: what it holds is no model that is computed here: %.640s", pawl_gguf_path(m->file),
                     why.what);
}

static pawl_status write_model(const pawl_gguf_model *m, json_t *config, json_t *generation, pawl_dtype dtype,
                               const char *dir, void (*alive)(void))
{
    pawl_model_config known;
    PAWL_TRY(pawl_json_write(dir, "generation_config.json", generation));
    PAWL_TRY(pawl_json_write(dir, "config.json", config));
    PAWL_TRY(name_file(m, pawl_hf_config(dir, &known))); /* before gigabytes are written */
    PAWL_TRY(pawl_gguf_write_weights(m, dtype, dir, alive));
    return name_file(m, check_written(dir, &known));
}

pawl_status pawl_hf_import_gguf(const pawl_gguf *g, pawl_dtype dtype, const char *dir, void (*alive)(void))
{
    pawl_gguf_model m;
    json_t *config = NULL, *generation = NULL;
    pawl_status status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "models are written as f32, bf16 or f16, not as %s", pawl_dtype_name(dtype));
    PAWL_TRY(pawl_gguf_model_open(g, &m));
    PAWL_TRY(pawl_gguf_check_keys(&m));
    PAWL_TRY_OUT(pawl_gguf_config_json(&m, dtype, &config));
    PAWL_TRY_OUT(pawl_gguf_generation_json(&m, &generation));
    PAWL_TRY_OUT(write_model(&m, config, generation, dtype, dir, alive));
out:
    json_decref(config);
    json_decref(generation);
    return status;
}
