/* The weights of a Hugging Face directory, in and out, and what lineage says of them. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/safetensors.h"
#include "model/decoder.h"
#include "model/hf.h"

#define SHARD_BYTES ((int64_t)5 << 30)

void pawl_hf_shape_text(const pawl_tensor *t, char out[96])
{
    size_t n = (size_t)snprintf(out, 96, "[");
    for (int i = 0; i < t->ndim; i++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    snprintf(out + n, 96 - n, "]");
}

int pawl_hf_same_shape(const pawl_tensor *a, const pawl_tensor *b)
{
    if (a->ndim != b->ndim) return 0;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

/* Through an aligned buffer: safetensors does not promise that a tensor begins at a multiple of its type's size. */
void pawl_hf_to_floats(const pawl_tensor *from, float *to)
{
    enum { SOME = 2048 };
    _Alignas(PAWL_ALIGN) char buffer[SOME * sizeof(double)];
    const size_t width = pawl_dtype_bytes(from->dtype);
    const int64_t count = pawl_tensor_count(*from);
    const char *data = from->data;
    for (int64_t i = 0; i < count; i += SOME) {
        const int64_t some = count - i < SOME ? count - i : SOME;
        memcpy(buffer, data + (size_t)i * width, (size_t)some * width);
        pawl_convert(buffer, from->dtype, to + i, PAWL_F32, some);
    }
}

static pawl_status load_weight(const pawl_safetensors *s, const pawl_weight *w, const char *dir, float *flat)
{
    const pawl_named *found = pawl_safetensors_find(s, w->name);
    const pawl_tensor expected = pawl_view(NULL, w->dim[0], w->ndim == 2 ? w->dim[1] : 0);
    char wanted[96], got[96];
    pawl_hf_shape_text(&expected, wanted);
    PAWL_CHECK(found, PAWL_EDATA, "%s: tensor %s %s is missing%s", dir, w->name, wanted,
               strcmp(w->name, "lm_head.weight") == 0
                   ? "; if the head is the embedding, config.json must say tie_word_embeddings"
                   : "");
    const pawl_tensor *t = &found->tensor;
    pawl_hf_shape_text(t, got);
    PAWL_CHECK(pawl_hf_same_shape(t, &expected), PAWL_EDATA,
               "%s: tensor %s: expected the shape %s that config.json implies, found %s", dir, w->name, wanted, got);
    PAWL_CHECK(t->dtype == PAWL_F32 || t->dtype == PAWL_F16 || t->dtype == PAWL_BF16, PAWL_EDATA,
               "%s: tensor %s: expected numbers of f32, f16 or bf16, found %s", dir, w->name,
               pawl_dtype_name(t->dtype));
    pawl_hf_to_floats(t, flat + w->first);
    return PAWL_OK;
}

static int ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* A head written out beside the embedding that it is tied to. */
static pawl_status check_tied_head(const pawl_safetensors *s, const pawl_named *head, const char *dir)
{
    const pawl_named *embed = pawl_safetensors_find(s, "model.embed_tokens.weight");
    PAWL_CHECK(embed && pawl_hf_same_shape(&embed->tensor, &head->tensor) && embed->tensor.dtype == head->tensor.dtype &&
                   memcmp(embed->tensor.data, head->tensor.data, pawl_tensor_bytes(head->tensor)) == 0,
               PAWL_EDATA,
               "%s: config.json says tie_word_embeddings, but lm_head.weight differs from model.embed_tokens.weight",
               dir);
    return PAWL_OK;
}

static int is_ours(const pawl_model *m, const char *name)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->weights[i].name, name) == 0) return 1;
    return 0;
}

static pawl_status check_others(const pawl_model *m, const pawl_safetensors *s, const char *dir)
{
    for (int i = 0; i < pawl_safetensors_count(s); i++) {
        const pawl_named *n = pawl_safetensors_at(s, i);
        if (is_ours(m, n->name) || ends_with(n->name, "rotary_emb.inv_freq")) continue; /* a table old versions saved */
        if (m->has & PAWL_TIED_HEAD && strcmp(n->name, "lm_head.weight") == 0) {
            PAWL_TRY(check_tied_head(s, n, dir));
            continue;
        }
        char shape[96];
        pawl_hf_shape_text(&n->tensor, shape);
        return PAWL_FAIL(PAWL_EDATA, "%s: tensor %s %s does not belong to the model that config.json describes", dir,
                         n->name, shape);
    }
    return PAWL_OK;
}

pawl_status pawl_hf_load(const pawl_model *m, const char *dir, float *flat)
{
    pawl_safetensors *s;
    PAWL_TRY(pawl_safetensors_open(dir, &s));
    pawl_status status = PAWL_OK;
    memset(flat, 0, (size_t)m->flat * sizeof *flat);
    for (int i = 0; i < m->count; i++) PAWL_TRY_OUT(load_weight(s, &m->weights[i], dir, flat));
    PAWL_TRY_OUT(check_others(m, s, dir));
out:
    pawl_safetensors_close(s);
    return status;
}

/* --- writing ----------------------------------------------------------------------------------------------- */

pawl_status pawl_hf_write_json(const char *dir, const char *name, json_t *value)
{
    char path[PATH_MAX];
    pawl_text text = {.data = NULL};
    pawl_status status;
    PAWL_TRY_OUT(value ? PAWL_OK : PAWL_FAIL(PAWL_EMEM, "no memory for %s", name));
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, name));
    PAWL_TRY_OUT(pawl_json_pretty(value, &text));
    pawl_text_add(&text, "\n");
    PAWL_TRY_OUT(pawl_text_status(&text));
    PAWL_TRY_OUT(pawl_file_replace(path, text.data, text.bytes));
out:
    pawl_text_close(&text);
    json_decref(value);
    return status;
}

static json_t *token(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

pawl_status pawl_hf_save(const pawl_model *m, const float *flat, pawl_dtype dtype, const char *dir)
{
    const pawl_model_config *c = &m->config;
    pawl_state state = {.items = NULL};
    json_t *config;
    pawl_status status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "models are written as f32, bf16 or f16, not as %s", pawl_dtype_name(dtype));
    PAWL_TRY(pawl_hf_config_json(m, dtype, &config));
    PAWL_TRY_OUT(pawl_dir_make(dir));
    PAWL_TRY_OUT(pawl_model_state(m, (float *)(uintptr_t)flat, "", &state)); /* read only */
    PAWL_TRY_OUT(pawl_safetensors_write_dir(dir, &state, dtype, SHARD_BYTES));
    PAWL_TRY_OUT(pawl_hf_write_json(dir, "generation_config.json",
                            json_pack("{s:b,s:o,s:o}", "_from_model_config", 1, "bos_token_id", token(c->bos_token_id),
                                      "eos_token_id", token(c->eos_token_id))));
    PAWL_TRY_OUT(pawl_hf_write_json(dir, "config.json", json_incref(config))); /* last: with it the folder is a model */
out:
    json_decref(config);
    pawl_state_close(&state);
    return status;
}

/* --- lineage ----------------------------------------------------------------------------------------------- */

static pawl_status add_file(json_t *files, const char *path)
{
    const void *data;
    size_t bytes;
    const char *slash = strrchr(path, '/');
    PAWL_TRY(pawl_file_map(path, &data, &bytes));
    const pawl_hex hex = pawl_digest_hex(pawl_sha256(bytes ? data : "", bytes));
    pawl_file_unmap(data, bytes);
    PAWL_CHECK(json_array_append_new(files, json_pack("{s:s,s:I,s:s}", "name", slash ? slash + 1 : path, "bytes",
                                                      (json_int_t)bytes, "sha256", hex.text)) == 0,
               PAWL_EMEM, "no memory for the lineage of %s", path);
    return PAWL_OK;
}

static pawl_status add_files(json_t *files, const char *dir, const pawl_safetensors *s)
{
    static const char *const names[] = {"config.json", "model.safetensors.index.json", NULL};
    const int sharded = !ends_with(pawl_safetensors_file(s, 0), "/model.safetensors");
    char path[PATH_MAX];
    for (int i = 0; names[i]; i++) {
        PAWL_TRY(pawl_path_join(path, sizeof path, dir, names[i]));
        if (i == 0 || sharded) PAWL_TRY(add_file(files, path)); /* an index beside a single file was not read */
    }
    for (int i = 0; i < pawl_safetensors_files(s); i++) PAWL_TRY(add_file(files, pawl_safetensors_file(s, i)));
    return PAWL_OK;
}

pawl_status pawl_hf_lineage(const char *dir, json_t **out)
{
    pawl_safetensors *s;
    PAWL_TRY(pawl_safetensors_open(dir, &s));
    json_t *files = json_array();
    pawl_status status =
        files ? add_files(files, dir, s) : PAWL_FAIL(PAWL_EMEM, "no memory for the lineage of %s", dir);
    pawl_safetensors_close(s);
    json_t *lineage = status == PAWL_OK ? json_pack("{s:s,s:O}", "path", dir, "files", files) : NULL;
    if (status == PAWL_OK && !lineage) status = PAWL_FAIL(PAWL_EMEM, "no memory for the lineage of %s", dir);
    json_decref(files);
    if (status == PAWL_OK) *out = lineage;
    return status;
}
