/* Runs: cmocka
 * core/json.h against the examples of RFC 8785 (which are ECMAScript's), and positions of what cannot be parsed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/json.h"
#include "core/rng.h"

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    assert_int_equal(pawl_json_parse(text, strlen(text), "test", &v), PAWL_OK);
    return v;
}

static void assert_canonical(json_t *value, const char *expected)
{
    pawl_text out = {0};
    assert_int_equal(pawl_json_canonical(value, &out), PAWL_OK);
    assert_string_equal(out.data, expected);
    pawl_text_close(&out);
    json_decref(value);
}

/* ---- Numbers ---- */

/* RFC 8785, appendix B; the last ones are powers of two, where the gaps on the two sides differ. */
static const struct { uint64_t bits; const char *text; } numbers[] = {
    {0x0000000000000000, "0"},
    {0x8000000000000000, "0"},
    {0x0000000000000001, "5e-324"},
    {0x8000000000000001, "-5e-324"},
    {0x7fefffffffffffff, "1.7976931348623157e+308"},
    {0xffefffffffffffff, "-1.7976931348623157e+308"},
    {0x4340000000000000, "9007199254740992"},
    {0xc340000000000000, "-9007199254740992"},
    {0x4430000000000000, "295147905179352830000"},
    {0x44b52d02c7e14af5, "9.999999999999997e+22"},
    {0x44b52d02c7e14af6, "1e+23"},
    {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
    {0x444b1ae4d6e2ef4e, "999999999999999700000"},
    {0x444b1ae4d6e2ef4f, "999999999999999900000"},
    {0x444b1ae4d6e2ef50, "1e+21"},
    {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
    {0x3eb0c6f7a0b5ed8d, "0.000001"},
    {0x41b3de4355555553, "333333333.3333332"},
    {0x41b3de4355555554, "333333333.33333325"},
    {0x41b3de4355555555, "333333333.3333333"},
    {0x41b3de4355555556, "333333333.3333334"},
    {0x41b3de4355555557, "333333333.33333343"},
    {0xbecbf647612f3696, "-0.0000033333333333333333"},
    {0x43143ff3c1cb0959, "1424953923781206.2"},
    {0x3d30000000000000, "5.684341886080802e-14"},
    {0x0010000000000000, "2.2250738585072014e-308"},
    {0x3ff0000000000000, "1"},
    {0x3fb999999999999a, "0.1"},
    {0x40c3880000000000, "10000"},
    {0x3e45798ee2308c3a, "1e-8"},
};

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void real_numbers_are_ecmascripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_canonical(json_real(of_bits(numbers[i].bits)), numbers[i].text);
}

static void random_numbers_read_back(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        const pawl_random r = pawl_random_at(1, PAWL_FOR_TEST, 0, i);
        const double x = of_bits((uint64_t)r.word[0] << 32 | r.word[1]);
        pawl_text out = {0};
        json_t *v = json_real(x);
        if (!v) continue; /* NaN and infinities have no JSON */
        assert_int_equal(pawl_json_canonical(v, &out), PAWL_OK);
        assert_true(strtod(out.data, NULL) == x);
        pawl_text_close(&out);
        json_decref(v);
    }
}

static void integers_up_to_2_53_only(void **state)
{
    (void)state;
    pawl_text out = {0};
    assert_canonical(json_integer(9007199254740992), "9007199254740992");
    assert_canonical(json_integer(-9007199254740992), "-9007199254740992");
    assert_canonical(json_integer(0), "0");
    json_t *big = parse("[9007199254740993]"); /* ECMAScript would round it, and two documents would have one digest */
    assert_int_equal(pawl_json_canonical(big, &out), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "9007199254740993"));
    pawl_text_close(&out);
    assert_int_equal(pawl_json_pretty(big, &out), PAWL_OK);
    assert_string_equal(out.data, "[\n  9007199254740993\n]");
    pawl_text_close(&out);
    json_decref(big);
}

/* ---- Texts, keys, structure ---- */

static void texts_are_escaped_as_little_as_possible(void **state)
{
    (void)state;
    assert_canonical(parse("{\n"
                           "  \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],\n"
                           "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
                           "  \"literals\": [null, true, false]\n"
                           "}"),
                     "{\"literals\":[null,true,false],"
                     "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                     "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    assert_canonical(parse("\"\\b\\t\\n\\f\\r\\u0001\\u001f\\u007f\""), "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"");
}

static void keys_sort_by_utf16_units(void **state)
{
    (void)state;
    /* U+1F600 is beyond U+FB33, but its first UTF-16 unit, D83D, is before it */
    assert_canonical(parse("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}"),
                     "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,\"\xef\xac\xb3\":3}");
    assert_canonical(parse("{\"ab\":1,\"a\":2,\"\":3,\"\\ud83d\\ude01\":4,\"\\ud83d\\ude00\":5}"),
                     "{\"\":3,\"a\":2,\"ab\":1,\"\xf0\x9f\x98\x80\":5,\"\xf0\x9f\x98\x81\":4}");
}

static void empty_and_nested_values(void **state)
{
    (void)state;
    assert_canonical(parse(" { \"b\" : [ ] , \"a\" : { } , \"c\" : [ [ 1 , { \"z\" : 0 , \"y\" : 1 } ] ] } "),
                     "{\"a\":{},\"b\":[],\"c\":[[1,{\"y\":1,\"z\":0}]]}");
}

static void pretty_keeps_the_order_of_keys(void **state)
{
    (void)state;
    pawl_text out = {0};
    json_t *v = parse("{\"b\":0.1,\"a\":[1,\"x\"],\"e\":{},\"f\":[]}");
    assert_int_equal(pawl_json_pretty(v, &out), PAWL_OK);
    assert_string_equal(out.data, "{\n  \"b\": 0.1,\n  \"a\": [\n    1,\n    \"x\"\n  ],\n  \"e\": {},\n  \"f\": []\n}");
    pawl_text_close(&out);
    json_decref(v);
}

/* ---- Parsing ---- */

static const struct { const char *text, *error; } broken[] = {
    {"", "f.json:1:1: error: not valid JSON: "},
    {"{\"a\": 1,\n \"b\": }", "f.json:2:7: error: not valid JSON: "},
    {"{\"a\": 1, \"a\": 2}", "f.json:1:12: error: not valid JSON: duplicate object key"},
    {"[1, 2] 3", "f.json:1:8: error: not valid JSON: end of file expected"},
    {"{'a': 1}", "f.json:1:2: error: not valid JSON: "},
    {"[NaN]", "f.json:1:4: error: not valid JSON: "},
    {"[99999999999999999999]", "f.json:1:21: error: not valid JSON: too big integer"},
    {"[1e999]", "f.json:1:6: error: not valid JSON: real number overflow"},
    {"\"\\ud800\"", "f.json:1:8: error: not valid JSON: "},
    {"\"\xff\"", "f.json:1:1: error: not valid JSON: unable to decode byte 0xff"},
};

static void broken_json_names_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        json_t *v = NULL;
        assert_int_equal(pawl_json_parse(broken[i].text, strlen(broken[i].text), "f.json", &v), PAWL_EDATA);
        if (strncmp(pawl_last_error()->what, broken[i].error, strlen(broken[i].error)) != 0)
            fail_msg("%s\n  gives    %s\n  expected %s", broken[i].text, pawl_last_error()->what, broken[i].error);
        assert_null(v);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    static char text[DEPTH];
    json_t *v;
    memset(text, '[', sizeof text);
    assert_int_equal(pawl_json_parse(text, sizeof text, "f.json", &v), PAWL_EDATA);
    assert_non_null(strstr(pawl_last_error()->what, "maximum parsing depth"));
}

static void members_are_checked(void **state)
{
    (void)state;
    json_t *o = parse("{\"t\":\"x\",\"n\":7,\"w\":2048.0,\"r\":1.5,\"o\":{},\"a\":[],\"z\":\"a\"}"), *got;
    const char *text;
    int64_t n;
    assert_int_equal(pawl_json_text(o, "t", "f", &text), PAWL_OK);
    assert_string_equal(text, "x");
    assert_int_equal(pawl_json_i64(o, "n", "f", 0, 7, &n), PAWL_OK);
    assert_int_equal(n, 7);
    assert_int_equal(pawl_json_i64(o, "w", "f", 0, 1 << 20, &n), PAWL_OK);
    assert_int_equal(n, 2048);
    assert_int_equal(pawl_json_object(o, "o", "f", &got), PAWL_OK);
    assert_int_equal(pawl_json_array(o, "a", "f", &got), PAWL_OK);

    assert_int_equal(pawl_json_i64(o, "n", "f", 8, 9, &n), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "f: \"n\": expected a whole number in [8, 9], found 7");
    assert_int_equal(pawl_json_i64(o, "r", "f", 0, 9, &n), PAWL_EDATA);
    assert_int_equal(pawl_json_text(o, "n", "f", &text), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "f: \"n\": expected a text, found a number");
    assert_int_equal(pawl_json_object(o, "a", "f", &got), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "f: \"a\": expected an object, found an array");
    assert_int_equal(pawl_json_array(o, "missing", "f", &got), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "f: \"missing\": expected an array, found nothing");
    json_decref(o);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    json_t *v = parse("{\"a\": {\"b\": [1, 2, 3], \"c\": \"text\"}, \"d\": 0.25}");
    pawl_status s = PAWL_EMEM;
    long n = 1;
    for (; s != PAWL_OK; n++) {
        pawl_text out = {0};
        pawl_alloc_fail_after(n);
        s = pawl_json_canonical(v, &out);
        pawl_alloc_fail_after(0);
        assert_true(s == PAWL_OK || s == PAWL_EMEM);
        pawl_text_close(&out);
    }
    assert_true(n > 3); /* some allocations did fail */
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_numbers_are_ecmascripts),
        cmocka_unit_test(random_numbers_read_back),
        cmocka_unit_test(integers_up_to_2_53_only),
        cmocka_unit_test(texts_are_escaped_as_little_as_possible),
        cmocka_unit_test(keys_sort_by_utf16_units),
        cmocka_unit_test(empty_and_nested_values),
        cmocka_unit_test(pretty_keeps_the_order_of_keys),
        cmocka_unit_test(broken_json_names_its_place),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(members_are_checked),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
