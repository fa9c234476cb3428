/* Devices that a plan can be made for, one a rank. Where the figures come from: docs/decisions/0028-plans.md. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "launch/launch.h"

#define GIB ((double)(1 << 30))
#define TFLOPS 1e12

/* Memory: what a process finds free on the device. Peaks: dense, without sparsity; fp32 outside of tensor cores. */
static const pawl_preset presets[] = {
    {.name = "cpu", .share = 0.75},
    {.name = "cuda", .share = 0.5, .ranks_a_machine = 8, .gpu = 1}, /* the one here; or any, of which the memory is said */
    {.name = "h200", .memory = 139 * GIB, .bf16 = 989 * TFLOPS, .fp32 = 67 * TFLOPS, .share = 0.5, .ranks_a_machine = 8, .gpu = 1},
    {.name = "h100", .memory = 78 * GIB, .bf16 = 989 * TFLOPS, .fp32 = 67 * TFLOPS, .share = 0.5, .ranks_a_machine = 8, .gpu = 1},
    {.name = "a100", .memory = 78 * GIB, .bf16 = 312 * TFLOPS, .fp32 = 19.5 * TFLOPS, .share = 0.5, .ranks_a_machine = 8, .gpu = 1, .no_fp8 = 1},
    {.name = "a100-40", .memory = 39 * GIB, .bf16 = 312 * TFLOPS, .fp32 = 19.5 * TFLOPS, .share = 0.5, .ranks_a_machine = 8, .gpu = 1, .no_fp8 = 1},
};
enum { PRESETS = sizeof presets / sizeof *presets };

pawl_status pawl_preset_find(const char *name, const pawl_preset **out)
{
    char known[128] = "";
    for (int i = 0; i < PRESETS; i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", presets[i].name);
        if (strcasecmp(presets[i].name, name) == 0) {
            *out = &presets[i];
            return PAWL_OK;
        }
    }
    return PAWL_FAIL(PAWL_EUSAGE, "there is no device '%.40s': plans are made for %s", name, known);
}
