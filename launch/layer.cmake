pawl_layer(launch
  SOURCES adapter.c aside.c auto.c chat.c checkpoint_commands.c commands.c config_command.c data_command.c datasets.c described.c devices.c eval.c export.c generate.c gpu.c import.c licenses.c lines.c machine.c memory_command.c
          merge.c open.c options.c plan.c preparing.c products.c render.c report_command.c retention_command.c shown.c tokenize.c train.c weights.c
          report/chart.c report/curves.c report/data.c report/events.c report/graph.c report/html.c report/machine.c report/page.c report/plan.c report/replay.c
          report/retention.c report/run.c report/series.c report/settings.c report/style.c report/summary.c
  USES pawl_core pawl_ops pawl_comm pawl_data pawl_model pawl_optim pawl_checkpoints pawl_trainer pawl_configs
  LIBS MPI::MPI_C)
