/* The first thing seen: how the run stands, in a few figures; of two runs, beside each other. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "launch/report/report.h"

static double last_of(const pawl_report_run *r, pawl_report_column c)
{
    for (int64_t i = r->steps; i-- > 0;)
        if (isfinite(r->column[c][i])) return r->column[c][i];
    return NAN;
}

static double sum_of(const pawl_report_run *r, pawl_report_column c)
{
    double sum = 0;
    for (int64_t i = 0; i < r->steps; i++)
        if (isfinite(r->column[c][i])) sum += r->column[c][i];
    return r->steps ? sum : NAN;
}

static double greatest_of(const json_t *list)
{
    double greatest = NAN;
    const json_t *value;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       value) if (json_is_number(value) && !(greatest >= json_number_value(value))) greatest =
        json_number_value(value);
    return greatest;
}

static double steps_done(const pawl_report_run *r)
{
    const double last = last_of(r, PAWL_COLUMN_step);
    return isfinite(last) ? last : pawl_number_of(r->checkpoint, "step");
}

/* The mean over domains of the last evaluation. */
static double held_out(const pawl_report_run *r)
{
    const size_t evals = json_array_size(r->evals), domains = json_array_size(r->domains);
    double sum = 0;
    for (size_t d = 0; evals && d < domains; d++) sum += r->eval_loss[d][evals - 1];
    return evals && domains ? sum / (double)domains : NAN;
}

static pawl_figure steps_text(const pawl_report_run *r)
{
    return pawl_count_of(steps_done(r));
}
static pawl_figure tokens_text(const pawl_report_run *r)
{
    return pawl_count_of(last_of(r, PAWL_COLUMN_tokens_total));
}
static pawl_figure loss_text(const pawl_report_run *r)
{
    return pawl_fixed_of(last_of(r, PAWL_COLUMN_loss), 4);
}
static pawl_figure held_text(const pawl_report_run *r)
{
    return pawl_fixed_of(held_out(r), 4);
}
static pawl_figure time_text(const pawl_report_run *r)
{
    return pawl_seconds_of(sum_of(r, PAWL_COLUMN_seconds));
}
static pawl_figure rate_text(const pawl_report_run *r)
{
    return pawl_count_of(pawl_report_median(r->column[PAWL_COLUMN_tokens_per_second], r->steps));
}
static pawl_figure memory_text(const pawl_report_run *r)
{
    return pawl_bytes_of(greatest_of(json_object_get(pawl_report_event(r, "memory"), "peak_bytes")));
}
static pawl_figure ranks_text(const pawl_report_run *r)
{
    return pawl_count_of(pawl_number_of(json_object_get(pawl_report_lineage(r), "topology"), "ranks"));
}

static const struct {
    const char *name, *note;
    pawl_figure (*text)(const pawl_report_run *r);
} figures[] = {
    {"Steps", "done", steps_text},
    {"Tokens", "shown to the model", tokens_text},
    {"Training loss", "of the last step, nats per token", loss_text},
    {"Held-out loss", "mean of the domains, last evaluation", held_text},
    {"Throughput", "tokens per second, median of steps", rate_text},
    {"Time in steps", "without evaluations and saves", time_text},
    {"Peak memory", "of the rank that had most", memory_text},
    {"Ranks", "of the newest checkpoint", ranks_text},
};
enum { FIGURES = sizeof figures / sizeof *figures };

static void write_tiles(pawl_text *out, const pawl_report_run *r)
{
    HTML(out, "<dl class=\"tiles\">");
    for (int i = 0; i < FIGURES; i++)
        HTML(out, "<div><dt>$</dt><dd class=\"figure\">$</dd><dd class=\"note\">$</dd></div>", figures[i].name,
             figures[i].text(r).text, figures[i].note);
    HTML(out, "</dl>");
}

static void write_columns(pawl_text *out, const pawl_report_run *const *runs, int count)
{
    pawl_scroll_begin(out, "Both runs in figures");
    HTML(out, "<table class=\"figures\"><thead><tr><th scope=\"col\">Figure</th>");
    for (int i = 0; i < count; i++) HTML(out, "<th scope=\"col\">$ $</th>", i ? "B:" : "A:", runs[i]->name);
    HTML(out, "</tr></thead><tbody>");
    for (int f = 0; f < FIGURES; f++) {
        HTML(out, "<tr><th scope=\"row\">$ <span class=\"note\">$</span></th>", figures[f].name, figures[f].note);
        for (int i = 0; i < count; i++) HTML(out, "<td>$</td>", figures[f].text(runs[i]).text);
        HTML(out, "</tr>");
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}

void pawl_report_summary(pawl_text *out, const pawl_report_run *const *runs, int count)
{
    if (count == 1)
        write_tiles(out, runs[0]);
    else {
        write_columns(out, runs, count);
        pawl_report_differences(out, runs[0], runs[1]);
    }
    for (int i = 0; i < count; i++) {
        if (runs[i]->trouble[0])
            HTML(out, "<p class=\"warning\"><strong>$:</strong> no checkpoint could be read: $</p>", runs[i]->name,
                 runs[i]->trouble);
        if (runs[i]->unreadable)
            HTML(out,
                 "<p class=\"warning\"><strong>$:</strong> $ lines of metrics.jsonl are no JSON and were passed "
                 "over.</p>",
                 runs[i]->name, pawl_count_of((double)runs[i]->unreadable).text);
    }
}
