#include "trainer/continual/finished.h"

#include <stdlib.h>
#include <string.h>

int pawl_adapter_a_stage(const pawl_parts *p)
{
    return p->adapter && p->continual && p->continual->lora_stages != PAWL_LORA_SAME;
}

/* ---- memory ---- */

/* The last stage's own is not finished within the run. */
static int most_of(const pawl_parts *p)
{
    const int stages = p->continual->stages.count;
    return p->adapters_before + (stages > 0 ? stages - 1 : 0);
}

static void lay_out(pawl_finished *f)
{
    const size_t numbers = (size_t)f->most * (size_t)pawl_trained_count(f->p->model, f->p->adapter);
    f->stack.flats = f->most ? pawl_take_bytes(&f->arena, numbers * sizeof(float)) : NULL;
    if (f->most && !pawl_device_shares_memory(f->p->device)) f->stack.there = pawl_take_bytes(&f->there, numbers * sizeof(float));
}

static pawl_finished finished_of(const pawl_parts *p)
{
    return (pawl_finished){
        .p = p, .arena = {.name = "finished adapters"}, .there = {.name = "finished adapters"}, .most = most_of(p), .stack = {.adapter = p->adapter}};
}

pawl_room pawl_finished_bytes(const pawl_parts *p)
{
    if (!pawl_adapter_a_stage(p)) return (pawl_room){0};
    pawl_finished f = finished_of(p);
    lay_out(&f);
    return pawl_room_of(&f.there, &f.arena);
}

/* Beside what filling takes, the piece of the base's files that is mapped at a time: when a run begins there is room for it yet. */
pawl_room pawl_finished_read_bytes(const pawl_parts *p)
{
    enum { MAPPED = 8 << 20 };
    if (pawl_room_sum(pawl_finished_bytes(p)) == 0) return (pawl_room){0};
    return pawl_room_add(pawl_frozen_fill_bytes(p->model, p->device, p->base_code, pawl_run_type(p)), (pawl_room){.host = MAPPED});
}

static pawl_status take(pawl_finished *f)
{
    lay_out(f);
    if (f->most) PAWL_TRY(pawl_arena_open(&f->arena));
    if (f->there.used) PAWL_TRY(pawl_arena_open_on(f->p->device, PAWL_ON_DEVICE, &f->there));
    lay_out(f);
    return PAWL_OK;
}

pawl_status pawl_finished_open(const pawl_parts *p, pawl_finished **out)
{
    if (!pawl_adapter_a_stage(p)) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)out, sizeof **out, "finished adapters"));
    **out = finished_of(p);
    return take(*out);
}

void pawl_finished_close(pawl_finished *f)
{
    if (!f) return;
    pawl_arena_close(&f->arena);
    pawl_arena_close_on(f->p->device, PAWL_ON_DEVICE, &f->there);
    pawl_free(f);
}

/* ---- in checkpoints ---- */

int pawl_finished_in(const pawl_checkpoint *k)
{
    const size_t n = sizeof PAWL_STACK_PREFIX - 1;
    const char *name;
    pawl_tensor t;
    int most = 0;
    for (int i = 0; (name = pawl_checkpoint_item(k, i, &t)) != NULL; i++) {
        if (strncmp(name, PAWL_STACK_PREFIX, n) != 0) continue;
        const long at = strtol(name + n, NULL, 10);
        if (at > most && at < INT32_MAX) most = (int)at;
    }
    return most;
}

pawl_status pawl_finished_place(pawl_finished *f, const pawl_checkpoint *k)
{
    const int count = pawl_finished_in(k);
    PAWL_CHECK(count <= f->most, PAWL_EDATA, "%s holds %d finished adapters, and this run can have %d",
               pawl_checkpoint_path(k), count, f->most);
    f->stack.count = count;
    f->uploaded = 0;
    return PAWL_OK;
}

pawl_status pawl_finished_bring(pawl_finished *f)
{
    const int64_t each = pawl_trained_count(f->p->model, f->p->adapter);
    for (; f->stack.there && f->uploaded < f->stack.count; f->uploaded++)
        PAWL_TRY(pawl_upload(f->p->device, (float *)(uintptr_t)(f->stack.there + f->uploaded * each), pawl_stack_at(&f->stack, f->uploaded),
                             (size_t)each * sizeof(float)));
    return PAWL_OK;
}

/* ---- on the way ---- */

pawl_status pawl_finished_lay(const pawl_finished *f, pawl_stepper *s)
{
    pawl_watch("reading the base's weights", (double)f->p->reduce->phase_seconds);
    return pawl_agree(f->p->comm, f->p->fill_base(f->p->fill_self, s->base, &f->stack));
}

/* zero_stage is at most 2: every rank has all of the adapter, and makes the same new one. */
static pawl_status renew(pawl_finished *f, pawl_stepper *s)
{
    pawl_device *d = f->p->device;
    const size_t numbers = (size_t)s->hold.count, bytes = numbers * sizeof(float);
    float *room = NULL;
    pawl_status status = PAWL_OK;
    PAWL_ASSERT(f->stack.count < f->most && s->hold.stage < 3);
    PAWL_TRY(pawl_download(d, f->stack.flats + (size_t)f->stack.count * numbers, s->hold.weights, bytes));
    f->stack.count++;
    if (!pawl_device_shares_memory(d)) PAWL_TRY(pawl_alloc((void **)&room, bytes, "an adapter"));
    float *here = pawl_host_side(d, s->hold.weights, room);
    pawl_adapter_init(f->p->adapter, (uint64_t)f->p->train->seed, f->stack.count, here);
    PAWL_TRY_OUT(pawl_upload(d, s->hold.weights, here, bytes));
    s->hold.fresh = 0;
    PAWL_TRY_OUT(pawl_stepper_begin(s));
out:
    pawl_free(room);
    return status;
}

pawl_status pawl_finished_push(pawl_finished *f, pawl_stepper *s)
{
    PAWL_TRY(pawl_agree(f->p->comm, renew(f, s)));
    return pawl_finished_lay(f, s);
}
