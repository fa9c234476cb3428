pawl_layer(comm SOURCES agree.c alive.c clock.c comm.c config.c lanes.c nccl.c owners.c pieces.c reduce.c rounds.c together.c watch.c USES pawl_core pawl_ops LIBS MPI::MPI_C ${CMAKE_DL_LIBS})
