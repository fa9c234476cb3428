/* Which device a rank computes on. */
#include <stdlib.h>

#include "core/log.h"
#include "core/text.h"
#include "launch/launch.h"

static const pawl_cuda_place installed = {.library = "libpawl_cuda.so", .driver = "libcuda.so.1"};
const pawl_cuda_place *pawl_cuda_in_use = &installed;

/* A rank's number on its machine, as launchers say it: Open MPI, MVAPICH, MPICH and Intel MPI, Cray's two, Flux, IBM's, Slurm. Slurm's last:
 * a script of its leaves one in the environment of whatever is started from it. */
static const char *const local_ranks[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID",
                                          "FLUX_TASK_LOCAL_ID", "JSM_NAMESPACE_LOCAL_RANK", "SLURM_LOCALID"};

/* MPI knows it where it sees others here. Where it sees this rank alone, either that is so, or each has a container of its own, which MPI
 * takes for a machine. */
int pawl_gpu_here(const pawl_comm *c, int gpus)
{
    int64_t local = c->local_rank;
    for (size_t i = 0; c->local_size == 1 && i < sizeof local_ranks / sizeof *local_ranks; i++) {
        const char *said = getenv(local_ranks[i]);
        int64_t number;
        if (!said || !pawl_parse_i64(said, &number) || number < 0) continue;
        local = number;
        break;
    }
    return (int)(local % gpus);
}

pawl_status pawl_open_device(const pawl_comm *c, pawl_device_choice choice, int threads, int trains, pawl_device **out)
{
    int gpus;
    if (choice == PAWL_DEVICE_CPU) return pawl_device_open_cpu(threads, "auto", out);
    const pawl_status found = pawl_cuda_count(pawl_cuda_in_use, &gpus);
    if (found == PAWL_OK) return pawl_device_open_cuda(pawl_cuda_in_use, pawl_gpu_here(c, gpus), out);
    if (choice == PAWL_DEVICE_CUDA)
        return PAWL_FAIL(found, "device: cuda, but %s", pawl_last_error()->what);
    const int is_told = trains || pawl_cuda_has_driver(pawl_cuda_in_use);
    pawl_log(is_told ? PAWL_LOG_INFO : PAWL_LOG_DEBUG, "device: auto: %s; computing on the CPU", pawl_last_error()->what);
    return pawl_device_open_cpu(threads, "auto", out);
}

pawl_status pawl_choose_attention(pawl_device *d, const pawl_train_config *train)
{
    if (!train->bf16 || train->attention == PAWL_ATTENTION_OWN) return PAWL_OK;
    const pawl_status s = pawl_device_attend_by_library(d);
    if (s != PAWL_EUSAGE) return s;
    if (train->attention == PAWL_ATTENTION_CUDNN) return PAWL_FAIL(s, "attention: cudnn, but %s", pawl_last_error()->what);
    pawl_log(PAWL_LOG_INFO, "attention: auto: %s; our own kernel computes it", pawl_last_error()->what);
    return PAWL_OK;
}
