pawl_layer(optim SOURCES config.c norm.c optim.c rules.c schedule.c USES pawl_core pawl_ops pawl_comm)
