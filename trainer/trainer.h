/* trainer/trainer.h - the loop: steps, evaluation, metrics, saving, stopping. Takes built objects and its own section;
 * it never sees the whole configuration. */
#ifndef PAWL_TRAINER_TRAINER_H
#define PAWL_TRAINER_TRAINER_H

#include "checkpoints/checkpoints.h"
#include "comm/comm.h"
#include "core/fields.h"
#include "data/data.h"
#include "model/model.h"
#include "optim/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define PAWL_TRAIN_FIELDS(F, C, T)                                                                                             \
    T(output_dir,        NULL, 1024, FREE, "folder of the run: configuration, metrics, checkpoints")                           \
    F(i64, global_batch_size, NULL, 1, 1e6,  "rows",  FIXED, "rows of a step over all ranks; authoritative")                   \
    F(i64, micro_batch_size,  "1",  1, 1e6,  "rows",  FIXED, "rows computed at a time on a rank")                              \
    F(f64, num_epochs,        "1",  0, 1e6,  "epochs", FIXED, "passes over the rows of the mixture, when max_steps is 0")      \
    F(i64, max_steps,         "0",  0, 1e12, "steps", FIXED, "length of the run; 0: num_epochs decides")                       \
    F(i64, eval_steps,        "0",  0, 1e12, "steps", FREE,  "evaluate every so many steps; 0: before and after only")         \
    F(i64, logging_steps,     "1",  1, 1e9,  "steps", FREE,  "a plain line every so many steps, where stderr is no terminal")  \
    F(i64, seed,              "42", 0, 9007199254740991, "", FIXED, "of everything random")                                    \
    F(flag, bf16,             "false", 0, 1, "",      FIXED, "compute in bfloat16")                                            \
    F(i64, threads,           "0",  0, 1024, "",      FREE,  "threads of a rank; 0: its share of the cores it is bound to")
/* clang-format on */
typedef struct pawl_train_config { PAWL_TRAIN_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_train_config;
extern const pawl_field pawl_train_rows[];

#ifdef __cplusplus
}
#endif
#endif
