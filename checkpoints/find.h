/* checkpoints/find.h - which checkpoint a path stands for. */
#ifndef PAWL_CHECKPOINTS_FIND_H
#define PAWL_CHECKPOINTS_FIND_H

#include "checkpoints/folder.h"

/* output_dir/checkpoints into out. */
PAWL_MUST pawl_status pawl_find_folder(const char *output_dir, char *out, size_t room);
/* 1 when path is a run's output directory (it holds `checkpoints`). */
int pawl_find_is_run(const char *path);

#endif
