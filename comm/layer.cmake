pawl_layer(comm SOURCES agree.c alone.c comm.c config.c lanes.c reduce.c watch.c USES pawl_core pawl_ops LIBS MPI::MPI_C)
