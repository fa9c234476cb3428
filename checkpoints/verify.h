/* checkpoints/verify.h - findings about a checkpoint. */
#ifndef PAWL_CHECKPOINTS_VERIFY_H
#define PAWL_CHECKPOINTS_VERIFY_H

#include "checkpoints/manifest.h"

enum { PAWL_FINDINGS_SHOWN = 1000 }; /* lines per run; the rest are counted */

typedef struct pawl_findings {
    pawl_text *text;
    int count;
} pawl_findings;

void pawl_findings_add(pawl_findings *f, const char *sentence);

/* Compares checkpoint.h5 with the manifest through HDF5, in a process of its own with limits on time and memory: HDF5
 * crashes on some damaged or malicious files, and that is then one more finding. */
PAWL_MUST pawl_status pawl_verify_h5(const pawl_checkpoint *k, pawl_findings *f);

/* The comparison itself, which that process runs: each finding is a line on fd. */
void pawl_compare_h5(const pawl_checkpoint *k, int fd);

#endif
