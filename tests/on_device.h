/* tests/on_device.h - what a test program or a benchmark computes on (decision 0048), from the environment:
 *   PAWL_TEST_DEVICE   cpu (when it is not set), or cuda: the GPU of this rank
 *   PAWL_CUDA_PART     the file of the CUDA backend; not set: libpawl_cuda.so, as pawl looks for it */
#ifndef PAWL_TESTS_ON_DEVICE_H
#define PAWL_TESTS_ON_DEVICE_H

#include <stdlib.h>
#include <string.h>

#include "launch/launch.h"

static inline int tests_are_on_cuda(void)
{
    const char *device = getenv("PAWL_TEST_DEVICE");
    return device && strcmp(device, "cuda") == 0;
}

/* threads: of a CPU. Errors: EUSAGE for another word, and as pawl_device_open_cpu and pawl_device_open_cuda. */
static inline pawl_status open_tested_device(int threads, pawl_device **out)
{
    const char *device = getenv("PAWL_TEST_DEVICE"), *part = getenv("PAWL_CUDA_PART");
    const pawl_cuda_place place = {.library = part ? part : "libpawl_cuda.so", .driver = part ? NULL : "libcuda.so.1"};
    const pawl_comm alone = {.size = 1, .local_size = 1};
    int gpus;
    PAWL_CHECK(!device || tests_are_on_cuda() || strcmp(device, "cpu") == 0, PAWL_EUSAGE, "PAWL_TEST_DEVICE: expected cpu or cuda, found '%s'", device);
    if (!tests_are_on_cuda()) return pawl_device_open_cpu(threads, "auto", out);
    PAWL_TRY(pawl_cuda_count(&place, &gpus));
    PAWL_TRY(pawl_device_open_cuda(&place, pawl_gpu_here(&alone, gpus), out));
    return pawl_choose_attention(*out, &(pawl_train_config){.bf16 = 1});
}

#endif
