pawl_layer(model
  SOURCES activations.c config.c decoder.c generate.c hf_config.c hf_weights.c init.c pass.c rope.c
  USES pawl_core pawl_ops)
