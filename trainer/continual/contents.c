/* What is in a checkpoint's memory, as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "trainer/continual/contents_inner.h"

/* ---- Opening ---- */

/* What lies under memory/ beside the memory's own: columns of methods. */
static int is_column(const char *name, const pawl_tensor *t)
{
    static const char *const own[] = {"memory/rows", "memory/names", "memory/segments", "memory/tokens", "memory/trained"};
    if (strncmp(name, "memory/", 7) != 0 || t->ndim != 2) return 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name, own[i]) == 0) return 0;
    return 1;
}

static pawl_status find_columns(pawl_contents *c, int *count)
{
    pawl_tensor t;
    const char *name;
    *count = 0;
    for (int i = 0; (name = pawl_checkpoint_item(c->checkpoint, i, &t)) != NULL; i++) {
        if (!is_column(name, &t)) continue;
        PAWL_CHECK(*count < PAWL_MEMORY_COLUMNS_MAX, PAWL_EDATA, "%s: its memory has more than %d columns", pawl_checkpoint_path(c->checkpoint),
                   PAWL_MEMORY_COLUMNS_MAX);
        snprintf(c->names[*count], PAWL_NAME_MAX, "%s", name + strlen("memory/"));
        c->columns[*count] = (pawl_memory_column){c->names[*count], t.dtype, t.dim[1]};
        ++*count;
    }
    return PAWL_OK;
}

pawl_status pawl_contents_open(const char *path, pawl_contents *out)
{
    pawl_tensor rows, tokens;
    int count;
    *out = (pawl_contents){0};
    PAWL_TRY(pawl_checkpoint_open(path, &out->checkpoint));
    PAWL_CHECK(pawl_checkpoint_tensor(out->checkpoint, "memory/rows", &rows) && pawl_checkpoint_tensor(out->checkpoint, "memory/tokens", &tokens),
               PAWL_EUSAGE, "%s has no memory: its run kept none (replay)", pawl_checkpoint_path(out->checkpoint));
    PAWL_TRY(pawl_comm_open_alone(&out->comm));
    PAWL_TRY(find_columns(out, &count));
    pawl_fields_default(pawl_replay_rows, &out->replay);
    const pawl_memory_inputs in = {.comm = out->comm,
                                   .replay = &out->replay,
                                   .output_dir = "",
                                   .longest = INT64_MAX,
                                   .wide = tokens.dtype == PAWL_I32,
                                   .columns = out->columns,
                                   .column_count = count};
    PAWL_TRY(pawl_memory_open(&in, &out->memory));
    return pawl_memory_read(out->memory, out->checkpoint);
}

void pawl_contents_close(pawl_contents *c)
{
    pawl_memory_close(c->memory);
    pawl_checkpoint_close(c->checkpoint);
    pawl_comm_close(c->comm);
}

const pawl_kept_segment *pawl_contents_segments(const pawl_contents *c, int64_t i)
{
    const char *all = pawl_store_part(&c->memory->store, PAWL_PART_SEGMENTS);
    return (const pawl_kept_segment *)(const void *)(all + c->memory->index.at[PAWL_PART_SEGMENTS][i]);
}

const json_t *pawl_contents_source(const pawl_contents *c, const pawl_kept_segment *s)
{
    return json_array_get(c->memory->index.sources, (size_t)s->source);
}

pawl_document_text pawl_document_hex(const uint64_t document[2])
{
    pawl_document_text t;
    snprintf(t.hex, sizeof t.hex, "%016" PRIx64 "%016" PRIx64, document[0], document[1]);
    return t;
}

/* ---- Looking at it ---- */

static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

static json_t *row_json(const pawl_contents *c, int64_t i)
{
    const pawl_kept *k = pawl_memory_kept(c->memory, i);
    const pawl_kept_segment *s = pawl_contents_segments(c, i);
    const json_t *source = pawl_contents_source(c, s);
    char key[17];
    snprintf(key, sizeof key, "%016" PRIx64, k->key);
    return json_pack("{s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:o}", "row", (json_int_t)i, "domain",
                     pawl_memory_domain(c->memory, (int)k->domain), "key", key, "document", pawl_document_hex(s->document).hex, "chunk",
                     (json_int_t)s->chunk, "tokens", (json_int_t)k->tokens, "trained", (json_int_t)k->trained, "bytes", (json_int_t)k->bytes,
                     "segments", (json_int_t)k->segments, "source", member(source, "name"), "line", (json_int_t)s->line, "license",
                     member(source, "license"));
}

static pawl_status whole(json_t *made, json_t **out)
{
    PAWL_CHECK(made, PAWL_EMEM, "no memory to show a memory");
    *out = made;
    return PAWL_OK;
}

static pawl_status list(const pawl_contents *c, const char *domain, json_t **out)
{
    json_t *rows = json_array();
    int known = !domain;
    for (int d = 0; d < pawl_memory_domains(c->memory); d++) known |= domain && strcmp(pawl_memory_domain(c->memory, d), domain) == 0;
    if (!known) {
        json_decref(rows);
        return PAWL_FAIL(PAWL_EUSAGE, "%s: its memory knows no domain '%s'; pawl memory stats names them", pawl_checkpoint_path(c->checkpoint),
                         domain);
    }
    for (int64_t i = 0; i < pawl_memory_count(c->memory); i++) {
        const pawl_kept *k = pawl_memory_kept(c->memory, i);
        if (!domain || strcmp(pawl_memory_domain(c->memory, (int)k->domain), domain) == 0) json_array_append_new(rows, row_json(c, i));
    }
    return whole(rows, out);
}

pawl_status pawl_contents_list(const char *path, const char *domain, json_t **out)
{
    pawl_contents c;
    pawl_status s = pawl_contents_open(path, &c);
    if (s == PAWL_OK) s = list(&c, domain, out);
    pawl_contents_close(&c);
    return s;
}

/* ---- Figures ---- */

static int compare_documents(const void *a, const void *b)
{
    return memcmp(a, b, 2 * sizeof(uint64_t));
}

/* Different documents in the rows of a domain (-1: of all); scratch has room for all segments. */
static int64_t count_documents(const pawl_contents *c, int domain, uint64_t (*scratch)[2])
{
    int64_t n = 0, different = 0;
    for (int64_t i = 0; i < pawl_memory_count(c->memory); i++) {
        const pawl_kept *k = pawl_memory_kept(c->memory, i);
        const pawl_kept_segment *s = pawl_contents_segments(c, i);
        if (domain >= 0 && k->domain != domain) continue;
        for (int64_t j = 0; j < k->segments; j++, n++) memcpy(scratch[n], s[j].document, sizeof *scratch);
    }
    if (n > 0) qsort(scratch, (size_t)n, sizeof *scratch, compare_documents);
    for (int64_t i = 0; i < n; i++) different += i == 0 || compare_documents(scratch[i - 1], scratch[i]) != 0;
    return different;
}

static void add_license(json_t *all, const json_t *license)
{
    json_t *known;
    size_t i;
    json_array_foreach(all, i, known) {
        if (json_equal(known, license)) return;
    }
    if (json_string_length(license) > 0) json_array_append(all, (json_t *)(uintptr_t)license);
}

/* Rows and what is in them; domain -1: of all. */
static json_t *figures(const pawl_contents *c, int domain, uint64_t (*scratch)[2])
{
    int64_t rows = 0, tokens = 0, trained = 0, bytes = 0;
    for (int64_t i = 0; i < pawl_memory_count(c->memory); i++) {
        const pawl_kept *k = pawl_memory_kept(c->memory, i);
        if (domain >= 0 && k->domain != domain) continue;
        rows++;
        tokens += k->tokens;
        trained += k->trained;
        bytes += k->bytes;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "rows", (json_int_t)rows, "tokens", (json_int_t)tokens, "trained", (json_int_t)trained, "bytes",
                     (json_int_t)bytes, "documents", (json_int_t)count_documents(c, domain, scratch));
}

static json_t *domain_json(const pawl_contents *c, int domain, uint64_t (*scratch)[2])
{
    json_t *d = figures(c, domain, scratch), *licenses = json_array();
    for (int64_t i = 0; i < pawl_memory_count(c->memory); i++) {
        const pawl_kept *k = pawl_memory_kept(c->memory, i);
        for (int64_t j = 0; k->domain == domain && j < k->segments; j++)
            add_license(licenses, json_object_get(pawl_contents_source(c, pawl_contents_segments(c, i) + j), "license"));
    }
    json_object_set_new(d, "domain", json_string(pawl_memory_domain(c->memory, domain)));
    json_object_set_new(d, "seen", json_integer(pawl_memory_seen(c->memory, domain)));
    json_object_set_new(d, "licenses", licenses);
    return d;
}

static json_t *sources_json(const pawl_contents *c)
{
    json_t *all = json_array(), *source;
    size_t n;
    json_array_foreach(c->memory->index.sources, n, source) {
        json_int_t segments = 0, tokens = 0;
        for (int64_t i = 0; i < pawl_memory_count(c->memory); i++) {
            const pawl_kept_segment *s = pawl_contents_segments(c, i);
            for (int64_t j = 0; j < pawl_memory_kept(c->memory, i)->segments; j++) {
                if (s[j].source != (int64_t)n) continue;
                segments++;
                tokens += s[j].tokens;
            }
        }
        json_t *copy = json_copy(source);
        json_object_set_new(copy, "segments", json_integer(segments));
        json_object_set_new(copy, "tokens", json_integer(tokens));
        json_array_append_new(all, copy);
    }
    return all;
}

static pawl_status stats(const pawl_contents *c, json_t **out)
{
    uint64_t (*scratch)[2];
    const pawl_index *x = &c->memory->index;
    PAWL_TRY(pawl_alloc((void **)&scratch, (size_t)x->at[PAWL_PART_SEGMENTS][x->count], "the documents in a memory"));
    json_t *all = figures(c, -1, scratch), *domains = json_array(), *columns = json_array();
    for (int d = 0; d < x->domain_count; d++) json_array_append_new(domains, domain_json(c, d, scratch));
    for (int i = 0; i < c->memory->in.column_count; i++) json_array_append_new(columns, json_string(c->names[i]));
    pawl_free(scratch);
    json_object_set(all, "memory_sha256", json_object_get(pawl_checkpoint_manifest(c->checkpoint), "memory_sha256"));
    json_object_set_new(all, "columns", columns);
    json_object_set_new(all, "domains", domains);
    json_object_set_new(all, "sources", sources_json(c));
    return whole(all, out);
}

pawl_status pawl_contents_stats(const char *path, json_t **out)
{
    pawl_contents c;
    pawl_status s = pawl_contents_open(path, &c);
    if (s == PAWL_OK) s = stats(&c, out);
    pawl_contents_close(&c);
    return s;
}

/* ---- A row ---- */

static json_t *documents_json(const pawl_contents *c, int64_t i)
{
    json_t *all = json_array();
    const pawl_kept *k = pawl_memory_kept(c->memory, i);
    const pawl_kept_segment *s = pawl_contents_segments(c, i);
    json_int_t at = 0;
    for (int64_t j = 0; j < k->segments; at += s[j++].tokens) {
        const json_t *source = pawl_contents_source(c, &s[j]);
        json_array_append_new(all, json_pack("{s:s,s:s,s:I,s:o,s:I,s:o,s:I,s:I,s:I}", "domain", pawl_memory_domain(c->memory, (int)k->domain),
                                             "document", pawl_document_hex(s[j].document).hex, "chunk", (json_int_t)s[j].chunk, "source",
                                             member(source, "name"), "line", (json_int_t)s[j].line, "license", member(source, "license"),
                                             "first", at, "end", at + (json_int_t)s[j].tokens, "trained", (json_int_t)s[j].trained));
    }
    return all;
}

static json_t *integers(const int32_t *x, int64_t count)
{
    json_t *list_of = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list_of, json_integer(x[i]));
    return list_of;
}

/* labels[n] is what position n - 1 predicts, as in `pawl data show`. */
static json_t *labels(const pawl_batch *b)
{
    json_t *all = json_array();
    for (int64_t i = 0; i < b->tokens; i++) json_array_append_new(all, json_integer(i > 0 ? b->targets[i - 1] : PAWL_NOT_TRAINED));
    return all;
}

static pawl_status row(const pawl_contents *c, int64_t i, json_t **out)
{
    pawl_arena a = {.name = "a row"};
    pawl_batch b;
    PAWL_CHECK(i >= 0 && i < pawl_memory_count(c->memory), PAWL_EUSAGE, "there is no row %lld: the memory has %lld, from 0", (long long)i,
               (long long)pawl_memory_count(c->memory));
    const pawl_row_tokens t = pawl_memory_own_row(c->memory, i);
    const int64_t tokens = pawl_memory_kept(c->memory, i)->tokens;
    pawl_batch_lay_out(&a, &b, 1, tokens);
    PAWL_TRY(pawl_arena_open(&a));
    pawl_batch_lay_out(&a, &b, 1, tokens);
    b.rows = 1;
    b.tokens = tokens;
    pawl_row_put(&t, &b, 0);
    json_t *all = row_json(c, i);
    json_object_set_new(all, "ids", integers(b.ids, tokens));
    json_object_set_new(all, "labels", labels(&b));
    json_object_set_new(all, "positions", integers(b.positions, tokens));
    json_object_set_new(all, "documents", documents_json(c, i));
    pawl_arena_close(&a);
    return whole(all, out);
}

pawl_status pawl_contents_row(const char *path, int64_t i, json_t **out)
{
    pawl_contents c;
    pawl_status s = pawl_contents_open(path, &c);
    if (s == PAWL_OK) s = row(&c, i, out);
    pawl_contents_close(&c);
    return s;
}
