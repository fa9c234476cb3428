/* pawl export: a checkpoint as a Hugging Face directory. */
#include <stdio.h>

#include "core/file.h"
#include "launch/launch.h"

enum { DTYPE };

static pawl_status save(const pawl_loaded *l, pawl_dtype dtype, const char *dir)
{
    PAWL_TRY(pawl_dir_make(dir));
    PAWL_TRY(pawl_hf_save(l->model, l->weights, dtype, dir));
    return pawl_tokenizer_save(l->tokenizer, dir);
}

/* Another model, or a run, may lie there: it is not for an export to write over it. */
static pawl_status require_empty(const char *dir)
{
    char **names;
    int count;
    if (!pawl_path_exists(dir)) return PAWL_OK;
    PAWL_TRY(pawl_dir_list(dir, &names, &count));
    pawl_free(names);
    PAWL_CHECK(count == 0, PAWL_EUSAGE, "%s is not empty: export into a new folder", dir);
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    const char *name = a->option[DTYPE] ? a->option[DTYPE] : "f32";
    const pawl_dtype dtype = pawl_dtype_named(name);
    pawl_loaded l;
    (void)c;
    (void)exit_status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "pawl export: --dtype: expected f32, bf16 or f16, found '%s'", name);
    PAWL_TRY(require_empty(a->words[1]));
    PAWL_TRY(pawl_load_model(a->words[0], &l));
    pawl_status s = save(&l, dtype, a->words[1]);
    if (s == PAWL_OK)
        printf("%s: %.2f M parameters as %s\n", a->words[1], (double)pawl_model_parameters(l.model) / 1e6, pawl_dtype_name(dtype));
    pawl_unload_model(&l);
    return s;
}

const pawl_command pawl_command_export = {
    .name = "export",
    .usage = "CKPT|RUN_DIR DIR [--dtype f32|bf16|f16]",
    .summary = "a checkpoint as a Hugging Face directory",
    .least = 2,
    .most = 2,
    .options = {{"--dtype", "TYPE", "f32 (as trained), bf16 or f16"}},
    .run = run,
};
