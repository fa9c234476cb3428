pawl_layer(configs SOURCES checks.c configs.c fill.c hints.c overrides.c problems.c reference.c schema.c tree.c write.c yaml.c
  USES pawl_core pawl_comm pawl_data pawl_model pawl_optim pawl_checkpoints pawl_trainer LIBS PkgConfig::YAML)
