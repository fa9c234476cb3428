/* A run's retention matrix, out of the lineage of its newest checkpoint. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "trainer/continual/retention.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- measures ---- */

const pawl_measure pawl_measures[] = {{"loss", 0, "tokens"},
                                      {"perplexity", 0, "tokens"},
                                      {"bits_per_byte", 0, "tokens"},
                                      {"accuracy", 1, "questions"},
                                      {"accuracy_norm", 1, "questions"},
                                      {"kl", 0, "kl_tokens"},
                                      {NULL, 0, NULL}};

const pawl_measure *pawl_measure_named(const char *name)
{
    for (const pawl_measure *m = pawl_measures; m->name; m++)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}

int pawl_retention_measured(const json_t *lineage, const char *measure)
{
    const char *domain;
    size_t i;
    json_t *entry, *score;
    json_array_foreach(json_object_get(lineage, "evaluations"), i, entry) json_object_foreach(
        json_object_get(entry, "scores"), domain, score) if (json_is_number(json_object_get(score, measure))) return 1;
    return 0;
}

/* ---- stages ---- */

/* What datasets of that use are of, each domain once. */
static void add_domains(const json_t *lineage, const char *use, json_t *to)
{
    size_t i, j;
    json_t *dataset, *known;
    json_array_foreach(json_object_get(lineage, "datasets"), i, dataset)
    {
        int there = 0;
        if (strcmp(text_of(dataset, "use"), use) != 0) continue;
        json_array_foreach(to, j, known) there |= strcmp(json_string_value(known), text_of(dataset, "domain")) == 0;
        if (!there) json_array_append_new(to, json_string(text_of(dataset, "domain")));
    }
}

/* The lineage's stages, each with its domains; from before there were any: one. */
static json_t *stages_of(const json_t *lineage)
{
    json_t *known = json_object_get(lineage, "stages");
    if (json_is_array(known)) return json_incref(known);
    json_t *domains = json_array();
    add_domains(lineage, "learnt", domains);
    return json_pack("[{s:s,s:o}]", "name", "main", "domains", domains);
}

json_t *pawl_retention_stages(const json_t *lineage)
{
    json_t *stages = stages_of(lineage), *names = json_array(), *stage;
    size_t i;
    json_array_foreach(stages, i, stage) json_array_append_new(names, json_string(text_of(stage, "name")));
    json_decref(stages);
    return names;
}

/* ---- columns ---- */

/* {domain: the stage that it was learnt in, from 1; 0: known before; -1: never}, in the order of columns. */
static json_t *columns_of(const json_t *lineage, const json_t *stages)
{
    json_t *columns = json_object(), *general = json_array(), *name, *stage, *entry, *score;
    const char *domain;
    size_t i, j;
    add_domains(lineage, "general", general);
    json_array_foreach(general, i, name) json_object_set_new(columns, json_string_value(name), json_integer(0));
    json_array_foreach(stages, i, stage) json_array_foreach(
        json_object_get(stage, "domains"), j, name) if (!json_object_get(columns, json_string_value(name)))
        json_object_set_new(columns, json_string_value(name), json_integer((json_int_t)i + 1));
    json_array_foreach(json_object_get(lineage, "evaluations"), i, entry)
        json_object_foreach(json_object_get(entry, "scores"), domain, score) if (!json_object_get(columns, domain))
            json_object_set_new(columns, domain, json_integer(PAWL_NEVER_LEARNT));
    json_decref(general);
    return columns;
}

json_t *pawl_retention_learnt(const json_t *lineage)
{
    json_t *stages = stages_of(lineage), *columns = columns_of(lineage, stages);
    json_decref(stages);
    return columns;
}

/* ---- rows ---- */

static int is_probe(const json_t *entry)
{
    return strcmp(text_of(entry, "at"), "probe") == 0;
}

static const json_t *score_of(const json_t *entry, const char *domain)
{
    return json_object_get(json_object_get(entry, "scores"), domain);
}

/* A later run may hold out other texts of a domain than those that went before it: what it measures does not
 * compare with theirs; nor does its accuracy on other questions. */
static int same_texts(const json_t *score, const json_t *newest, const char *measure)
{
    const char *counted = pawl_measure_named(measure)->counted;
    const json_t *a = json_object_get(score, counted), *b = json_object_get(newest, counted);
    return !a || !b || json_equal(a, b);
}

static const json_t *newest_score(const json_t *lineage, const char *domain, int probes)
{
    const json_t *all = json_object_get(lineage, "evaluations");
    for (size_t i = json_array_size(all); i-- > 0;) {
        const json_t *entry = json_array_get(all, i), *score = score_of(entry, domain);
        if (score && is_probe(entry) == probes) return score;
    }
    return NULL;
}

static double measured(const json_t *entry, const char *domain, const char *measure)
{
    const json_t *x = json_object_get(json_object_get(json_object_get(entry, "scores"), domain), measure);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* The row that an evaluation is of; -1: one between the ends of stages. Those from before there were stages do not say:
 * the first is of the start, the last of the end. A start of a later run measures what a parent's end is, on domains
 * that it did not have. */
static int row_of(const json_t *entry, size_t i, size_t last_old, int *start)
{
    const char *at = text_of(entry, "at");
    const int index = (int)json_integer_value(json_object_get(entry, "stage_index"));
    *start = strcmp(at, "start") == 0 || (!at[0] && i == 0);
    if (!at[0]) return i == last_old && i > 0 ? 1 : i == 0 ? 0 : -1;
    return *start ? index : strcmp(at, "stage_end") == 0 ? index + 1 : -1;
}

static size_t last_without_place(const json_t *evaluations)
{
    size_t i, last = 0;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)evaluations, i, entry) if (!text_of(entry, "at")[0]) last = i;
    return last;
}

static pawl_status fill(const json_t *lineage, const char *measure, pawl_retention *r)
{
    const json_t **newest;
    const json_t *evaluations = json_object_get(lineage, "evaluations");
    const size_t last_old = last_without_place(evaluations);
    size_t i;
    json_t *entry;
    PAWL_TRY(pawl_alloc((void **)&newest, (size_t)(r->columns + 1) * sizeof *newest, "a retention matrix"));
    for (int j = 0; j < r->columns; j++) newest[j] = newest_score(lineage, r->names[j], 0);
    json_array_foreach((json_t *)(uintptr_t)evaluations, i, entry)
    {
        int start;
        const int row = row_of(entry, i, last_old, &start);
        if (row < 0 || row > r->stages) continue;
        for (int j = 0; j < r->columns; j++) {
            if (!same_texts(score_of(entry, r->names[j]), newest[j], measure)) continue;
            double *cell = &r->R[(size_t)row * (size_t)r->columns + (size_t)j];
            const double x = measured(entry, r->names[j], measure);
            if (!isnan(x) && (!start || isnan(*cell))) *cell = x;
        }
    }
    pawl_free(newest);
    return PAWL_OK;
}

static int has_measure(const pawl_retention *r, int column)
{
    for (int i = 0; i <= r->stages; i++)
        if (!isnan(r->R[(size_t)i * (size_t)r->columns + (size_t)column])) return 1;
    return 0;
}

/* Domains that were never measured that way are no columns. */
static void drop_empty(pawl_retention *r)
{
    int kept = 0;
    const int before = r->columns;
    for (int j = 0; j < before; j++) {
        if (!has_measure(r, j)) continue;
        memmove(r->names[kept], r->names[j], sizeof *r->names);
        r->learnt[kept] = r->learnt[j];
        for (int i = 0; i <= r->stages; i++) /* read before it is written over: kept <= j, rows keep their old width */
            r->R[(size_t)i * (size_t)before + (size_t)kept] = r->R[(size_t)i * (size_t)before + (size_t)j];
        kept++;
    }
    for (int i = 0; i <= r->stages; i++)
        memmove(&r->R[(size_t)i * (size_t)kept], &r->R[(size_t)i * (size_t)before], (size_t)kept * sizeof *r->R);
    r->columns = kept;
}

pawl_status pawl_retention_of_lineage(const json_t *lineage, const char *measure, const char *where,
                                      pawl_retention *out)
{
    json_t *stages = stages_of(lineage), *columns = columns_of(lineage, stages), *learnt;
    const char *domain;
    int j = 0;
    pawl_status s = pawl_retention_open((int)json_array_size(stages), (int)json_object_size(columns),
                                        pawl_measure_named(measure)->higher_is_better, out);
    if (s == PAWL_OK) {
        json_object_foreach(columns, domain, learnt)
        {
            snprintf(out->names[j], sizeof *out->names, "%s", domain);
            out->learnt[j++] = (int)json_integer_value(learnt);
        }
        s = fill(lineage, measure, out);
        drop_empty(out);
        if (s == PAWL_OK && out->columns == 0)
            s = PAWL_FAIL(PAWL_EDATA,
                          "%s: there is no evaluation by %s in its lineage: a run measures what val_set_size holds "
                          "out, and test_datasets",
                          where, measure);
        if (s != PAWL_OK) pawl_retention_close(out);
    }
    json_decref(stages);
    json_decref(columns);
    return s;
}

/* ---- between the ends of stages ---- */

typedef struct gap {
    double best, peak, worst, last; /* best so far; peak: that when the worst came */
    json_int_t step;
    const char *stage;
} gap;

/* A run that goes on from another one measures the same model, with weights that were put together in another order: what rounding
 * makes is no gap. */
static void follow(gap *g, double x, const json_t *entry)
{
    const double rounding = 1e-6;
    if (isnan(x)) return;
    if (isnan(g->best)) *g = (gap){x, x, x, x, 0, NULL};
    if (x < g->best) g->best = x;
    if (x - g->best > fmax(g->worst - g->peak, rounding * fabs(g->best))) {
        g->peak = g->best;
        g->worst = x;
        g->step = json_integer_value(json_object_get(entry, "step"));
        g->stage = text_of(entry, "stage");
    }
    g->last = x;
}

/* Since it was learnt, which a domain is at the end of its stage. */
static int is_since(const json_t *entry, size_t i, size_t last_old, json_int_t learnt)
{
    const char *at = text_of(entry, "at");
    const json_int_t index = json_integer_value(json_object_get(entry, "stage_index"));
    if (learnt == 0) return 1;
    if (!at[0]) return i > 0 && i == last_old; /* learnt in the one stage there was */
    return index + 1 > learnt || (index + 1 == learnt && strcmp(at, "stage_end") == 0);
}

double pawl_retention_first(const json_t *lineage, const char *domain, const json_t *probe)
{
    const json_t *all = json_object_get(lineage, "evaluations");
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)all, i, entry)
    {
        const json_t *score = score_of(entry, domain), *loss = json_object_get(score, "loss");
        if (is_probe(entry) && loss && same_texts(score, score_of(probe, domain), "loss")) return json_is_number(loss) ? json_number_value(loss) : INFINITY;
    }
    return NAN;
}

json_t *pawl_retention_other_texts(const json_t *lineage)
{
    json_t *columns = pawl_retention_learnt(lineage), *out = json_array(), *learnt, *entry;
    const char *domain;
    size_t i;
    json_object_foreach(columns, domain, learnt)
    {
        const json_t *newest = newest_score(lineage, domain, 0);
        int other = 0;
        json_array_foreach(json_object_get(lineage, "evaluations"), i, entry) if (!is_probe(entry) && score_of(entry, domain)) other |=
            !same_texts(score_of(entry, domain), newest, "loss");
        if (other) json_array_append_new(out, json_string(domain));
    }
    json_decref(columns);
    return out;
}

double pawl_retention_best(const json_t *lineage, const char *measure, const char *domain, int learnt)
{
    const json_t *all = json_object_get(lineage, "evaluations");
    const size_t last_old = last_without_place(all);
    const json_t *newest = newest_score(lineage, domain, 0);
    double best = NAN;
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)all, i, entry)
    {
        const double x = measured(entry, domain, measure);
        if (!is_probe(entry) && same_texts(score_of(entry, domain), newest, measure) && is_since(entry, i, last_old, learnt) && !isnan(x) && !(x >= best)) best = x;
    }
    return best;
}

/* A domain is probed from the end of its stage on. */
static gap gap_of(const json_t *lineage, const char *measure, const char *domain, json_int_t learnt)
{
    const json_t *all = json_object_get(lineage, "evaluations");
    const size_t last_old = last_without_place(all);
    const json_t *newest[] = {newest_score(lineage, domain, 0), newest_score(lineage, domain, 1)};
    gap probes = {NAN, NAN, NAN, NAN, 0, NULL}, whole = probes;
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)all, i, entry)
    {
        if (!same_texts(score_of(entry, domain), newest[is_probe(entry)], measure)) continue;
        if (is_probe(entry))
            follow(&probes, measured(entry, domain, measure), entry);
        else if (is_since(entry, i, last_old, learnt))
            follow(&whole, measured(entry, domain, measure), entry);
    }
    return isnan(probes.best) ? whole : probes;
}

pawl_status pawl_retention_gaps(const json_t *lineage, const char *measure, json_t **out)
{
    json_t *columns = pawl_retention_learnt(lineage), *all = json_object(), *learnt;
    const char *domain;
    json_object_foreach(columns, domain, learnt)
    {
        if (json_integer_value(learnt) < 0) continue;
        const gap g = gap_of(lineage, measure, domain, json_integer_value(learnt));
        if (isnan(g.best)) continue;
        const double size = g.worst - g.peak;
        json_object_set_new(all, domain,
                            json_pack("{s:f,s:f,s:f,s:f,s:o,s:I,s:s?}", "peak", g.peak, "worst", g.worst, "final",
                                      g.last, "gap", size, "recovered",
                                      size > 0 ? json_real((g.worst - g.last) / size) : json_null(), "worst_step",
                                      g.step, "worst_stage", g.stage));
    }
    json_decref(columns);
    PAWL_CHECK(all, PAWL_EMEM, "no memory for the stability gaps");
    *out = all;
    return PAWL_OK;
}
