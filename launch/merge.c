/* pawl merge: models of one architecture as one, in a Hugging Face directory that says what it was made of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "launch/launch.h"

enum { METHOD, WEIGHTS, DENSITY, LAMBDA, SEED, BASE, OUT, DTYPE };

typedef struct merging {
    const pawl_args *a;
    pawl_merge_recipe recipe;
    pawl_dtype dtype;
    char dir[1024];
    const char *paths[PAWL_MERGE_MAX + 1]; /* the base, where there is one, first */
    int count, with_base;
    pawl_model *model; /* of the first path */
    char tokenizer_spec[1024];
    pawl_source *sources[PAWL_MERGE_MAX + 1];
    json_t *record;
} merging;

/* ---- options ---- */

static pawl_status choose_method(merging *g)
{
    const char *name = g->a->option[METHOD];
    int i = 0;
    PAWL_CHECK(name, PAWL_EUSAGE,
               "pawl merge: expected --method linear, wise, task_arithmetic, ties, dare or dare_ties");
    while (pawl_merge_methods[i] && strcmp(pawl_merge_methods[i], name) != 0) i++;
    const char *near = pawl_merge_methods[i] ? NULL : pawl_nearest(name, pawl_merge_methods);
    PAWL_CHECK(
        pawl_merge_methods[i], PAWL_EUSAGE,
        "pawl merge: --method: expected linear, wise, task_arithmetic, ties, dare or dare_ties, found '%s'%s%s%s", name,
        near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    g->recipe.method = (pawl_merge_method)i;
    return PAWL_OK;
}

/* A method does not read what would change nothing: that is a mistake. */
static pawl_status refuse_unread(const merging *g, const pawl_merge_reads *reads)
{
    const int stochastic = g->recipe.method == PAWL_MERGE_DARE || g->recipe.method == PAWL_MERGE_DARE_TIES;
    const struct {
        int row, read;
        const char *name;
    } rows[] = {{WEIGHTS, reads->weights, "--weights"},
                {DENSITY, reads->density, "--density"},
                {LAMBDA, reads->lambda, "--lambda"},
                {SEED, stochastic, "--seed"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        PAWL_CHECK(rows[i].read || !g->a->option[rows[i].row], PAWL_EUSAGE,
                   "pawl merge: %s has no part in the method %s: leave it out", rows[i].name,
                   pawl_merge_methods[g->recipe.method]);
    PAWL_CHECK(reads->base || !g->a->option[BASE], PAWL_EUSAGE,
               "pawl merge: --base has no part in the method linear: name it among the models, or leave it out");
    return PAWL_OK;
}

/* The base by its option; wise takes it as the first of two models, too. */
static pawl_status choose_paths(merging *g, const pawl_merge_reads *reads)
{
    const pawl_args *a = g->a;
    const int first_is_base = g->recipe.method == PAWL_MERGE_WISE && !a->option[BASE] && a->word_count == 2;
    PAWL_CHECK(!reads->base || a->option[BASE] || first_is_base, PAWL_EUSAGE,
               "pawl merge: %s starts from the model that the others were trained from: say with --base where it is",
               pawl_merge_methods[g->recipe.method]);
    PAWL_CHECK(a->word_count <= PAWL_MERGE_MAX, PAWL_EUSAGE, "pawl merge: more than %d models", PAWL_MERGE_MAX);
    g->with_base = reads->base;
    if (a->option[BASE]) g->paths[g->count++] = a->option[BASE];
    for (int i = 0; i < a->word_count; i++) g->paths[g->count++] = a->words[i];
    g->recipe.count = g->count - g->with_base;
    return PAWL_OK;
}

/* A number a model, with commas between them. */
static pawl_status read_weights(merging *g)
{
    const char *at = g->a->option[WEIGHTS];
    int n = 0;
    for (int i = 0; i < g->recipe.count; i++) g->recipe.weights[i] = 1;
    while (at) {
        char number[64];
        const size_t length = strcspn(at, ",");
        snprintf(number, sizeof number, "%.*s", length < sizeof number ? (int)length : 0, at);
        PAWL_CHECK(n < g->recipe.count, PAWL_EUSAGE,
                   "pawl merge: --weights: expected %d numbers, one a model, found more: %s", g->recipe.count,
                   g->a->option[WEIGHTS]);
        PAWL_CHECK(pawl_parse_f64(number, &g->recipe.weights[n++]), PAWL_EUSAGE,
                   "pawl merge: --weights: expected numbers with commas between them, found '%.*s' in %s", (int)length,
                   at, g->a->option[WEIGHTS]);
        at = at[length] ? at + length + 1 : NULL;
    }
    PAWL_CHECK(n == 0 || n == g->recipe.count, PAWL_EUSAGE,
               "pawl merge: --weights: expected %d numbers, one a model, found %d", g->recipe.count, n);
    return PAWL_OK;
}

static pawl_status read_options(merging *g)
{
    const pawl_args *a = g->a;
    const pawl_command *c = &pawl_command_merge;
    const char *dtype = a->option[DTYPE] ? a->option[DTYPE] : "f32";
    int64_t seed;
    PAWL_TRY(choose_method(g));
    const pawl_merge_reads reads = pawl_merge_method_reads(g->recipe.method);
    PAWL_TRY(refuse_unread(g, &reads));
    PAWL_TRY(choose_paths(g, &reads));
    PAWL_TRY(read_weights(g));
    PAWL_TRY(pawl_option_f64(c, a, DENSITY, 1e-12, 1, reads.density_default, &g->recipe.density));
    PAWL_TRY(pawl_option_f64(c, a, LAMBDA, -1e6, 1e6, reads.lambda_default, &g->recipe.lambda));
    PAWL_TRY(pawl_option_i64(c, a, SEED, 0, INT64_MAX, 0, &seed));
    g->recipe.seed = (uint64_t)seed;
    g->dtype = pawl_dtype_named(dtype);
    PAWL_CHECK(g->dtype == PAWL_F32 || g->dtype == PAWL_BF16 || g->dtype == PAWL_F16, PAWL_EUSAGE,
               "pawl merge: --dtype: expected f32, bf16 or f16, found '%s'", dtype);
    PAWL_CHECK(a->option[OUT], PAWL_EUSAGE, "pawl merge: say with -o which folder the merged model is written to");
    return pawl_folder_named(a->option[OUT], "merge", g->dir);
}

/* ---- models ---- */

/* What changes neither the tensors nor what is computed with them. */
static int is_aside(const char *key)
{
    static const char *const keys[] = {"max_position_embeddings",
                                       "initializer_range",
                                       "bos_token_id",
                                       "eos_token_id",
                                       "eos_token_ids",
                                       "pad_token_id",
                                       NULL};
    for (int i = 0; keys[i]; i++)
        if (strcmp(keys[i], key) == 0) return 1;
    return 0;
}

static pawl_status settings_of(const pawl_model_config *config, pawl_model **model, json_t **out)
{
    pawl_model *m;
    PAWL_TRY(pawl_model_open(config, &m));
    const pawl_status s = pawl_fields_json(pawl_model_rows, pawl_model_settings(m), out);
    if (s == PAWL_OK && model)
        *model = m;
    else
        pawl_model_close(m);
    return s;
}

static pawl_status compare(const json_t *first, const json_t *other, const char *a, const char *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)first, key, value)
    {
        const json_t *there = json_object_get(other, key);
        if (is_aside(key) || json_equal(value, there)) continue;
        char *x = json_dumps(value, JSON_ENCODE_ANY), *y = there ? json_dumps(there, JSON_ENCODE_ANY) : NULL;
        const pawl_status s = PAWL_FAIL(
            PAWL_EUSAGE, "pawl merge: models of one architecture are merged, but %s is %.200s in %s and %.200s in %s",
            key, x ? x : "?", a, y ? y : "absent", b);
        free(x);
        free(y);
        return s;
    }
    return PAWL_OK;
}

static pawl_status tokenizer_digest(const char *spec, pawl_hex *out)
{
    pawl_tokenizer *t;
    PAWL_TRY(pawl_tokenizer_open(spec, &t));
    *out = pawl_digest_hex(pawl_tokenizer_digest(t));
    pawl_tokenizer_close(t);
    return PAWL_OK;
}

/* Of a folder without one nothing can be written. */
static int has_tokenizer(const char *spec)
{
    char file[1100];
    if (!pawl_path_is_dir(spec)) return 1;
    return pawl_path_join(file, sizeof file, spec, "tokenizer.json") == PAWL_OK && pawl_path_exists(file);
}

/* A tokenizer that cuts text otherwise makes the same rows of an embedding mean something else. */
static pawl_status compare_tokenizers(const merging *g, const char *path, const char *spec)
{
    pawl_hex first, other;
    if (strcmp(spec, g->tokenizer_spec) == 0 || !has_tokenizer(spec) || !has_tokenizer(g->tokenizer_spec))
        return PAWL_OK;
    PAWL_TRY(tokenizer_digest(g->tokenizer_spec, &first));
    PAWL_TRY(tokenizer_digest(spec, &other));
    if (strcmp(first.text, other.text) != 0)
        pawl_log(PAWL_LOG_WARN, "the tokenizers of %s and %s differ: that of the first is written", g->paths[0], path);
    return PAWL_OK;
}

static pawl_status open_models(merging *g)
{
    json_t *first = NULL, *other = NULL;
    pawl_status status = PAWL_OK;
    for (int i = 0; i < g->count; i++) {
        pawl_model_config config;
        char spec[1024];
        PAWL_TRY_OUT(pawl_describe_model(g->paths[i], &config, spec));
        if (i == 0) {
            memcpy(g->tokenizer_spec, spec, sizeof spec);
            PAWL_TRY_OUT(settings_of(&config, &g->model, &first));
        } else {
            PAWL_TRY_OUT(settings_of(&config, NULL, &other));
            PAWL_TRY_OUT(compare(first, other, g->paths[0], g->paths[i]));
            PAWL_TRY_OUT(compare_tokenizers(g, g->paths[i], spec));
            json_decref(other);
            other = NULL;
        }
        PAWL_TRY_OUT(pawl_source_open(g->paths[i], (pawl_which){NULL, 0}, g->model, &g->sources[i]));
        pawl_weight_source *to = i < g->with_base ? &g->recipe.base : &g->recipe.models[i - g->with_base];
        *to = (pawl_weight_source){pawl_source_read, g->sources[i], g->paths[i]};
    }
out:
    json_decref(first);
    json_decref(other);
    return status;
}

/* ---- the record ---- */

static pawl_status describe(const char *path, json_t **out)
{
    json_t *settings, *under, *licenses = NULL, *lineage = NULL;
    char base[1024];
    PAWL_TRY(pawl_describe_adapter(path, &settings, &under, base));
    pawl_status s = settings && !under ? pawl_peft_lineage(path, &lineage) : pawl_weights_lineage(path, &lineage);
    if (s == PAWL_OK && settings && !under) s = pawl_weights_lineage(base, &under);
    if (s == PAWL_OK) s = pawl_model_licenses(path, &licenses);
    if (s == PAWL_OK) json_object_set(lineage, "licenses", licenses);
    if (s == PAWL_OK && under) json_object_set(lineage, "base", under);
    if (s == PAWL_OK) *out = json_incref(lineage);
    json_decref(settings);
    json_decref(under);
    json_decref(licenses);
    json_decref(lineage);
    return s;
}

/* All licences together, each once. */
static void join_licenses(json_t *all, const json_t *model)
{
    size_t i, k;
    json_t *name, *had;
    json_array_foreach(json_object_get(model, "licenses"), i, name)
    {
        int known = 0;
        json_array_foreach(all, k, had) known |= json_equal(had, name);
        if (!known) json_array_append(all, name);
    }
}

static pawl_status make_record(merging *g)
{
    const pawl_merge_reads reads = pawl_merge_method_reads(g->recipe.method);
    json_t *models = json_array(), *weights = json_array(), *licenses = json_array();
    g->record = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "pawl_version", PAWL_VERSION, "method",
                          pawl_merge_methods[g->recipe.method], "dtype", pawl_dtype_name(g->dtype), "weights", weights,
                          "models", models, "licenses", licenses);
    PAWL_CHECK(g->record, PAWL_EMEM, "no memory for %s", PAWL_MERGE_RECORD);
    for (int i = 0; i < g->recipe.count && reads.weights; i++)
        json_array_append_new(weights, json_real(g->recipe.weights[i]));
    if (reads.density) json_object_set_new(g->record, "density", json_real(g->recipe.density));
    if (reads.lambda) json_object_set_new(g->record, "lambda", json_real(g->recipe.lambda));
    if (g->recipe.method >= PAWL_MERGE_DARE)
        json_object_set_new(g->record, "seed", json_integer((json_int_t)g->recipe.seed));
    for (int i = 0; i < g->count; i++) {
        json_t *one;
        PAWL_TRY(describe(g->paths[i], &one));
        join_licenses(licenses, one);
        if (i < g->with_base)
            json_object_set_new(g->record, "base", one);
        else
            json_array_append_new(models, one);
    }
    return PAWL_OK;
}

/* ---- writing ---- */

static pawl_status save_tokenizer(const merging *g, const char *dir)
{
    pawl_tokenizer *t;
    if (!has_tokenizer(g->tokenizer_spec)) {
        pawl_log(PAWL_LOG_WARN, "%s has no tokenizer.json: the merged model has none, either", g->tokenizer_spec);
        return PAWL_OK;
    }
    PAWL_TRY(pawl_tokenizer_open(g->tokenizer_spec, &t));
    const pawl_status s = pawl_tokenizer_save(t, dir);
    pawl_tokenizer_close(t);
    return s;
}

/* The template is the last model's: it is what that was taught to answer in. */
static pawl_status fill(void *self, const char *dir)
{
    merging *g = self;
    pawl_merge *merge;
    PAWL_TRY(save_tokenizer(g, dir));
    PAWL_TRY(pawl_chat_export(g->paths[g->count - 1], dir));
    PAWL_TRY(pawl_json_write(dir, PAWL_MERGE_RECORD, g->record));
    PAWL_TRY(pawl_merge_open(g->model, &g->recipe, &merge));
    const pawl_status s = pawl_hf_save_from(g->model, pawl_merge_read, merge, g->dtype, dir);
    pawl_merge_close(merge);
    return s;
}

static pawl_status merge(merging *g)
{
    PAWL_TRY(read_options(g));
    PAWL_TRY(open_models(g));
    PAWL_TRY(make_record(g));
    PAWL_TRY(pawl_parent_make(g->dir));
    PAWL_TRY(pawl_make_aside(g->dir, fill, g));
    printf("%s: %d model%s merged (%s), %.2f M parameters as %s\n", g->dir, g->recipe.count,
           g->recipe.count == 1 ? "" : "s", pawl_merge_methods[g->recipe.method], (double)pawl_model_parameters(g->model) / 1e6,
           pawl_dtype_name(g->dtype));
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    merging *g;
    (void)c;
    (void)exit_status;
    PAWL_TRY(pawl_alloc((void **)&g, sizeof *g, "a merge"));
    g->a = a;
    const pawl_status s = merge(g);
    for (int i = 0; i < g->count; i++) pawl_source_close(g->sources[i]);
    pawl_model_close(g->model);
    json_decref(g->record);
    pawl_free(g);
    return s;
}

const pawl_command pawl_command_merge = {
    .name = "merge",
    .usage = "--method METHOD [--weights W,...] [--density D] [--lambda L] [--seed N] [--base BASE] MODEL... -o DIR",
    .summary = "models of one architecture as one: linear, WiSE-FT, task arithmetic, TIES, DARE",
    .least = 1,
    .most = PAWL_MERGE_MAX,
    .options = {{"--method", "METHOD", "linear, wise, task_arithmetic, ties, dare or dare_ties"},
                {"--weights", "W,...", "a number a model (1 each); linear divides by their sum"},
                {"--density", "D", "share of each tensor's differences that is kept (ties 0.2, dare 0.1)"},
                {"--lambda", "L",
                 "what the joined differences are multiplied by (1); wise: 0 the base, 1 the model (0.5)"},
                {"--seed", "N", "dare: what is dropped (0)"},
                {"--base", "BASE", "the model that the others were trained from"},
                {"-o", "DIR", "the folder to write"},
                {"--dtype", "TYPE", "f32, bf16 or f16 (f32)"}},
    .run = run,
};
