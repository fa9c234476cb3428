/* Loads the shared object of the CUDA backend. The program is linked to nothing of CUDA: it runs where there is none. */
#include <dlfcn.h>
#include <string.h>

#include "ops/backend.h"
#include "ops/cuda/cudnn_cut.h"

#define QUOTED(name) #name
#define NAME_OF(macro) QUOTED(macro)

int64_t pawl_cuda_attention_most = (int64_t)1 << 30;

static const pawl_cuda_exports *loaded;
static const char *loaded_from;

int pawl_cuda_has_driver(const pawl_cuda_place *where)
{
    return !where->driver || dlopen(where->driver, RTLD_NOW | RTLD_LOCAL) != NULL;
}

/* The linker's own words name the file and what is wrong with it. */
static pawl_status load(const pawl_cuda_place *where)
{
    PAWL_CHECK(pawl_cuda_has_driver(where), PAWL_EUSAGE, "there is no NVIDIA driver (%s)", where->driver);
    void *part = dlopen(where->library, RTLD_NOW | RTLD_LOCAL);
    PAWL_CHECK(part, PAWL_EUSAGE, "the CUDA backend cannot be loaded: %s", dlerror());
    const pawl_cuda_exports *found = dlsym(part, NAME_OF(PAWL_CUDA_PART));
    PAWL_CHECK(found, PAWL_EUSAGE, "the CUDA backend in %s was not built with this program: install both from one build",
               where->library);
    loaded = found;
    loaded_from = where->library;
    return PAWL_OK;
}

static pawl_status part_of(const pawl_cuda_place *where, const pawl_cuda_exports **out)
{
    if (!loaded || strcmp(loaded_from, where->library) != 0) PAWL_TRY(load(where));
    *out = loaded;
    return PAWL_OK;
}

pawl_status pawl_cuda_count(const pawl_cuda_place *where, int *gpus)
{
    const pawl_cuda_exports *part;
    PAWL_TRY(part_of(where, &part));
    return part->count(gpus);
}

pawl_status pawl_device_open_cuda(const pawl_cuda_place *where, int gpu, pawl_device **out)
{
    const pawl_cuda_exports *part;
    int gpus;
    PAWL_TRY(part_of(where, &part));
    PAWL_TRY(part->count(&gpus));
    PAWL_CHECK(gpu >= 0 && gpu < gpus, PAWL_EUSAGE, "GPU %d is asked for, and this process sees %d", gpu, gpus);
    return part->open(gpu, out);
}
