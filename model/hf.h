/* model/hf.h - private to model/: what reading and writing Hugging Face directories and PEFT's share. */
#ifndef PAWL_MODEL_HF_H
#define PAWL_MODEL_HF_H

#include "core/json.h"
#include "core/status.h"
#include "core/tensor.h"
#include "model/decoder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "[64, 16]" */
void pawl_hf_shape_text(const pawl_tensor *t, char out[96]);
int pawl_hf_same_shape(const pawl_tensor *a, const pawl_tensor *b);
/* A tensor of any float type, wherever it lies in a file, as f32. */
void pawl_hf_to_floats(const pawl_tensor *from, float *to);
/* A weight in the shape that files have, without data. */
pawl_tensor pawl_hf_shape_in_file(const pawl_weight *w);
/* to [cols, rows] = the transpose of from [rows, cols]. */
void pawl_hf_transpose(const float *from, int64_t rows, int64_t cols, float *to);
/* Appends {name, bytes, sha256} of a file. */
PAWL_MUST pawl_status pawl_hf_add_file(json_t *files, const char *path);
/* Writes value as DIR/name, for people; takes it over (NULL: EMEM). */
PAWL_MUST pawl_status pawl_hf_write_json(const char *dir, const char *name, json_t *value);

#ifdef __cplusplus
}
#endif
#endif
