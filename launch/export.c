/* pawl export: a checkpoint as a Hugging Face directory. */
#include <stdio.h>

#include "core/arena.h"
#include "core/file.h"
#include "launch/launch.h"

enum { DTYPE, ADAPTER, MERGED, BASE, EMA };

static pawl_status save(const char *path, const pawl_loaded *l, pawl_dtype dtype, const char *dir)
{
    PAWL_TRY(pawl_dir_make(dir));
    PAWL_TRY(pawl_hf_save(l->model, l->weights, dtype, dir));
    PAWL_TRY(pawl_tokenizer_save(l->tokenizer, dir));
    return pawl_chat_export(path, dir);
}

static pawl_status write_model(const char *path, pawl_which which, pawl_dtype dtype, const char *dir)
{
    pawl_loaded l;
    PAWL_TRY(pawl_load_model(path, which, NULL, &l));
    pawl_status s = save(path, &l, dtype, dir);
    if (s == PAWL_OK)
        printf("%s: %.2f M parameters as %s\n", dir, (double)pawl_model_parameters(l.model) / 1e6, pawl_dtype_name(dtype));
    pawl_unload_model(&l);
    return s;
}

/* An adapter apart from its base. */
typedef struct apart {
    json_t *settings, *lineage;
    char base[1024];
    pawl_model *model;
    pawl_adapter *adapter;
    pawl_stack stack;
} apart;

static pawl_status open_apart(const char *path, pawl_which which, apart *a)
{
    pawl_model_config model;
    char tokenizer[1024];
    PAWL_TRY(pawl_describe_adapter(path, &a->settings, &a->lineage, a->base));
    PAWL_CHECK(a->settings, PAWL_EUSAGE, "%s has no adapter, all of its weights were trained: leave --adapter out", path);
    PAWL_TRY(pawl_describe_model(which.base && !a->lineage ? which.base : path, &model, tokenizer)); /* a checkpoint knows it */
    PAWL_TRY(pawl_model_open(&model, &a->model));
    PAWL_TRY(pawl_adapter_open(a->model, a->settings, path, &a->adapter));
    return pawl_load_stack(path, which.ema, a->adapter, &a->stack);
}

static void close_apart(apart *a)
{
    pawl_free(a->stack.flats);
    pawl_adapter_close(a->adapter);
    pawl_model_close(a->model);
    json_decref(a->settings);
    json_decref(a->lineage);
}

static void tell(const char *dir, const pawl_adapter *a, int stages, pawl_dtype dtype, const char *under)
{
    printf("%s: an adapter of %.2f M parameters as %s, on %s\n", dir, (double)pawl_trained_parameters(pawl_adapter_model(a), a) / 1e6,
           pawl_dtype_name(dtype), under);
    if (stages > 1) printf("  of rank %lld: the adapters of %d stages, one beside the other\n", (long long)pawl_adapter_rank(a), stages);
}

/* The adapters of several stages go out as one. */
static pawl_status save_apart(const apart *a, pawl_dtype dtype, const char *under, const char *dir)
{
    pawl_adapter *one = NULL;
    float *weights = NULL;
    if (a->stack.count > 1) PAWL_TRY(pawl_stack_join(&a->stack, &one, &weights));
    const pawl_adapter *out = one ? one : a->adapter;
    const pawl_status s = pawl_peft_save(out, weights ? weights : a->stack.flats, dtype, under, dir);
    if (s == PAWL_OK) tell(dir, out, a->stack.count, dtype, under);
    pawl_free(weights);
    pawl_adapter_close(one);
    return s;
}

static pawl_status write_adapter(const char *path, pawl_which which, pawl_dtype dtype, const char *dir)
{
    apart a = {.settings = NULL};
    pawl_status s = open_apart(path, which, &a);
    const char *under = which.base ? which.base : a.base;
    if (s == PAWL_OK && which.base && a.lineage) s = pawl_check_base(a.lineage, which.base, path);
    if (s == PAWL_OK) s = save_apart(&a, dtype, under, dir);
    close_apart(&a);
    return s;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    const char *name = a->option[DTYPE] ? a->option[DTYPE] : "f32";
    const pawl_dtype dtype = pawl_dtype_named(name);
    (void)c;
    (void)exit_status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "pawl export: --dtype: expected f32, bf16 or f16, found '%s'", name);
    PAWL_CHECK(!a->option[ADAPTER] || !a->option[MERGED], PAWL_EUSAGE, "pawl export: expected --adapter or --merged, found both");
    PAWL_TRY(pawl_require_empty(a->words[1], "export"));
    return (a->option[ADAPTER] ? write_adapter : write_model)(a->words[0], (pawl_which){a->option[BASE], a->option[EMA] != NULL}, dtype,
                                                                a->words[1]);
}

const pawl_command pawl_command_export = {
    .name = "export",
    .usage = "CKPT|RUN_DIR DIR [--dtype f32|bf16|f16] [--adapter|--merged]",
    .summary = "a checkpoint as a Hugging Face directory",
    .least = 2,
    .most = 2,
    .options = {{"--dtype", "TYPE", "f32 (as trained), bf16 or f16"},
                {"--adapter", NULL, "the adapter alone, as PEFT keeps it"},
                {"--merged", NULL, "the base model with the adapter worked into it (what is done without --adapter)"},
                {"--base", "DIR", "where the base model of an adapter is now (where it was)"},
                {"--ema", NULL, "the average of the weights that the run kept (ema_decay), not the weights themselves"}},
    .run = run,
};
