/* NCCL's own declarations beside ours (comm/nccl_abi.h): compiled where nccl.h is installed, and never run. */
#include <nccl.h>

#include "comm/nccl_abi.h"

_Static_assert(sizeof(ncclUniqueId) == sizeof(pawl_nccl_id), "ncclUniqueId");
_Static_assert((int)ncclSuccess == PAWL_NCCL_SUCCESS && (int)ncclInProgress == PAWL_NCCL_IN_PROGRESS, "ncclResult_t");
_Static_assert((int)ncclFloat32 == PAWL_NCCL_F32 && (int)ncclSum == PAWL_NCCL_SUM, "ncclDataType_t, ncclRedOp_t");
_Static_assert(sizeof(ncclResult_t) == sizeof(int) && sizeof(ncclDataType_t) == sizeof(int) && sizeof(ncclRedOp_t) == sizeof(int), "enums");
_Static_assert(offsetof(ncclConfig_t, size) == offsetof(pawl_nccl_config, size) && offsetof(ncclConfig_t, magic) == offsetof(pawl_nccl_config, magic) &&
                   offsetof(ncclConfig_t, version) == offsetof(pawl_nccl_config, version) &&
                   offsetof(ncclConfig_t, blocking) == offsetof(pawl_nccl_config, blocking) &&
                   offsetof(ncclConfig_t, cgaClusterSize) == offsetof(pawl_nccl_config, cga_cluster_size),
               "ncclConfig_t");
_Static_assert(NCCL_WIN_COLL_SYMMETRIC == PAWL_NCCL_SYMMETRIC && sizeof(ncclWindow_t) == sizeof(pawl_nccl_window), "windows");
_Static_assert(NCCL_CONFIG_UNDEF_INT == PAWL_NCCL_UNDEFINED, "NCCL_CONFIG_UNDEF_INT");

int pawl_nccl_more_calls(ncclComm_t *c, void **block, ncclWindow_t *window);
int pawl_nccl_more_calls(ncclComm_t *c, void **block, ncclWindow_t *window)
{
    void *registered;
    return ncclMemAlloc(block, 1) + ncclCommRegister(*c, *block, 1, &registered) + ncclCommDeregister(*c, registered) +
           ncclCommWindowRegister(*c, *block, 1, window, NCCL_WIN_COLL_SYMMETRIC) + ncclCommWindowDeregister(*c, *window) + ncclMemFree(*block);
}

/* Each call with its real parameters: one that has changed does not compile. */
int pawl_nccl_calls(ncclComm_t *c, ncclUniqueId *id, ncclConfig_t *config, float *data, cudaStream_t s);
int pawl_nccl_calls(ncclComm_t *c, ncclUniqueId *id, ncclConfig_t *config, float *data, cudaStream_t s)
{
    int version;
    ncclResult_t state;
    return ncclGetVersion(&version) + ncclGetUniqueId(id) + ncclCommInitRankConfig(c, 2, *id, 0, config) + ncclCommGetAsyncError(*c, &state) +
           ncclCommAbort(*c) + (ncclGetErrorString(state) != NULL) + (ncclGetLastError(*c) != NULL) + ncclGroupStart() + ncclGroupEnd() +
           ncclSend(data, 1, ncclFloat32, 1, *c, s) + ncclRecv(data, 1, ncclFloat32, 1, *c, s) + ncclAllReduce(data, data, 1, ncclFloat32, ncclSum, *c, s);
}
