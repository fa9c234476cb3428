/* comm/nccl_abi.h - private to comm/: the part of NCCL's binary interface that pawl calls. NCCL is loaded when the program runs
 * (nccl.c), so it is not needed to build; tests/nccl_abi.c compares these declarations with nccl.h where that is installed. */
#ifndef PAWL_COMM_NCCL_ABI_H
#define PAWL_COMM_NCCL_ABI_H

#include <limits.h>
#include <stddef.h>

typedef struct ncclComm *pawl_nccl_comm;
typedef struct pawl_nccl_id {
    char bytes[128];
} pawl_nccl_id;

typedef struct ncclWindow_vidmem *pawl_nccl_window;

enum { PAWL_NCCL_WINDOWS_SINCE = 22700, PAWL_NCCL_SYMMETRIC = 1 };
enum { PAWL_NCCL_SUCCESS = 0, PAWL_NCCL_IN_PROGRESS = 7, PAWL_NCCL_F32 = 7, PAWL_NCCL_SUM = 0 };

/* ncclConfig_t as far as version 2.17 has it in its first words; NCCL reads `size` bytes and fills in the rest. */
typedef struct pawl_nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking, cga_cluster_size;
} pawl_nccl_config;
enum { PAWL_NCCL_CONFIG_VERSION = 21703, PAWL_NCCL_UNDEFINED = INT_MIN };
#define PAWL_NCCL_MAGIC 0xcafebeefu

/* name, parameters; all return a result but those that return text */
#define PAWL_NCCL_CALLS(X)                                                                                            \
    X(GetVersion, int, (int *version))                                                                                \
    X(GetUniqueId, int, (pawl_nccl_id *out))                                                                          \
    X(CommInitRankConfig, int, (pawl_nccl_comm *out, int ranks, pawl_nccl_id id, int rank, pawl_nccl_config *config)) \
    X(CommGetAsyncError, int, (pawl_nccl_comm c, int *error))                                                         \
    X(CommAbort, int, (pawl_nccl_comm c))                                                                             \
    X(GetErrorString, const char *, (int result))                                                                     \
    X(GetLastError, const char *, (pawl_nccl_comm c))                                                                 \
    X(GroupStart, int, (void))                                                                                        \
    X(GroupEnd, int, (void))                                                                                          \
    X(Send, int, (const void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream))                \
    X(Recv, int, (void *data, size_t count, int type, int peer, pawl_nccl_comm c, void *stream))                      \
    X(AllReduce, int, (const void *from, void *to, size_t count, int type, int op, pawl_nccl_comm c, void *stream))

/* What older ones may lack: memory of NCCL's own since 2.19, windows since 2.27. */
#define PAWL_NCCL_MORE_CALLS(X)                                                                             \
    X(MemAlloc, int, (void **out, size_t bytes))                                                            \
    X(MemFree, int, (void *block))                                                                          \
    X(CommRegister, int, (pawl_nccl_comm c, void *block, size_t bytes, void **out))                         \
    X(CommDeregister, int, (pawl_nccl_comm c, void *registered))                                            \
    X(CommWindowRegister, int, (pawl_nccl_comm c, void *block, size_t bytes, pawl_nccl_window *out, int how)) \
    X(CommWindowDeregister, int, (pawl_nccl_comm c, pawl_nccl_window window))

#endif
