/* What must hold between keys. One rule, one row: its sentence is also in the manual. */
#include <stdio.h>
#include <string.h>

#include "configs/fill.h"

typedef struct complaint { char why[700]; } complaint;

#define SAY(c, ...) snprintf((c)->why, sizeof (c)->why, __VA_ARGS__)

static void one_start(const pawl_run_config *r, complaint *c)
{
    const int base = r->model.base_model[0] != 0, scratch = r->model.model.present, parent = r->checkpoint.parent_checkpoint[0] != 0;
    if (base + scratch + parent == 0)
        SAY(c, "nothing says what to train: expected base_model (a folder to start from), model (an architecture from scratch) "
               "or parent_checkpoint (a run to continue)");
    else if (base + scratch + parent > 1)
        SAY(c, "expected one of base_model, model and parent_checkpoint, found %s%s%s: leave all but one out",
            base ? "base_model" : "model", base && scratch ? ", model" : "", parent ? ", parent_checkpoint" : "");
}

static void scratch_needs_tokenizer(const pawl_run_config *r, complaint *c)
{
    if (r->model.model.present && !r->data.tokenizer[0])
        SAY(c, "a model from scratch needs a tokenizer: expected 'bytes' or a folder with tokenizer.json");
}

static void model_is_sound(const pawl_run_config *r, complaint *c)
{
    if (r->model.model.present && pawl_model_config_check(&r->model.model.value, "model") != PAWL_OK)
        SAY(c, "%.600s", pawl_last_error()->what);
}

static void adapter_on_a_model(const pawl_run_config *r, complaint *c)
{
    if (r->adapter.adapter && r->model.model.present)
        SAY(c, "an adapter stands on a trained model: expected base_model or parent_checkpoint, found model");
}

static void adapter_is_described(const pawl_run_config *r, complaint *c)
{
    const pawl_adapter_config *a = &r->adapter;
    const int targets = a->lora_target_modules.count > 0 || a->lora_target_linear;
    if (!a->adapter) return;
    if (a->lora_model_dir[0]) {
        if (targets) SAY(c, "lora_target_modules: lora_model_dir says which modules have an adapter: leave one of them out");
    } else if (a->lora_r || a->lora_alpha > 0 || targets || !r->checkpoint.parent_checkpoint[0]) {
        if (!a->lora_r || !(a->lora_alpha > 0) || !targets)
            SAY(c, "an adapter needs lora_r, lora_alpha and lora_target_modules (names, or all-linear), or lora_model_dir: %s is missing",
                !a->lora_r ? "lora_r" : !(a->lora_alpha > 0) ? "lora_alpha" : "lora_target_modules");
    }
}

static void adapter_keys_are_used(const pawl_run_config *r, complaint *c)
{
    const pawl_adapter_config *a = &r->adapter;
    const struct { const char *key; int given; } keys[] = {
        {"lora_r", a->lora_r > 0}, {"lora_alpha", a->lora_alpha > 0}, {"lora_dropout", a->lora_dropout > 0},
        {"lora_target_modules", a->lora_target_modules.count > 0}, {"lora_target_linear", a->lora_target_linear},
        {"peft_use_rslora", a->peft_use_rslora}, {"peft_use_dora", a->peft_use_dora}, {"lora_model_dir", a->lora_model_dir[0] != 0}};
    for (size_t i = 0; !a->adapter && i < sizeof keys / sizeof *keys; i++)
        if (keys[i].given) {
            SAY(c, "%s: without adapter: lora it would do nothing: add that, or leave it out", keys[i].key);
            return;
        }
}

static void base_in_few_bits(const pawl_run_config *r, complaint *c)
{
    const pawl_adapter_config *a = &r->adapter;
    const char *key = a->load_in_4bit ? "load_in_4bit" : "load_in_8bit";
    if (a->load_in_4bit && a->load_in_8bit)
        SAY(c, "expected load_in_8bit or load_in_4bit, found both: leave one of them out");
    else if ((a->load_in_4bit || a->load_in_8bit) && !a->adapter)
        SAY(c, "%s: weights in few bits cannot be trained: it needs adapter: %s", key, a->load_in_4bit ? "qlora" : "lora");
    else if (strcmp(pawl_adapter_names[a->adapter], "qlora") == 0 && !a->load_in_4bit)
        SAY(c, "adapter: qlora is LoRA over a base of 4 bits: expected load_in_4bit: true, or adapter: lora");
}

/* What an adapter for each stage does not go with: sentences that end "lora_stages: merge". */
static void adapter_a_stage(const pawl_run_config *r, complaint *c)
{
    const pawl_continual_config *k = &r->continual;
    const char *is = pawl_lora_stages_names[k->lora_stages];
    const struct { const char *key; int given; } anchored[] = {{"ewc", k->ewc.present}, {"si", k->si.present}, {"mas", k->mas.present}};
    if (k->olora.present && k->lora_stages != PAWL_LORA_ORTHOGONAL)
        SAY(c, "olora: without lora_stages: orthogonal it would do nothing: add that, or leave it out");
    if (k->lora_stages == PAWL_LORA_SAME) return;
    if (!r->adapter.adapter)
        SAY(c, "lora_stages: without adapter: lora it would do nothing: add that, or leave it out");
    for (size_t i = 0; i < sizeof anchored / sizeof *anchored; i++)
        if (anchored[i].given)
            SAY(c, "%s: it holds weights where the finished stages left them, and with lora_stages: %s those are in no adapter that is "
                   "trained: expected lora_stages: same beside it", anchored[i].key, is);
    if (r->adapter.peft_use_dora)
        SAY(c, "peft_use_dora: expected false with lora_stages: %s, found true: DoRA changes the length of rows, which adds up over no stages", is);
    if (r->adapter.load_in_4bit || r->adapter.load_in_8bit)
        SAY(c, "%s: expected false with lora_stages: %s, found true: an adapter that is worked into weights of few bits would be rounded away",
            r->adapter.load_in_4bit ? "load_in_4bit" : "load_in_8bit", is);
    if (r->optim.ema_decay > 0)
        SAY(c, "ema_decay: expected 0 with lora_stages: %s, found %g: an average would go over adapters of different stages", is, r->optim.ema_decay);
}

static void something_to_learn(const pawl_run_config *r, complaint *c)
{
    double weight = 0;
    if (r->continual.stages.count > 0) {
        if (r->data.datasets.count > 0) SAY(c, "expected datasets or stages, found both: what is learnt in a stage stands in its own datasets");
        return;
    }
    for (int i = 0; i < r->data.datasets.count; i++) weight += r->data.datasets.items[i].weight;
    if (r->data.datasets.count == 0) SAY(c, "nothing says what to learn: expected datasets, a list with a path in each item, or stages");
    else if (weight == 0) SAY(c, "every dataset has weight 0: expected at least one above 0");
}

static void an_end(const pawl_run_config *r, complaint *c)
{
    if (r->train.max_steps == 0 && r->train.num_epochs == 0)
        SAY(c, "the run has no length: expected max_steps or num_epochs above 0");
}

static void rates_are_used(const pawl_run_config *r, complaint *c)
{
    if (r->adapter.adapter && (r->optim.embedding_lr > 0 || r->optim.embedding_lr_scale > 0))
        SAY(c, "%s: an adapter trains no embedding: leave it out", r->optim.embedding_lr > 0 ? "embedding_lr" : "embedding_lr_scale");
}

static void slot_in_step(const pawl_run_config *r, complaint *c)
{
    if (r->train.micro_batch_size > r->train.global_batch_size)
        SAY(c, "micro_batch_size: expected at most the %lld rows of global_batch_size, found %lld",
            (long long)r->train.global_batch_size, (long long)r->train.micro_batch_size);
}

static void lanes_in_slots(const pawl_run_config *r, complaint *c)
{
    const int64_t rows = r->train.global_batch_size, given = r->train.micro_batch_size, micro = given == PAWL_AUTO ? 1 : given, slots = (rows + micro - 1) / micro;
    if (micro <= rows && r->comm.reduction_lanes > slots)
        SAY(c, "reduction_lanes: expected at most the %lld slots of a step (global_batch_size / micro_batch_size, rounded up), "
               "found %lld", (long long)slots, (long long)r->comm.reduction_lanes);
}

static void sharding_is_possible(const pawl_run_config *r, complaint *c)
{
    if (r->comm.zero_stage > 0 && strcmp(pawl_reduction_names[r->comm.reduction], "fast") == 0)
        SAY(c, "zero_stage: expected 0 with reduction: fast, found %lld: sums that end in ranges are made by reduction: invariant",
            (long long)r->comm.zero_stage);
    else if (r->comm.zero_stage == 3 && r->adapter.adapter)
        SAY(c, "zero_stage: expected at most 2 with an adapter, found 3: the weights under it are not shared out in this version; "
               "load_in_8bit or load_in_4bit make them smaller");
}

static void dora_is_f32(const pawl_run_config *r, complaint *c)
{
    if (r->train.bf16 && r->adapter.peft_use_dora)
        SAY(c, "peft_use_dora: expected false with bf16: true, found true: DoRA is computed in float32");
}

static void fp8_is_of_blocks(const pawl_run_config *r, complaint *c)
{
    if (!r->train.fp8) return;
    if (!r->train.bf16)
        SAY(c, "fp8: without bf16: true there is nothing that 8-bit floats are made from: add that, or leave it out");
    else if (r->adapter.load_in_4bit || r->adapter.load_in_8bit)
        SAY(c, "fp8: expected false with %s: true, found true: weights that are kept in few bits would be rounded a second time; leave out one of the two",
            r->adapter.load_in_4bit ? "load_in_4bit" : "load_in_8bit");
}

/* What reads weights or keeps copies of them, in float32. */
static void weights_are_bf16(const pawl_run_config *r, complaint *c)
{
    const pawl_continual_config *k = &r->continual;
    const struct { const char *key; int given; } readers[] = {
        {"lwf", k->lwf.present}, {"synthesis", k->synthesis.present}, {"ewc", k->ewc.present}, {"si", k->si.present}, {"mas", k->mas.present},
        {"l2sp", k->l2sp.present}, {"sfa", k->sfa.present}, {"wise", k->wise.present}, {"reptile", k->reptile.present}};
    if (r->optim.master_weights) return;
    if (!r->train.bf16)
        SAY(c, "master_weights: without bf16: true weights are in float32 and have no other: add that, or leave it out");
    else if (r->adapter.adapter)
        SAY(c, "master_weights: expected true with an adapter, found false: what an adapter trains is small, and is kept in float32");
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (readers[i].given)
            SAY(c, "%s: expected master_weights: true beside it, found false: it compares or mixes weights of different times, which bfloat16 does not resolve",
                readers[i].key);
}

static void something_to_measure(const pawl_run_config *r, complaint *c)
{
    if (r->train.eval_steps > 0 && r->data.val_set_size == 0 && r->data.test_datasets.count == 0)
        SAY(c, "eval_steps: there is nothing to measure: expected val_set_size above 0 or test_datasets, or no eval_steps");
}

static int asks(const pawl_dataset_config *items, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (items[i].type == PAWL_CHOICES) return 1;
    return 0;
}

static void questions_are_measured(const pawl_run_config *r, complaint *c)
{
    const pawl_continual_config *k = &r->continual;
    const char *where = asks(r->data.datasets.items, r->data.datasets.count)              ? "datasets"
                        : asks(k->general_data.items, k->general_data.count) ? "general_data" : NULL;
    for (int32_t i = 0; !where && i < k->stages.count; i++)
        if (asks(k->stages.items[i].datasets.items, k->stages.items[i].datasets.count)) where = "stages";
    if (where)
        SAY(c, "%s: type choices is measured and not learnt: expected it in test_datasets alone, found it here; to learn questions with their answers "
               "use type prompt_completion",
            where);
}

static void stages_are_sound(const pawl_run_config *r, complaint *c)
{
    pawl_continual_check(&r->continual, c->why, sizeof c->why);
    if (!c->why[0] && r->continual.replay.present && r->train.global_batch_size < 2 && r->continual.replay.value.rows == PAWL_REPLAY_REPLACE)
        SAY(c, "replay: expected global_batch_size of at least 2, since no step is without new rows, or rows: add; found %lld",
            (long long)r->train.global_batch_size);
}

static void something_to_judge_by(const pawl_run_config *r, complaint *c)
{
    const pawl_continual_config *k = &r->continual;
    const int held = r->data.val_set_size > 0 || r->data.test_datasets.count > 0;
    const char *who = k->forgetting_budget.present ? "forgetting_budget"
                      : k->probe_steps > 0         ? "probe_steps"
                      : k->parent_kl.present       ? "parent_kl"
                      : k->replay.present && strcmp(k->replay.value.ratio, "auto") == 0 ? "replay.ratio: auto" : NULL;
    if (who && !held) SAY(c, "%s: there is nothing to measure earlier domains by: expected val_set_size above 0 or test_datasets", who);
}

static void teacher_is_whole(const pawl_run_config *r, complaint *c)
{
    if (r->continual.lwf.present && r->comm.zero_stage == 3)
        SAY(c, "lwf: expected zero_stage of at most 2 beside it, found 3: the teacher's weights are not shared out in this version");
}

static void there_is_a_writer(const pawl_run_config *r, complaint *c)
{
    if (!r->continual.synthesis.present) return;
    if (r->model.model.present)
        SAY(c, "synthesis: a model from scratch has nothing to write yet: expected base_model or parent_checkpoint, found model");
    else if (r->comm.zero_stage == 3)
        SAY(c, "synthesis: expected zero_stage of at most 2 beside it, found 3: rows are written with whole weights in this version");
}

static void a_way_to_resume(const pawl_run_config *r, complaint *c)
{
    if (!r->checkpoint.resume_from_checkpoint[0]) SAY(c, "resume_from_checkpoint: expected auto, none or a path, found ''");
}

/* The complaint stands at the first of the keys that is written, else at the head of the file. */
static const struct check {
    const char *keys[4];
    void (*check)(const pawl_run_config *r, complaint *c);
    const char *rule;
} checks[] = {
    {{"model", "base_model", "parent_checkpoint"}, one_start, "exactly one of `base_model`, `model` and `parent_checkpoint` is given"},
    {{"model", "tokenizer"}, scratch_needs_tokenizer, "with `model`, `tokenizer` is given"},
    {{"model"}, model_is_sound, "the sizes of `model` fit together: heads divide the width, key and value heads divide heads, a head is even"},
    {{"adapter", "model"}, adapter_on_a_model, "with `adapter`, `base_model` or `parent_checkpoint` is given"},
    {{"adapter", "lora_r", "lora_alpha", "lora_target_modules"}, adapter_is_described,
     "with `adapter`, `lora_r`, `lora_alpha` and `lora_target_modules` (or `lora_target_linear`) are given, or `lora_model_dir`, or "
     "`parent_checkpoint` has an adapter"},
    {{"lora_r", "lora_target_modules", "lora_model_dir", "adapter"}, adapter_keys_are_used, "without `adapter`, no key of one is given"},
    {{"load_in_4bit", "load_in_8bit", "adapter"}, base_in_few_bits,
     "`load_in_8bit` and `load_in_4bit` need an `adapter`, and exclude each other; `adapter: qlora` needs `load_in_4bit`"},
    {{"lora_stages", "adapter", "olora"}, adapter_a_stage,
     "`lora_stages` other than `same` needs an `adapter`, and excludes `ewc`, `si`, `mas`, `peft_use_dora`, `load_in_8bit`, `load_in_4bit` and "
     "`ema_decay`; `olora` needs `lora_stages: orthogonal`"},
    {{"datasets", "stages"}, something_to_learn, "`datasets` has at least one item, and one of them a `weight` above 0; or there are `stages`, and no `datasets`"},
    {{"synthesis", "model", "zero_stage"}, there_is_a_writer, "with `synthesis`, `replay` and one of `base_model` and `parent_checkpoint` are given, and `zero_stage` is at most 2"},
    {{"lwf", "zero_stage"}, teacher_is_whole, "`zero_stage` is at most 2 with `lwf`"},
    {{"max_steps", "num_epochs"}, an_end, "`max_steps` or `num_epochs` is above 0"},
    {{"embedding_lr", "embedding_lr_scale", "adapter"}, rates_are_used, "with `adapter`, no rate of embeddings is given"},
    {{"micro_batch_size", "global_batch_size"}, slot_in_step,
     "`micro_batch_size` is at most `global_batch_size` (it need not divide it: the last slot may be smaller)"},
    {{"reduction_lanes", "global_batch_size", "micro_batch_size"}, lanes_in_slots,
     "`reduction_lanes` is at most the number of slots, `global_batch_size` / `micro_batch_size` rounded up"},
    {{"zero_stage", "reduction", "adapter"}, sharding_is_possible,
     "`zero_stage` is 0 with `reduction: fast`, and at most 2 with an `adapter`"},
    {{"peft_use_dora", "bf16"}, dora_is_f32, "`peft_use_dora` is computed in float32: it and `bf16` exclude each other"},
    {{"fp8", "bf16", "load_in_4bit", "load_in_8bit"}, fp8_is_of_blocks, "`fp8` needs `bf16: true`, and excludes `load_in_8bit` and `load_in_4bit`"},
    {{"master_weights", "bf16", "adapter"}, weights_are_bf16,
     "`master_weights: false` needs `bf16: true`, and excludes `adapter`, `lwf`, `synthesis`, `ewc`, `si`, `mas`, `l2sp`, `sfa`, `wise` and `reptile`"},
    {{"eval_steps", "val_set_size", "test_datasets"}, something_to_measure, "with `eval_steps`, `val_set_size` or `test_datasets` is given"},
    {{"datasets", "stages", "general_data"}, questions_are_measured, "`type: choices` stands in `test_datasets` alone"},
    {{"stages", "replay", "global_batch_size"}, stages_are_sound,
     "`stages` have names that differ, each its own `datasets` and at most one of `num_epochs`, `max_steps` and `max_tokens`; "
     "`replay_ratio` needs `replay`, and that `global_batch_size` of 2 at least unless `rows: add`"},
    {{"forgetting_budget", "probe_steps", "replay", "parent_kl"}, something_to_judge_by,
     "with `forgetting_budget`, `probe_steps`, `parent_kl` or `replay.ratio: auto`, `val_set_size` or `test_datasets` is given; a budget says `mean` or `worst`"},
    {{"resume_from_checkpoint"}, a_way_to_resume, "`resume_from_checkpoint` is not empty"},
};

/* Whether the struct holds what the user meant by the key: a value that was refused, or a misspelt key, is not there. */
static int is_known(const pawl_node *root, const char *key)
{
    const pawl_node *n = pawl_node_find(root, key);
    if (n) return !n->bad && !n->refused;
    const pawl_field *row = pawl_run_row(key);
    for (const pawl_node *c = root->first; c; c = c->next)
        if (c->meant == row) return 0;
    return row->dflt != NULL;
}

/* Where a complaint about keys stands; 0 when it cannot be told whether there is one. */
static int find_place(const pawl_node *root, const char *const keys[4], pawl_place *at)
{
    *at = root->at;
    for (int i = 3; i >= 0; i--) {
        if (!keys[i]) continue;
        if (!is_known(root, keys[i])) return 0;
        const pawl_node *n = pawl_node_find(root, keys[i]);
        if (n) *at = n->key_at;
    }
    return 1;
}

void pawl_check_run(const pawl_node *root, const pawl_run_config *run, pawl_problems *problems)
{
    pawl_place at;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        complaint c = {""};
        if (find_place(root, checks[i].keys, &at)) checks[i].check(run, &c);
        if (c.why[0]) pawl_problem_add(problems, at, "%s", c.why);
    }
    for (const pawl_optim_check *o = pawl_optim_checks; o->keys[0]; o++) {
        complaint c = {""};
        if (o->broken && find_place(root, o->keys, &at)) o->broken(&run->optim, o->keys[0], c.why, sizeof c.why);
        if (c.why[0]) pawl_problem_add(problems, at, "%s", c.why);
    }
}

void pawl_check_rules(pawl_text *out)
{
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) pawl_text_add(out, "- %s\n", checks[i].rule);
    for (const pawl_optim_check *o = pawl_optim_checks; o->keys[0]; o++)
        if (o->rule) pawl_text_add(out, "- %s\n", o->rule);
}
