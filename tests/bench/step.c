/* One training step on one rank - forward, backward, clipping, AdamW - on the reference shapes.
 *
 *     step --shape NAME --dtype fp32|bf16 [--seconds S] [--steps N] [--threads N] [--phases] [--cpu-time]
 *          [--recompute none|norms|block] [--rows N] [--tokens N] [--untrained PERCENT] [--optimizer RULE] [--no-master-weights]
 *          [--lora R [--dropout P] [--dora] [--base f32|int8|nf4]]
 *     step --list         the shapes, a JSON object a line
 *     step --rates        how fast the device multiplies and moves memory, as a JSON object
 *
 * Prints the median: SHAPE DTYPE N tok/s G GFLOP/s P% of gemm, where model FLOPs are 6 N + 12 L d T a token (N: weights of
 * matrix products, head included; with an adapter on all linear modules 4 N and 6 of its own) and gemm is the library's own square product of that type on the same threads in the same run.
 * --untrained: of each row, its beginning, as prompts are; FLOPs are counted as if all were trained.
 * --no-master-weights: weights in bf16 alone (decision 0051). --steps: at least so many. --cpu-time counts the processor's time rather than the clock's: with one thread, figures that busy
 * neighbours do not spoil. Computes on the device of tests/on_device.h; a GPU's update is waited for by the next pass, so that --phases
 * counts it there. Shapes from 124M on are for GPUs; no file is read for them, weights are any. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/comm.h"
#include "core/log.h"
#include "core/rng.h"
#include "model/model.h"
#include "optim/optim.h"
#include "tests/on_device.h"
#include "tests/shape.h"

static const struct setting {
    const char *name;
    struct shape model;
    int64_t tokens, rows;
} shapes[] = {
    {"0.9M", {"llama", 256, 128, 352, 4, 4, 4, 0, 0, 0}, 128, 16},  {"2.8M", {"llama", 512, 192, 512, 6, 6, 6, 0, 0, 0}, 256, 8},
    {"5.9M", {"llama", 4096, 256, 688, 6, 8, 8, 0, 0, 0}, 256, 8},  {"15M", {"llama", 32000, 288, 768, 6, 6, 6, 0, 0, 0}, 256, 4},
    {"135M", {"llama", 49152, 576, 1536, 30, 9, 3, 1, 0, 0}, 512, 2}, {"gpt2", {"gpt2", 50257, 768, 3072, 12, 12, 12, 1, 0, 0}, 256, 4},
    {"124M", {"gpt2", 50304, 768, 3072, 12, 12, 12, 1, 0, 0}, 1024, 32},
    {"0.6B", {"qwen3", 151936, 1024, 3072, 28, 16, 8, 1, 128, 0}, 2048, 16},
    {"1.7B", {"qwen3", 151936, 2048, 6144, 28, 16, 8, 1, 128, 0}, 2048, 8},
    {"3B", {"llama", 128256, 3072, 8192, 28, 24, 8, 1, 128, 0}, 2048, 8},
    {"8B", {"llama", 128256, 4096, 14336, 32, 32, 8, 0, 128, 0}, 4096, 2},
};

enum { STEPS_MOST = 1000 };

typedef struct bench {
    const struct setting *shape;
    int64_t rows, tokens;  /* as asked for, or the shape's */
    int64_t untrained;     /* per cent of a row */
    int optimizer;         /* index into pawl_optimizer_names */
    double began;          /* when the program did */
    pawl_device *device;
    pawl_model *model;
    pawl_capacity room;
    pawl_activations *activations;
    pawl_optim *optim;
    pawl_arena there, here; /* in the device's memory, and the host's */
    pawl_batch batch;
    float *losses;
    float *weights, *grads; /* the device's */
    uint16_t *low;          /* bf16: the weights as products read them; the device's */
    int alone;              /* low is all there is of weights, and what ops read of them in f32 is widened: */
    float *vectors;
    pawl_dtype type;
    const char *settings; /* of an adapter, as JSON; NULL: all weights are trained */
    pawl_code code;
    pawl_recompute recompute;
    pawl_adapter *adapter;
    pawl_frozen *base;
    pawl_adapter_work *work;
    pawl_over over;
} bench;

static void lay_out(bench *b)
{
    const size_t bytes = (size_t)pawl_trained_count(b->model, b->adapter) * sizeof(float);
    if (b->alone) b->vectors = pawl_take_bytes(&b->there, (size_t)pawl_vectors_count(b->model) * sizeof(float));
    else b->weights = pawl_take_bytes(&b->there, bytes);
    b->grads = pawl_take_bytes(&b->there, bytes);
    if (b->type == PAWL_BF16) b->low = pawl_take_bytes(&b->there, bytes / 2);
    b->losses = pawl_take_bytes(&b->here, (size_t)(b->rows * b->tokens) * sizeof(float));
    pawl_batch_lay_out(&b->here, &b->batch, b->rows, b->tokens);
}

static void fill_batch(bench *b)
{
    const int64_t T = b->batch.tokens;
    for (int64_t n = 0; n < b->batch.rows * T; n++) {
        const uint32_t word = pawl_random_at(1, PAWL_FOR_TEST, 0, (uint64_t)n).word[0];
        b->batch.ids[n] = (int32_t)(word % (uint32_t)b->shape->model.vocab);
        b->batch.positions[n] = (int32_t)(n % T);
        b->batch.starts[n] = (int32_t)(n - n % T);
    }
    for (int64_t n = 0; n < b->batch.rows * T; n++)
        b->batch.targets[n] = n % T == T - 1 || n % T * 100 < b->untrained * T ? PAWL_NOT_TRAINED : b->batch.ids[n + 1];
}

/* Some weights or others: on a CPU speed does not depend on them, and a GPU takes less power for numbers that repeat soon. */
enum { ANY = 65537 };

static void any_numbers(float *to, int64_t count)
{
    static float any[ANY];
    for (int i = 0; i < ANY && any[ANY - 1] == 0; i++) any[i] = 0.02f * (float)(int32_t)pawl_random_at(1, PAWL_FOR_TEST, 1, (uint64_t)i).word[0] * 0x1p-31f;
    for (int64_t at = 0; at < count; at += ANY) memcpy(to + at, any, (size_t)(count - at < ANY ? count - at : ANY) * sizeof *to);
}

static pawl_status any_weights(void *self, int tensor, float *to)
{
    const bench *b = self;
    const pawl_extent *extents;
    pawl_model_extents(b->model, &extents);
    any_numbers(to, extents[tensor].count);
    return PAWL_OK;
}

static pawl_status open_adapter(bench *b)
{
    json_t *settings;
    if (!b->settings) return PAWL_OK;
    PAWL_TRY(pawl_json_parse(b->settings, strlen(b->settings), "--lora", &settings));
    const pawl_status s = pawl_adapter_open(b->model, settings, "--lora", &b->adapter);
    json_decref(settings);
    if (s != PAWL_OK) return s;
    PAWL_TRY(pawl_frozen_open(b->model, b->device, b->code, b->room.type, &b->base));
    PAWL_TRY(pawl_frozen_fill(b->base, any_weights, b));
    PAWL_TRY(pawl_adapter_work_open(b->adapter, &b->room, &b->work));
    b->over = (pawl_over){.adapter = b->adapter, .base = b->base, .work = b->work, .seed = 1};
    return PAWL_OK;
}

/* Where bf16 is all there is. */
static pawl_status put_low(bench *b, int64_t first, int64_t count, const float *numbers, void *low)
{
    pawl_convert(numbers, PAWL_F32, low, PAWL_BF16, count);
    return pawl_upload(b->device, b->low + first, low, (size_t)count * sizeof(uint16_t));
}

/* Piece by piece: the host need not have room for a whole model, but for two pieces. Vectors are ones. */
static pawl_status fill_extent(bench *b, const pawl_extent *e, float *room, int64_t length)
{
    for (int64_t at = 0; at < e->count; at += length) {
        const int64_t n = e->count - at < length ? e->count - at : length;
        float *to = b->weights + e->first + at, *here = b->alone ? room : pawl_host_side(b->device, to, room);
        any_numbers(here, n);
        for (int64_t i = 0; i < n && !e->cols; i++) here[i] = 1;
        PAWL_TRY(b->alone ? put_low(b, e->first + at, n, here, room + length) : pawl_upload(b->device, to, here, (size_t)n * sizeof *here));
    }
    return PAWL_OK;
}

static pawl_status fill_model(bench *b, float *room, int64_t length)
{
    const pawl_extent *extents;
    const int count = pawl_model_extents(b->model, &extents);
    for (int i = 0; i < count; i++) PAWL_TRY(fill_extent(b, &extents[i], room, length));
    return PAWL_OK;
}

static pawl_status fill_adapter(bench *b, float *room)
{
    float *here = pawl_host_side(b->device, b->weights, room);
    pawl_adapter_init(b->adapter, 42, 0, here);
    PAWL_TRY(pawl_upload(b->device, b->weights, here, (size_t)pawl_trained_count(b->model, b->adapter) * sizeof *here));
    return pawl_adapter_measure(b->adapter, b->device, b->base, b->weights);
}

static pawl_status fill_weights(bench *b)
{
    const int64_t length = b->adapter ? pawl_trained_count(b->model, b->adapter) : ANY * 64;
    float *room;
    PAWL_TRY(pawl_alloc((void **)&room, 2 * (size_t)length * sizeof *room, "weights on their way"));
    const pawl_status s = b->adapter ? fill_adapter(b, room) : fill_model(b, room, length);
    pawl_free(room);
    return s;
}

static pawl_status open_bench(bench *b, int threads)
{
    const struct setting *s = b->shape;
    const pawl_model_config c = configured(&s->model);
    pawl_optim_config o;
    const pawl_extent *extents;
    pawl_fields_default(pawl_optim_rows, &o);
    o.optimizer = b->optimizer;
    o.master_weights = !b->alone;
    PAWL_TRY(pawl_model_open(&c, &b->model));
    PAWL_TRY(open_tested_device(threads, &b->device));
    pawl_shapes most = pawl_model_shapes(b->model, b->rows, b->tokens);
    most.type = b->type;
    PAWL_TRY(pawl_device_reserve(b->device, &most));
    b->room = (pawl_capacity){.rows = b->rows, .tokens = b->tokens, .train = 1, .recompute = b->recompute, .type = b->type, .device = b->device};
    PAWL_TRY(pawl_activations_open(b->model, &b->room, &b->activations));
    PAWL_TRY(open_adapter(b));
    const int count = pawl_trained_extents(b->model, b->adapter, &extents);
    PAWL_TRY(pawl_optim_open(&o, b->device, extents, count, 0, pawl_trained_count(b->model, b->adapter), &b->optim));
    b->there.name = b->here.name = "benchmark";
    lay_out(b);
    PAWL_TRY(pawl_arena_open_on(b->device, PAWL_ON_DEVICE, &b->there));
    PAWL_TRY(pawl_arena_open_on(b->device, PAWL_ON_HOST, &b->here));
    lay_out(b);
    fill_batch(b);
    return fill_weights(b);
}

enum { PASS, NORM, UPDATE, PHASES };

static clockid_t clock_used = CLOCK_MONOTONIC;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { SIDE = 1024, GEMMS = 7 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* pawl_device_gemm_rate on the clock used. */
static double gemm_rate(bench *b)
{
    pawl_arena a = {.name = "numbers for measuring", .used = 3 * SIDE * SIDE * sizeof(float)};
    pawl_tensor m[3];
    double seconds[1 + GEMMS];
    if (clock_used == CLOCK_MONOTONIC) return pawl_device_gemm_rate(b->device, b->type);
    if (pawl_arena_open(&a) != PAWL_OK) return 0;
    for (int i = 0; i < 3; i++) m[i] = pawl_take(&a, b->type, 2, (const int64_t[]){SIDE, SIDE});
    for (int64_t i = 0; i < 2 * SIDE * SIDE; i++) {
        const float x = (float)(i % 17 - 8) / 8;
        pawl_convert(&x, PAWL_F32, (char *)a.base + (size_t)i * pawl_dtype_bytes(b->type), b->type, 1);
    }
    for (int i = 0; i <= GEMMS; i++) {
        const double began = seconds_now();
        if (pawl_linear(b->device, m[0], m[1], (pawl_tensor){.data = NULL}, PAWL_SET, m[2]) != PAWL_OK) return 0;
        seconds[i] = seconds_now() - began;
    }
    pawl_arena_close(&a);
    qsort(seconds + 1, GEMMS, sizeof *seconds, compare);
    return 2.0 * SIDE * SIDE * SIDE / seconds[1 + GEMMS / 2];
}

/* What a pass reads of weights that have changed. */
static pawl_status refresh(bench *b)
{
    if (!b->alone) return b->low ? pawl_low_round(b->model, b->adapter, b->device, b->weights, b->low) : PAWL_OK;
    for (int64_t part = 0; part < pawl_trained_parts(b->model); part++) {
        int64_t first, count;
        pawl_trained_part(b->model, NULL, part, &first, &count);
        PAWL_TRY(pawl_vectors_widen(b->model, b->device, part, b->low + first, b->vectors));
    }
    return PAWL_OK;
}

static pawl_status step(bench *b, int64_t at, double seconds[PHASES])
{
    double norm, t0 = seconds_now();
    PAWL_TRY(refresh(b));
    b->over.first_row = at * b->batch.rows;
    const pawl_pass pass = {.over = b->adapter ? &b->over : NULL,
                            .weights = b->weights,
                            .low = b->low,
                            .vectors = b->vectors,
                            .grads = b->grads,
                            .put = PAWL_SET,
                            .scale = 1.0f / (float)(b->batch.rows * (b->batch.tokens - 1)),
                            .losses = b->losses};
    PAWL_TRY(pawl_model_pass(b->model, b->device, b->activations, &b->batch, &pass));
    double t1 = seconds_now();
    PAWL_TRY(pawl_grad_norm(b->optim, b->grads, &norm));
    double t2 = seconds_now();
    PAWL_TRY(pawl_optim_step(b->optim, b->alone ? (void *)b->low : b->weights, b->grads, norm, 1e-4, at));
    seconds[PASS] = t1 - t0;
    seconds[NORM] = t2 - t1;
    seconds[UPDATE] = seconds_now() - t2;
    return PAWL_OK;
}

/* The d of 12 L d T. */
static int64_t attention_width(const struct shape *m)
{
    return m->head_dim ? m->heads * m->head_dim : m->width;
}

static pawl_status measure(bench *b, double limit, int64_t least, int phases)
{
    static double all[PHASES + 1][STEPS_MOST];
    double part[PHASES];
    int n = 0;
    PAWL_TRY(step(b, 0, part));
    const double first = pawl_seconds() - b->began, gemm_before = gemm_rate(b);
    for (int i = 1; i < 3; i++) PAWL_TRY(step(b, i, part));
    for (const double began = pawl_seconds(); n < STEPS_MOST && (n < least || pawl_seconds() - began < limit); n++) {
        PAWL_TRY(step(b, n + 3, part));
        all[PHASES][n] = 0;
        for (int i = 0; i < PHASES; i++) all[PHASES][n] += all[i][n] = part[i];
    }
    const double gemm_after = gemm_rate(b), gemm = gemm_before > gemm_after ? gemm_before : gemm_after;
    for (int i = 0; i <= PHASES; i++) qsort(all[i], (size_t)n, sizeof(double), compare);
    const struct setting *s = b->shape;
    const double flops = (b->adapter ? 4.0 : 6.0) * (double)pawl_model_matmul_parameters(b->model) +
                         (b->adapter ? 6.0 * (double)pawl_trained_parameters(b->model, b->adapter) : 0) + 12.0 * (double)(s->model.layers * attention_width(&s->model) * b->tokens);
    const double rate = (double)(b->rows * b->tokens) / all[PHASES][n / 2];
    if (phases)
        printf("%s: %d steps, median ms: pass %.2f, norm %.2f, update %.2f; gemm %.0f GFLOP/s; activations %.1f MiB; all %.1f MiB; first step after %.2f s; %s\n", s->name, n, 1e3 * all[PASS][n / 2],
               1e3 * all[NORM][n / 2], 1e3 * all[UPDATE][n / 2], gemm / 1e9,
               (double)pawl_room_sum(pawl_activations_bytes(b->model, &b->room)) / 0x1p20, (double)(pawl_arena_use_of(NULL, 0).peak + pawl_arena_use_of(NULL, 1).peak) / 0x1p20, first, pawl_device_describe(b->device));
    printf("%s %s %.0f tok/s %.1f GFLOP/s %.0f%% of gemm\n", s->name, b->type == PAWL_BF16 ? "bf16" : "fp32", rate, rate * flops / 1e9, 100 * rate * flops / gemm);
    return PAWL_OK;
}

static const char *option(int argc, char **argv, const char *name, const char *dflt)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    return dflt;
}

static int has(int argc, char **argv, const char *name)
{
    int found = 0;
    for (int i = 1; i < argc; i++) found |= strcmp(argv[i], name) == 0;
    return found;
}

static void choose_adapter(bench *b, int argc, char **argv, char settings[256])
{
    const char *r = option(argc, argv, "--lora", NULL), *code = option(argc, argv, "--base", "f32");
    if (!r) return;
    snprintf(settings, 256,
             "{\"peft_type\": \"LORA\", \"r\": %s, \"lora_alpha\": 16, \"target_modules\": \"all-linear\", \"lora_dropout\": %s, "
             "\"use_dora\": %s}", r, option(argc, argv, "--dropout", "0"), has(argc, argv, "--dora") ? "true" : "false");
    b->settings = settings;
    b->code = strcmp(code, "nf4") == 0 ? PAWL_CODE_NF4 : strcmp(code, "int8") == 0 ? PAWL_CODE_INT8 : PAWL_CODE_NONE;
}

/* Where a word is in a list that ends with NULL; EUSAGE, with the list, when it is not. */
static pawl_status word(const char *name, const char *const *list, const char *found, int *at)
{
    char known[256] = "";
    for (*at = 0; list[*at]; ++*at) {
        const size_t used = strlen(known);
        if (strcmp(list[*at], found) == 0) return PAWL_OK;
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", list[*at]);
    }
    return PAWL_FAIL(PAWL_EUSAGE, "step: %s: expected one of %s, found '%s'", name, known, found);
}

static pawl_status number(int argc, char **argv, const char *name, int64_t dflt, int64_t *out)
{
    const char *given = option(argc, argv, name, NULL);
    *out = dflt;
    PAWL_CHECK(!given || (pawl_parse_i64(given, out) && *out > 0), PAWL_EUSAGE, "step: %s: expected a number above 0, found '%s'", name, given);
    return PAWL_OK;
}

typedef struct options {
    int64_t threads, steps;
    double seconds;
} options;

static pawl_status read_options(bench *b, options *o, int argc, char **argv)
{
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    static const char *const types[] = {"fp32", "bf16", NULL};
    const char *names[SHAPES + 1] = {NULL}, *seconds = option(argc, argv, "--seconds", "8");
    int shape, type, recompute;
    for (int i = 0; i < SHAPES; i++) names[i] = shapes[i].name;
    PAWL_TRY(word("--shape", names, option(argc, argv, "--shape", "0.9M"), &shape));
    PAWL_TRY(word("--dtype", types, option(argc, argv, "--dtype", "fp32"), &type));
    PAWL_TRY(word("--recompute", pawl_recompute_names, option(argc, argv, "--recompute", "none"), &recompute));
    PAWL_TRY(word("--optimizer", pawl_optimizer_names, option(argc, argv, "--optimizer", "adamw"), &b->optimizer));
    b->shape = &shapes[shape];
    b->type = type ? PAWL_BF16 : PAWL_F32;
    b->recompute = (pawl_recompute)recompute;
    PAWL_TRY(number(argc, argv, "--rows", b->shape->rows, &b->rows));
    PAWL_TRY(number(argc, argv, "--tokens", b->shape->tokens, &b->tokens));
    PAWL_TRY(number(argc, argv, "--untrained", 0, &b->untrained));
    PAWL_TRY(number(argc, argv, "--threads", sysconf(_SC_NPROCESSORS_ONLN), &o->threads));
    PAWL_TRY(number(argc, argv, "--steps", 5, &o->steps));
    PAWL_CHECK(o->steps <= STEPS_MOST, PAWL_EUSAGE, "step: --steps: at most %d", STEPS_MOST);
    PAWL_CHECK(pawl_parse_f64(seconds, &o->seconds), PAWL_EUSAGE, "step: --seconds: expected a number, found '%s'", seconds);
    b->alone = has(argc, argv, "--no-master-weights");
    PAWL_CHECK(!b->alone || (type && !has(argc, argv, "--lora")), PAWL_EUSAGE, "step: --no-master-weights: expected --dtype bf16 beside it, and no --lora");
    if (has(argc, argv, "--cpu-time")) clock_used = CLOCK_PROCESS_CPUTIME_ID;
    return PAWL_OK;
}

static int list_shapes(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *m = &shapes[i].model;
        printf("{\"name\": \"%s\", \"family\": \"%s\", \"vocab\": %lld, \"width\": %lld, \"ff\": %lld, \"layers\": %lld, \"heads\": %lld, \"kv_heads\": %lld, "
               "\"tied\": %s, \"head_dim\": %lld, \"tokens\": %lld, \"rows\": %lld}\n", shapes[i].name, m->family, (long long)m->vocab, (long long)m->width,
               (long long)m->ff, (long long)m->layers, (long long)m->heads, (long long)m->kv_heads, m->tied ? "true" : "false",
               (long long)(attention_width(m) / m->heads), (long long)shapes[i].tokens, (long long)shapes[i].rows);
    }
    return 0;
}

static int say_rates(void)
{
    pawl_device *d;
    const pawl_status s = open_tested_device((int)sysconf(_SC_NPROCESSORS_ONLN), &d);
    if (s != PAWL_OK) {
        pawl_show_error(pawl_last_error());
        return s;
    }
    printf("{\"device\": \"%s\", \"bf16_flops\": %.4g, \"fp32_flops\": %.4g, \"memory_bytes\": %.4g}\n", pawl_device_describe(d),
           pawl_device_gemm_rate(d, PAWL_BF16), pawl_device_gemm_rate(d, PAWL_F32), pawl_device_memory_rate(d));
    pawl_device_close(d);
    return 0;
}

int main(int argc, char **argv)
{
    char settings[256];
    options o;
    bench b = {.began = pawl_seconds()};
    if (has(argc, argv, "--list")) return list_shapes();
    if (has(argc, argv, "--rates")) return say_rates();
    pawl_status s = read_options(&b, &o, argc, argv);
    choose_adapter(&b, argc, argv, settings);
    if (s == PAWL_OK) s = open_bench(&b, (int)o.threads);
    if (s == PAWL_OK) s = measure(&b, o.seconds, o.steps, has(argc, argv, "--phases"));
    if (s != PAWL_OK) pawl_show_error(pawl_last_error());
    pawl_optim_close(b.optim);
    pawl_activations_close(b.activations);
    pawl_adapter_work_close(b.work);
    pawl_frozen_close(b.base);
    pawl_adapter_close(b.adapter);
    pawl_arena_close_on(b.device, PAWL_ON_DEVICE, &b.there);
    pawl_arena_close_on(b.device, PAWL_ON_HOST, &b.here);
    pawl_device_close(b.device);
    pawl_model_close(b.model);
    return s;
}
