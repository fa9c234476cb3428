/* A memory in checkpoints: its list and names, which every rank has, and its rows, of which ranks have ranges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/continual/memory_inner.h"

/* ---- Names ---- */

static json_t *domain_json(const pawl_memory_domain_record *d)
{
    char bound[17];
    snprintf(bound, sizeof bound, "%016llx", (unsigned long long)d->bound);
    return json_pack("{s:s,s:s,s:I}", "name", d->name, "bound", bound, "seen", (json_int_t)d->seen);
}

pawl_status pawl_names_write(pawl_index *x)
{
    json_t *domains = json_array();
    for (int d = 0; d < x->domain_count; d++) json_array_append_new(domains, domain_json(&x->domains[d]));
    json_t *all = json_pack("{s:o,s:O}", "domains", domains, "sources", x->sources);
    PAWL_CHECK(all, PAWL_EMEM, "no memory for the names in a memory");
    pawl_text_close(&x->names);
    pawl_status s = pawl_json_canonical(all, &x->names);
    json_decref(all);
    return s == PAWL_OK ? pawl_text_status(&x->names) : s;
}

static pawl_status read_domain(const json_t *from, const char *where, pawl_memory_domain_record *out)
{
    const char *name, *bound;
    char *end;
    PAWL_TRY(pawl_json_text(from, "name", where, &name));
    PAWL_TRY(pawl_json_text(from, "bound", where, &bound));
    PAWL_TRY(pawl_json_i64(from, "seen", where, 0, 9007199254740991, &out->seen));
    PAWL_CHECK(strlen(name) < sizeof out->name, PAWL_EDATA, "%s: a domain's name is too long: '%.80s'", where, name);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->bound = strtoull(bound, &end, 16);
    PAWL_CHECK(strlen(bound) == 16 && !*end, PAWL_EDATA, "%s: bound: expected 16 hex digits, found '%.40s'", where, bound);
    return PAWL_OK;
}

static pawl_status take_names(const json_t *all, const char *where, pawl_index *x)
{
    json_t *domains, *sources;
    PAWL_CHECK(json_is_object(all), PAWL_EDATA, "%s: expected a JSON object", where);
    PAWL_TRY(pawl_json_array(all, "domains", where, &domains));
    PAWL_TRY(pawl_json_array(all, "sources", where, &sources));
    x->domain_count = (int)json_array_size(domains);
    x->sources = json_incref(sources);
    PAWL_TRY(pawl_alloc((void **)&x->domains, (size_t)x->domain_count * sizeof *x->domains, "a memory's domains"));
    for (int d = 0; d < x->domain_count; d++) PAWL_TRY(read_domain(json_array_get(domains, (size_t)d), where, &x->domains[d]));
    return PAWL_OK;
}

pawl_status pawl_names_read(const char *text, size_t bytes, const char *where, pawl_index *x)
{
    json_t *all;
    PAWL_TRY(pawl_json_parse(text, bytes, where, &all));
    const pawl_status s = take_names(all, where, x);
    json_decref(all);
    return s;
}

/* ---- The tensors ---- */

static void part_tensor(const pawl_memory *m, int part, char name[PAWL_NAME_MAX], pawl_tensor *t)
{
    static const char *const names[] = {"memory/segments", "memory/tokens", "memory/trained"};
    const pawl_dtype tokens = m->in.wide ? PAWL_I32 : PAWL_U16;
    *t = (pawl_tensor){.ndim = 1};
    if (part < PAWL_PART_COLUMNS) {
        snprintf(name, PAWL_NAME_MAX, "%s", names[part]);
        t->dtype = part == PAWL_PART_SEGMENTS ? PAWL_I64 : part == PAWL_PART_TOKENS ? tokens : PAWL_U8;
        if (part == PAWL_PART_SEGMENTS) {
            t->ndim = 2;
            t->dim[1] = PAWL_SEGMENT_COLUMNS;
        }
        return;
    }
    const pawl_memory_column *c = &m->columns[part - PAWL_PART_COLUMNS];
    snprintf(name, PAWL_NAME_MAX, "memory/%s", c->name);
    t->dtype = c->dtype;
    t->ndim = 2;
    t->dim[1] = c->width;
}

static int64_t number_bytes(const pawl_tensor *t)
{
    return (int64_t)pawl_dtype_bytes(t->dtype);
}

/* Part `part` as a tensor of which [first, end) bytes are at data. */
static pawl_status add_part(const pawl_memory *m, const pawl_index *x, int part, int64_t first, int64_t end, const char *data,
                            pawl_state *out)
{
    char name[PAWL_NAME_MAX];
    pawl_tensor t;
    part_tensor(m, part, name, &t);
    t.dim[0] = x->at[part][x->count] / number_bytes(&t) / (t.ndim == 2 ? t.dim[1] : 1);
    t.data = (void *)(uintptr_t)data;
    PAWL_TRY(pawl_state_add(out, "", name, t));
    pawl_named *item = &out->items[out->count - 1];
    item->frozen = item->sharded = 1;
    item->first = first / number_bytes(&t);
    item->count = (end - first) / number_bytes(&t);
    return PAWL_OK;
}

static pawl_status add_whole(pawl_state *out, const char *name, pawl_tensor t)
{
    PAWL_TRY(pawl_state_add(out, "", name, t));
    out->items[out->count - 1].frozen = 1;
    return PAWL_OK;
}

static pawl_tensor rows_tensor(const pawl_index *x)
{
    return (pawl_tensor){.data = x->rows, .dtype = PAWL_I64, .ndim = 2, .dim = {x->count, PAWL_KEPT_COLUMNS}};
}

pawl_status pawl_memory_state(const pawl_memory *m, pawl_state *out)
{
    const pawl_index *x = &m->index;
    PAWL_TRY(add_whole(out, "memory/rows", rows_tensor(x)));
    PAWL_TRY(add_whole(out, "memory/names", (pawl_tensor){.data = x->names.data, .dtype = PAWL_U8, .ndim = 1, .dim = {(int64_t)x->names.bytes}}));
    for (int p = 0; p < m->parts; p++) {
        int64_t first, end;
        pawl_memory_range(m, x, p, &first, &end);
        PAWL_TRY(add_part(m, x, p, first, end, pawl_store_part(&m->store, p), out));
    }
    return PAWL_OK;
}

/* ---- Reading ---- */

static pawl_status read_whole(const pawl_checkpoint *k, const char *name, pawl_tensor t)
{
    pawl_state one = {0};
    pawl_status s = pawl_state_add(&one, "", name, t);
    if (s == PAWL_OK) s = pawl_checkpoint_read(k, &one);
    pawl_state_close(&one);
    return s;
}

static pawl_status read_names(const pawl_checkpoint *k, pawl_index *x)
{
    pawl_tensor t;
    char *text, where[1300];
    snprintf(where, sizeof where, "%s: memory/names", pawl_checkpoint_path(k));
    PAWL_CHECK(pawl_checkpoint_tensor(k, "memory/names", &t) && t.dtype == PAWL_U8 && t.ndim == 1, PAWL_EDATA, "%s is missing", where);
    PAWL_TRY(pawl_alloc((void **)&text, (size_t)t.dim[0] + 1, "the names in a memory"));
    t.data = text;
    pawl_status s = read_whole(k, "memory/names", t);
    if (s == PAWL_OK) s = pawl_names_read(text, (size_t)t.dim[0], where, x);
    pawl_free(text);
    return s;
}

/* Nothing in a checkpoint is believed: a list that does not fit its rows would be read out of bounds. */
static pawl_status check_rows(const pawl_memory *m, const pawl_checkpoint *k, const pawl_index *x)
{
    for (int64_t i = 0; i < x->count; i++) {
        const pawl_kept *r = &x->rows[i];
        PAWL_CHECK(r->domain >= 0 && r->domain < x->domain_count && r->tokens > 0 && r->segments > 0 && r->segments <= r->tokens &&
                       (i == 0 || pawl_kept_compare(r - 1, r) < 0),
                   PAWL_EDATA, "%s: memory/rows: row %lld is not one of a memory, or not in its place", pawl_checkpoint_path(k), (long long)i);
        PAWL_CHECK(r->tokens <= m->in.longest, PAWL_EUSAGE,
                   "%s: a row of its memory has %lld tokens, and this run's rows at most %lld: raise sequence_len to what it was", 
                   pawl_checkpoint_path(k), (long long)r->tokens, (long long)m->in.longest);
    }
    return PAWL_OK;
}

static pawl_status read_index(const pawl_memory *m, const pawl_checkpoint *k, pawl_index *x)
{
    pawl_tensor t, tokens;
    PAWL_CHECK(pawl_checkpoint_tensor(k, "memory/rows", &t) && t.dtype == PAWL_I64 && t.ndim == 2 && t.dim[1] == PAWL_KEPT_COLUMNS, PAWL_EDATA,
               "%s: memory/rows is not the list of a memory", pawl_checkpoint_path(k));
    x->count = t.dim[0];
    PAWL_CHECK(pawl_checkpoint_tensor(k, "memory/tokens", &tokens), PAWL_EDATA, "%s: memory/tokens is missing", pawl_checkpoint_path(k));
    PAWL_CHECK(x->count == 0 || (tokens.dtype == PAWL_I32) == (m->in.wide != 0), PAWL_EUSAGE,
               "%s: its memory holds tokens of another tokenizer (%s)", pawl_checkpoint_path(k), pawl_dtype_name(tokens.dtype));
    PAWL_TRY(pawl_alloc((void **)&x->rows, (size_t)x->count * sizeof *x->rows, "the list of a memory's rows"));
    PAWL_TRY(pawl_alloc((void **)&x->fresh, (size_t)x->count, "the list of a memory's rows"));
    t.data = x->rows;
    PAWL_TRY(read_whole(k, "memory/rows", t));
    PAWL_TRY(read_names(k, x));
    PAWL_TRY(check_rows(m, k, x));
    return pawl_index_finish(m, x);
}

/* Columns of methods are as this run's methods keep them. */
static pawl_status check_columns(const pawl_memory *m, const pawl_checkpoint *k)
{
    for (int part = PAWL_PART_COLUMNS; part < m->parts; part++) {
        char name[PAWL_NAME_MAX];
        pawl_tensor t, found;
        part_tensor(m, part, name, &t);
        if (!pawl_checkpoint_tensor(k, name, &found)) continue;
        PAWL_CHECK(found.ndim == 2 && found.dtype == t.dtype && found.dim[1] == t.dim[1], PAWL_EUSAGE,
                   "%s: %s holds %lld numbers a token (%s), and this run wants %lld (%s): leave the method's settings as they were (top_k), or "
                   "leave the method out",
                   pawl_checkpoint_path(k), name, (long long)found.dim[1], pawl_dtype_name(found.dtype), (long long)t.dim[1], pawl_dtype_name(t.dtype));
    }
    return PAWL_OK;
}

/* A column that the checkpoint lacks is zero, and all rows are as new: their owners put it. */
static int has_part(const pawl_memory *m, const pawl_checkpoint *k, int part)
{
    char name[PAWL_NAME_MAX];
    pawl_tensor t, found;
    part_tensor(m, part, name, &t);
    return part < PAWL_PART_COLUMNS || pawl_checkpoint_tensor(k, name, &found);
}

enum { AT_ONCE = 16 << 20 }; /* bytes of a part that are read at a time */

/* This rank's range of a part, piece by piece into the store. */
static pawl_status read_part(const pawl_memory *m, const pawl_checkpoint *k, const pawl_index *x, int part, pawl_store *to)
{
    int64_t first, end;
    char *piece;
    pawl_memory_range(m, x, part, &first, &end);
    PAWL_TRY(pawl_alloc((void **)&piece, (size_t)(end - first < AT_ONCE ? end - first : AT_ONCE), "a piece of a memory"));
    pawl_status s = PAWL_OK;
    for (int64_t at = first; at < end && s == PAWL_OK; at += AT_ONCE) {
        const int64_t till = at + AT_ONCE < end ? at + AT_ONCE : end;
        pawl_state one = {0};
        s = add_part(m, x, part, at, till, piece, &one);
        if (s == PAWL_OK) s = pawl_checkpoint_read(k, &one);
        if (s == PAWL_OK) s = pawl_store_write(to, part, (size_t)(at - first), piece, (size_t)(till - at));
        pawl_state_close(&one);
    }
    pawl_free(piece);
    return s;
}

/* Lengths of segments are what the rows say. */
static pawl_status check_segments(const pawl_memory *m, const pawl_checkpoint *k, const pawl_index *x, const pawl_store *s)
{
    const int rank = m->in.comm->rank, size = m->in.comm->size;
    const pawl_kept_segment *at = (const pawl_kept_segment *)(const void *)pawl_store_part(s, PAWL_PART_SEGMENTS);
    for (int64_t i = pawl_memory_first(x->count, rank, size); i < pawl_memory_first(x->count, rank + 1, size); i++) {
        int64_t tokens = 0;
        for (int64_t n = 0; n < x->rows[i].segments; n++, at++) {
            PAWL_CHECK(at->tokens > 0 && at->tokens <= x->rows[i].tokens, PAWL_EDATA, "%s: memory/segments: row %lld has a segment of %lld tokens",
                       pawl_checkpoint_path(k), (long long)i, (long long)at->tokens);
            PAWL_CHECK(at->source >= 0 && (size_t)at->source < json_array_size(x->sources), PAWL_EDATA,
                       "%s: memory/segments: row %lld names a source that is not listed", pawl_checkpoint_path(k), (long long)i);
            tokens += at->tokens;
        }
        PAWL_CHECK(tokens == x->rows[i].tokens, PAWL_EDATA, "%s: memory/segments: row %lld has %lld tokens, and its segments %lld",
                   pawl_checkpoint_path(k), (long long)i, (long long)x->rows[i].tokens, (long long)tokens);
    }
    return PAWL_OK;
}

static pawl_status read_all(pawl_memory *m, const pawl_checkpoint *k, pawl_index *x, pawl_store *s)
{
    PAWL_TRY(read_index(m, k, x));
    PAWL_TRY(check_columns(m, k));
    PAWL_TRY(pawl_memory_store_open(m, x, s));
    for (int p = 0; p < m->parts; p++) {
        if (has_part(m, k, p)) PAWL_TRY(read_part(m, k, x, p, s));
        else memset(x->fresh, 1, (size_t)x->count);
    }
    return check_segments(m, k, x, s);
}

pawl_status pawl_memory_read(pawl_memory *m, const pawl_checkpoint *k)
{
    pawl_index x = {0};
    pawl_store s = {.fd = -1};
    pawl_tensor t;
    if (!pawl_checkpoint_tensor(k, "memory/rows", &t)) return PAWL_OK;
    pawl_status status = pawl_agree(m->in.comm, read_all(m, k, &x, &s));
    if (status == PAWL_OK) status = pawl_agree(m->in.comm, pawl_memory_become(m, &x, &s));
    pawl_store_close(&s);
    pawl_index_close(&x);
    return status;
}
