/* The manual of the keys: docs/configuration.md, and the short list of --help. */
#include <stdio.h>
#include <string.h>

#include "configs/fill.h"

static const char preamble[] =
    "# Configuration\n"
    "\n"
    "<!-- Made by `pawl config reference`; a test compares. Change the rows in the headers, not this file. -->\n"
    "\n"
    "A run is one YAML file of the keys below. `pawl config check RUN.yaml` prints every error in it with its place;\n"
    "`pawl config resolve RUN.yaml` prints it with every key; `pawl config schema` prints a JSON Schema for editors.\n"
    "\n"
    "- On the command line `key=value` replaces what the file says, with the same checks: `learning_rate=1e-4`,\n"
    "  `datasets.0.path=x` (`datasets.1.path=x` adds a second item to a list of one), `model.hidden_size=256`.\n"
    "- Booleans are `true` and `false` only; `yes`, `no`, `on`, `off` are refused. Numbers are decimal (`300`, `1_000_000`,\n"
    "  `1e-4`); a leading zero is refused; quotes make a text.\n"
    "- Anchors, aliases, tags, several documents, files of more than 1 MiB and more than 16 levels are refused.\n"
    "- *fixed* keys enter the numbers: a run is resumed only with the values it began with. *free* ones may change.\n";

static void put_cell(pawl_text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') pawl_text_add(out, "\\");
        pawl_text_add_bytes(out, text, 1);
    }
}

static const char *type_name(const pawl_field *row)
{
    switch (row->kind) {
    case PAWL_KIND_i64: return row->may_be_auto ? "whole number or `auto`" : row->may_be_null ? "whole number or `null`" : "whole number";
    case PAWL_KIND_f64: return row->may_be_null ? "number or `null`" : "number";
    case PAWL_KIND_flag: return "boolean";
    case PAWL_KIND_choice: return row->may_be_null ? "word or `null`" : "word";
    case PAWL_KIND_text: return "text";
    case PAWL_KIND_texts: return "list of texts";
    case PAWL_KIND_list: return "list";
    case PAWL_KIND_record: return "keys";
    }
    return "";
}

static void range_of(const pawl_field *row, char *out, size_t room)
{
    size_t n = 0;
    switch (row->kind) {
    case PAWL_KIND_i64:
    case PAWL_KIND_f64: pawl_field_range(row, out, room); break;
    case PAWL_KIND_flag: snprintf(out, room, "`true`, `false`"); break;
    case PAWL_KIND_text: snprintf(out, room, "%s%zu bytes", row->dflt ? "up to " : "1 to ", row->room - 1); break;
    case PAWL_KIND_texts:
    case PAWL_KIND_list: snprintf(out, room, "up to %d items", row->most); break;
    case PAWL_KIND_record: snprintf(out, room, "or `null`"); break;
    case PAWL_KIND_choice:
        for (int i = 0; row->choices[i] && n < room; i++)
            n += (size_t)snprintf(out + n, room - n, "%s`%s`", i ? ", " : "", row->choices[i]);
    }
}

static void default_of(const pawl_field *row, char *out, size_t room)
{
    if (!row->dflt) snprintf(out, room, "*required*");
    else if (row->kind == PAWL_KIND_list || (row->kind == PAWL_KIND_texts && !row->dflt[0])) snprintf(out, room, "`[]`");
    else if (row->kind == PAWL_KIND_texts) snprintf(out, room, "`[%s]`", row->dflt);
    else if (row->kind == PAWL_KIND_record) snprintf(out, room, "`null`");
    else if (row->kind == PAWL_KIND_text && !row->dflt[0]) snprintf(out, room, "`\"\"`");
    else snprintf(out, room, "`%s`", row->dflt);
}

static void put_row(pawl_text *out, const pawl_field *row)
{
    char range[512], dflt[128];
    range_of(row, range, sizeof range);
    default_of(row, dflt, sizeof dflt);
    pawl_text_add(out, "| `%s` | %s | %s | ", row->key, type_name(row), dflt);
    put_cell(out, range);
    pawl_text_add(out, " | %s | %s | ", row->unit, row->change == PAWL_CHANGE_FREE ? "free" : "fixed");
    put_cell(out, row->doc);
    pawl_text_add(out, " |\n");
}

static void put_table(pawl_text *out, const pawl_field *rows)
{
    pawl_text_add(out, "\n| key | type | default | range | unit | on resume | meaning |\n|---|---|---|---|---|---|---|\n");
    for (; rows->key; rows++) put_row(out, rows);
}

/* Sets of rows that have a table, and under which path. */
typedef struct shown {
    const pawl_field *rows[64];
    char path[64][160];
    int count;
} shown;

/* The path under which rows were shown; NULL: here they are for the first time. */
static const char *shown_as(shown *s, const pawl_field *rows, const char *path)
{
    for (int i = 0; i < s->count; i++)
        if (s->rows[i] == rows) return s->path[i];
    if (s->count == 64) return NULL;
    s->rows[s->count] = rows;
    snprintf(s->path[s->count++], sizeof s->path[0], "%s", path);
    return NULL;
}

/* A list's or record's own keys, under the dotted path to it; rows that were shown under another path are only named. */
static void put_inner(pawl_text *out, shown *s, const pawl_field *rows, const char *prefix)
{
    char path[160];
    for (const pawl_field *row = rows; row->key; row++) {
        if (!row->fields) continue;
        snprintf(path, sizeof path, "%s%s%s", prefix, row->key, row->kind == PAWL_KIND_list ? "[]" : "");
        pawl_text_add(out, "\n### `%s`\n", path);
        const char *twin = shown_as(s, row->fields, path);
        if (twin) {
            pawl_text_add(out, "\nThe keys of `%s`.\n", twin);
            continue;
        }
        put_table(out, row->fields);
        snprintf(path, sizeof path, "%s%s%s.", prefix, row->key, row->kind == PAWL_KIND_list ? "[]" : "");
        put_inner(out, s, row->fields, path);
    }
}

pawl_status pawl_config_reference(pawl_text *out)
{
    shown s = {.count = 0};
    pawl_text_add(out, "%s", preamble);
    for (const pawl_section *x = pawl_sections; x->title; x++) {
        pawl_text_add(out, "\n## %s\n", x->title);
        put_table(out, x->rows);
        put_inner(out, &s, x->rows, "");
    }
    pawl_text_add(out, "\n## Between keys\n\n");
    pawl_check_rules(out);
    return pawl_text_status(out);
}

static void put_help(pawl_text *out, const pawl_field *rows, int indent)
{
    for (; rows->key; rows++) {
        pawl_text_add(out, "%*s%-*s %s", indent, "", 30 - indent, rows->key, rows->doc);
        if (!rows->dflt) pawl_text_add(out, " (required)\n");
        else if (rows->dflt[0]) pawl_text_add(out, " (%s)\n", rows->dflt);
        else pawl_text_add(out, "\n");
    }
}

void pawl_config_help(pawl_text *out)
{
    pawl_text_add(out, "Keys of RUN.yaml, with their defaults; also KEY=VALUE on the command line:\n");
    for (const pawl_section *s = pawl_sections; s->title; s++) {
        pawl_text_add(out, "\n%s\n", s->title);
        put_help(out, s->rows, 2);
    }
    pawl_text_add(out, "\n`pawl config reference` prints types, ranges and the keys inside datasets and model.\n");
}
