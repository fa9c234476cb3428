pawl_layer(trainer
  SOURCES auto.c config.c evaluate.c held.c held_parts.c held_weights.c lineage.c metrics.c nearest.c pace.c plan.c products.c profile.c profile_gather.c
          profile_json.c profile_table.c record.c run.c saving.c screen.c step.c takes.c trace.c work.c
          continual/config.c continual/contents.c continual/controller.c continual/gate.c continual/gate_run.c continual/keeping.c continual/forget.c continual/memory.c continual/memory_take.c continual/memory_fetch.c continual/memory_state.c
          continual/der.c continual/drift.c continual/lwf.c continual/soft.c
          continual/agem.c continual/ewc.c continual/freeze.c continual/finished.c continual/importance.c continual/l2sp.c continual/mas.c continual/olora.c continual/reptile.c
          continual/sfa.c continual/si.c continual/side.c continual/slices.c continual/wise.c
          continual/methods.c continual/stages.c continual/stream.c
          continual/carried.c continual/replay.c continual/saved.c continual/retention.c continual/retention_file.c continual/retention_run.c continual/seen.c continual/sketch.c continual/store.c continual/synthesis.c
  USES pawl_core pawl_ops pawl_comm pawl_data pawl_model pawl_optim pawl_checkpoints)
