/* What became of every domain: matrices of what was measured at the ends of stages, their figures, and how far each
 * loss has risen above where it was learnt. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "launch/report/report.h"
#include "trainer/trainer.h"

static double at(const pawl_retention *m, int i, int j)
{
    return m->R[(size_t)i * (size_t)m->columns + (size_t)j];
}

/* ---- the matrix ---- */

/* How much of its colour a change shows, in percent: its root, so that 0.05 nats are seen; all that there is from 1 on.
 */
static int strength(double change)
{
    enum { MOST = 48 }; /* words stay legible on it, on white and on black */
    const double size = fabs(change);
    return size < 0.005 ? 0 : size > 1 ? MOST : (int)(MOST * sqrt(size));
}

static void write_cell(pawl_text *out, const pawl_retention *m, int i, int j)
{
    const int learnt = m->learnt[j], from = pawl_retention_from(m, j);
    const double x = at(m, i, j), change = from >= 0 && i > from ? x - at(m, from, j) : NAN;
    if (!isfinite(x))
        HTML(out, "<td class=\"none\">–</td>");
    else if (i == learnt)
        HTML(out, "<td class=\"learnt\"><strong>$</strong><span class=\"note\">$</span></td>", pawl_fixed_of(x, 3).text,
             i ? "learnt" : "known");
    else if (!isfinite(change))
        HTML(out, "<td>$</td>", pawl_fixed_of(x, 3).text);
    else {
        pawl_text_add(out, "<td class=\"%s\" style=\"--heat:%d%%\">",
                      (m->higher_is_better ? change < 0 : change > 0) ? "worse" : "better", strength(change));
        HTML(out, "$<span class=\"note\">$</span></td>", pawl_fixed_of(x, 3).text, pawl_signed_of(change, 3).text);
    }
}

/* A measure that has a heat map of its own; the first is that of the losses. */
typedef struct map {
    const char *measure, *label, *says;
} map;
static const map maps[] = {
    {"loss", "Retention matrix",
     "Held-out loss in nats per token: a row is the end of a stage, a column a domain. Below a figure stands the "
     "change since the "
     "domain was learnt, or since the start if it was known before; a rise (orange) is forgetting. What an earlier run "
     "measured on other texts of a domain is left out; the newest run's start stands for it."},
    {"accuracy", "Retention matrix of accuracy",
     "Accuracy on questions with choices: the share whose right answer has the greatest log-probability; a fall "
     "(orange) is forgetting."},
    {"accuracy_norm", "Retention matrix of accuracy by bytes",
     "The same with log-probabilities divided by the bytes of the choices."},
    {"kl", "Drift from the start",
     "KL divergence from the model of the run's start, nats per token of a few held-out rows, over the likeliest "
     "tokens "
     "of that model and one bin for all others: a lower bound. 0 is no change."},
};

static void write_matrix(pawl_text *out, const map *of, const pawl_retention *m, const json_t *stages)
{
    HTML(out, "<p class=\"note\">$</p>", of->says);
    pawl_scroll_begin(out, of->label);
    HTML(out, "<table class=\"heat\"><thead><tr><th scope=\"col\">after</th>");
    for (int j = 0; j < m->columns; j++) HTML(out, "<th scope=\"col\">$</th>", m->names[j]);
    HTML(out, "</tr></thead><tbody>");
    for (int i = 0; i <= m->stages; i++) {
        const char *name = i ? json_string_value(json_array_get(stages, (size_t)i - 1)) : "before the first";
        HTML(out, "<tr><th scope=\"row\"><bdi>$</bdi></th>", name ? name : "–");
        for (int j = 0; j < m->columns; j++) write_cell(out, m, i, j);
        HTML(out, "</tr>");
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}

static void write_figures(pawl_text *out, const pawl_retention *m)
{
    const pawl_retention_figures f = pawl_retention_of(m);
    const struct {
        const char *name, *note;
        double value;
        int change;
    } rows[] = {
        {"Forgetting, worst", f.worst >= 0 ? m->names[f.worst] : "", f.forgetting_worst, 1},
        {"Forgetting, mean", "rise above the best since it was learnt", f.forgetting_mean, 1},
        {"BWT", "fall since each was learnt, mean of the earlier domains", f.BWT, 1},
        {"BWT, final", "the same, divided by all domains", f.BWT_final, 1},
        {"FWT", "fall before a domain was learnt", f.FWT, 1},
        {"ACC", "mean of the last row", f.ACC, 0},
        {"LA", "mean of the values when learnt", f.LA, 0},
        {"AAA", "mean over stages of the mean of what was learnt until then", f.AAA, 0},
        {"Intransigence", "behind the reference", f.intransigence, 1},
    };
    pawl_facts_begin(out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!isfinite(rows[i].value)) continue;
        HTML(out, "<div><dt>$</dt><dd>$ <span class=\"note\"><bdi>$</bdi></span></dd></div>", rows[i].name,
             rows[i].change ? pawl_signed_of(rows[i].value, 4).text : pawl_fixed_of(rows[i].value, 4).text,
             rows[i].note);
    }
    pawl_facts_end(out);
}

/* ---- forgetting over time ---- */

/* The evaluation of this run at which stage `name` had ended: the first of them where the stage is not this run's own.
 */
static int64_t end_of_stage(const pawl_report_run *r, const char *name)
{
    const int64_t evals = (int64_t)json_array_size(r->evals);
    double end = -1;
    int64_t first = 0;
    json_t *stage;
    size_t s;
    json_array_foreach(r->stages, s, stage) if (name && strcmp(pawl_word_of(stage, "name"), name) == 0) end =
        pawl_number_of(stage, "end_step");
    while (first < evals && r->eval_step[first] < end) first++;
    return first;
}

static int column_named(const pawl_retention *m, const char *domain)
{
    for (int j = 0; j < m->columns; j++)
        if (strcmp(m->names[j], domain) == 0) return j;
    return -1;
}

static void write_rises(pawl_text *out, const pawl_report_view *v, const pawl_retention *m, const json_t *stages,
                        double *rise)
{
    const pawl_report_run *r = v->run;
    pawl_chart chart = {.title = "Forgetting over time",
                        .unit = "held-out loss above its value when the domain was learnt, nats per token",
                        .across = "step",
                        .zero_line = 1};
    pawl_chart *const all[] = {&chart};
    const int64_t evals = (int64_t)json_array_size(r->evals);
    char id[32];
    json_t *domain;
    size_t d;
    json_array_foreach(r->domains, d, domain)
    {
        const char *name = json_string_value(domain);
        const int j = column_named(m, name), learnt = j < 0 ? -1 : m->learnt[j], base = j < 0 ? -1 : pawl_retention_from(m, j);
        if (base < 0) continue;
        const int64_t from =
            learnt ? end_of_stage(r, json_string_value(json_array_get(stages, (size_t)learnt - 1))) : 0;
        double *mine = rise + (int64_t)d * evals;
        for (int64_t i = from; i < evals; i++) mine[i - from] = r->eval_loss[d][i] - at(m, base, j);
        if (evals - from > 1)
            pawl_chart_add(
                &chart,
                &(pawl_series){.name = name, .x = r->eval_step + from, .y = mine, .count = evals - from, .dots = 1});
    }
    if (!chart.count) return;
    pawl_report_bands(r, &chart);
    pawl_charts_fit(all, 1);
    snprintf(id, sizeof id, "forgetting-%d", v->place);
    pawl_chart_write(out, &chart, id);
}

static void write_forgetting(pawl_text *out, const pawl_report_view *v, const pawl_retention *m, const json_t *stages)
{
    const size_t all = json_array_size(v->run->domains) * json_array_size(v->run->evals);
    double *rise;
    if (!all) return;
    if (pawl_alloc((void **)&rise, all * sizeof *rise, "figures") != PAWL_OK) {
        out->failed = 1;
        return;
    }
    write_rises(out, v, m, stages, rise);
    pawl_free(rise);
}

/* ---- between the ends of stages ---- */

static int has_gap(const json_t *gaps)
{
    const char *domain;
    json_t *g;
    json_object_foreach((json_t *)(uintptr_t)gaps, domain, g) if (pawl_number_of(g, "gap") >= 0.0005) return 1;
    return 0;
}

static void write_gap_rows(pawl_text *out, const json_t *gaps)
{
    const char *domain;
    json_t *g;
    json_object_foreach((json_t *)(uintptr_t)gaps, domain, g)
    {
        if (!isfinite(pawl_number_of(g, "recovered"))) continue; /* it never rose */
        HTML(out, "<tr><th scope=\"row\"><bdi>$</bdi></th><td>$</td><td>$</td><td>$</td>", domain,
             pawl_fixed_of(pawl_number_of(g, "peak"), 3).text, pawl_fixed_of(pawl_number_of(g, "worst"), 3).text,
             pawl_count_of(pawl_number_of(g, "worst_step")).text);
        HTML(out, "<td>$</td><td>$</td><td>$</td></tr>", pawl_signed_of(pawl_number_of(g, "gap"), 3).text,
             pawl_fixed_of(pawl_number_of(g, "final"), 3).text, pawl_fixed_of(pawl_number_of(g, "recovered"), 2).text);
    }
}

static void write_gaps(pawl_text *out, const json_t *lineage)
{
    static const char *const heads[] = {"best", "worst since", "at step", "gap", "last", "recovered"};
    json_t *gaps;
    if (pawl_retention_gaps(lineage, "loss", &gaps) != PAWL_OK) return;
    if (has_gap(gaps)) {
        pawl_scroll_begin(out, "Stability gaps");
        HTML(out, "<table class=\"figures\"><caption>Between the ends of stages: how far a domain rose, and how much "
                  "of it came back</caption><thead><tr>"
                  "<th scope=\"col\">Domain</th>");
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) HTML(out, "<th scope=\"col\">$</th>", heads[i]);
        HTML(out, "</tr></thead><tbody>");
        write_gap_rows(out, gaps);
        HTML(out, "</tbody></table>");
        pawl_scroll_end(out);
    }
    json_decref(gaps);
}

/* What forgetting_budget said last. */
static void write_gate(pawl_text *out, const pawl_report_run *r)
{
    static const char *const kinds[] = {"mean", "worst"};
    const json_t *gate = pawl_report_event(r, "gate");
    const int over = strcmp(pawl_word_of(gate, "verdict"), "exceeded") == 0;
    if (!gate) return;
    HTML(out, "<p class=\"$\"><strong>Forgetting budget: $</strong> at step $$", over ? "warning" : "gate",
         over ? "exceeded" : pawl_word_of(gate, "verdict"), pawl_count_of(pawl_number_of(gate, "step")).text,
         isfinite(pawl_number_of(gate, "mean")) ? ", rise of the held-out loss" : "");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char budget[16];
        snprintf(budget, sizeof budget, "%s_budget", kinds[i]);
        if (!isfinite(pawl_number_of(gate, kinds[i]))) continue;
        HTML(out, ", $ $", kinds[i], pawl_signed_of(pawl_number_of(gate, kinds[i]), 4).text);
        if (isfinite(pawl_number_of(gate, budget)))
            HTML(out, " of $ allowed", pawl_fixed_of(pawl_number_of(gate, budget), 4).text);
    }
    if (pawl_word_of(gate, "worst_domain")[0]) HTML(out, " (<bdi>$</bdi>)", pawl_word_of(gate, "worst_domain"));
    HTML(out, ".</p>");
}

/* Those of all other measures, where there are any. */
static void write_more_matrices(pawl_text *out, const json_t *lineage, const json_t *stages, const char *where)
{
    for (size_t i = 1; i < sizeof maps / sizeof *maps; i++) {
        pawl_retention m;
        if (!pawl_retention_measured(lineage, maps[i].measure) ||
            pawl_retention_of_lineage(lineage, maps[i].measure, where, &m) != PAWL_OK)
            continue;
        write_matrix(out, &maps[i], &m, stages);
        pawl_retention_close(&m);
    }
}

void pawl_report_retention(pawl_text *out, const pawl_report_view *v)
{
    const json_t *lineage = pawl_report_lineage(v->run);
    pawl_retention m;
    write_gate(out, v->run);
    if (!json_is_object(lineage)) {
        HTML(out, "<p class=\"none\">Known from the first checkpoint on.</p>");
        return;
    }
    if (!json_array_size(json_object_get(lineage, "evaluations")) ||
        pawl_retention_of_lineage(lineage, "loss", v->run->dir, &m) != PAWL_OK) {
        HTML(out, "<p class=\"none\">Nothing was measured yet, or nothing is held out; val_set_size and test_datasets "
                  "hold text out.</p>");
        return;
    }
    json_t *stages = pawl_retention_stages(lineage);
    write_matrix(out, &maps[0], &m, stages);
    write_figures(out, &m);
    write_more_matrices(out, lineage, stages, v->run->dir);
    write_gaps(out, lineage);
    write_forgetting(out, v, &m, stages);
    json_decref(stages);
    pawl_retention_close(&m);
}
