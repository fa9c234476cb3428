/* pawl eval: held-out loss of a checkpoint or a Hugging Face model on the data of a run. */
#include <stdio.h>

#include "core/file.h"
#include "launch/launch.h"

enum { CHECKPOINT, BASE, EMA, JSON };

static pawl_status print_scores(const pawl_parts *p, const pawl_score *scores, int as_json)
{
    json_t *all;
    if (as_json) {
        PAWL_TRY(pawl_scores_json(p->data, scores, &all));
        return pawl_print_json(all);
    }
    printf("%-24s %10s %12s %10s %12s\n", "domain", "loss", "perplexity", "bits/byte", "tokens");
    for (int d = 0; d < pawl_data_domains(p->data, PAWL_HELD_OUT); d++)
        printf("%-24s %10.4f %12.3f %10.4f %12lld\n", pawl_data_domain(p->data, PAWL_HELD_OUT, d), scores[d].loss,
               pawl_score_perplexity(&scores[d]), pawl_score_bits_per_byte(&scores[d]), (long long)scores[d].tokens);
    return PAWL_OK;
}

static pawl_status evaluate(pawl_comm *c, pawl_opened *o, const char *path, pawl_which which, int as_json, int *stopped)
{
    float *weights = NULL;
    uint16_t *low = NULL; /* of a bf16 run */
    int64_t first, count;
    pawl_score *scores = NULL;
    pawl_evaluator *e = NULL;
    pawl_status status;
    const int domains = pawl_data_domains(o->data, PAWL_HELD_OUT);
    pawl_watch("loading the weights", (double)o->config.comm.phase_seconds);
    status = domains > 0 ? PAWL_OK : PAWL_FAIL(PAWL_EUSAGE, "there is nothing to evaluate: set val_set_size above 0, or name test_datasets");
    if (status == PAWL_OK) status = pawl_alloc((void **)&weights, (size_t)pawl_model_count(o->model) * sizeof(float), "the weights");
    if (status == PAWL_OK) status = pawl_alloc((void **)&scores, (size_t)domains * sizeof *scores, "scores");
    if (status == PAWL_OK) status = pawl_load_weights(path, which, o->model, weights);
    if (status == PAWL_OK) status = pawl_evaluator_open(&o->parts, &e);
    pawl_low_stretch(o->model, NULL, &first, &count);
    if (status == PAWL_OK && o->config.train.bf16) status = pawl_alloc((void **)&low, (size_t)count * sizeof *low, "the weights in bf16");
    if (status == PAWL_OK && low) status = pawl_low_round(o->model, NULL, o->parts.device, weights, low);
    PAWL_TRY_OUT(pawl_agree(c, status));
    PAWL_TRY_OUT(pawl_evaluate(e, &(pawl_pass){.weights = weights, .low = low}, scores, stopped));
    if (!*stopped) PAWL_TRY_OUT(pawl_agree(c, c->rank == 0 ? print_scores(&o->parts, scores, as_json) : PAWL_OK));
out:
    pawl_evaluator_close(e);
    pawl_free(scores);
    pawl_free(low);
    pawl_free(weights);
    return status;
}

/* Collective. Where base_model has moved, --base says where the run's tokenizer and sizes are now, too. */
static pawl_status find_base(pawl_comm *c, const char *base, pawl_model_section *m)
{
    int moved = base && m->base_model[0] && !pawl_path_exists(m->base_model);
    PAWL_TRY(pawl_bcast(c, &moved, sizeof moved, 0));
    pawl_status mine = PAWL_OK;
    if (moved && snprintf(m->base_model, sizeof m->base_model, "%s", base) >= (int)sizeof m->base_model)
        mine = PAWL_FAIL(PAWL_EUSAGE, "pawl eval: --base: the path is too long");
    return pawl_agree(c, mine);
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_opened *o;
    int stopped = 0;
    const char *path = a->option[CHECKPOINT];
    pawl_status mine = path ? pawl_alloc((void **)&o, sizeof *o, "the run")
                            : PAWL_FAIL(PAWL_EUSAGE, "pawl eval: --checkpoint is missing: a checkpoint, a run's folder or a model's folder");
    PAWL_TRY(pawl_agree(c, mine));
    pawl_status s = pawl_open_config(c, a->words[0], (char *const *)(a->words + 1), a->word_count - 1, o);
    if (s == PAWL_OK) s = find_base(c, a->option[BASE], &o->config.model);
    if (s == PAWL_OK) s = pawl_open_run(c, o, &stopped);
    if (s == PAWL_OK && !stopped) s = pawl_resolve_auto(c, o, path);
    if (s == PAWL_OK && !stopped) s = evaluate(c, o, path, (pawl_which){a->option[BASE], a->option[EMA] != NULL}, a->option[JSON] != NULL, &stopped);
    if (s == PAWL_OK && stopped) *exit_status = PAWL_EXIT_AGAIN;
    pawl_close_run(o);
    pawl_free(o);
    return s;
}

const pawl_command pawl_command_eval = {
    .name = "eval",
    .usage = "RUN.yaml --checkpoint CKPT|RUN_DIR|MODEL_DIR [--json] [key=value ...]",
    .summary = "loss, perplexity and bits per byte on held-out data",
    .on_ranks = 1,
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {{"--checkpoint", "PATH", "a checkpoint, a run's folder (its newest) or a Hugging Face directory"},
                {"--base", "DIR", "where the base model of an adapter is now (where it was)"},
                {"--ema", NULL, "the average of the weights that the run kept (ema_decay), not the weights themselves"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
