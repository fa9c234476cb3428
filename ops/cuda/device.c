/* Opening a GPU, and the table of the CUDA backend. */
#include <stdio.h>
#include <string.h>

#include "ops/cuda/cuda.h"

/* What an error of CUDA's is likely to come from, for who reads it. Errors of kernels that run are found by a later call. */
static const char *cause_of(cudaError_t code)
{
    switch ((int)code) {
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorLaunchOutOfResources: return " (of a launch: more shared memory, threads or blocks than this GPU has)";
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorNoKernelImageForDevice: return " (libpawl_cuda.so was built for other GPUs: CMAKE_CUDA_ARCHITECTURES)";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure: return " (of a kernel before this call; with CUDA_LAUNCH_BLOCKING=1 the call is the kernel's own)";
    case cudaErrorECCUncorrectable: return " (the GPU's memory is damaged: nvidia-smi -q -d ECC)";
    default: return "";
    }
}

/* Whoever asks CUDA for its last error next is not to find this one. */
pawl_status pawl_cuda_status(cudaError_t code, const char *call)
{
    if (code == cudaSuccess) return PAWL_OK;
    (void)cudaGetLastError();
    if (code == cudaErrorMemoryAllocation) return PAWL_FAIL(PAWL_EMEM, "%s: no memory on the GPU", call);
    return PAWL_FAIL(PAWL_EBUG, "%s failed: %s%s", call, cudaGetErrorString(code), cause_of(code));
}

pawl_status pawl_cuda_launched(const char *op)
{
    const cudaError_t code = cudaGetLastError();
    return code == cudaSuccess ? PAWL_OK : PAWL_FAIL(PAWL_EBUG, "%s: the GPU says: %s%s", op, cudaGetErrorString(code), cause_of(code));
}

pawl_status pawl_cuda_scratch(pawl_cuda *c, const char *op, size_t bytes, pawl_arena *out)
{
    PAWL_CHECK(bytes <= c->scratch.size, PAWL_EBUG,
               "%s needs %zu bytes of scratch and %zu are reserved: pawl_device_reserve was called for smaller shapes", op, bytes,
               c->scratch.size);
    *out = c->scratch;
    out->used = 0;
    return PAWL_OK;
}

void close_cuda(pawl_device *d)
{
    pawl_cuda *c = pawl_cuda_of(d);
    if (c->rest) pawl_cuda_settle(c);
    pawl_graphs_close(c);
    pawl_plans_close(c->plans);
    pawl_sdpa_plans_close(c->sdpa_plans);
    pawl_staging_close(&c->staging);
    void *scratch = pawl_arena_release(&c->scratch);
    if (scratch) (void)cudaFree(scratch);
    if (c->workspace) (void)cudaFree(c->workspace);
    if (c->constants) (void)cudaFree(c->constants);
    pawl_cuda_snapshot_close(c);
    pawl_cuda_carry_close(c);
    pawl_cuda_aside_close(c);
    pawl_free(c);
}

size_t scratch_bytes_cuda(const pawl_device *d, const pawl_shapes *most)
{
    return pawl_cuda_scratch_bytes(most, ((const pawl_cuda *)d)->sdpa_plans != NULL);
}

pawl_status pawl_cuda_grow(pawl_cuda *c, size_t bytes)
{
    pawl_arena grown = {.name = c->scratch.name, .on_device = 1, .used = bytes};
    void *block;
    if (grown.used <= c->scratch.size) return PAWL_OK;
    PAWL_TRY(take_cuda(&c->device, PAWL_ON_DEVICE, grown.used, "scratch", &block));
    pawl_graphs_forget(c);
    void *old = pawl_arena_release(&c->scratch);
    if (old) give_cuda(&c->device, PAWL_ON_DEVICE, old, 0);
    pawl_arena_adopt(&grown, block);
    c->scratch = grown;
    return PAWL_OK;
}

pawl_status reserve_cuda(pawl_device *d, const pawl_shapes *most)
{
    PAWL_CHECK(most->positions > 0 && most->width > 0 && most->vocab > 0, PAWL_EBUG, "pawl_device_reserve: a shape is 0");
    return pawl_cuda_grow(pawl_cuda_of(d), scratch_bytes_cuda(d, most));
}

pawl_device_own own_cuda(const pawl_device *d)
{
    (void)d;
    return pawl_cuda_own();
}

/* which: where the GPU is on its bus. */
pawl_device_memory memory_cuda(pawl_device *d)
{
    const pawl_cuda *c = pawl_cuda_of(d);
    const uint64_t bus = (uint64_t)(uint32_t)c->properties.pciBusID, slot = (uint64_t)(uint32_t)c->properties.pciDeviceID;
    pawl_device_memory m = {.which = 1 + ((uint64_t)(uint32_t)c->properties.pciDomainID << 16 | bus << 8 | slot)};
    if (cudaMemGetInfo(&m.available, &m.total) != cudaSuccess) return (pawl_device_memory){0};
    return m;
}

int threads_cuda(const pawl_device *d)
{
    (void)d;
    return 1;
}

const char *describe_cuda(const pawl_device *d)
{
    return ((const pawl_cuda *)d)->description;
}

int tune_cuda(pawl_device *d, int on)
{
    pawl_plans_tune(pawl_cuda_of(d)->plans, on);
    return 1;
}

pawl_status algorithms_cuda(const pawl_device *d, pawl_text *out)
{
    return pawl_plans_write(((const pawl_cuda *)d)->plans, out);
}

/* What was asked of the old plans is finished before they go. */
pawl_status choose_cuda(pawl_device *d, const char *table)
{
    PAWL_TRY(pawl_cuda_status(cudaStreamSynchronize(pawl_stream_of(d)), "cudaStreamSynchronize"));
    pawl_graphs_forget(pawl_cuda_of(d));
    return pawl_plans_choose(pawl_cuda_of(d)->plans, table);
}

void *stream_cuda(pawl_device *d)
{
    return pawl_stream_of(d);
}

void parallel_cuda(pawl_device *d, int64_t count, void (*body)(void *self, int64_t i), void *self)
{
    (void)d;
    for (int64_t i = 0; i < count; i++) body(self, i);
}

static pawl_status count_gpus(int *gpus)
{
    const cudaError_t code = cudaGetDeviceCount(gpus);
    PAWL_CHECK(code == cudaSuccess, PAWL_EUSAGE, "the NVIDIA driver shows no GPU: %s", cudaGetErrorString(code));
    PAWL_CHECK(*gpus > 0, PAWL_EUSAGE, "this process sees no GPU: CUDA_VISIBLE_DEVICES hides them, or there is none");
    return PAWL_OK;
}

/* Bits are promised within one such line only: the processor, and the library that chooses how products are added up. */
void pawl_cuda_describe(pawl_cuda *c)
{
    char products[32], attention[24] = "";
    pawl_plans_describe(c->plans, products, sizeof products);
    if (c->sdpa_plans) pawl_sdpa_plans_describe(c->sdpa_plans, attention, sizeof attention);
    snprintf(c->description, sizeof c->description, "cuda %.48s sm_%d%d %s%s%s", c->properties.name, c->properties.major,
             c->properties.minor, products, attention[0] ? " " : "", attention);
}

_Static_assert(sizeof(pawl_cuda_constants) <= PAWL_CUDA_CONSTANT_BYTES, "the plan counts all of them");
static pawl_status fill_constants(pawl_cuda *c)
{
    pawl_cuda_constants *here;
    PAWL_TRY(pawl_alloc((void **)&here, sizeof *here, "constants"));
    pawl_dynamic_fill(&here->signed_levels, 1);
    pawl_dynamic_fill(&here->levels, 0);
    pawl_status s = pawl_cuda_status(cudaMalloc((void **)&c->constants, PAWL_CUDA_CONSTANT_BYTES), "cudaMalloc");
    if (s == PAWL_OK) s = upload_cuda(&c->device, c->constants, here, sizeof *here);
    pawl_free(here);
    return s;
}

static pawl_status fill(pawl_cuda *c)
{
    PAWL_TRY(pawl_cuda_status(cudaSetDevice(c->gpu), "cudaSetDevice"));
    PAWL_TRY(pawl_cuda_status(cudaGetDeviceProperties(&c->properties, c->gpu), "cudaGetDeviceProperties"));
    PAWL_CHECK(c->properties.major >= 8, PAWL_EUSAGE, "GPU %d, %s, is of compute capability %d.%d: 8.0 (Ampere) or later is needed", c->gpu,
               c->properties.name, c->properties.major, c->properties.minor);
    PAWL_TRY(pawl_cuda_aside_open(c));
    PAWL_TRY(pawl_cuda_carry_open(c));
    PAWL_TRY(pawl_cuda_snapshot_open(c));
    PAWL_TRY(pawl_cuda_status(cudaMalloc(&c->workspace, PAWL_CUDA_WORKSPACE_BYTES), "cudaMalloc"));
    PAWL_TRY(pawl_plans_open(c->stream, c->workspace, PAWL_CUDA_WORKSPACE_BYTES, &c->plans));
    pawl_cuda_describe(c);
    PAWL_TRY(pawl_staging_open(&c->staging));
    return fill_constants(c);
}

static pawl_status open_gpu(int gpu, pawl_device **out)
{
    pawl_status status;
    pawl_cuda *c;
    PAWL_TRY(pawl_alloc((void **)&c, sizeof *c, "the CUDA backend"));
    *c = (pawl_cuda){.device = {&pawl_cuda_ops, NULL}, .gpu = gpu, .scratch = {.name = "scratch"}};
    PAWL_TRY_OUT(fill(c));
    *out = &c->device;
    return PAWL_OK;
out:
    close_cuda(&c->device);
    return status;
}

__attribute__((visibility("default"))) const pawl_cuda_exports PAWL_CUDA_PART = {.count = count_gpus, .open = open_gpu};
