/* A retention matrix out of a JSON file. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/fields.h"
#include "trainer/continual/retention.h"

enum { STAGES_MOST = 10000, BYTES_MOST = 1 << 28 };

static pawl_status number_of(const json_t *cell, int may_lack, const char *where, const char *list, size_t i,
                             double *out)
{
    if (may_lack && json_is_null(cell)) {
        *out = NAN;
        return PAWL_OK;
    }
    PAWL_CHECK(json_is_number(cell) && isfinite(json_number_value(cell)), PAWL_EDATA,
               "%s: %s, number %zu: expected a finite number%s", where, list, i + 1, may_lack ? " or null" : "");
    *out = json_number_value(cell);
    return PAWL_OK;
}

/* Row i: at least up to the diagonal. */
static pawl_status read_row(const json_t *row, size_t i, const char *where, pawl_retention *out)
{
    char list[48];
    const size_t T = (size_t)out->stages, n = json_array_size(row);
    snprintf(list, sizeof list, "R, row %zu", i + 1);
    PAWL_CHECK(json_is_array(row), PAWL_EDATA, "%s: %s: expected an array of numbers", where, list);
    PAWL_CHECK(n == T || n == i + 1, PAWL_EDATA, "%s: %s has %zu numbers: expected %zu, one for each stage%s", where,
               list, n, T, i + 1 < T ? ", or those up to the diagonal" : "");
    for (size_t j = 0; j < n; j++)
        PAWL_TRY(number_of(json_array_get(row, j), j > i, where, list, j, &out->R[(i + 1) * T + j]));
    return PAWL_OK;
}

/* A list of a number for each stage, or nothing. */
static pawl_status read_list(const json_t *file, const char *key, const char *where, int stages, double *to)
{
    const json_t *list = json_object_get(file, key);
    if (!list || json_is_null(list)) return PAWL_OK;
    PAWL_CHECK(json_is_array(list) && json_array_size(list) == (size_t)stages, PAWL_EDATA,
               "%s: %s: expected null or an array of %d numbers, one for each column of R", where, key, stages);
    for (size_t j = 0; j < (size_t)stages; j++) PAWL_TRY(number_of(json_array_get(list, j), 1, where, key, j, &to[j]));
    return PAWL_OK;
}

static int has_unprintable(const char *text)
{
    while (*text && !pawl_unprintable(text)) text++;
    return *text != 0;
}

static pawl_status read_names(const json_t *file, const char *where, pawl_retention *out)
{
    const json_t *names = json_object_get(file, "domains");
    const int given = names && !json_is_null(names);
    PAWL_CHECK(!given || (json_is_array(names) && json_array_size(names) == (size_t)out->columns), PAWL_EDATA,
               "%s: domains: expected an array of %d names, one for each column of R", where, out->columns);
    for (int j = 0; j < out->columns; j++) {
        const char *name = json_string_value(json_array_get(names, (size_t)j));
        PAWL_CHECK(!given || (name && name[0] && strlen(name) < sizeof *out->names && !has_unprintable(name)), PAWL_EDATA,
                   "%s: domains, name %d: expected a text of 1 to %zu bytes without line breaks, control characters and marks of writing direction",
                   where, j + 1, sizeof *out->names - 1);
        if (name)
            snprintf(out->names[j], sizeof *out->names, "%s", name);
        else
            snprintf(out->names[j], sizeof *out->names, "%d", j + 1);
    }
    return PAWL_OK;
}

static pawl_status read_all(const json_t *file, const json_t *R, const char *where, pawl_retention *out)
{
    for (size_t i = 0; i < (size_t)out->stages; i++) {
        PAWL_TRY(read_row(json_array_get(R, i), i, where, out));
        out->learnt[i] = (int)i + 1;
    }
    PAWL_TRY(read_list(file, "before", where, out->stages, out->R));
    PAWL_TRY(read_list(file, "reference", where, out->stages, out->reference));
    return read_names(file, where, out);
}

pawl_status pawl_retention_parse(const json_t *file, const char *where, pawl_retention *out)
{
    PAWL_CHECK(json_is_object(file), PAWL_EDATA,
               "%s: expected an object {\"R\": [[...]], \"before\": [...] or null, \"higher_is_better\": bool}", where);
    const json_t *R = json_object_get(file, "R"), *orientation = json_object_get(file, "higher_is_better");
    const size_t T = json_array_size(R);
    PAWL_CHECK(json_is_array(R) && T >= 1 && T <= STAGES_MOST, PAWL_EDATA,
               "%s: R: expected an array of 1 to %d rows, row i what each domain measured after stage i", where,
               STAGES_MOST);
    PAWL_CHECK(json_is_boolean(orientation), PAWL_EDATA,
               "%s: higher_is_better: expected true (accuracy) or false (loss)", where);
    PAWL_TRY(pawl_retention_open((int)T, (int)T, json_is_true(orientation), out));
    const pawl_status s = read_all(file, R, where, out);
    if (s != PAWL_OK) pawl_retention_close(out);
    return s;
}

pawl_status pawl_retention_read(const char *path, pawl_retention *out)
{
    json_t *file;
    PAWL_TRY(pawl_json_read(path, BYTES_MOST, &file));
    const pawl_status s = pawl_retention_parse(file, path, out);
    json_decref(file);
    return s;
}
