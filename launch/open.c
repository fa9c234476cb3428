#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "launch/launch.h"

/* ---- configuration ---- */

static pawl_status read_config(const char *yaml, char *const *overrides, int count, pawl_run_config *out)
{
    pawl_text errors = {0};
    int error_count = 0;
    pawl_status s = pawl_config_read(yaml, overrides, count, out, &errors, &error_count);
    if (error_count) {
        fputs(errors.data, stderr);
        if (errors.bytes && errors.data[errors.bytes - 1] != '\n') fputc('\n', stderr);
        pawl_last_error()->shown = 1;
    }
    pawl_text_close(&errors);
    return s;
}

pawl_status pawl_open_config(pawl_comm *c, const char *yaml, char *const *overrides, int count, pawl_opened *o)
{
    PAWL_TRY(pawl_agree(c, c->rank == 0 ? read_config(yaml, overrides, count, &o->config) : PAWL_OK));
    PAWL_TRY(pawl_bcast(c, &o->config, sizeof o->config, 0));
    return pawl_agree(c, pawl_config_json(&o->config, &o->configuration));
}

/* ---- a run ---- */

/* What the model is: of base_model, of parent_checkpoint, or as written under `model:`. */
static pawl_status choose_model(pawl_opened *o, pawl_model_config *model)
{
    const pawl_run_config *c = &o->config;
    const char *start = c->model.base_model[0] ? c->model.base_model : c->checkpoint.parent_checkpoint;
    if (start[0]) PAWL_TRY(pawl_describe_model(start, model, o->tokenizer_spec));
    else *model = c->model.model.value;
    if (c->data.tokenizer[0]) memcpy(o->tokenizer_spec, c->data.tokenizer, sizeof c->data.tokenizer);
    return PAWL_OK;
}

/* What lineage will say of the start; reads all of a base model. */
static pawl_status start_lineage(pawl_opened *o)
{
    const pawl_run_config *c = &o->config;
    if (c->model.base_model[0]) return pawl_weights_lineage(c->model.base_model, &o->base);
    return c->checkpoint.parent_checkpoint[0] ? pawl_weights_lineage(c->checkpoint.parent_checkpoint, &o->parent) : PAWL_OK;
}

/* The tokenizer may be missing in a plan (NULL). */
static pawl_status fit_model(pawl_opened *o, pawl_model_config *model)
{
    const int32_t size = o->tokenizer ? pawl_tokenizer_size(o->tokenizer) : 0, end = o->tokenizer ? pawl_tokenizer_end(o->tokenizer) : -1;
    if (model->vocab_size == 0) model->vocab_size = size;
    if (model->eos_token_id < 0) model->eos_token_id = end;
    if (model->bos_token_id < 0 && o->config.model.model.present) model->bos_token_id = end;
    PAWL_CHECK(model->vocab_size > 0, PAWL_EUSAGE, "vocab_size is not given, and there is no tokenizer in %s to tell it", o->tokenizer_spec);
    PAWL_CHECK(model->vocab_size >= size, PAWL_EUSAGE,
               "the tokenizer %s has %d ids but the model's vocab_size is %lld: use the model's own tokenizer, or a larger vocab_size",
               o->tokenizer_spec, size, (long long)model->vocab_size);
    PAWL_CHECK(o->config.data.sequence_len <= model->max_position_embeddings, PAWL_EUSAGE,
               "sequence_len %lld is longer than the model's max_position_embeddings %lld: lower it", (long long)o->config.data.sequence_len,
               (long long)model->max_position_embeddings);
    return PAWL_OK;
}

static pawl_status open_model(const pawl_comm *c, pawl_opened *o, int threads)
{
    pawl_model_config model;
    PAWL_TRY(choose_model(o, &model));
    PAWL_TRY(start_lineage(o));
    PAWL_TRY(pawl_tokenizer_open(o->tokenizer_spec, &o->tokenizer));
    PAWL_TRY(fit_model(o, &model));
    PAWL_TRY(pawl_model_open(&model, &o->model));
    PAWL_TRY(pawl_choose_adapter(o));
    PAWL_TRY(pawl_open_device(c, (pawl_device_choice)o->config.train.device, threads, o->trains, &o->device));
    PAWL_TRY(pawl_choose_attention(o->device, &o->config.train));
    return pawl_device_graphs(o->device, (int)o->config.train.cuda_graphs);
}

/* Ranks that compute with other instructions round otherwise, and their copies of the weights would drift apart. */
static pawl_status same_device(pawl_comm *c, const pawl_device *d)
{
    char first[128] = "";
    snprintf(first, sizeof first, "%s", pawl_device_describe(d));
    PAWL_TRY(pawl_bcast(c, first, sizeof first, 0));
    pawl_status mine = PAWL_OK;
    if (strcmp(first, pawl_device_describe(d)) != 0)
        mine = PAWL_FAIL(PAWL_EUSAGE, "this rank computes on '%s' and rank 0 on '%s': a run needs one kind of processor and library",
                         pawl_device_describe(d), first);
    return pawl_agree(c, mine);
}

/* Ranks of this machine may share a GPU; each knows which it has. Collective. */
static pawl_status count_sharers(pawl_comm *c, pawl_opened *o)
{
    typedef struct place { int64_t machine; uint64_t which; } place;
    const place mine = {c->machine, pawl_device_memory_of(o->device).which};
    place *all;
    o->device_ranks = 0;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&all, (size_t)c->size * sizeof *all, "the ranks' devices")));
    const pawl_status s = pawl_allgather(c, &mine, sizeof mine, all);
    for (int r = 0; s == PAWL_OK && r < c->size; r++) o->device_ranks += all[r].machine == mine.machine && all[r].which == mine.which;
    pawl_free(all);
    return s;
}

static pawl_status prepare_data(pawl_comm *c, pawl_opened *o, int *stopped)
{
    const pawl_continual_config *k = &o->config.continual;
    pawl_data_group mixtures[PAWL_STAGES_MAX];
    char cache[1024];
    for (int i = 0; i < k->stages.count; i++)
        mixtures[i] = (pawl_data_group){k->stages.items[i].datasets.items, k->stages.items[i].datasets.count};
    pawl_cache_folder(cache, sizeof cache);
    if (!cache[0]) snprintf(cache, sizeof cache, "%.1000s/prepared", o->config.train.output_dir);
    pawl_watch("preparing the data", (double)o->config.comm.phase_seconds);
    const pawl_data_inputs in = {.config = &o->config.data,
                                 .mixtures = k->stages.count ? mixtures : NULL,
                                 .mixture_count = k->stages.count,
                                 .general = {k->general_data.items, k->general_data.count},
                                 .tokenizer = o->tokenizer,
                                 .tokenizer_spec = o->tokenizer_spec,
                                 .seed = (uint64_t)o->config.train.seed,
                                 .cache = cache,
                                 .progress = pawl_show_preparing};
    const pawl_status s = pawl_data_open(c, &in, &o->data, stopped);
    pawl_end_preparing();
    return s;
}

/* A row has room for at least one token behind its prompt. */
static pawl_status open_prompts(pawl_comm *c, pawl_opened *o)
{
    const pawl_continual_config *k = &o->config.continual;
    if (!k->synthesis.present || !o->begins) return PAWL_OK;
    return pawl_prompts_open(c, &o->config.data, k->synthesis.value.prompts, o->tokenizer_spec, o->tokenizer, o->config.data.sequence_len - 1, &o->prompts);
}

/* The tokenizer that the run would take. */
static pawl_status open_tokenizer(pawl_opened *o)
{
    pawl_model_config model;
    if (o->config.data.tokenizer[0]) memcpy(o->tokenizer_spec, o->config.data.tokenizer, sizeof o->config.data.tokenizer);
    else PAWL_TRY(choose_model(o, &model));
    return pawl_tokenizer_open(o->tokenizer_spec, &o->tokenizer);
}

pawl_status pawl_open_data(pawl_comm *c, pawl_opened *o, int *stopped)
{
    PAWL_TRY(pawl_agree(c, open_tokenizer(o)));
    return prepare_data(c, o, stopped);
}

static void fill_parts(pawl_comm *c, pawl_opened *o)
{
    o->parts = (pawl_parts){.comm = c,
                            .device = o->device,
                            .device_ranks = o->device_ranks,
                            .model = o->model,
                            .tokenizer = o->tokenizer,
                            .tokenizer_spec = o->tokenizer_spec,
                            .data = o->data,
                            .sequence_len = o->config.data.sequence_len,
                            .train = &o->config.train,
                            .optim = &o->config.optim,
                            .reduce = &o->config.comm,
                            .save = &o->config.checkpoint,
                            .continual = &o->config.continual,
                            .prompts = o->prompts,
                            .configuration = o->configuration,
                            .configuration_diff = pawl_config_diff,
                            .base = o->base,
                            .products = o->products,
                            .adapter = o->adapter,
                            .adapter_settings = o->adapter_settings,
                            .adapter_start = o->adapter_start,
                            .adapters_before = o->adapters_before,
                            .base_code = pawl_base_code(&o->config.adapter),
                            .live = pawl_on_terminal(),
                            .parent = o->parent,
                            .goes_on = o->parent && (!o->adapter || o->adapter_goes_on)};
}

pawl_status pawl_open_run(pawl_comm *c, pawl_opened *o, int *stopped)
{
    int threads;
    pawl_watch("opening the model", (double)o->config.comm.phase_seconds);
    PAWL_TRY(pawl_threads_here(c, o->config.train.threads, &threads));
    PAWL_TRY(pawl_import_start(c, o));
    PAWL_TRY(pawl_agree(c, open_model(c, o, threads)));
    PAWL_TRY(same_device(c, o->device));
    PAWL_TRY(count_sharers(c, o));
    PAWL_TRY(open_prompts(c, o));
    PAWL_TRY(pawl_comm_connect(c, o->device, &o->config.comm));
    o->connected = c;
    PAWL_TRY(prepare_data(c, o, stopped));
    fill_parts(c, o);
    return PAWL_OK;
}

/* ---- a run that is only planned ---- */

static int has_tokenizer(const char *spec)
{
    char file[1100];
    if (strcmp(spec, "bytes") == 0) return 1;
    return pawl_path_join(file, sizeof file, spec, "tokenizer.json") == PAWL_OK && pawl_path_exists(file);
}

pawl_status pawl_open_plan(pawl_comm *c, pawl_opened *o, pawl_text *missing, int *stopped)
{
    pawl_model_config model;
    PAWL_TRY(pawl_import_start(c, o));
    PAWL_TRY(choose_model(o, &model));
    const char *path = pawl_missing_dataset(&o->config);
    if (path) pawl_text_add(missing, "there is no %s", path);
    else if (!has_tokenizer(o->tokenizer_spec)) pawl_text_add(missing, "there is no tokenizer.json in %s", o->tokenizer_spec);
    if (has_tokenizer(o->tokenizer_spec)) PAWL_TRY(pawl_tokenizer_open(o->tokenizer_spec, &o->tokenizer));
    PAWL_TRY(fit_model(o, &model));
    PAWL_TRY(pawl_model_open(&model, &o->model));
    PAWL_TRY(pawl_choose_adapter(o));
    if (!missing->bytes) PAWL_TRY(prepare_data(c, o, stopped));
    fill_parts(c, o);
    return pawl_text_status(missing);
}

void pawl_close_run(pawl_opened *o)
{
    pawl_data_close(o->data);
    pawl_prompts_close(o->prompts);
    if (o->connected) pawl_comm_disconnect(o->connected);
    pawl_device_close(o->device);
    pawl_adapter_close(o->adapter);
    pawl_model_close(o->model);
    pawl_tokenizer_close(o->tokenizer);
    json_decref(o->configuration);
    json_decref(o->adapter_settings);
    json_decref(o->adapter_start);
    json_decref(o->base);
    json_decref(o->parent);
    json_decref(o->products);
    memset(o, 0, sizeof *o);
}
