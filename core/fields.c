#include "core/fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void *member(const pawl_field *row, void *section)
{
    return (char *)section + row->at;
}

static const void *const_member(const pawl_field *row, const void *section)
{
    return (const char *)section + row->at;
}

const void *pawl_field_item(const pawl_field *row, const void *section, int item)
{
    return (const char *)section + row->at + row->body_at + row->room * (size_t)item;
}

/* ---- What is expected ---- */

/* 1000000 and 1e12 rather than 1e+06 and 1e+12. */
static void format_bound(double x, char out[32])
{
    if (fabs(x) < 1e16 && x == floor(x) && fmod(x, 1e7) != 0) snprintf(out, 32, "%.0f", x);
    else pawl_format_f64(x, out);
    char *exponent = strchr(out, 'e');
    if (!exponent) return;
    char *from = exponent + 1 + (exponent[1] == '+'), *to = exponent + 1;
    if (*from == '-') *to++ = *from++;
    while (*from == '0') from++;
    memmove(to, from, strlen(from) + 1);
}

void pawl_field_range(const pawl_field *row, char *out, size_t room)
{
    char lo[32], hi[32];
    format_bound(row->lo, lo);
    format_bound(row->hi, hi);
    snprintf(out, room, "[%s, %s]", lo, hi);
}

static void list_choices(const pawl_field *row, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, row->choices[1] ? "one of" : "the word");
    for (int i = 0; row->choices[i] && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s %s", i ? "," : "", row->choices[i]);
    if (row->may_be_null && n < room) snprintf(out + n, room - n, ", or null");
}

void pawl_field_expects(const pawl_field *row, char *out, size_t room)
{
    char range[72];
    const char *gap = row->unit[0] ? " " : "";
    switch (row->kind) {
    case PAWL_KIND_i64:
    case PAWL_KIND_f64:
        pawl_field_range(row, range, sizeof range);
        snprintf(out, room, "a %snumber in %s%s%s%s", row->kind == PAWL_KIND_i64 ? "whole " : "", range, gap, row->unit,
                 row->may_be_auto ? ", or auto" : row->may_be_null ? ", or null" : "");
        break;
    case PAWL_KIND_flag: snprintf(out, room, "true or false"); break;
    case PAWL_KIND_choice: list_choices(row, out, room); break;
    case PAWL_KIND_text: snprintf(out, room, "a text of at most %zu bytes", row->room - 1); break;
    case PAWL_KIND_texts:
        snprintf(out, room, "a list of at most %d texts of 1 to %zu bytes", row->most, row->room - 1);
        break;
    case PAWL_KIND_list: snprintf(out, room, "a list of at most %d items", row->most); break;
    case PAWL_KIND_record: snprintf(out, room, "keys and values, or null"); break;
    }
}

/* ---- Setting ---- */

/* What stands between quotes: at most 60 bytes of it, control characters hidden, no character cut in two. */
static int quote(const char *text, char out[64])
{
    size_t n = 0;
    for (; text[n] && n < 60; n++) out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    const int cut = text[n] != 0;
    while (cut && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    out[n] = 0;
    return cut;
}

static int refuse(const pawl_field *row, const char *text, const char *advice, char *why, size_t room)
{
    char expected[512], shown[64];
    const int cut = quote(text, shown);
    pawl_field_expects(row, expected, sizeof expected);
    snprintf(why, room, "expected %s, found '%s%s'%s", expected, shown, cut ? "..." : "", advice);
    return 0;
}

/* The member becomes null where it may be; 1 when it did. */
static int set_none(const pawl_field *row, void *section, const char *text)
{
    const int64_t whole = PAWL_NONE_i64;
    const double real = PAWL_NONE_f64;
    const int32_t choice = PAWL_NONE;
    if (!row->may_be_null || strcmp(text, "null") != 0) return 0;
    if (row->kind == PAWL_KIND_i64) memcpy(member(row, section), &whole, sizeof whole);
    else if (row->kind == PAWL_KIND_f64) memcpy(member(row, section), &real, sizeof real);
    else memcpy(member(row, section), &choice, sizeof choice);
    return 1;
}

/* YAML 1.1 reads 010 as eight, and people read it as ten: neither is guessed. */
static int leading_zero(const char *s)
{
    s += *s == '+' || *s == '-';
    return s[0] == '0' && s[1] >= '0' && s[1] <= '9';
}

static int set_number(const pawl_field *row, void *section, const char *text, char *why, size_t room)
{
    int64_t whole = PAWL_AUTO;
    double real = 0;
    if (row->may_be_auto && strcmp(text, "auto") == 0) {
        memcpy(member(row, section), &whole, sizeof whole);
        return 1;
    }
    if (leading_zero(text)) return refuse(row, text, " (leave out the leading zero)", why, room);
    if (text[0] == ' ' || text[0] == '\t') return refuse(row, text, "", why, room);
    if (row->kind == PAWL_KIND_i64 ? !pawl_parse_i64(text, &whole) : !pawl_parse_f64(text, &real))
        return refuse(row, text, "", why, room);
    const double x = row->kind == PAWL_KIND_i64 ? (double)whole : real;
    if (!(x >= row->lo && x <= row->hi)) return refuse(row, text, "", why, room);
    if (row->kind == PAWL_KIND_i64) memcpy(member(row, section), &whole, sizeof whole);
    else memcpy(member(row, section), &real, sizeof real);
    return 1;
}

static int set_flag(const pawl_field *row, void *section, const char *text, char *why, size_t room)
{
    static const char *const words[2][9] = {{"no", "No", "NO", "off", "Off", "OFF", "False", "FALSE", "0"},
                                            {"yes", "Yes", "YES", "on", "On", "ON", "True", "TRUE", "1"}};
    const pawl_flag value = strcmp(text, "true") == 0;
    if (value || strcmp(text, "false") == 0) {
        memcpy(member(row, section), &value, sizeof value);
        return 1;
    }
    for (int meant = 0; meant < 2; meant++)
        for (int i = 0; i < 9; i++)
            if (strcmp(text, words[meant][i]) == 0)
                return refuse(row, text, meant ? " (write true)" : " (write false)", why, room);
    return refuse(row, text, "", why, room);
}

static int set_choice(const pawl_field *row, void *section, const char *text, char *why, size_t room)
{
    char advice[128] = "";
    for (int32_t i = 0; row->choices[i]; i++)
        if (strcmp(text, row->choices[i]) == 0) {
            memcpy(member(row, section), &i, sizeof i);
            return 1;
        }
    const char *near = pawl_nearest(text, row->choices);
    if (near) snprintf(advice, sizeof advice, "; did you mean '%s'?", near);
    return refuse(row, text, advice, why, room);
}

/* C0 and C1 controls, the line and paragraph separators, the marks of writing direction (which make a terminal show the rest of a line
 * in another order), the byte order mark, U+FFFE and U+FFFF. */
int pawl_unprintable(const char *text)
{
    static const char *const others[] = {"\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa",
                                         "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7",
                                         "\xe2\x81\xa8", "\xe2\x81\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};
    const unsigned char *p = (const unsigned char *)text;
    if ((*p && *p < 0x20) || *p == 0x7f) return 1;
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) return 2;
    for (size_t i = 0; *p >= 0xd8 && i < sizeof others / sizeof *others; i++)
        if (strncmp(text, others[i], strlen(others[i])) == 0) return (int)strlen(others[i]);
    return 0;
}

static int has_unprintable(const char *text)
{
    while (*text && !pawl_unprintable(text)) text++;
    return *text != 0;
}

static int take_text(const pawl_field *row, int may_be_empty, void *to, const char *text, char *why, size_t room)
{
    const size_t bytes = strlen(text);
    char advice[64] = "";
    if (bytes == 0 && !may_be_empty) return refuse(row, text, "", why, room);
    if (has_unprintable(text))
        return refuse(row, text, " (it has a line break, a control character or a mark of writing direction)", why, room);
    if (bytes >= row->room) {
        snprintf(advice, sizeof advice, " (%zu bytes)", bytes);
        return refuse(row, text, advice, why, room);
    }
    memset(to, 0, row->room); /* what is behind the NUL is hashed with the rest */
    memcpy(to, text, bytes);
    return 1;
}

int pawl_field_append(const pawl_field *row, void *section, const char *text, char *why, size_t room)
{
    const int32_t count = pawl_field_count(row, section), after = count + 1;
    if (count >= row->most) {
        snprintf(why, room, "expected at most %d items", row->most);
        return 0;
    }
    if (!take_text(row, 0, (void *)(uintptr_t)pawl_field_item(row, section, count), text, why, room)) return 0;
    memcpy(member(row, section), &after, sizeof after);
    return 1;
}

int pawl_field_set(const pawl_field *row, void *section, const char *text, char *why, size_t room)
{
    if (set_none(row, section, text)) return 1;
    switch (row->kind) {
    case PAWL_KIND_i64:
    case PAWL_KIND_f64: return set_number(row, section, text, why, room);
    case PAWL_KIND_flag: return set_flag(row, section, text, why, room);
    case PAWL_KIND_choice: return set_choice(row, section, text, why, room);
    case PAWL_KIND_text: return take_text(row, row->dflt != NULL, member(row, section), text, why, room);
    case PAWL_KIND_texts:
    case PAWL_KIND_list:
    case PAWL_KIND_record: break;
    }
    return refuse(row, text, "", why, room);
}

/* The bytes of a member, body included. */
static size_t extent(const pawl_field *row)
{
    switch (row->kind) {
    case PAWL_KIND_i64: return sizeof(pawl_i64);
    case PAWL_KIND_f64: return sizeof(pawl_f64);
    case PAWL_KIND_flag: return sizeof(pawl_flag);
    case PAWL_KIND_choice: return sizeof(int32_t);
    case PAWL_KIND_text: return row->room;
    case PAWL_KIND_texts:
    case PAWL_KIND_list: return row->body_at + row->room * (size_t)row->most;
    case PAWL_KIND_record: return row->body_at + row->room;
    }
    return 0;
}

void pawl_fields_default(const pawl_field *rows, void *section)
{
    char why[600];
    for (; rows->key; rows++) {
        memset(member(rows, section), 0, extent(rows));
        if (!rows->dflt || rows->kind == PAWL_KIND_list || rows->kind == PAWL_KIND_record) continue;
        if (rows->kind == PAWL_KIND_texts && !rows->dflt[0]) continue;
        const int taken = rows->kind == PAWL_KIND_texts ? pawl_field_append(rows, section, rows->dflt, why, sizeof why)
                                                        : pawl_field_set(rows, section, rows->dflt, why, sizeof why);
        PAWL_ASSERT(taken); /* a default outside its own range */
    }
}

/* ---- Getting ---- */

static int64_t get_i64(const pawl_field *row, const void *section)
{
    int64_t x;
    memcpy(&x, const_member(row, section), sizeof x);
    return x;
}

static double get_f64(const pawl_field *row, const void *section)
{
    double x;
    memcpy(&x, const_member(row, section), sizeof x);
    return x;
}

static int is_auto(const pawl_field *row, const void *section)
{
    return row->may_be_auto && get_i64(row, section) == PAWL_AUTO;
}

/* A flag, a choice, the count of a list, the presence of a record. */
static int32_t get_i32(const pawl_field *row, const void *section)
{
    int32_t x;
    memcpy(&x, const_member(row, section), sizeof x);
    return x;
}

static const char *get_choice(const pawl_field *row, const void *section)
{
    const int32_t i = get_i32(row, section);
    PAWL_ASSERT(i >= 0);
    for (int32_t n = 0; n <= i; n++) PAWL_ASSERT(row->choices[n]);
    return row->choices[i];
}

static int is_none(const pawl_field *row, const void *section)
{
    if (!row->may_be_null) return 0;
    if (row->kind == PAWL_KIND_i64) return get_i64(row, section) == PAWL_NONE_i64;
    if (row->kind == PAWL_KIND_f64) return get_f64(row, section) == PAWL_NONE_f64;
    return get_i32(row, section) == PAWL_NONE;
}

/* 1.0e-8 rather than 1e-8, which other readers of YAML take for a text: YAML 1.1 has no float without a point. */
static void format_real(double x, char *out, size_t room)
{
    char number[32];
    pawl_json_number(x, number);
    const char *exponent = strchr(number, 'e');
    const int head = exponent ? (int)(exponent - number) : (int)strlen(number);
    snprintf(out, room, "%.*s%s%s", head, number, exponent && !strchr(number, '.') ? ".0" : "", number + head);
}

void pawl_field_get(const pawl_field *row, const void *section, char *out, size_t room)
{
    if (is_auto(row, section)) {
        snprintf(out, room, "auto");
        return;
    }
    if (is_none(row, section)) {
        snprintf(out, room, "null");
        return;
    }
    switch (row->kind) {
    case PAWL_KIND_i64: snprintf(out, room, "%" PRId64, get_i64(row, section)); break;
    case PAWL_KIND_f64: format_real(get_f64(row, section), out, room); break;
    case PAWL_KIND_flag: snprintf(out, room, "%s", get_i32(row, section) ? "true" : "false"); break;
    case PAWL_KIND_choice: snprintf(out, room, "%s", get_choice(row, section)); break;
    case PAWL_KIND_text: snprintf(out, room, "%s", (const char *)const_member(row, section)); break;
    case PAWL_KIND_texts:
    case PAWL_KIND_list:
    case PAWL_KIND_record: PAWL_ASSERT(!"a scalar row");
    }
}

int pawl_field_count(const pawl_field *row, const void *section)
{
    return get_i32(row, section);
}

static pawl_status list_json(const pawl_field *row, const void *section, json_t **out)
{
    json_t *array = json_array();
    pawl_status status = PAWL_OK;
    for (int i = 0; array && i < get_i32(row, section); i++) {
        json_t *item;
        if (row->kind == PAWL_KIND_texts) item = json_string(pawl_field_item(row, section, i));
        else PAWL_TRY_OUT(pawl_fields_json(row->fields, pawl_field_item(row, section, i), &item));
        if (json_array_append_new(array, item) < 0) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for JSON"));
    }
    *out = array;
    return PAWL_OK;
out:
    json_decref(array);
    return status;
}

static pawl_status field_json(const pawl_field *row, const void *section, json_t **out)
{
    if (is_none(row, section)) {
        *out = json_null();
        return PAWL_OK;
    }
    switch (row->kind) {
    case PAWL_KIND_i64: *out = is_auto(row, section) ? json_string("auto") : json_integer(get_i64(row, section)); break;
    case PAWL_KIND_f64: *out = json_real(get_f64(row, section)); break;
    case PAWL_KIND_flag: *out = json_boolean(get_i32(row, section)); break;
    case PAWL_KIND_choice: *out = json_string(get_choice(row, section)); break;
    case PAWL_KIND_text: *out = json_string(const_member(row, section)); break;
    case PAWL_KIND_texts:
    case PAWL_KIND_list: PAWL_TRY(list_json(row, section, out)); break;
    case PAWL_KIND_record:
        if (get_i32(row, section)) PAWL_TRY(pawl_fields_json(row->fields, pawl_field_item(row, section, 0), out));
        else *out = json_null();
        break;
    }
    PAWL_CHECK(*out, PAWL_EDATA, "%s has no JSON form: it is not valid UTF-8, or memory is gone", row->key);
    return PAWL_OK;
}

pawl_status pawl_fields_json(const pawl_field *rows, const void *section, json_t **out)
{
    pawl_status status = PAWL_OK;
    json_t *object = json_object(), *value;
    for (; rows->key; rows++) {
        PAWL_TRY_OUT(field_json(rows, section, &value));
        if (json_object_set_new(object, rows->key, value) < 0) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for JSON"));
    }
    *out = object;
    return PAWL_OK;
out:
    json_decref(object);
    return status;
}

json_t *pawl_field_default_json(const pawl_field *row)
{
    int64_t whole = 0;
    double real = 0;
    if (row->may_be_null) return json_null();
    switch (row->kind) {
    case PAWL_KIND_texts: return row->dflt[0] ? json_pack("[s]", row->dflt) : json_array();
    case PAWL_KIND_list: return json_array();
    case PAWL_KIND_record: return json_null();
    case PAWL_KIND_i64:
        if (row->dflt && row->may_be_auto && strcmp(row->dflt, "auto") == 0) return json_string("auto");
        return row->dflt && pawl_parse_i64(row->dflt, &whole) ? json_integer(whole) : json_null();
    case PAWL_KIND_f64: return row->dflt && pawl_parse_f64(row->dflt, &real) ? json_real(real) : json_null();
    case PAWL_KIND_flag: return json_boolean(row->dflt && strcmp(row->dflt, "true") == 0);
    case PAWL_KIND_choice:
    case PAWL_KIND_text: return row->dflt ? json_string(row->dflt) : json_null();
    }
    return NULL;
}
