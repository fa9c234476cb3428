pawl_layer(optim SOURCES config.c optim.c schedule.c USES pawl_core pawl_ops pawl_comm)
