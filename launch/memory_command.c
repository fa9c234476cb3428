/* pawl memory: what a checkpoint's replay memory holds, where it came from, and taking a document or a file out of it. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/launch.h"

enum { ROW, DOMAIN_NAME, DOCUMENT, SOURCE, OUTPUT, JSON };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* "file.jsonl:12" */
static void print_place(const json_t *row)
{
    pawl_print_line(text_of(row, "source"));
    if (number_of(row, "line") > 0) printf(":%lld", number_of(row, "line"));
}

/* ---- list ---- */

static pawl_status list(const pawl_args *a)
{
    json_t *rows, *row;
    size_t i;
    PAWL_TRY(pawl_contents_list(a->words[1], a->option[DOMAIN_NAME], &rows));
    if (a->option[JSON]) return pawl_print_json(rows);
    printf("%6s  %-16s %7s %7s %4s  %-32s %5s  %-12s %s\n", "row", "domain", "tokens", "trained", "docs", "document", "chunk", "licence", "source");
    json_array_foreach(rows, i, row) {
        char licence[64];
        printf("%6lld  %-16s %7lld %7lld %4lld  %-32s %5lld  %-12s ", number_of(row, "row"), text_of(row, "domain"), number_of(row, "tokens"),
               number_of(row, "trained"), number_of(row, "segments"), text_of(row, "document"), number_of(row, "chunk"), pawl_shown(text_of(row, "license"), licence, sizeof licence));
        print_place(row);
        printf("\n");
    }
    json_decref(rows);
    return PAWL_OK;
}

/* ---- stats ---- */

static void print_licenses(const json_t *all)
{
    const json_t *license;
    size_t i;
    json_array_foreach(all, i, license) {
        printf("%s", i ? ", " : "  ");
        pawl_print_line(json_string_value(license));
    }
}

static pawl_status stats(const pawl_args *a)
{
    json_t *all, *item;
    size_t i;
    PAWL_TRY(pawl_contents_stats(a->words[1], &all));
    if (a->option[JSON]) return pawl_print_json(all);
    printf("%lld rows, %lld tokens (%lld trained), %lld documents\nmemory_sha256 %s\n\n", number_of(all, "rows"), number_of(all, "tokens"),
           number_of(all, "trained"), number_of(all, "documents"), text_of(all, "memory_sha256"));
    printf("%-24s %8s %10s %10s %10s  %s\n", "domain", "rows", "seen", "tokens", "documents", "licences");
    json_array_foreach(json_object_get(all, "domains"), i, item) {
        printf("%-24s %8lld %10lld %10lld %10lld", text_of(item, "domain"), number_of(item, "rows"), number_of(item, "seen"),
               number_of(item, "tokens"), number_of(item, "documents"));
        print_licenses(json_object_get(item, "licenses"));
        printf("\n");
    }
    json_array_foreach(json_object_get(all, "sources"), i, item) {
        printf("%s%-24s %s  ", i ? "" : "\n", text_of(item, "domain"), text_of(item, "sha256"));
        pawl_print_line(text_of(item, "name"));
        printf(", %lld segments%s, licence ", number_of(item, "segments"),
               json_is_true(json_object_get(item, "generated")) ? " that a model wrote" : "");
        pawl_print_line(text_of(item, "license")[0] ? text_of(item, "license") : "not stated");
        printf("\n");
    }
    json_decref(all);
    return PAWL_OK;
}

/* ---- show ---- */

static pawl_status decode(const pawl_tokenizer *t, const json_t *ids, json_int_t first, json_int_t end, pawl_text *out)
{
    int32_t *numbers;
    PAWL_TRY(pawl_alloc((void **)&numbers, (size_t)(end - first + 1) * sizeof *numbers, "a row"));
    for (json_int_t i = first; i < end; i++) numbers[i - first] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    pawl_text_add_bytes(out, "", 0);
    pawl_status s = pawl_decode(t, numbers, end - first, 0, out);
    pawl_free(numbers);
    return s == PAWL_OK ? pawl_text_status(out) : s;
}

/* Each document with its text, where the checkpoint's tokenizer is still there. */
static pawl_status add_texts(const char *path, const json_t *row)
{
    pawl_model_config model;
    pawl_tokenizer *t = NULL;
    char spec[1024];
    json_t *document;
    size_t i;
    if (pawl_describe_model(path, &model, spec) != PAWL_OK || pawl_tokenizer_open(spec, &t) != PAWL_OK) return PAWL_OK;
    pawl_status s = PAWL_OK;
    json_array_foreach(json_object_get(row, "documents"), i, document) {
        pawl_text text = {0}, clean = {0};
        if (s == PAWL_OK) s = decode(t, json_object_get(row, "ids"), number_of(document, "first"), number_of(document, "end"), &text);
        if (s == PAWL_OK) pawl_text_add_utf8(&clean, text.data, text.bytes);
        if (s == PAWL_OK) json_object_set_new(document, "text", json_stringn(clean.data ? clean.data : "", clean.bytes));
        pawl_text_close(&text);
        pawl_text_close(&clean);
    }
    pawl_tokenizer_close(t);
    return s;
}

static pawl_status show(const pawl_command *command, const pawl_args *a)
{
    json_t *row, *document;
    size_t i;
    int64_t number;
    PAWL_TRY(pawl_option_i64(command, a, ROW, 0, INT64_MAX, 0, &number));
    PAWL_TRY(pawl_contents_row(a->words[1], number, &row));
    const pawl_status s = add_texts(a->words[1], row);
    if (s == PAWL_OK && a->option[JSON]) return pawl_print_json(row);
    printf("row %lld of %s, key %s, %lld tokens (%lld trained)\n", number_of(row, "row"), text_of(row, "domain"), text_of(row, "key"),
           number_of(row, "tokens"), number_of(row, "trained"));
    json_array_foreach(json_object_get(row, "documents"), i, document) {
        printf("\ndocument %s, chunk %lld, tokens %lld to %lld, licence ", text_of(document, "document"), number_of(document, "chunk"),
               number_of(document, "first"), number_of(document, "end"));
        pawl_print_line(text_of(document, "license")[0] ? text_of(document, "license") : "not stated");
        printf(", ");
        print_place(document);
        printf("\n");
        pawl_print_text(text_of(document, "text"), strlen(text_of(document, "text")));
        printf("\n");
    }
    json_decref(row);
    return s;
}

/* ---- forget ---- */

static pawl_status forget(const pawl_args *a)
{
    char to[1024];
    json_t *report;
    const pawl_forget what = {.document = a->option[DOCUMENT], .source = a->option[SOURCE]};
    PAWL_CHECK(a->option[OUTPUT], PAWL_EUSAGE, "pawl memory forget: -o NEW_CKPT is missing: a new checkpoint is written, the old one stays");
    size_t n = strlen(a->option[OUTPUT]);
    while (n > 1 && a->option[OUTPUT][n - 1] == '/') n--;
    PAWL_CHECK(n > 0 && n < sizeof to, PAWL_EUSAGE, "pawl memory forget: expected a folder of 1 to %zu letters", sizeof to - 1);
    memcpy(to, a->option[OUTPUT], n);
    to[n] = 0;
    PAWL_TRY(pawl_contents_forget(a->words[1], &what, to, &report));
    json_object_set_new(report, "checkpoint", json_string(to));
    json_object_set_new(report, "old", json_string(a->words[1]));
    if (a->option[JSON]) return pawl_print_json(report);
    printf("%s: %lld segments (%lld tokens) of %s %s are forgotten; the memory had %lld rows and has %lld\n", to, number_of(report, "segments"),
           number_of(report, "tokens"), what.document ? "document" : "source", what.document ? what.document : what.source,
           number_of(report, "rows_before"), number_of(report, "rows_after"));
    printf("%s is left as it was and still holds them, as other checkpoints of its run may, and prepared data; remove them yourself.\n"
           "The weights have learnt from them.\n", a->words[1]);
    json_decref(report);
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    const char *verb = a->words[0];
    (void)c;
    (void)exit_status;
    if (strcmp(verb, "list") == 0) return list(a);
    if (strcmp(verb, "stats") == 0) return stats(a);
    if (strcmp(verb, "show") == 0) return show(&pawl_command_memory, a);
    if (strcmp(verb, "forget") == 0) return forget(a);
    return PAWL_FAIL(PAWL_EUSAGE, "pawl memory: expected list, stats, show or forget, found '%s'", verb);
}

const pawl_command pawl_command_memory = {
    .name = "memory",
    .usage = "list|stats|show|forget CKPT|RUN_DIR [--row N] [--domain NAME] [--document ID|--source DIGEST -o NEW_CKPT] [--json]",
    .summary = "what the replay memory of a checkpoint holds; take a document or a file out of it",
    .least = 2,
    .most = 2,
    .options = {{"--row", "N", "show: which row, from 0 (0)"},
                {"--domain", "NAME", "list: of this domain alone"},
                {"--document", "ID", "forget: a document, by the 32 digits that list shows or the 64 of its text's SHA-256"},
                {"--source", "DIGEST", "forget: all documents of a file, by the file's SHA-256"},
                {"-o", "NEW_CKPT", "forget: the checkpoint to write; the old one is left"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
