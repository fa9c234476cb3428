/* configs/configs.h - the whole run: the sections of all folders, read from YAML and the command line.
 *
 * Keys are flat at the top level, whatever folder's section they are in; a section is a heading in the manual. */
#ifndef PAWL_CONFIGS_CONFIGS_H
#define PAWL_CONFIGS_CONFIGS_H

#include "checkpoints/checkpoints.h"
#include "comm/comm.h"
#include "data/data.h"
#include "model/model.h"
#include "optim/optim.h"
#include "trainer/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pawl_run_config { /* plain bytes: broadcast and hashed whole */
    pawl_train_config train;
    pawl_model_section model;
    pawl_adapter_config adapter;
    pawl_data_config data;
    pawl_optim_config optim;
    pawl_comm_config comm;
    pawl_checkpoint_config checkpoint;
    pawl_continual_config continual;
} pawl_run_config;

typedef struct pawl_section {
    const char *title;
    const pawl_field *rows;
    size_t at; /* offset in pawl_run_config */
} pawl_section;
extern const pawl_section pawl_sections[]; /* ended by title NULL */

/* Reads a YAML file and then the overrides ("learning_rate=1e-4", "datasets.0.path=x"), with the same checks. Every error
 * of the file is appended to `errors` as a line "FILE:LINE:COL: error: SENTENCE" ("command line" stands for the file of an
 * override); *count of them. Aliases, anchors, tags, several documents, more than 1 MiB, more than 16 levels are refused.
 * Local. Errors: EUSAGE when *count > 0; EIO. */
PAWL_MUST pawl_status pawl_config_read(const char *path, char *const *overrides, int override_count, pawl_run_config *out,
                                       pawl_text *errors, int *count);
/* The whole run as JSON, every key (lineage), and as YAML that reads back to the same run. */
PAWL_MUST pawl_status pawl_config_json(const pawl_run_config *c, json_t **out);
PAWL_MUST pawl_status pawl_config_yaml(const pawl_run_config *c, pawl_text *out);
/* Reads what pawl_config_json wrote (a checkpoint's configuration). Errors: EDATA. */
PAWL_MUST pawl_status pawl_config_from_json(const json_t *json, const char *where, pawl_run_config *out);
/* Lines "key: before -> after" of the FIXED keys that differ; returns how many. */
int pawl_config_diff(const json_t *before, const json_t *after, int fixed_only, pawl_text *out);

/* Made from the rows: JSON Schema 2020-12; docs/configuration.md; the key list of --help. */
PAWL_MUST pawl_status pawl_config_schema(json_t **out);
PAWL_MUST pawl_status pawl_config_reference(pawl_text *out);
void pawl_config_help(pawl_text *out);

#ifdef __cplusplus
}
#endif
#endif
