pawl_layer(checkpoints
  SOURCES compare_h5.c config.c digests.c files.c find.c folder.c h5.c history.c layout.c lock.c manifest.c phases.c prune.c
          ranges.c read.c saver.c share.c show.c snapshot.c stored.c thread.c verify.c verify_h5.c
  USES pawl_core pawl_ops pawl_comm
  LIBS hdf5::hdf5)
