/* Every key of config.json that is known. */
#include <string.h>

#include "model/hf_config.h"

enum {
    LLAMA = 1,
    MISTRAL = 2,
    QWEN2 = 4,
    QWEN3 = 8,
    GPT2 = 16,
    ROTARY = LLAMA | MISTRAL | QWEN2 | QWEN3,
    QWENS = QWEN2 | QWEN3,
    ALL = 31
};
enum { KEEP_OUT, WRITE };

#define TAKEN   PAWL_KEY_TAKEN
#define OR_NONE PAWL_KEY_OR_NONE
#define TOKEN   PAWL_KEY_TOKEN
#define APART   PAWL_KEY_APART
#define MUST    PAWL_KEY_MUST
#define NOTED   PAWL_KEY_NOTED
#define IGNORED PAWL_KEY_IGNORED

/* clang-format off */
const pawl_known_key pawl_known_keys[] = {
    {"model_type", ALL, APART, NULL, WRITE},
    {"architectures", ALL, APART, NULL, WRITE},
    {"rope_theta", ROTARY, APART, NULL, WRITE},
    {"rope_scaling", ROTARY, APART, NULL, WRITE},
    {"rope_parameters", ROTARY, APART, NULL, KEEP_OUT},
    {"original_max_position_embeddings", ROTARY, APART, NULL, KEEP_OUT},
    {"vocab_size", ALL, TAKEN, NULL, WRITE},
    {"hidden_size", ROTARY, TAKEN, NULL, WRITE},
    {"n_embd", GPT2, TAKEN, "hidden_size", WRITE},
    {"intermediate_size", ROTARY, TAKEN, NULL, WRITE},
    {"n_inner", GPT2, TAKEN, "intermediate_size", WRITE},
    {"num_hidden_layers", ROTARY, TAKEN, NULL, WRITE},
    {"n_layer", GPT2, TAKEN, "num_hidden_layers", WRITE},
    {"num_attention_heads", ROTARY, TAKEN, NULL, WRITE},
    {"n_head", GPT2, TAKEN, "num_attention_heads", WRITE},
    {"num_key_value_heads", ROTARY, OR_NONE, NULL, WRITE},
    {"head_dim", ROTARY, OR_NONE, NULL, WRITE},
    {"max_position_embeddings", ROTARY, TAKEN, NULL, WRITE},
    {"n_positions", GPT2, TAKEN, "max_position_embeddings", WRITE},
    {"rms_norm_eps", ROTARY, TAKEN, NULL, WRITE},
    {"layer_norm_epsilon", GPT2, TAKEN, "rms_norm_eps", WRITE},
    {"sliding_window", MISTRAL | QWENS, OR_NONE, NULL, WRITE},
    {"use_sliding_window", QWENS, APART, NULL, WRITE},
    {"max_window_layers", QWENS, TAKEN, NULL, WRITE},
    {"layer_types", QWENS, APART, NULL, WRITE},
    {"layer_types", LLAMA | MISTRAL, APART, NULL, KEEP_OUT},
    {"tie_word_embeddings", ALL, TAKEN, NULL, WRITE},
    {"attention_bias", LLAMA | QWEN3, TAKEN, NULL, WRITE},
    {"mlp_bias", LLAMA, TAKEN, NULL, WRITE},
    {"initializer_range", ALL, TAKEN, NULL, WRITE},
    {"bos_token_id", ALL, TOKEN, NULL, WRITE},
    {"eos_token_id", ALL, TOKEN, NULL, WRITE},
    {"pad_token_id", ALL, TOKEN, NULL, WRITE},
    {"activation_function", GPT2, TAKEN, "hidden_act", WRITE},
    {"scale_attn_weights", GPT2, TAKEN, NULL, WRITE},
    {"scale_attn_by_inverse_layer_idx", GPT2, TAKEN, NULL, WRITE},
    {"reorder_and_upcast_attn", GPT2, IGNORED, "false", WRITE}, /* all is computed in f32 */
    {"hidden_act", ROTARY, MUST, "[\"silu\", \"swish\"]", WRITE},
    {"attention_dropout", ROTARY, MUST, "[0.0]", WRITE},
    {"attn_pdrop", GPT2, NOTED, NULL, WRITE}, /* published models have rates that only training ever used */
    {"embd_pdrop", GPT2, NOTED, NULL, WRITE},
    {"resid_pdrop", GPT2, NOTED, NULL, WRITE},
    {"hidden_dropout", ALL, MUST, "[0]", KEEP_OUT},
    {"resid_pdrop", ROTARY, MUST, "[0]", KEEP_OUT},
    {"embd_pdrop", ROTARY, MUST, "[0]", KEEP_OUT},
    {"pretraining_tp", LLAMA, MUST, "[1]", WRITE},
    {"pretraining_tp", ALL, MUST, "[1]", KEEP_OUT},
    {"partial_rotary_factor", ROTARY, MUST, "[1]", KEEP_OUT},
    {"rope_interleaved", ROTARY, MUST, "[false]", KEEP_OUT},
    {"embedding_multiplier", ALL, MUST, "[1]", KEEP_OUT},
    {"residual_multiplier", ALL, MUST, "[1]", KEEP_OUT},
    {"logits_scaling", ALL, MUST, "[1]", KEEP_OUT},
    {"is_encoder_decoder", ALL, MUST, "[false]", KEEP_OUT},
    {"add_cross_attention", ALL, MUST, "[false]", KEEP_OUT},
    {"pruned_heads", ALL, MUST, "[{}]", KEEP_OUT},
    {"quantization_config", ALL, MUST, "[]", KEEP_OUT},
    {"auto_map", ALL, MUST, "[]", KEEP_OUT},
    {"dtype", ALL, IGNORED, NULL, KEEP_OUT}, /* the tensors say it themselves, and all is computed in f32 */
    {"torch_dtype", ALL, APART, NULL, WRITE},
    {"use_cache", ALL, IGNORED, "true", WRITE},
    {"n_ctx", GPT2, IGNORED, NULL, KEEP_OUT},
    {"n_special", GPT2, IGNORED, NULL, KEEP_OUT},
    {"predict_special_tokens", GPT2, IGNORED, NULL, KEEP_OUT},
    {"summary_type", GPT2, IGNORED, NULL, KEEP_OUT},
    {"summary_use_proj", GPT2, IGNORED, NULL, KEEP_OUT},
    {"summary_activation", GPT2, IGNORED, NULL, KEEP_OUT},
    {"summary_proj_to_labels", GPT2, IGNORED, NULL, KEEP_OUT},
    {"summary_first_dropout", GPT2, IGNORED, NULL, KEEP_OUT},
    {"sep_token_id", ALL, IGNORED, NULL, KEEP_OUT},
    {"decoder_start_token_id", ALL, IGNORED, NULL, KEEP_OUT},
    {"transformers_version", ALL, IGNORED, NULL, KEEP_OUT},
    {"transformers.js_config", ALL, IGNORED, NULL, KEEP_OUT},
    {"_name_or_path", ALL, IGNORED, NULL, KEEP_OUT},
    {"_commit_hash", ALL, IGNORED, NULL, KEEP_OUT},
    {"_from_model_config", ALL, IGNORED, NULL, KEEP_OUT},
    {"_attn_implementation", ALL, IGNORED, NULL, KEEP_OUT},
    {"_attn_implementation_autoset", ALL, IGNORED, NULL, KEEP_OUT},
    {"attn_implementation", ALL, IGNORED, NULL, KEEP_OUT},
    {"experts_implementation", ALL, IGNORED, NULL, KEEP_OUT},
    {"is_decoder", ALL, IGNORED, NULL, KEEP_OUT},
    {"is_llama_config", ALL, IGNORED, NULL, KEEP_OUT},
    {"model_max_length", ALL, IGNORED, NULL, KEEP_OUT},
    {"max_sequence_length", ALL, IGNORED, NULL, KEEP_OUT},
    {"tokenizer_class", ALL, IGNORED, NULL, KEEP_OUT},
    {"unsloth_fixed", ALL, IGNORED, NULL, KEEP_OUT},
    {"unsloth_version", ALL, IGNORED, NULL, KEEP_OUT},
    {"base_model_tp_plan", ALL, IGNORED, NULL, KEEP_OUT},
    {"base_model_pp_plan", ALL, IGNORED, NULL, KEEP_OUT},
    {"keys_to_ignore_at_inference", ALL, IGNORED, NULL, KEEP_OUT},
    {"tie_encoder_decoder", ALL, IGNORED, NULL, KEEP_OUT},
    {"cross_attention_hidden_size", ALL, IGNORED, NULL, KEEP_OUT},
    {"chunk_size_feed_forward", ALL, IGNORED, NULL, KEEP_OUT}, /* the same sums in pieces */
    {"gradient_checkpointing", ALL, IGNORED, NULL, KEEP_OUT},
    {"torchscript", ALL, IGNORED, NULL, KEEP_OUT},
    {"tf_legacy_loss", ALL, IGNORED, NULL, KEEP_OUT},
    {"use_bfloat16", ALL, IGNORED, NULL, KEEP_OUT},
    {"return_dict", ALL, IGNORED, NULL, KEEP_OUT},
    {"output_hidden_states", ALL, IGNORED, NULL, KEEP_OUT},
    {"output_attentions", ALL, IGNORED, NULL, KEEP_OUT},
    {"finetuning_task", ALL, IGNORED, NULL, KEEP_OUT},
    {"task_specific_params", ALL, IGNORED, NULL, KEEP_OUT},
    {"problem_type", ALL, IGNORED, NULL, KEEP_OUT},
    {"id2label", ALL, IGNORED, NULL, KEEP_OUT},
    {"label2id", ALL, IGNORED, NULL, KEEP_OUT},
    {"num_labels", ALL, IGNORED, NULL, KEEP_OUT},
    /* defaults of generation, which older versions wrote here */
    {"max_length", ALL, IGNORED, NULL, KEEP_OUT},
    {"min_length", ALL, IGNORED, NULL, KEEP_OUT},
    {"do_sample", ALL, IGNORED, NULL, KEEP_OUT},
    {"early_stopping", ALL, IGNORED, NULL, KEEP_OUT},
    {"num_beams", ALL, IGNORED, NULL, KEEP_OUT},
    {"num_beam_groups", ALL, IGNORED, NULL, KEEP_OUT},
    {"diversity_penalty", ALL, IGNORED, NULL, KEEP_OUT},
    {"temperature", ALL, IGNORED, NULL, KEEP_OUT},
    {"top_k", ALL, IGNORED, NULL, KEEP_OUT},
    {"top_p", ALL, IGNORED, NULL, KEEP_OUT},
    {"typical_p", ALL, IGNORED, NULL, KEEP_OUT},
    {"repetition_penalty", ALL, IGNORED, NULL, KEEP_OUT},
    {"length_penalty", ALL, IGNORED, NULL, KEEP_OUT},
    {"no_repeat_ngram_size", ALL, IGNORED, NULL, KEEP_OUT},
    {"encoder_no_repeat_ngram_size", ALL, IGNORED, NULL, KEEP_OUT},
    {"bad_words_ids", ALL, IGNORED, NULL, KEEP_OUT},
    {"num_return_sequences", ALL, IGNORED, NULL, KEEP_OUT},
    {"output_scores", ALL, IGNORED, NULL, KEEP_OUT},
    {"return_dict_in_generate", ALL, IGNORED, NULL, KEEP_OUT},
    {"forced_bos_token_id", ALL, IGNORED, NULL, KEEP_OUT},
    {"forced_eos_token_id", ALL, IGNORED, NULL, KEEP_OUT},
    {"remove_invalid_values", ALL, IGNORED, NULL, KEEP_OUT},
    {"exponential_decay_length_penalty", ALL, IGNORED, NULL, KEEP_OUT},
    {"suppress_tokens", ALL, IGNORED, NULL, KEEP_OUT},
    {"begin_suppress_tokens", ALL, IGNORED, NULL, KEEP_OUT},
    {"prefix", ALL, IGNORED, NULL, KEEP_OUT},
    {NULL, 0, IGNORED, NULL, KEEP_OUT},
};
/* clang-format on */

const pawl_known_key *pawl_known_key_find(const char *key, int32_t family)
{
    const pawl_known_key *k = pawl_known_keys;
    while (k->key && !(strcmp(k->key, key) == 0 && k->families >> family & 1)) k++;
    return k->key ? k : NULL;
}

const pawl_field *pawl_known_key_row(const pawl_known_key *k)
{
    const pawl_field *row = pawl_model_rows;
    while (row->key && strcmp(row->key, k->is ? k->is : k->key) != 0) row++;
    PAWL_ASSERT(row->key);
    return row;
}
