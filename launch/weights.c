/* Weights of a model or an adapter, read from wherever they lie (described.c). */
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "launch/launch.h"

enum { DEPTH_MAX = 16 }; /* adapters on adapters */

/* What the names of the wanted weights begin with in a checkpoint. */
static const char *prefix_of(int ema)
{
    return ema ? "ema/" : "model/";
}

static pawl_status require_average(const pawl_checkpoint *k, int ema)
{
    const json_t *tensors = json_object_get(pawl_checkpoint_manifest(k), "tensors");
    size_t i;
    json_t *t;
    if (!ema) return PAWL_OK;
    json_array_foreach((json_t *)(uintptr_t)tensors, i, t) {
        const char *name = json_string_value(json_object_get(t, "name"));
        if (name && strncmp(name, "ema/", 4) == 0) return PAWL_OK;
    }
    return PAWL_FAIL(PAWL_EUSAGE, "%s has no average of weights: its run kept none (ema_decay): leave --ema out", pawl_checkpoint_path(k));
}

static pawl_status refuse_average(const char *path, int ema)
{
    PAWL_CHECK(!ema, PAWL_EUSAGE, "%s has no average of weights, only checkpoints of a run with ema_decay have: leave --ema out", path);
    return PAWL_OK;
}

/* The last adapter, behind those of s, which may be none. */
static pawl_status read_state(const pawl_checkpoint *k, int ema, const pawl_stack *s, float *last)
{
    pawl_state weights = {0};
    PAWL_TRY(require_average(k, ema));
    pawl_status status = pawl_stack_state(s, &weights);
    if (status == PAWL_OK) status = pawl_trained_state(pawl_adapter_model(s->adapter), s->adapter, last, prefix_of(ema), &weights);
    if (status == PAWL_OK) status = pawl_checkpoint_read(k, &weights);
    pawl_state_close(&weights);
    return status;
}

static pawl_status read_stack(const pawl_checkpoint *k, int ema, pawl_stack *s)
{
    const size_t numbers = (size_t)pawl_trained_count(pawl_adapter_model(s->adapter), s->adapter);
    s->count = pawl_finished_in(k);
    PAWL_TRY(pawl_alloc((void **)&s->flats, (size_t)(s->count + 1) * numbers * sizeof *s->flats, "adapters"));
    PAWL_TRY(read_state(k, ema, s, s->flats + (size_t)s->count * numbers));
    s->count++;
    return PAWL_OK;
}

pawl_status pawl_count_finished(const char *path, int *count)
{
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    *count = pawl_finished_in(k);
    pawl_checkpoint_close(k);
    return PAWL_OK;
}

pawl_status pawl_load_adapter(const char *path, int ema, const pawl_adapter *a, float *flat)
{
    pawl_checkpoint *k;
    if (pawl_is_adapter_folder(path)) {
        PAWL_TRY(refuse_average(path, ema));
        return pawl_peft_load(a, path, flat);
    }
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const pawl_status s = read_state(k, ema, &(pawl_stack){.adapter = a}, flat);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_load_stack(const char *path, int ema, const pawl_adapter *a, pawl_stack *s)
{
    pawl_checkpoint *k;
    *s = (pawl_stack){.adapter = a};
    if (pawl_is_adapter_folder(path)) {
        s->count = 1;
        PAWL_TRY(pawl_alloc((void **)&s->flats, (size_t)pawl_trained_count(pawl_adapter_model(a), a) * sizeof *s->flats, "an adapter"));
        return pawl_load_adapter(path, ema, a, s->flats);
    }
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const pawl_status status = read_stack(k, ema, s);
    pawl_checkpoint_close(k);
    return status;
}

/* One of: a Hugging Face directory; a checkpoint of all weights; an adapter over another source. */
struct pawl_source {
    const pawl_model *m;
    pawl_hf_reader *hf;
    pawl_checkpoint *checkpoint;
    pawl_state names; /* of the checkpoint's tensors, with shapes */
    pawl_adapter *adapter;
    pawl_stack stack; /* the adapter of the last stage, on those of finished ones */
    pawl_source *under;
};

void pawl_source_close(pawl_source *s)
{
    if (!s) return;
    pawl_source_close(s->under);
    pawl_hf_reader_close(s->hf);
    pawl_checkpoint_close(s->checkpoint);
    pawl_state_close(&s->names);
    pawl_free(s->stack.flats);
    pawl_adapter_close(s->adapter);
    pawl_free(s);
}

/* As f32. What a run without master weights keeps in bf16 is read into the upper half of its place, and widened from the lower end on:
 * number i is written where no number behind it still stands. */
static pawl_status read_stored(const pawl_checkpoint *k, pawl_named one, float *to)
{
    const pawl_state only = {.items = &one, .count = 1, .room = 1};
    const int64_t count = pawl_tensor_count(one.tensor);
    pawl_tensor stored;
    uint16_t *low = (uint16_t *)(void *)to + count;
    const int is_low = pawl_checkpoint_tensor(k, one.name, &stored) && stored.dtype == PAWL_BF16;
    one.tensor.data = to;
    if (is_low) one.tensor.dtype = PAWL_BF16, one.tensor.data = low;
    PAWL_TRY(pawl_checkpoint_read(k, &only));
    for (int64_t i = 0; i < count && is_low; i++) {
        const uint32_t bits = (uint32_t)low[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
    return PAWL_OK;
}

pawl_status pawl_source_read(void *self, int tensor, float *to)
{
    pawl_source *s = self;
    if (s->hf) return pawl_hf_read(s->hf, tensor, to);
    if (s->checkpoint) return read_stored(s->checkpoint, s->names.items[tensor], to);
    PAWL_TRY(pawl_source_read(s->under, tensor, to));
    pawl_stack_merge(&s->stack, tensor, to);
    return PAWL_OK;
}

static pawl_status open_adapter(pawl_source *s, const char *path, int ema, const json_t *settings)
{
    PAWL_TRY(pawl_adapter_open(s->m, settings, path, &s->adapter));
    return pawl_load_stack(path, ema, s->adapter, &s->stack);
}

static pawl_status open_source(const char *path, pawl_which which, const pawl_model *m, int depth, pawl_source **out);

static pawl_status open_over(pawl_source *s, const char *path, pawl_which which, int depth)
{
    json_t *settings, *lineage;
    char was[1024];
    PAWL_TRY(pawl_describe_adapter(path, &settings, &lineage, was));
    if (!settings) {
        PAWL_TRY(pawl_checkpoint_open(path, &s->checkpoint));
        PAWL_TRY(require_average(s->checkpoint, which.ema));
        return pawl_model_state(s->m, NULL, prefix_of(which.ema), &s->names);
    }
    const char *under = which.base ? which.base : was;
    pawl_status status = lineage ? pawl_check_base(lineage, under, path) : PAWL_OK;
    if (status == PAWL_OK) status = open_source(under, (pawl_which){NULL, 0}, s->m, depth + 1, &s->under);
    if (status == PAWL_OK) status = open_adapter(s, path, which.ema, settings);
    json_decref(settings);
    json_decref(lineage);
    return status;
}

static pawl_status open_hf(pawl_source *s, const char *path, int ema)
{
    PAWL_TRY(refuse_average(path, ema));
    PAWL_TRY(pawl_hf_open(s->m, path, &s->hf));
    return pawl_hf_others(s->hf);
}

static pawl_status open_source(const char *given, pawl_which which, const pawl_model *m, int depth, pawl_source **out)
{
    pawl_source *s;
    char path[1024];
    PAWL_TRY(pawl_model_folder(given, path));
    PAWL_CHECK(depth < DEPTH_MAX, PAWL_EUSAGE, "%s: more than %d adapters stand on one another", path, DEPTH_MAX);
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "a source of weights"));
    s->m = m;
    const pawl_status status = pawl_is_hugging_face(path) ? open_hf(s, path, which.ema) : open_over(s, path, which, depth);
    if (status == PAWL_OK) *out = s;
    else pawl_source_close(s);
    return status;
}

pawl_status pawl_source_open(const char *path, pawl_which which, const pawl_model *m, pawl_source **out)
{
    return open_source(path, which, m, 0, out);
}

/* Tensor by tensor; through `room`, which holds the largest, where the host does not reach their places. */
static pawl_status read_all(pawl_source *s, pawl_device *d, float *flat, float *room)
{
    const pawl_extent *extents;
    const int count = pawl_model_extents(s->m, &extents);
    for (int i = 0; i < count; i++) {
        float *to = flat + extents[i].first, *here = pawl_host_side(d, to, room);
        PAWL_TRY(pawl_source_read(s, i, here));
        PAWL_TRY(pawl_upload(d, to, here, (size_t)extents[i].count * sizeof *here));
    }
    return PAWL_OK;
}

static pawl_status take_room(const pawl_model *m, const pawl_device *d, float **out)
{
    const pawl_extent *extents;
    const int count = pawl_model_extents(m, &extents);
    int64_t most = 0;
    for (int i = 0; i < count; i++) most = extents[i].count > most ? extents[i].count : most;
    return pawl_device_shares_memory(d) ? PAWL_OK : pawl_alloc((void **)out, (size_t)most * sizeof **out, "one tensor of the weights");
}

pawl_status pawl_load_weights(const char *path, pawl_which which, const pawl_model *m, pawl_device *d, float *flat)
{
    pawl_source *s;
    float *room = NULL;
    PAWL_TRY(pawl_source_open(path, which, m, &s));
    pawl_status status = take_room(m, d, &room);
    if (status == PAWL_OK) status = read_all(s, d, flat, room);
    pawl_free(room);
    pawl_source_close(s);
    return status;
}

/* An adapter's tokenizer is its base's as a rule, and that may have moved. */
static pawl_status find_tokenizer(const char *path, const char *base, char spec[1024])
{
    json_t *settings, *lineage;
    char was[1024];
    PAWL_TRY(pawl_describe_adapter(path, &settings, &lineage, was));
    const char *under = base ? base : was;
    const pawl_status s = settings ? pawl_require_base(under, path) : PAWL_OK;
    if (s == PAWL_OK && settings && !pawl_path_exists(spec) && pawl_is_hugging_face(under) && strlen(under) < 1024)
        if (strcmp(spec, "bytes") != 0) memcpy(spec, under, strlen(under) + 1);
    json_decref(settings);
    json_decref(lineage);
    return s;
}

static pawl_status load(const char *given, pawl_which which, pawl_loaded *l)
{
    pawl_model_config config;
    char path[1024], folder[1024];
    const char *base = which.base ? folder : NULL;
    PAWL_TRY(pawl_model_folder(given, path));
    if (base) PAWL_TRY(pawl_model_folder(which.base, folder));
    PAWL_TRY(pawl_describe_model(base && pawl_is_adapter_folder(path) ? base : path, &config, l->tokenizer_spec));
    PAWL_TRY(find_tokenizer(path, base, l->tokenizer_spec));
    PAWL_TRY(pawl_tokenizer_open(l->tokenizer_spec, &l->tokenizer));
    PAWL_TRY(pawl_model_open(&config, &l->model));
    l->arena = (pawl_arena){.name = "weights", .used = (size_t)pawl_model_count(l->model) * sizeof(float)};
    PAWL_TRY(pawl_arena_open_on(l->device, PAWL_ON_DEVICE, &l->arena));
    l->weights = (float *)(void *)l->arena.base;
    return pawl_load_weights(path, (pawl_which){base, which.ema}, l->model, l->device, l->weights);
}

pawl_status pawl_load_model(const char *path, pawl_which which, pawl_device *d, pawl_loaded *out)
{
    memset(out, 0, sizeof *out);
    out->device = d;
    pawl_status s = load(path, which, out);
    if (s != PAWL_OK) pawl_unload_model(out);
    return s;
}

void pawl_unload_model(pawl_loaded *l)
{
    pawl_model_close(l->model);
    pawl_tokenizer_close(l->tokenizer);
    pawl_arena_close_on(l->device, PAWL_ON_DEVICE, &l->arena);
    memset(l, 0, sizeof *l);
}
