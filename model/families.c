/* The families: what their tensors are called, what their blocks are made of, and what a silent config.json means.
 * Source of names and values: Hugging Face transformers, the modelling and configuration files of each. */
#include "model/decoder.h"

/* clang-format off */
static const pawl_slot_row llama_slots[PAWL_SLOTS] = {
    [PAWL_EMBED] = {"model.embed_tokens.weight", PAWL_VOCAB, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 0},
    [PAWL_ATTENTION_NORM] = {"input_layernorm.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_Q] = {"self_attn.q_proj.weight", PAWL_QUERIES, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 0},
    [PAWL_K] = {"self_attn.k_proj.weight", PAWL_KEYS, PAWL_WIDTH, 1, 0, PAWL_NORMAL, 0},
    [PAWL_V] = {"self_attn.v_proj.weight", PAWL_KEYS, PAWL_WIDTH, 1, 0, PAWL_NORMAL, 0},
    [PAWL_Q_BIAS] = {"self_attn.q_proj.bias", PAWL_QUERIES, PAWL_NO_SIDE, 0, PAWL_QKV_BIAS, PAWL_ZEROS, 0},
    [PAWL_K_BIAS] = {"self_attn.k_proj.bias", PAWL_KEYS, PAWL_NO_SIDE, 1, PAWL_QKV_BIAS, PAWL_ZEROS, 0},
    [PAWL_V_BIAS] = {"self_attn.v_proj.bias", PAWL_KEYS, PAWL_NO_SIDE, 1, PAWL_QKV_BIAS, PAWL_ZEROS, 0},
    [PAWL_Q_NORM] = {"self_attn.q_norm.weight", PAWL_HEAD_SIDE, PAWL_NO_SIDE, 0, PAWL_QK_NORM, PAWL_ONES, 0},
    [PAWL_K_NORM] = {"self_attn.k_norm.weight", PAWL_HEAD_SIDE, PAWL_NO_SIDE, 0, PAWL_QK_NORM, PAWL_ONES, 0},
    [PAWL_O] = {"self_attn.o_proj.weight", PAWL_WIDTH, PAWL_QUERIES, 0, 0, PAWL_NORMAL, 0},
    [PAWL_O_BIASES] = {"self_attn.o_proj.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, PAWL_O_BIAS, PAWL_ZEROS, 0},
    [PAWL_MLP_NORM] = {"post_attention_layernorm.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_GATE] = {"mlp.gate_proj.weight", PAWL_FF, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 0},
    [PAWL_UP] = {"mlp.up_proj.weight", PAWL_FF, PAWL_WIDTH, 1, 0, PAWL_NORMAL, 0},
    [PAWL_GATE_BIAS] = {"mlp.gate_proj.bias", PAWL_FF, PAWL_NO_SIDE, 0, PAWL_MLP_BIAS, PAWL_ZEROS, 0},
    [PAWL_UP_BIAS] = {"mlp.up_proj.bias", PAWL_FF, PAWL_NO_SIDE, 1, PAWL_MLP_BIAS, PAWL_ZEROS, 0},
    [PAWL_DOWN] = {"mlp.down_proj.weight", PAWL_WIDTH, PAWL_FF, 0, 0, PAWL_NORMAL, 0},
    [PAWL_DOWN_BIAS] = {"mlp.down_proj.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, PAWL_MLP_BIAS, PAWL_ZEROS, 0},
    [PAWL_FINAL_NORM] = {"model.norm.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_HEAD] = {"lm_head.weight", PAWL_VOCAB, PAWL_WIDTH, 0, PAWL_OWN_HEAD, PAWL_NORMAL, 0},
};

static const pawl_slot_row gpt2_slots[PAWL_SLOTS] = {
    [PAWL_EMBED] = {"transformer.wte.weight", PAWL_VOCAB, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 0},
    [PAWL_POSITIONS] = {"transformer.wpe.weight", PAWL_CONTEXT, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 0},
    [PAWL_ATTENTION_NORM] = {"ln_1.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_ATTENTION_NORM_BIAS] = {"ln_1.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_Q] = {"attn.c_attn.weight", PAWL_FUSED_QKV, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 1},
    [PAWL_Q_BIAS] = {"attn.c_attn.bias", PAWL_FUSED_QKV, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_O] = {"attn.c_proj.weight", PAWL_WIDTH, PAWL_QUERIES, 0, 0, PAWL_NORMAL, 1},
    [PAWL_O_BIASES] = {"attn.c_proj.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_MLP_NORM] = {"ln_2.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_MLP_NORM_BIAS] = {"ln_2.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_GATE] = {"mlp.c_fc.weight", PAWL_FF, PAWL_WIDTH, 0, 0, PAWL_NORMAL, 1},
    [PAWL_GATE_BIAS] = {"mlp.c_fc.bias", PAWL_FF, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_DOWN] = {"mlp.c_proj.weight", PAWL_WIDTH, PAWL_FF, 0, 0, PAWL_NORMAL, 1},
    [PAWL_DOWN_BIAS] = {"mlp.c_proj.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_FINAL_NORM] = {"transformer.ln_f.weight", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ONES, 0},
    [PAWL_FINAL_NORM_BIAS] = {"transformer.ln_f.bias", PAWL_WIDTH, PAWL_NO_SIDE, 0, 0, PAWL_ZEROS, 0},
    [PAWL_HEAD] = {"lm_head.weight", PAWL_VOCAB, PAWL_WIDTH, 0, PAWL_OWN_HEAD, PAWL_NORMAL, 0},
};

static const pawl_silence llama_silence[] = {
    {"rms_norm_eps", "1e-6"}, {"bos_token_id", "1"}, {"eos_token_id", "2"}, {NULL, NULL}};
static const pawl_silence mistral_silence[] = {
    {"rms_norm_eps", "1e-6"}, {"bos_token_id", "1"}, {"eos_token_id", "2"}, {"num_key_value_heads", "8"},
    {"max_position_embeddings", "131072"}, {"sliding_window", "4096"}, {NULL, NULL}};
static const pawl_silence qwen2_silence[] = {
    {"rms_norm_eps", "1e-6"}, {"num_key_value_heads", "32"}, {"max_position_embeddings", "32768"},
    {"sliding_window", "4096"}, {"max_window_layers", "28"}, {NULL, NULL}};
static const pawl_silence qwen3_silence[] = {
    {"rms_norm_eps", "1e-6"}, {"num_key_value_heads", "32"}, {"max_position_embeddings", "32768"},
    {"sliding_window", "4096"}, {"max_window_layers", "28"}, {"head_dim", "128"}, {NULL, NULL}};
static const pawl_silence gpt2_silence[] = {
    {"rms_norm_eps", "1e-5"}, {"bos_token_id", "50256"}, {"eos_token_id", "50256"}, {"max_position_embeddings", "1024"},
    {"tie_word_embeddings", "true"}, {NULL, NULL}};
/* clang-format on */

static const char *const rotary_tables[] = {"rotary_emb.inv_freq", NULL};
static const char *const causal_masks[] = {".attn.bias", ".attn.masked_bias", NULL};

#define LLAMA_NAMES .prefix = "model.", .layers = "model.layers", .slots = llama_slots, .ignored = rotary_tables

const char *const pawl_model_types[] = {"llama", "mistral", "qwen2", "qwen3", "gpt2", NULL};

const pawl_family pawl_families[] = {
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     LLAMA_NAMES,
     .always = PAWL_STILL_PAD,
     .attention_bias = PAWL_QKV_BIAS | PAWL_O_BIAS,
     .mlp_bias = PAWL_MLP_BIAS,
     .activation = "silu",
     .silence = llama_silence},
    {.model_type = "mistral",
     .architecture = "MistralForCausalLM",
     LLAMA_NAMES,
     .always = PAWL_STILL_PAD,
     .may = PAWL_MAY_WINDOW,
     .activation = "silu",
     .silence = mistral_silence},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     LLAMA_NAMES,
     .always = PAWL_STILL_PAD | PAWL_QKV_BIAS,
     .may = PAWL_MAY_WINDOW | PAWL_MAY_MIX_WINDOWS,
     .activation = "silu",
     .silence = qwen2_silence},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     LLAMA_NAMES,
     .always = PAWL_STILL_PAD | PAWL_QK_NORM,
     .attention_bias = PAWL_QKV_BIAS | PAWL_O_BIAS,
     .may = PAWL_MAY_WINDOW | PAWL_MAY_MIX_WINDOWS,
     .activation = "silu",
     .silence = qwen3_silence},
    {.model_type = "gpt2",
     .architecture = "GPT2LMHeadModel",
     .prefix = "transformer.",
     .layers = "transformer.h",
     .slots = gpt2_slots,
     .ignored = causal_masks,
     .always = PAWL_LAYER_NORM | PAWL_POSITION_TABLE | PAWL_UNGATED | PAWL_QKV_BIAS | PAWL_O_BIAS | PAWL_MLP_BIAS,
     .may = PAWL_MAY_SCALE_SCORES,
     .activation = "gelu_new",
     .silence = gpt2_silence},
};
