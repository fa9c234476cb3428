/* Recorded prompts: read and encoded by rank 0, the same on every rank. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "data/reader.h"
#include "data/sample.h"

struct pawl_prompts {
    pawl_prompt *items; /* [count]; their ids lie in ids */
    int32_t *ids;
    int64_t count, room, id_count, id_room;
    json_t *sources;
};

/* ---- conversations ---- */

static pawl_status render_and_encode(const pawl_renderer *r, const pawl_tokenizer *t, json_t *row, pawl_sample *sample, pawl_encoding *out)
{
    PAWL_CHECK(row, PAWL_EMEM, "no memory for a conversation");
    pawl_status s = pawl_render(r, row, sample);
    json_decref(row);
    return s == PAWL_OK ? pawl_encode(t, sample->text.data, sample->text.bytes, sample->specials, out) : s;
}

pawl_status pawl_encode_question(const pawl_renderer *r, const pawl_tokenizer *t, const json_t *row, pawl_encoding *out)
{
    pawl_sample sample = {0};
    json_t *asked = json_copy((json_t *)(uintptr_t)row);
    json_object_set_new(asked, "add_generation_prompt", json_true());
    const pawl_status s = render_and_encode(r, t, asked, &sample, out);
    pawl_sample_close(&sample);
    return s;
}

/* By an answer of one letter: what the template puts behind it within the span that is learnt. */
pawl_status pawl_answer_end(const pawl_renderer *r, const pawl_tokenizer *t, int32_t *id)
{
    pawl_sample sample = {0};
    pawl_encoding e = {0};
    pawl_text shown = {0};
    pawl_status status = PAWL_OK;
    *id = -1;
    PAWL_TRY_OUT(render_and_encode(r, t, json_pack("{s:[{s:s,s:s},{s:s,s:s}]}", "messages", "role", "user", "content", "a", "role", "assistant",
                                                   "content", "a"), &sample, &e));
    const int64_t end = sample.count ? sample.trained[sample.count - 1].end : 0;
    for (int64_t i = 0; i < e.count; i++)
        if (e.at[i] >= 0 && e.at[i] < end) *id = e.ids[i];
    if (*id >= 0) PAWL_TRY_OUT(pawl_decode(t, id, 1, 1, &shown));
    if (shown.bytes) *id = -1; /* a word of the answer */
out:
    pawl_text_close(&shown);
    pawl_encoding_close(&e);
    pawl_sample_close(&sample);
    return status;
}

/* ---- reading ---- */

typedef struct reading {
    const pawl_data_config *cfg;
    pawl_dataset_config dataset; /* of chats, at the prompts' path */
    const char *spec;
    const pawl_tokenizer *t;
    int64_t longest;
    pawl_renderer *renderer; /* NULL: no conversation was met yet */
    int32_t answer_end;
    pawl_encoding encoding;
    pawl_prompts *out;
} reading;

static pawl_status open_renderer(reading *r)
{
    if (r->renderer) return PAWL_OK;
    PAWL_TRY(pawl_renderer_open(r->cfg, &r->dataset, r->spec, r->t, &r->renderer));
    return pawl_answer_end(r->renderer, r->t, &r->answer_end);
}

/* A row as chats have it, tools and all. */
static pawl_status encode_chat(reading *r, const json_t *row, int32_t *end)
{
    PAWL_TRY(open_renderer(r));
    *end = r->answer_end;
    return pawl_encode_question(r->renderer, r->t, row, &r->encoding);
}

static pawl_status encode_messages(reading *r, json_t *messages, int32_t *end)
{
    json_t *row = json_pack("{s:O}", "messages", messages);
    PAWL_CHECK(row, PAWL_EMEM, "no memory for a prompt");
    const pawl_status s = encode_chat(r, row, end);
    json_decref(row);
    return s;
}

static pawl_status encode_row(reading *r, const json_t *row, int32_t *end)
{
    json_t *prompt = json_object_get(row, "prompt");
    char keys[200];
    *end = -1;
    if (json_is_string(prompt))
        return pawl_encode(r->t, json_string_value(prompt), json_string_length(prompt), PAWL_WITH_SPECIALS, &r->encoding);
    if (json_is_array(prompt)) return encode_messages(r, prompt, end);
    if (json_is_array(json_object_get(row, "messages")) || json_is_array(json_object_get(row, "conversations"))) return encode_chat(r, row, end);
    PAWL_CHECK(json_is_object(row), PAWL_EDATA, "expected an object with 'prompt' or 'messages', found %s", pawl_json_kind(row));
    PAWL_CHECK(!prompt, PAWL_EDATA, "expected a text or a list of messages under 'prompt', found %s", pawl_json_kind(prompt));
    pawl_row_keys(row, keys, sizeof keys);
    return PAWL_FAIL(PAWL_EDATA, "expected 'prompt', a text or a list of messages, or 'messages', a list; found %s", keys);
}

/* What was encoded last becomes a prompt; where that is nothing, the token that begins a document. */
static pawl_status append(reading *r, int64_t line, int32_t source, int32_t end)
{
    pawl_prompts *p = r->out;
    const pawl_encoding *e = &r->encoding;
    const int32_t begin = pawl_tokenizer_end(r->t);
    const int64_t count = e->count ? e->count : 1;
    PAWL_CHECK(e->count || begin >= 0, PAWL_EDATA, "the prompt is empty, and the tokenizer names no end token to begin a text with");
    PAWL_CHECK(count <= r->longest, PAWL_EDATA, "the prompt has %lld tokens, and a row has room for %lld and what is generated: shorten it, or raise sequence_len",
               (long long)count, (long long)r->longest);
    if (p->count == p->room) {
        PAWL_TRY(pawl_realloc((void **)&p->items, (size_t)(2 * p->room + 64) * sizeof *p->items, "prompts"));
        p->room = 2 * p->room + 64;
    }
    if (p->id_count + count > p->id_room) {
        PAWL_TRY(pawl_realloc((void **)&p->ids, (size_t)(2 * p->id_room + count) * sizeof *p->ids, "prompts"));
        p->id_room = 2 * p->id_room + count;
    }
    memcpy(p->ids + p->id_count, e->count ? e->ids : &begin, (size_t)count * sizeof *p->ids);
    p->id_count += count;
    p->items[p->count++] = (pawl_prompt){.count = count, .line = line, .source = source, .end = end};
    return PAWL_OK;
}

/* Errors are sentences: the caller says where. */
static pawl_status take_row(reading *r, const pawl_piece *p, int32_t source)
{
    json_error_t e;
    int32_t end;
    json_t *row;
    PAWL_TRY(pawl_row_parse(p->text, p->bytes, "a JSON object", &e, &row));
    pawl_status s = encode_row(r, row, &end);
    json_decref(row);
    return s == PAWL_OK ? append(r, p->line, source, end) : s;
}

static pawl_status read_file(reading *r, const pawl_source *f, int32_t source)
{
    pawl_reader *reader;
    pawl_piece p = {0};
    int more = 1;
    PAWL_TRY(pawl_reader_open(f, 0, f->bytes, &reader));
    pawl_status s = PAWL_OK;
    while (s == PAWL_OK && pawl_keep_going()) {
        s = pawl_reader_next(reader, &p, &more);
        if (s == PAWL_OK && !more) break;
        if (s == PAWL_OK) s = take_row(r, &p, source);
        else if (!pawl_reader_spoilt(reader)) break;
        if (s == PAWL_EDATA || s == PAWL_EUSAGE) {
            char what[700];
            snprintf(what, sizeof what, "%.690s", pawl_last_error()->what);
            s = PAWL_FAIL_AT(s, f->path, (long)p.line, (long)p.column, "%s", what);
        }
    }
    pawl_reader_close(reader);
    return s;
}

static pawl_status read_files(reading *r, const pawl_sources *files)
{
    for (int i = 0; i < files->count; i++) {
        const pawl_source *f = &files->items[i];
        json_t *entry = json_pack("{s:s,s:I,s:s}", "name", f->name, "bytes", (json_int_t)f->bytes, "sha256", pawl_digest_hex(f->digest).text);
        PAWL_CHECK(entry && json_array_append_new(r->out->sources, entry) == 0, PAWL_EMEM, "no memory for the list of prompts");
        PAWL_TRY(read_file(r, f, i));
    }
    if (!r->out->count && !pawl_stop_asked)
        return PAWL_FAIL_AT(PAWL_EDATA, r->dataset.path, 0, 0, "there is no prompt in it: expected rows with 'prompt' or 'messages'");
    return PAWL_OK;
}

static pawl_status read_path(reading *r)
{
    pawl_sources files = {0};
    pawl_status s = pawl_sources_find(&r->dataset, &files);
    if (s == PAWL_OK) s = pawl_sources_hash(&files);
    if (s == PAWL_OK && !pawl_stop_asked) s = read_files(r, &files);
    pawl_sources_close(&files);
    return s;
}

/* Texts begin as an empty prompt does. */
static pawl_status begin_texts(reading *r)
{
    json_t *entry = json_pack("{s:s,s:i,s:s}", "name", "no prompts", "bytes", 0, "sha256", pawl_digest_hex(pawl_sha256("", 0)).text);
    PAWL_CHECK(entry && json_array_append_new(r->out->sources, entry) == 0, PAWL_EMEM, "no memory for the list of prompts");
    PAWL_TRY(pawl_encode(r->t, "", 0, PAWL_WITH_SPECIALS, &r->encoding));
    return append(r, 0, 0, -1);
}

static pawl_status read_all(const pawl_data_config *cfg, const char *path, const char *spec, const pawl_tokenizer *t, int64_t longest, pawl_prompts *out)
{
    reading *r;
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "reading prompts"));
    *r = (reading){.cfg = cfg, .spec = spec, .t = t, .longest = longest, .out = out};
    pawl_fields_default(pawl_dataset_rows, &r->dataset);
    r->dataset.type = PAWL_CHAT;
    snprintf(r->dataset.path, sizeof r->dataset.path, "%s", path);
    out->sources = json_array();
    const pawl_status s = !out->sources ? PAWL_FAIL(PAWL_EMEM, "no memory for the list of prompts") : path[0] ? read_path(r) : begin_texts(r);
    pawl_renderer_close(r->renderer);
    pawl_encoding_close(&r->encoding);
    pawl_free(r);
    return s;
}

/* ---- the same on every rank ---- */

typedef struct sizes {
    int64_t count, ids, names;
} sizes;

static pawl_status make_room(pawl_prompts *p, const sizes *n, pawl_text *names)
{
    p->count = n->count;
    p->id_count = n->ids;
    PAWL_TRY(pawl_alloc((void **)&p->items, (size_t)(n->count + 1) * sizeof *p->items, "prompts"));
    PAWL_TRY(pawl_alloc((void **)&p->ids, (size_t)(n->ids + 1) * sizeof *p->ids, "prompts"));
    PAWL_TRY(pawl_alloc((void **)&names->data, (size_t)n->names + 1, "prompts"));
    return PAWL_OK;
}

static pawl_status settle(pawl_prompts *p, const pawl_text *names, size_t bytes, int root)
{
    int64_t at = 0;
    for (int64_t i = 0; i < p->count; at += p->items[i++].count) p->items[i].ids = p->ids + at;
    return root ? PAWL_OK : pawl_json_parse(names->data, bytes, "the list of prompts", &p->sources);
}

static pawl_status share(pawl_comm *c, pawl_prompts *p)
{
    pawl_text names = {0};
    const int root = c->rank == 0;
    pawl_status status = pawl_agree(c, root ? pawl_json_canonical(p->sources, &names) : PAWL_OK);
    sizes n = {p->count, p->id_count, (int64_t)names.bytes};
    if (status == PAWL_OK) status = pawl_bcast(c, &n, sizeof n, 0);
    if (status == PAWL_OK) status = pawl_agree(c, root ? PAWL_OK : make_room(p, &n, &names));
    if (status == PAWL_OK) status = pawl_bcast(c, p->items, (size_t)n.count * sizeof *p->items, 0);
    if (status == PAWL_OK) status = pawl_bcast(c, p->ids, (size_t)n.ids * sizeof *p->ids, 0);
    if (status == PAWL_OK) status = pawl_bcast(c, names.data, (size_t)n.names, 0);
    if (status == PAWL_OK) status = pawl_agree(c, settle(p, &names, (size_t)n.names, root));
    pawl_free(names.data);
    return status;
}

pawl_status pawl_prompts_open(pawl_comm *c, const pawl_data_config *cfg, const char *path, const char *tokenizer_spec,
                              const pawl_tokenizer *t, int64_t longest, pawl_prompts **out)
{
    pawl_prompts *p;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&p, sizeof *p, "prompts")));
    pawl_status s = pawl_agree(c, c->rank == 0 ? read_all(cfg, path, tokenizer_spec, t, longest, p) : PAWL_OK);
    if (s == PAWL_OK) s = share(c, p);
    if (s == PAWL_OK) *out = p;
    else pawl_prompts_close(p);
    return s;
}

void pawl_prompts_close(pawl_prompts *p)
{
    if (!p) return;
    pawl_free(p->items);
    pawl_free(p->ids);
    json_decref(p->sources);
    pawl_free(p);
}

int64_t pawl_prompts_count(const pawl_prompts *p)
{
    return p->count;
}

pawl_prompt pawl_prompts_at(const pawl_prompts *p, int64_t i)
{
    return p->items[i];
}

const json_t *pawl_prompts_sources(const pawl_prompts *p)
{
    return p->sources;
}
