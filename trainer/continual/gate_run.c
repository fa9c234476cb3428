/* forgetting_budget in a run: its verdict in lineage and metrics, and the way back. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "trainer/continual/keeping.h"
#include "trainer/continual/stream.h"

static const pawl_budget_config *budget_of(const pawl_trainer *t)
{
    const pawl_continual_config *c = t->p->continual;
    return c && c->forgetting_budget.present ? &c->forgetting_budget.value : NULL;
}

static int exceeded(const json_t *verdict)
{
    const char *word = json_string_value(json_object_get(verdict, "verdict"));
    return word && strcmp(word, "exceeded") == 0;
}

/* The verdict on this step, if it is in the lineage. */
static const json_t *verdict_here(const pawl_trainer *t)
{
    const json_t *last = pawl_gate_last(t->lineage);
    const int here = last && json_integer_value(json_object_get(last, "step")) == t->step &&
                     json_integer_value(json_object_get(last, "stage_index")) == t->course->before + t->course->stage;
    return here ? last : NULL;
}

/* A rise that is no number has no limit. */
static double rise_of(const json_t *verdict, const char *key)
{
    const json_t *x = json_object_get(verdict, key);
    return json_is_number(x) ? json_number_value(x) : INFINITY;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void add_unmeasured(const json_t *verdict, pawl_text *out)
{
    const json_t *names = json_object_get(verdict, "not_measured");
    for (size_t i = 0; i < json_array_size(names); i++)
        pawl_text_add(out, "%s%s", i ? ", " : "; not measured: ", json_string_value(json_array_get(names, i)));
}

/* What was judged, whatever the verdict: a budget that looks at nothing must not look like one that is held. */
static void show(const pawl_trainer *t)
{
    const json_t *v = verdict_here(t), *mean = json_object_get(v, "mean_budget"),
                 *worst = json_object_get(v, "worst_budget");
    char budget[96] = "";
    pawl_text rest = {0};
    if (json_is_number(mean)) snprintf(budget, sizeof budget, " mean %g", json_number_value(mean));
    if (json_is_number(worst))
        snprintf(budget + strlen(budget), sizeof budget - strlen(budget), " worst %g", json_number_value(worst));
    add_unmeasured(v, &rest);
    if (json_object_size(json_object_get(v, "rises")))
        pawl_screen_line(t->p, "gate     stage %s %s forgetting_budget (%s): mean %+.4f, worst %+.4f nats per token (%s)%s",
                         text_of(v, "stage"), exceeded(v) ? "exceeds" : "is within", budget + 1, rise_of(v, "mean"),
                         rise_of(v, "worst"), text_of(v, "worst_domain"), rest.bytes ? rest.data : "");
    else if (rest.bytes)
        pawl_screen_line(t->p, "gate     stage %s: forgetting_budget has nothing to judge%s", text_of(v, "stage"), rest.data);
    pawl_text_close(&rest);
}

/* Where what was judged, and the verdict; a budget that was changed since then makes another one. */
pawl_status pawl_gate_record(pawl_trainer *t)
{
    const pawl_budget_config *c = budget_of(t);
    json_t *verdict, *entry, *gates = json_object_get(t->lineage, "gates");
    if (!c) return PAWL_OK;
    PAWL_TRY(pawl_gate_judge(c, t->lineage, &verdict));
    entry = json_pack("{s:I,s:s,s:i}", "step", (json_int_t)t->step, "stage", pawl_course_stage(t)->name, "stage_index",
                      t->course->before + t->course->stage);
    json_object_update(entry, verdict);
    if (verdict_here(t) && json_equal(verdict_here(t), entry)) {
        json_decref(entry);
        json_decref(verdict);
        return PAWL_OK;
    }
    if (!gates) {
        gates = json_array();
        json_object_set_new(t->lineage, "gates", gates);
    }
    t->saved = -1;
    if (!entry || json_array_append_new(gates, entry) < 0) {
        json_decref(verdict);
        return PAWL_FAIL(PAWL_EMEM, "no memory for the verdict of forgetting_budget");
    }
    json_object_set_new(verdict, "stage", json_string(pawl_course_stage(t)->name));
    if (!pawl_gate_stops(t)) show(t); /* a run that it stops says so at its end */
    return pawl_record_event(t, "gate", verdict);
}

int pawl_gate_passed(const pawl_trainer *t)
{
    const json_t *verdict = verdict_here(t);
    return budget_of(t) && verdict && !exceeded(verdict);
}

int pawl_gate_stops(const pawl_trainer *t)
{
    const pawl_budget_config *c = budget_of(t);
    return c && c->action != PAWL_GATE_WARN && exceeded(verdict_here(t));
}

/* The checkpoint's own digest is the last word of a run that went back to it. */
static pawl_status show_way_back(pawl_trainer *t, const char *path)
{
    pawl_checkpoint *k;
    PAWL_TRY(pawl_checkpoint_open(path, &k));
    const json_t *manifest = pawl_checkpoint_manifest(k);
    pawl_screen_line(t->p, "rollback %s is the newest checkpoint that is within the budget: LATEST names it now", path);
    pawl_screen_line(t->p, "weights_sha256 %s", text_of(manifest, "weights_sha256"));
    pawl_checkpoint_close(k);
    return PAWL_OK;
}

pawl_status pawl_gate_act(pawl_trainer *t, int *gone_back)
{
    enum { PATH_ROOM = 1200 };
    const pawl_budget_config *c = budget_of(t);
    char path[PATH_ROOM] = "";
    *gone_back = 0;
    show(t);
    if (c->action != PAWL_GATE_ROLLBACK) return PAWL_OK;
    PAWL_TRY(pawl_agree(t->p->comm, t->p->comm->rank == 0
                                        ? pawl_checkpoint_go_back(t->p->train->output_dir, path, sizeof path)
                                        : PAWL_OK));
    PAWL_TRY(pawl_bcast(t->p->comm, path, sizeof path, 0));
    *gone_back = path[0] != 0;
    json_t *rest = json_pack("{s:s,s:s,s:s?}", "stage", pawl_course_stage(t)->name, "verdict", "exceeded", "to",
                             path[0] ? path : NULL);
    pawl_status s = pawl_record_event(t, "rollback", rest);
    if (s == PAWL_OK) s = pawl_metrics_sync(t->metrics);
    if (s == PAWL_OK && path[0]) s = show_way_back(t, path);
    if (s == PAWL_OK && !path[0])
        pawl_screen_line(t->p, "rollback none of the checkpoints is within the budget: LATEST stays");
    return pawl_agree(t->p->comm, s);
}
