/* What the run learnt from and is measured on, with licences and digests. */
#include <math.h>
#include <stdio.h>

#include "launch/report/report.h"

static const char *or_words(const char *text, const char *words)
{
    return text[0] ? text : words;
}

static void write_files(pawl_text *out, const json_t *files)
{
    json_t *f;
    size_t i;
    HTML(out, "<details><summary>$ $</summary><ul class=\"files\">", pawl_count_of((double)json_array_size(files)).text,
         json_array_size(files) == 1 ? "file" : "files");
    json_array_foreach((json_t *)(uintptr_t)files, i, f)
    {
        if (i == 200) {
            HTML(out, "<li>and $ more</li>", pawl_count_of((double)(json_array_size(files) - i)).text);
            break;
        }
        HTML(out, "<li><bdi>$</bdi>, $, SHA-256 <code>$</code></li>", pawl_word_of(f, "name"),
             pawl_bytes_of(pawl_number_of(f, "bytes")).text, pawl_word_of(f, "sha256"));
    }
    HTML(out, "</ul></details>");
}

static void write_dataset(pawl_text *out, const pawl_report_run *r, const json_t *d)
{
    const json_t *held = json_object_get(d, "held_out");
    const char *use = pawl_word_of(d, "use"), *domain = pawl_word_of(d, "domain"),
               *license = pawl_word_of(d, "license");
    const int learnt = pawl_number_of(d, "rows") > 0;
    HTML(out,
         "<tr><th scope=\"row\"><bdi>$</bdi><span class=\"note\">$</span></th><td "
         "class=\"words$\">$</td><td>$</td><td>$</td><td>$</td><td>$</td><td class=\"words\"><bdi>$</bdi>",
         domain, use, license[0] ? "" : " missing", or_words(license, "not stated"),
         pawl_digits_of(pawl_number_of(d, "weight"), 4).text, pawl_count_of(pawl_number_of(d, "documents")).text,
         learnt ? pawl_count_of(pawl_number_of(json_object_get(r->checkpoint, "tokens"), domain)).text : "–",
         pawl_count_of(pawl_number_of(held, "documents")).text, pawl_word_of(d, "path"));
    write_files(out, json_object_get(d, "files"));
    HTML(out, "</td></tr>");
}

void pawl_report_data(pawl_text *out, const pawl_report_view *v)
{
    const json_t *datasets = json_object_get(pawl_report_lineage(v->run), "datasets");
    json_t *d;
    size_t i;
    if (!json_array_size(datasets)) {
        HTML(out, "<p class=\"none\">Known from the first checkpoint on.</p>");
        return;
    }
    pawl_scroll_begin(out, "Data and licences");
    HTML(out, "<table class=\"figures\"><thead><tr><th scope=\"col\">Domain</th><th scope=\"col\" "
              "class=\"words\">licence</th><th scope=\"col\">weight</th><th scope=\"col\">documents</th>"
              "<th scope=\"col\">trained tokens</th><th scope=\"col\">held-out documents</th><th scope=\"col\" "
              "class=\"words\">path</th></tr></thead><tbody>");
    json_array_foreach((json_t *)(uintptr_t)datasets, i, d) write_dataset(out, v->run, d);
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}
