#include "core/safetensors.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"

enum { HEADER_MAX = 100000000, INDEX_MAX = 1 << 28 }; /* the format's own ceiling; an index of a million tensors */

typedef struct mapped {
    char path[PATH_MAX];
    const char *data;
    size_t bytes;
} mapped;

typedef struct entry {
    pawl_named named; /* first, so that a list of entries can be sorted and searched by name */
    int file;
    size_t first, end; /* in the file's data, behind its header */
} entry;

struct pawl_safetensors {
    mapped *files;
    int file_count;
    entry *entries; /* by name once open */
    int count, room;
};

/* --- one file ---------------------------------------------------------------------------------------------- */

static pawl_status check_name(const char *name, const char *path)
{
    size_t n = 0;
    for (; name[n]; n++)
        PAWL_CHECK((unsigned char)name[n] >= ' ' && name[n] != 127, PAWL_EDATA,
                   "%s: a tensor's name has the control character 0x%02x at byte %zu", path, (unsigned char)name[n], n);
    PAWL_CHECK(n > 0 && n < PAWL_NAME_MAX, PAWL_EDATA, "%s: tensor name '%.60s' is %zu bytes long, expected 1 to %d",
               path, name, n, PAWL_NAME_MAX - 1);
    return PAWL_OK;
}

/* The bytes that shape needs; dims are multiplied with care, since a file may state any. */
static pawl_status read_shape(const json_t *shape, const char *path, entry *e, size_t *bytes)
{
    const char *name = e->named.name;
    pawl_tensor *t = &e->named.tensor;
    const size_t ndim = json_array_size(shape);
    PAWL_CHECK(ndim <= PAWL_MAX_NDIM, PAWL_EDATA, "%s: tensor %s has %zu dimensions, at most %d are read", path, name,
               ndim, PAWL_MAX_NDIM);
    size_t total = pawl_dtype_bytes(t->dtype);
    t->ndim = (int)ndim;
    for (size_t i = 0; i < ndim; i++) {
        const json_t *dim = json_array_get(shape, i);
        PAWL_CHECK(json_is_integer(dim) && json_integer_value(dim) >= 0, PAWL_EDATA,
                   "%s: tensor %s: dimension %zu of its shape is not a whole number of 0 or more", path, name, i);
        t->dim[i] = json_integer_value(dim);
        PAWL_CHECK(!__builtin_mul_overflow(total, (size_t)t->dim[i], &total) && total <= INT64_MAX, PAWL_EDATA,
                   "%s: tensor %s: its shape overflows 64 bits", path, name);
    }
    *bytes = total;
    return PAWL_OK;
}

static pawl_status read_offsets(const json_t *offsets, const char *path, size_t data_bytes, entry *e)
{
    const json_t *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    PAWL_CHECK(json_array_size(offsets) == 2 && json_is_integer(first) && json_is_integer(end), PAWL_EDATA,
               "%s: tensor %s: expected data_offsets [first, end]", path, e->named.name);
    const json_int_t a = json_integer_value(first), b = json_integer_value(end);
    PAWL_CHECK(0 <= a && a <= b && (size_t)b <= data_bytes, PAWL_EDATA,
               "%s: tensor %s: data_offsets [%lld, %lld] lie outside the file's %zu bytes of data (is it truncated?)",
               path, e->named.name, (long long)a, (long long)b, data_bytes);
    e->first = (size_t)a;
    e->end = (size_t)b;
    return PAWL_OK;
}

static pawl_status read_entry(const char *name, const json_t *value, const char *path, size_t data_bytes, entry *e)
{
    const char *dtype;
    json_t *shape, *offsets;
    size_t bytes = 0;
    PAWL_TRY(check_name(name, path));
    memcpy(e->named.name, name, strlen(name) + 1);
    char where[PATH_MAX + PAWL_NAME_MAX + 16];
    snprintf(where, sizeof where, "%s: tensor %s", path, name);
    PAWL_CHECK(json_is_object(value), PAWL_EDATA, "%s is not a JSON object", where);
    PAWL_TRY(pawl_json_text(value, "dtype", where, &dtype));
    PAWL_TRY(pawl_json_array(value, "shape", where, &shape));
    PAWL_TRY(pawl_json_array(value, "data_offsets", where, &offsets));
    e->named.tensor.dtype = pawl_dtype_named(dtype);
    PAWL_CHECK(e->named.tensor.dtype != PAWL_DTYPE_COUNT, PAWL_EDATA, "%s has dtype %.20s, which is not read here",
               where, dtype);
    PAWL_TRY(read_shape(shape, path, e, &bytes));
    PAWL_TRY(read_offsets(offsets, path, data_bytes, e));
    PAWL_CHECK(e->end - e->first == bytes, PAWL_EDATA,
               "%s: its shape and dtype need %zu bytes, its data_offsets span %zu", where, bytes, e->end - e->first);
    return PAWL_OK;
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* No gap and no overlap: the tensors of a file, in order, tile its data. */
static pawl_status check_tiling(entry *e, int count, const char *path, size_t data_bytes)
{
    size_t at = 0;
    qsort(e, (size_t)count, sizeof *e, by_offset);
    for (int i = 0; i < count; i++) {
        PAWL_CHECK(e[i].first == at, PAWL_EDATA, "%s: tensor %s begins at byte %zu of the data, expected %zu: %s", path,
                   e[i].named.name, e[i].first, at, e[i].first < at ? "tensors overlap" : "there is a gap");
        at = e[i].end;
    }
    PAWL_CHECK(at == data_bytes, PAWL_EDATA, "%s: its tensors end at byte %zu of the data, the file has %zu", path, at,
               data_bytes);
    return PAWL_OK;
}

static pawl_status make_room(pawl_safetensors *s, size_t more)
{
    PAWL_CHECK(more < INT_MAX / 2 && s->count < INT_MAX / 2, PAWL_EDATA, "too many tensors");
    if (s->count + (int)more <= s->room) return PAWL_OK;
    const int room = s->count + (int)more;
    PAWL_TRY(pawl_realloc((void **)&s->entries, (size_t)room * sizeof *s->entries, "a list of tensors"));
    s->room = room;
    return PAWL_OK;
}

static pawl_status read_entries(pawl_safetensors *s, int file, json_t *header, const char *data)
{
    const mapped *f = &s->files[file];
    const size_t data_bytes = f->bytes - (size_t)(data - f->data);
    const char *name;
    json_t *value;
    PAWL_TRY(make_room(s, json_object_size(header)));
    const int before = s->count;
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        entry *e = &s->entries[s->count];
        *e = (entry){.file = file};
        PAWL_TRY(read_entry(name, value, f->path, data_bytes, e));
        /* A const view would need a second tensor type; the mapping is read-only, so a write would be caught. */
        e->named.tensor.data = (void *)(uintptr_t)(data + e->first);
        s->count++;
    }
    if (s->count == before)
        PAWL_CHECK(data_bytes == 0, PAWL_EDATA, "%s: %zu bytes of data belong to no tensor", f->path, data_bytes);
    return s->count == before ? PAWL_OK : check_tiling(s->entries + before, s->count - before, f->path, data_bytes);
}

static pawl_status read_file(pawl_safetensors *s, int file)
{
    mapped *f = &s->files[file];
    json_t *header;
    uint64_t bytes = 0;
    PAWL_TRY(pawl_file_map(f->path, (const void **)&f->data, &f->bytes));
    PAWL_CHECK(f->bytes >= 8, PAWL_EDATA, "%s: expected a safetensors file, found %zu bytes (is it truncated?)",
               f->path, f->bytes);
    for (int i = 7; i >= 0; i--) bytes = bytes << 8 | (unsigned char)f->data[i];
    PAWL_CHECK(bytes <= HEADER_MAX, PAWL_EDATA,
               "%s: its first 8 bytes state a header of %llu bytes, the format allows %d: not a safetensors file",
               f->path, (unsigned long long)bytes, HEADER_MAX);
    PAWL_CHECK(bytes <= f->bytes - 8, PAWL_EDATA,
               "%s: its header is %llu bytes, the file ends after %zu (is it truncated?)", f->path,
               (unsigned long long)bytes, f->bytes);
    PAWL_CHECK(bytes >= 2 && f->data[8] == '{', PAWL_EDATA,
               "%s: its header does not begin with '{': not a safetensors file", f->path);
    PAWL_TRY(pawl_json_parse(f->data + 8, (size_t)bytes, f->path, &header));
    pawl_status status = read_entries(s, file, header, f->data + 8 + bytes);
    json_decref(header);
    return status;
}

/* --- the list ---------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->named.name, ((const entry *)b)->named.name);
}

static pawl_status sort_names(pawl_safetensors *s)
{
    if (s->count > 1) qsort(s->entries, (size_t)s->count, sizeof *s->entries, by_name);
    for (int i = 1; i < s->count; i++) {
        const entry *a = &s->entries[i - 1], *b = &s->entries[i];
        PAWL_CHECK(by_name(a, b) != 0, PAWL_EDATA, "tensor %s is in %s and in %s", a->named.name,
                   s->files[a->file].path, s->files[b->file].path);
    }
    return PAWL_OK;
}

static const entry *find_entry(const pawl_safetensors *s, const char *name)
{
    int lo = 0, hi = s->count;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2, c = strcmp(name, s->entries[mid].named.name);
        if (c == 0) return &s->entries[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static const char *file_name(const mapped *f)
{
    const char *slash = strrchr(f->path, '/');
    return slash ? slash + 1 : f->path;
}

/* --- shards ------------------------------------------------------------------------------------------------ */

/* The file of that name in dir, added to the list if it is not there yet. A name that leaves dir is refused. */
static pawl_status add_shard(pawl_safetensors *s, const char *dir, const char *index, const char *name)
{
    PAWL_CHECK(name[0] && name[0] != '.' && !strchr(name, '/') && !strchr(name, '\\'), PAWL_EDATA,
               "%s: weight_map names the file '%.200s', expected the plain name of a file beside the index", index,
               name);
    for (int i = s->file_count - 1; i >= 0; i--)
        if (strcmp(file_name(&s->files[i]), name) == 0) return PAWL_OK;
    PAWL_TRY(pawl_realloc((void **)&s->files, (size_t)(s->file_count + 1) * sizeof *s->files, "a list of shards"));
    mapped *f = &s->files[s->file_count];
    *f = (mapped){.data = NULL};
    PAWL_TRY(pawl_path_join(f->path, sizeof f->path, dir, name));
    PAWL_CHECK(pawl_path_exists(f->path), PAWL_EDATA, "%s: weight_map names %s, which is not there", index, name);
    s->file_count++;
    return PAWL_OK;
}

/* What the index says and what the shards hold must be the same. */
static pawl_status check_index(const pawl_safetensors *s, const char *index, json_t *map)
{
    const char *name;
    json_t *file;
    json_object_foreach(map, name, file)
    {
        const entry *e = find_entry(s, name);
        PAWL_CHECK(e, PAWL_EDATA, "%s: tensor %.190s is not in %s, where weight_map says it is", index, name,
                   json_string_value(file));
        PAWL_CHECK(strcmp(file_name(&s->files[e->file]), json_string_value(file)) == 0, PAWL_EDATA,
                   "%s: tensor %s is in %s, weight_map says %s", index, name, file_name(&s->files[e->file]),
                   json_string_value(file));
    }
    for (int i = 0; i < s->count; i++)
        PAWL_CHECK(json_object_get(map, s->entries[i].named.name), PAWL_EDATA,
                   "%s: tensor %s of %s is missing in weight_map", index, s->entries[i].named.name,
                   file_name(&s->files[s->entries[i].file]));
    return PAWL_OK;
}

static pawl_status read_shards(pawl_safetensors *s, const char *dir, const char *index, json_t *root)
{
    const char *name;
    json_t *map, *file;
    PAWL_TRY(pawl_json_object(root, "weight_map", index, &map));
    json_object_foreach(map, name, file)
    {
        PAWL_CHECK(json_is_string(file), PAWL_EDATA, "%s: weight_map of tensor %.190s is not the name of a file", index,
                   name);
        PAWL_TRY(add_shard(s, dir, index, json_string_value(file)));
    }
    for (int i = 0; i < s->file_count; i++) PAWL_TRY(read_file(s, i));
    PAWL_TRY(sort_names(s));
    return check_index(s, index, map);
}

static pawl_status open_index(pawl_safetensors *s, const char *dir, const char *index)
{
    json_t *root;
    PAWL_TRY(pawl_json_read(index, INDEX_MAX, &root));
    pawl_status status = read_shards(s, dir, index, root);
    json_decref(root);
    return status;
}

static pawl_status open_file(pawl_safetensors *s, const char *path)
{
    PAWL_TRY(pawl_alloc((void **)&s->files, sizeof *s->files, "a list of files"));
    const size_t n = strlen(path);
    PAWL_CHECK(n > 0 && n < sizeof s->files[0].path, PAWL_EUSAGE, "expected a path of 1 to %zu bytes, found %zu",
               sizeof s->files[0].path - 1, n);
    memcpy(s->files[0].path, path, n + 1);
    s->file_count = 1;
    PAWL_TRY(read_file(s, 0));
    return sort_names(s);
}

static pawl_status open_dir(pawl_safetensors *s, const char *dir)
{
    char path[PATH_MAX];
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, PAWL_SAFETENSORS_SINGLE));
    if (pawl_path_exists(path)) return open_file(s, path);
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, PAWL_SAFETENSORS_INDEX));
    PAWL_CHECK(pawl_path_exists(path), PAWL_EDATA, "%s: expected %s or %s in it, found neither", dir,
               PAWL_SAFETENSORS_SINGLE, PAWL_SAFETENSORS_INDEX);
    return open_index(s, dir, path);
}

pawl_status pawl_safetensors_open(const char *path, pawl_safetensors **out)
{
    pawl_safetensors *s;
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "a safetensors reader"));
    pawl_status status;
    PAWL_TRY_OUT(pawl_path_is_dir(path) ? open_dir(s, path) : open_file(s, path));
    *out = s;
    return PAWL_OK;
out:
    pawl_safetensors_close(s);
    return status;
}

void pawl_safetensors_close(pawl_safetensors *s)
{
    if (!s) return;
    for (int i = 0; i < s->file_count; i++) pawl_file_unmap(s->files[i].data, s->files[i].bytes);
    pawl_free(s->files);
    pawl_free(s->entries);
    pawl_free(s);
}

int pawl_safetensors_count(const pawl_safetensors *s)
{
    return s->count;
}

const pawl_named *pawl_safetensors_at(const pawl_safetensors *s, int i)
{
    return &s->entries[i].named;
}

const pawl_named *pawl_safetensors_find(const pawl_safetensors *s, const char *name)
{
    const entry *e = find_entry(s, name);
    return e ? &e->named : NULL;
}

int pawl_safetensors_files(const pawl_safetensors *s)
{
    return s->file_count;
}

const char *pawl_safetensors_file(const pawl_safetensors *s, int i)
{
    return s->files[i].path;
}
