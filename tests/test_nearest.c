/* Runs: cmocka */
/* What is advised to a run that does not fit, on a GPU that is described and two ranks that are not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/launch.h"

static const char yaml[] = "model:\n"
                           "  hidden_size: 1024\n"
                           "  intermediate_size: 4096\n"
                           "  num_hidden_layers: 4\n"
                           "  num_attention_heads: 8\n"
                           "  max_position_embeddings: 64\n"
                           "tokenizer: bytes\n"
                           "sequence_len: 64\n"
                           "global_batch_size: 2\n"
                           "micro_batch_size: 1\n"
                           "max_steps: 1\n"
                           "learning_rate: 1e-3\n"
                           "output_dir: not-there\n"
                           "activation_recompute: block\n"
                           "datasets:\n"
                           "  - path: not-there.jsonl\n";

static pawl_comm *alone, two = {.size = 2, .local_size = 1};
static pawl_opened run;
static pawl_text missing;

static int open_run(void **state)
{
    char path[] = "/tmp/pawl-nearest-XXXXXX";
    const int file = mkstemp(path);
    int stopped = 0;
    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, yaml, sizeof yaml - 1), sizeof yaml - 1);
    close(file);
    assert_int_equal(pawl_comm_open_alone(&alone), PAWL_OK);
    assert_int_equal(pawl_open_config(alone, path, NULL, 0, &run), PAWL_OK);
    assert_int_equal(pawl_device_open_planned(&run.device), PAWL_OK);
    assert_int_equal(pawl_open_plan(alone, &run, &missing, &stopped), PAWL_OK);
    unlink(path);
    run.parts.comm = &two;
    return 0;
}

static int close_run(void **state)
{
    (void)state;
    pawl_text_close(&missing);
    pawl_close_run(&run);
    pawl_comm_close(alone);
    return 0;
}

/* What the run would take with other settings. */
static pawl_plan with(int zero_stage, const char *optimizer, int offload)
{
    pawl_optim_config optim = *run.parts.optim;
    pawl_comm_config reduce = *run.parts.reduce;
    pawl_parts parts = run.parts;
    pawl_plan plan;
    char why[600];
    const pawl_field *row = pawl_optim_rows;
    while (strcmp(row->key, "optimizer") != 0) row++;
    assert_true(pawl_field_set(row, &optim, optimizer, why, sizeof why));
    optim.offload_optimizer = offload;
    reduce.zero_stage = zero_stage;
    parts.optim = &optim;
    parts.reduce = &reduce;
    assert_int_equal(pawl_plan_most(&parts, &plan), PAWL_OK);
    return plan;
}

static void nearest_is(double host, double device, const char *expected)
{
    char change[PAWL_NEAREST_ROOM];
    pawl_plan then;
    assert_int_equal(pawl_plan_nearest(&run.parts, &(pawl_budget){.host = host, .device = device}, change, &then), PAWL_OK);
    assert_string_equal(change, expected);
}

static void state_goes_where_there_is_room_for_it(void **state)
{
    const pawl_plan away = with(0, "adamw", 1), shared = with(3, "adamw_8bit", 0), both = with(3, "adamw_8bit", 1);
    const double activations = 16 << 20; /* room for them on the host, too: they are tried before */
    (void)state;
    assert_true(both.host.peak_bytes > shared.host.peak_bytes && both.device.peak_bytes < shared.device.peak_bytes);
    nearest_is((double)away.host.peak_bytes, (double)away.device.peak_bytes, "offload_optimizer=true");
    nearest_is((double)shared.host.peak_bytes, (double)shared.device.peak_bytes, "zero_stage=3 optimizer=adamw_8bit");
    nearest_is((double)both.host.peak_bytes + activations, (double)both.device.peak_bytes, "zero_stage=3 optimizer=adamw_8bit offload_optimizer=true");
    nearest_is((double)shared.host.peak_bytes, (double)both.device.peak_bytes, "");
}

static void where_no_key_helps_it_is_said_what_is_short(void **state)
{
    const pawl_plan plan = with(0, "adamw", 0);
    const double much = 1e15, little = 1;
    const struct { pawl_budget b; int on_device, on_machine; const char *said; } cases[] = {
        {{much, little}, 1, 8, "an adapter, or GPUs with more memory, or more of them with zero_stage"},
        {{0, little}, 0, 8, "an adapter, or GPUs with more memory, or more of them with zero_stage"},
        {{much, little}, 2, 2, "an adapter, or fewer ranks on a GPU"},
        {{little, much}, 1, 8, "an adapter, or fewer ranks on a machine"},
        {{little, much}, 1, 1, "an adapter, or a machine with more memory"},
        {{little, little}, 2, 8, "an adapter, or fewer ranks on a GPU, and fewer ranks on a machine"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[PAWL_NEAREST_ROOM];
        pawl_plan_no_key(&plan, &cases[i].b, cases[i].on_device, cases[i].on_machine, said);
        if (!strstr(said, cases[i].said) || strlen(strstr(said, cases[i].said)) != strlen(cases[i].said)) fail_msg("'%s' is not '%s'", said, cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_goes_where_there_is_room_for_it),
        cmocka_unit_test(where_no_key_helps_it_is_said_what_is_short),
    };
    return cmocka_run_group_tests_name("nearest", tests, open_run, close_run);
}
