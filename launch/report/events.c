/* What happened on the way: saves, resumes, steps that were skipped, stops, gates. */
#include <stdlib.h>
#include <string.h>

#include "launch/report/report.h"

enum { SHOWN = 200 };

/* The rest of the line as it stands. */
static void write_rest(pawl_text *out, const json_t *line)
{
    const char *key;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)(uintptr_t)line, key, value)
    {
        if (strcmp(key, "step") == 0 || strcmp(key, "event") == 0 || strcmp(key, "arenas") == 0) continue;
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        HTML(out, "$<span class=\"key\">$</span> $", count++ ? ", " : "", key,
             text                    ? text
             : json_is_string(value) ? json_string_value(value)
                                     : "");
        free(text);
    }
}

void pawl_report_events(pawl_text *out, const pawl_report_view *v)
{
    const size_t count = json_array_size(v->run->events), first = count > SHOWN ? count - SHOWN : 0;
    if (!count) {
        HTML(out, "<p class=\"none\">No save, resume, skipped step, stop or gate.</p>");
        return;
    }
    pawl_scroll_begin(out, "Events");
    HTML(out, "<table class=\"figures\"><thead><tr><th scope=\"col\">Step</th><th scope=\"col\" "
              "class=\"words\">event</th><th scope=\"col\" class=\"words\">what it says</th></tr></thead><tbody>");
    for (size_t i = first; i < count; i++) {
        const json_t *line = json_array_get(v->run->events, i);
        HTML(out, "<tr><th scope=\"row\">$</th><td class=\"words\">$</td><td class=\"words\">",
             pawl_count_of(pawl_number_of(line, "step")).text, pawl_word_of(line, "event"));
        write_rest(out, line);
        HTML(out, "</td></tr>");
    }
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
    if (first)
        HTML(out, "<p class=\"note\">The last $ of $.</p>", pawl_count_of(SHOWN).text,
             pawl_count_of((double)count).text);
}
