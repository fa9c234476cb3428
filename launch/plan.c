/* pawl plan: what a run will take, before anything is taken. */
#include <stdio.h>

#include "core/memory.h"
#include "launch/launch.h"

enum { RANKS, NODE, DEVICE, GPU_MEMORY, RATE, JSON };

typedef struct forecast {
    const char *yaml;
    pawl_preset device;
    int here;           /* the device is this machine's */
    int ranks, node;    /* node: ranks on a machine */
    int sharers;        /* of them on a GPU; 0: each has its own */
    pawl_plan plan;     /* of the rank that needs most */
    double available;   /* bytes of a GPU that its ranks have together; of a machine, without one; 0: not known */
    double available_host; /* of a machine beside its GPUs */
    pawl_budget budget; /* of them for a rank */
    double rate;        /* FLOP/s of all ranks together */
    int measured, fits; /* the rate was measured here; the ranks' memory is there */
    int chosen;         /* micro_batch_size was auto */
    char nearest[PAWL_NEAREST_ROOM]; /* what would make it fit; "" for nothing */
    pawl_plan then;
    pawl_text missing;  /* what a run would not find; the steps are known then only when max_steps says so */
    char no_gpu[200];   /* why this machine's GPU cannot be asked */
} forecast;

static pawl_status choose_micro(pawl_opened *o, forecast *f)
{
    int64_t micro;
    if (o->config.train.micro_batch_size != PAWL_AUTO) return PAWL_OK;
    f->chosen = 1;
    PAWL_TRY(pawl_micro_auto(&o->parts, &f->budget, &micro));
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
    f->fits = pawl_plan_is_within(&f->plan, &f->budget);
    if (!f->fits) PAWL_TRY(pawl_plan_nearest(&o->parts, &f->budget, f->nearest, &f->then));
    return PAWL_OK;
}

/* GPUs are taken to be joined by NCCL, unless the run says otherwise: then nothing goes through the host. */
static pawl_status plan_ranks(pawl_opened *o, forecast *f)
{
    static char nccl; /* stands for what ranks open when they meet */
    const int joined = f->device.gpu && f->ranks > 1 && o->config.comm.transport != PAWL_TRANSPORT_HOST;
    pawl_comm like = {.size = f->ranks, .local_size = f->node, .gpus = joined ? (struct pawl_nccl *)&nccl : NULL,
                      .registers = joined && o->config.comm.register_buffers, .bucket = pawl_comm_bucket(&o->config.comm)};
    pawl_comm *ours = o->parts.comm;
    o->parts.comm = &like;
    const pawl_status s = plan_memory(o, f);
    o->parts.comm = ours;
    return s;
}

/* ---- the device ---- */

/* The GPU of this machine, if there is one: what is free there, and the ranks' share of it. */
static pawl_status ask_gpu(pawl_comm *c, pawl_opened *o, forecast *f)
{
    int gpus;
    if (pawl_cuda_count(pawl_cuda_in_use, &gpus) != PAWL_OK) {
        snprintf(f->no_gpu, sizeof f->no_gpu, "%.190s", pawl_last_error()->what);
        return pawl_device_open_planned(&o->device);
    }
    PAWL_TRY(pawl_open_device(c, PAWL_DEVICE_CUDA, 1, 0, &o->device));
    f->here = 1;
    f->sharers = (f->node + gpus - 1) / gpus;
    f->available = (double)pawl_device_memory_of(o->device).available + (double)pawl_device_own_of(o->device).workspace.device;
    f->budget.device = f->available / f->sharers;
    f->available_host = pawl_memory_available();
    f->budget.host = f->available_host / f->node;
    return PAWL_OK;
}

/* A rank has a GPU for itself; ranks on a machine's cores share that of the machine, which is taken to be one like this. */
static pawl_status open_device(pawl_comm *c, pawl_opened *o, int threads, forecast *f)
{
    if (!f->device.gpu) {
        f->available = pawl_memory_available();
        f->budget.host = f->available / f->node;
        return pawl_device_open_cpu(threads, "auto", &o->device);
    }
    if (f->device.memory == 0) return ask_gpu(c, o, f);
    f->available = f->budget.device = f->device.memory;
    return pawl_device_open_planned(&o->device);
}

static pawl_status find_rate(const pawl_opened *o, int threads, forecast *f)
{
    const pawl_dtype type = o->config.train.bf16 ? PAWL_BF16 : PAWL_F32;
    const double peak = type == PAWL_BF16 ? f->device.bf16 : f->device.fp32;
    pawl_device *d = NULL;
    if (f->rate > 0 || f->plan.steps == PAWL_STEPS_UNKNOWN) return PAWL_OK;
    if (peak > 0) f->rate = f->device.share * peak * f->ranks;
    if (peak > 0 || (f->device.gpu && !f->here)) return PAWL_OK;
    if (!f->device.gpu) PAWL_TRY(pawl_device_open_cpu(threads, "auto", &d));
    const int rated = f->device.gpu ? f->ranks : (f->ranks + f->node - 1) / f->node; /* a GPU is a rank's, a machine's cores are all ranks' */
    f->rate = f->device.share * pawl_device_gemm_rate(d ? d : o->device, type) * rated;
    f->measured = 1;
    pawl_device_close(d);
    return PAWL_OK;
}

/* ---- what is said ---- */

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

/* What a rank computes on, and with a GPU the host beside it. */
static const pawl_plan_side *main_side(const forecast *f, const pawl_plan *plan)
{
    return f->device.gpu ? &plan->device : &plan->host;
}

static json_t *nearest_json(const forecast *f)
{
    if (!f->nearest[0]) return json_null();
    return json_pack("{s:s,s:I}", "change", f->nearest, "peak_bytes", (json_int_t)main_side(f, &f->then)->peak_bytes);
}

static json_t *bytes_json(const pawl_plan_side *s)
{
    json_t *bytes = json_object();
    for (int i = 0; i < s->categories; i++) json_object_set_new(bytes, s->category[i].name, json_integer((json_int_t)s->category[i].bytes));
    return bytes;
}

static json_t *known_bytes(double bytes)
{
    return bytes > 0 ? json_integer((json_int_t)bytes) : json_null();
}

static pawl_status print_json(const forecast *f, const pawl_opened *o)
{
    const pawl_plan_side *s = main_side(f, &f->plan);
    json_t *out = json_pack(
        "{s:i,s:i,s:s,s:I,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s?}", "ranks", f->ranks, "ranks_per_node", f->node, "device", f->device.name,
        "micro_batch_size", (json_int_t)o->config.train.micro_batch_size, "bytes_per_rank", bytes_json(s), "peak_bytes",
        (json_int_t)s->peak_bytes, "available_bytes", known_bytes(f->available), "fits", f->device.gpu && f->available == 0 ? json_null() : json_boolean(f->fits), "steps",
        known(f, json_integer((json_int_t)f->plan.steps)), "tokens", known(f, json_integer((json_int_t)f->plan.tokens)),
        "nearest", nearest_json(f), "flops", known(f, json_real(f->plan.flops)), "seconds", f->rate > 0 ? known(f, json_real(seconds_of(f))) : json_null(),
        "rate_gflops", f->rate > 0 ? json_real(f->rate / 1e9) : json_null(), "missing", f->missing.bytes ? f->missing.data : NULL);
    if (f->device.gpu) {
        json_object_set_new(out, "host_bytes_per_rank", bytes_json(&f->plan.host));
        json_object_set_new(out, "host_peak_bytes", json_integer((json_int_t)f->plan.host.peak_bytes));
        json_object_set_new(out, "host_available_bytes", known_bytes(f->available_host));
    }
    return pawl_print_json(out);
}

static void print_side(const pawl_plan_side *s)
{
    for (int i = 0; i < s->categories; i++) {
        char size[32];
        pawl_format_bytes((double)s->category[i].bytes, size);
        printf("  %-20s %10s\n", s->category[i].name, size);
    }
}

static void print_sum(const char *each, const char *rest)
{
    printf("  %-20s %10s   %s\n", "a rank", each, rest);
}

/* Of ranks that share a machine's memory. */
static void print_host(const forecast *f, double available, const char *verdict)
{
    char each[32], all[32], have[32], rest[160];
    const pawl_plan_side *s = &f->plan.host;
    pawl_format_bytes((double)s->peak_bytes, each);
    pawl_format_bytes((double)s->peak_bytes * f->node, all);
    pawl_format_bytes(available, have);
    if (available > 0) snprintf(rest, sizeof rest, "%s on a machine, where %s are available%s", all, have, verdict);
    else snprintf(rest, sizeof rest, "%s on a machine", all);
    print_side(s);
    print_sum(each, rest);
}

static void print_gpu(const forecast *f, const char *verdict)
{
    char each[32], have[32], rest[300];
    pawl_format_bytes((double)f->plan.device.peak_bytes, each);
    pawl_format_bytes(f->available, have);
    if (f->available > 0) snprintf(rest, sizeof rest, "of the %s that a rank has on a device '%s'%s", have, f->device.name, verdict);
    else snprintf(rest, sizeof rest, "whether that fits is not known (%s): say --device or --gpu-memory", f->no_gpu);
    printf("memory of the GPU\n");
    print_side(&f->plan.device);
    print_sum(each, rest);
}

static void print_nearest(const forecast *f)
{
    char then[32], no_key[PAWL_NEAREST_ROOM];
    if (f->fits) return;
    pawl_format_bytes((double)main_side(f, &f->then)->peak_bytes, then);
    pawl_plan_no_key(&f->plan, &f->budget, f->sharers, f->node, no_key);
    if (f->nearest[0]) printf("fits with (%s a rank)\n  %s\n", then, f->nearest);
    else printf("%s\n", no_key);
}

static const char *verdict_of(const pawl_plan_side *s, double budget)
{
    return budget == 0 || (double)s->peak_bytes <= budget ? ": fits" : ": does not fit";
}

static void print_memory(const forecast *f)
{
    if (f->device.gpu) print_gpu(f, verdict_of(&f->plan.device, f->budget.device));
    printf(f->device.gpu ? "memory of the host\n" : "memory\n");
    print_host(f, f->device.gpu ? f->available_host : f->available, verdict_of(&f->plan.host, f->budget.host));
    print_nearest(f);
}

static void print_work(const forecast *f, const pawl_opened *o)
{
    char time[32];
    if (f->plan.steps == PAWL_STEPS_UNKNOWN) {
        printf("steps     not known: %s, and max_steps is not set\n", f->missing.data);
        return;
    }
    printf("steps     %lld of %lld rows, %s%.0f tokens\n", (long long)f->plan.steps,
           (long long)o->config.train.global_batch_size, o->data ? "" : "at most ", f->plan.tokens);
    if (!o->data) printf("          (%s: a run would end there)\n", f->missing.data);
    pawl_format_seconds(seconds_of(f), time);
    printf("compute   %.3g FLOP", f->plan.flops);
    if (f->rate > 0) printf(", about %s at %.0f GFLOP/s", time, f->rate / 1e9);
    else printf(" (--rate says how fast)");
    if (f->measured) printf(" (%.0f%% of what matrix products do here)", 100 * f->device.share);
    else if (f->device.bf16 > 0) printf(" (%.0f%% of the devices' peak, where --rate does not say)", 100 * f->device.share);
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
    print_memory(f);
    print_work(f, o);
    return PAWL_OK;
}

/* What --device says, else what the run would compute on here. */
static pawl_status choose_device(const pawl_args *a, const pawl_opened *o, forecast *f)
{
    const pawl_preset *found;
    int gpus;
    const int64_t asked = o->config.train.device;
    const int cuda = a->option[GPU_MEMORY] || asked == PAWL_DEVICE_CUDA ||
                     (asked == PAWL_DEVICE_AUTO && pawl_cuda_count(pawl_cuda_in_use, &gpus) == PAWL_OK);
    PAWL_TRY(pawl_preset_find(a->option[DEVICE] ? a->option[DEVICE] : cuda ? "cuda" : "cpu", &found));
    f->device = *found;
    PAWL_CHECK(!(o->config.train.fp8 && found->no_fp8), PAWL_EUSAGE,
               "fp8: products of 8-bit floats need a GPU of compute capability 8.9 (Ada) or later, which %s is not: leave fp8 out", found->name);
    if (!a->option[GPU_MEMORY]) return PAWL_OK;
    PAWL_CHECK(f->device.gpu, PAWL_EUSAGE, "--gpu-memory is of a GPU: leave out --device cpu");
    return pawl_option_size(&pawl_command_plan, a, GPU_MEMORY, &f->device.memory);
}

static pawl_status take_options(const pawl_args *a, const pawl_opened *o, forecast *f)
{
    int64_t ranks, node;
    PAWL_TRY(choose_device(a, o, f));
    PAWL_TRY(pawl_option_i64(&pawl_command_plan, a, RANKS, 1, 1 << 20, 1, &ranks));
    const int64_t most = f->device.ranks_a_machine ? f->device.ranks_a_machine : ranks;
    PAWL_TRY(pawl_option_i64(&pawl_command_plan, a, NODE, 1, 1 << 20, most, &node));
    PAWL_TRY(pawl_option_f64(&pawl_command_plan, a, RATE, 1e-3, 1e12, 0, &f->rate));
    f->ranks = (int)ranks;
    f->node = (int)(node < ranks ? node : ranks);
    f->rate *= 1e9;
    return PAWL_OK;
}

static pawl_status plan(pawl_comm *c, const pawl_args *a, pawl_opened *o, forecast *f, int *stopped)
{
    int cores;
    PAWL_TRY(take_options(a, o, f));
    PAWL_TRY(pawl_threads_here(c, 0, &cores));
    const int64_t asked = o->config.train.threads, share = asked ? asked : cores / f->node;
    const int threads = share > 0 ? (int)share : 1;
    PAWL_TRY(open_device(c, o, threads, f));
    PAWL_TRY(pawl_choose_attention(o->device, &o->config.train));
    PAWL_TRY(pawl_open_plan(c, o, &f->missing, stopped));
    if (*stopped) return PAWL_OK;
    PAWL_TRY(plan_ranks(o, f));
    PAWL_TRY(find_rate(o, threads * f->node < cores ? threads * f->node : cores, f));
    return a->option[JSON] ? print_json(f, o) : print_plan(f, o);
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    forecast f = {.yaml = a->words[0]};
    pawl_opened *o;
    int stopped = 0;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the plan"));
    pawl_catch_signals();
    pawl_status s = pawl_open_config(c, a->words[0], (char *const *)(a->words + 1), a->word_count - 1, o);
    if (s == PAWL_OK) s = plan(c, a, o, &f, &stopped);
    if (s == PAWL_OK && stopped) *exit_status = PAWL_EXIT_AGAIN;
    pawl_text_close(&f.missing);
    pawl_close_run(o);
    pawl_free(o);
    return s;
}

const pawl_command pawl_command_plan = {
    .name = "plan",
    .usage = "RUN.yaml [-n RANKS] [--ranks-per-node R] [--device NAME] [--gpu-memory SIZE] [--rate GFLOPS] [--json] [key=value ...]",
    .summary = "memory, steps and time of a run, before anything is taken",
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {{"-n", "RANKS", "ranks (1)"},
                {"--ranks-per-node", "R", "of them on a machine; cpu: one like this (all); else a GPU each (8)"},
                {"--device", "NAME", "cpu, cuda, h200, h100, a100 or a100-40: what a rank computes on (as the run's `device` comes out here)"},
                {"--gpu-memory", "SIZE", "memory of a rank's GPU, as 80GiB (what is free on the GPU here)"},
                {"--rate", "GFLOPS", "what all ranks compute together in a second, in 1e9 FLOP (measured here)"},
                {"--json", NULL, "one JSON document"}},
    .run = run,
};
