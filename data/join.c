#include "data/join.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "data/blob.h"
#include "data/hands.h"

/* Contents of a part's documents, to find those that are there twice: 16 bytes a document. */
typedef struct contents {
    pawl_content *items;
    int64_t count, room;
} contents;

typedef struct joiner {
    const pawl_handed_over *over;
    const pawl_recipe *recipe;
    int wide;
    pawl_blob tokens, trained, documents;
    pawl_blob unpacked[PAWL_PARTS]; /* segments as they come */
    json_t *files;                  /* records of the files that are finished, in order */
    json_t *bad_rows;
    contents contents[PAWL_PARTS];
    int64_t token_count, document_count;
    uint8_t bits; /* of the tokens behind the last whole eight */
    pawl_tally tally;
    pawl_part_tally part[PAWL_PARTS];
} joiner;

static const char *const unpacked_names[PAWL_PARTS] = {
    [PAWL_TRAIN] = "train.unpacked", [PAWL_HELD_OUT] = "held_out.unpacked"};

/* ---- what the units hold, one after the other ---- */

static pawl_status add_trained(joiner *j, const uint8_t *trained, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const int bit = (int)((j->token_count + i) % 8);
        j->bits = (uint8_t)(j->bits | trained[i] << bit);
        if (bit < 7) continue;
        PAWL_TRY(pawl_blob_add(&j->trained, &j->bits, 1));
        j->bits = 0;
    }
    return PAWL_OK;
}

static pawl_status note_content(joiner *j, const pawl_document *d)
{
    contents *c = &j->contents[d->part];
    if (c->count == c->room) {
        const int64_t room = 2 * c->room + 1024;
        PAWL_TRY(pawl_realloc((void **)&c->items, (size_t)room * sizeof *c->items, "the contents of documents"));
        c->room = room;
    }
    c->items[c->count++] = d->content;
    return PAWL_OK;
}

static pawl_status add_documents(joiner *j, const pawl_handful *h)
{
    for (int64_t i = 0; i < h->record->documents; i++) {
        pawl_document d = h->documents[i];
        d.tokens_at += j->token_count;
        if (d.line > 0) d.line += h->lines_before;
        PAWL_TRY(pawl_blob_add(&j->documents, &d, sizeof d));
        PAWL_TRY(note_content(j, &d));
    }
    return PAWL_OK;
}

static pawl_status add_segments(joiner *j, const pawl_handful *h)
{
    for (int part = 0; part < PAWL_PARTS; part++)
        for (int64_t i = 0; i < h->record->segments[part]; i++) {
            pawl_segment s = h->segments[part][i];
            s.tokens_at += j->token_count;
            s.document += j->document_count;
            PAWL_TRY(pawl_blob_add(&j->unpacked[part], &s, sizeof s));
        }
    return PAWL_OK;
}

static void add_counts(joiner *j, const pawl_unit_record *r)
{
#define ADD(name, text) j->tally.name += r->tally.name;
    PAWL_TALLY(ADD)
#undef ADD
    for (int part = 0; part < PAWL_PARTS; part++) {
        j->part[part].documents += r->part[part].documents;
        j->part[part].tokens += r->part[part].tokens;
        j->part[part].trained += r->part[part].trained;
    }
}

static pawl_status list_bad_rows(joiner *j, const pawl_handful *h)
{
    for (int64_t i = 0; i < h->record->bad_listed && json_array_size(j->bad_rows) < PAWL_BAD_ROWS_SHOWN; i++) {
        const pawl_bad_row *b = &h->bad[i];
        json_t *line = json_sprintf("%s:%lld:%lld: %s", j->recipe->sources->items[b->source].name,
                                    (long long)(b->line + h->lines_before), (long long)b->column, b->what);
        PAWL_CHECK(json_array_append_new(j->bad_rows, line) == 0, PAWL_EMEM, "no memory for the list of bad rows");
    }
    return PAWL_OK;
}

static pawl_status add_unit(joiner *j, const pawl_handful *h)
{
    const pawl_unit_record *r = h->record;
    PAWL_TRY(pawl_blob_add(&j->tokens, h->tokens, (size_t)r->tokens * (j->wide ? sizeof(uint32_t) : sizeof(uint16_t))));
    PAWL_TRY(add_trained(j, h->trained, r->tokens));
    PAWL_TRY(add_documents(j, h));
    PAWL_TRY(add_segments(j, h));
    PAWL_TRY(list_bad_rows(j, h));
    add_counts(j, r);
    j->token_count += r->tokens;
    j->document_count += r->documents;
    return PAWL_OK;
}

static pawl_status add_units(joiner *j, pawl_hands *hands)
{
    const size_t token_bytes = j->wide ? sizeof(uint32_t) : sizeof(uint16_t);
    int more = 1;
    while (more && pawl_keep_going()) {
        pawl_handful h;
        PAWL_TRY(pawl_hands_next(hands, token_bytes, &h, &more));
        if (more) PAWL_TRY(add_unit(j, &h));
    }
    if (pawl_stop_asked) return PAWL_OK;
    PAWL_CHECK(hands->unit == j->over->units->count, PAWL_EIO,
               "the folder of prepared data lacks what a rank wrote; all machines must see it alike");
    return j->token_count % 8 ? pawl_blob_add(&j->trained, &j->bits, 1) : PAWL_OK;
}

/* ---- files ---- */

static pawl_status finish_blob(joiner *j, pawl_blob *b, pawl_prepared_file file)
{
    pawl_digest digest;
    PAWL_TRY(pawl_blob_finish(b, &digest));
    json_t *record = json_pack("{s:s,s:I,s:s}", "name", pawl_prepared_names[file], "bytes", (json_int_t)b->bytes,
                               "sha256", pawl_digest_hex(digest).text);
    PAWL_CHECK(json_array_append_new(j->files, record) == 0, PAWL_EMEM, "no memory for meta.json");
    return PAWL_OK;
}

static pawl_status write_segments(joiner *j, const pawl_segment *from, int64_t count, const pawl_packing *packing,
                                  pawl_prepared_file file, pawl_blob *b)
{
    PAWL_TRY(pawl_blob_open(b, j->over->dir, pawl_prepared_names[file], PAWL_BLOB_KEPT));
    for (int64_t i = 0; i < count; i++) PAWL_TRY(pawl_blob_add(b, &from[packing->order[i]], sizeof *from));
    return finish_blob(j, b, file);
}

static pawl_status write_rows(joiner *j, const pawl_packing *packing, pawl_prepared_file file, pawl_blob *b)
{
    PAWL_TRY(pawl_blob_open(b, j->over->dir, pawl_prepared_names[file], PAWL_BLOB_KEPT));
    PAWL_TRY(pawl_blob_add(b, packing->first, (size_t)(packing->rows + 1) * sizeof *packing->first));
    return finish_blob(j, b, file);
}

static pawl_status pack_part(joiner *j, int part)
{
    const int file = PAWL_FILE_SEGMENTS + 2 * part;
    const void *from = NULL;
    size_t bytes = 0;
    char path[PATH_MAX];
    pawl_packing packing = {0};
    pawl_blob segments = {.fd = -1}, rows = {.fd = -1};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_blob_finish(&j->unpacked[part], NULL));
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, j->over->dir, unpacked_names[part]));
    PAWL_TRY_OUT(pawl_file_map(path, &from, &bytes));
    const int64_t count = (int64_t)(bytes / sizeof(pawl_segment));
    PAWL_TRY_OUT(pawl_pack(from, count, j->recipe->sequence_len, j->recipe->packed, &packing));
    PAWL_TRY_OUT(write_segments(j, from, count, &packing, (pawl_prepared_file)file, &segments));
    PAWL_TRY_OUT(write_rows(j, &packing, (pawl_prepared_file)(file + 1), &rows));
    PAWL_TRY_OUT(pawl_file_remove(path));
out:
    pawl_blob_close(&segments);
    pawl_blob_close(&rows);
    pawl_packing_close(&packing);
    pawl_file_unmap(from, bytes);
    return status;
}

static int compare_contents(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(pawl_content));
}

static int64_t count_duplicates(contents *c)
{
    int64_t n = 0;
    if (c->count > 0) qsort(c->items, (size_t)c->count, sizeof *c->items, compare_contents);
    for (int64_t i = 1; i < c->count; i++) n += compare_contents(&c->items[i - 1], &c->items[i]) == 0;
    return n;
}

static pawl_status remove_handed_over(const pawl_handed_over *over)
{
    for (int i = 0; i < over->count; i++)
        for (int f = 0; f < PAWL_HANDED_OVER; f++) {
            char name[64], path[PATH_MAX];
            pawl_hand_over_name(over->takers[i], (pawl_hand_over)f, name);
            PAWL_TRY(pawl_path_join(path, sizeof path, over->dir, name));
            PAWL_TRY(pawl_file_remove(path));
        }
    return PAWL_OK;
}

static pawl_status seal(const joiner *j)
{
    json_t *content =
        json_pack("{s:i,s:i,s:o,s:O,s:o,s:o,s:o,s:O}", "format", PAWL_PREPARED_FORMAT, "token_bytes", j->wide ? 4 : 2,
                  "rows", pawl_tally_json(&j->tally), "bad_rows", j->bad_rows, "train",
                  pawl_part_tally_json(&j->part[PAWL_TRAIN]), "held_out", pawl_part_tally_json(&j->part[PAWL_HELD_OUT]),
                  "sources", pawl_source_records(j->recipe->sources), "files", j->files);
    PAWL_CHECK(content, PAWL_EMEM, "no memory for meta.json");
    const pawl_status s = pawl_prepared_seal(j->over->dir, content);
    json_decref(content);
    return s;
}

static pawl_status begin(joiner *j)
{
    const char *dir = j->over->dir;
    j->files = json_array();
    j->bad_rows = json_array();
    PAWL_CHECK(j->files && j->bad_rows, PAWL_EMEM, "no memory for meta.json");
    PAWL_TRY(pawl_blob_open(&j->tokens, dir, pawl_prepared_names[PAWL_FILE_TOKENS], PAWL_BLOB_KEPT));
    PAWL_TRY(pawl_blob_open(&j->trained, dir, pawl_prepared_names[PAWL_FILE_TRAINED], PAWL_BLOB_KEPT));
    PAWL_TRY(pawl_blob_open(&j->documents, dir, pawl_prepared_names[PAWL_FILE_DOCUMENTS], PAWL_BLOB_KEPT));
    for (int part = 0; part < PAWL_PARTS; part++)
        PAWL_TRY(pawl_blob_open(&j->unpacked[part], dir, unpacked_names[part], PAWL_BLOB_SCRATCH));
    return PAWL_OK;
}

static pawl_status join(joiner *j, pawl_hands *hands)
{
    PAWL_TRY(begin(j));
    PAWL_TRY(add_units(j, hands));
    if (j->tally.bad > j->recipe->skip_bad_rows) return pawl_join_refuse(j->over);
    PAWL_TRY(finish_blob(j, &j->tokens, PAWL_FILE_TOKENS));
    PAWL_TRY(finish_blob(j, &j->trained, PAWL_FILE_TRAINED));
    PAWL_TRY(finish_blob(j, &j->documents, PAWL_FILE_DOCUMENTS));
    for (int part = 0; part < PAWL_PARTS && pawl_keep_going(); part++) {
        j->part[part].duplicates = count_duplicates(&j->contents[part]);
        PAWL_TRY(pack_part(j, part));
    }
    PAWL_TRY(remove_handed_over(j->over));
    return pawl_stop_asked ? PAWL_OK : seal(j);
}

static void joiner_close(joiner *j)
{
    for (int part = 0; part < PAWL_PARTS; part++) {
        pawl_blob_close(&j->unpacked[part]);
        pawl_free(j->contents[part].items);
    }
    pawl_blob_close(&j->tokens);
    pawl_blob_close(&j->trained);
    pawl_blob_close(&j->documents);
    json_decref(j->files);
    json_decref(j->bad_rows);
}

pawl_status pawl_join(const pawl_handed_over *h)
{
    pawl_hands hands;
    joiner j = {.over = h,
                .recipe = h->recipe,
                .wide = pawl_tokenizer_size(h->recipe->tokenizer) > 65536,
                .tokens = {.fd = -1},
                .trained = {.fd = -1},
                .documents = {.fd = -1},
                .unpacked = {{.fd = -1}, {.fd = -1}}};
    pawl_status s = pawl_hands_open(h, &hands);
    if (s == PAWL_OK) s = join(&j, &hands);
    pawl_hands_close(&hands);
    joiner_close(&j);
    return s;
}

/* ---- too many bad rows ---- */

static pawl_status located(const pawl_handed_over *h, const pawl_handful *f, const pawl_bad_row *b)
{
    return PAWL_FAIL_AT(PAWL_EDATA, h->recipe->sources->items[b->source].path, (long)(b->line + f->lines_before),
                        (long)b->column, "%s", b->what);
}

/* Names the first bad rows in the log; the first of all is the last error. */
static pawl_status name_bad_rows(const pawl_handed_over *h, pawl_hands *hands, int64_t *named)
{
    const size_t token_bytes = pawl_tokenizer_size(h->recipe->tokenizer) > 65536 ? sizeof(uint32_t) : sizeof(uint16_t);
    pawl_error first = {.code = PAWL_OK};
    int more = 1;
    *named = 0;
    while (*named < PAWL_BAD_ROWS_SHOWN && *named <= h->recipe->skip_bad_rows) {
        pawl_handful f;
        PAWL_TRY(pawl_hands_next(hands, token_bytes, &f, &more));
        if (!more) break;
        for (int64_t i = 0;
             i < f.record->bad_listed && *named < PAWL_BAD_ROWS_SHOWN && *named <= h->recipe->skip_bad_rows; i++) {
            (void)located(h, &f, &f.bad[i]);
            if ((*named)++ == 0) first = *pawl_last_error();
            if (h->recipe->skip_bad_rows > 0) pawl_log(PAWL_LOG_ERROR, "data: bad row: %s", pawl_last_error()->what);
        }
    }
    pawl_adopt_error(&first);
    return PAWL_OK;
}

pawl_status pawl_join_refuse(const pawl_handed_over *h)
{
    pawl_hands hands;
    int64_t named = 0;
    pawl_status s = pawl_hands_open(h, &hands);
    if (s == PAWL_OK) s = name_bad_rows(h, &hands, &named);
    pawl_hands_close(&hands);
    PAWL_TRY(s);
    PAWL_CHECK(named > 0, PAWL_EBUG, "bad rows were counted and none was listed");
    if (h->recipe->skip_bad_rows == 0) return PAWL_EDATA; /* the one and only is the last error */
    return PAWL_FAIL(
        PAWL_EDATA,
        "dataset '%s' (%s) has more than skip_bad_rows: %lld bad rows, the first of which are named above; mend "
        "them, or raise skip_bad_rows",
        h->recipe->domain, h->recipe->dataset->path, (long long)h->recipe->skip_bad_rows);
}
