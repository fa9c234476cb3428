#include "optim/optim.h"

const char *const pawl_optimizer_names[] = {"adamw", "adamw_8bit", "sgd", "lion", "adafactor", "muon", NULL};
const char *const pawl_schedule_names[] = {"constant",
                                           "linear",
                                           "cosine",
                                           "cosine_with_restarts",
                                           "polynomial",
                                           "inverse_sqrt",
                                           "warmup_stable_decay",
                                           "constant_with_warmup",
                                           "infinite",
                                           NULL};
const char *const pawl_decay_names[] = {"linear", "cosine", "1-sqrt", NULL};
const char *const pawl_moments_names[] = {"float32", "bfloat16", NULL};
const char *const pawl_muon_adjust_names[] = {"original", "match_rms_adamw", NULL};

#define PAWL_SECTION pawl_optim_config
const pawl_field pawl_optim_rows[] = {PAWL_OPTIM_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T) PAWL_ROW_END};
