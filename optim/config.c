#include "optim/optim.h"

const char *const pawl_optimizer_names[] = {"adamw", NULL};
const char *const pawl_schedule_names[] = {"constant", "linear", "cosine", NULL};

#define PAWL_SECTION pawl_optim_config
const pawl_field pawl_optim_rows[] = {PAWL_OPTIM_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T) PAWL_ROW_END};
