#include "trainer/continual/stages.h"

#include "trainer/continual/controller.h"
#include "trainer/continual/finished.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What of a stage's own settings stands in the place of the run's. */
static void override_optim(pawl_optim_config *o, const pawl_stage_config *s)
{
    o->learning_rate = pawl_f64_or(s->learning_rate, o->learning_rate);
    o->lr_scheduler = pawl_choice_or(s->lr_scheduler, o->lr_scheduler);
    o->cosine_min_lr_ratio = pawl_f64_or(s->cosine_min_lr_ratio, o->cosine_min_lr_ratio);
    if (s->warmup_steps == PAWL_NONE_i64 && s->warmup_ratio == PAWL_NONE_f64) return;
    o->warmup_steps = pawl_i64_or(s->warmup_steps, 0); /* one of them given takes the place of both */
    o->warmup_ratio = pawl_f64_or(s->warmup_ratio, 0);
}

/* As many steps as it takes until the rows of the mixture have shown so many tokens. */
static int64_t steps_of_tokens(const pawl_parts *p, int stage, int64_t tokens)
{
    const int64_t G = p->train->global_batch_size;
    int64_t steps = 0;
    for (int64_t seen = 0; seen < tokens; steps++)
        for (int64_t g = 0; g < G; g++)
            seen += pawl_row_length(p->data, PAWL_TRAIN, pawl_data_row_at(p->data, stage, steps * G + g));
    return steps;
}

/* The last batch is filled from the next epoch's order, so it counts whole. */
static int64_t steps_of_epochs(const pawl_parts *p, int stage, double epochs)
{
    return (int64_t)ceil(epochs * (double)pawl_data_epoch_rows(p->data, stage) / (double)p->train->global_batch_size);
}

static int64_t length_of(const pawl_parts *p, int stage, const pawl_stage_config *s)
{
    const int64_t none = PAWL_NONE_i64;
    const int own = s && (s->max_steps != none || s->max_tokens != none || s->num_epochs != PAWL_NONE_f64);
    const int64_t steps = own ? pawl_i64_or(s->max_steps, 0) : p->train->max_steps;
    if (steps > 0) return steps;
    if (!p->data) return PAWL_STEPS_UNKNOWN;
    if (own && s->max_tokens != none) return steps_of_tokens(p, stage, s->max_tokens);
    return steps_of_epochs(p, stage, own ? s->num_epochs : p->train->num_epochs);
}

static double ratio_of(const pawl_continual_config *c, const pawl_stage_config *s)
{
    if (!c || !c->replay.present) return 0;
    return s ? pawl_f64_or(s->replay_ratio, pawl_replay_ratio(&c->replay.value)) : pawl_replay_ratio(&c->replay.value);
}

void pawl_stream_of(const pawl_parts *p, pawl_stream *out)
{
    const pawl_continual_config *c = p->continual;
    int64_t at = 0, since = 0;
    memset(out, 0, sizeof *out);
    out->count = c && c->stages.count ? c->stages.count : 1;
    for (int i = 0; i < out->count; i++) {
        const pawl_stage_config *s = c && c->stages.count ? &c->stages.items[i] : NULL;
        pawl_stage *stage = &out->stages[i];
        const int64_t length = at == PAWL_STEPS_UNKNOWN ? PAWL_STEPS_UNKNOWN : length_of(p, i, s);
        *stage = (pawl_stage){.index = i,
                              .first_step = at,
                              .optim = *p->optim,
                              .replay_ratio = ratio_of(c, s),
                              .forget = i > 0 && (s->reset_optimizer || pawl_adapter_a_stage(p))};
        snprintf(stage->name, sizeof stage->name, "%s", s ? s->name : "main");
        if (s) override_optim(&stage->optim, s);
        stage->since = since = stage->forget ? at : since;
        at = stage->end_step = length == PAWL_STEPS_UNKNOWN ? length : at + length;
    }
    out->steps = at;
}

double pawl_stream_rate(const pawl_stream *s, int stage, int64_t step)
{
    const pawl_stage *x = &s->stages[stage];
    if (pawl_schedule_is_endless(x->optim.lr_scheduler)) return pawl_learning_rate(&x->optim, step, s->steps);
    return pawl_learning_rate(&x->optim, step - x->first_step, x->end_step - x->first_step);
}

int pawl_stream_find(const pawl_stream *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->stages[i].name, name) == 0) return i;
    return -1;
}

int64_t pawl_replay_due(int64_t *credit, double ratio, int64_t G, int add)
{
    const int64_t whole = (int64_t)1 << PAWL_CREDIT_BITS, most = add ? G : G - 1;
    *credit += llround(ratio * (double)G * (double)whole);
    const int64_t due = *credit / whole;
    *credit %= whole;
    return due < most ? due : most;
}

int pawl_stream_chooses(const pawl_stage *s)
{
    return s->replay_ratio == PAWL_RATIO_AUTO;
}

double pawl_stream_first_ratio(const pawl_stage *s)
{
    return pawl_stream_chooses(s) ? PAWL_CONTROL_START : s->replay_ratio;
}
