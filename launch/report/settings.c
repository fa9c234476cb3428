/* The configuration: what differs from the defaults. */
#include <stdlib.h>
#include <string.h>

#include "configs/configs.h"
#include "launch/report/report.h"

/* As canonical text: a record that was written and read back has 1 where it had 1.0. */
static int same(const json_t *a, const json_t *b)
{
    pawl_text x = {0}, y = {0};
    const int s = a && b && pawl_json_canonical(a, &x) == PAWL_OK && pawl_json_canonical(b, &y) == PAWL_OK &&
                  x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0;
    pawl_text_close(&x);
    pawl_text_close(&y);
    return s;
}

static const pawl_field *row_of(const pawl_field *rows, const char *key)
{
    for (; rows && rows->key; rows++)
        if (strcmp(rows->key, key) == 0) return rows;
    return NULL;
}

static const pawl_field *row_of_run(const char *key)
{
    for (int s = 0; pawl_sections[s].title; s++) {
        const pawl_field *row = row_of(pawl_sections[s].rows, key);
        if (row) return row;
    }
    return NULL;
}

/* value without the members that stand at their defaults, in records at any depth. */
static json_t *what_differs(const pawl_field *row, const json_t *value)
{
    const char *key;
    json_t *member, *out;
    size_t i;
    if (!row || !row->fields) return json_deep_copy(value);
    if (json_is_array(value)) {
        out = json_array();
        json_array_foreach((json_t *)(uintptr_t)value, i, member) json_array_append_new(out, what_differs(row, member));
        return out;
    }
    if (!json_is_object(value)) return json_deep_copy(value);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const pawl_field *inner = row_of(row->fields, key);
        json_t *usual = inner ? pawl_field_default_json(inner) : NULL;
        if (!same(member, usual)) json_object_set_new(out, key, what_differs(inner, member));
        json_decref(usual);
    }
    return out;
}

static void write_value(pawl_text *out, const json_t *value)
{
    const int deep = json_is_array(value) || json_is_object(value);
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10) | (deep ? JSON_INDENT(2) : 0));
    if (deep)
        HTML(out, "<pre>$</pre>", text ? text : "");
    else
        HTML(out, "$", text ? text : json_is_string(value) ? json_string_value(value) : "");
    free(text);
}

static void write_setting(pawl_text *out, const char *key, const json_t *value)
{
    const pawl_field *row = row_of_run(key);
    json_t *usual = row ? pawl_field_default_json(row) : NULL, *rest;
    if (!same(value, usual) && (rest = what_differs(row, value)) != NULL) {
        HTML(out, "<tr><th scope=\"row\"><code>$</code></th><td class=\"words\">", key);
        write_value(out, rest);
        HTML(out, "</td><td class=\"words\">");
        if (!usual || json_is_null(usual))
            HTML(out, "–");
        else if (json_is_array(usual) && !json_array_size(usual))
            HTML(out, "none");
        else
            write_value(out, usual);
        HTML(out, "</td></tr>");
        json_decref(rest);
    }
    json_decref(usual);
}

void pawl_report_settings(pawl_text *out, const pawl_report_view *v)
{
    json_t *configuration = json_object_get(pawl_report_lineage(v->run), "configuration"), *value;
    const char *key;
    if (!json_is_object(configuration)) {
        HTML(out,
             "<p class=\"none\">Known from the first checkpoint on; resolved.yaml in the run's folder has it.</p>");
        return;
    }
    pawl_scroll_begin(out, "Configuration that differs from defaults");
    HTML(out, "<table class=\"figures\"><caption>What differs from the defaults</caption><thead><tr><th "
              "scope=\"col\">Key</th><th scope=\"col\" class=\"words\">here</th><th scope=\"col\" "
              "class=\"words\">default</th></tr></thead><tbody>");
    json_object_foreach(configuration, key, value) write_setting(out, key, value);
    HTML(out, "</tbody></table>");
    pawl_scroll_end(out);
}

/* Lines "key: before -> after" as a list. */
void pawl_report_differences(pawl_text *out, const pawl_report_run *a, const pawl_report_run *b)
{
    const json_t *one = json_object_get(pawl_report_lineage(a), "configuration"),
                 *two = json_object_get(pawl_report_lineage(b), "configuration");
    pawl_text lines = {0};
    if (!json_is_object(one) || !json_is_object(two)) return;
    HTML(out, "<h3>What was set differently, A → B</h3>");
    if (pawl_config_diff(one, two, 0, &lines) == 0) HTML(out, "<p class=\"none\">Nothing.</p>");
    HTML(out, "<ul class=\"files\">");
    for (char *at = lines.data, *end; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        if (end) *end = 0;
        HTML(out, "<li>$</li>", at);
        if (!end) break;
    }
    HTML(out, "</ul>");
    pawl_text_close(&lines);
}
