#include "comm/comm.h"

const char *const pawl_reduction_names[] = {"invariant", "fast", NULL};
const char *const pawl_transport_names[] = {"auto", "nccl", "host", NULL};

#define PAWL_SECTION pawl_comm_config
const pawl_field pawl_comm_rows[] = {PAWL_COMM_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T) PAWL_ROW_END};
