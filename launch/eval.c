/* pawl eval: held-out loss and accuracy of a checkpoint or a Hugging Face model on the data of a run. */
#include <stdio.h>

#include "core/file.h"
#include "launch/launch.h"

enum { CHECKPOINT, BASE, EMA, CHOICES, JSON };

/* What is asked for beside the figures. */
typedef struct request {
    pawl_which which;
    int as_json, choices; /* choices: the questions one by one, in place of the figures */
} request;

static pawl_status print_choices(json_t *told, int as_json)
{
    const char *domain;
    json_t *list, *q, *logprob;
    size_t i, k;
    if (as_json) return pawl_print_json(json_incref(told));
    json_object_foreach(told, domain, list) json_array_foreach(list, i, q)
    {
        printf("%-24s %zu  right %lld, chosen %lld, by bytes %lld  log-probabilities", domain, i,
               (long long)json_integer_value(json_object_get(q, "right")),
               (long long)json_integer_value(json_object_get(q, "chosen")),
               (long long)json_integer_value(json_object_get(q, "chosen_norm")));
        json_array_foreach(json_object_get(q, "logprobs"), k, logprob) printf(" %.4f", json_number_value(logprob));
        putchar('\n');
    }
    return PAWL_OK;
}

static pawl_status print_scores(const pawl_parts *p, const pawl_score *scores, int as_json)
{
    json_t *all;
    if (as_json) {
        PAWL_TRY(pawl_scores_json(p->data, scores, &all));
        return pawl_print_json(all);
    }
    const int domains = pawl_data_domains(p->data, PAWL_HELD_OUT);
    int asks = 0;
    for (int d = 0; d < domains; d++) asks |= scores[d].questions > 0;
    printf("%-24s %10s %12s %10s %12s%s\n", "domain", "loss", "perplexity", "bits/byte", "tokens",
           asks ? "   accuracy   by bytes  questions" : "");
    for (int d = 0; d < domains; d++) {
        printf("%-24s %10.4f %12.3f %10.4f %12lld", pawl_data_domain(p->data, PAWL_HELD_OUT, d), scores[d].loss,
               pawl_score_perplexity(&scores[d]), pawl_score_bits_per_byte(&scores[d]), (long long)scores[d].tokens);
        if (scores[d].questions)
            printf(" %10.4f %10.4f %10lld", pawl_score_accuracy(&scores[d]), pawl_score_accuracy_norm(&scores[d]),
                   (long long)scores[d].questions);
        putchar('\n');
    }
    return PAWL_OK;
}

/* Of a whole model on a device, low being those of a bf16 run. */
typedef struct evaluated {
    pawl_arena arena;
    float *weights;
    uint16_t *low;
} evaluated;

static void lay_out(const pawl_opened *o, evaluated *w)
{
    int64_t first, count;
    pawl_low_stretch(o->model, NULL, &first, &count);
    w->weights = pawl_take_bytes(&w->arena, (size_t)pawl_model_count(o->model) * sizeof *w->weights);
    if (o->config.train.bf16) w->low = pawl_take_bytes(&w->arena, (size_t)count * sizeof *w->low);
}

/* Local. */
static pawl_status load(const pawl_opened *o, const char *path, pawl_which which, evaluated *w)
{
    w->arena.name = "weights";
    lay_out(o, w);
    PAWL_TRY(pawl_arena_open_on(o->device, PAWL_ON_DEVICE, &w->arena));
    lay_out(o, w);
    PAWL_TRY(pawl_load_weights(path, which, o->model, o->device, w->weights));
    return w->low ? pawl_low_round(o->model, NULL, o->device, w->weights, w->low) : PAWL_OK;
}

static pawl_status evaluate(pawl_comm *c, pawl_opened *o, const char *path, const request *r, int *stopped)
{
    evaluated w = {.weights = NULL};
    pawl_score *scores = NULL;
    pawl_evaluator *e = NULL;
    json_t *told = r->choices ? json_object() : NULL;
    pawl_status status;
    const int domains = pawl_data_domains(o->data, PAWL_HELD_OUT);
    pawl_watch("loading the weights", (double)o->config.comm.phase_seconds);
    status = domains > 0 ? PAWL_OK : PAWL_FAIL(PAWL_EUSAGE, "there is nothing to evaluate: set val_set_size above 0, or name test_datasets");
    if (status == PAWL_OK) status = pawl_alloc((void **)&scores, (size_t)domains * sizeof *scores, "scores");
    if (status == PAWL_OK) status = load(o, path, r->which, &w);
    if (status == PAWL_OK) status = pawl_evaluator_open(&o->parts, &e);
    PAWL_TRY_OUT(pawl_agree(c, status));
    pawl_evaluator_tell(e, told);
    PAWL_TRY_OUT(pawl_evaluate(e, &(pawl_pass){.weights = w.weights, .low = w.low}, scores, stopped));
    if (!*stopped && c->rank == 0)
        status = told ? print_choices(told, r->as_json) : print_scores(&o->parts, scores, r->as_json);
    if (!*stopped) PAWL_TRY_OUT(pawl_agree(c, status));
out:
    json_decref(told);
    pawl_evaluator_close(e);
    pawl_free(scores);
    pawl_arena_close_on(o->device, PAWL_ON_DEVICE, &w.arena);
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
    const request r = {{a->option[BASE], a->option[EMA] != NULL}, a->option[JSON] != NULL, a->option[CHOICES] != NULL};
    pawl_status mine = path ? pawl_alloc((void **)&o, sizeof *o, "the run")
                            : PAWL_FAIL(PAWL_EUSAGE, "pawl eval: --checkpoint is missing: a checkpoint, a run's folder or a model's folder");
    PAWL_TRY(pawl_agree(c, mine));
    pawl_status s = pawl_open_config(c, a->words[0], (char *const *)(a->words + 1), a->word_count - 1, o);
    if (s == PAWL_OK) s = find_base(c, a->option[BASE], &o->config.model);
    if (s == PAWL_OK) s = pawl_open_run(c, o, &stopped);
    if (s == PAWL_OK && !stopped) s = pawl_resolve_auto(c, o, path);
    if (s == PAWL_OK && !stopped) s = evaluate(c, o, path, &r, &stopped);
    if (s == PAWL_OK && stopped) *exit_status = PAWL_EXIT_AGAIN;
    pawl_close_run(o);
    pawl_free(o);
    return s;
}

const pawl_command pawl_command_eval = {
    .name = "eval",
    .usage = "RUN.yaml --checkpoint CKPT|RUN_DIR|MODEL_DIR [--choices] [--json] [key=value ...]",
    .summary = "loss, perplexity, bits per byte and accuracy on held-out data",
    .on_ranks = 1,
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {{"--checkpoint", "PATH", "a checkpoint, a run's folder (its newest) or a Hugging Face directory"},
                {"--base", "DIR", "where the base model of an adapter is now (where it was)"},
                {"--ema", NULL, "the average of the weights that the run kept (ema_decay), not the weights themselves"},
                {"--choices", NULL,
                 "questions with choices one by one: log-probabilities, what is chosen and what is right"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
