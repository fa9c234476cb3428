/* pawl plan: what a run will take, before anything is taken. */
#include <stdio.h>

#include "core/memory.h"
#include "launch/launch.h"

enum { RANKS, RATE, JSON };

/* Training reaches three quarters and more of what the library's matrix products do (docs/benchmarks.md). */
static const double share_of_gemm = 0.75;

typedef struct forecast {
    const char *yaml;
    int ranks;
    pawl_plan plan;     /* of the rank that needs most */
    double available;   /* bytes of this machine; 0: not known */
    double rate;        /* FLOP/s of all ranks together */
    int measured, fits; /* the rate was measured here; the ranks' memory is there */
    pawl_text missing;  /* what a run would not find; the steps are known then only when max_steps says so */
} forecast;

/* The ranks share this machine. */
static pawl_status plan_ranks(const pawl_opened *o, forecast *f)
{
    const int lanes = pawl_cut_of(o->parts.train, o->parts.reduce).lanes;
    PAWL_CHECK(f->ranks <= lanes, PAWL_EUSAGE,
               "%d ranks but %d lanes: a rank owns whole lanes; plan for at most %d ranks, or raise reduction_lanes",
               f->ranks, lanes, lanes);
    for (int rank = 0; rank < f->ranks; rank++) {
        pawl_comm like = {.rank = rank, .size = f->ranks, .local_rank = rank, .local_size = f->ranks};
        pawl_parts parts = o->parts;
        pawl_plan plan;
        parts.comm = &like;
        PAWL_TRY(pawl_plan_of(&parts, &plan));
        if (plan.peak_bytes > f->plan.peak_bytes) f->plan = plan;
    }
    f->available = pawl_memory_available();
    f->fits = f->available == 0 || (double)f->plan.peak_bytes * f->ranks <= f->available;
    return PAWL_OK;
}

static pawl_status measure_rate(int threads, forecast *f)
{
    pawl_device *d;
    if (f->rate > 0 || f->plan.steps == PAWL_STEPS_UNKNOWN) return PAWL_OK;
    PAWL_TRY(pawl_device_open_cpu(threads, "auto", &d));
    f->rate = share_of_gemm * pawl_device_gemm_rate(d, PAWL_F32);
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

static pawl_status print_json(const forecast *f)
{
    json_t *bytes = json_object();
    for (int i = 0; i < f->plan.categories; i++)
        json_object_set_new(bytes, f->plan.category[i].name, json_integer((json_int_t)f->plan.category[i].bytes));
    return pawl_print_json(json_pack(
        "{s:i,s:o,s:I,s:I,s:b,s:o,s:o,s:o,s:o,s:s?}", "ranks", f->ranks, "bytes_per_rank", bytes, "peak_bytes",
        (json_int_t)f->plan.peak_bytes, "available_bytes", (json_int_t)f->available, "fits", f->fits, "steps",
        known(f, json_integer((json_int_t)f->plan.steps)), "tokens", known(f, json_integer((json_int_t)f->plan.tokens)),
        "flops", known(f, json_real(f->plan.flops)), "seconds", known(f, json_real(seconds_of(f))),
        "missing", f->missing.bytes ? f->missing.data : NULL));
}

static void print_memory(const forecast *f)
{
    char each[32], all[32], have[32];
    pawl_format_bytes((double)f->plan.peak_bytes, each);
    pawl_format_bytes((double)f->plan.peak_bytes * f->ranks, all);
    pawl_format_bytes(f->available, have);
    for (int i = 0; i < f->plan.categories; i++) {
        char size[32];
        pawl_format_bytes((double)f->plan.category[i].bytes, size);
        printf("  %-20s %10s\n", f->plan.category[i].name, size);
    }
    printf("  %-20s %10s   %s on this machine, where %s are available: %s\n", "a rank", each, all, have,
           f->fits ? "fits" : "does not fit; lower micro_batch_size or sequence_len, or take fewer ranks");
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
    printf("compute   %.3g FLOP, about %s at %.0f GFLOP/s%s\n", f->plan.flops, time, f->rate / 1e9,
           f->measured ? " (three quarters of what matrix products do here), without evaluation and saving" : "");
}

static pawl_status print_plan(const forecast *f, const pawl_opened *o)
{
    const pawl_model_config *m = pawl_model_settings(o->model);
    printf("%s on %d rank%s\n", f->yaml, f->ranks, f->ranks > 1 ? "s" : "");
    printf("model     %s, %.2f M parameters\n", pawl_model_types[m->model_type],
           (double)pawl_model_parameters(o->model) / 1e6);
    if (o->adapter)
        printf("adapter   %.2f M parameters are trained over it\n", (double)pawl_trained_parameters(o->model, o->adapter) / 1e6);
    printf("memory\n");
    print_memory(f);
    print_work(f, o);
    return PAWL_OK;
}

static pawl_status plan(pawl_comm *c, pawl_opened *o, forecast *f, int as_json, int *stopped)
{
    int cores;
    PAWL_TRY(pawl_threads_here(c, 0, &cores));
    const int64_t asked = o->config.train.threads, share = asked ? asked : cores / f->ranks;
    const int threads = share > 0 ? (int)share : 1;
    PAWL_TRY(pawl_open_plan(c, threads, o, &f->missing, stopped));
    if (*stopped) return PAWL_OK;
    PAWL_TRY(plan_ranks(o, f));
    PAWL_TRY(measure_rate(threads * f->ranks < cores ? threads * f->ranks : cores, f));
    return as_json ? print_json(f) : print_plan(f, o);
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    forecast f = {.yaml = a->words[0]};
    pawl_opened *o;
    int64_t ranks;
    int stopped = 0;
    PAWL_TRY(pawl_option_i64(&pawl_command_plan, a, RANKS, 1, 1 << 20, 1, &ranks));
    PAWL_TRY(pawl_option_f64(&pawl_command_plan, a, RATE, 1e-3, 1e12, 0, &f.rate));
    f.ranks = (int)ranks;
    f.rate *= 1e9;
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
    .usage = "RUN.yaml [-n RANKS] [--rate GFLOPS] [--json] [key=value ...]",
    .summary = "memory, steps and time of a run, before anything is taken",
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {{"-n", "RANKS", "ranks, all on this machine (1)"},
                {"--rate", "GFLOPS", "what all ranks compute together in a second, in 1e9 FLOP (measured here)"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
