/* The page: its sections in a table, one run or two beside each other. */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "launch/report/report.h"
#include "trainer/trainer.h"

static const struct {
    const char *id, *title;
    pawl_section_fn write; /* NULL: the charts, or the summary */
} sections[] = {
    {"summary", "Summary", NULL},
    {"curves", "Curves", NULL},
    {"retention", "Retention", pawl_report_retention},
    {"memory", "Replay memory", pawl_report_memory_rows},
    {"data", "Data and licences", pawl_report_data},
    {"lineage", "Lineage", pawl_report_lineage_graph},
    {"plan", "Memory and time against plan", pawl_report_plan},
    {"configuration", "Configuration", pawl_report_settings},
    {"machine", "Machine and versions", pawl_report_machine},
    {"events", "Events", pawl_report_events},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* ---- small parts ---- */

void pawl_facts_begin(pawl_text *out)
{
    HTML(out, "<dl class=\"facts\">");
}
void pawl_facts_end(pawl_text *out)
{
    HTML(out, "</dl>");
}
void pawl_fact(pawl_text *out, const char *name, const char *text)
{
    if (text[0] && strcmp(text, "–") != 0) HTML(out, "<div><dt>$</dt><dd>$</dd></div>", name, text);
}

void pawl_scroll_begin(pawl_text *out, const char *label)
{
    HTML(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"$\">", label);
}
void pawl_scroll_end(pawl_text *out)
{
    HTML(out, "</div>");
}

/* ---- charts ---- */

typedef struct pair {
    pawl_chart chart[2];
} pair;

/* Charts of two runs have one range. */
static void write_charts(pawl_text *out, const pawl_report_run *const *runs, int count, pair *p)
{
    HTML(out, "<div class=\"charts$\">", count > 1 ? " two" : "");
    for (int i = 0;; i++) {
        pawl_chart *const both[] = {&p->chart[0], &p->chart[1]};
        int most = 0, made = 0;
        for (int r = 0; r < count; r++) {
            made = pawl_report_chart(runs[r], i, &p->chart[r]);
            most = made > most ? made : most;
        }
        if (made == 0) break;
        if (most <= 0) continue;
        pawl_charts_fit(both, count);
        for (int r = 0; r < count; r++) {
            char id[32];
            snprintf(id, sizeof id, "chart-%d-%d", i, r);
            if (count > 1) HTML(out, "<div class=\"side\"><h3>$ <bdi>$</bdi></h3>", r ? "B" : "A", runs[r]->name);
            pawl_chart_write(out, &p->chart[r], id);
            if (count > 1) HTML(out, "</div>");
        }
    }
    HTML(out, "</div>");
}

static void write_curves(pawl_text *out, const pawl_report_run *const *runs, int count)
{
    pair *p;
    if (pawl_alloc((void **)&p, sizeof *p, "charts") != PAWL_OK) {
        out->failed = 1;
        return;
    }
    write_charts(out, runs, count, p);
    pawl_free(p);
}

/* ---- the page ---- */

static const char *state_of(const pawl_report_run *r)
{
    static const struct {
        const char *event, *state;
    } states[] = {{"stop", "stopped"}, {"memory", "finished"}};
    const json_t *gate = pawl_report_event(r, "gate"),
                 *last = json_array_get(r->events, json_array_size(r->events) - 1);
    if (strcmp(pawl_word_of(gate, "verdict"), "exceeded") == 0)
        return strcmp(pawl_word_of(gate, "action"), "warn") == 0 ? "over its forgetting budget, which only warns"
                                                                 : "ended by its forgetting budget, which was exceeded";
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(pawl_word_of(last, "event"), states[i].event) == 0) return states[i].state;
    return "under way, or interrupted";
}

static void write_head(pawl_text *out, const pawl_report_run *const *runs, int count)
{
    HTML(out,
         "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
         "img-src data:\"/>"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><meta name=\"color-scheme\" "
         "content=\"light dark\"/>"
         "<link rel=\"icon\" href=\"data:,\"/><title>$$$ · pawl report</title><style>",
         runs[0]->name, count > 1 ? " and " : "", count > 1 ? runs[1]->name : "");
    pawl_text_add(out, "%s", pawl_report_style);
    HTML(out, "</style></head><body><a class=\"skip\" href=\"#summary\">To the figures</a><header><p "
              "class=\"brand\">pawl report</p><h1>");
    for (int i = 0; i < count; i++)
        HTML(out, i ? " <span class=\"note\">and</span> <bdi>$</bdi>" : "<bdi>$</bdi>", runs[i]->name);
    HTML(out, "</h1>");
    for (int i = 0; i < count; i++)
        HTML(out, "<p class=\"note\">$<bdi>$</bdi>: $$$</p>",
             count == 1 ? ""
             : i        ? "B: "
                        : "A: ",
             runs[i]->dir, state_of(runs[i]), runs[i]->checkpoint ? ", newest checkpoint of " : "",
             runs[i]->checkpoint ? pawl_word_of(runs[i]->checkpoint, "created") : "");
    HTML(out, "<nav aria-label=\"Sections\"><ul>");
    for (int s = 0; s < SECTIONS; s++) HTML(out, "<li><a href=\"#$\">$</a></li>", sections[s].id, sections[s].title);
    HTML(out, "</ul></nav></header><main>");
}

static void write_sides(pawl_text *out, pawl_section_fn write, const pawl_report_run *const *runs, int count)
{
    if (count > 1) HTML(out, "<div class=\"two\">");
    for (int i = 0; i < count; i++) {
        if (count > 1) HTML(out, "<div class=\"side\"><h3>$ <bdi>$</bdi></h3>", i ? "B" : "A", runs[i]->name);
        write(out, &(pawl_report_view){runs[i], i});
        if (count > 1) HTML(out, "</div>");
    }
    if (count > 1) HTML(out, "</div>");
}

static void write_page(pawl_text *out, const pawl_report_run *const *runs, int count)
{
    write_head(out, runs, count);
    for (int s = 0; s < SECTIONS; s++) {
        HTML(out, "<section id=\"$\" aria-labelledby=\"$-h\"><h2 id=\"$-h\">$</h2>", sections[s].id, sections[s].id,
             sections[s].id, sections[s].title);
        if (sections[s].write)
            write_sides(out, sections[s].write, runs, count);
        else if (s == 0)
            pawl_report_summary(out, runs, count);
        else
            write_curves(out, runs, count);
        HTML(out, "</section>");
    }
    HTML(out,
         "</main><footer><p class=\"note\">Made by pawl $ from the run's own records; it loads "
         "nothing.</p></footer></body></html>\n",
         PAWL_VERSION);
}

static pawl_status write_runs(const pawl_report_run *const *runs, int count, const char *to)
{
    pawl_text out = {0};
    write_page(&out, runs, count);
    pawl_status s = pawl_text_status(&out);
    if (s == PAWL_OK) s = pawl_file_replace(to, out.data, out.bytes);
    pawl_text_close(&out);
    return s;
}

static pawl_status read_and_write(const char *run, const char *other, const char *to, pawl_report_run *r)
{
    PAWL_TRY(pawl_report_read(run, &r[0]));
    if (other) PAWL_TRY(pawl_report_read(other, &r[1]));
    return write_runs((const pawl_report_run *const[]){&r[0], &r[1]}, other ? 2 : 1, to);
}

pawl_status pawl_report_write(const char *run, const char *other, const char *to)
{
    pawl_report_run *r;
    PAWL_TRY(pawl_alloc((void **)&r, 2 * sizeof *r, "the report"));
    const pawl_status s = read_and_write(run, other, to, r);
    for (int i = 0; i < 2; i++) pawl_report_close(&r[i]);
    pawl_free(r);
    return s;
}

void pawl_report_at_end(const char *output_dir)
{
    char to[1300];
    pawl_status s = pawl_path_join(to, sizeof to, output_dir, "report.html");
    if (s == PAWL_OK) s = pawl_report_write(output_dir, NULL, to);
    if (s != PAWL_OK)
        pawl_log(PAWL_LOG_WARN, "no report was written: %s; pawl report %s makes it later", pawl_last_error()->what,
                 output_dir);
}
