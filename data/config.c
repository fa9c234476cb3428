#include "data/data.h"

const char *const pawl_dataset_types[] = {"completion",        "text",         "alpaca",  "chat", "chat_template",
                                          "prompt_completion", "input_output", "choices", NULL};
const char *const pawl_train_on_names[] = {"turn", "all", "last", "none", NULL};

#define PAWL_SECTION pawl_message_fields
const pawl_field pawl_message_rows[] = {PAWL_MESSAGE_FIELDS(PAWL_ROW_T) PAWL_ROW_END};
#undef PAWL_SECTION

#define PAWL_SECTION pawl_role_names
const pawl_field pawl_role_rows[] = {PAWL_ROLE_FIELDS(PAWL_ROW_W) PAWL_ROW_END};
#undef PAWL_SECTION

const char *const pawl_excess_names[] = {
    [PAWL_EXCESS_DROP] = "drop",   [PAWL_EXCESS_TRUNCATE] = "truncate",
    [PAWL_EXCESS_RAISE] = "raise", [PAWL_EXCESS_SPLIT] = "split",
    [PAWL_EXCESS_SPLIT + 1] = NULL};

#define PAWL_SECTION pawl_dataset_config
const pawl_field pawl_dataset_rows[] = {PAWL_DATASET_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_W, PAWL_ROW_R)
                                            PAWL_ROW_END};
#undef PAWL_SECTION

#define PAWL_SECTION pawl_data_config
const pawl_field pawl_data_rows[] = {PAWL_DATA_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_L) PAWL_ROW_END};
#undef PAWL_SECTION
