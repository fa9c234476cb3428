/* Methods that cut strings into pieces. */
#include <string.h>

#include "data/jinja/functions.h"

static pawl_status strip_ends(jinja_run *r, jinja_value self, const jinja_args *a, int left, int right,
                              jinja_value *out)
{
    const jinja_string *s = self.string, *chars;
    PAWL_TRY(jinja_check_args(r, "strip()", a, 1, "chars"));
    PAWL_TRY(jinja_arg_string(r, "strip()", jinja_arg(a, 0, "chars"), &chars));
    const size_t first = left ? jinja_strip_first(s, chars) : 0;
    return jinja_string_cut(r, s, first, right ? jinja_strip_end(s, chars, first) : s->bytes, out);
}

pawl_status jinja_strip(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return strip_ends(r, self, a, 1, 1, out);
}

pawl_status jinja_lstrip(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return strip_ends(r, self, a, 1, 0, out);
}

pawl_status jinja_rstrip(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    return strip_ends(r, self, a, 0, 1, out);
}

static pawl_status add_cut(jinja_run *r, jinja_value list, const jinja_string *s, size_t first, size_t end)
{
    jinja_value piece;
    PAWL_TRY(jinja_string_cut(r, s, first, end, &piece));
    return jinja_list_add(r, list.list, piece);
}

/* At white space: runs of it separate, and there are none at the ends. */
static pawl_status split_words(jinja_run *r, const jinja_string *s, int64_t most, jinja_value *out)
{
    size_t at = jinja_strip_first(s, NULL), taken;
    while (at < s->bytes) {
        size_t end = at;
        if (most-- == 0) return add_cut(r, *out, s, at, jinja_strip_end(s, NULL, at));
        while (end < s->bytes && !jinja_space_at(s->data + end, s->bytes - end, &taken)) end += taken;
        PAWL_TRY(add_cut(r, *out, s, at, end));
        for (at = end; at < s->bytes && jinja_space_at(s->data + at, s->bytes - at, &taken);) at += taken;
    }
    return PAWL_OK;
}

static pawl_status split_at(jinja_run *r, const jinja_string *s, const jinja_string *mark, int64_t most,
                            jinja_value *out)
{
    size_t at = 0, found;
    if (mark->bytes == 0) return JINJA_FAIL(r, "split() needs a separator that is not empty");
    while (most-- != 0 && (found = jinja_string_find(s, mark, at)) != SIZE_MAX) {
        PAWL_TRY(add_cut(r, *out, s, at, found));
        at = found + mark->bytes;
    }
    return add_cut(r, *out, s, at, s->bytes);
}

static pawl_status split_args(jinja_run *r, const jinja_args *a, const jinja_string **mark, int64_t *most)
{
    PAWL_TRY(jinja_check_args(r, "split()", a, 2, "sep maxsplit"));
    PAWL_TRY(jinja_arg_string(r, "split()", jinja_arg(a, 0, "sep"), mark));
    return jinja_arg_int(r, "split()", jinja_arg(a, 1, "maxsplit"), -1, most);
}

pawl_status jinja_split(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *mark;
    int64_t most;
    PAWL_TRY(split_args(r, a, &mark, &most));
    PAWL_TRY(jinja_spend(r, self.string->bytes / 8));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, out));
    return mark ? split_at(r, self.string, mark, most, out) : split_words(r, self.string, most, out);
}

/* The last place of what that ends at or before `end`. */
size_t jinja_string_find_last(const jinja_string *s, const jinja_string *what, size_t end)
{
    for (size_t at = end >= what->bytes ? end - what->bytes + 1 : 0; at-- > 0;)
        if (memcmp(s->data + at, what->data, what->bytes) == 0) return at;
    return SIZE_MAX;
}

static void reverse_list(jinja_list *l)
{
    for (size_t i = 0; 2 * i + 1 < l->count; i++) {
        const jinja_value v = l->items[i];
        l->items[i] = l->items[l->count - 1 - i];
        l->items[l->count - 1 - i] = v;
    }
}

pawl_status jinja_rsplit(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s = self.string, *mark;
    int64_t most;
    size_t end = s->bytes, found;
    PAWL_TRY(split_args(r, a, &mark, &most));
    if (!mark && most < 0) return jinja_split(r, self, a, out);
    if (!mark || mark->bytes == 0)
        return JINJA_FAIL(r, "rsplit() at white space a limited number of times is not computed");
    PAWL_TRY(jinja_spend(r, s->bytes / 8));
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, out));
    while (most-- != 0 && (found = jinja_string_find_last(s, mark, end)) != SIZE_MAX) {
        PAWL_TRY(add_cut(r, *out, s, found + mark->bytes, end));
        end = found;
    }
    PAWL_TRY(add_cut(r, *out, s, 0, end));
    reverse_list(out->list);
    return PAWL_OK;
}

size_t jinja_line_end_bytes(const char *data, size_t left)
{
    const unsigned char c = (unsigned char)*data;
    if (c == '\r') return left > 1 && data[1] == '\n' ? 2 : 1;
    if ((c >= 0x0A && c <= 0x0C) || (c >= 0x1C && c <= 0x1E)) return 1;
    if (left > 1 && c == 0xC2 && (unsigned char)data[1] == 0x85) return 2;
    return left > 2 && c == 0xE2 && (unsigned char)data[1] == 0x80 && ((unsigned char)data[2] & 0xFE) == 0xA8 ? 3 : 0;
}

pawl_status jinja_splitlines(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *s = self.string;
    size_t first = 0;
    PAWL_TRY(jinja_check_args(r, "splitlines()", a, 1, "keepends"));
    const int keep = a->count && jinja_truth(a->items[0]);
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, out));
    for (size_t at = 0; at < s->bytes;) {
        const size_t n = jinja_line_end_bytes(s->data + at, s->bytes - at);
        if (n) PAWL_TRY(add_cut(r, *out, s, first, keep ? at + n : at));
        at += n ? n : 1;
        if (n) first = at;
    }
    return first < s->bytes ? add_cut(r, *out, s, first, s->bytes) : PAWL_OK;
}

static pawl_status partition_at(jinja_run *r, const jinja_string *s, const jinja_string *mark, size_t found, int last,
                                jinja_value *out)
{
    const size_t missing = last ? 0 : s->bytes, at = found == SIZE_MAX ? missing : found;
    const size_t behind = found == SIZE_MAX ? at : at + mark->bytes;
    PAWL_TRY(jinja_list_new(r, JINJA_TUPLE, 3, out));
    PAWL_TRY(add_cut(r, *out, s, 0, at));
    PAWL_TRY(add_cut(r, *out, s, at, behind));
    return add_cut(r, *out, s, behind, s->bytes);
}

pawl_status jinja_needed_string(jinja_run *r, const char *what, const jinja_args *a, const jinja_string **out)
{
    PAWL_TRY(jinja_check_args(r, what, a, 1, ""));
    PAWL_TRY(jinja_arg_string(r, what, jinja_arg(a, 0, ""), out));
    return *out ? PAWL_OK : JINJA_FAIL(r, "%s needs a str", what);
}

pawl_status jinja_partition(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *mark;
    PAWL_TRY(jinja_needed_string(r, "partition()", a, &mark));
    return partition_at(r, self.string, mark, jinja_string_find(self.string, mark, 0), 0, out);
}

pawl_status jinja_rpartition(jinja_run *r, jinja_value self, const jinja_args *a, jinja_value *out)
{
    const jinja_string *mark;
    PAWL_TRY(jinja_needed_string(r, "rpartition()", a, &mark));
    return partition_at(r, self.string, mark, jinja_string_find_last(self.string, mark, self.string->bytes), 1, out);
}
