pawl_layer(core
  SOURCES arena.c fields.c fields_json.c file.c gguf.c gguf_blocks.c gguf_keys.c hash.c json.c log.c memory.c rng.c safetensors.c safetensors_write.c span.c state.c status.c tensor.c text.c workshop.c
  USES PkgConfig::JANSSON
  LIBS OpenSSL::Crypto)
