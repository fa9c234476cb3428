/* What is known of a run: its metrics line by line, and its newest checkpoint. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoints/checkpoints.h"
#include "core/arena.h"
#include "core/file.h"
#include "launch/report/report.h"
#include "trainer/trainer.h"

#define NAME(name) #name,
static const char *const column_names[] = {PAWL_REPORT_COLUMNS(NAME)};

const char *pawl_word_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double pawl_number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const json_t *pawl_report_lineage(const pawl_report_run *r)
{
    return json_object_get(r->checkpoint, "lineage");
}

const json_t *pawl_report_event(const pawl_report_run *r, const char *event)
{
    for (size_t i = json_array_size(r->events); i-- > 0;) {
        const json_t *line = json_array_get(r->events, i);
        if (strcmp(pawl_word_of(line, "event"), event) == 0) return line;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double pawl_report_median(const double *values, int64_t count)
{
    double *sorted, median = NAN;
    int64_t n = 0;
    if (count == 0 || pawl_alloc((void **)&sorted, (size_t)count * sizeof *sorted, "figures") != PAWL_OK) return NAN;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) sorted[n++] = values[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    if (n) median = n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
    pawl_free(sorted);
    return median;
}

/* ---- metrics.jsonl ---- */

/* A stage goes from the step before its first line to the step of its last. */
static void add_stage(pawl_report_run *r, const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "stage"));
    const json_int_t step = json_integer_value(json_object_get(line, "step"));
    json_t *last = json_array_get(r->stages, json_array_size(r->stages) - 1);
    if (!name) return;
    if (!last || strcmp(pawl_word_of(last, "name"), name) != 0) {
        last = json_pack("{s:s,s:I}", "name", name, "first_step", step - 1);
        json_array_append_new(r->stages, last);
    }
    json_object_set_new(last, "end_step", json_integer(step));
}

static void add_step(pawl_report_run *r, const json_t *line)
{
    for (int c = 0; c < PAWL_COLUMNS; c++) r->column[c][r->steps] = pawl_number_of(line, column_names[c]);
    if (!isfinite(r->column[PAWL_COLUMN_step][r->steps])) return;
    add_stage(r, line);
    r->steps++;
}

static void add_line(pawl_report_run *r, const char *text, size_t bytes)
{
    json_t *line = json_loadb(text, bytes, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(line))
        r->unreadable++;
    else if (json_is_object(json_object_get(line, "eval")))
        json_array_append(r->evals, line);
    else if (json_is_string(json_object_get(line, "event")))
        json_array_append(r->events, line);
    else if (!json_is_object(json_object_get(line, "probe"))) /* probes are in the lineage: the stability gap is of them */
        add_step(r, line);
    json_decref(line);
}

static pawl_status take_columns(pawl_report_run *r, const char *text)
{
    size_t lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) lines++;
    for (int c = 0; c < PAWL_COLUMNS; c++)
        PAWL_TRY(pawl_alloc((void **)&r->column[c], lines * sizeof(double), "metrics"));
    return PAWL_OK;
}

/* The last line may be half of one, while a run is under way. */
static pawl_status read_metrics(pawl_report_run *r, const char *path)
{
    char *text;
    size_t bytes;
    PAWL_TRY(pawl_file_read(path, SIZE_MAX / 4, &text, &bytes));
    const pawl_status s = take_columns(r, text);
    for (const char *at = text, *end; s == PAWL_OK && (end = memchr(at, '\n', bytes - (size_t)(at - text))) != NULL;
         at = end + 1)
        if (end > at) add_line(r, at, (size_t)(end - at));
    pawl_free(text);
    return s;
}

static pawl_status collect_evals(pawl_report_run *r)
{
    const size_t count = json_array_size(r->evals);
    json_t *seen = json_object(), *line;
    const char *domain;
    json_t *loss;
    size_t i;
    json_array_foreach(r->evals, i, line) json_object_foreach(json_object_get(line, "eval"), domain, loss)
    {
        if (json_object_get(seen, domain)) continue;
        json_object_set_new(seen, domain, json_true());
        json_array_append_new(r->domains, json_string(domain));
    }
    json_decref(seen);
    const size_t domains = json_array_size(r->domains);
    if (count == 0 || domains == 0) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&r->eval_step, count * sizeof(double), "evaluations"));
    PAWL_TRY(pawl_alloc((void **)&r->eval_loss, domains * sizeof(double *), "evaluations"));
    for (size_t d = 0; d < domains; d++)
        PAWL_TRY(pawl_alloc((void **)&r->eval_loss[d], count * sizeof(double), "evaluations"));
    json_array_foreach(r->evals, i, line)
    {
        r->eval_step[i] = pawl_number_of(line, "step");
        for (size_t d = 0; d < domains; d++)
            r->eval_loss[d][i] =
                pawl_number_of(json_object_get(line, "eval"), json_string_value(json_array_get(r->domains, d)));
    }
    return PAWL_OK;
}

/* ---- the newest checkpoint ---- */

static void read_checkpoint(pawl_report_run *r)
{
    char path[1300] = "";
    int64_t lost;
    if (pawl_checkpoint_find(r->dir, 1, path, sizeof path, &lost) != PAWL_OK) {
        snprintf(r->trouble, sizeof r->trouble, "%.500s", pawl_last_error()->what);
        return;
    }
    if (!path[0]) return;
    if (pawl_show(path, &r->checkpoint) != PAWL_OK) {
        r->checkpoint = NULL;
        snprintf(r->trouble, sizeof r->trouble, "%.500s", pawl_last_error()->what);
        return;
    }
    if (pawl_log_of(r->dir, &r->checkpoints) != PAWL_OK) r->checkpoints = NULL;
    if (pawl_contents_stats(path, &r->memory) != PAWL_OK) r->memory = NULL; /* most runs keep no memory */
}

static void name_run(pawl_report_run *r)
{
    for (size_t n = strlen(r->dir); n > 1 && r->dir[n - 1] == '/'; n--) r->dir[n - 1] = 0;
    const char *slash = strrchr(r->dir, '/');
    r->name = slash && slash[1] ? slash + 1 : r->dir;
}

static pawl_status read_all(pawl_report_run *r)
{
    char metrics[1300], checkpoints[1300];
    PAWL_TRY(pawl_path_join(metrics, sizeof metrics, r->dir, "metrics.jsonl"));
    PAWL_TRY(pawl_path_join(checkpoints, sizeof checkpoints, r->dir, "checkpoints"));
    PAWL_CHECK(pawl_path_exists(metrics) || pawl_path_is_dir(checkpoints), PAWL_EUSAGE,
               "%s: there is no run here, neither metrics.jsonl nor checkpoints/; give the output_dir of a run",
               r->dir);
    r->events = json_array();
    r->evals = json_array();
    r->domains = json_array();
    r->stages = json_array();
    PAWL_CHECK(r->events && r->evals && r->domains && r->stages, PAWL_EMEM, "no memory for the report");
    if (pawl_path_exists(metrics)) PAWL_TRY(read_metrics(r, metrics));
    PAWL_TRY(collect_evals(r));
    read_checkpoint(r);
    return PAWL_OK;
}

pawl_status pawl_report_read(const char *dir, pawl_report_run *out)
{
    memset(out, 0, sizeof *out);
    PAWL_CHECK(strlen(dir) < sizeof out->dir, PAWL_EUSAGE, "the path of a run has more than %zu bytes",
               sizeof out->dir - 1);
    memcpy(out->dir, dir, strlen(dir));
    name_run(out);
    const pawl_status s = read_all(out);
    if (s != PAWL_OK) pawl_report_close(out);
    return s;
}

void pawl_report_close(pawl_report_run *r)
{
    for (int c = 0; c < PAWL_COLUMNS; c++) pawl_free(r->column[c]);
    for (size_t d = 0; r->eval_loss && d < json_array_size(r->domains); d++) pawl_free(r->eval_loss[d]);
    pawl_free(r->eval_loss);
    pawl_free(r->eval_step);
    json_t *const all[] = {r->events, r->evals, r->domains, r->checkpoint, r->checkpoints, r->memory, r->stages};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) json_decref(all[i]);
    memset(r, 0, sizeof *r);
}
