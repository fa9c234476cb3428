/* Where and by which version a run was made. */
#include <math.h>

#include "launch/report/report.h"

static void write_topology(pawl_text *out, const pawl_report_run *r)
{
    const json_t *lineage = pawl_report_lineage(r), *t = json_object_get(lineage, "topology"),
                 *tokenizer = json_object_get(lineage, "tokenizer"), *base = json_object_get(lineage, "base");
    pawl_facts_begin(out);
    pawl_fact(out, "Device", pawl_word_of(t, "device"));
    pawl_fact(out, "Ranks", pawl_count_of(pawl_number_of(t, "ranks")).text);
    pawl_fact(out, "Threads of a rank", pawl_count_of(pawl_number_of(t, "threads")).text);
    pawl_fact(out, "Lanes", pawl_count_of(pawl_number_of(t, "lanes")).text);
    pawl_fact(out, "zero_stage", pawl_count_of(pawl_number_of(t, "zero_stage")).text);
    pawl_fact(out, "Sums", pawl_word_of(t, "reduction"));
    pawl_fact(out, "Base", pawl_word_of(base, "path"));
    pawl_fact(out, "Tokenizer", pawl_word_of(tokenizer, "spec"));
    pawl_fact(out, "pawl, of the run's start", pawl_word_of(lineage, "pawl_version"));
    pawl_fact(out, "pawl, of the newest checkpoint", pawl_word_of(r->checkpoint, "pawl_version"));
    pawl_fact(out, "pawl, of this page", PAWL_VERSION);
    pawl_fact(out, "Weights, SHA-256", pawl_word_of(r->checkpoint, "weights_sha256"));
    pawl_fact(out, "State, SHA-256", pawl_word_of(r->checkpoint, "state_sha256"));
    pawl_fact(out, "Configuration, SHA-256", pawl_word_of(lineage, "configuration_sha256"));
    pawl_fact(out, "Tokenizer, SHA-256", pawl_word_of(tokenizer, "sha256"));
    pawl_facts_end(out);
}

void pawl_report_machine(pawl_text *out, const pawl_report_view *v)
{
    json_t *resumes = json_object_get(pawl_report_lineage(v->run), "resumes"), *r;
    size_t i;
    write_topology(out, v->run);
    if (!json_array_size(resumes)) return;
    pawl_scroll_begin(out, "Resumes");
    HTML(out, "<table class=\"figures\"><caption>Resumed</caption><thead><tr><th scope=\"col\">From step</th><th "
              "scope=\"col\">ranks</th><th scope=\"col\" class=\"words\">at</th><th scope=\"col\" "
              "class=\"words\">pawl</th></tr></thead><tbody>");
    json_array_foreach(resumes, i, r)
        HTML(out, "<tr><th scope=\"row\">$</th><td>$</td><td class=\"words\">$</td><td class=\"words\">$</td></tr>",
             pawl_count_of(pawl_number_of(r, "step")).text, pawl_count_of(pawl_number_of(r, "ranks")).text,
             pawl_word_of(r, "at"), pawl_word_of(r, "pawl_version"));
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}
