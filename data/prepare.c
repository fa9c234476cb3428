#include "data/prepare.h"

#include <string.h>

#include "core/arena.h"
#include "data/blob.h"
#include "data/reader.h"
#include "data/tokenizer.h"

typedef struct segment_list {
    pawl_segment *items;
    int64_t count, room;
    int64_t documents, tokens; /* they are of */
} segment_list;

typedef struct maker {
    const pawl_recipe *recipe;
    const char *dir;
    int32_t end; /* the id that ends a document */
    int wide;
    pawl_blob tokens, documents;
    json_t *files; /* records of the files that are finished, in order */
    segment_list part[PAWL_PARTS];
    pawl_encoding encoding; /* of the document in hand */
    uint16_t *half;         /* its ids, narrow */
    int64_t half_room;
    int64_t token_count, document_count, empty;
} maker;

static json_t *source_records(const pawl_sources *s)
{
    json_t *list = json_array();
    for (int i = 0; list && i < s->count; i++) {
        const pawl_source *f = &s->items[i];
        if (json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "name", f->name, "bytes", (json_int_t)f->bytes,
                                                  "sha256", pawl_digest_hex(f->digest).text)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

pawl_status pawl_recipe_key(const pawl_recipe *r, pawl_digest *out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    json_t *value =
        json_pack("{s:i,s:s,s:o,s:s,s:I,s:b,s:f,s:s,s:s}", "format", PAWL_PREPARED_FORMAT, "byte_order",
                  __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "little" : "big", "files", source_records(r->sources),
                  "tokenizer", pawl_digest_hex(pawl_tokenizer_digest(r->tokenizer)).text, "sequence_len",
                  (json_int_t)r->sequence_len, "packing", r->packed, "val_set_size", r->held_out, "field",
                  r->dataset->field, "type", pawl_dataset_types[r->dataset->type]);
    PAWL_CHECK(value, PAWL_EMEM, "no memory for the key of the prepared data");
    PAWL_TRY_OUT(pawl_json_canonical(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    *out = pawl_sha256(text.data, text.bytes);
out:
    json_decref(value);
    pawl_text_close(&text);
    return status;
}

/* The same content is on the same side wherever it stands and whatever stands beside it. */
static pawl_part side_of(const pawl_passage *p, double held_out)
{
    const pawl_digest d = pawl_sha256(p->text, p->bytes);
    uint64_t first = 0;
    for (int i = 0; i < 8; i++) first = first << 8 | d.byte[i];
    return (double)(first >> 11) * 0x1p-53 < held_out ? PAWL_HELD_OUT : PAWL_TRAIN;
}

static pawl_status finish_blob(maker *m, pawl_blob *b, pawl_prepared_file file)
{
    pawl_digest digest;
    PAWL_TRY(pawl_blob_finish(b, &digest));
    json_t *record = json_pack("{s:s,s:I,s:s}", "name", pawl_prepared_names[file], "bytes", (json_int_t)b->bytes,
                               "sha256", pawl_digest_hex(digest).text);
    PAWL_CHECK(json_array_append_new(m->files, record) == 0, PAWL_EMEM, "no memory for meta.json");
    return PAWL_OK;
}

static pawl_status write_tokens(maker *m)
{
    const pawl_encoding *e = &m->encoding;
    if (m->wide) return pawl_blob_add(&m->tokens, e->ids, (size_t)e->count * sizeof *e->ids);
    if (e->count > m->half_room) {
        PAWL_TRY(pawl_realloc((void **)&m->half, (size_t)e->room * sizeof *m->half, "the tokens of a document"));
        m->half_room = e->room;
    }
    for (int64_t i = 0; i < e->count; i++) m->half[i] = (uint16_t)e->ids[i];
    return pawl_blob_add(&m->tokens, m->half, (size_t)e->count * sizeof *m->half);
}

/* Ids of the document and its end, with places for all of them: one that the tokenizer added stands where the next
 * does. */
static pawl_status encode(maker *m, const pawl_passage *p)
{
    pawl_encoding *e = &m->encoding;
    PAWL_TRY(pawl_encode(m->recipe->tokenizer, p->text, p->bytes, PAWL_RAW_TEXT, e));
    PAWL_TRY(pawl_encoding_add(e, m->end, (int64_t)p->bytes));
    for (int64_t i = e->count - 2; i >= 0; i--)
        if (e->at[i] < 0) e->at[i] = e->at[i + 1];
    return PAWL_OK;
}

/* Bytes of text that the tokens of [first + 1, end) stand for. */
static int32_t bytes_of_targets(const maker *m, const pawl_passage *p, int64_t first, int64_t end)
{
    const pawl_encoding *e = &m->encoding;
    if (first + 1 >= end) return 0;
    return (int32_t)((end < e->count ? e->at[end] : (int64_t)p->bytes) - e->at[first + 1]);
}

static pawl_status add_segments(maker *m, segment_list *list, const pawl_passage *p)
{
    const int64_t tokens = m->encoding.count;
    const int64_t n = pawl_segment_count(tokens, m->recipe->sequence_len);
    if (list->count + n > list->room) {
        const int64_t room = 2 * (list->count + n) + 1024;
        PAWL_TRY(pawl_realloc((void **)&list->items, (size_t)room * sizeof *list->items, "the table of segments"));
        list->room = room;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t first, end;
        pawl_segment_place(tokens, m->recipe->sequence_len, i, &first, &end);
        list->items[list->count++] = (pawl_segment){.tokens_at = m->token_count + first,
                                                    .document = m->document_count,
                                                    .tokens = (int32_t)(end - first),
                                                    .bytes = bytes_of_targets(m, p, first, end)};
    }
    list->documents++;
    list->tokens += tokens;
    return PAWL_OK;
}

static pawl_status add_document(maker *m, int source, const pawl_passage *p)
{
    const pawl_part part = side_of(p, m->recipe->held_out);
    PAWL_TRY(encode(m, p));
    const int64_t tokens = m->encoding.count;
    const pawl_document d = {
        .tokens_at = m->token_count, .tokens = tokens, .line = p->line, .source = source, .part = (int32_t)part};
    PAWL_TRY(write_tokens(m));
    PAWL_TRY(pawl_blob_add(&m->documents, &d, sizeof d));
    PAWL_TRY(add_segments(m, &m->part[part], p));
    m->token_count += tokens;
    m->document_count++;
    return PAWL_OK;
}

static pawl_status read_documents(maker *m, pawl_reader *r, int source)
{
    pawl_passage p;
    int more = 1;
    int64_t empty;
    while (pawl_keep_going()) {
        PAWL_TRY(pawl_reader_next(r, &p, &more));
        if (!more) break;
        PAWL_TRY(add_document(m, source, &p));
    }
    if (more) return PAWL_OK; /* stopped: the file was not read to its end */
    PAWL_TRY(pawl_reader_check(r, &empty));
    m->empty += empty;
    return PAWL_OK;
}

static pawl_status read_sources(maker *m)
{
    const pawl_sources *s = m->recipe->sources;
    for (int i = 0; i < s->count && pawl_keep_going(); i++) {
        pawl_reader *r;
        PAWL_TRY(pawl_reader_open(m->recipe->dataset, &s->items[i], &r));
        const pawl_status status = read_documents(m, r, i);
        pawl_reader_close(r);
        PAWL_TRY(status);
    }
    PAWL_TRY(finish_blob(m, &m->tokens, PAWL_FILE_TOKENS));
    return finish_blob(m, &m->documents, PAWL_FILE_DOCUMENTS);
}

static pawl_status write_segments(maker *m, const segment_list *list, const pawl_packing *packing,
                                  pawl_prepared_file file, pawl_blob *b)
{
    PAWL_TRY(pawl_blob_open(b, m->dir, pawl_prepared_names[file]));
    for (int64_t i = 0; i < list->count; i++)
        PAWL_TRY(pawl_blob_add(b, &list->items[packing->order[i]], sizeof *list->items));
    return finish_blob(m, b, file);
}

static pawl_status write_rows(maker *m, const pawl_packing *packing, pawl_prepared_file file, pawl_blob *b)
{
    PAWL_TRY(pawl_blob_open(b, m->dir, pawl_prepared_names[file]));
    PAWL_TRY(pawl_blob_add(b, packing->first, (size_t)(packing->rows + 1) * sizeof *packing->first));
    return finish_blob(m, b, file);
}

static pawl_status pack_part(maker *m, int part)
{
    const segment_list *list = &m->part[part];
    const int file = PAWL_FILE_SEGMENTS + 2 * part;
    pawl_packing packing = {0};
    pawl_blob segments = {.fd = -1}, rows = {.fd = -1};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_pack(list->items, list->count, m->recipe->sequence_len, m->recipe->packed, &packing));
    PAWL_TRY_OUT(write_segments(m, list, &packing, (pawl_prepared_file)file, &segments));
    PAWL_TRY_OUT(write_rows(m, &packing, (pawl_prepared_file)(file + 1), &rows));
out:
    pawl_blob_close(&segments);
    pawl_blob_close(&rows);
    pawl_packing_close(&packing);
    return status;
}

static json_t *part_record(const segment_list *list)
{
    return json_pack("{s:I,s:I}", "documents", (json_int_t)list->documents, "tokens", (json_int_t)list->tokens);
}

static pawl_status seal(const maker *m)
{
    json_t *content = json_pack("{s:i,s:i,s:I,s:o,s:o,s:o,s:O}", "format", PAWL_PREPARED_FORMAT, "token_bytes",
                                m->wide ? 4 : 2, "empty", (json_int_t)m->empty, "train",
                                part_record(&m->part[PAWL_TRAIN]), "held_out", part_record(&m->part[PAWL_HELD_OUT]),
                                "sources", source_records(m->recipe->sources), "files", m->files);
    PAWL_CHECK(content, PAWL_EMEM, "no memory for meta.json");
    const pawl_status s = pawl_prepared_seal(m->dir, content);
    json_decref(content);
    return s;
}

static pawl_status make(maker *m)
{
    m->files = json_array();
    PAWL_CHECK(m->files, PAWL_EMEM, "no memory for meta.json");
    PAWL_TRY(pawl_blob_open(&m->tokens, m->dir, pawl_prepared_names[PAWL_FILE_TOKENS]));
    PAWL_TRY(pawl_blob_open(&m->documents, m->dir, pawl_prepared_names[PAWL_FILE_DOCUMENTS]));
    PAWL_TRY(read_sources(m));
    for (int part = 0; part < PAWL_PARTS && pawl_keep_going(); part++) PAWL_TRY(pack_part(m, part));
    return pawl_stop_asked ? PAWL_OK : seal(m);
}

pawl_status pawl_prepare(const pawl_recipe *r, const char *dir)
{
    maker m = {.recipe = r,
               .dir = dir,
               .end = pawl_tokenizer_end(r->tokenizer),
               .wide = pawl_tokenizer_size(r->tokenizer) > 65536,
               .tokens = {.fd = -1},
               .documents = {.fd = -1}};
    const pawl_status s = make(&m);
    for (int part = 0; part < PAWL_PARTS; part++) pawl_free(m.part[part].items);
    pawl_blob_close(&m.tokens);
    pawl_blob_close(&m.documents);
    json_decref(m.files);
    pawl_encoding_close(&m.encoding);
    pawl_free(m.half);
    return s;
}
