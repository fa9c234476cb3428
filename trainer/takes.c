/* What a run takes, category by category. Each is measured by the layout that takes it, under the name of its arena, so that
 * the accounts of arenas (pawl_arena_use_of) and the plan are the same numbers. Two are no arenas: the program with its
 * libraries, and what reading a model needs meanwhile. */
#include "trainer/continual/stream.h"
#include "trainer/planning.h"
#include "trainer/profile.h"

/* When a category is in memory. Arenas take no memory until they are first written to, and then stay. */
enum { LOADING = 1, WRITING = 2, STEPS = 4, ALWAYS = LOADING | WRITING | STEPS };

/* Measured (decision 0028): code, libraries, MPI, HDF5 and what they allocate, on one rank and on several; and what a
 * tokenizer holds for an id, with its merge, in hash tables. */
static const size_t program_bytes = (size_t)44 << 20, bytes_of_an_id = 260;

static pawl_status program(const pawl_planned *w, size_t *bytes)
{
    const int64_t ids = w->p->tokenizer ? pawl_tokenizer_size(w->p->tokenizer) : pawl_model_settings(w->p->model)->vocab_size;
    *bytes = program_bytes + (size_t)ids * bytes_of_an_id;
    return PAWL_OK;
}

static pawl_status base_weights(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->p->adapter ? pawl_frozen_bytes(w->p->model, w->p->base_code, pawl_run_type(w->p)) : 0;
    return PAWL_OK;
}

static pawl_status reading(const pawl_planned *w, size_t *bytes)
{
    const size_t weights_too = pawl_hold_fill_bytes(w->p);
    *bytes = w->p->adapter ? pawl_frozen_fill_bytes(w->p->model, w->p->device, w->p->base_code, pawl_run_type(w->p)) : 0;
    if (weights_too > *bytes) *bytes = weights_too;
    return PAWL_OK;
}

static pawl_status weights(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.weights;
    return PAWL_OK;
}

static pawl_status low(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.low;
    return PAWL_OK;
}

static pawl_status gathered(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.gathered;
    return PAWL_OK;
}

static pawl_status batch(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_stepper_bytes(w->p, w->tokens);
    return PAWL_OK;
}

static pawl_status gradients(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.gradients;
    return PAWL_OK;
}

static pawl_status optimizer(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.optimizer;
    return PAWL_OK;
}

static pawl_status activations(const pawl_planned *w, size_t *bytes)
{
    const pawl_capacity room = pawl_run_capacity(w->p, w->tokens, 1);
    *bytes = pawl_activations_bytes(w->p->model, &room);
    return PAWL_OK;
}

static pawl_status adapter(const pawl_planned *w, size_t *bytes)
{
    const pawl_capacity room = pawl_run_capacity(w->p, w->tokens, 1);
    *bytes = w->p->adapter ? pawl_adapter_work_bytes(w->p->adapter, &room) : 0;
    return PAWL_OK;
}

static pawl_status evaluation(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_evaluator_bytes(w->p, w->tokens);
    return PAWL_OK;
}

static pawl_status scratch(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_device_scratch_bytes(w->p->device, &w->shapes);
    return PAWL_OK;
}

static pawl_status snapshot(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->held.snapshot;
    return PAWL_OK;
}

static pawl_status finished(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_finished_bytes(w->p);
    return PAWL_OK;
}

static pawl_status reading_again(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_finished_read_bytes(w->p);
    return PAWL_OK;
}

static pawl_status replay(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_course_memory_bytes(w->p);
    return PAWL_OK;
}

static pawl_status methods(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_methods_bytes(w->p, w->held.first, w->held.end);
    return PAWL_OK;
}

static pawl_status parent(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_drift_bytes(w->p);
    return PAWL_OK;
}

static pawl_status profile(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->p->profile ? pawl_profiler_bytes(w->p) : 0;
    return PAWL_OK;
}

/* Before the first step, when little of what steps need is in memory yet. */
static pawl_status measuring(const pawl_planned *w, size_t *bytes)
{
    *bytes = w->p->profile ? PAWL_MEMORY_RATE_BYTES : 0;
    return PAWL_OK;
}

static pawl_status writing(const pawl_planned *w, size_t *bytes)
{
    *bytes = pawl_synthesis_bytes(w->p);
    return PAWL_OK;
}

static const struct taking {
    const char *name;
    int when;
    pawl_status (*bytes)(const pawl_planned *w, size_t *bytes);
} takings[] = {
    {"program", ALWAYS, program},
    {"base weights", ALWAYS, base_weights},
    {"reading the base", LOADING, reading},
    {"weights", ALWAYS, weights},
    {"bf16 weights", STEPS, low},
    {"gathered weights", STEPS, gathered},
    {"gradients", STEPS, gradients},
    {"optimizer", STEPS, optimizer},
    {"activations", STEPS, activations},
    {"adapter scratch", STEPS, adapter},
    {"evaluation", STEPS, evaluation},
    {"scratch", STEPS, scratch},
    {"batch", STEPS, batch},
    {"checkpoint snapshot", STEPS, snapshot},
    {"finished adapters", STEPS, finished},
    {"reading the base", STEPS, reading_again},
    {"replay memory", STEPS, replay},
    {"methods", STEPS, methods},
    {"parent_kl", STEPS, parent},
    {"profile", STEPS, profile},
    {"measuring", LOADING, measuring},
    {"writing rows", WRITING, writing},
};
enum { TAKINGS = sizeof takings / sizeof *takings };
_Static_assert((int)TAKINGS <= (int)PAWL_PLAN_CATEGORIES, "a plan has room for every category");

pawl_status pawl_plan_takes(const pawl_planned *w, pawl_plan *plan)
{
    static const int times[] = {STEPS, WRITING, LOADING};
    size_t bytes[TAKINGS];
    int peak = STEPS;
    plan->categories = 0;
    plan->peak_bytes = 0;
    for (int i = 0; i < TAKINGS; i++) PAWL_TRY(takings[i].bytes(w, &bytes[i]));
    for (int t = 0; t < 3; t++) {
        size_t sum = 0;
        for (int i = 0; i < TAKINGS; i++) sum += takings[i].when & times[t] ? bytes[i] : 0;
        if (sum <= plan->peak_bytes) continue;
        plan->peak_bytes = sum;
        peak = times[t];
    }
    for (int i = 0; i < TAKINGS; i++) {
        if (!(takings[i].when & peak) || bytes[i] == 0) continue;
        plan->category[plan->categories].name = takings[i].name;
        plan->category[plan->categories++].bytes = bytes[i];
    }
    return PAWL_OK;
}
