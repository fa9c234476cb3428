/* The weights of a Hugging Face directory, in and out, and what lineage says of them. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "model/decoder.h"
#include "model/hf.h"

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

/* The same from a mapped file, of which no more than a piece is in memory at a time. */
static void mapped_to_floats(const pawl_tensor *from, float *to)
{
    enum { PIECE = 1 << 21 };
    const int64_t count = pawl_tensor_count(*from);
    for (int64_t i = 0; i < count; i += PIECE) {
        pawl_tensor piece = {.dtype = from->dtype, .ndim = 1, .dim = {count - i < PIECE ? count - i : PIECE}};
        piece.data = (char *)from->data + (size_t)i * pawl_dtype_bytes(from->dtype);
        pawl_hf_to_floats(&piece, to + i);
        pawl_file_let_go(piece.data, pawl_tensor_bytes(piece));
    }
}

/* to [cols, rows] = the transpose of from [rows, cols], in tiles that stay in the cache. */
void pawl_hf_transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    enum { TILE = 64 };
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t c = 0; c < cols; c += TILE)
            for (int64_t i = r; i < r + TILE && i < rows; i++)
                for (int64_t k = c; k < c + TILE && k < cols; k++) to[k * rows + i] = from[i * cols + k];
}

/* Under its name, or without the family's prefix, as a model saved without its head has it. */
static const pawl_named *find(const pawl_model *m, const pawl_safetensors *s, const char *name)
{
    const char *prefix = pawl_families[m->config.model_type].prefix;
    const size_t n = strlen(prefix);
    const pawl_named *found = pawl_safetensors_find(s, name);
    return found || strncmp(name, prefix, n) != 0 ? found : pawl_safetensors_find(s, name + n);
}

/* A weight in the shape that files have. */
pawl_tensor pawl_hf_shape_in_file(const pawl_weight *w)
{
    const int t = w->transposed;
    return pawl_view(NULL, w->dim[t], w->ndim == 2 ? w->dim[!t] : 0);
}

struct pawl_hf_reader {
    const pawl_model *m;
    char dir[PATH_MAX];
    pawl_safetensors *s;
    float *untransposed; /* room for the largest tensor that files hold the other way round */
};

pawl_status pawl_hf_read(void *reader, int tensor, float *to)
{
    const pawl_hf_reader *r = reader;
    const pawl_weight *w = &r->m->weights[tensor];
    const char *dir = r->dir;
    const pawl_named *found = find(r->m, r->s, w->name);
    const pawl_tensor expected = pawl_hf_shape_in_file(w);
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
    if (!to) return PAWL_OK; /* it is there, as it should be */
    mapped_to_floats(t, w->transposed ? r->untransposed : to);
    if (w->transposed) pawl_hf_transpose(r->untransposed, w->dim[1], w->dim[0], to);
    return PAWL_OK;
}

static int ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* A head written out beside the embedding that it is tied to. */
static pawl_status check_tied_head(const pawl_model *m, const pawl_safetensors *s, const pawl_named *head,
                                   const char *dir)
{
    const char *name = m->weights[0].name; /* the embedding lies first */
    const pawl_named *embed = find(m, s, name);
    PAWL_CHECK(embed && pawl_hf_same_shape(&embed->tensor, &head->tensor) &&
                   embed->tensor.dtype == head->tensor.dtype &&
                   memcmp(embed->tensor.data, head->tensor.data, pawl_tensor_bytes(head->tensor)) == 0,
               PAWL_EDATA, "%s: config.json says tie_word_embeddings, but lm_head.weight differs from %s", dir, name);
    return PAWL_OK;
}

static int is_ours(const pawl_model *m, const char *name)
{
    const char *prefix = pawl_families[m->config.model_type].prefix;
    const size_t n = strlen(prefix);
    for (int i = 0; i < m->count; i++) {
        const char *ours = m->weights[i].name;
        if (strcmp(ours, name) == 0 || (strncmp(ours, prefix, n) == 0 && strcmp(ours + n, name) == 0)) return 1;
    }
    return 0;
}

/* Tables that old versions saved, and that follow from the configuration. */
static int is_ignored(const pawl_model *m, const char *name)
{
    for (const char *const *end = pawl_families[m->config.model_type].ignored; *end; end++)
        if (ends_with(name, *end)) return 1;
    return 0;
}

static pawl_status check_others(const pawl_model *m, const pawl_safetensors *s, const char *dir)
{
    for (int i = 0; i < pawl_safetensors_count(s); i++) {
        const pawl_named *n = pawl_safetensors_at(s, i);
        if (is_ours(m, n->name) || is_ignored(m, n->name)) continue;
        if (m->has & PAWL_TIED_HEAD && strcmp(n->name, "lm_head.weight") == 0) {
            PAWL_TRY(check_tied_head(m, s, n, dir));
            continue;
        }
        char shape[96];
        pawl_hf_shape_text(&n->tensor, shape);
        return PAWL_FAIL(PAWL_EDATA, "%s: tensor %s %s does not belong to the model that config.json describes", dir,
                         n->name, shape);
    }
    return PAWL_OK;
}

static pawl_status open_reader(pawl_hf_reader *r, const char *dir)
{
    const pawl_model *m = r->m;
    int64_t most = 0;
    PAWL_CHECK(strlen(dir) < sizeof r->dir, PAWL_EUSAGE, "path too long: %s", dir);
    memcpy(r->dir, dir, strlen(dir) + 1);
    for (int i = 0; i < m->count; i++)
        if (m->weights[i].transposed && m->extents[i].count > most) most = m->extents[i].count;
    PAWL_TRY(pawl_safetensors_open(dir, &r->s));
    if (most) PAWL_TRY(pawl_alloc((void **)&r->untransposed, (size_t)most * sizeof *r->untransposed, "a tensor"));
    return PAWL_OK;
}

pawl_status pawl_hf_open(const pawl_model *m, const char *dir, pawl_hf_reader **out)
{
    pawl_hf_reader *r;
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "a reader of weights"));
    r->m = m;
    const pawl_status status = open_reader(r, dir);
    if (status != PAWL_OK) {
        pawl_hf_reader_close(r);
        return status;
    }
    *out = r;
    return PAWL_OK;
}

void pawl_hf_reader_close(pawl_hf_reader *r)
{
    if (!r) return;
    pawl_free(r->untransposed);
    pawl_safetensors_close(r->s);
    pawl_free(r);
}

pawl_status pawl_hf_others(const pawl_hf_reader *r)
{
    return check_others(r->m, r->s, r->dir);
}

/* flat NULL: only looks. */
static pawl_status load(const pawl_model *m, const char *dir, float *flat)
{
    pawl_hf_reader *r;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_hf_open(m, dir, &r));
    if (flat) memset(flat, 0, (size_t)m->flat * sizeof *flat);
    for (int i = 0; i < m->count; i++) PAWL_TRY_OUT(pawl_hf_read(r, i, flat ? flat + m->weights[i].first : NULL));
    PAWL_TRY_OUT(pawl_hf_others(r));
out:
    pawl_hf_reader_close(r);
    return status;
}

pawl_status pawl_hf_load(const pawl_model *m, const char *dir, float *flat)
{
    return load(m, dir, flat);
}

pawl_status pawl_hf_check(const pawl_model *m, const char *dir)
{
    return load(m, dir, NULL);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

/* Takes value; NULL: there was no memory for it. */
pawl_status pawl_hf_write_json(const char *dir, const char *name, json_t *value)
{
    PAWL_CHECK(value, PAWL_EMEM, "no memory for %s", name);
    const pawl_status status = pawl_json_write(dir, name, value);
    json_decref(value);
    return status;
}

static void lay_out_copies(pawl_arena *a, const pawl_model *m, float **copies)
{
    for (int i = 0; i < m->count; i++)
        if (m->weights[i].transposed) {
            float *copy = pawl_take_bytes(a, (size_t)m->extents[i].count * sizeof *copy);
            if (copies) copies[i] = copy;
        }
}

static pawl_status fill_state(const pawl_model *m, const float *flat, float *const *copies, pawl_state *out)
{
    for (int i = 0; i < m->count; i++) {
        const pawl_weight *w = &m->weights[i];
        const float *from = flat + w->first;
        pawl_tensor t = pawl_hf_shape_in_file(w);
        if (w->transposed) pawl_hf_transpose(from, w->dim[0], w->dim[1], copies[i]);
        t.data = w->transposed ? copies[i] : (float *)(uintptr_t)from; /* read only */
        PAWL_TRY(pawl_state_add(out, "", w->name, t));
    }
    return PAWL_OK;
}

pawl_status pawl_hf_tensors_open(const pawl_model *m, const float *flat, pawl_hf_tensors *out)
{
    pawl_hf_tensors t = {.copies = {.name = "transposed tensors"}};
    float **copies;
    pawl_status status;
    PAWL_TRY(pawl_alloc((void **)&copies, (size_t)m->count * sizeof *copies, "a list of tensors"));
    lay_out_copies(&t.copies, m, NULL);
    PAWL_TRY_OUT(pawl_arena_open(&t.copies));
    lay_out_copies(&t.copies, m, copies);
    PAWL_TRY_OUT(fill_state(m, flat, copies, &t.state));
    *out = t;
out:
    if (status != PAWL_OK) pawl_hf_tensors_close(&t);
    pawl_free(copies);
    return status;
}

void pawl_hf_tensors_close(pawl_hf_tensors *t)
{
    pawl_state_close(&t->state);
    pawl_arena_close(&t->copies);
}

/* --- lineage ----------------------------------------------------------------------------------------------- */

static pawl_status mapped_digest(const char *data, size_t bytes, pawl_digest *out)
{
    enum { PIECE = 8 << 20 };
    pawl_hash *hash;
    PAWL_TRY(pawl_hash_open(&hash));
    for (size_t at = 0; at < bytes; at += PIECE) {
        const size_t some = bytes - at < PIECE ? bytes - at : PIECE;
        pawl_hash_add(hash, data + at, some);
        pawl_file_let_go(data + at, some);
    }
    *out = pawl_hash_close(hash);
    return PAWL_OK;
}

pawl_status pawl_hf_add_file(json_t *files, const char *path)
{
    const void *data;
    size_t bytes;
    pawl_digest digest;
    const char *slash = strrchr(path, '/');
    PAWL_TRY(pawl_file_map(path, &data, &bytes));
    const pawl_status status = mapped_digest(data, bytes, &digest);
    pawl_file_unmap(data, bytes);
    PAWL_TRY(status);
    const pawl_hex hex = pawl_digest_hex(digest);
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
        if (i == 0 || sharded) PAWL_TRY(pawl_hf_add_file(files, path)); /* an index beside a single file was not read */
    }
    for (int i = 0; i < pawl_safetensors_files(s); i++) PAWL_TRY(pawl_hf_add_file(files, pawl_safetensors_file(s, i)));
    return PAWL_OK;
}

/* What an import or a merge has written beside the model. */
static pawl_status add_record(const char *dir, const char *name, const char *key, json_t *lineage)
{
    enum { RECORD_MAX = 1 << 20 };
    char path[PATH_MAX];
    json_t *record;
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, name));
    if (!pawl_path_exists(path)) return PAWL_OK;
    PAWL_TRY(pawl_json_read(path, RECORD_MAX, &record));
    PAWL_CHECK(json_object_set_new(lineage, key, record) == 0, PAWL_EMEM, "no memory for the lineage of %s", dir);
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
    if (status == PAWL_OK) status = add_record(dir, PAWL_IMPORT_RECORD, "imported", lineage);
    if (status == PAWL_OK) status = add_record(dir, PAWL_MERGE_RECORD, "merged", lineage);
    if (status == PAWL_OK) *out = lineage;
    else
        json_decref(lineage);
    return status;
}
