#include "checkpoints/checkpoints.h"

#define PAWL_SECTION pawl_checkpoint_config
const pawl_field pawl_checkpoint_rows[] = {PAWL_CHECKPOINT_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T) PAWL_ROW_END};
