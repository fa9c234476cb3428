/* The verdict of forgetting_budget, out of a lineage. */
#include "trainer/continual/gate.h"

#include <math.h>
#include <string.h>

#include "trainer/continual/retention.h"

const char *const pawl_gate_action_names[] = {"fail", "rollback", "warn", NULL};
const char *const pawl_gate_baseline_names[] = {"learnt", "best", NULL};

#define PAWL_SECTION pawl_budget_config
const pawl_field pawl_budget_rows[] = {PAWL_BUDGET_FIELDS(PAWL_ROW_N, PAWL_ROW_C) PAWL_ROW_END};
#undef PAWL_SECTION

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static double baseline_of(const pawl_budget_config *c, const json_t *lineage, const pawl_retention *r, int column)
{
    if (c->baseline == PAWL_BASELINE_BEST)
        return pawl_retention_best(lineage, "loss", r->names[column], r->learnt[column]);
    const int from = pawl_retention_from(r, column);
    return from < 0 || from == r->stages ? NAN : r->R[(size_t)from * (size_t)r->columns + (size_t)column];
}

/* Whether the last whole evaluation looked at a domain: a run measures what its own configuration names, not all that its parents learnt. */
static int looks_at(const json_t *lineage, const char *domain)
{
    const json_t *all = json_object_get(lineage, "evaluations");
    for (size_t i = json_array_size(all); i-- > 0;) {
        const json_t *entry = json_array_get(all, i);
        const char *at = json_string_value(json_object_get(entry, "at"));
        if (!at || strcmp(at, "probe") != 0) return json_object_get(json_object_get(entry, "scores"), domain) != NULL;
    }
    return 0;
}

typedef struct rises {
    double sum, worst;
    int count, at;     /* the column of the worst */
    json_t *each, *unmeasured; /* {domain: nats}; [domains that this run does not measure] */
} rises;

/* Domains that were learnt before the last stage, or known, and that nothing is held out of. */
static json_t *unmeasured(const json_t *lineage, int stages)
{
    json_t *learnt = pawl_retention_learnt(lineage), *out = json_array(), *stage;
    const char *domain;
    json_object_foreach(learnt, domain, stage)
    {
        const json_int_t in = json_integer_value(stage);
        if (in >= 0 && in < stages && !looks_at(lineage, domain)) json_array_append_new(out, json_string(domain));
    }
    json_decref(learnt);
    return out;
}

/* Domains that were learnt before the last stage and are measured. A loss that is no number any more has risen without
 * limit. */
static rises rises_of(const pawl_budget_config *c, const json_t *lineage, const pawl_retention *r)
{
    rises out = {0, -INFINITY, 0, -1, json_object(), unmeasured(lineage, r->stages)};
    for (int j = 0; j < r->columns; j++) {
        const double now = r->R[(size_t)r->stages * (size_t)r->columns + (size_t)j];
        if (r->learnt[j] < 0 || r->learnt[j] >= r->stages || !looks_at(lineage, r->names[j])) continue;
        const double then = baseline_of(c, lineage, r, j);
        if (isnan(then)) continue;
        const double rise = isnan(now) ? INFINITY : now - then;
        json_object_set_new(out.each, r->names[j], number_or_null(rise));
        out.sum += rise;
        out.count++;
        if (rise > out.worst) {
            out.worst = rise;
            out.at = j;
        }
    }
    return out;
}

/* Not a number is above every budget. */
static int exceeds(double x, double budget)
{
    return budget != PAWL_NONE_f64 && !(x <= budget);
}

pawl_status pawl_gate_judge(const pawl_budget_config *c, const json_t *lineage, json_t **out)
{
    pawl_retention r;
    PAWL_TRY(pawl_retention_of_lineage(lineage, "loss", "forgetting_budget", &r));
    const rises all = rises_of(c, lineage, &r);
    const double mean = all.count ? all.sum / all.count : NAN, worst = all.count ? all.worst : NAN;
    const int over = all.count && (exceeds(mean, c->mean) || exceeds(worst, c->worst));
    json_t *o = json_object();
    json_object_set_new(o, "verdict", json_string(over ? "exceeded" : "pass"));
    json_object_set_new(o, "mean", number_or_null(mean));
    json_object_set_new(o, "worst", number_or_null(worst));
    json_object_set_new(o, "worst_domain", all.at < 0 ? json_null() : json_string(r.names[all.at]));
    json_object_set_new(o, "rises", all.each);
    json_object_set_new(o, "not_measured", all.unmeasured);
    json_object_set_new(o, "mean_budget", number_or_null(c->mean));
    json_object_set_new(o, "worst_budget", number_or_null(c->worst));
    json_object_set_new(o, "baseline", json_string(pawl_gate_baseline_names[c->baseline]));
    json_object_set_new(o, "action", json_string(pawl_gate_action_names[c->action]));
    pawl_retention_close(&r);
    PAWL_CHECK(o, PAWL_EMEM, "no memory for the verdict of forgetting_budget");
    *out = o;
    return PAWL_OK;
}

json_t *pawl_gate_last(const json_t *lineage)
{
    const json_t *all = json_object_get(lineage, "gates");
    return json_array_get(all, json_array_size(all) - 1);
}
