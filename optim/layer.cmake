pawl_layer(optim SOURCES checks.c config.c norm.c optim.c rates.c rules.c schedule.c stream.c USES pawl_core pawl_ops pawl_comm)
