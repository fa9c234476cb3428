/* A device that takes what the CUDA backend takes, for plans where there is no GPU. It is asked for shapes alone; its other entries are
 * missing, and nothing is to call them. */
#include "ops/backend.h"
#include "ops/cuda/scratch.h"

typedef struct planned {
    pawl_device device; /* first */
    int by_library;     /* attention is cuDNN's */
} planned;

static void close_planned(pawl_device *d)
{
    pawl_free(d);
}

static size_t scratch_bytes_planned(const pawl_device *d, const pawl_shapes *most)
{
    return pawl_cuda_scratch_bytes(most, ((const planned *)d)->by_library);
}

static pawl_status attend_by_library_planned(pawl_device *d)
{
    ((planned *)d)->by_library = 1;
    return PAWL_OK;
}

static int threads_planned(const pawl_device *d)
{
    (void)d;
    return 1;
}

static pawl_device_own own_planned(const pawl_device *d)
{
    (void)d;
    return pawl_cuda_own();
}

pawl_status pawl_device_open_planned(pawl_device **out)
{
    static const pawl_aside aside;
    static const pawl_ops ops = {
        .name = "planned", .aside = &aside, .close = close_planned, .attend_by_library = attend_by_library_planned, .scratch_bytes = scratch_bytes_planned, .threads = threads_planned, .own = own_planned};
    PAWL_TRY(pawl_alloc((void **)out, sizeof(planned), "a planned device"));
    **out = (pawl_device){.ops = &ops};
    return PAWL_OK;
}
