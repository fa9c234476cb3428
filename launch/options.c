#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/launch.h"

static int find_option(const pawl_command *c, const char *name, size_t length)
{
    for (int i = 0; i < PAWL_OPTIONS_MAX && c->options[i].name; i++)
        if (strlen(c->options[i].name) == length && strncmp(c->options[i].name, name, length) == 0) return i;
    return -1;
}

/* The key of a run that --some-key or --some_key=x means, where a command takes keys; else NULL. */
static const char *key_meant(const pawl_command *c, const char *word)
{
    char key[64];
    size_t n = 0;
    if (!strstr(c->usage, "[key=value") || strncmp(word, "--", 2) != 0) return NULL;
    for (word += 2; *word && *word != '=' && n + 1 < sizeof key; word++) key[n++] = *word == '-' ? '_' : *word;
    key[n] = 0;
    for (const pawl_section *s = pawl_sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key; row++)
            if (strcmp(row->key, key) == 0) return row->key;
    return NULL;
}

static pawl_status unknown_option(const pawl_command *c, const char *word)
{
    const char *key = key_meant(c, word);
    PAWL_CHECK(!key, PAWL_EUSAGE, "pawl %s: unknown option %s: keys have no dashes before them: %s=VALUE", c->name, word, key);
    const char *names[PAWL_OPTIONS_MAX + 2] = {0};
    int n = 0;
    while (n < PAWL_OPTIONS_MAX && c->options[n].name) {
        names[n] = c->options[n].name;
        n++;
    }
    names[n] = "--help";
    const char *near = pawl_nearest(word, names);
    return PAWL_FAIL(PAWL_EUSAGE, "pawl %s: unknown option %s%s%s%s; see pawl %s --help", c->name, word, near ? " (did you mean " : "",
                     near ? near : "", near ? "?)" : "", c->name);
}

/* --name value, --name=value, or --name. */
static pawl_status take_option(const pawl_command *c, int argc, char **argv, int *at, pawl_args *out)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    const int row = find_option(c, word, equals ? (size_t)(equals - word) : strlen(word));
    if (row < 0) return unknown_option(c, word);
    PAWL_CHECK(!out->option[row], PAWL_EUSAGE, "pawl %s: %s is given twice", c->name, c->options[row].name);
    if (!c->options[row].value) {
        PAWL_CHECK(!equals, PAWL_EUSAGE, "pawl %s: %s takes no value", c->name, c->options[row].name);
        out->option[row] = "";
        return PAWL_OK;
    }
    if (equals) {
        out->option[row] = equals + 1;
        return PAWL_OK;
    }
    PAWL_CHECK(*at + 1 < argc, PAWL_EUSAGE, "pawl %s: %s needs a value (%s)", c->name, word, c->options[row].value);
    out->option[row] = argv[++*at];
    return PAWL_OK;
}

pawl_status pawl_options_parse(const pawl_command *c, int argc, char **argv, pawl_args *out)
{
    int only_words = 0;
    for (int i = 0; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = 1;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            PAWL_TRY(take_option(c, argc, argv, &i, out));
        } else {
            PAWL_CHECK(out->word_count < PAWL_WORDS_MAX, PAWL_EUSAGE, "pawl %s: more than %d words", c->name, PAWL_WORDS_MAX);
            out->words[out->word_count++] = argv[i];
        }
    }
    PAWL_CHECK(out->word_count >= c->least && out->word_count <= c->most, PAWL_EUSAGE, "usage: pawl %s %s; see pawl %s --help",
               c->name, c->usage, c->name);
    return PAWL_OK;
}

void pawl_options_help(const pawl_command *c, pawl_text *out)
{
    pawl_text_add(out, "usage: pawl %s %s\n\n%s\n", c->name, c->usage, c->summary);
    if (c->options[0].name) pawl_text_add(out, "\noptions:\n");
    for (int i = 0; i < PAWL_OPTIONS_MAX && c->options[i].name; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", c->options[i].name, c->options[i].value ? c->options[i].value : "");
        pawl_text_add(out, "  %-24s %s\n", left, c->options[i].help);
    }
    if (c->more_help) c->more_help(out);
}

pawl_status pawl_option_f64(const pawl_command *c, const pawl_args *a, int row, double lo, double hi, double dflt, double *out)
{
    double x = dflt;
    PAWL_CHECK(!a->option[row] || (pawl_parse_f64(a->option[row], &x) && x >= lo && x <= hi), PAWL_EUSAGE,
               "pawl %s: %s: expected a number from %g to %g, found '%s'", c->name, c->options[row].name, lo, hi, a->option[row]);
    *out = x;
    return PAWL_OK;
}

pawl_status pawl_option_i64(const pawl_command *c, const pawl_args *a, int row, int64_t lo, int64_t hi, int64_t dflt, int64_t *out)
{
    int64_t x = dflt;
    PAWL_CHECK(!a->option[row] || (pawl_parse_i64(a->option[row], &x) && x >= lo && x <= hi), PAWL_EUSAGE,
               "pawl %s: %s: expected a whole number from %lld to %lld, found '%s'", c->name, c->options[row].name, (long long)lo,
               (long long)hi, a->option[row]);
    *out = x;
    return PAWL_OK;
}

/* The unit behind a number; 0: there is none of that name. */
static double unit_of(const char *name)
{
    static const struct { const char *name; double bytes; } units[] = {{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (double)(1 << 30) * 1024},
                                                                       {"MB", 1e6},      {"GB", 1e9},      {"TB", 1e12}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i].name, name) == 0) return units[i].bytes;
    return 0;
}

pawl_status pawl_option_size(const pawl_command *c, const pawl_args *a, int row, double *out)
{
    const char *text = a->option[row];
    char number[32], *unit;
    double x = 0;
    snprintf(number, sizeof number, "%s", text);
    unit = number + strspn(number, "0123456789.");
    const double each = unit_of(unit + strspn(unit, " "));
    *unit = 0;
    PAWL_CHECK(each > 0 && pawl_parse_f64(number, &x) && x > 0, PAWL_EUSAGE, "pawl %s: %s: expected a size as 80GiB or 512MiB, found '%s'", c->name,
               c->options[row].name, text);
    *out = x * each;
    return PAWL_OK;
}

pawl_status pawl_print_json(json_t *value)
{
    pawl_text text = {0};
    pawl_status s = pawl_json_pretty(value, &text);
    if (s == PAWL_OK) puts(text.data);
    pawl_text_close(&text);
    json_decref(value);
    return s;
}
