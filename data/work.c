#include "data/work.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "data/blob.h"
#include "data/choices.h"
#include "data/marked.h"
#include "data/reader.h"
#include "data/sample.h"

typedef struct worker {
    const pawl_recipe *recipe;
    const pawl_units *units;
    pawl_blob blob[PAWL_HANDED_OVER];
    pawl_unit_record record; /* of the unit in hand */
    pawl_sample sample;
    pawl_marked marked;
    pawl_question question;
    pawl_encoding given; /* a prompt by itself */
    uint16_t *half; /* ids, narrow */
    int64_t half_room;
    int wide, split; /* long documents are split */
    int64_t bad;     /* rows, in all units so far */
} worker;

/* ---- a document ---- */

/* The same content is on the same side wherever it stands and whatever stands beside it. */
static pawl_part side_of(const pawl_digest *d, double held_out)
{
    uint64_t first = 0;
    for (int i = 0; i < 8; i++) first = first << 8 | d->byte[i];
    return (double)(first >> 11) * 0x1p-53 < held_out ? PAWL_HELD_OUT : PAWL_TRAIN;
}

static pawl_status write_tokens(worker *w)
{
    const pawl_encoding *e = &w->marked.encoding;
    PAWL_TRY(pawl_blob_add(&w->blob[PAWL_HAND_TRAINED], w->marked.trained, (size_t)e->count));
    if (w->wide) return pawl_blob_add(&w->blob[PAWL_HAND_TOKENS], e->ids, (size_t)e->count * sizeof *e->ids);
    if (e->count > w->half_room) {
        PAWL_TRY(pawl_realloc((void **)&w->half, (size_t)e->room * sizeof *w->half, "the tokens of a document"));
        w->half_room = e->room;
    }
    for (int64_t i = 0; i < e->count; i++) w->half[i] = (uint16_t)e->ids[i];
    return pawl_blob_add(&w->blob[PAWL_HAND_TOKENS], w->half, (size_t)e->count * sizeof *w->half);
}

/* What of tokens [first, end) is predicted and trained: all but the first, which only predicts. */
static pawl_segment segment_of(const worker *w, int64_t first, int64_t end)
{
    pawl_segment s = {
        .tokens_at = w->record.tokens + first, .document = w->record.documents, .tokens = (int32_t)(end - first)};
    for (int64_t i = first + 1; i < end; i++) {
        if (!w->marked.trained[i]) continue;
        s.trained++;
        s.bytes += (int32_t)pawl_marked_bytes(&w->marked, i);
    }
    return s;
}

/* Segments in which nothing is trained would only take room. */
static pawl_status write_segments(worker *w, pawl_part part)
{
    const int64_t tokens = w->marked.encoding.count, n = pawl_segment_count(tokens, w->recipe->sequence_len);
    for (int64_t i = 0; i < n; i++) {
        int64_t first, end;
        pawl_segment_place(tokens, w->recipe->sequence_len, i, &first, &end);
        const pawl_segment s = segment_of(w, first, end);
        if (s.trained == 0) continue;
        PAWL_TRY(pawl_blob_add(&w->blob[PAWL_HAND_SEGMENTS + (int)part], &s, sizeof s));
        w->record.segments[part]++;
        w->record.part[part].trained += s.trained;
    }
    return PAWL_OK;
}

static int anything_trained(const pawl_marked *m)
{
    return m->encoding.count > 1 && memchr(m->trained + 1, 1, (size_t)m->encoding.count - 1) != NULL;
}

/* A document that is longer than a row. *keep 0: it is left out. */
static pawl_status shorten(worker *w, int *keep)
{
    const int64_t most = w->recipe->sequence_len, tokens = w->marked.encoding.count;
    *keep = 1;
    if (tokens <= most || w->split) return PAWL_OK;
    PAWL_CHECK(
        w->recipe->excess != PAWL_EXCESS_RAISE, PAWL_EDATA,
        "the row has %lld tokens and sequence_len is %lld; raise it, or set excess_length_strategy to drop, truncate "
        "or split",
        (long long)tokens, (long long)most);
    *keep = w->recipe->excess == PAWL_EXCESS_TRUNCATE;
    w->record.tally.dropped += !*keep;
    w->record.tally.truncated += *keep;
    if (*keep) w->marked.encoding.count = most;
    return PAWL_OK;
}

/* What is encoded and marked becomes a document of that choice, if it is one. */
static pawl_status put_document(worker *w, int source, int64_t line, pawl_choice choice)
{
    const pawl_digest digest = pawl_sha256(w->sample.text.data, w->sample.text.bytes);
    const pawl_part part = side_of(&digest, w->recipe->held_out);
    pawl_document d = {.tokens_at = w->record.tokens,
                       .tokens = w->marked.encoding.count,
                       .line = line,
                       .source = source,
                       .part = (int32_t)part,
                       .choice = choice};
    memcpy(&d.content, digest.byte + sizeof digest.byte - sizeof d.content, sizeof d.content);
    PAWL_TRY(write_segments(w, part));
    PAWL_TRY(write_tokens(w));
    PAWL_TRY(pawl_blob_add(&w->blob[PAWL_HAND_DOCUMENTS], &d, sizeof d));
    w->record.tokens += d.tokens;
    w->record.documents++;
    w->record.part[part].documents++;
    w->record.part[part].tokens += d.tokens;
    return PAWL_OK;
}

static pawl_status add_document(worker *w, int source, int64_t line)
{
    int keep;
    PAWL_TRY(pawl_marked_encode(w->recipe->tokenizer, &w->sample, &w->marked));
    PAWL_TRY(shorten(w, &keep));
    if (!keep) return PAWL_OK;
    if (!anything_trained(&w->marked)) {
        w->record.tally.masked++;
        return PAWL_OK;
    }
    return put_document(w, source, line, (pawl_choice){0});
}

/* ---- a question ---- */

/* Choice i behind its prompt, in tokens. Of what is longer than a row the prompt's beginning goes. *cut 1: so it was.
 */
static pawl_status encode_choice(worker *w, int64_t i, pawl_choice *choice, int *cut)
{
    int64_t given;
    const int64_t most = w->recipe->sequence_len;
    PAWL_TRY(pawl_question_sample(&w->question, i, &w->sample, choice));
    PAWL_TRY(pawl_marked_encode_behind(w->recipe->tokenizer, &w->sample, &w->given, &w->marked, &given));
    const int64_t tokens = w->marked.encoding.count;
    PAWL_CHECK(given > 0, PAWL_EDATA, "the prompt gives no token, and a choice is scored behind one: write a prompt");
    PAWL_CHECK(tokens > given, PAWL_EDATA, "choice %lld adds no token to the prompt", (long long)i);
    PAWL_CHECK(tokens - given < most, PAWL_EDATA,
               "choice %lld has %lld tokens and sequence_len is %lld, which leaves no room for a prompt", (long long)i,
               (long long)(tokens - given), (long long)most);
    PAWL_CHECK(tokens <= most || w->recipe->excess != PAWL_EXCESS_RAISE, PAWL_EDATA,
               "prompt and choice %lld have %lld tokens and sequence_len is %lld; raise it, or set "
               "excess_length_strategy to another than raise, to cut the "
               "prompt's beginning",
               (long long)i, (long long)tokens, (long long)most);
    *cut |= tokens > most;
    if (tokens > most) pawl_marked_cut(&w->marked, tokens - most);
    return PAWL_OK;
}

/* All choices are looked at before the first is written, so that a bad row leaves no half of a question. */
static pawl_status add_question(worker *w, const json_t *row, int source, int64_t line)
{
    pawl_choice choice;
    int cut = 0;
    PAWL_TRY(pawl_question_read(w->recipe->renderer, row, &w->question));
    for (int64_t i = 0; i < w->question.count; i++) PAWL_TRY(encode_choice(w, i, &choice, &cut));
    w->record.tally.truncated += cut;
    for (int64_t i = 0; i < w->question.count; i++) {
        PAWL_TRY(encode_choice(w, i, &choice, &cut));
        PAWL_TRY(put_document(w, source, line, choice));
    }
    return PAWL_OK;
}

/* ---- a row ---- */

/* What was found wrong with a row, and where in it. */
typedef struct flaw {
    int64_t line, column;
} flaw;

static pawl_status parse_row(const pawl_piece *p, pawl_reads reads, json_t **out, flaw *at)
{
    json_error_t e;
    const pawl_status s = pawl_row_parse(p->text, p->bytes, reads == PAWL_READS_LINES ? "one JSON object a line" : "JSON objects", &e, out);
    if (s == PAWL_OK) return s;
    at->line = p->line + (e.line > 1 ? e.line - 1 : 0);
    at->column = (e.line > 1 ? 1 : p->column) + (e.column > 0 ? e.column - 1 : 0);
    return s;
}

static int64_t leading_blanks(const pawl_piece *p)
{
    size_t n = 0;
    while (n < p->bytes && (p->text[n] == ' ' || p->text[n] == '\t' || p->text[n] == '\r')) n++;
    return (int64_t)n;
}

static pawl_status add_sample(worker *w, int source, int64_t line)
{
    if (w->sample.text.bytes > 0) return add_document(w, source, line);
    w->record.tally.empty++;
    return PAWL_OK;
}

static pawl_status take_row(worker *w, int source, const pawl_piece *p, flaw *at)
{
    json_t *row = NULL;
    pawl_status s;
    PAWL_TRY(parse_row(p, w->recipe->sources->items[source].reads, &row, at));
    at->column += leading_blanks(p);
    if (w->recipe->dataset->type == PAWL_CHOICES) {
        s = add_question(w, row, source, p->line);
    } else {
        s = pawl_render(w->recipe->renderer, row, &w->sample);
        if (s == PAWL_OK) s = add_sample(w, source, p->line);
        w->record.tally.toolless += s == PAWL_OK && w->sample.toolless;
    }
    json_decref(row);
    return s;
}

/* One row or whole file, from its text to its tokens. */
static pawl_status take_piece(worker *w, int source, const pawl_piece *p, flaw *at)
{
    if (w->recipe->sources->items[source].reads != PAWL_READS_WHOLE) return take_row(w, source, p, at);
    PAWL_TRY(pawl_render_text(p->text, p->bytes, &w->sample));
    return add_sample(w, source, 0);
}

/* The row in hand is bad: it is noted. *too_many 1: there are more of them than may be skipped. */
static pawl_status note_bad_row(worker *w, int source, flaw at, int *too_many)
{
    pawl_bad_row row = {.source = source, .line = at.line, .column = at.column};
    snprintf(row.what, sizeof row.what, "%.500s", pawl_last_error()->what);
    w->record.tally.bad++;
    *too_many = ++w->bad > w->recipe->skip_bad_rows;
    if (w->record.bad_listed == PAWL_BAD_ROWS_SHOWN) return PAWL_OK;
    w->record.bad_listed++;
    return pawl_blob_add(&w->blob[PAWL_HAND_BAD], &row, sizeof row);
}

/* ---- a unit ---- */

static pawl_status read_pieces(worker *w, pawl_reader *r, int source, int *too_many)
{
    pawl_piece p = {0};
    int more = 1;
    while (pawl_keep_going()) {
        pawl_status s = pawl_reader_next(r, &p, &more);
        if (s == PAWL_OK && !more) return PAWL_OK;
        const int spoilt = pawl_reader_spoilt(r);
        flaw at = {p.line, p.column};
        if (s != PAWL_OK && !spoilt) return s; /* it is not about a row, but about the file */
        w->record.tally.read++;
        if (s == PAWL_OK) s = take_piece(w, source, &p, &at);
        if (s == PAWL_OK) continue;
        if (s != PAWL_EDATA) return s;
        PAWL_TRY(note_bad_row(w, source, at, too_many));
        if (*too_many) return PAWL_OK;
    }
    return PAWL_OK;
}

static pawl_status do_unit(worker *w, const pawl_unit *u, int *too_many)
{
    for (int i = 0; i < u->count && !*too_many && pawl_keep_going(); i++) {
        const pawl_source *source = &w->recipe->sources->items[u->source + i];
        pawl_reader *r;
        PAWL_TRY(pawl_reader_open(source, u->first, u->count == 1 ? u->end : source->bytes, &r));
        const pawl_status s = read_pieces(w, r, u->source + i, too_many);
        w->record.newlines = pawl_reader_newlines(r);
        pawl_reader_close(r);
        PAWL_TRY(s);
    }
    return pawl_blob_add(&w->blob[PAWL_HAND_UNITS], &w->record, sizeof w->record);
}

/* ---- the share ---- */

static pawl_status begin(worker *w, const pawl_share *share, const char *dir)
{
    for (int i = 0; i < PAWL_HANDED_OVER; i++) {
        char name[64];
        pawl_hand_over_name(share->rank, (pawl_hand_over)i, name);
        PAWL_TRY(pawl_blob_open(&w->blob[i], dir, name, PAWL_BLOB_SCRATCH));
    }
    return PAWL_OK;
}

static pawl_status finish(worker *w)
{
    for (int i = 0; i < PAWL_HANDED_OVER; i++) PAWL_TRY(pawl_blob_finish(&w->blob[i], NULL));
    return PAWL_OK;
}

static void fail(pawl_work_failure *f, int64_t unit, pawl_status s, int too_many)
{
    if (f->unit < unit) return;
    *f = (pawl_work_failure){.unit = unit, .too_many = too_many, .status = s, .error = *pawl_last_error()};
    pawl_failed_at(unit);
}

static void do_share(worker *w, const pawl_share *share, pawl_work_failure *f)
{
    for (int64_t u = share->turn; u < w->units->count && u <= pawl_first_failure() && pawl_keep_going();
         u += share->turns) {
        int too_many = 0;
        w->record = (pawl_unit_record){.unit = u};
        const pawl_status s = do_unit(w, &w->units->items[u], &too_many);
        if (s != PAWL_OK || too_many) {
            fail(f, u, s, too_many);
            return;
        }
    }
}

static void worker_close(worker *w)
{
    for (int i = 0; i < PAWL_HANDED_OVER; i++) pawl_blob_close(&w->blob[i]);
    pawl_sample_close(&w->sample);
    pawl_marked_close(&w->marked);
    pawl_question_close(&w->question);
    pawl_encoding_close(&w->given);
    pawl_free(w->half);
    pawl_free(w);
}

void pawl_work(const pawl_recipe *r, const pawl_units *units, const pawl_share *share, const char *dir,
               pawl_work_failure *out)
{
    worker *w;
    *out = (pawl_work_failure){.unit = INT64_MAX};
    pawl_status s = pawl_alloc((void **)&w, sizeof *w, "preparing data");
    if (s != PAWL_OK) {
        fail(out, 0, s, 0);
        return;
    }
    *w = (worker){.recipe = r,
                  .units = units,
                  .wide = pawl_tokenizer_size(r->tokenizer) > 65536,
                  .split = r->excess == PAWL_EXCESS_SPLIT || r->dataset->type <= PAWL_PLAIN_TEXT};
    for (int i = 0; i < PAWL_HANDED_OVER; i++) w->blob[i].fd = -1;
    s = begin(w, share, dir);
    if (s == PAWL_OK) do_share(w, share, out);
    if (s == PAWL_OK) s = finish(w);
    if (s != PAWL_OK) fail(out, 0, s, 0); /* a disk that is full is nobody's unit */
    worker_close(w);
}
