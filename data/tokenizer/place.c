#include "data/tokenizer/place.h"

#include <stdio.h>
#include <string.h>

pawl_place pawl_place_in(const pawl_place *p, const char *key)
{
    pawl_place in = *p;
    const size_t n = strlen(in.path);
    snprintf(in.path + n, sizeof in.path - n, "%s%s", n ? "." : "", key);
    return in;
}

pawl_place pawl_place_at(const pawl_place *p, size_t index)
{
    pawl_place at = *p;
    const size_t n = strlen(at.path);
    snprintf(at.path + n, sizeof at.path - n, "[%zu]", index);
    return at;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_null(v) ? NULL : v;
}

pawl_status pawl_member_text(const json_t *object, const char *key, const pawl_place *p, int required, const char **out)
{
    const json_t *v = member(object, key);
    const pawl_place at = pawl_place_in(p, key);
    PAWL_REQUIRE(v || !required, &at, "expected a text, found nothing");
    PAWL_REQUIRE(!v || json_is_string(v), &at, "expected a text");
    *out = v ? json_string_value(v) : NULL;
    return PAWL_OK;
}

pawl_status pawl_member_flag(const json_t *object, const char *key, const pawl_place *p, int dflt, int *out)
{
    const json_t *v = member(object, key);
    const pawl_place at = pawl_place_in(p, key);
    PAWL_REQUIRE(v || dflt >= 0, &at, "expected true or false, found nothing");
    PAWL_REQUIRE(!v || json_is_boolean(v), &at, "expected true or false");
    *out = v ? json_is_true(v) : dflt;
    return PAWL_OK;
}

pawl_status pawl_member_count(const json_t *object, const char *key, const pawl_place *p, int64_t most, int64_t *out)
{
    const json_t *v = member(object, key);
    const pawl_place at = pawl_place_in(p, key);
    PAWL_REQUIRE(json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= most, &at,
                 "expected a whole number in [0, %lld]", (long long)most);
    *out = json_integer_value(v);
    return PAWL_OK;
}

pawl_status pawl_member_array(const json_t *object, const char *key, const pawl_place *p, const json_t **out)
{
    const json_t *v = member(object, key);
    const pawl_place at = pawl_place_in(p, key);
    PAWL_REQUIRE(json_is_array(v), &at, "expected a list");
    *out = v;
    return PAWL_OK;
}

pawl_status pawl_member_choice(const json_t *object, const char *key, const pawl_place *p, const char *const *names,
                               int dflt, int *out)
{
    const char *text;
    const pawl_place at = pawl_place_in(p, key);
    PAWL_TRY(pawl_member_text(object, key, p, dflt < 0, &text));
    *out = dflt;
    for (int i = 0; text && names[i]; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return PAWL_OK;
        }
    PAWL_REQUIRE(!text, &at, "'%.40s' is not supported", text);
    return PAWL_OK;
}
