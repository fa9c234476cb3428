#include "core/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/gguf_file.h"

/* Ceilings far above any real file: a hostile one is refused before it costs memory or time. */
enum {
    PAIRS_MAX = 1 << 16,
    TENSORS_MAX = 1 << 20,
    LIST_MAX = 1 << 24,
    ALIGNMENT = 32, /* where general.alignment does not say otherwise */
    ALIGNMENT_MAX = 1 << 20
};

typedef struct cursor {
    const pawl_gguf *g;
    size_t at;
    const char *what; /* what is being read, for errors */
} cursor;

uint64_t pawl_gguf_word(const uint8_t *p, size_t bytes)
{
    uint64_t x = 0;
    for (size_t i = bytes; i > 0; i--) x = x << 8 | p[i - 1];
    return x;
}

#define VALUE_BYTES(name, text, bytes) bytes,
size_t pawl_gguf_value_bytes(pawl_gguf_value kind)
{
    static const size_t bytes[] = {PAWL_GGUF_VALUE_LIST(VALUE_BYTES)};
    return bytes[kind];
}

/* --- steps through the header ------------------------------------------------------------------------------- */

static pawl_status need(const cursor *c, uint64_t bytes)
{
    const size_t left = c->g->bytes - c->at;
    PAWL_CHECK(bytes <= left, PAWL_EDATA,
               "%s: %s needs %llu bytes at byte %zu, the file has %zu left (is it truncated?)", c->g->path, c->what,
               (unsigned long long)bytes, c->at, left);
    return PAWL_OK;
}

static pawl_status word(cursor *c, size_t bytes, uint64_t *out)
{
    PAWL_TRY(need(c, bytes));
    *out = pawl_gguf_word(c->g->data + c->at, bytes);
    c->at += bytes;
    return PAWL_OK;
}

static pawl_status skip_string(cursor *c)
{
    uint64_t bytes;
    PAWL_TRY(word(c, 8, &bytes));
    PAWL_TRY(need(c, bytes));
    c->at += bytes;
    return PAWL_OK;
}

/* A key or a tensor's name: short, and without control characters, so that it can be shown. */
static pawl_status name(cursor *c, char *out, size_t room)
{
    uint64_t bytes;
    PAWL_TRY(word(c, 8, &bytes));
    PAWL_CHECK(bytes > 0 && bytes < room, PAWL_EDATA, "%s: %s has a name of %llu bytes, expected 1 to %zu", c->g->path,
               c->what, (unsigned long long)bytes, room - 1);
    PAWL_TRY(need(c, bytes));
    const uint8_t *p = c->g->data + c->at;
    for (uint64_t i = 0; i < bytes; i++)
        PAWL_CHECK(p[i] >= ' ' && p[i] != 127, PAWL_EDATA, "%s: %s has the control character 0x%02x in its name",
                   c->g->path, c->what, p[i]);
    memcpy(out, p, bytes);
    out[bytes] = 0;
    c->at += bytes;
    return PAWL_OK;
}

/* --- keys --------------------------------------------------------------------------------------------------- */

static pawl_status value_kind(cursor *c, pawl_gguf_value *out)
{
    uint64_t kind;
    PAWL_TRY(word(c, 4, &kind));
    PAWL_CHECK(kind < PAWL_GGUF_VALUES, PAWL_EDATA, "%s: %s has a value of type %llu, which GGUF does not define",
               c->g->path, c->what, (unsigned long long)kind);
    *out = (pawl_gguf_value)kind;
    return PAWL_OK;
}

static pawl_status list_head(cursor *c, pawl_gguf_pair *p)
{
    uint64_t count;
    p->is_list = 1;
    PAWL_TRY(value_kind(c, &p->kind));
    PAWL_CHECK(p->kind != PAWL_GGUF_LIST, PAWL_EDATA, "%s: %s is a list of lists, which is not read here", c->g->path,
               c->what);
    PAWL_TRY(word(c, 8, &count));
    PAWL_CHECK(count <= LIST_MAX, PAWL_EDATA, "%s: %s states a list of %llu elements, at most %d are read", c->g->path,
               c->what, (unsigned long long)count, LIST_MAX);
    p->count = (int64_t)count;
    return PAWL_OK;
}

static pawl_status read_pair(cursor *c, pawl_gguf_pair *p)
{
    char what[PAWL_GGUF_KEY_MAX + 8];
    PAWL_TRY(name(c, p->key, sizeof p->key));
    snprintf(what, sizeof what, "key %s", p->key);
    cursor value = {c->g, c->at, what};
    p->count = 1;
    PAWL_TRY(value_kind(&value, &p->kind));
    if (p->kind == PAWL_GGUF_LIST) PAWL_TRY(list_head(&value, p));
    const size_t width = pawl_gguf_value_bytes(p->kind);
    p->data = c->g->data + value.at;
    PAWL_TRY(need(&value, (uint64_t)p->count * width)); /* LIST_MAX keeps the product small */
    value.at += (size_t)p->count * width;
    if (p->kind == PAWL_GGUF_STRING)
        for (int64_t i = 0; i < p->count; i++) PAWL_TRY(skip_string(&value));
    c->at = value.at;
    return PAWL_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const pawl_gguf_pair *)a)->key, ((const pawl_gguf_pair *)b)->key);
}

static pawl_status read_pairs(pawl_gguf *g, cursor *c, uint64_t count)
{
    PAWL_TRY(pawl_alloc((void **)&g->pairs, ((size_t)count + 1) * sizeof *g->pairs, "the keys of a GGUF file"));
    for (uint64_t i = 0; i < count; i++) {
        char what[64];
        snprintf(what, sizeof what, "key %llu of %llu", (unsigned long long)i + 1, (unsigned long long)count);
        c->what = what;
        PAWL_TRY(read_pair(c, &g->pairs[g->pair_count]));
        g->pair_count++;
    }
    qsort(g->pairs, (size_t)g->pair_count, sizeof *g->pairs, by_key);
    for (int i = 1; i < g->pair_count; i++)
        PAWL_CHECK(by_key(&g->pairs[i - 1], &g->pairs[i]) != 0, PAWL_EDATA, "%s: key %s is there twice", g->path,
                   g->pairs[i].key);
    return PAWL_OK;
}

/* --- tensors ------------------------------------------------------------------------------------------------ */

/* Names of the numbers that ggml gives to types, so that one that is not read can be refused by name. */
static const char *const other_types[] = {
    [9] = "Q8_1",   [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL",
    [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS", [24] = "I8",      [25] = "I16",   [26] = "I32",
    [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [34] = "TQ1_0",   [35] = "TQ2_0", [39] = "MXFP4",
};

static pawl_status refuse_type(const pawl_gguf *g, const pawl_gguf_tensor *t, uint64_t number)
{
    const char *known = number < sizeof other_types / sizeof other_types[0] ? other_types[number] : NULL;
#define TYPE_WORD(name, number, block, bytes) " " #name
    return PAWL_FAIL(PAWL_EDATA, "%s: tensor %s has type %s (number %llu), which is not read here; read are%s", g->path,
                     t->name, known ? known : "unknown", (unsigned long long)number, PAWL_GGUF_TYPE_LIST(TYPE_WORD) "");
}

static pawl_status read_dims(cursor *c, pawl_gguf_tensor *t)
{
    uint64_t ndim, dim;
    PAWL_TRY(word(c, 4, &ndim));
    PAWL_CHECK(ndim <= PAWL_MAX_NDIM, PAWL_EDATA, "%s: %s has %llu dimensions, at most %d are read", c->g->path,
               c->what, (unsigned long long)ndim, PAWL_MAX_NDIM);
    t->ndim = (int)ndim;
    t->count = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        PAWL_TRY(word(c, 8, &dim));
        PAWL_CHECK(dim > 0 && dim <= INT64_MAX && !__builtin_mul_overflow(t->count, (int64_t)dim, &t->count) &&
                       t->count <= INT64_MAX / 8,
                   PAWL_EDATA, "%s: %s: its dimension %llu is 0, or its shape overflows 64 bits", c->g->path, c->what,
                   (unsigned long long)dim);
        t->dim[i] = (int64_t)dim;
    }
    return PAWL_OK;
}

/* The offset stays in t->bytes' place until the data's beginning is known. */
static pawl_status read_tensor(cursor *c, pawl_gguf_tensor *t, uint64_t *offset)
{
    char what[PAWL_NAME_MAX + 8];
    uint64_t type;
    PAWL_TRY(name(c, t->name, sizeof t->name));
    snprintf(what, sizeof what, "tensor %s", t->name);
    cursor inside = {c->g, c->at, what};
    PAWL_TRY(read_dims(&inside, t));
    PAWL_TRY(word(&inside, 4, &type));
    PAWL_TRY(word(&inside, 8, offset));
    c->at = inside.at;
    t->type = pawl_gguf_type_numbered((uint32_t)type);
    if (!t->type) return refuse_type(c->g, t, type);
    const int64_t row = t->ndim ? t->dim[t->ndim - 1] : 1;
    PAWL_CHECK(row % t->type->block == 0, PAWL_EDATA, "%s: %s has rows of %lld numbers, type %s needs a multiple of %d",
               c->g->path, what, (long long)row, t->type->name, t->type->block);
    t->bytes = (size_t)(t->count / t->type->block) * (size_t)t->type->bytes; /* at most count * 4: fits */
    return PAWL_OK;
}

typedef struct extent {
    uint64_t first, bytes;
    int tensor;
} extent;

static int by_first(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static pawl_status place(pawl_gguf *g, extent *e, size_t begin, int64_t alignment)
{
    const size_t room = g->bytes - begin;
    for (int i = 0; i < g->tensor_count; i++) {
        pawl_gguf_tensor *t = &g->tensors[i];
        PAWL_CHECK(e[i].first % (uint64_t)alignment == 0, PAWL_EDATA,
                   "%s: tensor %s begins at byte %llu of the data, which is no multiple of the alignment %lld", g->path,
                   t->name, (unsigned long long)e[i].first, (long long)alignment);
        PAWL_CHECK(e[i].first <= room && e[i].bytes <= room - e[i].first, PAWL_EDATA,
                   "%s: tensor %s lies at bytes %llu to %llu of the data, the file has %zu (is it truncated?)", g->path,
                   t->name, (unsigned long long)e[i].first, (unsigned long long)(e[i].first + e[i].bytes), room);
        t->data = g->data + begin + e[i].first;
    }
    qsort(e, (size_t)g->tensor_count, sizeof *e, by_first);
    for (int i = 1; i < g->tensor_count; i++)
        PAWL_CHECK(e[i - 1].first + e[i - 1].bytes <= e[i].first, PAWL_EDATA, "%s: tensors %s and %s overlap", g->path,
                   g->tensors[e[i - 1].tensor].name, g->tensors[e[i].tensor].name);
    return PAWL_OK;
}

typedef struct named_index {
    const char *name;
    int tensor;
} named_index;

static int by_tensor_name(const void *a, const void *b)
{
    return strcmp(((const named_index *)a)->name, ((const named_index *)b)->name);
}

static pawl_status sort_names(pawl_gguf *g)
{
    named_index *n;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&n, ((size_t)g->tensor_count + 1) * sizeof *n, "the names of tensors"));
    for (int i = 0; i < g->tensor_count; i++) n[i] = (named_index){g->tensors[i].name, i};
    qsort(n, (size_t)g->tensor_count, sizeof *n, by_tensor_name);
    for (int i = 0; i < g->tensor_count && status == PAWL_OK; i++) {
        g->by_name[i] = n[i].tensor;
        if (i > 0 && strcmp(n[i - 1].name, n[i].name) == 0)
            status = PAWL_FAIL(PAWL_EDATA, "%s: tensor %s is there twice", g->path, n[i].name);
    }
    pawl_free(n);
    return status;
}

static pawl_status read_tensors(pawl_gguf *g, cursor *c, uint64_t count, extent *e)
{
    for (uint64_t i = 0; i < count; i++) {
        char what[64];
        snprintf(what, sizeof what, "tensor %llu of %llu", (unsigned long long)i + 1, (unsigned long long)count);
        c->what = what;
        pawl_gguf_tensor *t = &g->tensors[g->tensor_count];
        PAWL_TRY(read_tensor(c, t, &e[i].first));
        e[i].bytes = t->bytes;
        e[i].tensor = g->tensor_count++;
    }
    int64_t alignment;
    PAWL_TRY(pawl_gguf_i64_or(g, "general.alignment", 1, ALIGNMENT_MAX, ALIGNMENT, &alignment));
    PAWL_CHECK((alignment & (alignment - 1)) == 0, PAWL_EDATA,
               "%s: general.alignment is %lld, which is no power of two", g->path, (long long)alignment);
    const size_t begin = (c->at + (size_t)alignment - 1) / (size_t)alignment * (size_t)alignment;
    PAWL_CHECK(begin <= g->bytes || count == 0, PAWL_EDATA,
               "%s: the data would begin at byte %zu, the file has %zu (is it truncated?)", g->path, begin, g->bytes);
    PAWL_TRY(sort_names(g));
    return count == 0 ? PAWL_OK : place(g, e, begin, alignment);
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static pawl_status check_head(const pawl_gguf *g, uint32_t version)
{
    PAWL_CHECK(version & 0xffff, PAWL_EDATA,
               "%s: a big-endian GGUF file, which is not read here: convert it with gguf-convert-endian", g->path);
    PAWL_CHECK(version == 2 || version == 3, PAWL_EDATA,
               "%s: GGUF version %u, versions 2 and 3 are read here: convert it again with a newer converter", g->path,
               version);
    return PAWL_OK;
}

static pawl_status read_header(pawl_gguf *g)
{
    cursor c = {g, 0, "the header"};
    uint64_t magic, version, tensors, pairs;
    extent *e = NULL;
    PAWL_CHECK(g->bytes >= 4 && memcmp(g->data, "GGUF", 4) == 0, PAWL_EDATA,
               "%s: expected a GGUF file, which begins with the letters GGUF; found something else", g->path);
    PAWL_TRY(word(&c, 4, &magic));
    PAWL_TRY(word(&c, 4, &version));
    PAWL_TRY(check_head(g, (uint32_t)version));
    PAWL_TRY(word(&c, 8, &tensors));
    PAWL_TRY(word(&c, 8, &pairs));
    PAWL_CHECK(tensors <= TENSORS_MAX && pairs <= PAIRS_MAX, PAWL_EDATA,
               "%s: its header states %llu tensors and %llu keys, at most %d and %d are read", g->path,
               (unsigned long long)tensors, (unsigned long long)pairs, TENSORS_MAX, PAIRS_MAX);
    /* a key takes at least 13 bytes and a tensor 25: what the file cannot hold is refused before memory is taken */
    c.what = "the list of keys and tensors";
    PAWL_TRY(need(&c, 13 * pairs + 25 * tensors));
    PAWL_TRY(read_pairs(g, &c, pairs));
    PAWL_TRY(
        pawl_alloc((void **)&g->tensors, ((size_t)tensors + 1) * sizeof *g->tensors, "the tensors of a GGUF file"));
    PAWL_TRY(
        pawl_alloc((void **)&g->by_name, ((size_t)tensors + 1) * sizeof *g->by_name, "the tensors of a GGUF file"));
    PAWL_TRY(pawl_alloc((void **)&e, ((size_t)tensors + 1) * sizeof *e, "the extents of tensors"));
    const pawl_status status = read_tensors(g, &c, tensors, e);
    pawl_free(e);
    return status;
}

pawl_status pawl_gguf_open(const char *path, pawl_gguf **out)
{
    pawl_gguf *g;
    pawl_status status;
    const size_t n = strlen(path);
    PAWL_CHECK(n > 0 && n < PATH_MAX, PAWL_EUSAGE, "expected a path of 1 to %d bytes, found %zu", PATH_MAX - 1, n);
    PAWL_TRY(pawl_alloc((void **)&g, sizeof *g, "a GGUF reader"));
    memcpy(g->path, path, n + 1);
    PAWL_TRY_OUT(pawl_file_map(path, (const void **)&g->data, &g->bytes));
    PAWL_TRY_OUT(read_header(g));
    *out = g;
    return PAWL_OK;
out:
    pawl_gguf_close(g);
    return status;
}

void pawl_gguf_close(pawl_gguf *g)
{
    if (!g) return;
    pawl_file_unmap(g->data, g->bytes);
    pawl_free(g->pairs);
    pawl_free(g->tensors);
    pawl_free(g->by_name);
    pawl_free(g);
}

const char *pawl_gguf_path(const pawl_gguf *g)
{
    return g->path;
}

pawl_digest pawl_gguf_digest(const pawl_gguf *g, size_t *bytes)
{
    *bytes = g->bytes;
    return pawl_sha256(g->data, g->bytes);
}

int pawl_gguf_count(const pawl_gguf *g)
{
    return g->tensor_count;
}

const pawl_gguf_tensor *pawl_gguf_at(const pawl_gguf *g, int i)
{
    return &g->tensors[i];
}

const pawl_gguf_tensor *pawl_gguf_find(const pawl_gguf *g, const char *wanted)
{
    int lo = 0, hi = g->tensor_count;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2, c = strcmp(wanted, g->tensors[g->by_name[mid]].name);
        if (c == 0) return &g->tensors[g->by_name[mid]];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
