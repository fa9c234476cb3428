/* What happened on the way: saves, resumes, steps that were skipped, stops, gates. */
#include <stdlib.h>
#include <string.h>

#include "launch/report/report.h"

enum { SHOWN = 200 };

static int is_digest(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void write_value(pawl_text *out, const char *key, const json_t *value)
{
    char *text =
        json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(4));
    const char *word = text ? text : json_is_string(value) ? json_string_value(value) : "";
    HTML(out, "<span class=\"key\">$</span> $", key, is_digest(word) ? pawl_short_of(word).text : word);
    free(text);
}

/* The rest of the line; what the section about the plan shows is left out. */
static void write_rest(pawl_text *out, const json_t *line)
{
    static const char *const shown[] = {"step", "event", "arenas", "plan"};
    const char *key;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)(uintptr_t)line, key, value)
    {
        int elsewhere = 0;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) elsewhere |= strcmp(key, shown[i]) == 0;
        if (elsewhere) continue;
        if (count++) HTML(out, ", ");
        write_value(out, key, value);
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
