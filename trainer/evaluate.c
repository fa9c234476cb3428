/* Held-out loss, and accuracy on questions with choices. Slots are cut from the rows of each domain in order, whatever
 * the number of ranks; ranks take contiguous runs of slots; every row's sum travels, and sums are taken in the order of
 * rows: the same bits for any ranks. */
#include <math.h>
#include <string.h>

#include "trainer/internal.h"

struct pawl_evaluator {
    const pawl_parts *p;
    int64_t micro, tokens;
    int64_t most; /* rows of a domain that are measured, evenly spread over all; 0: all */
    pawl_part part; /* of which rows are measured now */
    const pawl_slot_watch *watch; /* of the slots; NULL: none */
    int through;                  /* 1: a stop does not end it */
    json_t *told;   /* where questions are listed; NULL: nowhere. Borrowed */
    pawl_arena arena;
    pawl_batch batch;
    float *losses;
    int32_t *bad;
    pawl_row *rows;
    size_t *lengths, *offsets; /* [ranks] */
    pawl_row_result *results;  /* [rows of the largest domain] */
    pawl_activations *activations;
};

/* Without data, as in a plan, something is thought to be held out. */
static int measures(const pawl_parts *p)
{
    return !p->data || pawl_data_domains(p->data, PAWL_HELD_OUT) > 0;
}

/* Of a domain, texts or choices. */
static int64_t most_rows(const pawl_data *data)
{
    int64_t most = 0;
    for (int part = PAWL_HELD_OUT; data && part <= PAWL_CHOICE_ROWS; part++)
        for (int d = 0; d < pawl_data_domains(data, (pawl_part)part); d++) {
            const int64_t rows = pawl_data_rows_of(data, (pawl_part)part, d);
            most = rows > most ? rows : most;
        }
    return most;
}

static void lay_out(pawl_evaluator *e)
{
    const int64_t most = most_rows(e->p->data);
    pawl_batch_lay_out(&e->arena, &e->batch, e->micro, e->tokens);
    e->losses = pawl_take_bytes(&e->arena, (size_t)(e->micro * e->tokens) * sizeof(float));
    e->bad = pawl_take_bytes(&e->arena, (size_t)e->micro * sizeof(int32_t));
    e->rows = pawl_take_bytes(&e->arena, (size_t)e->micro * sizeof(pawl_row));
    e->lengths = pawl_take_bytes(&e->arena, (size_t)e->p->comm->size * sizeof(size_t));
    e->offsets = pawl_take_bytes(&e->arena, (size_t)e->p->comm->size * sizeof(size_t));
    e->results = pawl_take_bytes(&e->arena, (size_t)most * sizeof(pawl_row_result));
}

pawl_room pawl_evaluator_bytes(const pawl_parts *p, int64_t tokens)
{
    pawl_evaluator e = {.p = p, .micro = p->train->micro_batch_size, .tokens = tokens};
    const pawl_capacity room = pawl_run_capacity(p, tokens, 0);
    if (!measures(p)) return (pawl_room){0};
    lay_out(&e);
    return pawl_room_add((pawl_room){.host = e.arena.used}, pawl_activations_bytes(p->model, &room));
}

static pawl_status take(pawl_evaluator *e)
{
    if (!measures(e->p)) return PAWL_OK;
    const pawl_shapes shapes = pawl_run_shapes(e->p, e->micro, e->tokens);
    const pawl_capacity room = pawl_run_capacity(e->p, e->tokens, 0);
    lay_out(e);
    PAWL_TRY(pawl_arena_open(&e->arena));
    lay_out(e);
    PAWL_TRY(pawl_device_reserve(e->p->device, &shapes));
    return pawl_activations_open(e->p->model, &room, &e->activations);
}

pawl_status pawl_evaluator_open(const pawl_parts *p, pawl_evaluator **out)
{
    pawl_evaluator *e;
    PAWL_TRY(pawl_alloc((void **)&e, sizeof *e, "evaluation"));
    *e = (pawl_evaluator){.p = p, .micro = p->train->micro_batch_size, .tokens = pawl_run_longest(p)};
    e->arena.name = "evaluation";
    pawl_status s = take(e);
    if (s != PAWL_OK) {
        pawl_evaluator_close(e);
        return s;
    }
    *out = e;
    return PAWL_OK;
}

void pawl_evaluator_close(pawl_evaluator *e)
{
    if (!e) return;
    pawl_activations_close(e->activations);
    pawl_arena_close(&e->arena);
    pawl_free(e);
}

static int64_t rows_of(const pawl_evaluator *e, int domain)
{
    const int64_t all = pawl_data_rows_of(e->p->data, e->part, domain);
    return e->most > 0 && e->most < all ? e->most : all;
}

pawl_row pawl_evaluation_row(const pawl_data *d, pawl_part part, int domain, int64_t rows, int64_t i)
{
    return (pawl_row){domain, i * pawl_data_rows_of(d, part, domain) / rows};
}

static pawl_row row_at(const pawl_evaluator *e, int domain, int64_t i)
{
    return pawl_evaluation_row(e->p->data, e->part, domain, rows_of(e, domain), i);
}

/* Ranks take contiguous runs of slots. */
void pawl_evaluation_share(const pawl_parts *p, int64_t rows, int rank, int64_t *first, int64_t *end)
{
    const int64_t micro = p->train->micro_batch_size, slots = (rows + micro - 1) / micro;
    *first = slots * rank / p->comm->size * micro;
    *end = slots * (rank + 1) / p->comm->size * micro;
    if (*first > rows) *first = rows;
    if (*end > rows) *end = rows;
}

static pawl_status score_slot(pawl_evaluator *e, const pawl_pass *of, int domain, int64_t first, int64_t end)
{
    const pawl_parts *p = e->p;
    for (int64_t i = first; i < end; i++) e->rows[i - first] = row_at(e, domain, i);
    pawl_slot_fill(p->data, e->part, e->rows, end - first, &e->batch);
    pawl_pass pass = *of;
    pass.losses = e->losses;
    pass.bad_rows = e->bad;
    const pawl_slot_watch *w = e->watch;
    if (w) PAWL_TRY(w->before(w->self, domain, first, &e->batch, &pass));
    PAWL_TRY(pawl_model_pass(p->model, p->device, e->activations, &e->batch, &pass));
    pawl_row_results_of(p->data, e->part, e->rows, &e->batch, e->losses, e->bad, e->results + first);
    if (w) w->after(w->self, domain, first, &e->batch, e->results + first);
    return PAWL_OK;
}

/* Local: this rank's slots [first, end) of a domain with that many rows. A stop is taken up at once: what is left out
 * does no harm, since a stopped evaluation has no result. */
static pawl_status score_slots(pawl_evaluator *e, const pawl_pass *of, int domain, int64_t rows, int64_t first, int64_t end)
{
    for (int64_t slot = first; slot < end && (e->through || !pawl_stop_asked); slot++) {
        pawl_watch("evaluation", (double)e->p->reduce->phase_seconds);
        const int64_t at = slot * e->micro, to = at + e->micro < rows ? at + e->micro : rows;
        PAWL_TRY(score_slot(e, of, domain, at, to));
    }
    return PAWL_OK;
}

pawl_status pawl_any_stop(pawl_comm *c, int *stopped)
{
    int32_t all[1024], mine = pawl_stop_asked != 0;
    PAWL_ASSERT(c->size <= 1024); /* lanes are no more */
    PAWL_TRY(pawl_allgather(c, &mine, sizeof mine, all));
    *stopped = 0;
    for (int r = 0; r < c->size; r++) *stopped |= all[r];
    return PAWL_OK;
}

static pawl_status any_stop(const pawl_evaluator *e, int *stopped)
{
    *stopped = 0;
    return e->through ? PAWL_OK : pawl_any_stop(e->p->comm, stopped);
}

/* The same where ranks meet in every pass: as many on every rank, and they stop together. Slots [first, end) are this rank's, no
 * rank has more than `most`. */
static pawl_status score_together(pawl_evaluator *e, const pawl_pass *of, int domain, int64_t rows, int64_t first, int64_t end, int64_t most)
{
    int stopped = 0;
    for (int64_t i = 0; i < most && !stopped; i++) {
        pawl_watch("evaluation", (double)e->p->reduce->phase_seconds);
        const int64_t at = (first + i) * e->micro, to = at + e->micro < rows ? at + e->micro : rows;
        PAWL_TRY(first + i < end ? score_slot(e, of, domain, at, to) : pawl_model_walk(e->p->model, of));
        PAWL_TRY(pawl_meet(e->p->comm, PAWL_OK));
        PAWL_TRY(any_stop(e, &stopped));
    }
    return PAWL_OK;
}

/* Collective. The results of all rows of a domain that are measured, in their order, on every rank. */
static pawl_status score_rows(pawl_evaluator *e, const pawl_pass *of, int domain, int *stopped)
{
    pawl_comm *c = e->p->comm;
    const int64_t rows = rows_of(e, domain), slots = (rows + e->micro - 1) / e->micro;
    if (rows == 0) return PAWL_OK;
    for (int r = 0; r < c->size; r++) {
        int64_t first, last;
        pawl_evaluation_share(e->p, rows, r, &first, &last);
        e->offsets[r] = (size_t)first * sizeof(pawl_row_result);
        e->lengths[r] = (size_t)(last - first) * sizeof(pawl_row_result);
    }
    const int64_t mine = slots * c->rank / c->size, end = slots * (c->rank + 1) / c->size, most = (slots + c->size - 1) / c->size;
    PAWL_TRY(pawl_meet(c, of->hooks ? score_together(e, of, domain, rows, mine, end, most) : score_slots(e, of, domain, rows, mine, end)));
    PAWL_TRY(any_stop(e, stopped));
    if (*stopped) return PAWL_OK;
    return pawl_allgather_blocks(c, (char *)e->results + e->offsets[c->rank], e->lengths, e->offsets, e->results);
}

static pawl_status score_texts(pawl_evaluator *e, const pawl_pass *of, int domain, pawl_score *out, int *stopped)
{
    double loss = 0;
    e->part = PAWL_HELD_OUT;
    PAWL_TRY(score_rows(e, of, domain, stopped));
    const int64_t rows = *stopped ? 0 : rows_of(e, domain);
    for (int64_t i = 0; i < rows; i++) {
        loss += e->results[i].loss;
        out->tokens += e->results[i].trained;
        out->bytes += pawl_row_bytes(e->p->data, PAWL_HELD_OUT, row_at(e, domain, i));
    }
    out->loss = out->tokens ? loss / (double)out->tokens : 0;
    return PAWL_OK;
}

/* Which of rows [first, first + count) is the likeliest, by its bytes or whole: of equals the first. What is no number
 * is chosen last. */
static int64_t likeliest(const pawl_evaluator *e, int domain, int64_t first, int64_t count, int by_bytes)
{
    double best = 0;
    int64_t at = -1;
    for (int64_t i = first; i < first + count; i++) {
        const double x =
            -e->results[i].loss / (by_bytes ? (double)pawl_row_choice(e->p->data, row_at(e, domain, i)).bytes : 1);
        if (isnan(x) || (at >= 0 && !(x > best))) continue;
        best = x;
        at = i;
    }
    return at;
}

/* JSON has no infinities: a figure that is not finite is null. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* places: of the right choice, of the likeliest, and by bytes; below 0: of none. */
static void tell(const pawl_evaluator *e, int domain, int64_t first, int64_t count, const int64_t places[3])
{
    static const char *const names[] = {"right", "chosen", "chosen_norm"};
    const char *name = pawl_data_domain(e->p->data, PAWL_HELD_OUT, domain);
    json_t *question = json_object(), *logprobs = json_array(), *bytes = json_array(),
           *list = json_object_get(e->told, name);
    for (int64_t i = first; i < first + count; i++) {
        json_array_append_new(logprobs, number(-e->results[i].loss));
        json_array_append_new(bytes, json_integer(pawl_row_choice(e->p->data, row_at(e, domain, i)).bytes));
    }
    json_object_set_new(question, "logprobs", logprobs);
    json_object_set_new(question, "bytes", bytes);
    for (int k = 0; k < 3; k++)
        json_object_set_new(question, names[k], places[k] < 0 ? json_null() : json_integer((json_int_t)places[k]));
    if (!list) json_object_set_new(e->told, name, list = json_array());
    json_array_append_new(list, question);
}

/* Where there are no texts, the loss is that of the right answers. */
static pawl_status score_choices(pawl_evaluator *e, const pawl_pass *of, int domain, pawl_score *out, int *stopped)
{
    const int texts = out->tokens > 0;
    double loss = 0;
    e->part = PAWL_CHOICE_ROWS;
    PAWL_TRY(score_rows(e, of, domain, stopped));
    const int64_t rows = *stopped ? 0 : rows_of(e, domain);
    for (int64_t i = 0, count; i < rows; i += count) {
        int64_t right = i;
        count = pawl_row_choice(e->p->data, row_at(e, domain, i)).count;
        while (!pawl_row_choice(e->p->data, row_at(e, domain, right)).right) right++;
        const int64_t chosen = likeliest(e, domain, i, count, 0), by_bytes = likeliest(e, domain, i, count, 1);
        out->questions++;
        out->right += chosen == right;
        out->right_norm += by_bytes == right;
        if (e->told) tell(e, domain, i, count, (int64_t[]){right - i, chosen - i, by_bytes - i});
        if (texts) continue;
        loss += e->results[right].loss;
        out->tokens += e->results[right].trained;
        out->bytes += pawl_row_bytes(e->p->data, PAWL_CHOICE_ROWS, row_at(e, domain, right));
    }
    if (!texts && out->tokens) out->loss = loss / (double)out->tokens;
    return PAWL_OK;
}

pawl_status pawl_evaluate(pawl_evaluator *e, const pawl_pass *of, pawl_score *scores, int *stopped)
{
    *stopped = 0;
    for (int d = 0; d < pawl_data_domains(e->p->data, PAWL_HELD_OUT) && !*stopped; d++) {
        scores[d] = (pawl_score){0};
        PAWL_TRY(score_texts(e, of, d, &scores[d], stopped));
        if (!*stopped) PAWL_TRY(score_choices(e, of, d, &scores[d], stopped));
    }
    return PAWL_OK;
}

pawl_status pawl_evaluate_some(pawl_evaluator *e, const pawl_pass *of, const int *which, int64_t most, pawl_score *scores, int *stopped)
{
    pawl_status s = PAWL_OK;
    *stopped = 0;
    e->most = most;
    for (int d = 0; d < pawl_data_domains(e->p->data, PAWL_HELD_OUT) && s == PAWL_OK && !*stopped; d++) {
        if (!which[d]) continue;
        scores[d] = (pawl_score){0};
        s = score_texts(e, of, d, &scores[d], stopped);
    }
    e->most = 0;
    return s;
}

static void sum_soft(const pawl_evaluator *e, int domain, pawl_score *out)
{
    double kl = 0;
    out->kl_tokens = 0;
    for (int64_t i = 0; i < rows_of(e, domain); i++) {
        kl += e->results[i].soft;
        out->kl_tokens += e->results[i].soft_trained;
    }
    out->kl = out->kl_tokens ? kl / (double)out->kl_tokens : 0;
}

pawl_status pawl_evaluate_watched(pawl_evaluator *e, const pawl_pass *of, int64_t most, const pawl_slot_watch *watch,
                                  pawl_score *scores, int *stopped)
{
    pawl_status s = PAWL_OK;
    int stop = 0;
    e->most = most;
    e->watch = watch;
    e->through = !stopped;
    e->part = PAWL_HELD_OUT;
    for (int d = 0; d < pawl_data_domains(e->p->data, PAWL_HELD_OUT) && s == PAWL_OK && !stop; d++) {
        s = score_rows(e, of, d, &stop);
        if (s == PAWL_OK && !stop && scores) sum_soft(e, d, &scores[d]);
    }
    e->most = 0;
    e->watch = NULL;
    e->through = 0;
    if (stopped) *stopped = stop;
    return s;
}

void pawl_evaluator_tell(pawl_evaluator *e, json_t *to)
{
    e->told = to;
}

double pawl_score_perplexity(const pawl_score *s)
{
    return exp(s->loss);
}

double pawl_score_bits_per_byte(const pawl_score *s)
{
    return s->bytes ? s->loss * (double)s->tokens / (double)s->bytes / 0.69314718055994530942 : 0;
}

static double share(int64_t part, int64_t all)
{
    return all ? (double)part / (double)all : NAN;
}

double pawl_score_accuracy(const pawl_score *s)
{
    return share(s->right, s->questions);
}

double pawl_score_accuracy_norm(const pawl_score *s)
{
    return share(s->right_norm, s->questions);
}

static json_t *score_json(const pawl_score *s)
{
    json_t *o = json_pack("{s:o,s:o,s:o,s:I,s:I}", "loss", number(s->loss), "perplexity",
                          number(pawl_score_perplexity(s)), "bits_per_byte", number(pawl_score_bits_per_byte(s)),
                          "tokens", (json_int_t)s->tokens, "bytes", (json_int_t)s->bytes);
    json_t *chosen = s->questions
                         ? json_pack("{s:f,s:f,s:I,s:I,s:I}", "accuracy", pawl_score_accuracy(s), "accuracy_norm",
                                     pawl_score_accuracy_norm(s), "questions", (json_int_t)s->questions, "right",
                                     (json_int_t)s->right, "right_norm", (json_int_t)s->right_norm)
                         : NULL;
    if (chosen) json_object_update_new(o, chosen);
    if (s->kl_tokens)
        json_object_update_new(o, json_pack("{s:o,s:I}", "kl", number(s->kl), "kl_tokens", (json_int_t)s->kl_tokens));
    return o;
}

pawl_status pawl_scores_json(const pawl_data *d, const pawl_score *scores, json_t **out)
{
    json_t *all = json_object();
    for (int i = 0; i < pawl_data_domains(d, PAWL_HELD_OUT); i++)
        json_object_set_new(all, pawl_data_domain(d, PAWL_HELD_OUT, i), score_json(&scores[i]));
    PAWL_CHECK(all, PAWL_EMEM, "no memory for the scores");
    *out = all;
    return PAWL_OK;
}
