#include <stdio.h>
#include <string.h>

#include "ops/cpu/products.h"

static void close_cpu(pawl_device *d)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    pawl_gemm_close(cpu->gemm);
    pawl_pool_close(cpu->pool);
    pawl_arena_close(&cpu->scratch);
    pawl_free(cpu);
}

static size_t shared_bytes(const pawl_cpu *cpu, const pawl_shapes *s)
{
    const size_t all[] = {pawl_norm_scratch_bytes(s), pawl_head_scratch_bytes(cpu, s), pawl_attention_scratch_bytes(cpu, s),
                          pawl_cpu_fp8_scratch_bytes(s)};
    size_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) most = all[i] > most ? all[i] : most;
    return most;
}

static size_t scratch_bytes_cpu(const pawl_device *d, const pawl_shapes *most)
{
    const pawl_cpu *cpu = (const pawl_cpu *)d;
    pawl_gemm_need need;
    if (pawl_cpu_products(cpu, most, &need) != PAWL_OK) need = (pawl_gemm_need){0}; /* reserve will say what is wrong */
    return shared_bytes(cpu, most) + pawl_gemm_need_bytes(cpu->gemm, need);
}

static pawl_status reserve_cpu(pawl_device *d, const pawl_shapes *most)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    pawl_gemm_need need;
    PAWL_TRY(pawl_cpu_products(cpu, most, &need));
    PAWL_TRY(pawl_gemm_reserve(cpu->gemm, need));
    if (shared_bytes(cpu, most) <= cpu->scratch.size) return PAWL_OK;
    pawl_arena grown = {.name = cpu->scratch.name, .used = shared_bytes(cpu, most)};
    PAWL_TRY(pawl_arena_open(&grown));
    pawl_arena_close(&cpu->scratch);
    cpu->scratch = grown;
    return PAWL_OK;
}

pawl_status pawl_cpu_scratch(pawl_cpu *cpu, const char *op, size_t bytes, pawl_arena *out)
{
    PAWL_CHECK(bytes <= cpu->scratch.size, PAWL_EBUG,
               "%s needs %zu bytes of scratch and %zu are reserved: pawl_device_reserve was called for smaller shapes",
               op, bytes, cpu->scratch.size);
    *out = cpu->scratch;
    out->used = 0;
    return PAWL_OK;
}

static int threads_cpu(const pawl_device *d)
{
    return pawl_pool_threads(((const pawl_cpu *)d)->pool);
}

static const char *describe_cpu(const pawl_device *d)
{
    return ((const pawl_cpu *)d)->description;
}

/* A product has one algorithm. */
static int tune_cpu(pawl_device *d, int on)
{
    (void)d, (void)on;
    return 0;
}

static pawl_status algorithms_cpu(const pawl_device *d, pawl_text *out)
{
    (void)d;
    return pawl_text_status(out);
}

static pawl_status choose_cpu(pawl_device *d, const char *table)
{
    (void)d;
    PAWL_CHECK(!table[0], PAWL_EDATA, "products on a CPU have one algorithm each");
    return PAWL_OK;
}

typedef struct body_call {
    void (*body)(void *self, int64_t i);
    void *self;
} body_call;

static void call_body(void *self, int64_t i, int thread)
{
    (void)thread;
    const body_call *c = self;
    c->body(c->self, i);
}

static void parallel_cpu(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self)
{
    body_call c = {body, self};
    pawl_pool_run(pawl_cpu_of(d)->pool, count, call_body, &c);
}

/* Both memories are the host's. */
static pawl_status take_cpu(pawl_device *d, pawl_side_of side, size_t bytes, const char *what, void **out)
{
    (void)d, (void)side;
    return pawl_pages_take(bytes, what, out);
}

static void give_cpu(pawl_device *d, pawl_side_of side, void *block, size_t bytes)
{
    (void)d, (void)side;
    pawl_pages_give(block, bytes);
}

static pawl_status copy_bytes_cpu(pawl_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    memcpy(to, from, bytes);
    return PAWL_OK;
}

static void *stream_cpu(pawl_device *d)
{
    (void)d;
    return NULL;
}

static pawl_status nothing_cpu(pawl_device *d)
{
    (void)d;
    return PAWL_OK;
}

static pawl_status graphs_cpu(pawl_device *d, int on)
{
    (void)d, (void)on;
    return PAWL_OK;
}

static pawl_device_own own_cpu(const pawl_device *d)
{
    (void)d;
    return (pawl_device_own){0};
}

static pawl_device_memory memory_cpu(pawl_device *d)
{
    (void)d;
    return (pawl_device_memory){0};
}

static const pawl_ops cpu_ops = {
    .name = "cpu",
    .close = close_cpu,
    .scratch_bytes = scratch_bytes_cpu,
    .reserve = reserve_cpu,
    .threads = threads_cpu,
    .describe = describe_cpu,
    .gemm_rate = pawl_cpu_gemm_rate,
    .memory_rate = pawl_cpu_memory_rate,
    .tune = tune_cpu,
    .algorithms = algorithms_cpu,
    .choose = choose_cpu,
    .attend_by_library = nothing_cpu,
    .shares_memory = 1,
    .own = own_cpu,
    .memory = memory_cpu,
    .take = take_cpu,
    .give = give_cpu,
    .upload = copy_bytes_cpu,
    .download = copy_bytes_cpu,
    .stream = stream_cpu,
    .wait = nothing_cpu,
    .block_begin = nothing_cpu,
    .block_end = nothing_cpu,
    .graphs = graphs_cpu,
    .parallel = parallel_cpu,
    .linear = linear_cpu,
    .linear_fp8 = linear_fp8_cpu,
    .linear_dx = linear_dx_cpu,
    .linear_dw = linear_dw_cpu,
    .dropout = dropout_cpu,
    .add_noise = add_noise_cpu,
    .low_rank_norms = low_rank_norms_cpu,
    .divide = divide_cpu,
    .scale_columns = scale_columns_cpu,
    .add_columns = add_columns_cpu,
    .column_dots = column_dots_cpu,
    .embedding = embedding_cpu,
    .embedding_dw = embedding_dw_cpu,
    .rmsnorm = rmsnorm_cpu,
    .rmsnorm_backward = rmsnorm_backward_cpu,
    .layernorm = layernorm_cpu,
    .layernorm_backward = layernorm_backward_cpu,
    .head_norm = head_norm_cpu,
    .head_norm_backward = head_norm_backward_cpu,
    .rope = rope_cpu,
    .attention = attention_cpu,
    .attention_backward = attention_backward_cpu,
    .attention_cached = attention_cached_cpu,
    .swiglu = swiglu_cpu,
    .swiglu_backward = swiglu_backward_cpu,
    .activate = activate_cpu,
    .activate_backward = activate_backward_cpu,
    .linear_activate = linear_activate_cpu,
    .linear_activate_dx = linear_activate_dx_cpu,
    .head_loss = head_loss_cpu,
    .adamw = adamw_cpu,
    .sgd = sgd_cpu,
    .lion = lion_cpu,
    .adamw_8bit = adamw_8bit_cpu,
    .adafactor = adafactor_cpu,
    .muon_momentum = muon_momentum_cpu,
    .mix = mix_cpu,
    .lerp = lerp_cpu,
    .anchor = anchor_cpu,
    .overlap_add = overlap_add_cpu,
    .path = path_cpu,
    .synapses = synapses_cpu,
    .magnitudes = magnitudes_cpu,
    .dot = dot_cpu,
    .sum_squares = sum_squares_cpu,
    .cast = cast_cpu,
    .add = add_cpu,
    .quantise = quantise_cpu,
    .dequantise = dequantise_cpu,
    .scale = scale_cpu,
    .zero = zero_cpu,
    .copy = copy_cpu,
};

static pawl_status fill(pawl_cpu *cpu, int threads, const pawl_gemm_library *library)
{
    pawl_dynamic_fill(&cpu->signed_levels, 1);
    pawl_dynamic_fill(&cpu->levels, 0);
    PAWL_TRY(pawl_pool_open(threads, &cpu->pool));
    PAWL_TRY(pawl_gemm_open(library, cpu->pool, cpu->kernels, &cpu->gemm));
    snprintf(cpu->description, sizeof cpu->description, "cpu %s %s", cpu->kernels->isa, pawl_gemm_name(cpu->gemm));
    return PAWL_OK;
}

pawl_status pawl_cpu_open_with(int threads, const char *isa, const pawl_gemm_library *library, pawl_device **out)
{
    pawl_status status = PAWL_OK;
    int runs;
    pawl_cpu *cpu;
    const pawl_kernels *kernels = pawl_kernels_find(isa, &runs);
    PAWL_CHECK(threads >= 1, PAWL_EUSAGE, "%d threads: at least 1 is needed", threads);
    PAWL_CHECK(kernels, PAWL_EUSAGE, "there is no instruction set '%s': it is one of auto, generic, avx2, avx512", isa);
    PAWL_CHECK(runs, PAWL_EUSAGE, "this machine does not have the instruction set '%s': use auto", isa);
    PAWL_TRY(pawl_alloc((void **)&cpu, sizeof *cpu, "the CPU backend"));
    *cpu = (pawl_cpu){.device = {&cpu_ops},
                      .kernels = kernels,
                      .scratch = {.name = "scratch"}};
    PAWL_TRY_OUT(fill(cpu, threads, library));
    *out = &cpu->device;
    return PAWL_OK;
out:
    close_cpu(&cpu->device);
    return status;
}

pawl_status pawl_device_open_cpu(int threads, const char *isa, pawl_device **out)
{
    const pawl_gemm_library *found = pawl_gemm_found();
    return pawl_cpu_open_with(threads, isa, found ? found : &pawl_gemm_portable, out);
}
