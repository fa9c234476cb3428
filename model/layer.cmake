pawl_layer(model
  SOURCES activations.c adapter.c adapter_pass.c adapter_settings.c adapter_targets.c away.c backward.c blend.c config.c decoder.c families.c
          forward.c frozen.c generate.c gguf_config.c gguf_families.c gguf_rope.c gguf_weights.c hf_config.c hf_keys.c hf_rope.c hf_save.c hf_weights.c
          hf_write.c init.c merge.c parts.c pass.c peft.c products.c rope.c sample.c stack.c transit.c walk.c
  USES pawl_core pawl_ops)
