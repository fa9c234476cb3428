/* Memory and time beside what was planned. */
#include <math.h>
#include <stdio.h>

#include "launch/report/report.h"

static double sum(const double *values, int64_t count)
{
    double all = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) all += values[i];
    return all;
}

static double item(const json_t *event, const char *key, size_t rank)
{
    const json_t *value = json_array_get(json_object_get(event, key), rank);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void write_ranks(pawl_text *out, const json_t *event)
{
    const size_t ranks = json_array_size(json_object_get(event, "peak_bytes"));
    pawl_scroll_begin(out, "Memory of the ranks");
    HTML(out, "<table class=\"figures\"><caption>Memory of a rank, at most</caption><thead><tr><th "
              "scope=\"col\">Rank</th><th scope=\"col\">planned</th><th scope=\"col\">in arenas</th>"
              "<th scope=\"col\">of the process</th><th scope=\"col\">to plan</th></tr></thead><tbody>");
    for (size_t r = 0; r < ranks && r < 64; r++) {
        const double planned = item(event, "planned_bytes", r), peak = item(event, "peak_bytes", r);
        HTML(out, "<tr><th scope=\"row\">$</th><td>$</td><td>$</td><td>$</td><td>$ %</td></tr>",
             pawl_count_of((double)r).text, pawl_bytes_of(planned).text,
             pawl_bytes_of(item(event, "arena_bytes", r)).text, pawl_bytes_of(peak).text,
             pawl_signed_of(100 * (peak - planned) / planned, 1).text);
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
    if (ranks > 64) HTML(out, "<p class=\"note\">and $ ranks more</p>", pawl_count_of((double)(ranks - 64)).text);
}

static void write_arenas(pawl_text *out, const json_t *arenas)
{
    double most = 0;
    const char *name;
    json_t *bytes;
    json_object_foreach((json_t *)(uintptr_t)arenas, name, bytes) most = fmax(most, json_number_value(bytes));
    if (!(most > 0)) return;
    HTML(out, "<table class=\"figures bars\"><caption>What it was for, on rank 0</caption><tbody>");
    json_object_foreach((json_t *)(uintptr_t)arenas, name, bytes)
    {
        HTML(out, "<tr><th scope=\"row\">$</th><td>$</td><td class=\"track\" aria-hidden=\"true\">", name,
             pawl_bytes_of(json_number_value(bytes)).text);
        pawl_text_add(out, "<span style=\"width:%.2f%%\"></span></td></tr>", 100 * json_number_value(bytes) / most);
    }
    HTML(out, "</tbody></table>");
}

static void write_time(pawl_text *out, const pawl_report_run *r, const json_t *event)
{
    const json_t *plan = json_object_get(event, "plan");
    const double seconds = sum(r->column[PAWL_COLUMN_seconds], r->steps), flops = pawl_number_of(plan, "flops"),
                 steps = pawl_number_of(plan, "steps");
    const double median = pawl_report_median(r->column[PAWL_COLUMN_seconds], r->steps);
    char text[160];
    pawl_facts_begin(out);
    snprintf(text, sizeof text, "%s of %s planned", pawl_count_of((double)r->steps).text, pawl_count_of(steps).text);
    pawl_fact(out, "Steps in the record", isfinite(steps) ? text : pawl_count_of((double)r->steps).text);
    snprintf(text, sizeof text, "%s of %s planned", pawl_count_of(sum(r->column[PAWL_COLUMN_tokens], r->steps)).text,
             pawl_count_of(pawl_number_of(plan, "tokens")).text);
    pawl_fact(out, "Tokens", isfinite(steps) ? text : pawl_count_of(sum(r->column[PAWL_COLUMN_tokens], r->steps)).text);
    pawl_fact(out, "Time in steps", pawl_seconds_of(r->steps ? seconds : NAN).text);
    pawl_fact(out, "A step, median", pawl_seconds_of(median).text);
    pawl_fact(out, "Elapsed, all of this process", pawl_seconds_of(pawl_number_of(plan, "elapsed_seconds")).text);
    if (isfinite(flops) && seconds > 0 && steps > 0) {
        snprintf(text, sizeof text, "%.3g TFLOP planned, %.3g GFLOP/s reached", 1e-12 * flops,
                 1e-9 * flops * (double)r->steps / steps / seconds);
        pawl_fact(out, "Work", text);
    }
    const double bytes = sum(r->column[PAWL_COLUMN_bytes_sent], r->steps);
    pawl_fact(out, "Sent between ranks", r->steps && bytes > 0 ? pawl_bytes_of(bytes).text : "");
    pawl_facts_end(out);
}

void pawl_report_plan(pawl_text *out, const pawl_report_view *v)
{
    const json_t *event = pawl_report_event(v->run, "memory");
    if (!event) HTML(out, "<p class=\"none\">What memory was taken is written at the end of a run.</p>");
    write_time(out, v->run, event);
    if (!event) return;
    write_ranks(out, event);
    write_arenas(out, json_object_get(event, "arenas"));
}
