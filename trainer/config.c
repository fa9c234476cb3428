#include "trainer/trainer.h"

const char *const pawl_device_names[] = {"auto", "cpu", "cuda", NULL};
const char *const pawl_attention_names[] = {"auto", "cudnn", "own", NULL};

#define PAWL_SECTION pawl_train_config
const pawl_field pawl_train_rows[] = {PAWL_TRAIN_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_A) PAWL_ROW_END};
