#include "checkpoints/manifest.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/arena.h"
#include "core/file.h"

#define FORMAT "pawl-checkpoint-1"

static json_t *hex_of(pawl_digest d)
{
    return json_string(pawl_digest_hex(d).text);
}

static json_t *shape_of(const pawl_tensor *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->ndim; i++) json_array_append_new(shape, json_integer(t->dim[i]));
    return shape;
}

static json_t *chunks_of(const pawl_stored *t)
{
    json_t *chunks = json_array();
    for (int64_t i = 0; i < t->chunk_count; i++) json_array_append_new(chunks, hex_of(t->chunks[i]));
    return chunks;
}

static json_t *tensor_of(const pawl_stored *t)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:o, s:o}", "name", t->item.name, "dtype",
                     pawl_dtype_name(t->item.tensor.dtype), "shape", shape_of(&t->item.tensor), "file", t->file,
                     "offset", (json_int_t)t->offset, "bytes", (json_int_t)t->bytes, "sha256", hex_of(t->digest),
                     "chunks", chunks_of(t));
}

static json_t *tensors_of(const pawl_stored *list, int count)
{
    json_t *all = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(all, tensor_of(&list[i]));
    return all;
}

static json_t *manifest_of(const pawl_manifest_facts *f, const pawl_stored *list, int count, const pawl_sums *sums)
{
    char created[32];
    const time_t now = time(NULL);
    struct tm day;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &day));
    return json_pack("{s:s, s:I, s:s, s:s, s:i, s:O, s:O, s:o, s:{s:I, s:o}, s:o, s:o, s:o, s:o}", "format", FORMAT,
                     "step", (json_int_t)f->step, "created", created, "pawl_version", PAWL_VERSION, "ranks", f->ranks,
                     "run", f->run, "lineage", f->lineage, "parent", f->parent ? hex_of(*f->parent) : json_null(),
                     "layout", "bytes", (json_int_t)f->file_bytes, "sha256", hex_of(f->layout), "tensors",
                     tensors_of(list, count), "weights_sha256", hex_of(sums->weights), "state_sha256",
                     hex_of(sums->state), "memory_sha256", hex_of(sums->memory));
}

/* The root digest is taken over the canonical text without itself. */
static pawl_status root_of(const json_t *manifest, pawl_digest *out)
{
    pawl_text text = {0};
    json_t *rest = json_copy((json_t *)(uintptr_t)manifest);
    PAWL_CHECK(rest, PAWL_EMEM, "no memory for a manifest");
    json_object_del(rest, "root_sha256");
    pawl_status s = pawl_json_canonical(rest, &text);
    if (s == PAWL_OK) s = pawl_text_status(&text);
    if (s == PAWL_OK) *out = pawl_sha256(text.data, text.bytes);
    pawl_text_close(&text);
    json_decref(rest);
    return s;
}

pawl_status pawl_manifest_text(const pawl_manifest_facts *f, const pawl_stored *list, int count, pawl_text *out,
                               pawl_sums *sums)
{
    PAWL_TRY(pawl_stored_sums(list, count, sums));
    json_t *manifest = manifest_of(f, list, count, sums);
    PAWL_CHECK(manifest, PAWL_EMEM, "no memory for a manifest of %d tensors", count);
    pawl_status s = root_of(manifest, &sums->root);
    if (s == PAWL_OK && json_object_set_new(manifest, "root_sha256", hex_of(sums->root)) < 0)
        s = PAWL_FAIL(PAWL_EMEM, "no memory for a manifest of %d tensors", count);
    if (s == PAWL_OK) s = pawl_json_canonical(manifest, out);
    json_decref(manifest);
    return s == PAWL_OK ? pawl_text_status(out) : s;
}

/* ---- Reading: a manifest may come from anywhere, so nothing in it is believed ---- */

static const int64_t LARGEST = 9007199254740991; /* 2^53 - 1, the largest integer of canonical JSON */

static pawl_status get_digest(const json_t *object, const char *key, const char *where, pawl_digest *out)
{
    const char *hex;
    PAWL_TRY(pawl_json_text(object, key, where, &hex));
    PAWL_CHECK(pawl_digest_parse(hex, out) == PAWL_OK, PAWL_EDATA,
               "%s: %s: expected a SHA-256 in lower-case hex, found '%.80s'", where, key, hex);
    return PAWL_OK;
}

int pawl_is_tensor_name(const char *name)
{
    if (strlen(name) >= PAWL_NAME_MAX) return 0;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) return 0;
    for (const char *p = name;; p++) {
        const size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return 0;
        p += n;
        if (!*p) return 1;
    }
}

/* Its own file, or that of another step of the same run; so no path can leave output_dir. */
static int is_tensor_file(const char *file)
{
    char step_name[PAWL_STEP_NAME_MAX];
    int64_t step;
    const size_t n = strcspn(file, "/");
    if (strcmp(file, PAWL_TENSOR_FILE) == 0) return 1;
    if (n >= sizeof step_name || strcmp(file + n, "/" PAWL_TENSOR_FILE) != 0) return 0;
    memcpy(step_name, file, n);
    step_name[n] = 0;
    return pawl_step_parse(step_name, &step);
}

static pawl_status get_shape(const json_t *object, const char *where, pawl_tensor *t)
{
    json_t *shape;
    PAWL_TRY(pawl_json_array(object, "shape", where, &shape));
    const size_t ndim = json_array_size(shape);
    PAWL_CHECK(ndim <= PAWL_MAX_NDIM, PAWL_EDATA, "%s: expected at most %d dimensions, found %zu", where, PAWL_MAX_NDIM,
               ndim);
    int64_t count = 1;
    for (size_t i = 0; i < ndim; i++) {
        const json_t *dim = json_array_get(shape, i);
        const int64_t n = json_integer_value(dim);
        PAWL_CHECK(json_is_integer(dim) && n >= 0 && (n == 0 || count <= LARGEST / 8 / n), PAWL_EDATA,
                   "%s: shape: dimension %zu is not a number of elements, or there are too many of them", where, i);
        t->dim[i] = n;
        count *= n;
    }
    t->ndim = (int)ndim;
    return PAWL_OK;
}

static pawl_status get_chunks(const json_t *object, const char *where, pawl_stored *t)
{
    json_t *chunks;
    PAWL_TRY(pawl_json_array(object, "chunks", where, &chunks));
    for (int64_t i = 0; i < t->chunk_count; i++) {
        const char *hex = json_string_value(json_array_get(chunks, (size_t)i));
        PAWL_CHECK(hex && pawl_digest_parse(hex, &t->chunks[i]) == PAWL_OK, PAWL_EDATA,
                   "%s: chunks[%lld]: expected a SHA-256 in lower-case hex", where, (long long)i);
    }
    PAWL_CHECK(pawl_digest_equal(t->digest, pawl_chunks_digest(t->chunks, t->chunk_count)), PAWL_EDATA,
               "%s: sha256 is not that of the chunks", where);
    return PAWL_OK;
}

static pawl_status get_place(const json_t *object, const char *where, pawl_stored *t)
{
    const char *file;
    int64_t bytes;
    PAWL_TRY(pawl_json_text(object, "file", where, &file));
    PAWL_CHECK(is_tensor_file(file), PAWL_EDATA, "%s: file: expected %s, or that of another step, found '%.80s'", where,
               PAWL_TENSOR_FILE, file);
    memcpy(t->file, file, strlen(file) + 1);
    PAWL_TRY(pawl_json_i64(object, "offset", where, 0, LARGEST, &t->offset));
    PAWL_TRY(pawl_json_i64(object, "bytes", where, 0, LARGEST, &bytes));
    t->bytes = pawl_tensor_bytes(t->item.tensor);
    PAWL_CHECK((size_t)bytes == t->bytes, PAWL_EDATA, "%s: expected %zu bytes for its shape, found %lld", where,
               t->bytes, (long long)bytes);
    t->chunk_count = pawl_chunk_count(t->bytes);
    return PAWL_OK;
}

/* All but the chunks: their number is known only then. */
static pawl_status get_tensor(const json_t *object, const char *where, pawl_stored *t)
{
    const char *name, *dtype;
    PAWL_TRY(pawl_json_text(object, "name", where, &name));
    PAWL_CHECK(pawl_is_tensor_name(name), PAWL_EDATA, "%s: name: expected a path of names, found '%.200s'", where,
               name);
    memcpy(t->item.name, name, strlen(name) + 1);
    PAWL_TRY(pawl_json_text(object, "dtype", where, &dtype));
    t->item.tensor.dtype = pawl_dtype_named(dtype);
    PAWL_CHECK(t->item.tensor.dtype != PAWL_DTYPE_COUNT && strcmp(dtype, pawl_dtype_name(t->item.tensor.dtype)) == 0,
               PAWL_EDATA, "%s: dtype: expected a type of number, found '%.80s'", where, dtype);
    PAWL_TRY(get_shape(object, where, &t->item.tensor));
    PAWL_TRY(get_place(object, where, t));
    return get_digest(object, "sha256", where, &t->digest);
}

static void name_tensor(char *out, size_t room, const char *where, const json_t *object, int i)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    snprintf(out, room, "%.600s: tensor %d (%.200s)", where, i, name ? name : "no name");
}

/* As many digests as a shape asks for must be there: a shape may claim any number. */
static pawl_status count_chunks(const json_t *object, const char *where, const pawl_stored *t)
{
    json_t *chunks;
    PAWL_TRY(pawl_json_array(object, "chunks", where, &chunks));
    PAWL_CHECK((int64_t)json_array_size(chunks) == t->chunk_count, PAWL_EDATA,
               "%s: chunks: expected %lld for %zu bytes, found %zu", where, (long long)t->chunk_count, t->bytes,
               json_array_size(chunks));
    return PAWL_OK;
}

static pawl_status get_all_chunks(pawl_checkpoint *k, const json_t *list, const char *where, int64_t chunk_count)
{
    char at[1024];
    PAWL_TRY(pawl_alloc((void **)&k->chunks, (size_t)chunk_count * sizeof *k->chunks, "a checkpoint's digests"));
    for (int i = 0; i < k->count; i++) {
        const json_t *object = json_array_get(list, (size_t)i);
        name_tensor(at, sizeof at, where, object, i);
        k->tensors[i].chunks = k->chunks + k->tensors[i].first_chunk;
        PAWL_TRY(get_chunks(object, at, &k->tensors[i]));
    }
    return PAWL_OK;
}

static pawl_status get_tensors(pawl_checkpoint *k, const char *where)
{
    json_t *list;
    char at[1024];
    int64_t chunk_count = 0;
    PAWL_TRY(pawl_json_array(k->manifest, "tensors", where, &list));
    PAWL_CHECK(json_array_size(list) <= INT_MAX, PAWL_EDATA, "%s: too many tensors", where);
    k->count = (int)json_array_size(list);
    PAWL_TRY(pawl_alloc((void **)&k->tensors, (size_t)k->count * sizeof *k->tensors, "a checkpoint's list of tensors"));
    for (int i = 0; i < k->count; i++) {
        pawl_stored *t = &k->tensors[i];
        const json_t *object = json_array_get(list, (size_t)i);
        name_tensor(at, sizeof at, where, object, i);
        PAWL_TRY(get_tensor(object, at, t));
        PAWL_TRY(count_chunks(object, at, t));
        PAWL_CHECK(i == 0 || pawl_stored_compare(t - 1, t) < 0, PAWL_EDATA,
                   "%s: expected every name once, in byte order", at);
        t->first_chunk = chunk_count;
        chunk_count += t->chunk_count;
    }
    return get_all_chunks(k, list, where, chunk_count);
}

static pawl_status check_sums(pawl_checkpoint *k, const char *where)
{
    pawl_sums computed;
    const struct {
        const char *key;
        pawl_digest *stated, *computed;
    } sums[] = {{"weights_sha256", &k->sums.weights, &computed.weights},
                {"state_sha256", &k->sums.state, &computed.state},
                {"memory_sha256", &k->sums.memory, &computed.memory}};
    PAWL_TRY(pawl_stored_sums(k->tensors, k->count, &computed));
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        PAWL_TRY(get_digest(k->manifest, sums[i].key, where, sums[i].stated));
        PAWL_CHECK(pawl_digest_equal(*sums[i].stated, *sums[i].computed), PAWL_EDATA,
                   "%s: %s is not that of the tensors", where, sums[i].key);
    }
    return PAWL_OK;
}

/* A folder that is named for a step holds that step; one that was copied and renamed freely may hold any. */
static pawl_status check_name(const pawl_checkpoint *k, const char *where)
{
    char name[PAWL_STEP_NAME_MAX];
    int64_t step;
    const char *slash = strrchr(k->path, '/'), *base = slash ? slash + 1 : k->path;
    const size_t n = strcspn(base, ".");
    if (n >= sizeof name || n == 0) return PAWL_OK;
    memcpy(name, base, n);
    name[n] = 0;
    PAWL_CHECK(!pawl_step_parse(name, &step) || step == k->step, PAWL_EDATA,
               "%s: step: expected %lld, as the folder is named, found %lld", where, (long long)step,
               (long long)k->step);
    return PAWL_OK;
}

static pawl_status check_facts(pawl_checkpoint *k, const char *where)
{
    const char *text;
    json_t *object, *parent = json_object_get(k->manifest, "parent");
    pawl_digest digest;
    int64_t ranks;
    PAWL_TRY(pawl_json_text(k->manifest, "format", where, &text));
    PAWL_CHECK(strcmp(text, FORMAT) == 0, PAWL_EDATA,
               "%s: format: expected %s, found '%.80s'; a newer pawl may read it", where, FORMAT, text);
    PAWL_TRY(pawl_json_i64(k->manifest, "step", where, 0, LARGEST, &k->step));
    PAWL_TRY(pawl_json_i64(k->manifest, "ranks", where, 1, INT_MAX, &ranks));
    PAWL_TRY(pawl_json_text(k->manifest, "created", where, &text));
    PAWL_TRY(pawl_json_text(k->manifest, "pawl_version", where, &text));
    PAWL_TRY(pawl_json_object(k->manifest, "run", where, &object));
    PAWL_TRY(pawl_json_object(k->manifest, "lineage", where, &object));
    PAWL_CHECK(parent, PAWL_EDATA, "%s: parent is missing", where);
    if (!json_is_null(parent)) PAWL_TRY(get_digest(k->manifest, "parent", where, &digest));
    PAWL_TRY(pawl_json_object(k->manifest, "layout", where, &object));
    PAWL_TRY(pawl_json_i64(object, "bytes", where, 0, LARGEST, &k->file_bytes));
    return get_digest(object, "sha256", where, &k->layout);
}

/* One flipped byte anywhere makes it other than canonical, or gives another root digest. */
static pawl_status check_canonical(pawl_checkpoint *k, const char *where, const char *text, size_t bytes)
{
    pawl_text again = {0};
    pawl_digest root;
    PAWL_CHECK(json_is_object(k->manifest), PAWL_EDATA, "%s: expected a JSON object", where);
    pawl_status s = pawl_json_canonical(k->manifest, &again);
    if (s == PAWL_OK) s = pawl_text_status(&again);
    const int same = s == PAWL_OK && again.bytes == bytes && memcmp(again.data, text, bytes) == 0;
    pawl_text_close(&again);
    if (s != PAWL_EDATA) PAWL_TRY(s); /* numbers that canonical JSON does not have, say */
    PAWL_CHECK(same, PAWL_EDATA, "%s is not canonical JSON: it was changed after it was written", where);
    PAWL_TRY(get_digest(k->manifest, "root_sha256", where, &k->sums.root));
    PAWL_TRY(root_of(k->manifest, &root));
    PAWL_CHECK(pawl_digest_equal(root, k->sums.root), PAWL_EDATA,
               "%s: root_sha256: expected %s, found %s: it was changed after it was written", where,
               pawl_digest_hex(k->sums.root).text, pawl_digest_hex(root).text);
    return PAWL_OK;
}

static pawl_status load(pawl_checkpoint *k, const char *where)
{
    char *text;
    size_t bytes;
    PAWL_TRY(pawl_file_read(where, PAWL_TEXT_MAX, &text, &bytes));
    pawl_status s = pawl_json_parse(text, bytes, where, &k->manifest);
    if (s == PAWL_OK) s = check_canonical(k, where, text, bytes);
    pawl_free(text);
    PAWL_TRY(s);
    PAWL_TRY(check_facts(k, where));
    PAWL_TRY(check_name(k, where));
    PAWL_TRY(get_tensors(k, where));
    return check_sums(k, where);
}

pawl_status pawl_manifest_load(const char *checkpoint, pawl_checkpoint **out)
{
    char where[PATH_MAX];
    pawl_checkpoint *k;
    size_t n = strlen(checkpoint);
    while (n > 1 && checkpoint[n - 1] == '/') n--;
    PAWL_CHECK(n > 0 && n < sizeof k->path, PAWL_EUSAGE, "expected the path of a checkpoint, found '%.80s'",
               checkpoint);
    PAWL_TRY(pawl_path_join(where, sizeof where, checkpoint, PAWL_MANIFEST_FILE));
    PAWL_CHECK(pawl_path_exists(where), PAWL_EDATA, "%s: it has no %s, so it is not a whole checkpoint", checkpoint,
               PAWL_MANIFEST_FILE);
    PAWL_TRY(pawl_alloc((void **)&k, sizeof *k, "a checkpoint"));
    memcpy(k->path, checkpoint, n);
    pawl_status s = load(k, where);
    if (s == PAWL_OK)
        *out = k;
    else
        pawl_checkpoint_close(k);
    return s;
}

void pawl_checkpoint_close(pawl_checkpoint *k)
{
    if (!k) return;
    json_decref(k->manifest);
    pawl_free(k->tensors);
    pawl_free(k->chunks);
    pawl_free(k);
}
