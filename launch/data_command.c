/* pawl data: what a run is going to learn, row by row, and what became of the files it is made from. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launch/launch.h"

enum { ROW, PART, JSON, STAGE };

typedef struct request {
    pawl_part part;
    int64_t row;
    int64_t stage;
    int as_json;
} request;

/* ---- show ---- */

/* Row N of those that are measured, domain after domain. */
static pawl_status find_measured(const pawl_data *d, pawl_part part, int64_t n, pawl_row *out)
{
    int64_t rows = 0;
    for (int i = 0; i < pawl_data_domains(d, part); rows += pawl_data_rows_of(d, part, i++)) {
        if (n >= rows + pawl_data_rows_of(d, part, i)) continue;
        *out = (pawl_row){.domain = i, .index = n - rows};
        return PAWL_OK;
    }
    return PAWL_FAIL(PAWL_EUSAGE, "there is no row %lld: %lld rows are %s", (long long)n, (long long)rows,
                     part == PAWL_HELD_OUT ? "held out" : "choices of questions");
}

static pawl_status find_row(const pawl_data *d, const request *r, pawl_row *out)
{
    if (r->part != PAWL_TRAIN) return find_measured(d, r->part, r->row, out);
    PAWL_CHECK(r->stage < pawl_data_mixtures(d), PAWL_EUSAGE, "--stage: there is no stage %lld: the run has %d, counted from 0", (long long)r->stage,
               pawl_data_mixtures(d));
    PAWL_CHECK(pawl_data_epoch_rows(d, (int)r->stage) > 0, PAWL_EUSAGE, "the run learns from no dataset; try --part held_out");
    *out = pawl_data_row_at(d, (int)r->stage, r->row);
    return PAWL_OK;
}

/* How trained text is told from what only stands before it. */
typedef struct marks {
    const char *trained, *end, *header, *header_end;
} marks;

static marks marks_here(void)
{
    const marks in_colour = {"\033[32m", "\033[0m", "\033[1m", "\033[0m"}, in_words = {"{+", "+}", "", ""};
    return isatty(STDOUT_FILENO) ? in_colour : in_words;
}

/* A row's ids, and which of them are trained, as arrays. */
typedef struct tokens {
    int32_t *ids;
    char *trained;
} tokens;

static pawl_status take_tokens(const json_t *row, tokens *out)
{
    const json_t *ids = json_object_get(row, "ids"), *labels = json_object_get(row, "labels");
    const size_t n = json_array_size(ids);
    PAWL_TRY(pawl_alloc((void **)&out->ids, (n + 1) * sizeof *out->ids, "a row"));
    PAWL_TRY(pawl_alloc((void **)&out->trained, n + 1, "a row"));
    for (size_t i = 0; i < n; i++) {
        out->ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
        out->trained[i] = json_integer_value(json_array_get(labels, i)) != PAWL_NOT_TRAINED;
    }
    return PAWL_OK;
}

/* Tokens [first, end), those of one kind together. */
static pawl_status print_tokens(const pawl_tokenizer *t, const tokens *k, int64_t first, int64_t end, const marks *m)
{
    for (int64_t next; first < end; first = next) {
        pawl_text text = {0};
        for (next = first + 1; next < end && k->trained[next] == k->trained[first];) next++;
        pawl_status s = pawl_decode(t, k->ids + first, next - first, 0, &text);
        if (s == PAWL_OK) s = pawl_text_status(&text);
        const int marked = k->trained[first];
        if (s == PAWL_OK && text.bytes) {
            printf("%s", marked ? m->trained : "");
            pawl_print_text(text.data, text.bytes);
            printf("%s", marked ? m->end : "");
        }
        pawl_text_close(&text);
        PAWL_TRY(s);
    }
    putchar('\n');
    return PAWL_OK;
}

static pawl_status print_documents(const pawl_tokenizer *t, const json_t *row, const tokens *k)
{
    const marks m = marks_here();
    size_t i;
    json_t *document;
    json_array_foreach(json_object_get(row, "documents"), i, document)
    {
        const int64_t first = json_integer_value(json_object_get(document, "first")),
                      end = json_integer_value(json_object_get(document, "end"));
        char source[1024];
        printf("%s== %s, %s: positions %lld to %lld, %lld trained%s\n", m.header,
               json_string_value(json_object_get(document, "domain")),
               pawl_shown(json_string_value(json_object_get(document, "source")), source, sizeof source), (long long)first, (long long)end - 1,
               (long long)json_integer_value(json_object_get(document, "trained")), m.header_end);
        PAWL_TRY(print_tokens(t, k, first, end, &m));
    }
    return PAWL_OK;
}

static pawl_status print_row(const pawl_tokenizer *t, const json_t *row)
{
    tokens k = {0};
    pawl_status s = take_tokens(row, &k);
    if (s == PAWL_OK) s = print_documents(t, row, &k);
    pawl_free(k.ids);
    pawl_free(k.trained);
    return s;
}

static pawl_status show(const pawl_opened *o, const request *r)
{
    pawl_row found;
    json_t *row;
    PAWL_TRY(find_row(o->data, r, &found));
    PAWL_TRY(pawl_row_json(o->data, r->part, found, &row));
    if (r->as_json) return pawl_print_json(row);
    const pawl_status s = print_row(o->tokenizer, row);
    json_decref(row);
    return s;
}

/* ---- report ---- */

static pawl_status report(const pawl_opened *o, const request *r)
{
    pawl_text text = {0};
    json_t *list;
    if (r->as_json) {
        PAWL_TRY(pawl_data_lineage(o->data, &list));
        return pawl_print_json(list);
    }
    pawl_data_report(o->data, &text);
    const pawl_status s = pawl_text_status(&text);
    if (s == PAWL_OK && text.data) pawl_print_text(text.data, text.bytes);
    pawl_text_close(&text);
    return s;
}

static const struct {
    const char *name;
    pawl_status (*run)(const pawl_opened *o, const request *r);
} verbs[] = {{"show", show}, {"report", report}};

static pawl_status find_verb(const pawl_args *a, int *verb)
{
    for (*verb = 0; *verb < (int)(sizeof verbs / sizeof *verbs); ++*verb)
        if (strcmp(verbs[*verb].name, a->words[0]) == 0) return PAWL_OK;
    return PAWL_FAIL(PAWL_EUSAGE, "pawl data: expected show or report, found '%s'", a->words[0]);
}

static pawl_status read_request(const pawl_args *a, int *verb, request *r)
{
    static const char *const parts[] = {
        [PAWL_TRAIN] = "train", [PAWL_HELD_OUT] = "held_out", [PAWL_CHOICE_ROWS] = "choices"};
    enum { PARTS = sizeof parts / sizeof *parts };
    const char *part = a->option[PART] ? a->option[PART] : parts[PAWL_TRAIN];
    int at = 0;
    PAWL_TRY(find_verb(a, verb));
    PAWL_TRY(pawl_option_i64(&pawl_command_data, a, ROW, 0, (int64_t)1 << 60, 0, &r->row));
    PAWL_TRY(pawl_option_i64(&pawl_command_data, a, STAGE, 0, PAWL_STAGES_MAX, 0, &r->stage));
    while (at < PARTS && strcmp(part, parts[at]) != 0) at++;
    PAWL_CHECK(at < PARTS, PAWL_EUSAGE, "--part: expected train, held_out or choices, found '%s'", part);
    r->part = (pawl_part)at;
    r->as_json = a->option[JSON] != NULL;
    return PAWL_OK;
}

static pawl_status run_opened(pawl_comm *c, const pawl_args *a, const request *r, int verb, pawl_opened *o,
                              int *exit_status)
{
    int stopped = 0;
    PAWL_TRY(pawl_open_config(c, a->words[1], (char *const *)(a->words + 2), a->word_count - 2, o));
    PAWL_TRY(pawl_open_data(c, o, &stopped));
    if (stopped) *exit_status = PAWL_EXIT_AGAIN;
    return pawl_agree(c, stopped || c->rank > 0 ? PAWL_OK : verbs[verb].run(o, r));
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    request r;
    int verb;
    pawl_opened *o = NULL;
    PAWL_TRY(pawl_agree(c, read_request(a, &verb, &r)));
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&o, sizeof *o, "the run")));
    const pawl_status s = run_opened(c, a, &r, verb, o, exit_status);
    pawl_close_run(o);
    pawl_free(o);
    return s;
}

static void more_help(pawl_text *out)
{
    pawl_text_add(
        out,
        "\nshow prints a row as the run trains it. Row N is the N-th of the run's own order, from 0: step t (from 0)\n"
        "trains rows t x global_batch_size and on. With --part held_out it is the N-th that is measured,\n"
        "with --part choices the N-th choice of a question, which is trained nowhere: what is scored is marked.\n"
        "labels: the id where a token is predicted and trained, else -100, in the place of the token itself, as\n"
        "Hugging Face has them before its shift; the first token of a document, and of each piece of one that was\n"
        "cut, is predicted by none. For people the text is shown, what is trained in green or between {+ and +}.\n"
        "report prints what became of the files: rows read and left out, tokens, rows, duplicates.\n"
        "Under mpirun all ranks prepare what is not prepared yet.\n");
}

const pawl_command pawl_command_data = {
    .name = "data",
    .usage = "show|report RUN.yaml [--row N] [--part train|held_out|choices] [--stage N] [--json] [key=value ...]",
    .summary = "what a run learns: a prepared row with its labels, or what became of the files",
    .on_ranks = 1,
    .least = 2,
    .most = PAWL_WORDS_MAX,
    .options = {{"--row", "N", "which row (0)"},
                {"--part", "PART", "train, held_out or choices (train)"},
                {"--json", NULL, "one JSON document"},
                {"--stage", "N", "rows of that stage of the run, from 0"}},
    .run = run,
    .more_help = more_help,
};
