/* Runs: cmocka
 * configs/configs.h: what is wrong with a run is said with its place, all of it at once; what is right reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "configs/configs.h"
#include "core/arena.h"
#include "core/file.h"

enum { LINES_MAX = 8, OVERRIDES_MAX = 4 };

static pawl_run_config run, again; /* too large for the stack */

/* ---- A file to read ---- */

static void write_file(const char *path, const char *text, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static pawl_status read_bytes(const char *text, size_t bytes, pawl_text *errors, int *count)
{
    write_file("run.yaml", text, bytes);
    return pawl_config_read("run.yaml", NULL, 0, &run, errors, count);
}

#define GOOD                  \
    "output_dir: out\n"       \
    "base_model: base\n"      \
    "datasets:\n"             \
    "  - path: a.jsonl\n"     \
    "global_batch_size: 8\n"  \
    "learning_rate: 1e-4\n"   \
    /* the next line is 7 */

#define SCRATCH               \
    "output_dir: out\n"       \
    "tokenizer: bytes\n"      \
    "datasets:\n"             \
    "  - path: a.jsonl\n"     \
    "global_batch_size: 8\n"  \
    "learning_rate: 1e-4\n"   \
    "model:\n"                \
    "  hidden_size: 64\n"     \
    "  intermediate_size: 128\n" \
    "  num_hidden_layers: 2\n"   \
    "  num_attention_heads: 4\n" \
    /* the next line is 12 */

/* ---- Broken files: every line of the answer, word for word ---- */

#define FLAG "expected true or false, found "

static const struct broken {
    const char *yaml;
    const char *lines[LINES_MAX]; /* after "run.yaml:" */
} broken[] = {
    /* keys */
    {GOOD "sequnce_len: 512\n", {"7:1: error: unknown key 'sequnce_len'; did you mean 'sequence_len'?"}},
    {GOOD "zzzzzzzz: 1\n", {"7:1: error: unknown key 'zzzzzzzz'; `pawl config reference` lists all keys"}},
    {GOOD "Seed: 1\n", {"7:1: error: unknown key 'Seed'; did you mean 'seed'?"}},
    {GOOD "gradient_accumulation_steps: 4\n",
     {"7:1: error: unknown key 'gradient_accumulation_steps'; did you mean 'global_batch_size'? "
      "(it is the rows of a step over all ranks, however they are computed)"}},
    {GOOD "num_train_epochs: 3\n", {"7:1: error: unknown key 'num_train_epochs'; did you mean 'num_epochs'?"}},
    {GOOD "template: chatml\n", {"7:1: error: unknown key 'template'; did you mean 'chat_template'?"}},
    {GOOD "model_type: LlamaForCausalLM\n",
     {"7:1: error: unknown key 'model_type': base_model's config.json says it; of a model from nothing it is a key of 'model'"}},
    {GOOD "optimizer: adamw_torch\n",
     {"7:12: error: optimizer: expected one of adamw, adamw_8bit, sgd, lion, adafactor, muon, found 'adamw_torch' (it is adamw here)"}},
    {GOOD "bf16: auto\n", {"7:7: error: bf16: expected true or false, found 'auto' (true computes in bfloat16 with float32 weights, false in float32)"}},
    {"output_dir: out\nbase_model: b\ndatasets:\n  - {path: a, ds_type: json, type: sharegpt}\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"4:15: error: datasets.0: unknown key 'ds_type': the ending of a file says how it is read",
      "4:36: error: datasets.0.type: expected one of completion, text, alpaca, chat, chat_template, prompt_completion, input_output, choices, "
      "found 'sharegpt' (chat takes conversations with from and value)"}},
    {GOOD "fp16: true\n",
     {"7:1: error: unknown key 'fp16'; did you mean 'bf16'? (16 bits are bfloat16 here, with float32 weights)"}},
    {GOOD "hidden_size: 64\n", {"7:1: error: unknown key 'hidden_size': it is a key of 'model'; is it indented too little?"}},
    {SCRATCH "  seed: 1\n", {"12:3: error: model: unknown key 'seed': it is a key of the top level; is it indented too far?"}},
    {SCRATCH "  had_dim: 1\n", {"12:3: error: model: unknown key 'had_dim'; did you mean 'head_dim'?"}},
    {SCRATCH "  rope_scaling:\n    rope_typ: llama3\n",
     {"13:5: error: model.rope_scaling: unknown key 'rope_typ'; did you mean 'rope_type'?"}},
    {"output_dir: out\nbase_model: b\ndatasets:\n  - {path: a, licence: MIT}\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"4:15: error: datasets.0: unknown key 'licence'; did you mean 'license'?"}},
    {GOOD "\"a\\nb\\x07\": 1\n", {"7:1: error: unknown key 'a?b?'; `pawl config reference` lists all keys"}},
    {GOOD "<<: {seed: 1}\n", {"7:1: error: unknown key '<<'; `pawl config reference` lists all keys"}},
    {GOOD "\xc3\xbc" "23456789_123456789_123456789_123456789_123456789_12345678\xc3\xbc_: 1\n",
     {"7:1: error: unknown key '\xc3\xbc" "23456789_123456789_123456789_123456789_123456789_12345678?'; `pawl config reference` lists all keys"}},
    {GOOD "seed: 1\nseed: 2\n", {"8:1: error: 'seed' is given twice (first in line 7): leave one of them out"}},
    {"output_dir: out\nbase_model: b\ndatasets:\n  - path: a\n    path: b\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"5:5: error: 'path' is given twice (first in line 4): leave one of them out"}},
    /* what is missing */
    {"base_model: b\ndatasets:\n  - path: a\nlearning_rate: 1e-4\n",
     {"1:1: error: missing key 'output_dir' (folder of the run: configuration, metrics, checkpoints): expected a text of at most 1023 bytes",
      "1:1: error: missing key 'global_batch_size' (rows of a step over all ranks; authoritative): "
      "expected a whole number in [1, 1000000] rows"}},
    {"output_dir: out\nbase_model: b\ndatasets:\n  - weight: 2\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"4:5: error: datasets.0: missing key 'path' (a .jsonl, .json or text file, each also as .gz; a folder of them, or a pattern like data/**/*.jsonl): expected a text of at most 1023 bytes"}},
    {"output_dir: out\ntokenizer: bytes\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\n"
     "model:\n  hidden_size: 64\n  num_hidden_layers: 2\n  num_attention_heads: 4\n",
     {"7:1: error: model: missing key 'intermediate_size' (width of the feed-forward layer): expected a whole number in [1, 1e7]"}},
    {"", {"1:1: error: expected the keys of a run ('output_dir: ...'), found an empty file"}},
    {"# only a comment\n", {"1:1: error: expected the keys of a run ('output_dir: ...'), found an empty file"}},
    {"---\n", {"2:1: error: expected the keys of a run ('output_dir: ...'), found an empty file"}},
    /* wrong types */
    {GOOD "micro_batch_size: two\n",
     {"7:19: error: micro_batch_size: expected a whole number in [1, 1000000] rows, or auto, found 'two'"}},
    {GOOD "max_steps: 1.5\n", {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '1.5'"}},
    {GOOD "max_steps: \"5\"\n", {"7:12: error: max_steps: found '5' in quotes, which make it a text: leave them out"}},
    {GOOD "max_steps: 0x10\n", {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '0x10'"}},
    {GOOD "max_steps: 010\n",
     {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '010' (leave out the leading zero)"}},
    {GOOD "max_steps: 1:30\n", {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '1:30'"}},
    {GOOD "weight_decay: .inf\n", {"7:15: error: weight_decay: expected a number in [0, 10], found '.inf'"}},
    {GOOD "weight_decay: nan\n", {"7:15: error: weight_decay: expected a number in [0, 10], found 'nan'"}},
    {GOOD "weight_decay: 1,5\n", {"7:15: error: weight_decay: expected a number in [0, 10], found '1,5'"}},
    {GOOD "sample_packing: yes\n", {"7:17: error: sample_packing: " FLAG "'yes' (write true)"}},
    {GOOD "sample_packing: off\n", {"7:17: error: sample_packing: " FLAG "'off' (write false)"}},
    {GOOD "sample_packing: True\n", {"7:17: error: sample_packing: " FLAG "'True' (write true)"}},
    {GOOD "sample_packing: 1\n", {"7:17: error: sample_packing: " FLAG "'1' (write true)"}},
    {GOOD "sample_packing: n\n", {"7:17: error: sample_packing: " FLAG "'n'"}},
    {GOOD "sample_packing: 'true'\n", {"7:17: error: sample_packing: found 'true' in quotes, which make it a text: leave them out"}},
    {GOOD "lr_scheduler: cosin\n",
     {"7:15: error: lr_scheduler: expected one of constant, linear, cosine, cosine_with_restarts, polynomial, inverse_sqrt, "
      "warmup_stable_decay, constant_with_warmup, infinite, found 'cosin'; did you mean 'cosine'?"}},
    {GOOD "optimizer: lamb\n", {"7:12: error: optimizer: expected one of adamw, adamw_8bit, sgd, lion, adafactor, muon, found 'lamb'"}},
    {GOOD "seed:\n", {"7:6: error: seed: expected a whole number in [0, 9007199254740991], found nothing; leave the key out for its default"}},
    {GOOD "seed: null\n", {"7:7: error: seed: expected a whole number in [0, 9007199254740991], found null; leave the key out for its default"}},
    {GOOD "tokenizer:\n", {"7:11: error: tokenizer: expected a text of at most 1023 bytes, found nothing; leave the key out for its default"}},
    {GOOD "tokenizer: \"a\\nb\"\n",
     {"7:12: error: tokenizer: expected a text of at most 1023 bytes, found 'a?b' (it has a line break, a control character or a mark "
      "of writing direction)"}},
    {GOOD "tokenizer: \"a\\u202Eb\"\n",
     {"7:12: error: tokenizer: expected a text of at most 1023 bytes, found 'a???b' (it has a line break, a control character or a mark "
      "of writing direction)"}},
    {GOOD "stages: [{name: \"\\u2066x\", datasets: [{path: a}]}]\n",
     {"7:17: error: stages.0.name: expected a text of at most 63 bytes, found '???x' (it has a line break, a control character or a mark of "
      "writing direction)"}},
    {GOOD "tokenizer: \"a\\0b\"\n", {"7:12: error: a text cannot contain the character \\0"}},
    {"output_dir: ''\nbase_model: b\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"1:13: error: output_dir: expected a text of at most 1023 bytes, found ''"}},
    /* out of range */
    {GOOD "warmup_ratio: 3\n", {"7:15: error: warmup_ratio: expected a number in [0, 1], found '3'"}},
    {GOOD "max_steps: -1\n", {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '-1'"}},
    {GOOD "max_steps: 99999999999999999999\n",
     {"7:12: error: max_steps: expected a whole number in [0, 1e12] steps, found '99999999999999999999'"}},
    {GOOD "warmup_ratio: 1e999\n", {"7:15: error: warmup_ratio: expected a number in [0, 1], found '1e999'"}},
    {GOOD "test_datasets:\n  - path: " "a23456789_123456789_123456789_123456789_123456789_123456789_" "\n    domain: "
     "a23456789_123456789_123456789_123456789_123456789_123456789_1234\n",
     {"9:13: error: test_datasets.0.domain: expected a text of at most 63 bytes, "
      "found 'a23456789_123456789_123456789_123456789_123456789_123456789_...' (64 bytes)"}},
    /* wrong structure */
    {GOOD "seed: [1, 2]\n", {"7:7: error: seed: expected a whole number in [0, 9007199254740991], found a list"}},
    {GOOD "seed: {a: 1}\n", {"7:7: error: seed: expected a whole number in [0, 9007199254740991], found keys and values"}},
    {GOOD "test_datasets: b.jsonl\n", {"7:16: error: test_datasets: expected a list of at most 64 items, found 'b.jsonl'"}},
    {GOOD "test_datasets:\n  path: b.jsonl\n", {"8:3: error: test_datasets: expected a list of at most 64 items, found keys and values"}},
    {GOOD "test_datasets:\n  - b.jsonl\n",
     {"8:5: error: test_datasets.0: expected keys and values ('path: ...'), found 'b.jsonl'"}},
    {GOOD "test_datasets:\n  -\n", {"8:4: error: test_datasets.0: expected keys and values ('path: ...'), found nothing"}},
    {"output_dir: out\ntokenizer: bytes\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\nmodel:\nseed: 1\n",
     {"7:7: error: model: expected keys and values, or null, found nothing"}},
    {"output_dir: out\ntokenizer: bytes\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\nmodel: llama\n",
     {"7:8: error: model: expected keys and values, or null, found 'llama'"}},
    {"- a\n- b\n", {"1:1: error: expected the keys of a run ('output_dir: ...'), found a list"}},
    {"train this\n", {"1:1: error: expected the keys of a run ('output_dir: ...'), found 'train this'"}},
    /* what YAML has and we do not */
    {GOOD "seed: &s 1\n", {"7:7: error: an anchor (&s) is not allowed: write the value where it is needed"}},
    {GOOD "seed: *s\n", {"7:7: error: an alias (*s) is not allowed: write the value itself"}},
    {GOOD "seed: !!int 1\n", {"7:7: error: a tag (tag:yaml.org,2002:int) is not allowed: types come from the keys"}},
    {GOOD "seed: ! 1\n", {"7:7: error: a tag (!) is not allowed: types come from the keys"}},
    {"%TAG ! tag:x,2000:\n---\n" GOOD, {"1:1: error: a %TAG directive is not allowed: types come from the keys"}},
    {GOOD "? [a, b]\n: 1\n", {"7:3: error: expected a key, found a list or keys in brackets"}},
    {GOOD "---\nseed: 2\n", {"7:1: error: a second document (---) begins here: a file describes one run"}},
    {"a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n", {"1:19: error: nested deeper than 16 levels"}},
    /* syntax */
    {GOOD "model:\n\thidden_size: 64\n", {"8:1: error: a tab in the indentation: YAML allows only spaces there"}},
    {GOOD "\tseed: 1\n", {"7:1: error: a tab in the indentation: YAML allows only spaces there"}},
    {GOOD "seed: a: b\n",
     {"7:8: error: a second ': ' on one line, or a key indented deeper than its neighbours "
      "(put quotes around a text that contains ': ')"}},
    {GOOD "seed: \"1\nbf16: false\n", {"7:7: error: this quote is never closed"}},
    {GOOD "seed: [1, 2\nbf16: false\n", {"8:5: error: expected ',' or ']' in this list"}},
    {GOOD "seed: {a: 1, b: 2\nbf16: [\n", {"8:5: error: expected ',' or '}' between these keys"}},
    {GOOD "seed 1\nbf16: false\n", {"7:1: error: expected 'key: value', found no ': ' after the key"}},
    {GOOD "  seed: 1\n", {"7:7: error: a second ': ' on one line, or a key indented deeper than its neighbours "
                          "(put quotes around a text that contains ': ')"}},
    {"datasets:\n  - path: a\n - path: b\n", {"3:2: error: expected 'key: value' here: is the indentation the same as that of the lines above?"}},
    {GOOD "seed: @1\n", {"7:7: error: a value cannot begin with this character: put quotes around it"}},
    {"output_dir: \"b\xff\"\n", {"1:15: error: not plain UTF-8 text: invalid leading UTF-8 octet (0xff)"}},
    {"output_dir: b\n# \xc3\xa9\x07\n", {"2:4: error: not plain UTF-8 text: control characters are not allowed (0x07)"}},
    /* between keys */
    {"output_dir: out\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"1:1: error: nothing says what to train: expected base_model (a folder to start from), model (an architecture from scratch) "
      "or parent_checkpoint (a run to continue)"}},
    {SCRATCH "base_model: base\n",
     {"7:1: error: expected one of base_model, model and parent_checkpoint, found base_model, model: leave all but one out"}},
    {GOOD "parent_checkpoint: x\n",
     {"2:1: error: expected one of base_model, model and parent_checkpoint, found base_model, parent_checkpoint: leave all but one out"}},
    {"output_dir: out\ndatasets:\n  - path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4\n"
     "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4}\n",
     {"6:1: error: a model from scratch needs a tokenizer: expected 'bytes' or a folder with tokenizer.json"}},
    {"output_dir: out\nbase_model: b\nglobal_batch_size: 8\nlearning_rate: 1e-4\n",
     {"1:1: error: nothing says what to learn: expected datasets, a list with a path in each item, or stages"}},
    {"output_dir: out\nbase_model: b\nglobal_batch_size: 8\nlearning_rate: 1e-4\ndatasets: []\n",
     {"5:1: error: nothing says what to learn: expected datasets, a list with a path in each item, or stages"}},
    {"output_dir: out\nbase_model: b\nglobal_batch_size: 8\nlearning_rate: 1e-4\ndatasets: [{path: a, weight: 0}]\n",
     {"5:1: error: every dataset has weight 0: expected at least one above 0"}},
    {GOOD "num_epochs: 0\n", {"7:1: error: the run has no length: expected max_steps or num_epochs above 0"}},
    {GOOD "warmup_steps: 10\nwarmup_ratio: 0.1\n",
     {"8:1: error: expected warmup_steps or warmup_ratio, found both: leave one of them out"}},
    {GOOD "sgd_momentum: 0.9\nlr_power: 2\n",
     {"7:1: error: sgd_momentum: with optimizer: adamw it would do nothing: leave it out",
      "8:1: error: lr_power: with lr_scheduler: cosine it would do nothing: leave it out"}},
    {GOOD "optimizer: sgd\nadam_beta2: 0.95\nsgd_nesterov: true\n",
     {"8:1: error: adam_beta2: with optimizer: sgd it would do nothing: leave it out",
      "9:1: error: sgd_nesterov: expected sgd_momentum above 0 and no sgd_dampening"}},
    {GOOD "lr_scheduler: warmup_stable_decay\n",
     {"7:1: error: lr_scheduler: warmup_stable_decay needs lr_decay_steps or lr_decay_ratio, which say how long the end comes down"}},
    {GOOD "lr_scheduler: constant_with_warmup\n",
     {"7:1: error: lr_scheduler: constant_with_warmup needs warmup_steps or warmup_ratio; without a warm-up it is constant"}},
    {GOOD "embedding_lr: 1e-5\nembedding_lr_scale: 0.5\n",
     {"8:1: error: expected embedding_lr or embedding_lr_scale, found both: leave one of them out"}},
    {GOOD "adapter: lora\nlora_r: 8\nlora_alpha: 16\nlora_target_linear: true\nembedding_lr: 1e-5\n",
     {"11:1: error: embedding_lr: an adapter trains no embedding: leave it out"}},
    {GOOD "ema_every: 10\n", {"7:1: error: ema_every: without ema_decay it would do nothing: leave it out"}},
    {GOOD "micro_batch_size: 9\n",
     {"7:1: error: micro_batch_size: expected at most the 8 rows of global_batch_size, found 9"}},
    {GOOD "micro_batch_size: 3\nreduction_lanes: 4\n",
     {"8:1: error: reduction_lanes: expected at most the 3 slots of a step (global_batch_size / micro_batch_size, rounded up), found 4"}},
    {GOOD "bf16: true\npeft_use_dora: true\n", {"1:1: error: peft_use_dora: without adapter: lora it would do nothing: add that, or leave it out", "8:1: error: peft_use_dora: expected false with bf16: true, found true: DoRA is computed in float32"}},
    {GOOD "eval_steps: 10\n",
     {"7:1: error: eval_steps: there is nothing to measure: expected val_set_size above 0 or test_datasets, or no eval_steps"}},
    {GOOD "resume_from_checkpoint: ''\n", {"7:1: error: resume_from_checkpoint: expected auto, none or a path, found ''"}},
    {SCRATCH "  num_key_value_heads: 3\n",
     {"7:1: error: model: num_attention_heads 4 is not a multiple of num_key_value_heads 3"}},
    /* one slip is one error: a key that was misspelt is not missing as well, and checks between keys wait for their keys */
    {"output_dir: out\nbas_model: b\ndatasets:\n  - path: a\nglobal_batch_sise: 8\nlr: 1e-4\nmicro_batch_size: 9\n",
     {"2:1: error: unknown key 'bas_model'; did you mean 'base_model'?",
      "5:1: error: unknown key 'global_batch_sise'; did you mean 'global_batch_size'?",
      "6:1: error: unknown key 'lr'; did you mean 'learning_rate'?"}},
    {GOOD "num_epochs: none\n", {"7:13: error: num_epochs: expected a number in [0, 1000000] epochs, found 'none'"}},
    /* all of them, in the order of their places */
    {"output_dir: out\n"
     "global_batch_size: 8\n"
     "bf16: on\n"
     "datasets:\n"
     "  - path: a\n"
     "    weight: -1\n"
     "  - domain: x\n"
     "    tpye: text\n"
     "seed: *x\n"
     "learning_rate: 1e-4\n"
     "base_model: 3\n"
     "max_step: 10\n",
     {"3:7: error: bf16: " FLAG "'on' (write true)",
      "6:13: error: datasets.0.weight: expected a number in [0, 1000000], found '-1'",
      "7:5: error: datasets.1: missing key 'path' (a .jsonl, .json or text file, each also as .gz; a folder of them, or a pattern like data/**/*.jsonl): expected a text of at most 1023 bytes",
      "8:5: error: datasets.1: unknown key 'tpye'; did you mean 'type'?",
      "9:7: error: an alias (*x) is not allowed: write the value itself",
      "12:1: error: unknown key 'max_step'; did you mean 'max_steps'?"}},
};

static int check_answer(const char *yaml, const char *prefix, const char *const *lines, pawl_status status, const pawl_text *errors,
                        int count)
{
    pawl_text expected = {0};
    int n = 0;
    for (; n < LINES_MAX && lines[n]; n++) pawl_text_add(&expected, "%s%s\n", prefix, lines[n]);
    const char *got = errors->data ? errors->data : "";
    const int same = status == PAWL_EUSAGE && count == n && strcmp(got, expected.data) == 0;
    if (!same) print_error("---\n%s--- gives status %d, %d errors:\n%s--- expected:\n%s", yaml, (int)status, count, got, expected.data);
    pawl_text_close(&expected);
    return same;
}

static void broken_files_name_place_and_cure(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        pawl_text errors = {0};
        int count;
        const pawl_status s = read_bytes(broken[i].yaml, strlen(broken[i].yaml), &errors, &count);
        wrong += !check_answer(broken[i].yaml, "run.yaml:", broken[i].lines, s, &errors, count);
        pawl_text_close(&errors);
    }
    assert_int_equal(wrong, 0);
}

/* ---- Files that are right ---- */

static void assert_reads(const char *yaml)
{
    pawl_text errors = {0};
    int count;
    if (read_bytes(yaml, strlen(yaml), &errors, &count) != PAWL_OK) fail_msg("%s\n%s", yaml, errors.data ? errors.data : "");
    assert_int_equal(count, 0);
    assert_null(errors.data);
}

static void values_and_defaults_arrive(void **state)
{
    (void)state;
    assert_reads(GOOD
                 "max_steps: 1_000_000\nwarmup_steps: 1e3\nlr_scheduler: linear\nadam_epsilon: .5\nsample_packing: false\nmodel: null\n"
                 "test_datasets: [{path: no, license: 010, domain: 'yes: # \"x\"', weight: 0}, {path: \"b\\\\c\"}]\n...\n");
    assert_string_equal(run.train.output_dir, "out");
    assert_string_equal(run.model.base_model, "base");
    assert_int_equal(run.model.model.present, 0);
    assert_int_equal(run.train.global_batch_size, 8);
    assert_int_equal(run.train.micro_batch_size, 1);
    assert_true(run.optim.learning_rate == 1e-4);
    assert_true(run.optim.adam_beta2 == 0.999);
    assert_true(run.optim.adam_epsilon == 0.5);
    assert_int_equal(run.train.max_steps, 1000000);
    assert_int_equal(run.optim.warmup_steps, 1000);
    assert_string_equal(pawl_schedule_names[run.optim.lr_scheduler], "linear");
    assert_int_equal(run.data.sample_packing, 0);
    assert_int_equal(run.data.datasets.count, 1);
    assert_true(run.data.datasets.items[0].weight == 1);
    assert_string_equal(run.data.datasets.items[0].field, "text");
    assert_int_equal(run.data.test_datasets.count, 2);
    assert_string_equal(run.data.test_datasets.items[0].path, "no"); /* a text is what is written, whatever YAML 1.1 sees in it */
    assert_string_equal(run.data.test_datasets.items[0].license, "010");
    assert_string_equal(run.data.test_datasets.items[0].domain, "yes: # \"x\"");
    assert_string_equal(run.data.test_datasets.items[1].path, "b\\c");
}

static void line_ends_and_byte_order_marks_do_not_matter(void **state)
{
    (void)state;
    pawl_text errors = {0};
    int count;
    assert_reads("\xef\xbb\xbf" GOOD);
    assert_reads("output_dir: out\r\nbase_model: base\r\ndatasets:\r\n  - path: a\r\nglobal_batch_size: 8\r\nlearning_rate: 1e-4\r\n");
    assert_string_equal(run.train.output_dir, "out");
    assert_reads("output_dir: out\nbase_model: base\ndatasets:\n- path: a\nglobal_batch_size: 8\nlearning_rate: 1e-4"); /* no last \n */
    const char crlf[] = "output_dir: out\r\nbase_model: base\r\ndatasets:\r\n  - path: a\r\nglobal_batch_size: 8\r\nlearning_rate: x\r\n";
    assert_int_equal(read_bytes(crlf, sizeof crlf - 1, &errors, &count), PAWL_EUSAGE);
    assert_string_equal(errors.data, "run.yaml:6:16: error: learning_rate: expected a number in [0, 10], found 'x'\n");
    pawl_text_close(&errors);
}

/* ---- Files that are too much ---- */

static void assert_one_error(pawl_text *text, const char *expected)
{
    pawl_text errors = {0};
    int count;
    assert_int_equal(read_bytes(text->data, text->bytes, &errors, &count), PAWL_EUSAGE);
    assert_int_equal(count, 1);
    assert_string_equal(errors.data, expected);
    pawl_text_close(&errors);
    pawl_text_close(text);
}

static void size_and_number_are_bounded(void **state)
{
    (void)state;
    pawl_text big = {0}, many = {0}, list = {0};
    pawl_text_add(&big, GOOD "# %*s\n", 1 << 20, "x");
    char expected[160];
    snprintf(expected, sizeof expected, "run.yaml:1:1: error: the file has %zu bytes: expected a configuration of at most 1048576\n", big.bytes);
    assert_one_error(&big, expected);
    for (int i = 0; i < 10000; i++) pawl_text_add(&many, "k%d: 1\n", i);
    assert_one_error(&many, "run.yaml:10000:8: error: more than 10000 values: this is no configuration of a run\n");
    pawl_text_add(&list, GOOD "test_datasets:\n");
    for (int i = 0; i < 66; i++) pawl_text_add(&list, "  - path: x%d\n", i);
    assert_one_error(&list, "run.yaml:72:5: error: test_datasets: expected at most 64 items, found 66\n");
}

static void deep_flow_ends_early(void **state)
{
    (void)state;
    static char deep[1 << 20];
    pawl_text errors = {0};
    int count;
    memset(deep, '[', sizeof deep);
    assert_int_equal(read_bytes(deep, sizeof deep, &errors, &count), PAWL_EUSAGE);
    assert_string_equal(errors.data, "run.yaml:1:17: error: nested deeper than 16 levels\n");
    pawl_text_close(&errors);
}

static void errors_beyond_a_hundred_are_counted(void **state)
{
    (void)state;
    pawl_text text = {0}, errors = {0};
    int count, lines = 0;
    pawl_text_add(&text, GOOD);
    for (int i = 0; i < 150; i++) pawl_text_add(&text, "zz%d: 1\n", i);
    assert_int_equal(read_bytes(text.data, text.bytes, &errors, &count), PAWL_EUSAGE);
    assert_int_equal(count, 150);
    for (const char *p = errors.data; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 101);
    assert_non_null(strstr(errors.data, "run.yaml: error: 50 more errors are not shown\n"));
    pawl_text_close(&text);
    pawl_text_close(&errors);
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    pawl_text errors = {0};
    int count;
    assert_int_equal(pawl_config_read("none.yaml", NULL, 0, &run, &errors, &count), PAWL_EUSAGE);
    assert_non_null(strstr(pawl_last_error()->what, "none.yaml"));
    assert_int_equal(pawl_config_read(".", NULL, 0, &run, &errors, &count), PAWL_EUSAGE);
    pawl_text_close(&errors);
}

/* ---- The command line ---- */

static const struct override {
    const char *yaml;
    const char *overrides[OVERRIDES_MAX];
    const char *lines[LINES_MAX]; /* after "command line: error: "; none: the run is right */
} overrides[] = {
    {GOOD, {"learning_rate=3e-4", "datasets.0.path=b.jsonl", "datasets.1.path=c.jsonl", "datasets.1.domain=c"}, {NULL}},
    {SCRATCH, {"model.hidden_size=128", "model.rope_scaling.rope_type=linear", "model.tie_word_embeddings=true"}, {NULL}},
    {SCRATCH, {"model=null", "base_model=x", "tokenizer="}, {NULL}},
    {GOOD, {"test_datasets=[{path: x, weight: 2}]", "val_set_size=0.1"}, {NULL}},
    {"base_model: b\n", {"output_dir=o", "datasets.0.path=x", "global_batch_size=4", "learning_rate=1"}, {NULL}},
    {GOOD "seed: x\n", {"seed=3"}, {NULL}}, /* what is replaced is not read */
    {GOOD, {"lerning_rate=1"}, {"unknown key 'lerning_rate'; did you mean 'learning_rate'?"}},
    {GOOD, {"learning_rate=fast"}, {"learning_rate: expected a number in [0, 10], found 'fast'"}},
    {GOOD, {"learning_rate="}, {"learning_rate: expected a number in [0, 10], found ''"}},
    {GOOD, {"learning_rate=\"1\""}, {"learning_rate: found '1' in quotes, which make it a text: leave them out"}},
    {GOOD, {"learning_rate"}, {"expected KEY=VALUE, such as learning_rate=1e-4 or datasets.0.path=x, found 'learning_rate'"}},
    {GOOD, {"=1"}, {"expected KEY=VALUE, such as learning_rate=1e-4 or datasets.0.path=x, found '=1'"}},
    {GOOD, {"datasets..path=x"}, {"expected KEY=VALUE, such as learning_rate=1e-4 or datasets.0.path=x, found 'datasets..path=x'"}},
    {GOOD, {"seed=[1"}, {"seed: expected ',' or ']' in this list"}},
    {GOOD, {"seed=*x"}, {"seed: an alias (*x) is not allowed: write the value itself"}},
    {GOOD, {"datasets.2.path=x"}, {"datasets has 1 item: the next one is datasets.1, found 2"}},
    {GOOD, {"datasets.path=x"}, {"datasets is a list: expected the number of an item (datasets.0), found 'path'"}},
    {GOOD, {"datasets.1.domain=x"},
     {"datasets.1: missing key 'path' (a .jsonl, .json or text file, each also as .gz; a folder of them, or a pattern like data/**/*.jsonl): expected a text of at most 1023 bytes"}},
    {GOOD, {"datasets.0.weigth=2"}, {"datasets.0: unknown key 'weigth'; did you mean 'weight'?"}},
    {GOOD, {"seed.x=1"}, {"seed: expected a whole number in [0, 9007199254740991], found keys and values"}},
    {GOOD, {"micro_batch_size=9"}, {"micro_batch_size: expected at most the 8 rows of global_batch_size, found 9"}},
    {GOOD, {"bf16=yes", "seed=-1"},
     {"bf16: " FLAG "'yes' (write true)", "seed: expected a whole number in [0, 9007199254740991], found '-1'"}},
};

static void overrides_meet_the_same_checks(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++) {
        const struct override *o = &overrides[i];
        pawl_text errors = {0};
        int n = 0, count;
        while (n < OVERRIDES_MAX && o->overrides[n]) n++;
        write_file("run.yaml", o->yaml, strlen(o->yaml));
        const pawl_status s = pawl_config_read("run.yaml", (char *const *)(uintptr_t)o->overrides, n, &run, &errors, &count);
        if (o->lines[0]) wrong += !check_answer(o->overrides[0], "command line: error: ", o->lines, s, &errors, count);
        else if (s != PAWL_OK) wrong++, print_error("%s ...\n%s", o->overrides[0], errors.data);
        pawl_text_close(&errors);
    }
    assert_int_equal(wrong, 0);
}

static void overrides_arrive(void **state)
{
    (void)state;
    char *const given[] = {"learning_rate=3e-4", "datasets.0.path=b: c", "datasets.1.path=\"x # y\"", "datasets.1.weight=2",
                           "test_datasets.0.path=t=u", "base_model=../m", "seed=1", "seed=2"};
    pawl_text errors = {0};
    int count;
    write_file("run.yaml", GOOD, strlen(GOOD));
    const pawl_status s = pawl_config_read("run.yaml", given, 8, &run, &errors, &count);
    /* "b: c" is keys and values in YAML, so it is refused rather than guessed; quoted it would be a text */
    assert_int_equal(s, PAWL_EUSAGE);
    assert_string_equal(errors.data, "command line: error: datasets.0.path: expected a text of at most 1023 bytes, found keys and values\n");
    pawl_text_close(&errors);
    assert_true(run.optim.learning_rate == 3e-4);
    assert_string_equal(run.data.datasets.items[1].path, "x # y");
    assert_true(run.data.datasets.items[1].weight == 2);
    assert_true(run.data.datasets.items[1].type == 0);
    assert_string_equal(run.data.test_datasets.items[0].path, "t=u");
    assert_string_equal(run.model.base_model, "../m");
    assert_int_equal(run.train.seed, 2); /* the last one counts */
}

/* ---- Back and forth ---- */

static const char *const whole[] = {
    GOOD,
    SCRATCH "  rope_scaling: {rope_type: llama3, factor: 8, original_max_position_embeddings: 8192}\n"
            "  rms_norm_eps: 1.0000000000000002e-5\nval_set_size: 0.05\nseed: 9007199254740991\nmax_steps: 1e12\n",
    "output_dir: \"a \\\"quoted\\\" \\\\ path: # \\u00e9\\U0001F600 'x'\"\n"
    "base_model: \" lead and trail \"\ntokenizer: \"null\"\ndataset_prepared_path: \"~\"\n"
    "datasets:\n  - {path: \"- a\", domain: \"true\", license: \"1.0\", weight: 0.1}\n  - {path: \"{b}\", split: \"&x\", field: \"*y\", type: text}\n"
    "test_datasets: [{path: \"!z\"}]\nglobal_batch_size: 7\nmicro_batch_size: 2\nlearning_rate: 0.30000000000000004\n"
    "weight_decay: 1e-300\nsave_minutes: 0.1\nreduction: fast\nresume_from_checkpoint: none\nresume_fallback: true\n",
};

static void resolved_yaml_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        pawl_text yaml = {0}, errors = {0}, twice = {0};
        int count;
        assert_reads(whole[i]);
        assert_int_equal(pawl_config_yaml(&run, &yaml), PAWL_OK);
        for (const pawl_section *s = pawl_sections; s->title; s++)
            for (const pawl_field *row = s->rows; row->key; row++) assert_non_null(strstr(yaml.data, row->key));
        write_file("resolved.yaml", yaml.data, yaml.bytes);
        if (pawl_config_read("resolved.yaml", NULL, 0, &again, &errors, &count) != PAWL_OK) fail_msg("%s%s", yaml.data, errors.data);
        assert_memory_equal(&run, &again, sizeof run);
        assert_int_equal(pawl_config_yaml(&again, &twice), PAWL_OK);
        assert_string_equal(yaml.data, twice.data);
        pawl_text_close(&yaml);
        pawl_text_close(&twice);
    }
}

static void json_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        pawl_text text = {0};
        json_t *json, *parsed;
        assert_reads(whole[i]);
        assert_int_equal(pawl_config_json(&run, &json), PAWL_OK);
        assert_int_equal(pawl_json_canonical(json, &text), PAWL_OK); /* as a checkpoint keeps it */
        assert_int_equal(pawl_json_parse(text.data, text.bytes, "manifest", &parsed), PAWL_OK);
        memset(&again, 0xaa, sizeof again);
        assert_int_equal(pawl_config_from_json(parsed, "manifest", &again), PAWL_OK);
        assert_memory_equal(&run, &again, sizeof run);
        assert_int_equal(pawl_config_diff(json, parsed, 0, &(pawl_text){0}), 0);
        json_decref(json);
        json_decref(parsed);
        pawl_text_close(&text);
    }
}

static void json_of_another_kind_is_refused(void **state)
{
    (void)state;
    static const struct { const char *json, *error; } cases[] = {
        {"[]", "m: expected a configuration as an object"},
        {"{\"output_dir\": [3]}", "m: output_dir: expected a text of at most 1023 bytes, found a list"},
        {"{\"optimiser\": \"adamw\"}", "m: unknown key 'optimiser'; did you mean 'optimizer'?"},
        {"{\"seed\": \"1\"}", "m: seed: found '1' in quotes"},
        {"{}", "m: missing key 'output_dir'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        assert_int_equal(pawl_json_parse(cases[i].json, strlen(cases[i].json), "m", &json), PAWL_OK);
        assert_int_equal(pawl_config_from_json(json, "m", &again), PAWL_EDATA);
        if (strncmp(pawl_last_error()->what, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%s gives %s", cases[i].json, pawl_last_error()->what);
        json_decref(json);
    }
}

static void differences_are_listed(void **state)
{
    (void)state;
    pawl_text all = {0}, fixed = {0};
    json_t *before, *after;
    assert_reads(GOOD);
    assert_int_equal(pawl_config_json(&run, &before), PAWL_OK);
    assert_reads("output_dir: elsewhere\ntokenizer: bytes\ndatasets:\n  - {path: a.jsonl, weight: 2}\n  - {path: b.jsonl}\n"
                 "global_batch_size: 8\nlearning_rate: 1e-3\nlogging_steps: 7\n"
                 "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4}\n");
    assert_int_equal(pawl_config_json(&run, &after), PAWL_OK);
    assert_int_equal(pawl_config_diff(before, after, 1, &fixed), 6);
    assert_non_null(strstr(fixed.data, "base_model: \"base\" -> \"\"\n"));
    assert_non_null(strstr(fixed.data, "model: none -> {\"hidden_size\":64,\"intermediate_size\":128,\"num_attention_heads\":4,\"num_hidden_layers\":2}\n"));
    assert_non_null(strstr(fixed.data, "datasets.0.weight: 1 -> 2\n"));
    assert_non_null(strstr(fixed.data, "datasets.1: none -> {\"path\":\"b.jsonl\"}\n"));
    assert_non_null(strstr(fixed.data, "tokenizer: \"\" -> \"bytes\"\n"));
    assert_non_null(strstr(fixed.data, "learning_rate: 0.0001 -> 0.001\n"));
    assert_int_equal(pawl_config_diff(before, after, 0, &all), 8);
    assert_non_null(strstr(all.data, "output_dir: \"out\" -> \"elsewhere\"\n"));
    assert_non_null(strstr(all.data, "logging_steps: 10 -> 7\n"));
    pawl_text_close(&all);
    pawl_text_close(&fixed);

    /* a checkpoint of an older version lacks keys that have come since */
    json_object_del(before, "reduction_lanes");
    json_object_del(before, "optimizer");
    assert_int_equal(pawl_config_diff(before, before, 0, &all), 0);
    assert_int_equal(pawl_config_diff(before, after, 1, &fixed), 6);
    pawl_text_close(&fixed);
    json_decref(before);
    json_decref(after);
}

/* ---- What is made from the rows ---- */

static void check_schema_of(const json_t *schema, const pawl_field *rows)
{
    const json_t *required = json_object_get(schema, "required");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    for (; rows->key; rows++) {
        const json_t *p = json_object_get(json_object_get(schema, "properties"), rows->key);
        int is_required = 0;
        assert_true(json_is_object(p));
        assert_non_null(strstr(json_string_value(json_object_get(p, "description")), rows->doc));
        for (size_t i = 0; i < json_array_size(required); i++)
            is_required |= strcmp(json_string_value(json_array_get(required, i)), rows->key) == 0;
        assert_int_equal(is_required, rows->dflt == NULL);
        assert_int_equal(json_object_get(p, "default") == NULL, rows->dflt == NULL);
        if (rows->kind == PAWL_KIND_i64 || rows->kind == PAWL_KIND_f64) {
            assert_true(json_number_value(json_object_get(p, "minimum")) == rows->lo);
            assert_true(json_number_value(json_object_get(p, "maximum")) == rows->hi);
        }
        if (rows->kind == PAWL_KIND_list) check_schema_of(json_object_get(p, "items"), rows->fields);
        if (rows->kind == PAWL_KIND_record) check_schema_of(p, rows->fields);
    }
}

static void schema_says_what_the_rows_say(void **state)
{
    (void)state;
    json_t *schema;
    size_t keys = 0;
    assert_int_equal(pawl_config_schema(&schema), PAWL_OK);
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")), "https://json-schema.org/draft/2020-12/schema");
    for (const pawl_section *s = pawl_sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key; row++) keys++;
    assert_int_equal(json_object_size(json_object_get(schema, "properties")), keys);
    for (const pawl_section *s = pawl_sections; s->title; s++) check_schema_of(schema, s->rows);
    json_decref(schema);
}

static void no_key_stands_in_two_sections(void **state)
{
    (void)state;
    for (const pawl_section *s = pawl_sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key; row++) {
            int found = 0;
            for (const pawl_section *t = pawl_sections; t->title; t++)
                for (const pawl_field *other = t->rows; other->key; other++) found += strcmp(other->key, row->key) == 0;
            assert_int_equal(found, 1);
        }
}

static const char *source_folder(void)
{
    const char *folder = getenv("PAWL_SOURCE");
    if (!folder) fail_msg("PAWL_SOURCE is not set: run this test through ctest");
    return folder;
}

static void the_manual_is_up_to_date(void **state)
{
    (void)state;
    char path[1024], *text;
    size_t bytes;
    pawl_text expected = {0}, help = {0};
    snprintf(path, sizeof path, "%s/docs/configuration.md", source_folder());
    assert_int_equal(pawl_config_reference(&expected), PAWL_OK);
    assert_int_equal(pawl_file_read(path, 1 << 20, &text, &bytes), PAWL_OK);
    if (strcmp(text, expected.data) != 0) fail_msg("%s is not what the rows say: pawl config reference > docs/configuration.md", path);
    pawl_config_help(&help);
    for (const pawl_section *s = pawl_sections; s->title; s++)
        for (const pawl_field *row = s->rows; row->key; row++) {
            assert_non_null(strstr(help.data, row->key));
            assert_non_null(strstr(help.data, row->doc));
        }
    pawl_free(text);
    pawl_text_close(&expected);
    pawl_text_close(&help);
}

static void every_recipe_is_right(void **state)
{
    (void)state;
    char folder[1024], path[2048], **names;
    int count, recipes = 0;
    snprintf(folder, sizeof folder, "%s/configs/recipes", source_folder());
    assert_int_equal(pawl_dir_list(folder, &names, &count), PAWL_OK);
    for (int i = 0; i < count; i++) {
        pawl_text errors = {0};
        int wrong;
        if (!strstr(names[i], ".yaml")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (pawl_config_read(path, NULL, 0, &run, &errors, &wrong) != PAWL_OK) fail_msg("%s", errors.data);
        recipes++;
    }
    assert_true(recipes > 0);
    pawl_free(names);
}

/* ---- Whatever comes in ---- */

static void assert_sane(const char *text, size_t bytes)
{
    pawl_text errors = {0};
    int count;
    const pawl_status s = read_bytes(text, bytes, &errors, &count);
    if (s == PAWL_OK) {
        assert_int_equal(count, 0);
    } else {
        assert_int_equal(s, PAWL_EUSAGE);
        assert_true(count > 0);
        for (const char *line = errors.data; *line; line = strchr(line, '\n') + 1) {
            long at_line, at_col;
            assert_int_equal(sscanf(line, "run.yaml:%ld:%ld: error: ", &at_line, &at_col), 2);
            assert_true(at_line >= 1 && at_col >= 1);
        }
    }
    pawl_text_close(&errors);
}

static void any_cut_or_flipped_byte_is_survived(void **state)
{
    (void)state;
    static const char hostile[] = "\t\n \"'#&*!|>%@[]{},:-?0\x00\x07\xff\xc3";
    const char *good = whole[1];
    const size_t bytes = strlen(good);
    char text[1024];
    assert_true(bytes < sizeof text);
    for (size_t cut = 0; cut <= bytes; cut++) assert_sane(good, cut);
    for (size_t at = 0; at < bytes; at++)
        for (size_t i = at % 4; i < sizeof hostile - 1; i += 4) { /* neighbours meet different ones */
            memcpy(text, good, bytes);
            text[at] = hostile[i];
            assert_sane(text, bytes);
        }
}

static void any_override_is_survived(void **state)
{
    (void)state;
    static const char hostile[] = "\t\n \"'#&*!|>%@[]{},:-?0.=\x07\xff\xc3";
    static const char *const seeds[] = {"datasets.0.path=x", "model.rope_scaling.factor=2", "seed=1"};
    write_file("run.yaml", whole[1], strlen(whole[1]));
    for (size_t k = 0; k < 3; k++)
        for (size_t at = 0; at < strlen(seeds[k]); at++)
            for (size_t i = 0; i < sizeof hostile; i++) { /* the last one, NUL, cuts */
                char text[64];
                char *const given[] = {text};
                pawl_text errors = {0};
                int count;
                snprintf(text, sizeof text, "%s", seeds[k]);
                text[at] = hostile[i];
                const pawl_status s = pawl_config_read("run.yaml", given, 1, &run, &errors, &count);
                assert_true((s == PAWL_OK && count == 0) || (s == PAWL_EUSAGE && count > 0));
                for (const char *line = errors.data; count && *line; line = strchr(line, '\n') + 1)
                    assert_true(strncmp(line, "command line: error: ", 21) == 0 || strncmp(line, "run.yaml:", 9) == 0);
                pawl_text_close(&errors);
            }
}

static void no_memory_is_said(void **state)
{
    (void)state;
    pawl_status s = PAWL_EMEM;
    long n = 1;
    char *const given[] = {"datasets.1.path=x", "model.rope_scaling.factor=2"};
    write_file("run.yaml", whole[1], strlen(whole[1]));
    for (; s != PAWL_OK; n++) {
        pawl_text errors = {0}, yaml = {0};
        int count;
        pawl_alloc_fail_after(n);
        s = pawl_config_read("run.yaml", given, 2, &run, &errors, &count);
        if (s == PAWL_OK) s = pawl_config_yaml(&run, &yaml);
        pawl_alloc_fail_after(0);
        assert_true(s == PAWL_OK || s == PAWL_EMEM);
        pawl_text_close(&errors);
        pawl_text_close(&yaml);
    }
    assert_true(n > 50);
}

/* ---- A folder to work in ---- */

static char folder[] = "/tmp/pawl-configs-XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    return chdir("/") == 0 && pawl_dir_remove(folder) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_files_name_place_and_cure),
        cmocka_unit_test(values_and_defaults_arrive),
        cmocka_unit_test(line_ends_and_byte_order_marks_do_not_matter),
        cmocka_unit_test(size_and_number_are_bounded),
        cmocka_unit_test(deep_flow_ends_early),
        cmocka_unit_test(errors_beyond_a_hundred_are_counted),
        cmocka_unit_test(a_file_that_is_not_there),
        cmocka_unit_test(overrides_meet_the_same_checks),
        cmocka_unit_test(overrides_arrive),
        cmocka_unit_test(resolved_yaml_reads_back),
        cmocka_unit_test(json_reads_back),
        cmocka_unit_test(json_of_another_kind_is_refused),
        cmocka_unit_test(differences_are_listed),
        cmocka_unit_test(schema_says_what_the_rows_say),
        cmocka_unit_test(no_key_stands_in_two_sections),
        cmocka_unit_test(the_manual_is_up_to_date),
        cmocka_unit_test(every_recipe_is_right),
        cmocka_unit_test(any_cut_or_flipped_byte_is_survived),
        cmocka_unit_test(any_override_is_survived),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
