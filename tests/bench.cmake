pawl_program(bench_step DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/step.c)
set_target_properties(bench_step PROPERTIES OUTPUT_NAME step)
pawl_program(bench_reduce DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/reduce.c)
set_target_properties(bench_reduce PROPERTIES OUTPUT_NAME reduce)
