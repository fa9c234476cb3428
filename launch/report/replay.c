/* What the replay memory of the newest checkpoint holds. */
#include <math.h>

#include "launch/report/report.h"

static void write_licenses(pawl_text *out, const json_t *all)
{
    json_t *license;
    size_t i;
    if (!json_array_size(all)) HTML(out, "not stated");
    json_array_foreach((json_t *)(uintptr_t)all, i, license)
    {
        const char *text = json_string_value(license);
        HTML(out, "$$", i ? ", " : "", text && text[0] ? text : "not stated");
    }
}

static void write_bar(pawl_text *out, const json_t *domains, double rows)
{
    json_t *d;
    size_t i;
    HTML(out, "<div class=\"bar\" aria-hidden=\"true\">");
    json_array_foreach((json_t *)(uintptr_t)domains, i, d)
    {
        const double share = 100 * pawl_number_of(d, "rows") / rows;
        if (share > 0)
            pawl_text_add(out, "<span class=\"s%d\" style=\"width:%.3f%%\"></span>", (int)(i % PAWL_CHART_SERIES),
                          share);
    }
    HTML(out, "</div>");
}

void pawl_report_memory_rows(pawl_text *out, const pawl_report_view *v)
{
    const json_t *m = v->run->memory, *domains = json_object_get(m, "domains");
    const double rows = pawl_number_of(m, "rows");
    json_t *d;
    size_t i;
    if (!(rows > 0)) {
        HTML(out, "<p class=\"none\">The newest checkpoint holds no replay memory.</p>");
        return;
    }
    HTML(out, "<p>$ rows of $ documents, $ tokens.</p>", pawl_count_of(rows).text,
         pawl_count_of(pawl_number_of(m, "documents")).text, pawl_count_of(pawl_number_of(m, "tokens")).text);
    write_bar(out, domains, rows);
    pawl_scroll_begin(out, "Composition of the memory");
    HTML(out, "<table class=\"figures\"><thead><tr><th scope=\"col\">Domain</th><th scope=\"col\">rows</th><th "
              "scope=\"col\">share</th><th scope=\"col\">of seen</th>"
              "<th scope=\"col\">tokens</th><th scope=\"col\">documents</th><th scope=\"col\" "
              "class=\"words\">licences</th></tr></thead><tbody>");
    json_array_foreach((json_t *)(uintptr_t)domains, i, d)
    {
        char swatch[8] = {'s', (char)('0' + i % PAWL_CHART_SERIES % 10), 0};
        if (i % PAWL_CHART_SERIES >= 10) swatch[1] = '1', swatch[2] = (char)('0' + i % PAWL_CHART_SERIES - 10);
        HTML(out,
             "<tr><th scope=\"row\"><span class=\"swatch $\"></span> <bdi>$</bdi></th><td>$</td><td>$ "
             "%</td><td>$</td><td>$</td><td>$</td><td class=\"words\">",
             swatch, pawl_word_of(d, "domain"), pawl_count_of(pawl_number_of(d, "rows")).text,
             pawl_fixed_of(100 * pawl_number_of(d, "rows") / rows, 1).text,
             pawl_count_of(pawl_number_of(d, "seen")).text, pawl_count_of(pawl_number_of(d, "tokens")).text,
             pawl_count_of(pawl_number_of(d, "documents")).text);
        write_licenses(out, json_object_get(d, "licenses"));
        HTML(out, "</td></tr>");
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}
