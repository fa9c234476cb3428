pawl_layer(trainer
  SOURCES config.c evaluate.c held.c lineage.c metrics.c plan.c record.c run.c saving.c screen.c step.c takes.c work.c
  USES pawl_core pawl_ops pawl_comm pawl_data pawl_model pawl_optim pawl_checkpoints)
