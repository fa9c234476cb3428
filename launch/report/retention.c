/* What became of every domain: the matrix of losses at the ends of stages, and how far each has risen above where it
 * was learnt. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/report/report.h"

/* ---- where a domain was learnt ---- */

static int names(const json_t *list, const char *word)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), word) == 0) return 1;
    return 0;
}

static int is_learnt(const json_t *lineage, const char *domain)
{
    json_t *d;
    size_t i;
    json_array_foreach(json_object_get(lineage, "datasets"), i,
                       d) if (strcmp(pawl_word_of(d, "domain"), domain) == 0 &&
                              strcmp(pawl_word_of(d, "use"), "learnt") == 0) return 1;
    return 0;
}

/* The stage that learnt it first, by number from 0; -1: none, it was known before. */
static int stage_of(const pawl_report_run *r, const char *domain)
{
    const json_t *lineage = pawl_report_lineage(r);
    json_t *stage;
    size_t i;
    json_array_foreach(json_object_get(lineage, "stages"), i,
                       stage) if (names(json_object_get(stage, "domains"), domain)) return (int)i;
    return json_array_size(json_object_get(lineage, "stages")) == 0 && is_learnt(lineage, domain) ? 0 : -1;
}

/* ---- the matrix ---- */

enum { ROWS = 65 };

/* Rows of the matrix: evaluations before the first stage and at the end of each. */
typedef struct matrix {
    const json_t *row[ROWS];
    int rows;
} matrix;

static const json_t *evaluations_of(const pawl_report_run *r)
{
    const json_t *all = json_object_get(pawl_report_lineage(r), "evaluations");
    return json_array_size(all) ? all : r->evals;
}

static void add_row(matrix *m, const json_t *e)
{
    if (m->rows == ROWS) memmove(m->row + 1, m->row + 2, (ROWS - 2) * sizeof *m->row), m->rows--;
    m->row[m->rows++] = e;
}

static void choose_rows(const pawl_report_run *r, matrix *m)
{
    const json_t *all = evaluations_of(r);
    json_t *e;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)all, i, e)
    {
        const char *at = pawl_word_of(e, "at");
        if ((strcmp(at, "start") == 0 && m->rows == 0) || strcmp(at, "stage_end") == 0) add_row(m, e);
    }
    if (m->rows || json_array_size(all) == 0) return;
    add_row(m, json_array_get(all, 0));
    if (json_array_size(all) > 1) add_row(m, json_array_get(all, json_array_size(all) - 1));
}

static double cell(const json_t *row, const char *domain)
{
    const json_t *score = json_object_get(json_object_get(row, "scores"), domain);
    return score ? pawl_number_of(score, "loss") : pawl_number_of(json_object_get(row, "eval"), domain);
}

static const char *row_name(const matrix *m, int i)
{
    const char *stage = pawl_word_of(m->row[i], "stage");
    if (strcmp(pawl_word_of(m->row[i], "at"), "start") == 0) return "before";
    return stage[0] ? stage : i == 0 ? "before" : "end";
}

/* 0.05 nats is seen, 1 is full colour. */
static int strength(double change)
{
    const double s = sqrt(fabs(change)) * 48;
    return fabs(change) < 0.005 ? 0 : s > 48 ? 48 : (int)s;
}

static void write_cell(pawl_text *out, double loss, double learnt, const char *mark)
{
    const double change = loss - learnt;
    if (!isfinite(loss))
        HTML(out, "<td class=\"none\">–</td>");
    else if (mark)
        HTML(out, "<td class=\"learnt\"><strong>$</strong><span class=\"note\">$</span></td>",
             pawl_fixed_of(loss, 3).text, mark);
    else if (!isfinite(change))
        HTML(out, "<td>$</td>", pawl_fixed_of(loss, 3).text);
    else {
        pawl_text_add(out, "<td class=\"%s\" style=\"--heat:%d%%\">", change > 0 ? "worse" : "better",
                      strength(change));
        HTML(out, "$<span class=\"note\">$</span></td>", pawl_fixed_of(loss, 3).text, pawl_signed_of(change, 3).text);
    }
}

/* The row at which a domain counts as learnt: the end of its stage; the first row for what was known before. */
static int learnt_row(const pawl_report_run *r, const matrix *m, const char *domain)
{
    const int stage = stage_of(r, domain);
    const int row = stage < 0 ? 0 : stage + (strcmp(row_name(m, 0), "before") == 0);
    return row < m->rows ? row : m->rows - 1;
}

static void write_matrix(pawl_text *out, const pawl_report_run *r, const matrix *m)
{
    json_t *domain;
    size_t d;
    HTML(out, "<p class=\"note\">Held-out loss in nats per token, after each stage (rows), on each domain (columns). "
              "Below it: the change since the "
              "domain was learnt, or since the start for what was known before; a rise (orange) is forgetting.</p>");
    pawl_scroll_begin(out, "Retention matrix");
    HTML(out, "<table class=\"heat\"><thead><tr><th scope=\"col\">after</th>");
    json_array_foreach(r->domains, d, domain) HTML(out, "<th scope=\"col\">$</th>", json_string_value(domain));
    HTML(out, "</tr></thead><tbody>");
    for (int i = 0; i < m->rows; i++) {
        HTML(out, "<tr><th scope=\"row\"><bdi>$</bdi><span class=\"note\">step $</span></th>", row_name(m, i),
             pawl_count_of(pawl_number_of(m->row[i], "step")).text);
        json_array_foreach(r->domains, d, domain)
        {
            const char *name = json_string_value(domain);
            const int learnt = learnt_row(r, m, name);
            write_cell(out, cell(m->row[i], name), i < learnt ? NAN : cell(m->row[learnt], name),
                       i != learnt             ? NULL
                       : stage_of(r, name) < 0 ? "at the start"
                                               : "learnt");
        }
        HTML(out, "</tr>");
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}

/* Mean and worst rise of what was learnt before the last row. */
static void write_figures(pawl_text *out, const pawl_report_run *r, const matrix *m)
{
    double sum = 0, worst = NAN;
    const char *whose = "";
    int count = 0;
    json_t *domain;
    size_t d;
    json_array_foreach(r->domains, d, domain)
    {
        const char *name = json_string_value(domain);
        const int learnt = learnt_row(r, m, name);
        const double rise = cell(m->row[m->rows - 1], name) - cell(m->row[learnt], name);
        if (learnt == m->rows - 1 || !isfinite(rise)) continue;
        sum += rise;
        count++;
        if (!(worst >= rise)) worst = rise, whose = name;
    }
    if (!count) return;
    pawl_facts_begin(out);
    pawl_fact(out, "Mean rise of earlier domains", pawl_signed_of(sum / count, 4).text);
    pawl_text text = {0};
    pawl_text_add(&text, "%s, %s", pawl_signed_of(worst, 4).text, whose);
    pawl_fact(out, "Worst rise", text.data ? text.data : "");
    pawl_text_close(&text);
    pawl_facts_end(out);
}

/* ---- forgetting over time ---- */

/* The evaluation that later ones are compared with: the last at or before the end of the domain's stage. */
static int64_t baseline_of(const pawl_report_run *r, const char *domain)
{
    const int stage = stage_of(r, domain);
    const int64_t evals = (int64_t)json_array_size(r->evals);
    const json_t *stages = json_object_get(pawl_report_lineage(r), "stages");
    const double end = stage < 0                 ? 0
                       : json_array_size(stages) ? pawl_number_of(json_array_get(stages, (size_t)stage), "end_step")
                                                 : INFINITY;
    int64_t at = 0;
    while (at + 1 < evals && r->eval_step[at + 1] <= end) at++;
    return stage < 0 ? 0 : at;
}

static void write_rises(pawl_text *out, const pawl_report_view *v, double *const *rise)
{
    const pawl_report_run *r = v->run;
    pawl_chart chart = {.title = "Forgetting over time",
                        .unit = "rise of the held-out loss since the domain was learnt, nats per token",
                        .across = "step"},
               *all[] = {&chart};
    char id[32];
    json_t *domain;
    size_t d;
    json_array_foreach(r->domains, d, domain)
    {
        const char *name = json_string_value(domain);
        const int64_t from = baseline_of(r, name), count = (int64_t)json_array_size(r->evals) - from;
        for (int64_t i = 0; i < count; i++) rise[d][i] = r->eval_loss[d][from + i] - r->eval_loss[d][from];
        if (count > 1)
            pawl_chart_add(
                &chart,
                &(pawl_series){.name = name, .x = r->eval_step + from, .y = rise[d], .count = count, .dots = 1});
    }
    if (!chart.count) return;
    pawl_charts_fit(all, 1);
    snprintf(id, sizeof id, "forgetting-%d", v->place);
    pawl_chart_write(out, &chart, id);
}

static void forgetting(pawl_text *out, const pawl_report_view *v)
{
    const size_t domains = json_array_size(v->run->domains), evals = json_array_size(v->run->evals);
    double **rise, *values;
    if (!domains || !evals || pawl_alloc((void **)&rise, domains * sizeof *rise, "figures") != PAWL_OK) return;
    if (pawl_alloc((void **)&values, domains * evals * sizeof *values, "figures") == PAWL_OK) {
        for (size_t d = 0; d < domains; d++) rise[d] = values + d * evals;
        write_rises(out, v, rise);
        pawl_free(values);
    } else
        out->failed = 1;
    pawl_free(rise);
}

void pawl_report_retention(pawl_text *out, const pawl_report_view *v)
{
    matrix m = {.rows = 0};
    choose_rows(v->run, &m);
    if (!m.rows || !json_array_size(v->run->domains)) {
        HTML(out, "<p class=\"none\">Nothing was held out, so nothing is known of what was kept. val_set_size or "
                  "test_datasets hold text out.</p>");
        return;
    }
    write_matrix(out, v->run, &m);
    write_figures(out, v->run, &m);
    forgetting(out, v);
}
