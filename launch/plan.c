/* pawl plan: what a run will take, before anything is taken. */
#include <stdio.h>

#include "core/memory.h"
#include "launch/launch.h"

enum { RANKS, NODE, DEVICE, RATE, JSON };

typedef struct forecast {
    const char *yaml;
    const pawl_preset *device;
    int ranks, node;    /* node: ranks on a machine */
    pawl_plan plan;     /* of the rank that needs most */
    double available;   /* bytes that a rank's ranks of a machine have together, or a rank's own device; 0: not known */
    double budget;      /* of them for a rank */
    double rate;        /* FLOP/s of all ranks together */
    int measured, fits; /* the rate was measured here; the ranks' memory is there */
    int chosen;         /* micro_batch_size was auto */
    char nearest[PAWL_NEAREST_ROOM]; /* what would make it fit; "" for nothing */
    pawl_plan then;
    pawl_text missing;  /* what a run would not find; the steps are known then only when max_steps says so */
} forecast;

static pawl_status choose_micro(pawl_opened *o, forecast *f)
{
    int64_t micro;
    if (o->config.train.micro_batch_size != PAWL_AUTO) return PAWL_OK;
    f->chosen = 1;
    PAWL_TRY(pawl_micro_auto(&o->parts, f->budget, &micro));
    return pawl_set_micro(o, micro);
}

static pawl_status plan_memory(pawl_opened *o, forecast *f)
{
    pawl_plan work;
    PAWL_TRY(choose_micro(o, f));
    const int lanes = pawl_cut_of(o->parts.train, o->parts.reduce).lanes;
    PAWL_CHECK(f->ranks <= lanes, PAWL_EUSAGE,
               "%d ranks but %d lanes: a rank owns whole lanes; plan for at most %d ranks, or raise reduction_lanes",
               f->ranks, lanes, lanes);
    PAWL_TRY(pawl_plan_of(&o->parts, &work));
    PAWL_TRY(pawl_plan_most(&o->parts, &f->plan));
    f->plan.steps = work.steps;
    f->plan.tokens = work.tokens;
    f->plan.flops = work.flops;
    f->fits = f->budget == 0 || (double)f->plan.peak_bytes <= f->budget;
    if (!f->fits) PAWL_TRY(pawl_plan_nearest(&o->parts, f->budget, f->nearest, &f->then));
    return PAWL_OK;
}

static pawl_status plan_ranks(pawl_opened *o, forecast *f)
{
    pawl_comm like = {.size = f->ranks, .local_size = f->node}, *ours = o->parts.comm;
    o->parts.comm = &like;
    const pawl_status s = plan_memory(o, f);
    o->parts.comm = ours;
    return s;
}

/* A rank with a device has its memory for itself; ranks on a machine's cores share that of the machine, which is taken to be
 * one like this. */
static void share_memory(forecast *f)
{
    f->available = f->device->memory > 0 ? f->device->memory : pawl_memory_available();
    f->budget = f->device->memory > 0 ? f->available : f->available / f->node;
}

static pawl_status find_rate(const pawl_opened *o, int threads, forecast *f)
{
    const pawl_dtype type = o->config.train.bf16 ? PAWL_BF16 : PAWL_F32;
    const double peak = type == PAWL_BF16 ? f->device->bf16 : f->device->fp32;
    pawl_device *d;
    if (f->rate > 0 || f->plan.steps == PAWL_STEPS_UNKNOWN) return PAWL_OK;
    if (peak > 0) {
        f->rate = f->device->share * peak * f->ranks;
        return PAWL_OK;
    }
    PAWL_TRY(pawl_device_open_cpu(threads, "auto", &d));
    f->rate = f->device->share * pawl_device_gemm_rate(d, type) * ((f->ranks + f->node - 1) / f->node);
    f->measured = 1;
    pawl_device_close(d);
    return PAWL_OK;
}

static double seconds_of(const forecast *f)
{
    return f->rate > 0 ? f->plan.flops / f->rate : 0;
}

static json_t *known(const forecast *f, json_t *value)
{
    if (f->plan.steps != PAWL_STEPS_UNKNOWN) return value;
    json_decref(value);
    return json_null();
}

static json_t *nearest_json(const forecast *f)
{
    if (!f->nearest[0]) return json_null();
    return json_pack("{s:s,s:I}", "change", f->nearest, "peak_bytes", (json_int_t)f->then.peak_bytes);
}

static pawl_status print_json(const forecast *f, const pawl_opened *o)
{
    json_t *bytes = json_object();
    for (int i = 0; i < f->plan.categories; i++)
        json_object_set_new(bytes, f->plan.category[i].name, json_integer((json_int_t)f->plan.category[i].bytes));
    return pawl_print_json(json_pack(
        "{s:i,s:i,s:s,s:I,s:o,s:I,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:s?}", "ranks", f->ranks, "ranks_per_node", f->node, "device", f->device->name,
        "micro_batch_size", (json_int_t)o->config.train.micro_batch_size, "bytes_per_rank", bytes, "peak_bytes",
        (json_int_t)f->plan.peak_bytes, "available_bytes", (json_int_t)f->available, "fits", f->fits, "steps",
        known(f, json_integer((json_int_t)f->plan.steps)), "tokens", known(f, json_integer((json_int_t)f->plan.tokens)),
        "nearest", nearest_json(f), "flops", known(f, json_real(f->plan.flops)), "seconds", known(f, json_real(seconds_of(f))),
        "rate_gflops", f->rate > 0 ? json_real(f->rate / 1e9) : json_null(), "missing", f->missing.bytes ? f->missing.data : NULL));
}

static void print_verdict(const forecast *f)
{
    char each[32], all[32], have[32], then[32];
    const int together = f->device->memory > 0 ? 1 : f->node;
    pawl_format_bytes((double)f->plan.peak_bytes, each);
    pawl_format_bytes((double)f->plan.peak_bytes * together, all);
    pawl_format_bytes(f->available, have);
    if (f->device->memory > 0) printf("  %-20s %10s   of the %s that a rank has on a device '%s': ", "a rank", each, have, f->device->name);
    else printf("  %-20s %10s   %s on a machine, where %s are available: ", "a rank", each, all, have);
    printf("%s\n", f->fits ? "fits" : "does not fit");
    if (f->fits) return;
    pawl_format_bytes((double)f->then.peak_bytes, then);
    if (f->nearest[0]) printf("fits with (%s a rank)\n  %s\n", then, f->nearest);
    else printf("no key alone or with others makes it fit: take a smaller model, an adapter, or fewer ranks on a machine\n");
}

static void print_memory(const forecast *f)
{
    for (int i = 0; i < f->plan.categories; i++) {
        char size[32];
        pawl_format_bytes((double)f->plan.category[i].bytes, size);
        printf("  %-20s %10s\n", f->plan.category[i].name, size);
    }
    print_verdict(f);
}

static void print_work(const forecast *f, const pawl_opened *o)
{
    char time[32];
    if (f->plan.steps == PAWL_STEPS_UNKNOWN) {
        printf("steps     not known: %s, and max_steps is not set\n", f->missing.data);
        return;
    }
    pawl_format_seconds(seconds_of(f), time);
    printf("steps     %lld of %lld rows, %s%.0f tokens\n", (long long)f->plan.steps,
           (long long)o->config.train.global_batch_size, o->data ? "" : "at most ", f->plan.tokens);
    if (!o->data) printf("          (%s: a run would end there)\n", f->missing.data);
    printf("compute   %.3g FLOP, about %s at %.0f GFLOP/s", f->plan.flops, time, f->rate / 1e9);
    if (f->measured) printf(" (%.0f%% of what matrix products do here)", 100 * f->device->share);
    else if (f->device->memory > 0) printf(" (%.0f%% of the devices' peak, where --rate does not say)", 100 * f->device->share);
    printf(", without evaluation and saving\n");
}

static pawl_status print_plan(const forecast *f, const pawl_opened *o)
{
    const pawl_model_config *m = pawl_model_settings(o->model);
    printf("%s on %d rank%s, %d on a machine\n", f->yaml, f->ranks, f->ranks > 1 ? "s" : "", f->node);
    printf("model     %s, %.2f M parameters\n", pawl_model_types[m->model_type],
           (double)pawl_model_parameters(o->model) / 1e6);
    if (o->adapter)
        printf("adapter   %.2f M parameters are trained over it\n", (double)pawl_trained_parameters(o->model, o->adapter) / 1e6);
    if (f->chosen) printf("auto      micro_batch_size=%lld\n", (long long)o->config.train.micro_batch_size);
    printf("memory\n");
    print_memory(f);
    print_work(f, o);
    return PAWL_OK;
}

static pawl_status plan(pawl_comm *c, pawl_opened *o, forecast *f, int as_json, int *stopped)
{
    int cores;
    PAWL_TRY(pawl_threads_here(c, 0, &cores));
    const int64_t asked = o->config.train.threads, share = asked ? asked : cores / f->node;
    const int threads = share > 0 ? (int)share : 1;
    PAWL_TRY(pawl_open_plan(c, threads, o, &f->missing, stopped));
    if (*stopped) return PAWL_OK;
    share_memory(f);
    PAWL_TRY(plan_ranks(o, f));
    PAWL_TRY(find_rate(o, threads * f->node < cores ? threads * f->node : cores, f));
    return as_json ? print_json(f, o) : print_plan(f, o);
}

static pawl_status take_options(const pawl_args *a, forecast *f)
{
    int64_t ranks, node;
    PAWL_TRY(pawl_preset_find(a->option[DEVICE] ? a->option[DEVICE] : "cpu", &f->device));
    PAWL_TRY(pawl_option_i64(&pawl_command_plan, a, RANKS, 1, 1 << 20, 1, &ranks));
    const int64_t most = f->device->ranks_a_machine ? f->device->ranks_a_machine : ranks;
    PAWL_TRY(pawl_option_i64(&pawl_command_plan, a, NODE, 1, 1 << 20, most, &node));
    PAWL_TRY(pawl_option_f64(&pawl_command_plan, a, RATE, 1e-3, 1e12, 0, &f->rate));
    f->ranks = (int)ranks;
    f->node = (int)(node < ranks ? node : ranks);
    f->rate *= 1e9;
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    forecast f = {.yaml = a->words[0]};
    pawl_opened *o;
    int stopped = 0;
    PAWL_TRY(take_options(a, &f));
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the plan"));
    pawl_catch_signals();
    pawl_status s = pawl_open_config(c, a->words[0], (char *const *)(a->words + 1), a->word_count - 1, o);
    if (s == PAWL_OK) s = plan(c, o, &f, a->option[JSON] != NULL, &stopped);
    if (s == PAWL_OK && stopped) *exit_status = PAWL_EXIT_AGAIN;
    pawl_text_close(&f.missing);
    pawl_close_run(o);
    pawl_free(o);
    return s;
}

const pawl_command pawl_command_plan = {
    .name = "plan",
    .usage = "RUN.yaml [-n RANKS] [--ranks-per-node R] [--device NAME] [--rate GFLOPS] [--json] [key=value ...]",
    .summary = "memory, steps and time of a run, before anything is taken",
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {{"-n", "RANKS", "ranks (1)"},
                {"--ranks-per-node", "R", "of them on a machine; cpu: one like this (all); else a device each (8)"},
                {"--device", "NAME", "cpu, h200, h100, a100 or a100-40: what a rank computes on (cpu)"},
                {"--rate", "GFLOPS", "what all ranks compute together in a second, in 1e9 FLOP (measured here)"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
