/* JSON Schema (2020-12) of a run, for editors. What holds between keys is said by pawl itself. */
#include <string.h>

#include "configs/configs.h"

static json_t *schema_of_rows(json_t *schema, const pawl_field *rows);

/* jansson's *_new setters take over the value and fail, without leaking, when it is NULL: one check at the end is enough. */
static void set(json_t *object, const char *key, json_t *value, int *failed)
{
    *failed |= json_object_set_new(object, key, value) < 0;
}

static json_t *number(const pawl_field *row, double x)
{
    return row->kind == PAWL_KIND_i64 ? json_integer((json_int_t)x) : json_real(x);
}

static void add_number(json_t *s, const pawl_field *row, int *failed)
{
    const char *type = row->kind == PAWL_KIND_i64 ? "integer" : "number";
    if (row->may_be_auto) set(s, "pattern", json_string("^auto$"), failed); /* of a text */
    const char *other = row->may_be_auto ? "string" : row->may_be_null ? "null" : NULL;
    set(s, "type", other ? json_pack("[s,s]", type, other) : json_string(type), failed);
    set(s, "minimum", number(row, row->lo), failed);
    set(s, "maximum", number(row, row->hi), failed);
}

static void add_text(json_t *s, const pawl_field *row, int *failed)
{
    set(s, "type", json_string("string"), failed);
    set(s, "maxLength", json_integer((json_int_t)row->room - 1), failed);
    if (!row->dflt) set(s, "minLength", json_integer(1), failed);
}

static void add_choice(json_t *s, const pawl_field *row, int *failed)
{
    json_t *names = json_array();
    for (int i = 0; row->choices[i]; i++) *failed |= json_array_append_new(names, json_string(row->choices[i])) < 0;
    if (row->may_be_null) *failed |= json_array_append_new(names, json_null()) < 0;
    set(s, "enum", names, failed);
}

/* A list of texts, or one text alone. */
static void add_texts(json_t *s, const pawl_field *row, int *failed)
{
    json_t *item = json_pack("{s:s,s:i,s:I}", "type", "string", "minLength", 1, "maxLength", (json_int_t)row->room - 1);
    json_t *list = json_pack("{s:s,s:i,s:O}", "type", "array", "maxItems", row->most, "items", item);
    set(s, "anyOf", json_pack("[o,o]", list, item), failed);
}

static void add_list(json_t *s, const pawl_field *row, int *failed)
{
    const int named = strcmp(row->fields[0].key, "name") == 0; /* then {NAME: {...}} does as well (fill.c) */
    set(s, "type", named ? json_pack("[s,s]", "array", "object") : json_string("array"), failed);
    set(s, "maxItems", json_integer(row->most), failed);
    set(s, "items", schema_of_rows(json_pack("{s:s}", "type", "object"), row->fields), failed);
}

static json_t *schema_of_row(const pawl_field *row)
{
    json_t *s = row->kind == PAWL_KIND_record ? schema_of_rows(json_pack("{s:[s,s]}", "type", "object", "null"), row->fields)
                                              : json_object();
    int failed = 0;
    switch (row->kind) {
    case PAWL_KIND_i64:
    case PAWL_KIND_f64: add_number(s, row, &failed); break;
    case PAWL_KIND_flag: set(s, "type", json_string("boolean"), &failed); break;
    case PAWL_KIND_choice: add_choice(s, row, &failed); break;
    case PAWL_KIND_text: add_text(s, row, &failed); break;
    case PAWL_KIND_texts: add_texts(s, row, &failed); break;
    case PAWL_KIND_list: add_list(s, row, &failed); break;
    case PAWL_KIND_record: break;
    }
    if (row->dflt) set(s, "default", pawl_field_default_json(row), &failed);
    set(s, "description", row->unit[0] ? json_sprintf("%s (%s)", row->doc, row->unit) : json_string(row->doc), &failed);
    if (!failed) return s;
    json_decref(s);
    return NULL;
}

/* Adds the rows to the schema of an object; takes it over. */
static json_t *add_rows(json_t *schema, const pawl_field *rows, json_t *properties, json_t *required)
{
    int failed = 0;
    for (; rows->key; rows++) {
        set(properties, rows->key, schema_of_row(rows), &failed);
        if (!rows->dflt) failed |= json_array_append_new(required, json_string(rows->key)) < 0;
    }
    if (!failed) return schema;
    json_decref(schema);
    return NULL;
}

static json_t *begin_object(json_t *schema, json_t **properties, json_t **required)
{
    int failed = 0;
    *properties = json_object();
    *required = json_array();
    set(schema, "properties", *properties, &failed);
    set(schema, "required", *required, &failed);
    set(schema, "additionalProperties", json_false(), &failed);
    if (!failed) return schema;
    json_decref(schema);
    return NULL;
}

static json_t *schema_of_rows(json_t *schema, const pawl_field *rows)
{
    json_t *properties, *required;
    schema = begin_object(schema, &properties, &required);
    return schema ? add_rows(schema, rows, properties, required) : NULL;
}

pawl_status pawl_config_schema(json_t **out)
{
    json_t *properties, *required;
    json_t *schema = begin_object(json_pack("{s:s,s:s,s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                                            "A run of pawl", "type", "object"),
                                  &properties, &required);
    for (const pawl_section *s = pawl_sections; schema && s->title; s++) schema = add_rows(schema, s->rows, properties, required);
    PAWL_CHECK(schema, PAWL_EMEM, "no memory for the schema");
    *out = schema;
    return PAWL_OK;
}
