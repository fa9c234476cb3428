#include "data/chat/turns.h"

#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "data/sample.h"
#include "data/chat/words.h"

/* Bytes of one message that no other message's interrupt. */
typedef struct run {
    int64_t first, end; /* what the message says */
    int64_t before,
        next; /* where the run before ends and the next one begins: between them and this one is the template's */
    int64_t stop_first, stop_end; /* the token that ends the turn; equal: none */
    int32_t message;
    int is_quote; /* the message's turn has ended before: the template says something of it again */
} run;

/* What is known of a message. */
typedef struct said {
    int64_t run; /* the first of it among the pieces' runs; -1: nothing of it stands in the text */
    int is_over; /* its turn has ended: what stands behind is a quote */
} said;

/* Empty messages that stand before a run, the last one first. */
typedef struct gap {
    int64_t first, count;
} gap;

typedef struct turns {
    const pawl_chat_template *template;
    const pawl_jinja_output *output;
    const json_t *messages;
    const int8_t *learns;
    run *runs;
    said *said; /* [messages] */
    run *empties;
    gap *gaps; /* [count + 1] */
    int64_t count;
    int64_t last_stop; /* the run with the conversation's last end of a turn; -1 */
} turns;

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int is_assistant(const turns *t, int32_t message)
{
    const char *role = json_string_value(json_object_get(json_array_get(t->messages, (size_t)message), "role"));
    return role && strcmp(role, "assistant") == 0;
}

/* Behind the last place of the first n bytes of the generation prompt in [from, to); -1: they do not stand there. */
static int64_t behind_prompt(const turns *t, size_t n, int64_t from, int64_t to)
{
    const char *text = t->output->text.data, *prompt = t->template->generation_prompt;
    for (int64_t at = to - (int64_t)n; n && at >= from; at--)
        if (memcmp(text + at, prompt, n) == 0) return at + (int64_t)n;
    return -1;
}

/* The assistant writes all that stands behind the generation prompt, or behind its first line: a template may prompt
 * for thoughts and write an answer that has none. */
static int64_t answer_begins(const turns *t, int64_t from, int64_t to)
{
    const char *prompt = t->template->generation_prompt, *newline = strchr(prompt, '\n');
    const int64_t at = behind_prompt(t, strlen(prompt), from, to);
    return at >= 0 || !newline ? at : behind_prompt(t, (size_t)(newline + 1 - prompt), from, to);
}

/* An assistant's message of which nothing stands in the text, because there is nothing in it: where its turn stands,
 * between run `at` and what is in front of it. 0: nowhere. */
static int place_empty(turns *t, int64_t at, int32_t message, run *out)
{
    const gap *g = &t->gaps[at];
    const int64_t from = at > 0 ? t->runs[at - 1].end : 0;
    const int64_t behind = at < t->count ? t->runs[at].first : (int64_t)t->output->text.bytes;
    const int64_t begins = answer_begins(t, from, g->count > 0 ? t->empties[g->first + g->count - 1].first : behind);
    if (begins < 0) return 0;
    *out = (run){.first = begins, .end = begins, .message = message};
    return 1;
}

/* Runs and the empties of their gaps in the order of the text: from the end, so that none is overwritten. */
static void merge_empties(turns *t, int64_t count)
{
    int64_t to = t->count + count;
    for (int64_t at = t->count; at >= 0; at--) {
        const gap *g = &t->gaps[at];
        for (int64_t k = 0; k < g->count; k++) t->runs[--to] = t->empties[g->first + k];
        if (at > 0) t->runs[--to] = t->runs[at - 1];
    }
    t->count += count;
}

static void add_empties(turns *t)
{
    int64_t at = 0, count = 0;
    int is_full = 0; /* another prompt stands not in the gap */
    for (int32_t i = 0; i < (int32_t)json_array_size(t->messages); i++) {
        if (t->said[i].run >= 0) {
            at = t->said[i].run + 1;
            t->gaps[at].first = count;
            is_full = 0;
        } else if (!is_full && is_assistant(t, i)) {
            is_full = !place_empty(t, at, i, &t->empties[count]);
            if (is_full) continue;
            t->said[i].run = at;
            t->gaps[at].count++;
            count++;
        }
    }
    if (count > 0) merge_empties(t, count);
}

/* Whether a turn ends in [from, to). */
static int ends_between(const turns *t, int64_t from, int64_t to)
{
    return to > from && pawl_words_first(&t->template->ends, t->output->text.data, (size_t)from, (size_t)to, NULL);
}

static void gather_runs(turns *t)
{
    for (int64_t i = 0; i < t->output->count; i++) {
        const pawl_jinja_piece p = t->output->pieces[i];
        run *last = t->count ? &t->runs[t->count - 1] : NULL;
        if (p.source < 0) continue;
        if (last && last->message == p.source && !ends_between(t, last->end, p.first)) {
            last->end = larger(last->end, p.end);
        } else if (!last || p.end > last->end || p.first >= last->end) { /* else inside another message's words */
            const int64_t first = last ? larger(last->end, p.first) : p.first;
            if (t->said[p.source].run < 0) t->said[p.source].run = t->count;
            t->runs[t->count++] = (run){.first = first, .end = larger(first, p.end), .message = p.source};
        }
    }
}

static void find_stop(const turns *t, run *r)
{
    size_t at;
    const char *word =
        pawl_words_first(&t->template->specials, t->output->text.data, (size_t)r->end, (size_t)r->next, &at);
    r->stop_first = r->stop_end = r->end;
    if (!word || !pawl_words_have(&t->template->ends, word)) return;
    r->stop_first = (int64_t)at;
    r->stop_end = (int64_t)(at + strlen(word));
}

static void complete_runs(turns *t)
{
    t->last_stop = -1;
    for (int64_t i = 0; i < t->count; i++) {
        run *r = &t->runs[i];
        r->before = i > 0 ? t->runs[i - 1].end : 0;
        r->next = i + 1 < t->count ? t->runs[i + 1].first : (int64_t)t->output->text.bytes;
        find_stop(t, r);
        const int64_t begins = is_assistant(t, r->message) ? answer_begins(t, r->before, r->first) : -1;
        if (begins >= 0) r->first = begins;
        r->is_quote = begins < 0 && t->said[r->message].is_over; /* else the assistant goes on in a turn of its own */
        if (r->is_quote || r->stop_end == r->stop_first) continue;
        t->last_stop = i;
        t->said[r->message].is_over = 1;
    }
}

static int stop_is_learnt(const turns *t, int64_t i, pawl_train_on ends)
{
    if (ends == PAWL_TRAIN_ON_ALL) return 1;
    if (ends == PAWL_TRAIN_ON_LAST) return i == t->last_stop;
    return ends == PAWL_TRAIN_ON_TURN && t->learns[t->runs[i].message];
}

/* ---- Generation blocks ---- */

static int is_empty_at(const turns *t, int64_t i, int64_t place)
{
    return t->runs[i].first == place && t->runs[i].end == place && !is_assistant(t, t->runs[i].message);
}

/* The runs inside block b: the first of them, and behind the last. */
static void runs_inside(const turns *t, pawl_jinja_piece b, int64_t *first, int64_t *end)
{
    int64_t low = 0, high = t->count; /* runs end in order */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (t->runs[middle].end < b.first)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    while (*first < t->count && t->runs[*first].end == b.first && t->runs[*first].first < b.first) (*first)++;
    *end = *first;
    while (*end < t->count && t->runs[*end].first <= b.end && t->runs[*end].end <= b.end) (*end)++;
    while (*end - *first > 1 && is_empty_at(t, *end - 1, b.end)) --*end; /* what follows the block, and says nothing */
}

/* A block is learnt unless its message is not; without an end of turn it stops at the message's last byte. */
static pawl_status train_block(const turns *t, pawl_jinja_piece b, pawl_train_on ends, pawl_sample *s)
{
    int64_t first, end, to = b.end;
    runs_inside(t, b, &first, &end);
    if (end > first) {
        const run *r = &t->runs[end - 1];
        const int learnt = t->learns[r->message] != 0, stop = stop_is_learnt(t, end - 1, ends);
        if (!learnt && !(stop && ends == PAWL_TRAIN_ON_ALL)) return PAWL_OK;
        if (!learnt) return pawl_sample_train(s, r->stop_first, r->stop_end);
        if (!stop && r->stop_end > r->stop_first) to = r->end;
    }
    return to > b.first ? pawl_sample_train(s, b.first, to) : PAWL_OK;
}

/* ---- Messages of which nothing stands in the text ---- */

static int says_something(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    return json_string_length(content) > 0 || json_array_size(content) > 0 || json_object_get(message, "tool_calls");
}

/* What is to be learnt must not be left out silently. */
static pawl_status check_written(const turns *t)
{
    const int64_t n = (int64_t)json_array_size(t->messages);
    for (int64_t i = 0; i < n; i++) {
        PAWL_CHECK(t->said[i].run >= 0 || t->learns[i] <= 0 || !says_something(json_array_get(t->messages, (size_t)i)),
                   PAWL_EDATA, "messages[%lld] is to be learnt, and the chat template writes nothing of it",
                   (long long)i);
    }
    return PAWL_OK;
}

/* ---- All ---- */

static pawl_status train_run(const turns *t, int64_t i, pawl_train_on ends, pawl_sample *s)
{
    const run *r = &t->runs[i];
    const int learnt = t->learns[r->message] != 0 && !r->is_quote;
    const int stop = r->stop_end > r->stop_first && !r->is_quote && stop_is_learnt(t, i, ends);
    if (learnt && stop) return pawl_sample_train(s, r->first, r->stop_end);
    if (stop) return pawl_sample_train(s, r->stop_first, r->stop_end);
    return learnt && r->end > r->first ? pawl_sample_train(s, r->first, r->end) : PAWL_OK;
}

static pawl_status train_all(turns *t, pawl_train_on ends, pawl_sample *s)
{
    const int blocks = pawl_jinja_has_generation(t->template->jinja);
    int64_t i = 0, done = -1;
    for (int64_t k = 0; k <= t->output->count; k++) {
        const pawl_jinja_piece *b = k < t->output->count ? &t->output->pieces[k] : NULL;
        if (b && b->source != PAWL_JINJA_GENERATION) continue;
        for (; i < t->count && (!b || t->runs[i].first < b->first); i++)
            if (!blocks || !is_assistant(t, t->runs[i].message)) PAWL_TRY(train_run(t, i, ends, s));
        if (b && b->end > done) PAWL_TRY(train_block(t, *b, ends, s)); /* a block in a block adds nothing */
        if (b) done = larger(done, b->end);
    }
    return PAWL_OK;
}

static pawl_status turns_open(turns *t)
{
    const size_t messages = json_array_size(t->messages), runs = (size_t)t->output->count + messages + 1;
    PAWL_TRY(pawl_alloc((void **)&t->runs, runs * sizeof *t->runs, "the turns of a conversation"));
    PAWL_TRY(pawl_alloc((void **)&t->gaps, runs * sizeof *t->gaps, "the turns of a conversation"));
    PAWL_TRY(pawl_alloc((void **)&t->empties, (messages + 1) * sizeof *t->empties, "the turns of a conversation"));
    PAWL_TRY(pawl_alloc((void **)&t->said, (messages + 1) * sizeof *t->said, "the messages of a conversation"));
    for (size_t i = 0; i < messages; i++) t->said[i].run = -1;
    return PAWL_OK;
}

static void turns_close(turns *t)
{
    pawl_free(t->said);
    pawl_free(t->empties);
    pawl_free(t->gaps);
    pawl_free(t->runs);
}

pawl_status pawl_turns_train(const pawl_chat_template *c, const pawl_jinja_output *o, const json_t *messages,
                             const int8_t *learns, pawl_train_on ends, pawl_sample *s)
{
    turns t = {.template = c, .output = o, .messages = messages, .learns = learns};
    pawl_status status = PAWL_OK;
    pawl_sample_reset(s, PAWL_WITHOUT_SPECIALS, 0);
    PAWL_TRY(pawl_sample_add(s, o->text.data ? o->text.data : "", o->text.bytes, 0));
    PAWL_TRY_OUT(turns_open(&t));
    gather_runs(&t);
    add_empties(&t);
    complete_runs(&t);
    PAWL_TRY_OUT(check_written(&t));
    PAWL_TRY_OUT(train_all(&t, ends, s));
out:
    turns_close(&t);
    return status;
}
