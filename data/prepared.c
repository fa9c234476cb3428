#include "data/prepared.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

const char *const pawl_prepared_names[PAWL_PREPARED_FILES] = {
    [PAWL_FILE_TOKENS] = "tokens",
    [PAWL_FILE_TRAINED] = "trained",
    [PAWL_FILE_DOCUMENTS] = "documents",
    [PAWL_FILE_SEGMENTS] = "train.segments",
    [PAWL_FILE_ROWS] = "train.rows",
    [PAWL_FILE_HELD_OUT_SEGMENTS] = "held_out.segments",
    [PAWL_FILE_HELD_OUT_ROWS] = "held_out.rows",
};

static const char *const part_keys[PAWL_PARTS] = {[PAWL_TRAIN] = "train", [PAWL_HELD_OUT] = "held_out"};

static pawl_status content_digest(const json_t *content, pawl_digest *out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_json_canonical(content, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    *out = pawl_sha256(text.data, text.bytes);
out:
    pawl_text_close(&text);
    return status;
}

pawl_status pawl_prepared_seal(const char *dir, const json_t *content)
{
    pawl_digest digest;
    char path[PATH_MAX];
    pawl_text text = {0};
    json_t *whole = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(content_digest(content, &digest));
    whole = json_pack("{s:s,s:O}", "sha256", pawl_digest_hex(digest).text, "content", content);
    if (!whole) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for meta.json"));
    PAWL_TRY_OUT(pawl_json_pretty(whole, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, "meta.json"));
    PAWL_TRY_OUT(pawl_file_replace(path, text.data, text.bytes));
out:
    json_decref(whole);
    pawl_text_close(&text);
    return status;
}

/* The content of meta.json, whole as its digest says; json_decref it. */
static pawl_status read_meta(const char *path, json_t **content, pawl_digest *identity)
{
    json_t *whole, *inner;
    const char *hex;
    pawl_digest said;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_json_read(path, (size_t)1 << 30, &whole));
    PAWL_TRY_OUT(pawl_json_object(whole, "content", path, &inner));
    PAWL_TRY_OUT(pawl_json_text(whole, "sha256", path, &hex));
    PAWL_TRY_OUT(pawl_digest_parse(hex, &said));
    PAWL_TRY_OUT(content_digest(inner, identity));
    if (!pawl_digest_equal(said, *identity))
        PAWL_TRY_OUT(PAWL_FAIL(PAWL_EDATA, "%s is not what its digest says", path));
    *content = json_incref(inner);
out:
    json_decref(whole);
    return status;
}

static pawl_status check_digest(const char *path, const void *data, size_t bytes, const char *hex)
{
    enum { PIECE = 8 << 20 };
    pawl_digest said;
    pawl_hash *hash;
    size_t at = 0;
    PAWL_TRY(pawl_digest_parse(hex, &said));
    PAWL_TRY(pawl_hash_open(&hash));
    for (; at < bytes && pawl_keep_going(); at += PIECE) {
        const size_t some = bytes - at < PIECE ? bytes - at : PIECE;
        pawl_hash_add(hash, (const char *)data + at, some);
        pawl_file_let_go((const char *)data + at, some);
    }
    const pawl_digest found = pawl_hash_close(hash);
    PAWL_CHECK(at < bytes || pawl_digest_equal(said, found), PAWL_EDATA, "%s is not what its digest says", path);
    return PAWL_OK;
}

/* Maps the i-th file, whose record is {name, bytes, sha256}. */
static pawl_status map_file(const char *dir, int i, const json_t *record, pawl_proof proof, pawl_prepared *p)
{
    char path[PATH_MAX];
    const char *hex;
    int64_t bytes;
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, pawl_prepared_names[i]));
    PAWL_TRY(pawl_json_i64(record, "bytes", path, 0, INT64_MAX, &bytes));
    PAWL_TRY(pawl_json_text(record, "sha256", path, &hex));
    PAWL_TRY(pawl_file_map(path, &p->map[i], &p->bytes[i]));
    PAWL_CHECK(p->bytes[i] == (size_t)bytes, PAWL_EDATA, "%s: expected %lld bytes, found %zu", path, (long long)bytes,
               p->bytes[i]);
    return proof == PAWL_BY_DIGEST ? check_digest(path, p->map[i], p->bytes[i], hex) : PAWL_OK;
}

/* ---- counts ---- */

json_t *pawl_tally_json(const pawl_tally *t)
{
    json_t *o = json_object();
#define PUT(name, text) json_object_set_new(o, #name, json_integer((json_int_t)t->name));
    PAWL_TALLY(PUT)
#undef PUT
    return o;
}

json_t *pawl_part_tally_json(const pawl_part_tally *t)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "documents", (json_int_t)t->documents, "tokens", (json_int_t)t->tokens,
                     "trained", (json_int_t)t->trained, "duplicates", (json_int_t)t->duplicates);
}

static pawl_status read_tally(const json_t *o, const char *path, pawl_tally *out)
{
#define GET(name, text) PAWL_TRY(pawl_json_i64(o, #name, path, 0, INT64_MAX, &out->name));
    PAWL_TALLY(GET)
#undef GET
    return PAWL_OK;
}

static pawl_status read_part_tally(const json_t *o, const char *path, pawl_part_tally *out)
{
    PAWL_TRY(pawl_json_i64(o, "documents", path, 0, INT64_MAX, &out->documents));
    PAWL_TRY(pawl_json_i64(o, "tokens", path, 0, INT64_MAX, &out->tokens));
    PAWL_TRY(pawl_json_i64(o, "trained", path, 0, INT64_MAX, &out->trained));
    return pawl_json_i64(o, "duplicates", path, 0, INT64_MAX, &out->duplicates);
}

static pawl_status read_part(const json_t *content, int part, const char *path, pawl_prepared *p)
{
    const int segments = PAWL_FILE_SEGMENTS + 2 * part, rows = segments + 1;
    json_t *counts;
    pawl_prepared_part *out = &p->part[part];
    PAWL_TRY(pawl_json_object(content, part_keys[part], path, &counts));
    PAWL_TRY(read_part_tally(counts, path, &out->tally));
    out->segments = p->map[segments];
    out->first = p->map[rows];
    out->rows = (int64_t)(p->bytes[rows] / sizeof(int64_t)) - 1;
    PAWL_CHECK(out->rows >= 0 && out->first[out->rows] == (int64_t)(p->bytes[segments] / sizeof(pawl_segment)),
               PAWL_EDATA, "%s: rows and segments do not fit each other", path);
    return PAWL_OK;
}

static pawl_status map_files(const char *dir, const char *meta, const json_t *content, pawl_proof proof,
                             pawl_prepared *p)
{
    json_t *files;
    PAWL_TRY(pawl_json_array(content, "files", meta, &files));
    PAWL_CHECK(json_array_size(files) == PAWL_PREPARED_FILES, PAWL_EDATA, "%s: expected %d files, found %zu", meta,
               PAWL_PREPARED_FILES, json_array_size(files));
    for (int i = 0; i < PAWL_PREPARED_FILES; i++)
        PAWL_TRY(map_file(dir, i, json_array_get(files, (size_t)i), proof, p));
    return PAWL_OK;
}

static pawl_status open_content(const char *dir, const char *meta, const json_t *content, pawl_proof proof,
                                pawl_prepared *p)
{
    int64_t token_bytes;
    json_t *tally;
    PAWL_TRY(map_files(dir, meta, content, proof, p));
    PAWL_TRY(pawl_json_i64(content, "token_bytes", meta, 2, 4, &token_bytes));
    PAWL_TRY(pawl_json_object(content, "rows", meta, &tally));
    PAWL_TRY(read_tally(tally, meta, &p->tally));
    PAWL_TRY(pawl_json_array(content, "sources", meta, &p->sources));
    json_incref(p->sources);
    PAWL_TRY(pawl_json_array(content, "bad_rows", meta, &p->bad_rows));
    json_incref(p->bad_rows);
    p->wide = token_bytes == 4;
    p->documents = p->map[PAWL_FILE_DOCUMENTS];
    p->document_count = (int64_t)(p->bytes[PAWL_FILE_DOCUMENTS] / sizeof(pawl_document));
    for (int part = 0; part < PAWL_PARTS; part++) PAWL_TRY(read_part(content, part, meta, p));
    return PAWL_OK;
}

pawl_status pawl_prepared_open(const char *dir, pawl_proof proof, pawl_prepared *out)
{
    char meta[PATH_MAX];
    json_t *content = NULL;
    memset(out, 0, sizeof *out);
    PAWL_TRY(pawl_path_join(meta, sizeof meta, dir, "meta.json"));
    PAWL_TRY(read_meta(meta, &content, &out->identity));
    const pawl_status s = open_content(dir, meta, content, proof, out);
    json_decref(content);
    return s;
}

void pawl_prepared_let_go(const pawl_prepared *p)
{
    for (int i = 0; i < PAWL_PREPARED_FILES; i++) pawl_file_let_go(p->map[i], p->bytes[i]);
}

void pawl_prepared_close(pawl_prepared *p)
{
    for (int i = 0; i < PAWL_PREPARED_FILES; i++) pawl_file_unmap(p->map[i], p->bytes[i]);
    json_decref(p->sources);
    json_decref(p->bad_rows);
    memset(p, 0, sizeof *p);
}
