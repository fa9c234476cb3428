/* pawl, where the CUDA backend is the one on stand-ins for NVIDIA's libraries (tests/cuda_on_cpu): for tests of the whole CUDA path
 * without a GPU. */
#include "comm/nccl.h"
#include "launch/launch.h"

int main(int argc, char **argv)
{
    static const pawl_cuda_place standin = {.library = PAWL_STANDIN};
    pawl_cuda_in_use = &standin;
    pawl_nccl_library = standin.library;
    return pawl_main(argc, argv);
}
