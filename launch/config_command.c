/* pawl config: what the rows of the configuration say. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "launch/launch.h"

static pawl_status print_text(pawl_text *text)
{
    pawl_status s = pawl_text_status(text);
    if (s == PAWL_OK && text->data) fputs(text->data, stdout);
    pawl_text_close(text);
    return s;
}

static pawl_status read_run(pawl_comm *c, const pawl_args *a, pawl_opened *o)
{
    PAWL_CHECK(a->word_count >= 2, PAWL_EUSAGE, "usage: pawl config %s RUN.yaml [key=value ...]", a->words[0]);
    return pawl_open_config(c, a->words[1], (char *const *)(a->words + 2), a->word_count - 2, o);
}

static pawl_status check(pawl_comm *c, const pawl_args *a, pawl_opened *o)
{
    PAWL_TRY(read_run(c, a, o));
    printf("%s: no errors (the files that it names are not looked at)\n", a->words[1]);
    return PAWL_OK;
}

static pawl_status resolve(pawl_comm *c, const pawl_args *a, pawl_opened *o)
{
    pawl_text text = {0};
    PAWL_TRY(read_run(c, a, o));
    PAWL_TRY(pawl_config_yaml(&o->config, &text));
    return print_text(&text);
}

static pawl_status schema(pawl_comm *c, const pawl_args *a, pawl_opened *o)
{
    json_t *value;
    (void)c;
    (void)a;
    (void)o;
    PAWL_TRY(pawl_config_schema(&value));
    return pawl_print_json(value);
}

static pawl_status reference(pawl_comm *c, const pawl_args *a, pawl_opened *o)
{
    pawl_text text = {0};
    (void)c;
    (void)a;
    (void)o;
    PAWL_TRY(pawl_config_reference(&text));
    return print_text(&text);
}

static const struct {
    const char *name;
    pawl_status (*run)(pawl_comm *c, const pawl_args *a, pawl_opened *o);
} verbs[] = {{"check", check}, {"resolve", resolve}, {"schema", schema}, {"reference", reference}};

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_opened *o;
    (void)exit_status;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(a->words[0], verbs[i].name) != 0) continue;
        PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the configuration"));
        pawl_status s = verbs[i].run(c, a, o);
        pawl_close_run(o);
        pawl_free(o);
        return s;
    }
    return PAWL_FAIL(PAWL_EUSAGE, "pawl config: expected check, resolve, schema or reference, found '%s'%s%s", a->words[0],
                     pawl_path_exists(a->words[0]) ? "; try: pawl config check " : "", pawl_path_exists(a->words[0]) ? a->words[0] : "");
}

const pawl_command pawl_command_config = {
    .name = "config",
    .usage = "check|resolve|schema|reference [RUN.yaml] [key=value ...]",
    .summary = "checks a configuration, writes it out with every key, or describes all keys",
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .run = run,
};
