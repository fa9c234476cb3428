#include "trainer/continual/synthesis.h"

#include <stdio.h>
#include <string.h>

#include "core/span.h"
#include "trainer/continual/stream.h"

#define PAWL_SECTION pawl_synthesis_config
const pawl_field pawl_synthesis_rows[] = {PAWL_SYNTHESIS_FIELDS(PAWL_ROW_F, PAWL_ROW_T, PAWL_ROW_N) PAWL_ROW_END};
#undef PAWL_SECTION

typedef struct made_row {
    int64_t at, tokens, learnt; /* its ids; how many; where in it what is learnt begins */
    int64_t number;             /* i */
    int64_t bytes;              /* of text, of what is learnt */
    uint8_t document[PAWL_DOCUMENT_BYTES];
} made_row;

typedef struct synthesis {
    pawl_trainer *t;
    const pawl_synthesis_config *cfg;
    const pawl_prompts *prompts;
    int64_t longest; /* tokens of a row */
    /* While rows are written, on this rank: */
    float *whole; /* all weights in the host's memory, an adapter worked into them; NULL: those that are trained are that */
    void *there;  /* the same in the device's memory, where that is another */
    pawl_digest model;
    pawl_decoder *decoder;
    pawl_sampler *sampler;
    int32_t *row;     /* [longest] */
    int64_t *lengths; /* [own rows]; 0: it ended at once */
    int32_t *ids;     /* [used] of own rows, one after the other */
    int64_t used, room;
    /* Then, alike on all: */
    int64_t *all_lengths; /* [rows], rank after rank */
    int32_t *all_ids;
    made_row *made; /* [count] in the order of numbers */
    int64_t count, tokens;
    json_t *sources;
} synthesis;

static int is_on(const pawl_parts *p)
{
    return p->continual && p->continual->synthesis.present;
}

static int64_t rows_of_rank(const synthesis *y, int rank)
{
    const int64_t size = y->t->p->comm->size;
    return (y->cfg->rows - rank + size - 1) / size;
}

static pawl_prompt prompt_of(const synthesis *y, int64_t number)
{
    return pawl_prompts_at(y->prompts, number % pawl_prompts_count(y->prompts));
}

/* ---- the model ---- */

/* With an adapter, the host puts base and adapter together; the digest is always made by the host. */
static pawl_status put_together(const synthesis *y)
{
    const pawl_parts *p = y->t->p;
    const float *adapter = pawl_stepper_weights(y->t->stepper);
    const size_t bytes = (size_t)pawl_trained_count(p->model, p->adapter) * sizeof(float);
    const pawl_extent *extents;
    float *room = NULL;
    const int count = pawl_model_extents(p->model, &extents);
    pawl_status status = PAWL_OK;
    if (!pawl_device_shares_memory(p->device)) PAWL_TRY(pawl_alloc((void **)&room, bytes, "an adapter"));
    float *here = pawl_host_side(p->device, adapter, room);
    PAWL_TRY_OUT(pawl_download(p->device, here, adapter, bytes));
    for (int i = 0; i < count; i++) {
        PAWL_TRY_OUT(pawl_frozen_read(pawl_stepper_base(y->t->stepper), i, y->whole + extents[i].first));
        pawl_adapter_merge(p->adapter, here, i, y->whole + extents[i].first);
    }
out:
    pawl_free(room);
    return status;
}

static size_t model_bytes(const pawl_parts *p)
{
    return (size_t)pawl_model_count(p->model) * sizeof(float);
}

/* *weights: all of them in the device's memory. */
static pawl_status take_weights(synthesis *y, const float **weights)
{
    const pawl_parts *p = y->t->p;
    const int shared = pawl_device_shares_memory(p->device);
    const float *trained = pawl_stepper_weights(y->t->stepper);
    if (p->adapter || !shared) PAWL_TRY(pawl_alloc((void **)&y->whole, model_bytes(p), "the model that rows are written with"));
    if (p->adapter) PAWL_TRY(put_together(y));
    else if (!shared) PAWL_TRY(pawl_download(p->device, y->whole, trained, model_bytes(p)));
    *weights = p->adapter ? y->whole : trained;
    if (!p->adapter || shared) return PAWL_OK;
    PAWL_TRY(pawl_device_take(p->device, PAWL_ON_DEVICE, model_bytes(p), "the model that rows are written with", &y->there));
    *weights = y->there;
    return pawl_upload(p->device, y->there, y->whole, model_bytes(p));
}

/* As a checkpoint of all weights has it. */
static pawl_status digest_weights(synthesis *y, const float *weights)
{
    pawl_state state = {0};
    pawl_digest unused;
    PAWL_TRY(pawl_model_state(y->t->p->model, (float *)(uintptr_t)weights, "model/", &state));
    const pawl_status s = pawl_state_digests(&state, &y->model, &unused);
    pawl_state_close(&state);
    return s;
}

static pawl_status open_model(synthesis *y)
{
    const pawl_parts *p = y->t->p;
    const pawl_sampling how = {.temperature = y->cfg->temperature,
                               .top_p = y->cfg->top_p,
                               .seed = (uint64_t)pawl_i64_or(y->cfg->seed, p->train->seed),
                               .size = pawl_tokenizer_size(p->tokenizer),
                               .end = pawl_tokenizer_end(p->tokenizer),
                               .alive = pawl_keep_going};
    const float *weights;
    PAWL_TRY(take_weights(y, &weights));
    PAWL_TRY(digest_weights(y, y->whole ? y->whole : weights));
    PAWL_TRY(pawl_decoder_open(p->model, p->device, weights, y->longest, &y->decoder));
    PAWL_TRY(pawl_sampler_open(&how, &y->sampler));
    PAWL_TRY(pawl_alloc((void **)&y->row, (size_t)y->longest * sizeof *y->row, "a row that is written"));
    return pawl_alloc((void **)&y->lengths, (size_t)(rows_of_rank(y, p->comm->rank) + 1) * sizeof *y->lengths, "rows that are written");
}

static void close_model(synthesis *y)
{
    pawl_decoder_close(y->decoder);
    pawl_sampler_close(y->sampler);
    pawl_device_give(y->t->p->device, PAWL_ON_DEVICE, y->there, y->there ? model_bytes(y->t->p) : 0);
    pawl_free(y->whole);
    pawl_free(y->row);
    y->decoder = NULL;
    y->sampler = NULL;
    y->there = NULL;
    y->whole = NULL;
    y->row = NULL;
}

/* ---- writing ---- */

static pawl_status keep(synthesis *y, int64_t tokens)
{
    if (y->used + tokens > y->room) {
        const int64_t room = 2 * y->room + y->longest;
        PAWL_TRY(pawl_realloc((void **)&y->ids, (size_t)room * sizeof *y->ids, "rows that are written"));
        y->room = room;
    }
    memcpy(y->ids + y->used, y->row, (size_t)tokens * sizeof *y->ids);
    y->used += tokens;
    return PAWL_OK;
}

/* The end belongs to the row: there is room for it, since a text that fills the row has none. */
static pawl_status write_row(synthesis *y, int64_t number, int64_t *length)
{
    const pawl_prompt prompt = prompt_of(y, number);
    const int64_t left = y->longest - prompt.count, most = y->cfg->max_tokens && y->cfg->max_tokens < left ? y->cfg->max_tokens : left;
    pawl_written w;
    memcpy(y->row, prompt.ids, (size_t)prompt.count * sizeof *y->row);
    PAWL_TRY(pawl_write(y->decoder, y->sampler,
                        &(pawl_to_write){.number = number, .end = prompt.end, .ids = y->row, .prompt = prompt.count, .most = most}, &w));
    *length = 0;
    if (w.count == prompt.count) return PAWL_OK;
    if (w.end >= 0) y->row[w.count++] = w.end;
    *length = w.count;
    return keep(y, w.count);
}

static pawl_status write_rows(void *self)
{
    synthesis *y = self;
    const pawl_comm *c = y->t->p->comm;
    int64_t n = 0;
    PAWL_TRY(open_model(y));
    for (int64_t i = c->rank; i < y->cfg->rows && pawl_keep_going(); i += c->size) {
        PAWL_TRY(write_row(y, i, &y->lengths[n++]));
        pawl_progress_add(1);
    }
    return PAWL_OK;
}

static void show(void *self)
{
    const synthesis *y = self;
    pawl_screen_writing(y->t->p, pawl_progress(), y->cfg->rows);
}

/* ---- all of them, on every rank ---- */

static pawl_status take_lengths(synthesis *y, size_t **room)
{
    PAWL_TRY(pawl_alloc((void **)&y->all_lengths, (size_t)y->cfg->rows * sizeof *y->all_lengths, "rows that were written"));
    return pawl_alloc((void **)room, 2 * (size_t)y->t->p->comm->size * sizeof **room, "rows that were written");
}

/* Where each rank's rows begin in all_lengths. */
static int64_t first_of(const synthesis *y, int rank)
{
    int64_t first = 0;
    for (int r = 0; r < rank; r++) first += rows_of_rank(y, r);
    return first;
}

static pawl_status gather_lengths(synthesis *y, size_t *lengths, size_t *offsets)
{
    for (int r = 0; r < y->t->p->comm->size; r++) {
        lengths[r] = (size_t)rows_of_rank(y, r) * sizeof(int64_t);
        offsets[r] = (size_t)first_of(y, r) * sizeof(int64_t);
    }
    return pawl_allgather_blocks(y->t->p->comm, y->lengths, lengths, offsets, y->all_lengths);
}

static pawl_status gather_ids(synthesis *y, size_t *lengths, size_t *offsets)
{
    for (int r = 0; r < y->t->p->comm->size; r++) {
        int64_t tokens = 0;
        for (int64_t n = 0; n < rows_of_rank(y, r); n++) tokens += y->all_lengths[first_of(y, r) + n];
        lengths[r] = (size_t)tokens * sizeof(int32_t);
        offsets[r] = (size_t)y->tokens * sizeof(int32_t);
        y->tokens += tokens;
    }
    PAWL_TRY(pawl_agree(y->t->p->comm, pawl_alloc((void **)&y->all_ids, (size_t)y->tokens * sizeof *y->all_ids, "rows that were written")));
    return pawl_allgather_blocks(y->t->p->comm, y->ids, lengths, offsets, y->all_ids);
}

/* Collective. */
static pawl_status gather(synthesis *y)
{
    const pawl_comm *c = y->t->p->comm;
    size_t *room = NULL;
    pawl_status s = pawl_agree(y->t->p->comm, take_lengths(y, &room));
    if (s == PAWL_OK) s = gather_lengths(y, room, room + c->size);
    if (s == PAWL_OK) s = gather_ids(y, room, room + c->size);
    pawl_free(room);
    return s;
}

/* A document's digest is that of its text, as of documents of the data. */
static pawl_status describe(const synthesis *y, made_row *r)
{
    const pawl_tokenizer *t = y->t->p->tokenizer;
    const int32_t *ids = y->all_ids + r->at;
    pawl_text text = {0}, learnt = {0};
    pawl_status s = pawl_decode(t, ids, r->tokens, 0, &text);
    if (s == PAWL_OK) s = pawl_decode(t, ids + r->learnt, r->tokens - r->learnt, 1, &learnt);
    if (s == PAWL_OK) s = pawl_text_status(&text);
    const pawl_digest d = pawl_sha256(text.data ? text.data : "", text.bytes);
    memcpy(r->document, d.byte + sizeof d.byte - sizeof r->document, sizeof r->document);
    r->bytes = (int64_t)learnt.bytes;
    pawl_text_close(&text);
    pawl_text_close(&learnt);
    return s;
}

/* The row of each number, out of what its rank has written. */
static pawl_status list_rows(synthesis *y)
{
    const int size = y->t->p->comm->size;
    int64_t *next, at = 0;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&y->made, (size_t)y->cfg->rows * sizeof *y->made, "rows that were written"));
    PAWL_TRY(pawl_alloc((void **)&next, 2 * (size_t)size * sizeof *next, "rows that were written"));
    for (int r = 0; r < size; r++) {
        next[2 * r] = first_of(y, r); /* in all_lengths, ... */
        next[2 * r + 1] = at;         /* ... and in all_ids */
        for (int64_t n = 0; n < rows_of_rank(y, r); n++) at += y->all_lengths[next[2 * r] + n];
    }
    for (int64_t i = 0; i < y->cfg->rows; i++) {
        int64_t *place = next + 2 * (i % size), tokens = y->all_lengths[place[0]++];
        made_row *r = &y->made[y->count];
        if (!tokens) continue;
        *r = (made_row){.at = place[1], .tokens = tokens, .learnt = y->cfg->train_on_prompts ? 1 : prompt_of(y, i).count, .number = i};
        place[1] += tokens;
        y->count++;
        PAWL_TRY_OUT(describe(y, r));
    }
    if (!y->count)
        status = PAWL_FAIL(PAWL_EDATA, "synthesis: the model ended all %lld rows at once: give other prompts, or a higher temperature",
                           (long long)y->cfg->rows);
out:
    pawl_free(next);
    return status;
}

/* ---- on offer to the memory, as one group ---- */

static const char *domain(const void *of, int group)
{
    (void)group;
    return ((const synthesis *)of)->cfg->domain;
}

static const char *license(const void *of, int group)
{
    (void)group;
    return ((const synthesis *)of)->cfg->license;
}

static const json_t *source(const void *of, int group, int32_t file)
{
    (void)group;
    return json_array_get(((const synthesis *)of)->sources, (size_t)file);
}

static int64_t rows(const void *of, int group)
{
    (void)group;
    return ((const synthesis *)of)->count;
}

static int offered(const void *of, pawl_row r, double *loss)
{
    (void)of, (void)r;
    *loss = -1;
    return 1;
}

static const made_row *row_of(const void *of, pawl_row r)
{
    return &((const synthesis *)of)->made[r.index];
}

static void facts(const void *of, pawl_row r, pawl_kept *out)
{
    const made_row *m = row_of(of, r);
    out->tokens = m->tokens;
    out->trained = m->tokens - m->learnt;
    out->bytes = m->bytes;
    out->segments = 1;
}

static pawl_provenance segment(const void *of, pawl_row r, int64_t k)
{
    const made_row *m = row_of(of, r);
    const pawl_prompt prompt = prompt_of(of, m->number);
    pawl_provenance p = {.line = prompt.line,
                         .source = prompt.source,
                         .tokens = (int32_t)m->tokens,
                         .trained = (int32_t)(m->tokens - m->learnt),
                         .bytes = (int32_t)m->bytes};
    (void)k;
    memcpy(p.document, m->document, sizeof p.document);
    return p;
}

static void copy(const void *of, pawl_row r, void *tokens, uint8_t *trained)
{
    const synthesis *y = of;
    const made_row *m = row_of(of, r);
    const int wide = pawl_data_wide(y->t->p->data);
    memset(trained, 0, (size_t)(m->tokens + 7) / 8);
    for (int64_t i = 0; i < m->tokens; i++) {
        const int32_t id = y->all_ids[m->at + i];
        if (wide) ((uint32_t *)tokens)[i] = (uint32_t)id;
        else ((uint16_t *)tokens)[i] = (uint16_t)id;
        if (i >= m->learnt) trained[i / 8] |= (uint8_t)(1 << i % 8);
    }
}

/* The prompts' files, as what these rows come from; that they are no texts of those files is said. */
static pawl_status list_sources(synthesis *y)
{
    size_t i;
    json_t *one;
    y->sources = json_deep_copy(pawl_prompts_sources(y->prompts));
    json_array_foreach(y->sources, i, one) json_object_set_new(one, "generated", json_true());
    PAWL_CHECK(y->sources, PAWL_EMEM, "no memory for the list of prompts");
    return PAWL_OK;
}

/* ---- what is said of them ---- */

/* Every row in order: its length, then its ids. */
static pawl_status digest_rows(const synthesis *y, pawl_digest *out)
{
    pawl_hash *h;
    PAWL_TRY(pawl_hash_open(&h));
    for (int64_t i = 0; i < y->count; i++) {
        pawl_hash_add(h, &y->made[i].tokens, sizeof y->made[i].tokens);
        pawl_hash_add(h, y->all_ids + y->made[i].at, (size_t)y->made[i].tokens * sizeof *y->all_ids);
    }
    *out = pawl_hash_close(h);
    return PAWL_OK;
}

static pawl_status record(const synthesis *y)
{
    const pawl_synthesis_config *c = y->cfg;
    const pawl_trainer *t = y->t;
    pawl_digest digest;
    PAWL_TRY(digest_rows(y, &digest));
    json_t *entry = json_pack("{s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:{s:I,s:O},s:f,s:f,s:I,s:I,s:b}", "domain", c->domain, "license", c->license, "rows",
                              (json_int_t)y->count, "empty", (json_int_t)(c->rows - y->count), "tokens", (json_int_t)y->tokens, "rows_sha256",
                              pawl_digest_hex(digest).text, "model_sha256", pawl_digest_hex(y->model).text, "prompts", "count",
                              (json_int_t)pawl_prompts_count(y->prompts), "files", pawl_prompts_sources(y->prompts), "temperature", c->temperature,
                              "top_p", c->top_p, "seed", (json_int_t)pawl_i64_or(c->seed, t->p->train->seed), "max_tokens",
                              (json_int_t)c->max_tokens, "train_on_prompts", c->train_on_prompts);
    if (!json_object_get(t->lineage, "synthesis")) json_object_set_new(t->lineage, "synthesis", json_array());
    PAWL_CHECK(entry && json_array_append_new(json_object_get(t->lineage, "synthesis"), entry) == 0, PAWL_EMEM, "no memory for the lineage record");
    pawl_screen_line(t->p, "  written  %s: %lld rows, %lld tokens, begun with %lld prompts; %lld ended at once", c->domain, (long long)y->count,
                     (long long)y->tokens, (long long)pawl_prompts_count(y->prompts), (long long)(c->rows - y->count));
    return pawl_record_event(y->t, "synthesis", json_pack("{s:s,s:I,s:I,s:s}", "domain", c->domain, "rows", (json_int_t)y->count, "tokens",
                                                          (json_int_t)y->tokens, "rows_sha256", pawl_digest_hex(digest).text));
}

/* ---- together ---- */

static pawl_status write_all(synthesis *y, int *stopped)
{
    pawl_comm *c = y->t->p->comm;
    pawl_watch("writing rows for the memory", (double)y->t->p->reduce->phase_seconds);
    pawl_progress_show(show, y);
    pawl_status s = pawl_together(c, write_rows, y);
    pawl_progress_show(NULL, NULL);
    close_model(y);
    PAWL_TRY(s);
    return pawl_any_stop(c, stopped);
}

static pawl_status offer(synthesis *y)
{
    static const pawl_rows_kind kind = {domain, license, source, rows, offered, facts, segment, copy};
    const pawl_offer all = {&kind, y, 0, 1};
    PAWL_TRY(gather(y));
    pawl_status s = list_rows(y);
    if (s == PAWL_OK) s = list_sources(y);
    if (s == PAWL_OK) s = record(y);
    PAWL_TRY(pawl_agree(y->t->p->comm, s));
    return pawl_memory_take(y->t->course->memory, &all);
}

static void synthesis_close(synthesis *y)
{
    close_model(y);
    pawl_free(y->lengths);
    pawl_free(y->ids);
    pawl_free(y->all_lengths);
    pawl_free(y->all_ids);
    pawl_free(y->made);
    json_decref(y->sources);
}

pawl_status pawl_synthesise(pawl_trainer *t, int *stopped)
{
    *stopped = 0;
    if (!is_on(t->p)) return PAWL_OK;
    synthesis y = {.t = t, .cfg = &t->p->continual->synthesis.value, .prompts = t->p->prompts, .longest = pawl_run_longest(t->p)};
    PAWL_ASSERT(y.prompts);
    const int span = pawl_span_begin("synthesis");
    pawl_status s = write_all(&y, stopped);
    if (s == PAWL_OK && !*stopped) s = offer(&y);
    pawl_span_end(span);
    synthesis_close(&y);
    return s;
}

/* Rows as they are written here, and all of them, full. */
pawl_room pawl_synthesis_bytes(const pawl_parts *p)
{
    if (!is_on(p)) return (pawl_room){0};
    const pawl_synthesis_config *c = &p->continual->synthesis.value;
    const size_t longest = (size_t)pawl_run_longest(p), rows_here = (size_t)(c->rows + p->comm->size - 1) / (size_t)p->comm->size,
                 ids = p->tokenizer ? (size_t)pawl_tokenizer_size(p->tokenizer) : (size_t)pawl_model_settings(p->model)->vocab_size;
    const int apart = !pawl_device_shares_memory(p->device);
    const size_t candidate = 2 * sizeof(double);
    const pawl_room model = {.device = p->adapter && apart ? model_bytes(p) : 0,
                             .host = (p->adapter || apart ? model_bytes(p) : 0) + ids * candidate + (rows_here + (size_t)c->rows) * longest * sizeof(int32_t)};
    return pawl_room_add(model, pawl_decoder_bytes(p->model, p->device, (int64_t)longest));
}
