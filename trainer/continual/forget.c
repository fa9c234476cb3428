/* A right to erasure: a document or a file leaves a checkpoint's memory, in a new checkpoint. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "trainer/continual/contents_inner.h"

typedef struct forgetting {
    pawl_contents c;
    const pawl_forget *what;
    uint64_t document[2];
    int64_t *source; /* [sources] their new places; -1: not needed any more */
    pawl_index next;
    pawl_store store;
    int64_t segments, tokens; /* that leave */
    pawl_state state;         /* what the new checkpoint holds */
    pawl_arena others;        /* the tensors that are not the memory's */
} forgetting;

/* ---- What is meant ---- */

static int is_hex(const char *text, size_t digits)
{
    for (size_t i = 0; i < digits; i++)
        if (!isdigit((unsigned char)text[i]) && !(text[i] >= 'a' && text[i] <= 'f')) return 0;
    return text[digits] == 0;
}

/* A content digest is the latter half of the text's SHA-256. */
static pawl_status read_request(forgetting *f)
{
    const char *d = f->what->document, *s = f->what->source;
    PAWL_CHECK(!d != !s, PAWL_EUSAGE, "expected a document or a source to forget, and one of the two");
    PAWL_CHECK(!s || is_hex(s, 64), PAWL_EUSAGE, "a source is the SHA-256 of a file, 64 lower-case hex digits; found '%.80s'", s);
    if (!d) return PAWL_OK;
    if (strlen(d) == 64 && is_hex(d, 64)) d += 32;
    PAWL_CHECK(strlen(d) == 32 && is_hex(d, 32), PAWL_EUSAGE,
               "a document is 32 lower-case hex digits, as pawl memory list shows, or the 64 of its text's SHA-256; found '%.80s'", f->what->document);
    uint8_t byte[PAWL_DOCUMENT_BYTES];
    for (int i = 0; i < PAWL_DOCUMENT_BYTES; i++) {
        const char pair[3] = {d[2 * i], d[2 * i + 1], 0};
        unsigned value = 0;
        (void)sscanf(pair, "%2x", &value);
        byte[i] = (uint8_t)value;
    }
    pawl_document_number(byte, f->document);
    return PAWL_OK;
}

static int leaves(const forgetting *f, const pawl_kept_segment *s)
{
    if (f->what->document) return s->document[0] == f->document[0] && s->document[1] == f->document[1];
    const char *sha256 = json_string_value(json_object_get(pawl_contents_source(&f->c, s), "sha256"));
    return sha256 && strcmp(sha256, f->what->source) == 0;
}

/* ---- The list ---- */

/* What is left of a row; 0 segments: nothing. Its key stays: it decided that the row is here. */
static pawl_kept rest_of(forgetting *f, int64_t i)
{
    pawl_kept k = *pawl_memory_kept(f->c.memory, i);
    const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
    const int64_t count = k.segments;
    k.segments = k.tokens = k.trained = k.bytes = 0;
    for (int64_t j = 0; j < count; j++) {
        if (leaves(f, &s[j])) {
            f->segments++;
            f->tokens += s[j].tokens;
            continue;
        }
        if (k.segments++ == 0) {
            memcpy(k.document, s[j].document, sizeof k.document);
            k.chunk = s[j].chunk;
        }
        k.tokens += s[j].tokens;
        k.trained += s[j].trained;
        k.bytes += s[j].bytes;
    }
    return k;
}

static pawl_status list_rest(forgetting *f)
{
    const pawl_index *x = &f->c.memory->index;
    PAWL_TRY(pawl_alloc((void **)&f->next.rows, (size_t)x->count * sizeof *x->rows, "the list of a memory's rows"));
    for (int64_t i = 0; i < x->count; i++) {
        const pawl_kept k = rest_of(f, i);
        if (k.segments > 0) f->next.rows[f->next.count++] = k;
    }
    PAWL_CHECK(f->segments > 0, PAWL_EUSAGE, "%s: its memory holds nothing of %s %s; nothing was written", pawl_checkpoint_path(f->c.checkpoint),
               f->what->document ? "document" : "source", f->what->document ? f->what->document : f->what->source);
    f->next.domain_count = x->domain_count;
    PAWL_TRY(pawl_alloc((void **)&f->next.domains, (size_t)x->domain_count * sizeof *x->domains, "a memory's domains"));
    memcpy(f->next.domains, x->domains, (size_t)x->domain_count * sizeof *x->domains);
    return PAWL_OK;
}

/* Files that nothing is left of are not named any more. */
static pawl_status list_sources(forgetting *f)
{
    const pawl_index *x = &f->c.memory->index;
    const size_t count = json_array_size(x->sources);
    PAWL_TRY(pawl_alloc((void **)&f->source, count * sizeof *f->source, "a memory's list of sources"));
    for (size_t i = 0; i < count; i++) f->source[i] = -1;
    for (int64_t i = 0; i < x->count; i++) {
        const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
        for (int64_t j = 0; j < x->rows[i].segments; j++)
            if (!leaves(f, &s[j]) && s[j].source >= 0 && (size_t)s[j].source < count) f->source[s[j].source] = 0;
    }
    f->next.sources = json_array();
    for (size_t i = 0; i < count; i++) {
        if (f->source[i] < 0) continue;
        f->source[i] = (int64_t)json_array_size(f->next.sources);
        json_array_append(f->next.sources, json_array_get(x->sources, i));
    }
    return PAWL_OK;
}

/* ---- The numbers ---- */

typedef struct writing {
    forgetting *f;
    int64_t row;     /* the next of the new rows */
    char *scratch;   /* a row */
} writing;

static const char *old_part(const forgetting *f, int part, int64_t i)
{
    return pawl_store_part(&f->c.memory->store, part) + f->c.memory->index.at[part][i];
}

/* What stays of a part that has so many bytes for a token. */
static size_t keep_tokens(const forgetting *f, int64_t i, const char *from, size_t each, char *to)
{
    const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
    size_t bytes = 0;
    for (int64_t j = 0; j < pawl_memory_kept(f->c.memory, i)->segments; from += (size_t)s[j++].tokens * each) {
        if (leaves(f, &s[j])) continue;
        memcpy(to + bytes, from, (size_t)s[j].tokens * each);
        bytes += (size_t)s[j].tokens * each;
    }
    return bytes;
}

static size_t keep_bits(const forgetting *f, int64_t i, const uint8_t *from, uint8_t *to)
{
    const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
    const pawl_kept *k = pawl_memory_kept(f->c.memory, i);
    int64_t at = 0, put = 0;
    memset(to, 0, (size_t)(k->tokens + 7) / 8);
    for (int64_t j = 0; j < k->segments; at += s[j++].tokens)
        for (int64_t n = 0; n < s[j].tokens && !leaves(f, &s[j]); n++, put++)
            if (from[(at + n) / 8] >> (at + n) % 8 & 1) to[put / 8] |= (uint8_t)(1 << put % 8);
    return (size_t)(put + 7) / 8;
}

static size_t keep_segments(const forgetting *f, int64_t i, char *to)
{
    const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
    size_t bytes = 0;
    for (int64_t j = 0; j < pawl_memory_kept(f->c.memory, i)->segments; j++) {
        if (leaves(f, &s[j])) continue;
        pawl_kept_segment copy = s[j];
        copy.source = f->source[copy.source];
        memcpy(to + bytes, &copy, sizeof copy);
        bytes += sizeof copy;
    }
    return bytes;
}

static size_t keep_part(const forgetting *f, int part, int64_t i, char *to)
{
    const pawl_memory *m = f->c.memory;
    if (part == PAWL_PART_SEGMENTS) return keep_segments(f, i, to);
    if (part == PAWL_PART_TRAINED) return keep_bits(f, i, (const uint8_t *)old_part(f, part, i), (uint8_t *)to);
    const size_t each = part == PAWL_PART_TOKENS ? (m->in.wide ? 4 : 2)
                                                 : (size_t)m->columns[part - PAWL_PART_COLUMNS].width *
                                                       pawl_dtype_bytes(m->columns[part - PAWL_PART_COLUMNS].dtype);
    return keep_tokens(f, i, old_part(f, part, i), each, to);
}

static int has_rest(const forgetting *f, int64_t i)
{
    const pawl_kept_segment *s = pawl_contents_segments(&f->c, i);
    for (int64_t j = 0; j < pawl_memory_kept(f->c.memory, i)->segments; j++)
        if (!leaves(f, &s[j])) return 1;
    return 0;
}

static pawl_status write_rows(writing *w)
{
    forgetting *f = w->f;
    for (int64_t i = 0; i < pawl_memory_count(f->c.memory); i++) {
        if (!has_rest(f, i)) continue;
        for (int p = 0; p < f->c.memory->parts; p++) {
            const size_t bytes = keep_part(f, p, i, w->scratch);
            PAWL_ASSERT((int64_t)bytes == f->next.at[p][w->row + 1] - f->next.at[p][w->row]);
            PAWL_TRY(pawl_store_write(&f->store, p, (size_t)f->next.at[p][w->row], w->scratch, bytes));
        }
        w->row++;
    }
    return PAWL_OK;
}

static pawl_status make_memory(forgetting *f)
{
    writing w = {.f = f};
    PAWL_TRY(list_rest(f));
    PAWL_TRY(list_sources(f));
    PAWL_TRY(pawl_index_finish(f->c.memory, &f->next));
    PAWL_TRY(pawl_memory_store_open(f->c.memory, &f->next, &f->store));
    PAWL_TRY(pawl_alloc((void **)&w.scratch, (size_t)f->c.memory->index.row_bytes, "a row"));
    const pawl_status s = write_rows(&w);
    pawl_free(w.scratch);
    return s;
}

/* ---- The checkpoint ---- */

/* All tensors but the memory's, as the old one has them. */
static pawl_status list_others(forgetting *f)
{
    const pawl_checkpoint *k = f->c.checkpoint;
    const char *name;
    pawl_tensor t;
    f->others.name = "a checkpoint";
    for (int carve = 0; carve < 2; carve++) {
        pawl_state_close(&f->state);
        for (int i = 0; (name = pawl_checkpoint_item(k, i, &t)) != NULL; i++) {
            if (strncmp(name, "memory/", 7) == 0) continue;
            t.data = pawl_take_bytes(&f->others, pawl_tensor_bytes(t));
            PAWL_TRY(pawl_state_add(&f->state, "", name, t));
            f->state.items[f->state.count - 1].frozen = 1; /* written from here, without a copy */
        }
        if (!carve) PAWL_TRY(pawl_arena_open(&f->others));
    }
    return pawl_checkpoint_read(k, &f->state);
}

static json_t *entry_of(const forgetting *f, int64_t rows_before)
{
    char at[32];
    const time_t now = time(NULL);
    struct tm day;
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &day));
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:O,s:O}", "at", at, f->what->document ? "document" : "source",
                     f->what->document ? f->what->document : f->what->source, "rows_before", (json_int_t)rows_before, "rows_after",
                     (json_int_t)pawl_memory_count(f->c.memory), "segments", (json_int_t)f->segments, "tokens", (json_int_t)f->tokens,
                     "from", json_object_get(pawl_checkpoint_manifest(f->c.checkpoint), "root_sha256"), "memory_before",
                     json_object_get(pawl_checkpoint_manifest(f->c.checkpoint), "memory_sha256"));
}

static pawl_status save(const forgetting *f, const json_t *lineage, const char *dir)
{
    pawl_saver *saver;
    int published;
    const pawl_save what = {.step = pawl_checkpoint_step(f->c.checkpoint),
                            .run = json_object_get(pawl_checkpoint_manifest(f->c.checkpoint), "run"),
                            .lineage = lineage};
    PAWL_TRY(pawl_saver_open(f->c.comm, dir, &f->state, 0, &saver));
    pawl_status s = pawl_saver_resume(saver, f->c.checkpoint);
    if (s == PAWL_OK) s = pawl_save_begin(saver, &what);
    if (s == PAWL_OK) s = pawl_save_share(saver);
    if (s == PAWL_OK) s = pawl_save_finish(saver, 3600, &published);
    pawl_saver_close(saver);
    return s;
}

/* Made as a run's checkpoint in a folder aside, which then gives way. */
static pawl_status publish(const forgetting *f, const json_t *lineage, const char *to)
{
    char aside[1200], made[1300];
    const int n = snprintf(aside, sizeof aside, "%s.part", to);
    PAWL_CHECK(n > 0 && n < (int)sizeof aside, PAWL_EUSAGE, "path too long: %s", to);
    PAWL_TRY(pawl_dir_remove(aside));
    PAWL_TRY(pawl_dir_make(aside));
    pawl_status s = save(f, lineage, aside);
    snprintf(made, sizeof made, "%s/checkpoints/step-%09lld", aside, (long long)pawl_checkpoint_step(f->c.checkpoint));
    if (s == PAWL_OK) s = pawl_file_rename(made, to);
    if (s == PAWL_OK) return pawl_dir_remove(aside);
    const pawl_error e = *pawl_last_error();
    if (pawl_dir_remove(aside) == PAWL_OK) pawl_adopt_error(&e);
    return s;
}

static pawl_status forget(forgetting *f, const char *to, json_t **report)
{
    const int64_t before = pawl_memory_count(f->c.memory);
    PAWL_TRY(read_request(f));
    PAWL_TRY(make_memory(f));
    PAWL_TRY(pawl_memory_become(f->c.memory, &f->next, &f->store));
    PAWL_TRY(list_others(f));
    PAWL_TRY(pawl_memory_state(f->c.memory, &f->state));
    json_t *lineage = json_deep_copy(json_object_get(pawl_checkpoint_manifest(f->c.checkpoint), "lineage")), *entry = entry_of(f, before);
    if (!json_object_get(lineage, "erasures")) json_object_set_new(lineage, "erasures", json_array());
    pawl_status s = PAWL_OK;
    if (!entry || json_array_append(json_object_get(lineage, "erasures"), entry) < 0) s = PAWL_FAIL(PAWL_EMEM, "no memory for the lineage record");
    if (s == PAWL_OK) s = publish(f, lineage, to);
    json_decref(lineage);
    if (s == PAWL_OK) *report = entry;
    else json_decref(entry);
    return s;
}

pawl_status pawl_contents_forget(const char *path, const pawl_forget *what, const char *to, json_t **report)
{
    forgetting f = {.what = what, .store = {.fd = -1}};
    PAWL_CHECK(!pawl_path_exists(to), PAWL_EUSAGE, "%s is there already: name a new checkpoint", to);
    pawl_status s = pawl_contents_open(path, &f.c);
    if (s == PAWL_OK) s = forget(&f, to, report);
    pawl_state_close(&f.state);
    pawl_arena_close(&f.others);
    pawl_store_close(&f.store);
    pawl_index_close(&f.next);
    pawl_free(f.source);
    pawl_contents_close(&f.c);
    return s;
}
