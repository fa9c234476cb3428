/* What methods have found in a finished run goes on in the one that continues it: importances and anchors are of the weights it
 * begins with, so that two runs of a stage hold what one run of two stages would. Beside each other stand tensors of the same
 * weights, found in the same way; anything else begins anew, and is said. */
#include <string.h>

#include "trainer/continual/stream.h"

static const json_t *settings_of(const json_t *configuration, const pawl_method *m)
{
    return json_object_get(configuration, m->name);
}

/* The first key that the state is of and that was another; NULL: none. */
static const char *changed_key(const pawl_method *m, const json_t *before, const json_t *now)
{
    for (const char *const *key = m->carried; *key; key++)
        if (!json_equal(json_object_get(before, *key), json_object_get(now, *key))) return *key;
    return NULL;
}

static int has_all(const pawl_checkpoint *k, const pawl_state *state)
{
    for (int i = 0; i < state->count; i++) {
        const pawl_tensor *t = &state->items[i].tensor;
        pawl_tensor found;
        if (!pawl_checkpoint_tensor(k, state->items[i].name, &found) || found.dtype != t->dtype || found.ndim != t->ndim ||
            memcmp(found.dim, t->dim, (size_t)t->ndim * sizeof *t->dim) != 0)
            return 0;
    }
    return 1;
}

/* Why a method begins anew; "": it does not, and its numbers are read. */
static pawl_status take_over(const pawl_trainer *t, const pawl_checkpoint *k, int i, const pawl_state *names, pawl_text *why)
{
    const pawl_methods *all = &t->course->methods;
    const pawl_method *m = all->method[i];
    const json_t *lineage = json_object_get(pawl_checkpoint_manifest(k), "lineage"),
                 *before = settings_of(json_object_get(lineage, "configuration"), m);
    pawl_state state = {0};
    pawl_status s = pawl_methods_state_of(all, i, names, &state);
    const char *key = s == PAWL_OK && json_is_object(before) ? changed_key(m, before, settings_of(t->p->configuration, m)) : NULL;
    if (s != PAWL_OK) {
    } else if (!json_is_object(before))
        pawl_text_add(why, "the run that goes on here had no %s", m->name);
    else if (key)
        pawl_text_add(why, "%s.%s was another in the run that goes on here", m->name, key);
    else if (!t->p->goes_on || !has_all(k, &state))
        pawl_text_add(why, "the run that goes on here trained other weights");
    else
        s = pawl_checkpoint_read(k, &state);
    pawl_state_close(&state);
    return s == PAWL_OK ? pawl_text_status(why) : s;
}

static int had_general(const pawl_checkpoint *k)
{
    const json_t *lineage = json_object_get(pawl_checkpoint_manifest(k), "lineage");
    size_t i;
    json_t *dataset;
    json_array_foreach(json_object_get(lineage, "datasets"), i, dataset)
    {
        const char *use = json_string_value(json_object_get(dataset, "use"));
        if (use && strcmp(use, "general") == 0) return 1;
    }
    return 0;
}

static pawl_status carry(pawl_trainer *t, const pawl_checkpoint *k, const pawl_state *names, json_t *carried)
{
    pawl_course *c = t->course;
    for (int i = 0; i < c->methods.count; i++) {
        const pawl_method *m = c->methods.method[i];
        pawl_text why = {0};
        if (!m->carried) continue;
        const pawl_status s = take_over(t, k, i, names, &why);
        if (s == PAWL_OK && !why.bytes) json_array_append_new(carried, json_string(m->name));
        pawl_text_add(&c->taken_over, "%s  %-8s %s%s", c->taken_over.bytes ? "\n" : "", m->name,
                      why.bytes ? "begins anew: " : "goes on with what it found before", why.bytes ? why.data : "");
        pawl_text_close(&why);
        PAWL_TRY(s);
    }
    return pawl_text_status(&c->taken_over);
}

pawl_status pawl_course_carry(pawl_trainer *t, const pawl_checkpoint *k)
{
    pawl_state names = {0};
    json_t *carried = json_array();
    t->course->general_known = had_general(k);
    pawl_status s = pawl_stepper_names(t->stepper, &names);
    if (s == PAWL_OK) s = carry(t, k, &names, carried);
    pawl_state_close(&names);
    if (json_array_size(carried) == 0) json_decref(carried);
    else if (json_object_set_new(t->lineage, "carried", carried) != 0 && s == PAWL_OK)
        s = PAWL_FAIL(PAWL_EMEM, "no memory for the lineage record");
    return s;
}
