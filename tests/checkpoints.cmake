# Checkpoints: a file system that fails on demand for some tests, and other people's tools over the files.
foreach(name test_checkpoints test_checkpoints_faults)
  target_sources(${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/faulty_fs.c)
endforeach()
pawl_program(checkpoint_sample SOURCES ${CMAKE_CURRENT_LIST_DIR}/checkpoint_sample.c)
pawl_script(checkpoint_h5 120 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/checkpoint_h5.py $<TARGET_FILE:checkpoint_sample> ${PAWL_MPIRUN})
