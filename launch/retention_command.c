/* pawl retention: how much a run has kept of what it learnt, and the same figures of a matrix in a file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch/launch.h"

enum { MATRIX, BY, REFERENCE, CSV, JSON };
#define MEASURES "loss, perplexity, bits_per_byte, accuracy, accuracy_norm or kl"

/* ---- for people ---- */

static int coloured(void)
{
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(none && none[0]) && !(term && strcmp(term, "dumb") == 0);
}

static double cell(const pawl_retention *r, int i, int j)
{
    return r->R[(size_t)i * (size_t)r->columns + (size_t)j];
}

/* A value's colour says how it compares with that just after its domain was learnt: as good or better, or worse by up
 * to 2 %, 10 % or more of it. Before that it is dim. */
static const char *colour_of(const pawl_retention *r, int i, int j)
{
    static const struct {
        double share;
        const char *code;
    } shades[] = {{0, "\033[32m"}, {0.02, "\033[33m"}, {0.1, "\033[31m"}, {INFINITY, "\033[1;31m"}};
    const int l = pawl_retention_from(r, j);
    if (l < 0 || i < l) return "\033[2m";
    if (i == l) return "\033[1m";
    const double then = cell(r, l, j),
                 lost = (r->higher_is_better ? then - cell(r, i, j) : cell(r, i, j) - then) / fabs(then);
    for (size_t k = 0; k < sizeof shades / sizeof *shades; k++)
        if (lost <= shades[k].share) return shades[k].code;
    return "";
}

static void print_row(const pawl_retention *r, int i, const char *name, int colour)
{
    printf("%-20.20s", name);
    for (int j = 0; j < r->columns; j++) {
        const double x = cell(r, i, j);
        if (isnan(x))
            printf(" %14s", "-");
        else
            printf(" %s%14.4f%s", colour ? colour_of(r, i, j) : "", x, colour ? "\033[0m" : "");
    }
    printf("\n");
}

static void print_learnt(const pawl_retention *r)
{
    printf("%-20s", "learnt in stage");
    for (int j = 0; j < r->columns; j++) {
        if (r->learnt[j] < 0)
            printf(" %14s", "-");
        else if (r->learnt[j] == 0)
            printf(" %14s", "known");
        else
            printf(" %14d", r->learnt[j]);
    }
    printf("\n");
}

static void print_figures(const pawl_retention *r)
{
    const pawl_retention_figures f = pawl_retention_of(r);
    const char *worst = f.worst >= 0 ? r->names[f.worst] : NULL;
    const struct {
        const char *name;
        double value;
        const char *says;
    } rows[] = {
        {"ACC", f.ACC, "mean in the end"},
        {"LA", f.LA, "mean just after learning"},
        {"AAA", f.AAA, "mean on the way"},
        {"BWT", f.BWT, "backward transfer (Lopez-Paz: over the domains before the last)"},
        {"BWT_final", f.BWT_final, "backward transfer (TRACE: over all domains)"},
        {"FWT", f.FWT, "forward transfer: just before learning, against the start"},
        {"forgetting_mean", f.forgetting_mean, "below the best so far (Chaudhry)"},
        {"forgetting_worst", f.forgetting_worst, worst ? worst : ""},
        {"intransigence", f.intransigence, "what learning stayed behind the reference"},
    };
    printf("\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (isnan(rows[i].value))
            printf("%-20s %14s\n", rows[i].name, "-");
        else
            printf("%-20s %14.4f  %s\n", rows[i].name, rows[i].value, rows[i].says);
    }
}

/* stages: names of rows; NULL: numbers. */
static void print_matrix(const pawl_retention *r, const char *measure, const json_t *stages)
{
    const int colour = coloured();
    char name[32];
    printf("%-20s", measure);
    for (int j = 0; j < r->columns; j++) printf(" %14.14s", r->names[j]);
    printf("\n");
    print_learnt(r);
    print_row(r, 0, "before", colour);
    for (int i = 1; i <= r->stages; i++) {
        const char *stage = json_string_value(json_array_get(stages, (size_t)i - 1));
        snprintf(name, sizeof name, "after %.24s", stage ? stage : "");
        if (!stage) snprintf(name, sizeof name, "after %d", i);
        print_row(r, i, name, colour);
    }
}

static void print_gaps(const json_t *gaps)
{
    const char *domain;
    json_t *g;
    int first = 1;
    json_object_foreach((json_t *)(uintptr_t)gaps, domain, g)
    {
        if (json_number_value(json_object_get(g, "gap")) <= 0) continue;
        if (first) printf("\n%-20s %14s %14s %14s %14s\n", "stability gap", "peak", "worst", "final", "recovered");
        first = 0;
        printf("%-20.20s %14.4f %14.4f %14.4f %13.0f%%  worst at step %lld, stage %s\n", domain,
               json_number_value(json_object_get(g, "peak")), json_number_value(json_object_get(g, "worst")),
               json_number_value(json_object_get(g, "final")), 100 * json_number_value(json_object_get(g, "recovered")),
               (long long)json_integer_value(json_object_get(g, "worst_step")),
               json_string_value(json_object_get(g, "worst_stage")));
    }
}

/* ---- CSV: a line a value ---- */

/* Quoted where it must be (RFC 4180). */
static void print_quoted(const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv_line(const char *kind, const char *measure, const char *stage, const char *domain, double x)
{
    char number[32];
    if (!isfinite(x)) return;
    pawl_format_f64(x, number);
    printf("%s,%s,", kind, measure);
    print_quoted(stage);
    putchar(',');
    print_quoted(domain);
    printf(",%s\n", number);
}

static pawl_status print_csv(const pawl_retention *r, const char *measure, const json_t *stages)
{
    json_t *all, *value;
    const char *key;
    char name[32];
    PAWL_TRY(pawl_retention_json(r, &all));
    for (int i = 0; i <= r->stages; i++) {
        const char *stage = i == 0 ? "before" : json_string_value(json_array_get(stages, (size_t)i - 1));
        snprintf(name, sizeof name, "%d", i);
        for (int j = 0; j < r->columns; j++)
            print_csv_line("R", measure, stage ? stage : name, r->names[j], cell(r, i, j));
    }
    json_object_foreach(all, key, value) if (json_is_real(value))
        print_csv_line(key, measure, "", "", json_number_value(value));
    json_decref(all);
    return PAWL_OK;
}

/* ---- a file ---- */

static pawl_status of_matrix(const pawl_args *a)
{
    pawl_retention r;
    json_t *all;
    pawl_status s;
    PAWL_TRY(pawl_retention_read(a->option[MATRIX], &r));
    if (a->option[JSON]) {
        s = pawl_retention_json(&r, &all);
        if (s == PAWL_OK) s = pawl_print_json(all);
    } else if (a->option[CSV]) {
        printf("kind,measure,stage,domain,value\n");
        s = print_csv(&r, "R", NULL);
    } else {
        print_matrix(&r, "R", NULL);
        print_figures(&r);
        s = PAWL_OK;
    }
    pawl_retention_close(&r);
    return s;
}

/* ---- a run ---- */

static pawl_status lineage_of(const char *path, json_t **out)
{
    json_t *k;
    PAWL_TRY(pawl_show(path, &k));
    *out = json_incref(json_object_get(k, "lineage"));
    json_decref(k);
    PAWL_CHECK(json_is_object(*out), PAWL_EDATA, "%s: expected a checkpoint with a lineage", path);
    return PAWL_OK;
}

/* What another run ended with on the same domains: domains learnt alone, or all at once. */
static pawl_status set_reference(const char *path, const char *measure, pawl_retention *r)
{
    json_t *lineage;
    pawl_retention other;
    PAWL_TRY(lineage_of(path, &lineage));
    const pawl_status s = pawl_retention_of_lineage(lineage, measure, path, &other);
    json_decref(lineage);
    if (s != PAWL_OK) return s;
    for (int j = 0; j < r->columns; j++)
        for (int k = 0; k < other.columns; k++)
            if (strcmp(r->names[j], other.names[k]) == 0) r->reference[j] = cell(&other, other.stages, k);
    pawl_retention_close(&other);
    return PAWL_OK;
}

static pawl_status matrix_by(const pawl_args *a, const json_t *lineage, const char *measure, pawl_retention *r)
{
    PAWL_TRY(pawl_retention_of_lineage(lineage, measure, a->words[0], r));
    const pawl_status s = a->option[REFERENCE] ? set_reference(a->option[REFERENCE], measure, r) : PAWL_OK;
    if (s != PAWL_OK) pawl_retention_close(r);
    return s;
}

/* The figures of one measure at the top, those of all below. */
static pawl_status run_json(const pawl_args *a, const json_t *lineage, const char *measure)
{
    json_t *top = NULL, *all = json_object(), *one, *gaps;
    for (const pawl_measure *m = pawl_measures; m->name; m++) {
        pawl_retention r;
        if (!pawl_retention_measured(lineage, m->name)) continue;
        PAWL_TRY(matrix_by(a, lineage, m->name, &r));
        const pawl_status s = pawl_retention_json(&r, &one);
        pawl_retention_close(&r);
        if (s != PAWL_OK) return s;
        json_object_set_new(all, m->name, one);
        if (strcmp(m->name, measure) == 0) top = json_copy(one);
    }
    PAWL_TRY(pawl_retention_gaps(lineage, "loss", &gaps));
    json_object_set_new(top, "measure", json_string(measure));
    json_object_set_new(top, "stages", pawl_retention_stages(lineage));
    json_object_set_new(top, "measures", all);
    json_object_set_new(top, "stability", gaps);
    if (pawl_gate_last(lineage)) json_object_set(top, "gate", pawl_gate_last(lineage));
    return pawl_print_json(top);
}

static pawl_status run_csv(const pawl_args *a, const json_t *lineage)
{
    json_t *stages = pawl_retention_stages(lineage);
    pawl_status s = PAWL_OK;
    printf("kind,measure,stage,domain,value\n");
    for (const pawl_measure *m = pawl_measures; m->name && s == PAWL_OK; m++) {
        pawl_retention r;
        if (!pawl_retention_measured(lineage, m->name)) continue;
        s = matrix_by(a, lineage, m->name, &r);
        if (s != PAWL_OK) break;
        s = print_csv(&r, m->name, stages);
        pawl_retention_close(&r);
    }
    json_decref(stages);
    return s;
}

/* Cells that are left out of the matrix because they would not compare. */
static void print_other_texts(const json_t *lineage)
{
    json_t *domains = pawl_retention_other_texts(lineage), *domain;
    size_t i;
    json_array_foreach(domains, i, domain) printf("%s%s", i ? ", " : "\nmeasured on other texts by the newest run, so that what was found before is left out: ",
                                                  json_string_value(domain));
    if (json_array_size(domains)) printf("\n");
    json_decref(domains);
}

/* How far every domain has gone from what the run began with, below the matrix of another measure. */
static pawl_status print_drift(const pawl_args *a, const json_t *lineage, const json_t *stages)
{
    pawl_retention r;
    if (!pawl_retention_measured(lineage, "kl")) return PAWL_OK;
    PAWL_TRY(pawl_retention_of_lineage(lineage, "kl", a->words[0], &r));
    printf("\n");
    print_matrix(&r, "kl (start || model)", stages);
    pawl_retention_close(&r);
    return PAWL_OK;
}

static pawl_status run_table(const pawl_args *a, const json_t *lineage, const char *measure)
{
    pawl_retention r;
    json_t *gaps, *stages = pawl_retention_stages(lineage);
    pawl_status s = matrix_by(a, lineage, measure, &r);
    if (s == PAWL_OK) {
        print_matrix(&r, measure, stages);
        print_figures(&r);
        print_other_texts(lineage);
        pawl_retention_close(&r);
        s = pawl_retention_gaps(lineage, "loss", &gaps);
    }
    if (s == PAWL_OK) {
        print_gaps(gaps);
        json_decref(gaps);
        if (strcmp(measure, "kl") != 0) s = print_drift(a, lineage, stages);
    }
    json_decref(stages);
    return s;
}

static pawl_status of_run(const pawl_args *a)
{
    const char *by = a->option[BY] ? a->option[BY] : pawl_measures[0].name;
    json_t *lineage;
    PAWL_CHECK(pawl_measure_named(by), PAWL_EUSAGE, "pawl retention: --by: expected " MEASURES ", found '%s'", by);
    PAWL_TRY(lineage_of(a->words[0], &lineage));
    pawl_status s = PAWL_OK;
    if (!pawl_retention_measured(lineage, by))
        s = PAWL_FAIL(PAWL_EDATA,
                      "%s: there is no evaluation by %s in its lineage: a run measures what val_set_size holds out, "
                      "and test_datasets",
                      a->words[0], by);
    else
        s = a->option[JSON]  ? run_json(a, lineage, by)
            : a->option[CSV] ? run_csv(a, lineage)
                             : run_table(a, lineage, by);
    json_decref(lineage);
    return s;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    (void)c;
    (void)exit_status;
    PAWL_CHECK((a->word_count == 1) != (a->option[MATRIX] != NULL), PAWL_EUSAGE,
               "pawl retention: expected a run or --matrix FILE.json, and not both");
    PAWL_CHECK(!a->option[JSON] || !a->option[CSV], PAWL_EUSAGE,
               "pawl retention: --json and --csv are two forms: choose one");
    return a->option[MATRIX] ? of_matrix(a) : of_run(a);
}

const pawl_command pawl_command_retention = {
    .name = "retention",
    .usage = "RUN_DIR|CKPT|--matrix FILE.json [--by MEASURE] [--reference RUN] [--json|--csv]",
    .summary = "what was kept of what was learnt: the retention matrix and its figures",
    .least = 0,
    .most = 1,
    .options = {{"--matrix", "FILE.json",
                 "{\"R\": [[...]], \"before\": [...] or null, \"higher_is_better\": bool} in place of a run"},
                {"--by", "MEASURE", MEASURES " (loss)"},
                {"--reference", "RUN", "a run that learnt the domains alone or jointly: for the intransigence"},
                {"--csv", NULL, "a line for each value: kind,measure,stage,domain,value"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
