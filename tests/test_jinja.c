/* Runs: cmocka
 *
 * data/jinja: templates give what Jinja gives in transformers' environment, and hostile ones end soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "data/jinja/jinja.h"

static json_t *read_fixture(const char *name)
{
    char path[4096];
    json_t *value;
    snprintf(path, sizeof path, "%s/tests/fixtures/%s", getenv("PAWL_SOURCE") ? getenv("PAWL_SOURCE") : ".", name);
    if (pawl_json_read(path, 1 << 24, &value) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    return value;
}

static pawl_status render(const char *text, json_t *context, pawl_jinja_output *out)
{
    pawl_jinja_variable variables[PAWL_JINJA_VARIABLES_MAX];
    int count = 0;
    const char *name;
    json_t *value;
    pawl_jinja *t;
    json_object_foreach(context, name, value) variables[count++] = (pawl_jinja_variable){.name = name, .value = value};
    PAWL_TRY(pawl_jinja_open(text, strlen(text), "template", &t));
    const pawl_status s = pawl_jinja_render(t, variables, count, "2024-07-26", out);
    pawl_jinja_close(t);
    return s;
}

/* Jinja computes these and pawl does not: it must say so. */
static const char *const refused[] = {"batch",     "wordcount", "recursive", "{% block", "sameas 7", "__class__",
                                      "(-8) ** (", "'1_000'",   "'inf'",     "'-nan'",   "'٣' | int"};

static int may_refuse(const char *template)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strstr(template, refused[i])) return 1;
    return 0;
}

static void templates_give_what_jinja_gives(void **state)
{
    json_t *all = read_fixture("jinja/cases.json"), *cases = json_object_get(all, "cases");
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const char *template = json_string_value(json_object_get(json_array_get(cases, i), "template"));
        const char *expected = json_string_value(json_object_get(json_array_get(cases, i), "text"));
        pawl_jinja_output out = {0};
        const int ok = render(template, json_object_get(all, "context"), &out) == PAWL_OK;
        const char *found = !ok ? NULL : out.text.data ? out.text.data : "";
        const int same = expected && found ? strcmp(expected, found) == 0 : !expected && !found;
        if (!same && !(expected && !found && may_refuse(template))) {
            print_message("%s\n  Jinja: %s\n  pawl:  %s\n", template, expected ? expected : "(refused)", found ? found : pawl_last_error()->what);
            wrong++;
        }
        pawl_jinja_output_close(&out);
    }
    assert_true(json_array_size(cases) > 250);
    assert_int_equal(wrong, 0);
    json_decref(all);
}

/* ---- Hostile templates ---- */

static const struct {
    const char *what, *text, *says;
} hostile[] = {
    {"a loop in a loop in a loop", "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}{% endfor %}{% endfor %}{% endfor %}", "the template"},
    {"a text that doubles", "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}", "the template"},
    {"a text times a number", "{{ 'x' * 9000000000000 }}", "the template"},
    {"a list times a number", "{{ [1] * 9000000000000 }}", "the template"},
    {"output without end", "{% for a in range(100000) %}{% for b in range(100000) %}{{ messages }}{% endfor %}{% endfor %}", "the template"},
    {"a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deep"},
    {"two macros that call each other", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", "deep"},
    {"a range too large", "{{ range(1000000000) | list }}", "at most 100000"},
    {"a power too large", "{{ 10 ** 10 ** 10 }}", "64 bits"},
    {"indentation too large", "{{ 'a' | indent(9000000000000) }}", "the template"},
    {"padding through replace", "{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(30) %}{% set ns.s = ns.s | replace('a', 'aaaaaaaaaa') %}{% endfor %}", "the template"},
    {"a power that counts long", "{{ 1 if (-1) ** 9000000000000000000 else 2 }}", "the template"},
    {"the class of a text", "{{ ''.__class__.__mro__ }}", "not safe"},
    {"attributes through a filter", "{{ '' | attr('__class__') }}", "not safe"},
    {"a change of what was given", "{{ messages.append(1) }}", "may not"},
    {"an import", "{% import 'os' as os %}", "'import'"},
    {"an include", "{% include '/etc/passwd' %}", "'include'"},
    {"an unknown name", "{{ self.__init__ }}", "undefined"},
};

static void hostile_templates_end_with_one_clear_error(void **state)
{
    json_t *context = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "Hello");
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        pawl_jinja_output out = {0};
        print_message("           %s\n", hostile[i].what);
        const pawl_status s = render(hostile[i].text, context, &out);
        assert_true(s == PAWL_EDATA || s == PAWL_EUSAGE);
        if (!strstr(pawl_last_error()->what, hostile[i].says)) fail_msg("%s", pawl_last_error()->what);
        pawl_jinja_output_close(&out);
    }
    json_decref(context);
}

/* Text that repeats `piece` many times between `first` and `last`. */
static char *repeated(const char *first, const char *piece, int times, const char *last)
{
    const size_t n = strlen(piece);
    char *text = calloc(1, strlen(first) + n * (size_t)times + strlen(last) + 1), *to = text + strlen(first);
    memcpy(text, first, strlen(first));
    for (int i = 0; i < times; i++, to += n) memcpy(to, piece, n);
    memcpy(to, last, strlen(last));
    return text;
}

static const struct {
    const char *first, *piece, *last;
} deep[] = {
    {"{{ ", "(", "1"},  {"{{ ", "[", "1"},    {"{{ ", "{1:", "1"}, {"{{ ", "-", "1 }}"}, {"{{ ", "not ", "1 }}"},
    {"", "{% if 1 %}", ""}, {"{{ 1", " if 1 else 1", " }}"}, {"{{ a", ".b", " }}"}, {"{{ a", "[0]", " }}"}, {"{{ a", "|string", " }}"},
    {"", "{% for x in y %}", ""}, {"{{ 1", " + 1", " }}"}, {"{{ 1", " ~ 1", " }}"}, {"{{ 1", " and 1", " }}"}, {"{{ f", "()", " }}"},
    {"{% set ", "(", "a"},
};

static void deep_templates_do_not_exhaust_the_stack(void **state)
{
    json_t *context = json_object();
    (void)state;
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        char *text = repeated(deep[i].first, deep[i].piece, 50000, deep[i].last);
        pawl_jinja_output out = {0};
        const pawl_status s = render(text, context, &out); /* long chains of operators may be right */
        assert_true(s == PAWL_OK || s == PAWL_EDATA || s == PAWL_EUSAGE);
        pawl_jinja_output_close(&out);
        free(text);
    }
    json_decref(context);
}

/* Every beginning of a template is a template or an error, never a crash. */
static void cut_templates_are_errors_or_templates(void **state)
{
    static const char text[] = "{%- for m in messages %}{{ '<|' ~ m['role'] + \"\\u00e9|>\" -}} {% if m.content is string and not x.y|d('z')[1:-2] %}"
                               "{% set ns = namespace(a=[1, 2.5e3], b={'k': (1,)}) %}{# c #}{% raw %} {{ {% endraw %}{% endif %}{% endfor %}"
                               "{% macro f(a, b=1) %}{{ caller() }}{% endmacro %}{% call f(1) %}x{% endcall %}";
    json_t *context = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "Hello");
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        char part[sizeof text];
        pawl_jinja_output out = {0};
        memcpy(part, text, n);
        part[n] = 0;
        const pawl_status s = render(part, context, &out);
        assert_true(s == PAWL_OK || s == PAWL_EDATA || s == PAWL_EUSAGE);
        pawl_jinja_output_close(&out);
    }
    json_decref(context);
}

static void errors_name_the_line(void **state)
{
    json_t *context = json_object();
    pawl_jinja_output out = {0};
    (void)state;
    assert_int_equal(render("a\n{% if 1 %}\n{{ 1 + }}\n{% endif %}", context, &out), PAWL_EUSAGE);
    assert_string_equal(pawl_last_error()->what, "template:3: error: expected a value, found '}}'");
    assert_int_equal(render("a\n\n{{ x.y }}", context, &out), PAWL_EDATA);
    assert_string_equal(pawl_last_error()->what, "the chat template, line 3: 'x' is undefined, so it has no 'y'");
    assert_int_equal(render("a\xFF", context, &out), PAWL_EUSAGE);
    pawl_jinja_output_close(&out);
    json_decref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_give_what_jinja_gives),
        cmocka_unit_test(hostile_templates_end_with_one_clear_error),
        cmocka_unit_test(deep_templates_do_not_exhaust_the_stack),
        cmocka_unit_test(cut_templates_are_errors_or_templates),
        cmocka_unit_test(errors_name_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
