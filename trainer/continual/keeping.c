/* Probes: a few held-out rows of what was learnt before, measured on the way; and what the controller makes of them. */
#include "trainer/continual/keeping.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/span.h"
#include "trainer/continual/controller.h"
#include "trainer/continual/stream.h"

/* ---- when ---- */

static int chooses_ratio(const pawl_trainer *t)
{
    const pawl_continual_config *c = t->p->continual;
    return t->course->memory && c && c->replay.present && pawl_stream_chooses(pawl_course_stage(t));
}

/* Steps between probes; 0: none are made. A controller that is told nothing of them has 25 in a stage. */
static int64_t steps_between(const pawl_trainer *t)
{
    enum { IN_A_STAGE = 25 };
    const pawl_continual_config *c = t->p->continual;
    const pawl_stage *s = pawl_course_stage(t);
    if (!c || c->probe_steps > 0 || !chooses_ratio(t)) return c ? c->probe_steps : 0;
    const int64_t every = (s->end_step - s->first_step) / IN_A_STAGE;
    return every > 0 ? every : 1;
}

static int is_probe(const pawl_trainer *t, const json_t *entry)
{
    const char *at = json_string_value(json_object_get(entry, "at"));
    return at && strcmp(at, "probe") == 0 &&
           json_integer_value(json_object_get(entry, "rows")) == t->p->continual->probe_rows;
}

static int stage_of(const json_t *entry)
{
    return (int)json_integer_value(json_object_get(entry, "stage_index"));
}

static int done_here(const pawl_trainer *t)
{
    const json_t *all = json_object_get(t->lineage, "evaluations");
    for (size_t i = json_array_size(all); i-- > 0;) {
        const json_t *entry = json_array_get(all, i);
        if (stage_of(entry) != t->course->before + t->course->stage ||
            json_integer_value(json_object_get(entry, "step")) != t->step)
            return 0;
        if (is_probe(t, entry)) return 1;
    }
    return 0;
}

static int due(const pawl_trainer *t)
{
    const pawl_stage *s = pawl_course_stage(t);
    const int64_t every = steps_between(t), at = t->step - s->first_step;
    if (every == 0 || done_here(t)) return 0;
    return t->step == 0 || t->step == s->end_step || (at > 0 && at % every == 0);
}

/* ---- what ---- */

/* Held-out domains that are learnt by now: those of finished stages, what was known before, and at a stage's end its
 * own. */
static int wanted(const pawl_trainer *t, int domain, const json_t *learnt)
{
    const pawl_data *d = t->p->data;
    const char *name = pawl_data_domain(d, PAWL_HELD_OUT, domain);
    const json_t *stage = json_object_get(learnt, name);
    if (pawl_data_rows_of(d, PAWL_HELD_OUT, domain) == 0) return 0; /* it has questions alone */
    if (json_is_integer(stage) && json_integer_value(stage) >= 0) return 1;
    int first, end;
    pawl_data_mixture(d, t->course->stage, &first, &end);
    for (int i = first; i < end && t->step == pawl_course_stage(t)->end_step; i++)
        if (strcmp(pawl_data_domain(d, PAWL_TRAIN, i), name) == 0) return 1;
    return 0;
}

static json_t *scores_of(const pawl_trainer *t, const pawl_score *scores, const int *which)
{
    json_t *all = json_object();
    for (int d = 0; d < pawl_data_domains(t->p->data, PAWL_HELD_OUT); d++) {
        const double loss = scores[d].loss;
        if (which[d])
            json_object_set_new(all, pawl_data_domain(t->p->data, PAWL_HELD_OUT, d),
                                json_pack("{s:o,s:I}", "loss", isfinite(loss) ? json_real(loss) : json_null(), "tokens",
                                          (json_int_t)scores[d].tokens));
    }
    return all;
}

static pawl_status record(pawl_trainer *t, json_t *scores)
{
    json_t *losses = json_object(), *score;
    const char *domain;
    json_object_foreach(scores, domain, score) json_object_set(losses, domain, json_object_get(score, "loss"));
    json_t *entry = json_pack("{s:I,s:s,s:i,s:s,s:I,s:o}", "step", (json_int_t)t->step, "stage",
                              pawl_course_stage(t)->name, "stage_index", t->course->before + t->course->stage, "at",
                              "probe", "rows", (json_int_t)t->p->continual->probe_rows, "scores", scores);
    PAWL_TRY(pawl_lineage_evaluation(t->lineage, entry));
    t->saved = -1;
    return pawl_metrics_add(t->metrics, json_pack("{s:I,s:s,s:o}", "step", (json_int_t)t->step, "stage",
                                                  pawl_course_stage(t)->name, "probe", losses));
}

/* ---- the controller ---- */

static double loss_in(const json_t *entry, const char *domain)
{
    const json_t *x = json_object_get(json_object_get(json_object_get(entry, "scores"), domain), "loss");
    return json_is_number(x) ? json_number_value(x) : x ? INFINITY : NAN;
}

static double worst_rise(const pawl_trainer *t, const json_t *entry, const char **domain)
{
    const char *name;
    json_t *score;
    double worst = NAN;
    json_object_foreach(json_object_get(entry, "scores"), name, score)
    {
        const double rise = loss_in(entry, name) - pawl_retention_first(t->lineage, name, entry);
        if (!isnan(worst) && !(rise > worst) && !isnan(rise)) continue;
        worst = isnan(rise) ? INFINITY : rise;
        *domain = name;
    }
    return worst;
}

/* Decides after a probe inside a stage. Everything it looks at is in the lineage, so a resumed run decides alike. */
static pawl_status control(pawl_trainer *t)
{
    pawl_course *c = t->course;
    const json_t *all = json_object_get(t->lineage, "evaluations"),
                 *here = json_array_get(all, json_array_size(all) - 1), *last = NULL;
    const char *domain = "", *other = "";
    if (!chooses_ratio(t) || t->step == pawl_course_stage(t)->end_step) return PAWL_OK;
    for (size_t i = 0; i + 1 < json_array_size(all); i++)
        if (is_probe(t, json_array_get(all, i)) && stage_of(json_array_get(all, i)) == stage_of(here))
            last = json_array_get(all, i);
    const double rise = worst_rise(t, here, &domain), before = last ? worst_rise(t, last, &other) : rise;
    const double budget = t->p->continual->replay.value.budget, was = c->ratio;
    if (isnan(rise)) return PAWL_OK; /* nothing was learnt before */
    c->ratio = pawl_control(was, rise, before, budget);
    return pawl_record_event(t, "replay",
                             json_pack("{s:s,s:f,s:f,s:o,s:s,s:f}", "stage", pawl_course_stage(t)->name, "ratio",
                                       c->ratio, "ratio_before", was, "rise",
                                       isfinite(rise) ? json_real(rise) : json_null(), "worst_domain", domain, "budget",
                                       budget));
}

/* ---- together ---- */

static pawl_status measure(pawl_trainer *t, pawl_score *scores, int *which, int *stopped)
{
    pawl_pass of;
    json_t *learnt = pawl_retention_learnt(t->lineage);
    int any = 0;
    for (int d = 0; d < pawl_data_domains(t->p->data, PAWL_HELD_OUT); d++) any |= which[d] = wanted(t, d, learnt);
    json_decref(learnt);
    if (!any) return PAWL_OK;
    PAWL_TRY(pawl_stepper_pass(t->stepper, &of));
    PAWL_SPAN_TRY("probe", pawl_evaluate_some(t->evaluator, &of, which, t->p->continual->probe_rows, scores, stopped));
    if (*stopped) return PAWL_OK;
    pawl_data_let_go(t->p->data);
    pawl_status s = record(t, scores_of(t, scores, which));
    if (s == PAWL_OK) s = control(t);
    return pawl_agree(t->p->comm, s);
}

pawl_status pawl_probe(pawl_trainer *t, int *stopped)
{
    const size_t domains = (size_t)pawl_data_domains(t->p->data, PAWL_HELD_OUT);
    int *which;
    if (*stopped || domains == 0 || !due(t)) return PAWL_OK;
    PAWL_TRY(pawl_agree(t->p->comm, pawl_alloc((void **)&which, domains * sizeof *which, "a probe")));
    const pawl_status s = measure(t, t->scores, which, stopped);
    pawl_free(which);
    return s;
}

int64_t pawl_probed(const pawl_trainer *t)
{
    const json_t *all = json_object_get(t->lineage, "evaluations");
    for (size_t i = json_array_size(all); i-- > 0;)
        if (t->p->continual && is_probe(t, json_array_get(all, i)))
            return json_integer_value(json_object_get(json_array_get(all, i), "step"));
    return -1;
}

pawl_status pawl_keeping_check(const pawl_trainer *t)
{
    const pawl_continual_config *c = t->p->continual;
    const int asked = c && (c->forgetting_budget.present || steps_between(t) > 0);
    PAWL_CHECK(!asked || pawl_data_domains(t->p->data, PAWL_HELD_OUT) > 0, PAWL_EDATA,
               "%s: no document is held out to measure earlier domains by: raise val_set_size, or name test_datasets",
               c->forgetting_budget.present ? "forgetting_budget" : "probes");
    return PAWL_OK;
}
