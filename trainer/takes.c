/* What a run takes, category by category. Each is measured by the layout that takes it, under the name of its arena, so that
 * the accounts of arenas (pawl_arena_use_of) and the plan are the same numbers. No arenas are: the program with its libraries, a
 * device's and their workspace, and what reading a model needs meanwhile. */
#include "trainer/continual/stream.h"
#include "trainer/planning.h"
#include "trainer/profile.h"

/* When a category is in memory. Arenas take no memory until they are first written to, and then stay. */
enum { LOADING = 1, WRITING = 2, STEPS = 4, ALWAYS = LOADING | WRITING | STEPS, BRIEFLY = 8 /* taken and given back between steps */ };

/* Measured (decision 0028): code, libraries, MPI, HDF5 and what they allocate, on one rank and on several; and what a
 * tokenizer holds for an id, with its merge, in hash tables. */
static const size_t program_bytes = (size_t)44 << 20, bytes_of_an_id = 260;

static pawl_room program(const pawl_planned *w)
{
    const int64_t ids = w->p->tokenizer ? pawl_tokenizer_size(w->p->tokenizer) : pawl_model_settings(w->p->model)->vocab_size;
    return (pawl_room){.host = program_bytes + (size_t)ids * bytes_of_an_id};
}

static pawl_room libraries(const pawl_planned *w)
{
    enum { PEERS = 7 }; /* with room of their own: those of a machine; others share it */
    const pawl_comm *c = w->p->comm;
    const pawl_device_own own = pawl_device_own_of(w->p->device);
    const size_t peers = c->gpus ? (size_t)(c->size - 1 < PEERS ? c->size - 1 : PEERS) : 0;
    const size_t graphs = w->p->train->cuda_graphs ? (size_t)pawl_model_settings(w->p->model)->num_hidden_layers * own.graphs : 0;
    return pawl_room_add(own.libraries, (pawl_room){.device = peers * own.peer + graphs});
}

static pawl_room workspace(const pawl_planned *w)
{
    return pawl_device_own_of(w->p->device).workspace;
}

static pawl_room base_weights(const pawl_planned *w)
{
    return (pawl_room){.device = w->p->adapter ? pawl_frozen_bytes(w->p->model, w->p->base_code, pawl_run_type(w->p)) : 0};
}

/* The base, or what is trained. */
static pawl_room reading(const pawl_planned *w)
{
    const pawl_room trained = {.host = pawl_hold_fill_bytes(w->p)};
    return w->p->adapter ? pawl_room_most(trained, pawl_frozen_fill_bytes(w->p->model, w->p->device, w->p->base_code, pawl_run_type(w->p))) : trained;
}

static pawl_room weights(const pawl_planned *w)
{
    return (pawl_room){.device = w->held.weights};
}

static pawl_room low(const pawl_planned *w)
{
    return (pawl_room){.device = w->held.low};
}

static pawl_room gathered(const pawl_planned *w)
{
    return (pawl_room){.device = w->held.gathered};
}

static pawl_room rounding(const pawl_planned *w)
{
    return (pawl_room){.device = w->held.rest};
}

static pawl_room batch(const pawl_planned *w)
{
    return (pawl_room){.host = pawl_stepper_bytes(w->p, w->tokens)};
}

static pawl_room gradients(const pawl_planned *w)
{
    return w->held.gradients;
}

static pawl_room optimizer(const pawl_planned *w)
{
    return w->held.optimizer;
}

static pawl_room activations(const pawl_planned *w)
{
    const pawl_capacity room = pawl_run_capacity(w->p, w->tokens, 1);
    return pawl_activations_bytes(w->p->model, &room);
}

static pawl_room adapter(const pawl_planned *w)
{
    const pawl_capacity room = pawl_run_capacity(w->p, w->tokens, 1);
    return w->p->adapter ? pawl_adapter_work_bytes(w->p->adapter, &room) : (pawl_room){0};
}

static pawl_room evaluation(const pawl_planned *w)
{
    return pawl_evaluator_bytes(w->p, w->tokens);
}

static pawl_room scratch(const pawl_planned *w)
{
    return (pawl_room){.device = pawl_device_scratch_bytes(w->p->device, &w->shapes)};
}

static pawl_room snapshot(const pawl_planned *w)
{
    return (pawl_room){.host = w->held.snapshot};
}

static pawl_room finished(const pawl_planned *w)
{
    return pawl_finished_bytes(w->p);
}

static pawl_room reading_again(const pawl_planned *w)
{
    return pawl_finished_read_bytes(w->p);
}

static pawl_room replay(const pawl_planned *w)
{
    return (pawl_room){.host = pawl_course_memory_bytes(w->p)};
}

static pawl_room methods(const pawl_planned *w)
{
    return pawl_methods_bytes(w->p, w->held.first, w->held.end);
}

static pawl_room parent(const pawl_planned *w)
{
    return (pawl_room){.host = pawl_drift_bytes(w->p)};
}

static pawl_room profile(const pawl_planned *w)
{
    return (pawl_room){.host = w->p->profile ? pawl_profiler_bytes(w->p) : 0};
}

/* Before the first step, when little of what steps need is in memory yet. */
static pawl_room measuring(const pawl_planned *w)
{
    return (pawl_room){.device = w->p->profile ? PAWL_MEMORY_RATE_BYTES : 0};
}

static pawl_room writing(const pawl_planned *w)
{
    return pawl_synthesis_bytes(w->p);
}

static const struct taking {
    const char *name;
    int when;
    pawl_room (*bytes)(const pawl_planned *w);
} takings[] = {
    {"program", ALWAYS, program},
    {"libraries", ALWAYS, libraries},
    {"workspace", ALWAYS, workspace},
    {"base weights", ALWAYS, base_weights},
    {"reading the base", LOADING, reading},
    {"weights", ALWAYS, weights},
    {"bf16 weights", STEPS, low},
    {"gathered weights", STEPS, gathered},
    {"gradients", STEPS, gradients},
    {"NCCL's rounding", STEPS, rounding},
    {"optimizer", STEPS, optimizer},
    {"activations", STEPS, activations},
    {"adapter scratch", STEPS, adapter},
    {"evaluation", STEPS, evaluation},
    {"scratch", STEPS, scratch},
    {"batch", STEPS, batch},
    {"checkpoint snapshot", STEPS, snapshot},
    {"finished adapters", STEPS, finished},
    {"reading the base", STEPS | BRIEFLY, reading_again},
    {"replay memory", STEPS, replay},
    {"methods", STEPS, methods},
    {"parent_kl", STEPS, parent},
    {"profile", STEPS, profile},
    {"measuring", LOADING, measuring},
    {"writing rows", WRITING, writing},
};
enum { TAKINGS = sizeof takings / sizeof *takings };
_Static_assert((int)TAKINGS <= (int)PAWL_PLAN_CATEGORIES, "a plan has room for every category");

/* Where memory is shared there is one side. */
static pawl_room taken_by(const pawl_planned *w, const struct taking *t)
{
    const pawl_room r = t->bytes(w);
    return pawl_device_shares_memory(w->p->device) ? (pawl_room){.host = pawl_room_sum(r)} : r;
}

/* Whether a category is in memory at a time. A device takes memory, its own and the host's that is pinned, when it is asked for it; the host
 * when it is first written to. So what steps need is on a device's two sides at any time. */
static int is_there(const pawl_planned *w, const struct taking *t, int time)
{
    if (t->when & time) return 1;
    return !pawl_device_shares_memory(w->p->device) && t->when & STEPS && !(t->when & BRIEFLY);
}

static size_t bytes_on(pawl_room r, int on_device)
{
    return on_device ? r.device : r.host;
}

static void fill_side(const pawl_planned *w, const pawl_room *room, int on_device, pawl_plan_side *side)
{
    static const int times[] = {STEPS, WRITING, LOADING};
    int peak = STEPS;
    *side = (pawl_plan_side){0};
    for (int t = 0; t < 3; t++) {
        size_t sum = 0;
        for (int i = 0; i < TAKINGS; i++) sum += is_there(w, &takings[i], times[t]) ? bytes_on(room[i], on_device) : 0;
        if (sum <= side->peak_bytes) continue;
        side->peak_bytes = sum;
        peak = times[t];
    }
    for (int i = 0; i < TAKINGS; i++) {
        const size_t bytes = bytes_on(room[i], on_device);
        if (!is_there(w, &takings[i], peak) || bytes == 0) continue;
        side->category[side->categories].name = takings[i].name;
        side->category[side->categories++].bytes = bytes;
    }
}

void pawl_plan_takes(const pawl_planned *w, pawl_plan *plan)
{
    pawl_room room[TAKINGS];
    for (int i = 0; i < TAKINGS; i++) room[i] = taken_by(w, &takings[i]);
    fill_side(w, room, 0, &plan->host);
    fill_side(w, room, 1, &plan->device);
}
