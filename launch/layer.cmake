pawl_layer(launch
  SOURCES adapter.c auto.c chat.c checkpoint_commands.c commands.c config_command.c data_command.c devices.c eval.c export.c generate.c import.c lines.c machine.c memory_command.c
          open.c options.c plan.c preparing.c render.c retention_command.c tokenize.c train.c weights.c
  USES pawl_core pawl_ops pawl_comm pawl_data pawl_model pawl_optim pawl_checkpoints pawl_trainer pawl_configs
  LIBS MPI::MPI_C)
