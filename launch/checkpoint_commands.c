/* pawl show, log and verify: what is in a checkpoint, which there are, and whether they are whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/launch.h"

enum { JSON };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static void print_map(const char *title, const json_t *map)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-16s %-24s %s\n", title, key, text ? text : "");
        free(text);
    }
}

/* How many stages have an adapter of their own: the tensors of finished ones say which they are of. */
static int adapters_in(const json_t *tensors)
{
    const size_t n = sizeof PAWL_STACK_PREFIX - 1;
    size_t i;
    json_t *t;
    int most = 0;
    json_array_foreach((json_t *)(uintptr_t)tensors, i, t) {
        const char *name = text_of(t, "name");
        const int at = strncmp(name, PAWL_STACK_PREFIX, n) == 0 ? (int)strtol(name + n, NULL, 10) : 0;
        most = at > most ? at : most;
    }
    return most + 1;
}

/* What an adapter is and what it stands on. */
static void print_adapter(const json_t *lineage, const json_t *tensors)
{
    const json_t *a = json_object_get(lineage, "adapter");
    size_t i;
    json_t *name;
    if (!a) return;
    printf("%-16s %s, r %lld, alpha %g%s%s, on", "adapter", text_of(a, "peft_type"), (long long)json_integer_value(json_object_get(a, "r")),
           json_number_value(json_object_get(a, "lora_alpha")), json_is_true(json_object_get(a, "use_rslora")) ? ", rsLoRA" : "",
           json_is_true(json_object_get(a, "use_dora")) ? ", DoRA" : "");
    json_array_foreach(json_object_get(a, "target_modules"), i, name) printf(" %s", json_string_value(name));
    if (adapters_in(tensors) > 1) printf(", of %d stages, one on the other", adapters_in(tensors));
    printf("\n%-16s %s\n", "base", text_of(json_object_get(lineage, "base"), "path"));
}

static void print_checkpoint(const json_t *k)
{
    static const char *const texts[] = {"stage", "weights_sha256", "state_sha256", "memory_sha256", "root_sha256", "parent", "created",
                                        "pawl_version"};
    size_t i;
    json_t *item;
    printf("%-16s %lld\n", "step", (long long)json_integer_value(json_object_get(k, "step")));
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) printf("%-16s %s\n", texts[t], text_of(k, texts[t]));
    printf("%-16s %lld, %lld lanes\n", "ranks", (long long)json_integer_value(json_object_get(k, "ranks")),
           (long long)json_integer_value(json_object_get(k, "reduction_lanes")));
    print_map("tokens", json_object_get(k, "tokens"));
    print_adapter(json_object_get(k, "lineage"), json_object_get(k, "tensors"));
    json_array_foreach(json_object_get(k, "datasets"), i, item) {
        const char *licence = text_of(item, "license");
        printf("%-16s %-24s %s, licence %s\n", "dataset", text_of(item, "domain"), text_of(item, "path"),
               licence[0] ? licence : "not stated");
    }
    const json_t *evaluations = json_object_get(json_object_get(k, "lineage"), "evaluations");
    json_array_foreach(evaluations, i, item) {
        const char *domain;
        json_t *score;
        if (strcmp(text_of(item, "at"), "probe") == 0) continue; /* of a few rows each: pawl retention makes figures of them */
        const char *stage = text_of(item, "stage");
        json_object_foreach(json_object_get(item, "scores"), domain, score)
            printf("%-16s %-24s step %lld%s%s: loss %.4f\n", "evaluation", domain, (long long)json_integer_value(json_object_get(item, "step")),
                   stage[0] ? " of stage " : "", stage, json_number_value(json_object_get(score, "loss")));
    }
    printf("%-16s %zu\n", "tensors", json_array_size(json_object_get(k, "tensors")));
}

static pawl_status show(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    json_t *k;
    (void)c;
    (void)exit_status;
    PAWL_TRY(pawl_show(a->words[0], &k));
    if (a->option[JSON]) return pawl_print_json(k);
    print_checkpoint(k);
    json_decref(k);
    return PAWL_OK;
}

static pawl_status log_of(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    json_t *all, *k;
    size_t i;
    (void)c;
    (void)exit_status;
    PAWL_TRY(pawl_log_of(a->words[0], &all));
    if (a->option[JSON]) return pawl_print_json(all);
    printf("%10s  %-20s %5s  %-12s %-12s %-12s\n", "step", "created", "ranks", "root", "parent", "weights");
    json_array_foreach(all, i, k)
        printf("%10lld  %-20s %5lld  %-12.12s %-12.12s %-12.12s\n", (long long)json_integer_value(json_object_get(k, "step")),
               text_of(k, "created"), (long long)json_integer_value(json_object_get(k, "ranks")), text_of(k, "root_sha256"),
               text_of(k, "parent"), text_of(k, "weights_sha256"));
    json_decref(all);
    return PAWL_OK;
}

static pawl_status print_findings(const pawl_text *findings, int count)
{
    json_t *list = json_array();
    for (const char *at = findings->data, *end; at && *at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        json_array_append_new(list, json_stringn(at, end ? (size_t)(end - at) : strlen(at)));
        if (!end) break;
    }
    return pawl_print_json(json_pack("{s:b,s:o}", "whole", count == 0, "findings", list));
}

static pawl_status verify(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    pawl_text findings = {0};
    int count = 0;
    (void)c;
    pawl_status s = pawl_verify(a->words[0], &findings, &count);
    if (s == PAWL_OK && a->option[JSON]) s = print_findings(&findings, count);
    else if (s == PAWL_OK && count) fputs(findings.data, stdout);
    else if (s == PAWL_OK) printf("%s: whole\n", a->words[0]);
    if (s == PAWL_OK && count) *exit_status = PAWL_EDATA;
    pawl_text_close(&findings);
    return s;
}

const pawl_command pawl_command_show = {
    .name = "show",
    .usage = "CKPT|RUN_DIR [--json]",
    .summary = "what a checkpoint holds and what it was made of",
    .least = 1,
    .most = 1,
    .options = {{"--json", NULL, "one JSON document with every tensor and the lineage"}},
    .run = show,
};

const pawl_command pawl_command_log = {
    .name = "log",
    .usage = "RUN_DIR [--json]",
    .summary = "the checkpoints of a run, newest first, with their chain of digests",
    .least = 1,
    .most = 1,
    .options = {{"--json", NULL, "one JSON document"}},
    .run = log_of,
};

const pawl_command pawl_command_verify = {
    .name = "verify",
    .usage = "CKPT|RUN_DIR [--json]",
    .summary = "reads every byte and says what is damaged; exit status 20 if anything is",
    .least = 1,
    .most = 1,
    .options = {{"--json", NULL, "one JSON document"}},
    .run = verify,
};
