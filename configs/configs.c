#include "configs/configs.h"

#include <stdio.h>
#include <string.h>

#include "configs/fill.h"
#include "configs/tree.h"
#include "core/arena.h"
#include "core/file.h"

const pawl_section pawl_sections[] = {
    {"Model", pawl_model_section_rows, offsetof(pawl_run_config, model)},
    {"Adapter", pawl_adapter_rows, offsetof(pawl_run_config, adapter)},
    {"Data", pawl_data_rows, offsetof(pawl_run_config, data)},
    {"Training", pawl_train_rows, offsetof(pawl_run_config, train)},
    {"Optimizer", pawl_optim_rows, offsetof(pawl_run_config, optim)},
    {"Ranks and sums", pawl_comm_rows, offsetof(pawl_run_config, comm)},
    {"Checkpoints", pawl_checkpoint_rows, offsetof(pawl_run_config, checkpoint)},
    {"Continual learning", pawl_continual_rows, offsetof(pawl_run_config, continual)},
    {NULL, NULL, 0},
};

enum { FILE_MAX = 1 << 20 };

/* ---- From YAML ---- */

/* The keys of the file; an empty set of them after an error that ended the reading (*root is NULL then). */
static pawl_status read_file(pawl_tree *t, const char *path, pawl_problems *problems, pawl_node **root)
{
    const pawl_place head = {path, 1, 1};
    char *text;
    size_t bytes;
    int64_t size;
    *root = NULL;
    PAWL_CHECK(pawl_path_exists(path), PAWL_EUSAGE, "there is no file %s: expected the configuration of a run", path);
    PAWL_CHECK(!pawl_path_is_dir(path), PAWL_EUSAGE, "%s is a folder: expected a file, the configuration of a run", path);
    PAWL_TRY(pawl_file_size(path, &size));
    if (size > FILE_MAX) {
        pawl_problem_add(problems, head, "the file has %lld bytes: expected a configuration of at most %d", (long long)size, FILE_MAX);
        return PAWL_OK;
    }
    PAWL_TRY(pawl_file_read(path, FILE_MAX, &text, &bytes));
    pawl_status status = pawl_yaml_tree(t, text, bytes, head, "", problems, root);
    pawl_free(text);
    return status;
}

/* Whether root holds keys; says what was found instead. */
static int is_run(const pawl_node *root, pawl_problems *problems)
{
    char found[80];
    if (root->kind == PAWL_NODE_KEYS) return !root->refused;
    if (root->refused) return 0;
    pawl_node_describe(root, found, sizeof found);
    if (pawl_node_is_null(root)) snprintf(found, sizeof found, "an empty file");
    pawl_problem_add(problems, root->at, "expected the keys of a run ('output_dir: ...'), found %s", found);
    return 0;
}

static pawl_status read_run(pawl_tree *t, const char *path, char *const *overrides, int override_count, pawl_run_config *out,
                            pawl_problems *problems)
{
    pawl_node *root;
    PAWL_TRY(read_file(t, path, problems, &root));
    if (!root || !is_run(root, problems)) return PAWL_OK;
    root->at = (pawl_place){path, 1, 1};
    for (int i = 0; i < override_count; i++) PAWL_TRY(pawl_override(t, root, overrides[i], problems));
    pawl_fill_run(root, out, problems);
    pawl_check_run(root, out, problems);
    return PAWL_OK;
}

pawl_status pawl_config_read(const char *path, char *const *overrides, int override_count, pawl_run_config *out,
                             pawl_text *errors, int *count)
{
    pawl_tree tree = {0};
    pawl_problems problems = {0};
    *count = 0;
    memset(out, 0, sizeof *out); /* paddings too: it is hashed whole */
    PAWL_TRY(pawl_problems_open(&problems));
    pawl_status status = read_run(&tree, path, overrides, override_count, out, &problems);
    if (status == PAWL_OK && problems.count > 0) {
        pawl_problems_write(&problems, errors);
        *count = problems.count;
        status = PAWL_FAIL(PAWL_EUSAGE, "%s: %d error%s in the configuration", path, problems.count, problems.count == 1 ? "" : "s");
    }
    pawl_tree_close(&tree);
    pawl_problems_close(&problems);
    return status;
}

/* ---- JSON ---- */

pawl_status pawl_config_json(const pawl_run_config *c, json_t **out)
{
    json_t *all = json_object();
    pawl_status status = PAWL_OK;
    for (const pawl_section *s = pawl_sections; s->title; s++) {
        json_t *part;
        PAWL_TRY_OUT(pawl_fields_json(s->rows, (const char *)c + s->at, &part));
        const int failed = json_object_update(all, part);
        json_decref(part);
        if (failed) PAWL_TRY_OUT(PAWL_FAIL(PAWL_EMEM, "no memory for JSON"));
    }
    *out = all;
    return PAWL_OK;
out:
    json_decref(all);
    return status;
}

static pawl_status fill_from_json(pawl_tree *t, const json_t *json, const char *where, pawl_run_config *out, pawl_problems *problems)
{
    const pawl_place at = {.file = where};
    pawl_node *root;
    PAWL_CHECK(json_is_object(json), PAWL_EDATA, "%s: expected a configuration as an object", where);
    PAWL_TRY(pawl_json_tree(t, json, at, &root));
    pawl_fill_run(root, out, problems);
    PAWL_CHECK(problems->count == 0, PAWL_EDATA, "%s: %s", where, problems->items[0].sentence);
    return PAWL_OK;
}

pawl_status pawl_config_from_json(const json_t *json, const char *where, pawl_run_config *out)
{
    pawl_tree tree = {0};
    pawl_problems problems = {0};
    memset(out, 0, sizeof *out);
    PAWL_TRY(pawl_problems_open(&problems));
    pawl_status status = fill_from_json(&tree, json, where, out, &problems);
    pawl_tree_close(&tree);
    pawl_problems_close(&problems);
    return status;
}

int pawl_config_diff(const json_t *before, const json_t *after, int fixed_only, pawl_text *out)
{
    int count = 0;
    for (const pawl_section *s = pawl_sections; s->title; s++) count += pawl_fields_diff(s->rows, "", before, after, fixed_only, out);
    return count;
}
