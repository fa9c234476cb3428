/* cuDNN's own declarations beside ours (ops/cuda/cudnn_abi.h): compiled where cudnn.h is installed, and never run. */
#include <cudnn.h>

#include "ops/cuda/cudnn_abi.h"

#define SAME(name, value) _Static_assert((int)CUDNN_##name == PAWL_CUDNN_##name, #name);
PAWL_CUDNN_NAMES(SAME)
_Static_assert((int)CUDNN_STATUS_SUCCESS == PAWL_CUDNN_SUCCESS && (int)CUDNN_STATUS_NOT_SUPPORTED == PAWL_CUDNN_NOT_SUPPORTED &&
                   (int)CUDNN_STATUS_INTERNAL_ERROR == PAWL_CUDNN_INTERNAL,
               "cudnnStatus_t");
_Static_assert(sizeof(cudnnStatus_t) == sizeof(int) && sizeof(cudnnDataType_t) == sizeof(int) && sizeof(cudnnPointwiseMode_t) == sizeof(int) &&
                   sizeof(cudnnReduceTensorOp_t) == sizeof(int) && sizeof(cudnnBackendHeurMode_t) == sizeof(int) &&
                   sizeof(cudnnBackendNumericalNote_t) == sizeof(int) && sizeof(cudnnBackendDescriptor_t) == sizeof(pawl_cudnn_descriptor),
               "types of attributes");

/* Each call with its real parameters: one that has changed does not compile. */
int pawl_cudnn_calls(cudnnHandle_t *h, cudnnBackendDescriptor_t *d, cudaStream_t s, char *text, int64_t *count);
int pawl_cudnn_calls(cudnnHandle_t *h, cudnnBackendDescriptor_t *d, cudaStream_t s, char *text, int64_t *count)
{
    cudnnGetLastErrorString(text, cudnnGetVersion());
    return (cudnnGetErrorString(CUDNN_STATUS_SUCCESS) != NULL) + (int)cudnnCreate(h) + (int)cudnnDestroy(*h) + (int)cudnnSetStream(*h, s) +
           (int)cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, d) + (int)cudnnBackendDestroyDescriptor(*d) +
           (int)cudnnBackendFinalize(*d) + (int)cudnnBackendSetAttribute(*d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, count) +
           (int)cudnnBackendGetAttribute(*d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, count, count) + (int)cudnnBackendExecute(*h, d[0], d[1]);
}
