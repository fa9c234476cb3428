/* tests/checkpoint_sample.h - a small state with every type and awkward shape, and what a save says beside it. */
#ifndef PAWL_TESTS_CHECKPOINT_SAMPLE_H
#define PAWL_TESTS_CHECKPOINT_SAMPLE_H

#include <stdio.h>
#include <string.h>

#include "checkpoints/checkpoints.h"
#include "core/arena.h"

typedef struct sample {
    pawl_state state;
    pawl_arena memory;
} sample;

/* Names are not in byte order. Bytes are SAMPLE_BYTES and a bit: three tensors are longer than a chunk. */
static const struct {
    const char *name;
    pawl_dtype dtype;
    int ndim;
    int64_t dim[PAWL_MAX_NDIM];
    int frozen;
} sample_rows[] = {
    {"optimizer/adamw/m/layer.weight", PAWL_F32, 2, {513, 1025}, 0},
    {"model/model.layers.0.weight", PAWL_F32, 2, {513, 1025}, 0},
    {"model/model.layers.0.bias", PAWL_BF16, 1, {77}, 0},
    {"model/base.weight", PAWL_BF16, 3, {2, 300, 1000}, 1},
    {"model/base.bias", PAWL_F32, 1, {5}, 1},
    {"model/scalar", PAWL_F64, 0, {0}, 0},
    {"model/empty", PAWL_F32, 2, {0, 3}, 0},
    {"model/half", PAWL_F16, 4, {2, 3, 1, 5}, 0},
    {"memory/prose/ids", PAWL_I32, 2, {3, 11}, 0},
    {"memory/prose/bytes", PAWL_U8, 1, {1000}, 0},
    {"method/ewc/counts", PAWL_I64, 1, {9}, 0},
};
enum { SAMPLE_ROWS = sizeof sample_rows / sizeof *sample_rows };

/* Bytes that are plain numbers in every type (finite, not subnormal), different for every tensor, place and generation;
 * frozen ones do not depend on the generation. */
static inline void sample_fill(sample *s, int generation)
{
    for (int i = 0; i < s->state.count; i++) {
        const pawl_tensor t = s->state.items[i].tensor;
        uint8_t *byte = (uint8_t *)t.data;
        uint32_t x = 2654435761u * (uint32_t)(i + 1) + (s->state.items[i].frozen ? 0u : 97u * (uint32_t)generation);
        for (size_t n = 0; n < pawl_tensor_bytes(t); n++) {
            x = x * 1664525u + 1013904223u;
            byte[n] = (uint8_t)(x >> 24);
            if ((n + 1) % pawl_dtype_bytes(t.dtype) == 0 && t.dtype != PAWL_U8)
                byte[n] = (uint8_t)((byte[n] & 0x3b) | 0x08); /* a plain number of every type */
        }
    }
}

/* The first `rows` of sample_rows; pawl_state_close and pawl_arena_close it. 1 when there was memory for it. */
static inline int sample_open(sample *s, int first, int end, int generation)
{
    memset(s, 0, sizeof *s);
    s->memory.name = "a test's state";
    for (int carve = 0; carve < 2; carve++) {
        pawl_state_close(&s->state);
        for (int i = first; i < end; i++) {
            pawl_tensor t = pawl_take(&s->memory, sample_rows[i].dtype, sample_rows[i].ndim, sample_rows[i].dim);
            if (pawl_state_add(&s->state, "", sample_rows[i].name, t) != PAWL_OK) return 0;
            s->state.items[s->state.count - 1].frozen = sample_rows[i].frozen;
        }
        if (!carve && pawl_arena_open(&s->memory) != PAWL_OK) return 0;
    }
    sample_fill(s, generation);
    return 1;
}

static inline void sample_close(sample *s)
{
    pawl_state_close(&s->state);
    pawl_arena_close(&s->memory);
}

/* 1 when both hold the same bytes under the same names. */
static inline int sample_same(const sample *a, const sample *b)
{
    if (a->state.count != b->state.count) return 0;
    for (int i = 0; i < a->state.count; i++) {
        const pawl_named *x = &a->state.items[i], *y = &b->state.items[i];
        const size_t bytes = pawl_tensor_bytes(x->tensor);
        if (strcmp(x->name, y->name) != 0 || (bytes && memcmp(x->tensor.data, y->tensor.data, bytes) != 0)) return 0;
    }
    return 1;
}

static inline json_t *sample_run(int64_t step)
{
    return json_pack("{s:I, s:i, s:f, s:f, s:s, s:b, s:{s:[i,i]}}", "step", (json_int_t)step, "stage", 1, "loss", 2.625,
                     "epoch", 1.0, "phase", "naïve", "best", 1, "nested", "order", 3, 4);
}

static inline json_t *sample_lineage(void)
{
    return json_pack("{s:s, s:n, s:{s:i, s:i}, s:{s:i}, s:[{s:s, s:s}, {s:s, s:s}]}", "pawl_version", "0.1.0", "base",
                     "topology", "ranks", 2, "lanes", 8, "tokens", "prose", 12345, "datasets", "domain", "prose",
                     "license", "CC0-1.0", "domain", "code", "license", "MIT");
}

/* Saves s as that step and waits for it. */
static inline pawl_status sample_save(pawl_saver *saver, int64_t step, int is_best, int *published)
{
    json_t *run = sample_run(step), *lineage = sample_lineage();
    const pawl_save what = {.step = step, .run = run, .lineage = lineage, .is_best = is_best};
    pawl_status status = pawl_save_begin(saver, &what);
    if (status == PAWL_OK) status = pawl_save_share(saver);
    json_decref(run);
    json_decref(lineage);
    *published = 0;
    return status == PAWL_OK ? pawl_save_finish(saver, 60, published) : status;
}

/* A path below output_dir/checkpoints, in a buffer of its own (a few at a time). */
static inline const char *sample_path(const char *output_dir, int64_t step, const char *file)
{
    static char ring[4][512];
    static int next;
    char *out = ring[next++ % 4];
    snprintf(out, sizeof ring[0], "%s/checkpoints/step-%09lld%s%s", output_dir, (long long)step, file ? "/" : "",
             file ? file : "");
    return out;
}

#endif
