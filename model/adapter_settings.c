/* An adapter's settings: from a run's keys and from adapter_config.json. What PEFT knows and this does not is refused by
 * name, unless it is left at what means "not used". */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "model/adapter.h"

const char *const pawl_adapter_names[] = {"none", "lora", "qlora", NULL};

#define PAWL_SECTION pawl_adapter_config
const pawl_field pawl_adapter_rows[] = {PAWL_ADAPTER_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_W)
                                            PAWL_ROW_END};
#undef PAWL_SECTION

pawl_code pawl_base_code(const pawl_adapter_config *c)
{
    return c->load_in_4bit ? PAWL_CODE_NF4 : c->load_in_8bit ? PAWL_CODE_INT8 : PAWL_CODE_NONE;
}

static const char ALL_LINEAR[] = "all-linear";

/* ---- from a run's keys ---- */

static json_t *targets_of(const pawl_adapter_config *c)
{
    json_t *list = json_array();
    for (int i = 0; i < c->lora_target_modules.count; i++) {
        if (strcmp(c->lora_target_modules.items[i], ALL_LINEAR) == 0) {
            json_decref(list);
            return json_string(ALL_LINEAR);
        }
        json_array_append_new(list, json_string(c->lora_target_modules.items[i]));
    }
    return list;
}

pawl_status pawl_adapter_settings(const pawl_adapter_config *c, json_t **out)
{
    json_t *targets = c->lora_target_linear ? json_string(ALL_LINEAR) : targets_of(c);
    json_t *all =
        json_pack("{s:s,s:I,s:f,s:f,s:b,s:b,s:b,s:o}", "peft_type", "LORA", "r", (json_int_t)c->lora_r, "lora_alpha",
                  c->lora_alpha, "lora_dropout", c->lora_dropout, "use_rslora", c->peft_use_rslora, "use_dora",
                  c->peft_use_dora, "every_target", 1, "target_modules", targets);
    PAWL_CHECK(all, PAWL_EMEM, "no memory for the settings of an adapter");
    *out = all;
    return PAWL_OK;
}

/* ---- reading ---- */

static int is_neutral(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_string(v) && json_string_length(v) == 0);
}

static int is_list_of_texts(const json_t *v)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v)) return 0;
    json_array_foreach((json_t *)(uintptr_t)v, i,
                       item) if (!json_is_string(item) || json_string_length(item) == 0) return 0;
    return 1;
}

static int is_one_of(const json_t *v, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), words[i]) == 0) return 1;
    return 0;
}

/* Keys that say nothing about what is computed. */
static int is_remark(const char *key)
{
    static const char *const keys[] = {"auto_mapping",
                                       "base_model_name_or_path",
                                       "fan_in_fan_out",
                                       "inference_mode",
                                       "megatron_core",
                                       "peft_version",
                                       "qalora_group_size",
                                       "revision",
                                       NULL};
    for (int i = 0; keys[i]; i++)
        if (strcmp(key, keys[i]) == 0) return 1;
    return 0;
}

static pawl_status take_count(const json_t *v, const char *where, const char *key, int64_t *out)
{
    PAWL_CHECK(json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= 65536, PAWL_EDATA,
               "%s: %s: expected a whole number from 1 to 65536", where, key);
    *out = json_integer_value(v);
    return PAWL_OK;
}

static pawl_status take_alpha(const json_t *v, const char *where, const char *key, double *out)
{
    const double x = json_number_value(v);
    PAWL_CHECK(json_is_number(v) && isfinite(x) && fabs(x) <= 1e9, PAWL_EDATA, "%s: %s: expected a number", where, key);
    *out = x;
    return PAWL_OK;
}

static pawl_status take_flag(const json_t *v, const char *where, const char *key, int *out)
{
    PAWL_CHECK(json_is_boolean(v) || json_is_null(v), PAWL_EDATA, "%s: %s: expected true or false", where, key);
    *out = json_is_true(v);
    return PAWL_OK;
}

static pawl_status take_r(const json_t *v, const char *where, pawl_lora_settings *s)
{
    return take_count(v, where, "r", &s->r);
}

static pawl_status take_lora_alpha(const json_t *v, const char *where, pawl_lora_settings *s)
{
    return take_alpha(v, where, "lora_alpha", &s->alpha);
}

static pawl_status take_dropout(const json_t *v, const char *where, pawl_lora_settings *s)
{
    s->dropout = json_number_value(v);
    PAWL_CHECK(json_is_number(v) && s->dropout >= 0 && s->dropout < 1, PAWL_EDATA,
               "%s: lora_dropout: expected a number from 0 to below 1", where);
    return PAWL_OK;
}

static pawl_status take_rslora(const json_t *v, const char *where, pawl_lora_settings *s)
{
    return take_flag(v, where, "use_rslora", &s->rslora);
}

static pawl_status take_dora(const json_t *v, const char *where, pawl_lora_settings *s)
{
    return take_flag(v, where, "use_dora", &s->dora);
}

static pawl_status take_every(const json_t *v, const char *where, pawl_lora_settings *s)
{
    return take_flag(v, where, "every_target", &s->every_target);
}

static int is_all_linear(const char *text)
{
    size_t i = 0;
    while (text[i] && tolower((unsigned char)text[i]) == ALL_LINEAR[i]) i++;
    return !text[i] && !ALL_LINEAR[i];
}

static pawl_status take_targets(const json_t *v, const char *where, pawl_lora_settings *s)
{
    s->all_linear = json_is_string(v) && is_all_linear(json_string_value(v));
    if (s->all_linear) return PAWL_OK;
    PAWL_CHECK(!json_is_string(v), PAWL_EDATA,
               "%s: target_modules: '%s' is a regular expression, which is not supported here: list the names of the "
               "modules, or say all-linear",
               where, json_string_value(v));
    PAWL_CHECK(is_list_of_texts(v) && json_array_size(v) > 0, PAWL_EDATA,
               "%s: target_modules: expected a list of names of linear modules, or all-linear", where);
    s->targets = v;
    return PAWL_OK;
}

static pawl_status take_excluded(const json_t *v, const char *where, pawl_lora_settings *s)
{
    if (is_neutral(v)) return PAWL_OK;
    PAWL_CHECK(is_list_of_texts(v), PAWL_EDATA,
               "%s: exclude_modules: expected a list of names (a regular expression is not supported)", where);
    s->excluded = v;
    return PAWL_OK;
}

static pawl_status take_layers(const json_t *v, const char *where, pawl_lora_settings *s)
{
    size_t i;
    json_t *item;
    int good = json_is_integer(v) || json_is_array(v);
    if (is_neutral(v)) return PAWL_OK;
    json_array_foreach((json_t *)(uintptr_t)v, i, item) good &= json_is_integer(item);
    PAWL_CHECK(good, PAWL_EDATA, "%s: layers_to_transform: expected a number or a list of numbers", where);
    s->layers = v;
    return PAWL_OK;
}

/* A model here has one list of layers, so its usual names say nothing new. */
static pawl_status take_layers_pattern(const json_t *v, const char *where, pawl_lora_settings *s)
{
    static const char *const usual[] = {"layers", "h", NULL};
    const json_t *one = json_is_array(v) && json_array_size(v) == 1 ? json_array_get(v, 0) : v;
    (void)s;
    PAWL_CHECK(is_neutral(v) || is_one_of(one, usual), PAWL_EDATA,
               "%s: layers_pattern: expected 'layers' or 'h', the names that lists of layers have here", where);
    return PAWL_OK;
}

/* The keys of a pattern are matched at the end of names; what else a regular expression can say is refused. */
static pawl_status check_pattern(const json_t *v, const char *where, const char *key)
{
    const char *name;
    json_t *value;
    PAWL_CHECK(json_is_object(v), PAWL_EDATA, "%s: %s: expected an object", where, key);
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
        PAWL_CHECK(!strpbrk(name + (name[0] == '^'), "^$*+?()[]{}|\\"), PAWL_EDATA,
                   "%s: %s: '%s': expected a module's name, or its end: other regular expressions are not supported",
                   where, key, name);
    return PAWL_OK;
}

static pawl_status take_rank_pattern(const json_t *v, const char *where, pawl_lora_settings *s)
{
    const char *name;
    json_t *value;
    int64_t rank;
    if (is_neutral(v)) return PAWL_OK;
    PAWL_TRY(check_pattern(v, where, "rank_pattern"));
    json_object_foreach((json_t *)(uintptr_t)v, name, value) PAWL_TRY(take_count(value, where, "rank_pattern", &rank));
    s->rank_pattern = v;
    return PAWL_OK;
}

static pawl_status take_alpha_pattern(const json_t *v, const char *where, pawl_lora_settings *s)
{
    const char *name;
    json_t *value;
    double alpha;
    if (is_neutral(v)) return PAWL_OK;
    PAWL_TRY(check_pattern(v, where, "alpha_pattern"));
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
        PAWL_TRY(take_alpha(value, where, "alpha_pattern", &alpha));
    s->alpha_pattern = v;
    return PAWL_OK;
}

/* Initial values do not matter where weights are read; those that change the base's weights do. */
static pawl_status take_init(const json_t *v, const char *where, pawl_lora_settings *s)
{
    static const char *const harmless[] = {"gaussian", "orthogonal", "eva", NULL};
    (void)s;
    PAWL_CHECK(json_is_boolean(v) || json_is_null(v) || is_one_of(v, harmless), PAWL_EDATA,
               "%s: init_lora_weights: '%s' changes the base model's weights, which is not supported", where,
               json_is_string(v) ? json_string_value(v) : "?");
    return PAWL_OK;
}

static pawl_status take_bias(const json_t *v, const char *where, pawl_lora_settings *s)
{
    static const char *const none[] = {"none", NULL};
    (void)s;
    PAWL_CHECK(is_one_of(v, none), PAWL_EDATA, "%s: bias: expected none: biases cannot be trained beside an adapter",
               where);
    return PAWL_OK;
}

static pawl_status take_type(const json_t *v, const char *where, pawl_lora_settings *s)
{
    static const char *const types[] = {"LORA", NULL};
    (void)s;
    PAWL_CHECK(is_one_of(v, types), PAWL_EDATA, "%s: peft_type: expected LORA, found %s", where,
               json_is_string(v) ? json_string_value(v) : "no text");
    return PAWL_OK;
}

static pawl_status take_task(const json_t *v, const char *where, pawl_lora_settings *s)
{
    static const char *const tasks[] = {"CAUSAL_LM", NULL};
    (void)s;
    PAWL_CHECK(json_is_null(v) || is_one_of(v, tasks), PAWL_EDATA, "%s: task_type: expected CAUSAL_LM, found %s", where,
               json_is_string(v) ? json_string_value(v) : "no text");
    return PAWL_OK;
}

static const struct reading {
    const char *key;
    pawl_status (*take)(const json_t *v, const char *where, pawl_lora_settings *s);
} readings[] = {
    {"peft_type", take_type},
    {"task_type", take_task},
    {"r", take_r},
    {"lora_alpha", take_lora_alpha},
    {"lora_dropout", take_dropout},
    {"use_rslora", take_rslora},
    {"use_dora", take_dora},
    {"every_target", take_every},
    {"target_modules", take_targets},
    {"exclude_modules", take_excluded},
    {"layers_to_transform", take_layers},
    {"layers_pattern", take_layers_pattern},
    {"rank_pattern", take_rank_pattern},
    {"alpha_pattern", take_alpha_pattern},
    {"init_lora_weights", take_init},
    {"bias", take_bias},
};

static const struct reading *reading_of(const char *key)
{
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++)
        if (strcmp(readings[i].key, key) == 0) return &readings[i];
    return NULL;
}

pawl_status pawl_lora_settings_read(const json_t *json, const char *where, pawl_lora_settings *out)
{
    const char *key;
    json_t *value;
    pawl_lora_settings s = {.r = 8, .alpha = 8}; /* what PEFT takes where nothing is said */
    PAWL_CHECK(json_is_object(json), PAWL_EDATA, "%s: expected an object", where);
    PAWL_CHECK(json_object_get(json, "peft_type"), PAWL_EDATA, "%s: there is no peft_type", where);
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const struct reading *r = reading_of(key);
        if (r)
            PAWL_TRY(r->take(value, where, &s));
        else
            PAWL_CHECK(is_remark(key) || is_neutral(value), PAWL_EDATA,
                       "%s: %s is not supported: only an adapter that leaves it out can be read", where, key);
    }
    PAWL_CHECK(s.all_linear || s.targets, PAWL_EDATA, "%s: there is no target_modules", where);
    *out = s;
    return PAWL_OK;
}
