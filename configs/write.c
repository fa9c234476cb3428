/* A run as YAML that reads back to the same run: every key, under the headings of the manual. */
#include <string.h>

#include "configs/configs.h"

/* Texts have no control characters (pawl_field_set refuses them), so two escapes are enough. */
static void put_text(pawl_text *out, const char *text)
{
    pawl_text_add(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') pawl_text_add(out, "\\");
        pawl_text_add_bytes(out, text, 1);
    }
    pawl_text_add(out, "\"");
}

static void put_rows(pawl_text *out, const pawl_field *rows, const void *section, int indent, const char *first);

static void put_list(pawl_text *out, const pawl_field *row, const void *section, int indent)
{
    const int count = pawl_field_count(row, section);
    pawl_text_add(out, count ? "\n" : " []\n");
    for (int i = 0; i < count; i++) put_rows(out, row->fields, pawl_field_item(row, section, i), indent + 4, "- ");
}

static void put_texts(pawl_text *out, const pawl_field *row, const void *section)
{
    pawl_text_add(out, " [");
    for (int i = 0; i < pawl_field_count(row, section); i++) {
        if (i) pawl_text_add(out, ", ");
        put_text(out, pawl_field_item(row, section, i));
    }
    pawl_text_add(out, "]\n");
}

static void put_value(pawl_text *out, const pawl_field *row, const void *section, int indent)
{
    char text[64];
    if (row->kind == PAWL_KIND_list) {
        put_list(out, row, section, indent);
    } else if (row->kind == PAWL_KIND_texts) {
        put_texts(out, row, section);
    } else if (row->kind == PAWL_KIND_record && pawl_field_count(row, section)) {
        pawl_text_add(out, "\n");
        put_rows(out, row->fields, pawl_field_item(row, section, 0), indent + 2, "");
    } else if (row->kind == PAWL_KIND_record) {
        pawl_text_add(out, " null\n");
    } else if (row->kind == PAWL_KIND_text) {
        pawl_text_add(out, " ");
        put_text(out, (const char *)section + row->at);
        pawl_text_add(out, "\n");
    } else {
        pawl_field_get(row, section, text, sizeof text);
        pawl_text_add(out, " %s\n", text);
    }
}

/* first: what stands before the first key, within the indent ("- " for an item of a list). */
static void put_rows(pawl_text *out, const pawl_field *rows, const void *section, int indent, const char *first)
{
    for (const pawl_field *row = rows; row->key; row++) {
        const char *lead = row == rows ? first : "";
        pawl_text_add(out, "%*s%s%s:", indent - (int)strlen(lead), "", lead, row->key);
        put_value(out, row, section, indent);
    }
}

pawl_status pawl_config_yaml(const pawl_run_config *c, pawl_text *out)
{
    for (const pawl_section *s = pawl_sections; s->title; s++) {
        pawl_text_add(out, "%s# %s\n", s == pawl_sections ? "" : "\n", s->title);
        put_rows(out, s->rows, (const char *)c + s->at, 0, "");
    }
    return pawl_text_status(out);
}
