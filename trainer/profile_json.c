/* profile.json: what the tables show, with every shape and every rank. Seconds are sums over the recorded steps. */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "trainer/internal.h"
#include "trainer/profile.h"

enum { OPS = 64 };

static void set_number(json_t *o, const char *key, double x)
{
    json_object_set_new(o, key, json_real(x));
}

static void set_count(json_t *o, const char *key, int64_t n)
{
    json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *shape_json(const pawl_profile_line *l)
{
    json_t *shape = json_object();
    for (int i = 0; l->letters[i]; i++) {
        const char letter[2] = {l->letters[i], 0};
        set_count(shape, letter, l->shape[i]);
    }
    return shape;
}

static void set_work(json_t *o, int64_t calls, int64_t ns, double flops, double bytes, double ideal)
{
    const double seconds = 1e-9 * (double)ns;
    set_count(o, "calls", calls);
    set_number(o, "seconds", seconds);
    set_number(o, "flops", flops);
    set_number(o, "bytes", bytes);
    set_number(o, "gflops_per_second", seconds > 0 ? 1e-9 * flops / seconds : 0);
    set_number(o, "gb_per_second", seconds > 0 ? 1e-9 * bytes / seconds : 0);
    set_number(o, "roofline_share", seconds > 0 ? ideal / seconds : 0);
}

static json_t *shapes_json(const pawl_profile *f, const char *name)
{
    json_t *shapes = json_array();
    for (int i = 0; i < f->count; i++) {
        const pawl_profile_line *l = &f->lines[i];
        if (l->kind != PAWL_SPAN_OP || !pawl_profile_in_step(l) || strcmp(pawl_profile_name(l), name) != 0) continue;
        json_t *one = json_object();
        json_object_set_new(one, "in", json_stringn(l->path, strlen(l->path) - strlen(name) - 1));
        json_object_set_new(one, "shape", shape_json(l));
        set_work(one, l->calls, l->ns, l->flops, l->bytes, l->ideal_seconds);
        json_array_append_new(shapes, one);
    }
    return shapes;
}

static json_t *ops_json(const pawl_profile *f, double step_seconds)
{
    pawl_profile_op ops[OPS];
    json_t *all = json_array();
    const int count = pawl_profile_ops(f, ops, OPS);
    for (int i = 0; i < count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "name", json_string(ops[i].name));
        set_number(one, "share", 1e-9 * (double)ops[i].ns / step_seconds);
        set_work(one, ops[i].calls, ops[i].ns, ops[i].flops, ops[i].bytes, ops[i].ideal_seconds);
        json_object_set_new(one, "shapes", shapes_json(f, ops[i].name));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *phase_json(const pawl_profile *f, int at, double step_seconds)
{
    const pawl_profile_line *l = &f->lines[at];
    const double *ns = &f->ns[(int64_t)at * f->ranks];
    json_t *one = json_object(), *each = json_array();
    for (int i = 0; i < f->ranks; i++) json_array_append_new(each, json_real(1e-9 * ns[i]));
    const double most = ns[pawl_profile_most(ns, f->ranks)], least = ns[pawl_profile_least(ns, f->ranks)];
    json_object_set_new(one, "path", json_string(l->path));
    json_object_set_new(one, "waiting", json_boolean(l->kind == PAWL_SPAN_WAIT));
    set_count(one, "calls", l->calls);
    set_number(one, "seconds", 1e-9 * (double)l->ns);
    set_number(one, "own_seconds", 1e-9 * (double)(l->ns - l->inside_ns));
    set_number(one, "share", 1e-9 * (double)l->ns / step_seconds);
    json_object_set_new(one, "seconds_of_ranks", each);
    set_count(one, "slowest_rank", pawl_profile_most(ns, f->ranks));
    set_number(one, "spread", most > 0 ? (most - least) / most : 0);
    return one;
}

static json_t *phases_json(const pawl_profile *f, double step_seconds)
{
    json_t *all = json_array();
    for (int i = 0; i < f->count; i++)
        if (f->lines[i].kind != PAWL_SPAN_OP) json_array_append_new(all, phase_json(f, i, step_seconds));
    return all;
}

static json_t *arenas_json(const pawl_profile_rank *k)
{
    json_t *all = json_object();
    set_count(all, "all", (int64_t)k->arenas_peak);
    if (k->device_arenas_peak) set_count(all, "GPU: all", (int64_t)k->device_arenas_peak);
    for (int i = 0; i < k->arena_count; i++) set_count(all, k->arenas[i].name, (int64_t)k->arenas[i].peak);
    return all;
}

static json_t *ranks_json(const pawl_profile *f)
{
    json_t *all = json_array();
    for (int i = 0; i < f->ranks; i++) {
        const pawl_profile_rank *k = &f->rank[i];
        json_t *one = json_object();
        set_count(one, "rank", i);
        set_count(one, "threads", k->threads);
        set_number(one, "step_seconds", 1e-9 * (double)k->step_ns);
        set_number(one, "waiting_seconds", 1e-9 * (double)k->wait_ns);
        set_number(one, "working_seconds", 1e-9 * (double)(k->step_ns - k->wait_ns));
        set_number(one, "pool_busy_seconds", 1e-9 * (double)k->pool_busy_ns);
        set_number(one, "gemm_f32_flops_per_second", k->rates.f32_flops);
        set_number(one, "gemm_bf16_flops_per_second", k->rates.bf16_flops);
        set_number(one, "memory_bytes_per_second", k->rates.bytes);
        set_number(one, "clock_offset_us", 1e-3 * (double)k->clock.offset_ns);
        set_number(one, "clock_error_us", 1e-3 * (double)k->clock.error_ns);
        set_count(one, "trace_events", k->events);
        set_count(one, "trace_events_lost", k->events_lost);
        set_count(one, "allocations_inside_steps", k->allocations);
        set_number(one, "resident_high_water_bytes", (double)k->memory.peak);
        set_number(one, "resident_bytes", (double)k->memory.now);
        json_object_set_new(one, "arena_high_water_bytes", arenas_json(k));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *plan_json(const pawl_plan_side *plan)
{
    json_t *all = json_object();
    for (int i = 0; i < plan->categories; i++) set_count(all, plan->category[i].name, (int64_t)plan->category[i].bytes);
    return all;
}

static json_t *steps_json(const pawl_profiler *r)
{
    const int n = (int)(r->steps < PAWL_PROFILE_STEPS ? r->steps : PAWL_PROFILE_STEPS);
    json_t *steps = json_object(), *each = json_array();
    set_count(steps, "count", r->steps);
    set_count(steps, "first", r->ended - r->steps + 1);
    set_count(steps, "last", r->ended);
    for (int i = 0; i < n; i++) json_array_append_new(each, json_real(r->seconds[i]));
    json_object_set_new(steps, "seconds", each);
    return steps;
}

pawl_status pawl_profile_write(const pawl_profiler *r, const pawl_profile *f, const pawl_plan *plan)
{
    double step_seconds = 0;
    for (int i = 0; i < f->ranks; i++) step_seconds += 1e-9 * (double)f->rank[i].step_ns;
    json_t *all = json_pack("{s:s,s:s,s:i,s:o,s:f,s:i}", "pawl_version", PAWL_VERSION, "device", pawl_device_describe(r->p->device), "ranks", f->ranks,
                            "steps", steps_json(r), "step_seconds_of_all_ranks", step_seconds, "slowest_rank", pawl_profile_most(f->work, f->ranks));
    PAWL_CHECK(all, PAWL_EMEM, "no memory for profile.json");
    json_object_set_new(all, "phases", phases_json(f, step_seconds));
    json_object_set_new(all, "ops", ops_json(f, step_seconds));
    json_object_set_new(all, "per_rank", ranks_json(f));
    json_object_set_new(all, "planned_bytes", plan_json(&plan->host));
    if (plan->device.peak_bytes) json_object_set_new(all, "device_planned_bytes", plan_json(&plan->device));
    const pawl_status s = pawl_json_write(r->p->train->output_dir, "profile.json", all);
    json_decref(all);
    return s;
}
